use std::cmp::Ordering;

use crate::{Object, PackedValue};

/// A Convex value as a tree, for code that takes values apart or builds them.
///
/// Equality and order are the data model's total order, so `0.0 != -0.0`, `NaN == NaN` of the same bits, and every
/// int64 sorts before every float64.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Int64(i64),
    Float64(f64),
    Boolean(bool),
    String(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Object(Object),
    /// The commit timestamp not known yet; only inside a running mutation. Orders as `Int64(i64::MAX)`.
    CommitTs,
}

impl Value {
    /// Returns the packed form.
    pub fn pack(&self) -> PackedValue {
        PackedValue::pack(self)
    }

    /// Returns the accounted size in bytes, the one limits and `getConvexSize` count.
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 1,
            Self::Int64(_) | Self::Float64(_) | Self::CommitTs => 9,
            Self::String(text) => 2 + text.len(),
            Self::Bytes(bytes) => 2 + bytes.len(),
            Self::Array(elements) => 2 + elements.iter().map(Self::size).sum::<usize>(),
            Self::Object(fields) => {
                2 + fields
                    .iter()
                    .map(|(name, v)| name.len() + 1 + v.size())
                    .sum::<usize>()
            }
        }
    }

    /// Returns how many containers are nested in each other: 0 for a scalar, 1 for an empty container.
    pub fn nesting(&self) -> usize {
        match self {
            Self::Array(elements) => 1 + elements.iter().map(Self::nesting).max().unwrap_or(0),
            Self::Object(fields) => 1 + fields.values().map(Self::nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Returns the position of the type in the total order; the placeholder shares the rank of int64.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Int64(_) | Self::CommitTs => 1,
            Self::Float64(_) => 2,
            Self::Boolean(_) => 3,
            Self::String(_) => 4,
            Self::Bytes(_) => 5,
            Self::Array(_) => 6,
            Self::Object(_) => 7,
        }
    }

    fn as_ordered_int64(&self) -> i64 {
        match self {
            Self::Int64(number) => *number,
            _ => i64::MAX,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int64(_) | Self::CommitTs, Self::Int64(_) | Self::CommitTs) => {
                self.as_ordered_int64().cmp(&other.as_ordered_int64())
            }
            (Self::Float64(a), Self::Float64(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Object(a), Self::Object(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

macro_rules! value_from {
    ($($source:ty => $variant:ident),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

value_from! {
    i64 => Int64,
    f64 => Float64,
    bool => Boolean,
    &str => String,
    String => String,
    Vec<u8> => Bytes,
    Vec<Value> => Array,
    Object => Object,
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
