//! Limits on values that users can see, with the checks and their texts.

use crate::{CodedError, ObjectRef, ValueRef, format_size, render};

/// Largest size of any value, in accounted bytes ([`ValueRef::size`]).
pub const VALUE_SIZE_MAX_BYTES: usize = 32 << 20;
/// Deepest nesting of any value; a scalar has 0.
pub const NESTING_MAX: usize = 64;
/// Most elements of an array.
pub const ARRAY_LEN_MAX: usize = 8192;
/// Most fields of an object.
pub const OBJECT_FIELDS_MAX: usize = 1024;
/// Longest field name of any object, in bytes.
pub const FIELD_NAME_LEN_MAX: usize = 1024;
/// Longest identifier (table, index, validator field, path segment), in bytes.
pub const IDENTIFIER_LEN_MAX: usize = 64;
/// Largest size of a user document, system fields included.
pub const DOCUMENT_SIZE_MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of a document.
pub const DOCUMENT_NESTING_MAX: usize = 16;
/// Most user fields in one index.
pub const INDEX_FIELDS_MAX: usize = 16;
/// Most filter fields of a search or vector index.
pub const INDEX_FILTER_FIELDS_MAX: usize = 16;
/// Most indexes of all kinds, staged ones included, of one table.
pub const TABLE_INDEXES_MAX: usize = 64;
/// Allowed dimensions of a vector index.
pub const VECTOR_DIMENSIONS: std::ops::RangeInclusive<u32> = 2..=4096;

/// Deepest nesting the packed form can hold. Larger than [`NESTING_MAX`] because the server wraps user values in
/// records of its own; it bounds recursion over stored bytes.
pub const PACKED_NESTING_MAX: usize = 128;

pub(crate) fn too_large(size_bytes: usize, limit_bytes: usize) -> CodedError {
    CodedError::bad_request(
        "ValueTooLargeError",
        format!(
            "Value is too large ({} > maximum size {})",
            format_size(size_bytes),
            format_size(limit_bytes)
        ),
    )
}

pub(crate) fn too_nested(nesting: usize) -> CodedError {
    CodedError::bad_request(
        "TooNestedError",
        format!(
            "Value is too nested (nested {nesting} levels deep > maximum nesting {NESTING_MAX})"
        ),
    )
}

pub(crate) fn array_too_long(len: usize) -> CodedError {
    CodedError::bad_request(
        "ArrayTooLong",
        format!("Array length is too long ({len} > maximum length {ARRAY_LEN_MAX})"),
    )
}

pub(crate) fn too_many_fields(count: usize) -> CodedError {
    CodedError::bad_request(
        "TooManyFieldsError",
        format!("Object has too many fields ({count} > maximum number {OBJECT_FIELDS_MAX})"),
    )
}

/// What the limits on documents are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentShape {
    pub size_bytes: usize,
    pub nesting: usize,
}

/// Checks that a document (system fields included) may be stored in a user table.
pub fn check_document(document: ObjectRef<'_>) -> Result<DocumentShape, CodedError> {
    let invalid = |reason: String| {
        let rendered = render(ValueRef::Object(document));
        let message = format!("Document(value: {rendered}) isn't a valid document: {reason}");
        CodedError::bad_request("InvalidDocumentError", message)
    };
    if document.len() > OBJECT_FIELDS_MAX {
        return Err(too_many_fields(document.len()));
    }
    if let Some(name) = document
        .keys()
        .find(|name| name.starts_with('_') && !is_system_field(name))
    {
        return Err(invalid(format!(
            "Field '{name}' starts with an underscore, which is only allowed for system fields like '_id'"
        )));
    }
    let value = ValueRef::Object(document);
    let nesting = value.nesting();
    if nesting > DOCUMENT_NESTING_MAX {
        return Err(invalid(format!(
            "Document is too nested (nested {nesting} levels deep > maximum nesting {DOCUMENT_NESTING_MAX})"
        )));
    }
    let size_bytes = value.size();
    if size_bytes > DOCUMENT_SIZE_MAX_BYTES {
        return Err(too_large(size_bytes, DOCUMENT_SIZE_MAX_BYTES));
    }
    Ok(DocumentShape {
        size_bytes,
        nesting,
    })
}

fn is_system_field(name: &str) -> bool {
    matches!(name, "_id" | "_creationTime")
}
