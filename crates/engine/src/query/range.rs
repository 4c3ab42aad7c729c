use hull_value::{
    CodedError, FieldPath, PackedValue,
    keys::{self, Interval},
};

use super::{Bound, RangeExpression, RangeOperator, error};

/// Compiles a range on an index whose keys are encoded field values.
///
/// `index_name` is `table.index`, for messages. `fields` are all components of
/// the key: declared fields, `_creationTime`, `_id`. A contradictory range
/// gives an empty interval.
pub fn compile_range(
    index_name: &str,
    fields: &[FieldPath],
    range: &[RangeExpression],
) -> Result<Interval, CodedError> {
    let Bounds {
        equalities,
        lower,
        upper,
    } = Bounds::new(index_name, fields, range)?;
    let mut prefix = Vec::new();
    for value in equalities {
        encode(value, &mut prefix);
    }
    let start = match lower {
        None => prefix.clone(),
        Some(limit) => edge(&prefix, limit.value, !limit.is_inclusive),
    };
    let end = match upper {
        None if prefix.is_empty() => None,
        None => Some(after_component(prefix)),
        Some(limit) => Some(edge(&prefix, limit.value, limit.is_inclusive)),
    };
    let interval = Interval { start, end };
    Ok(if interval.is_empty() {
        Interval::empty()
    } else {
        interval
    })
}

/// The key position just before or just after all keys of the prefix and the value.
fn edge(prefix: &[u8], value: &Bound, is_after: bool) -> Vec<u8> {
    let mut key = prefix.to_vec();
    encode(value, &mut key);
    if is_after { after_component(key) } else { key }
}

/// The place after every key that goes on from these whole components.
///
/// Not the successor of the byte prefix: the encoding of `"a"` is a byte
/// prefix of that of `"a\0"`, which goes on with the escape 0xff, while the next
/// component begins with a tag far below.
fn after_component(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0xff);
    key
}

fn encode(value: &Bound, key: &mut Vec<u8>) {
    keys::encode_value(value.as_ref().map(PackedValue::as_ref), key);
}

/// A range whose comparisons have been put in the order of the index fields.
pub(super) struct Bounds<'a> {
    /// Values of the first fields.
    pub(super) equalities: Vec<&'a Bound>,
    /// Limits on the field after those.
    pub(super) lower: Option<Limit<'a>>,
    pub(super) upper: Option<Limit<'a>>,
}

#[derive(Clone, Copy)]
pub(super) struct Limit<'a> {
    pub(super) value: &'a Bound,
    pub(super) is_inclusive: bool,
}

impl<'a> Bounds<'a> {
    /// Sorts out a range; equalities may stand in any order if together they
    /// are on a prefix of the fields.
    pub(super) fn new(
        index_name: &str,
        fields: &[FieldPath],
        range: &'a [RangeExpression],
    ) -> Result<Self, CodedError> {
        let mut equalities: Vec<Option<&'a Bound>> = vec![None; fields.len()];
        let mut limited: Option<(usize, &'a FieldPath)> = None;
        let (mut lower, mut upper) = (None, None);
        for expression in range {
            let RangeExpression {
                operator,
                field,
                value,
            } = expression;
            let Some(position) = fields.iter().position(|indexed| indexed == field) else {
                return Err(error::field_not_in_index(index_name, shown(fields), field));
            };
            if equalities[position].is_some() {
                return Err(error::already_defined_bound("equality", expression));
            }
            if *operator == RangeOperator::Eq {
                if limited.is_some_and(|(limited, _)| limited == position) {
                    return Err(error::already_defined_bound("inequality", expression));
                }
                equalities[position] = Some(value);
                continue;
            }
            match limited {
                Some((other, first)) if other != position => {
                    return Err(error::bounds_on_multiple_fields(index_name, first, field));
                }
                _ => limited = Some((position, field)),
            }
            let (slot, kind) = match operator {
                RangeOperator::Gt | RangeOperator::Gte => (&mut lower, "lower"),
                _ => (&mut upper, "upper"),
            };
            if slot.is_some() {
                return Err(error::already_defined_bound(kind, expression));
            }
            let is_inclusive = matches!(operator, RangeOperator::Gte | RangeOperator::Lte);
            *slot = Some(Limit {
                value,
                is_inclusive,
            });
        }

        let equalities_len = equalities
            .iter()
            .take_while(|value| value.is_some())
            .count();
        let is_usable = |position: usize| {
            position < equalities_len
                || (position == equalities_len
                    && limited.is_some_and(|(limited, _)| limited == position))
        };
        let position_of = |field: &FieldPath| fields.iter().position(|indexed| indexed == field);
        let first_incorrect = range
            .iter()
            .find(|expression| !position_of(&expression.field).is_some_and(is_usable));
        if let Some(RangeExpression {
            field: first_incorrect,
            ..
        }) = first_incorrect
        {
            let mut query_fields: Vec<FieldPath> = Vec::new();
            for RangeExpression { field, .. } in range {
                if !query_fields.contains(field) {
                    query_fields.push(field.clone());
                }
            }
            return Err(error::invalid_index_range(
                index_name,
                shown(fields),
                &query_fields,
                first_incorrect,
            ));
        }
        Ok(Self {
            equalities: equalities.into_iter().map_while(|value| value).collect(),
            lower,
            upper,
        })
    }
}

/// The fields as messages list them: without the `_id` that ends every key,
/// unless there is nothing else.
fn shown(fields: &[FieldPath]) -> &[FieldPath] {
    match fields {
        [rest @ .., last] if !rest.is_empty() && last.is_id() => rest,
        _ => fields,
    }
}
