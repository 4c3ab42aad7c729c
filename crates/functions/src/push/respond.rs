//! JSON shapes of push responses (deploy spec 6.4).

use hull_engine::{IndexChange, IndexDiff};
use hull_value::{DocumentId, InternalId, TableNumber};
use serde_json::{Map, Value as Json, json};

/// Table number shown in the ids of schemas (data model spec 3.4).
const SCHEMAS_TABLE: TableNumber = TableNumber(532);

pub(super) fn index_diff(diff: &IndexDiff) -> Json {
    let list = |changes: &[IndexChange]| Json::Array(changes.iter().map(index_change).collect());
    json!({
        "added_indexes": list(&diff.added),
        "removed_indexes": list(&diff.removed),
        "enabled_indexes": list(&diff.enabled),
        "disabled_indexes": list(&diff.disabled),
    })
}

pub(super) fn index_change(change: &IndexChange) -> Json {
    let mut json = change.spec.to_config_json();
    json["name"] = json!(format!("{}.{}", change.table, change.name));
    json["staged"] = json!(change.staged);
    json
}

pub(super) fn schema_id(row: InternalId) -> String {
    DocumentId::new(SCHEMAS_TABLE, row).to_string()
}

pub(super) fn parse_schema_id(id: &str) -> Option<InternalId> {
    DocumentId::parse(id)
        .ok()
        .filter(|id| id.table == SCHEMAS_TABLE)
        .map(|id| id.internal)
}

pub(super) fn schema_change(row: Option<InternalId>, diff: &IndexDiff) -> Json {
    json!({
        "allocatedComponentIds": {},
        "schemaIds": { "": row.map(schema_id) },
        "indexDiffs": { "": index_diff(diff) },
    })
}

/// Routes for the component tree: `[{path, method}]`.
pub(super) fn routes(http_routes: Option<&Json>) -> Json {
    match http_routes.and_then(Json::as_array) {
        Some(routes) => Json::Array(routes.iter().map(|route| route["route"].clone()).collect()),
        None => Json::Null,
    }
}

/// The definition with keys that may not be null left out.
pub(super) fn definition(mut definition: Json) -> Json {
    if let Some(fields) = definition.as_object_mut() {
        if fields.get("httpPrefix").is_some_and(Json::is_null) {
            fields.remove("httpPrefix");
        }
        for (key, empty) in [
            ("childComponents", json!([])),
            ("httpMounts", Json::Object(Map::new())),
            ("exports", json!({ "type": "branch", "branch": [] })),
        ] {
            fields.entry(key).or_insert(empty);
        }
    }
    definition
}
