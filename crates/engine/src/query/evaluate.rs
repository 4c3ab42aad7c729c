use hull_value::{CodedError, ObjectRef, PackedValue, ValueRef};

use super::{
    Filter, error,
    filter::{Arithmetic, Comparison},
};

/// The value of an expression; `None` is `undefined`, which sorts first.
///
/// Borrows from the document or from the filter's own literals: evaluation
/// allocates only to tell of an error.
type Evaluated<'a> = Option<ValueRef<'a>>;

impl Filter {
    /// Tells whether the document passes; an error if the expression is not a boolean.
    pub fn accepts(&self, document: ObjectRef<'_>) -> Result<bool, CodedError> {
        as_boolean(self.evaluate(document)?)
    }

    fn evaluate<'a>(&'a self, document: ObjectRef<'a>) -> Result<Evaluated<'a>, CodedError> {
        Ok(match self {
            Self::Field(path) => document.get_path(path),
            Self::Literal(value) => value.as_ref().map(PackedValue::as_ref),
            Self::Compare(comparison, operands) => {
                let [left, right] = operands.as_ref();
                let holds = comparison.holds(left.evaluate(document)?, right.evaluate(document)?);
                Some(ValueRef::Boolean(holds))
            }
            Self::Arithmetic(arithmetic, operands) => {
                let [left, right] = operands.as_ref();
                Some(arithmetic.apply(left.evaluate(document)?, right.evaluate(document)?)?)
            }
            Self::Negate(operand) => Some(negate(operand.evaluate(document)?)?),
            Self::Not(operand) => Some(ValueRef::Boolean(!operand.accepts(document)?)),
            Self::And(operands) => Some(ValueRef::Boolean(all(operands, document)?)),
            Self::Or(operands) => Some(ValueRef::Boolean(any(operands, document)?)),
        })
    }
}

impl Comparison {
    fn holds(self, left: Evaluated<'_>, right: Evaluated<'_>) -> bool {
        let ordering = left.cmp(&right);
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Neq => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Gte => ordering.is_ge(),
        }
    }
}

impl Arithmetic {
    fn apply(
        self,
        left: Evaluated<'_>,
        right: Evaluated<'_>,
    ) -> Result<ValueRef<'static>, CodedError> {
        match (left, right) {
            (Some(ValueRef::Int64(left)), Some(ValueRef::Int64(right))) => {
                self.apply_int64(left, right).map(ValueRef::Int64)
            }
            (Some(ValueRef::Float64(left)), Some(ValueRef::Float64(right))) => {
                Ok(ValueRef::Float64(self.apply_float64(left, right)))
            }
            _ => Err(error::evaluation(format!(
                "Cannot {} {} and {}",
                self.verb(),
                with_type(left),
                with_type(right)
            ))),
        }
    }

    fn apply_int64(self, left: i64, right: i64) -> Result<i64, CodedError> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Sub => left.checked_sub(right),
            Self::Mul => left.checked_mul(right),
            Self::Div | Self::Mod if right == 0 => {
                return Err(error::evaluation(format!(
                    "Cannot {} {left} by zero",
                    self.verb()
                )));
            }
            Self::Div => left.checked_div(right),
            // The remainder of i64::MIN by -1 is 0; only the quotient overflows.
            Self::Mod => Some(left.wrapping_rem(right)),
        };
        result.ok_or_else(|| {
            let verb = self.verb();
            error::evaluation(format!(
                "Cannot {verb} {left} and {right}: the result is out of range for Int64"
            ))
        })
    }

    fn apply_float64(self, left: f64, right: f64) -> f64 {
        let result = match self {
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
            Self::Div => left / right,
            Self::Mod => left % right,
        };
        // The sign of a computed NaN is the processor's choice, and the order of
        // values tells them apart.
        if result.is_nan() { f64::NAN } else { result }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "subtract",
            Self::Mul => "multiply",
            Self::Div => "divide",
            Self::Mod => "mod",
        }
    }
}

/// `true` of no operands; stops at the first false one.
fn all(operands: &[Filter], document: ObjectRef<'_>) -> Result<bool, CodedError> {
    for operand in operands {
        if !operand.accepts(document)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `false` of no operands; stops at the first true one.
fn any(operands: &[Filter], document: ObjectRef<'_>) -> Result<bool, CodedError> {
    for operand in operands {
        if operand.accepts(document)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn negate(value: Evaluated<'_>) -> Result<ValueRef<'static>, CodedError> {
    match value {
        Some(ValueRef::Int64(number)) => {
            number.checked_neg().map(ValueRef::Int64).ok_or_else(|| {
                error::evaluation(format!(
                    "Cannot negate {number}: the result is out of range for Int64"
                ))
            })
        }
        Some(ValueRef::Float64(number)) => Ok(ValueRef::Float64(-number)),
        _ => Err(error::evaluation(format!(
            "Cannot negate {}",
            with_type(value)
        ))),
    }
}

fn as_boolean(value: Evaluated<'_>) -> Result<bool, CodedError> {
    match value {
        Some(ValueRef::Boolean(boolean)) => Ok(boolean),
        _ => Err(error::evaluation(format!(
            "Cannot use value {} as a Boolean",
            with_type(value)
        ))),
    }
}

/// `5 (type Int64)`
fn with_type(value: Evaluated<'_>) -> String {
    let type_name = match value {
        None => "Undefined",
        Some(ValueRef::Null) => "Null",
        Some(ValueRef::Int64(_)) => "Int64",
        Some(ValueRef::Float64(_)) => "Float64",
        Some(ValueRef::Boolean(_)) => "Boolean",
        Some(ValueRef::String(_)) => "String",
        Some(ValueRef::Bytes(_)) => "Bytes",
        Some(ValueRef::Array(_)) => "Array",
        Some(ValueRef::Object(_)) => "Object",
        Some(ValueRef::CommitTs) => "CommitTs",
    };
    format!("{} (type {type_name})", error::render(value))
}
