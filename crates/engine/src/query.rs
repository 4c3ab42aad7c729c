//! Queries over one table: the query object functions send, and running it.
//!
//! A query is parsed once ([`Query::parse`]), its index range compiled to one
//! byte interval ([`compile_range`]), and then pulled row by row
//! ([`QueryStream`]) or read as a page ([`paginate`]). Rows come from a
//! [`QuerySource`], which is the running transaction; nothing here holds a
//! borrow of it between two calls.
//!
//! Read recording (see [`scan`] for the exact rule): only what was consumed is
//! recorded, from the edge of the query's interval through the last row handed
//! over, and the whole interval once it is exhausted.

mod ast;
mod cursor;
mod error;
mod evaluate;
mod filter;
mod fingerprint;
mod id_range;
mod json_value;
mod paginate;
mod parse;
mod pipeline;
mod range;
pub mod scan;
mod source;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use ast::{
    Bound, OPERATORS_MAX, Operator, Query, RangeExpression, RangeOperator, SearchFilter, Source,
};
pub use cursor::{CursorCodec, UndecodableCursor};
pub use filter::{Arithmetic, Comparison, Filter};
pub use id_range::compile_id_range;
pub use paginate::{PAGE_SIZE_MAX, Page, PageRequest, PageStatus, paginate};
pub use range::compile_range;
pub use source::{IndexedDocument, QuerySource, ReadLimits, ResolvedIndex};
pub use stream::QueryStream;
