use std::cmp::Ordering;

use hull_value::{
    CodedError, DocumentId, FieldPath, InternalId, PackedValue, TableNumber, ValueRef,
    keys::Interval,
};

use super::{
    Bound, RangeExpression,
    range::{Bounds, Limit},
};

/// Compiles a range on `by_id`, whose keys are the 16 bytes of internal ids
/// while functions compare id strings.
///
/// Both have the same order: ids of one table have one length and share the
/// bytes of the table number, base32 keeps the order of bytes, and the
/// checksum comes after the internal id.
pub fn compile_id_range(
    index_name: &str,
    table: TableNumber,
    range: &[RangeExpression],
) -> Result<Interval, CodedError> {
    let Bounds {
        equalities,
        lower,
        upper,
    } = Bounds::new(index_name, &[FieldPath::id()], range)?;
    let (start, end) = match equalities.first() {
        Some(value) => (Cut::before(table, value), Cut::after(table, value)),
        None => (
            lower.map_or(
                Cut(Some(0)),
                |Limit {
                     value,
                     is_inclusive,
                 }| {
                    if is_inclusive {
                        Cut::before(table, value)
                    } else {
                        Cut::after(table, value)
                    }
                },
            ),
            upper.map_or(
                Cut(None),
                |Limit {
                     value,
                     is_inclusive,
                 }| {
                    if is_inclusive {
                        Cut::after(table, value)
                    } else {
                        Cut::before(table, value)
                    }
                },
            ),
        ),
    };
    Ok(interval(start, end))
}

/// A place between internal ids: just before the number, or after all of them.
#[derive(Clone, Copy)]
struct Cut(Option<u128>);

impl Cut {
    /// The place before the first id whose string is not below the value.
    fn before(table: TableNumber, value: &Bound) -> Self {
        Self::at(value, |text| match own_id(table, text) {
            Some(id) => Some(id),
            None => first_where(|id| compare(table, id, text).is_ge()),
        })
    }

    /// The place before the first id whose string is above the value.
    fn after(table: TableNumber, value: &Bound) -> Self {
        Self::at(value, |text| match own_id(table, text) {
            Some(id) => id.checked_add(1),
            None => first_where(|id| compare(table, id, text).is_gt()),
        })
    }

    /// Ids are strings: above every value of the types before string, below those after.
    fn at(value: &Bound, among_strings: impl FnOnce(&str) -> Option<u128>) -> Self {
        Self(match value.as_ref().map(PackedValue::as_ref) {
            Some(ValueRef::String(text)) => among_strings(text),
            Some(ValueRef::Bytes(_) | ValueRef::Array(_) | ValueRef::Object(_)) => None,
            None
            | Some(
                ValueRef::Null
                | ValueRef::Int64(_)
                | ValueRef::CommitTs
                | ValueRef::Float64(_)
                | ValueRef::Boolean(_),
            ) => Some(0),
        })
    }
}

fn interval(start: Cut, end: Cut) -> Interval {
    let key = |number: u128| number.to_be_bytes().to_vec();
    match (start.0, end.0) {
        (None, _) => Interval::empty(),
        (Some(start), Some(end)) if end <= start => Interval::empty(),
        (Some(start), Some(end)) if end - start == 1 => Interval::point(key(start)),
        (Some(start), end) => Interval {
            start: key(start),
            end: end.map(key),
        },
    }
}

fn own_id(table: TableNumber, text: &str) -> Option<u128> {
    let id: DocumentId = text.parse().ok()?;
    (id.table == table).then(|| u128::from_be_bytes(id.internal.0))
}

/// Compares the string of an id with a text.
fn compare(table: TableNumber, internal: u128, text: &str) -> Ordering {
    let id = DocumentId {
        table,
        internal: InternalId(internal.to_be_bytes()),
    };
    id.write(&mut [0; 37]).cmp(text)
}

/// Returns the smallest number for which a monotone condition holds.
fn first_where(holds: impl Fn(u128) -> bool) -> Option<u128> {
    if holds(0) {
        return Some(0);
    }
    if !holds(u128::MAX) {
        return None;
    }
    let (mut below, mut found) = (0, u128::MAX);
    while found - below > 1 {
        let middle = below + (found - below) / 2;
        if holds(middle) {
            found = middle
        } else {
            below = middle
        }
    }
    Some(found)
}
