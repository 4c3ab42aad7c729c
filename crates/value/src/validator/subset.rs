use super::{Literal, ObjectValidator, Validator};

impl Validator {
    /// Tells whether every value that passes `self` surely passes `other`. Sound but incomplete: `false` proves nothing.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        match (self, other) {
            _ if self == other => true,
            (_, Self::Any) => true,
            (Self::Union(members), _) => members.iter().all(|member| member.is_subset_of(other)),
            (Self::Boolean, Self::Union(members)) => {
                let has = |flag: bool| {
                    let literal = Self::Literal(Literal::Boolean(flag));
                    members.iter().any(|member| literal.is_subset_of(member))
                };
                has(false) && has(true)
            }
            (_, Self::Union(members)) => members.iter().any(|member| self.is_subset_of(member)),
            (Self::Literal(literal), _) => matches!(
                (literal, other),
                (Literal::Int64(_), Self::Int64 | Self::CommitTs)
                    | (Literal::Float64(_), Self::Float64)
                    | (Literal::Boolean(_), Self::Boolean)
                    | (Literal::String(_), Self::String)
            ),
            (Self::Id(_), Self::String)
            | (Self::CommitTs, Self::Int64)
            | (Self::Int64, Self::CommitTs) => true,
            (Self::Array(a), Self::Array(b)) => a.is_subset_of(b),
            (Self::Record { keys: a, values: v }, Self::Record { keys: b, values: w }) => {
                a.is_subset_of(b) && v.is_subset_of(w)
            }
            (Self::Object(a), Self::Object(b)) => a.is_subset_of(b),
            _ => false,
        }
    }
}

impl ObjectValidator {
    /// No field disappears, none becomes required, and new ones are optional.
    fn is_subset_of(&self, other: &Self) -> bool {
        let kept = self.0.iter().all(|(name, field)| {
            other.0.get(name).is_some_and(|wider| {
                (wider.is_optional || !field.is_optional)
                    && field.validator.is_subset_of(&wider.validator)
            })
        });
        kept && other
            .0
            .iter()
            .all(|(name, field)| field.is_optional || self.0.contains_key(name))
    }
}
