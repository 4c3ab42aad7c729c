//! Reading and building rows.

use hull_value::{Object, PackedValue, Value, ValueRef};

/// Returns a field of an object, `None` when absent or when `row` is no object.
pub fn field<'a>(row: ValueRef<'a>, name: &str) -> Option<ValueRef<'a>> {
    match row {
        ValueRef::Object(object) => object.get(name),
        _ => None,
    }
}

/// Returns a string field.
pub fn text<'a>(row: ValueRef<'a>, name: &str) -> Option<&'a str> {
    match field(row, name) {
        Some(ValueRef::String(text)) => Some(text),
        _ => None,
    }
}

/// Returns an int64 field.
pub fn int(row: ValueRef<'_>, name: &str) -> Option<i64> {
    match field(row, name) {
        Some(ValueRef::Int64(n)) => Some(n),
        _ => None,
    }
}

/// Returns a boolean field.
pub fn boolean(row: ValueRef<'_>, name: &str) -> Option<bool> {
    match field(row, name) {
        Some(ValueRef::Boolean(b)) => Some(b),
        _ => None,
    }
}

/// Builds a row of a system table.
pub fn row<const N: usize>(fields: [(&str, Value); N]) -> PackedValue {
    let object: Object = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    PackedValue::pack(&Value::Object(object))
}

/// Whether a commit-timestamp placeholder occurs anywhere in `value`.
pub(crate) fn has_commit_ts(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::CommitTs => true,
        ValueRef::Array(items) => items.iter().any(has_commit_ts),
        ValueRef::Object(object) => object.iter().any(|(_, value)| has_commit_ts(value)),
        _ => false,
    }
}

/// Replaces every commit-timestamp placeholder (data model spec 5.6).
pub fn resolve_commit_ts(value: &mut Value, ts: i64) {
    match value {
        Value::CommitTs => *value = Value::Int64(ts),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| resolve_commit_ts(item, ts)),
        Value::Object(object) => {
            let names: Vec<String> = object.keys().cloned().collect();
            for name in names {
                if let Some(value) = object.get_mut(&name) {
                    resolve_commit_ts(value, ts);
                }
            }
        }
        _ => {}
    }
}
