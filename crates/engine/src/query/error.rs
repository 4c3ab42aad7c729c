//! The texts and codes of query errors, in one place: clients match on some.

use hull_value::{CodedError, FieldPath, Object, PackedValue, Value};

use super::RangeExpression;

/// Renders a value, or `undefined` where there is none.
pub(super) fn render(value: Option<hull_value::ValueRef<'_>>) -> String {
    value.map_or_else(|| "undefined".to_owned(), hull_value::render)
}

/// A query object that the library could not have produced.
pub(super) fn malformed(cause: impl std::fmt::Display) -> CodedError {
    CodedError::bad_request("InvalidQuery", format!("Invalid query: {cause}"))
}

pub(super) fn too_many_operators(max: usize) -> CodedError {
    CodedError::bad_request(
        "TooManyQueryOperators",
        format!("Can't construct query with more than {max} operators"),
    )
}

pub(super) fn search_not_built(table: &str, index: &str) -> CodedError {
    CodedError::bad_request(
        "TextSearchNotImplemented",
        format!("Text search is not implemented yet: cannot query search index {table}.{index}."),
    )
}

pub(super) fn index_not_found(full_name: &str) -> CodedError {
    CodedError::bad_request(
        "IndexNotFoundError",
        format!("Index {full_name} not found."),
    )
}

pub(super) fn already_defined_bound(kind: &str, expression: &RangeExpression) -> CodedError {
    let RangeExpression {
        operator,
        field,
        value,
    } = expression;
    CodedError::bad_request(
        "AlreadyDefinedBound",
        format!(
            "Already defined {kind} bound in index range. Can't add \"{field}\" {} {}.",
            operator.symbol(),
            render(value.as_ref().map(PackedValue::as_ref)),
        ),
    )
}

pub(super) fn bounds_on_multiple_fields(
    index: &str,
    first: &FieldPath,
    second: &FieldPath,
) -> CodedError {
    CodedError::bad_request(
        "BoundsOnMultipleFields",
        format!(
            "Upper and lower bounds in `range` can only be applied to a single index field. This query against index {index} attempted to set a range bound on both \"{first}\" and \"{second}\". Consider using `filter` instead. See https://docs.convex.dev/using/indexes for more info."
        ),
    )
}

pub(super) fn field_not_in_index(
    index: &str,
    fields: &[FieldPath],
    field: &FieldPath,
) -> CodedError {
    CodedError::bad_request(
        "FieldNotInIndex",
        format!(
            "The index range included a comparison with \"{field}\", but {index} with fields {} doesn't index this field. For more information see https://docs.convex.dev/using/indexes.",
            field_list(fields),
        ),
    )
}

pub(super) fn invalid_index_range(
    index: &str,
    fields: &[FieldPath],
    query_fields: &[FieldPath],
    first_incorrect: &FieldPath,
) -> CodedError {
    CodedError::bad_request(
        "InvalidIndexRange",
        format!(
            "Tried to query index {index} but the query didn't use the index fields in order.\nIndex fields: {}\nQuery fields: {}\nFirst incorrect field: \"{first_incorrect}\"\nFor more information see https://docs.convex.dev/using/indexes.",
            field_list(fields),
            field_list(query_fields),
        ),
    )
}

pub(super) fn evaluation(message: String) -> CodedError {
    CodedError::bad_request("EvalError", message)
}

/// A cursor of another query, or no cursor at all.
///
/// `usePaginatedQuery` starts its list again when it finds `InvalidCursor` in
/// the message or `paginationError` in the data.
pub(super) fn invalid_cursor(cause: &str) -> CodedError {
    let data: Object = [
        ("isConvexSystemError".to_owned(), Value::Boolean(true)),
        (
            "paginationError".to_owned(),
            Value::String("InvalidCursor".to_owned()),
        ),
    ]
    .into_iter()
    .collect();
    CodedError {
        data: Some(PackedValue::pack(&Value::Object(data))),
        ..CodedError::bad_request("InvalidCursor", format!("InvalidCursor: {cause}"))
    }
}

/// `["a", "b.c"]`
fn field_list(fields: &[FieldPath]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| format!("\"{field}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
