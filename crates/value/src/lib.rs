//! Values, their total order and index keys, ids, JSON forms, packed documents, validators and schemas.
//!
//! This crate is the vocabulary every other crate speaks. It is deliberately **not** a place for anything that does IO,
//! reads a clock, draws randomness or knows about tables that exist: what it needs from outside comes in as arguments
//! (for instance [`TableNames`]).
//!
//! Start reading at [`Value`] (the tree), then [`PackedValue`] (the stored and transported bytes) and [`ValueRef`]
//! (the view into them). [`json`] and [`keys`] are the two encodings built on the view.
//!
//! Invariants:
//! * A [`PackedValue`] always holds well-formed canonical bytes; whoever makes one has checked them, or vouches for
//!   having stored them so.
//! * Lexicographic order of [`keys`] bytes, `Ord` of [`Value`] and `Ord` of [`ValueRef`] are one and the same order.
//! * Nothing read from outside is nested deeper than [`limits::NESTING_MAX`], and no packed value deeper than
//!   [`limits::PACKED_NESTING_MAX`], so recursion over values is bounded.

mod corrupt;
mod error;
mod function_validators;
mod id;
pub mod json;
pub mod keys;
pub mod limits;
mod names;
mod object;
mod packed;
mod packer;
mod raw;
mod render;
mod schema;
mod table_names;
mod timestamp;
mod validator;
mod value;
mod value_ref;

pub use corrupt::CorruptValue;
pub use error::{CodedError, ErrorClass};
pub use function_validators::{ArgsValidator, ReturnsValidator};
pub use id::{DocumentId, IdDecodeError, InternalId, TableNumber};
pub use json::JsonValueError;
pub use names::{FieldPath, check_field_name, check_identifier};
pub use object::Object;
pub use packed::PackedValue;
pub use packer::Packer;
pub use render::{format_size, render};
pub use schema::{IndexSpec, Schema, TableSchema};
pub use table_names::{TableKind, TableNames};
pub use timestamp::Timestamp;
pub use validator::{FieldValidator, Literal, ObjectValidator, ValidationError, Validator};
pub use value::Value;
pub use value_ref::{ArrayRef, ObjectRef, ValueRef};
