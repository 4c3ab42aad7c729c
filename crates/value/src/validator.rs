mod check;
mod parse;
mod subset;

use std::{collections::BTreeMap, fmt};

use crate::{ValueRef, json};

pub use check::ValidationError;

/// The shape of values a function or table accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    Null,
    Float64,
    Int64,
    /// An int64 that is the commit timestamp of a mutation.
    CommitTs,
    Boolean,
    String,
    Bytes,
    Any,
    /// An id string of the named table.
    Id(String),
    Literal(Literal),
    Array(Box<Validator>),
    Record {
        keys: Box<Validator>,
        values: Box<Validator>,
    },
    Object(ObjectValidator),
    /// Any of the members; no members accept nothing.
    Union(Vec<Validator>),
}

/// The fields of an object, no others allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectValidator(pub BTreeMap<String, FieldValidator>);

/// One field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValidator {
    pub validator: Validator,
    pub is_optional: bool,
}

/// The one value a literal validator accepts.
#[derive(Clone, Debug)]
pub enum Literal {
    Int64(i64),
    /// Always finite.
    Float64(f64),
    Boolean(bool),
    String(String),
}

impl Validator {
    /// Tells whether a value that passes may have something at this path.
    pub(crate) fn can_contain_path(&self, path: &[String]) -> bool {
        self.any_at_path(path, &|_| true)
    }

    /// Tells whether a value that passes may have an array of float64 at this path.
    pub(crate) fn can_contain_vector(&self, path: &[String]) -> bool {
        fn may_be_float64(validator: &Validator) -> bool {
            match validator {
                Validator::Any | Validator::Float64 => true,
                Validator::Union(members) => members.iter().any(may_be_float64),
                _ => false,
            }
        }
        self.any_at_path(path, &|validator| match validator {
            Self::Any => true,
            Self::Array(element) => may_be_float64(element),
            _ => false,
        })
    }

    /// Tells whether `v.id(table)` occurs anywhere inside.
    pub(crate) fn mentions_table(&self, table: &str) -> bool {
        match self {
            Self::Id(name) => name == table,
            Self::Array(element) => element.mentions_table(table),
            Self::Record { keys, values } => {
                keys.mentions_table(table) || values.mentions_table(table)
            }
            Self::Object(object) => object
                .0
                .values()
                .any(|field| field.validator.mentions_table(table)),
            Self::Union(members) => members.iter().any(|member| member.mentions_table(table)),
            _ => false,
        }
    }

    /// Looks for a validator at the path that the predicate likes, looking through unions; `any` has every path.
    fn any_at_path(&self, path: &[String], predicate: &dyn Fn(&Self) -> bool) -> bool {
        match (self, path.split_first()) {
            (Self::Any, _) => true,
            (Self::Union(members), _) => members
                .iter()
                .any(|member| member.any_at_path(path, predicate)),
            (_, None) => predicate(self),
            (Self::Object(object), Some((first, rest))) => object
                .0
                .get(first)
                .is_some_and(|field| field.validator.any_at_path(rest, predicate)),
            (Self::Record { values, .. }, Some((_, rest))) => values.any_at_path(rest, predicate),
            _ => false,
        }
    }
}

impl Literal {
    pub fn as_value_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Int64(number) => ValueRef::Int64(*number),
            Self::Float64(number) => ValueRef::Float64(*number),
            Self::Boolean(flag) => ValueRef::Boolean(*flag),
            Self::String(text) => ValueRef::String(text),
        }
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.as_value_ref() == other.as_value_ref()
    }
}

impl Eq for Literal {}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("v.null()"),
            Self::Float64 => f.write_str("v.float64()"),
            Self::Int64 => f.write_str("v.int64()"),
            Self::CommitTs => f.write_str("v.commitTs()"),
            Self::Boolean => f.write_str("v.boolean()"),
            Self::String => f.write_str("v.string()"),
            Self::Bytes => f.write_str("v.bytes()"),
            Self::Any => f.write_str("v.any()"),
            Self::Id(table) => write!(f, "v.id(\"{table}\")"),
            Self::Literal(literal) => write!(f, "v.literal({literal})"),
            Self::Array(element) => write!(f, "v.array({element})"),
            Self::Record { keys, values } => write!(f, "v.record({keys}, {values})"),
            Self::Object(object) => object.fmt(f),
            Self::Union(members) => {
                f.write_str("v.union(")?;
                for (position, member) in members.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { ", " })?;
                    member.fmt(f)?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for ObjectValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v.object({")?;
        for (position, (name, field)) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { ", " })?;
            let validator = &field.validator;
            if field.is_optional {
                write!(f, "{name}: v.optional({validator})")?;
            } else {
                write!(f, "{name}: {validator}")?;
            }
        }
        f.write_str("})")
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int64(_) => f.write_str("<bigint>"),
            _ => f.write_str(&json::to_clean_string(self.as_value_ref())),
        }
    }
}

#[cfg(test)]
mod tests;
