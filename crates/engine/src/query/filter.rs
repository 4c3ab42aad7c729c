use hull_value::{CodedError, FieldPath};
use serde_json::Value as Json;

use super::{Bound, error, json_value, parse};

/// Expressions may be nested this deep; recursion over them is bounded by it.
pub(super) const DEPTH_MAX: usize = 256;

/// An expression over one document, as `q.eq(q.field("a"), 1)` builds it.
///
/// Evaluation is in `evaluate`; see [`Filter::accepts`].
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// The value at a path of the document; `undefined` where it is missing.
    Field(FieldPath),
    Literal(Bound),
    Compare(Comparison, Box<[Filter; 2]>),
    Arithmetic(Arithmetic, Box<[Filter; 2]>),
    Negate(Box<Filter>),
    Not(Box<Filter>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
}

impl Filter {
    /// Parses the wire form, an object with one `$` key.
    pub fn parse(json: &Json) -> Result<Self, CodedError> {
        Self::parse_at(json, DEPTH_MAX)
    }

    fn parse_at(json: &Json, depth_left: usize) -> Result<Self, CodedError> {
        let depth_left = depth_left.checked_sub(1).ok_or_else(|| {
            error::malformed(format_args!(
                "filter expressions may be nested at most {DEPTH_MAX} deep"
            ))
        })?;
        let (operator, operand) = single_entry(json)?;
        let one = || Ok(Box::new(Self::parse_at(operand, depth_left)?));
        let two = || Self::parse_pair(operator, operand, depth_left);
        let many = || -> Result<Vec<Self>, CodedError> {
            let operands = operand.as_array().ok_or_else(|| {
                error::malformed(format_args!("`{operator}` takes an array of expressions"))
            })?;
            operands
                .iter()
                .map(|operand| Self::parse_at(operand, depth_left))
                .collect()
        };
        Ok(match operator {
            "$eq" => Self::Compare(Comparison::Eq, two()?),
            "$neq" => Self::Compare(Comparison::Neq, two()?),
            "$lt" => Self::Compare(Comparison::Lt, two()?),
            "$lte" => Self::Compare(Comparison::Lte, two()?),
            "$gt" => Self::Compare(Comparison::Gt, two()?),
            "$gte" => Self::Compare(Comparison::Gte, two()?),
            "$add" => Self::Arithmetic(Arithmetic::Add, two()?),
            "$sub" => Self::Arithmetic(Arithmetic::Sub, two()?),
            "$mul" => Self::Arithmetic(Arithmetic::Mul, two()?),
            "$div" => Self::Arithmetic(Arithmetic::Div, two()?),
            "$mod" => Self::Arithmetic(Arithmetic::Mod, two()?),
            "$neg" => Self::Negate(one()?),
            "$not" => Self::Not(one()?),
            "$and" => Self::And(many()?),
            "$or" => Self::Or(many()?),
            "$field" => Self::Field(parse::field_path(operand)?),
            "$literal" => Self::Literal(json_value::parse_literal(operand)?),
            _ => {
                return Err(error::malformed(format_args!(
                    "unknown filter expression `{operator}`"
                )));
            }
        })
    }

    fn parse_pair(
        operator: &str,
        operand: &Json,
        depth_left: usize,
    ) -> Result<Box<[Self; 2]>, CodedError> {
        let Some([left, right]) = operand.as_array().map(Vec::as_slice) else {
            return Err(error::malformed(format_args!(
                "`{operator}` takes two expressions"
            )));
        };
        Ok(Box::new([
            Self::parse_at(left, depth_left)?,
            Self::parse_at(right, depth_left)?,
        ]))
    }
}

fn single_entry(json: &Json) -> Result<(&str, &Json), CodedError> {
    let mut entries = json.as_object().into_iter().flatten();
    match (entries.next(), entries.next()) {
        (Some((operator, operand)), None) => Ok((operator, operand)),
        _ => Err(error::malformed(
            "a filter expression is an object with exactly one key",
        )),
    }
}
