use hull_store::Order;
use hull_value::{FieldPath, PackedValue};

use super::Filter;

/// Operators one query may chain.
pub const OPERATORS_MAX: usize = 256;

/// A query object as functions send it, checked for form.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub source: Source,
    /// Applied to each row in this order; at most [`OPERATORS_MAX`].
    pub operators: Vec<Operator>,
}

/// Where the rows of a query come from, and in which order.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The whole table in order of creation.
    FullTableScan { table: String, order: Order },
    IndexRange {
        table: String,
        index: String,
        order: Order,
        range: Vec<RangeExpression>,
    },
    /// Text search, best matches first.
    Search {
        table: String,
        index: String,
        filters: Vec<SearchFilter>,
    },
}

/// A value an index key or filter is compared with; `None` is `undefined`.
pub type Bound = Option<PackedValue>;

/// One comparison of an index range.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeExpression {
    pub operator: RangeOperator,
    pub field: FieldPath,
    pub value: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOperator {
    Eq,
    Gt,
    Gte,
    Lt,
    Lte,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SearchFilter {
    Search { field: FieldPath, text: String },
    Eq { field: FieldPath, value: Bound },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// Keeps the rows for which the expression is true.
    Filter(Filter),
    /// Ends the query after so many rows have come this far.
    Limit(usize),
}

impl Source {
    /// Table and index that the rows come from.
    pub fn names(&self) -> (&str, &str) {
        match self {
            Self::FullTableScan { table, .. } => (table, "by_creation_time"),
            Self::IndexRange { table, index, .. } | Self::Search { table, index, .. } => {
                (table, index)
            }
        }
    }
}

impl RangeOperator {
    /// The operator as error texts print it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
        }
    }
}
