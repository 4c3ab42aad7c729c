//! JSON shapes of push responses (deploy spec 6.4).

use hull_engine::{
    IndexChange, IndexChangeKind, IndexDiff, SchemaPrediction, StagedValidator,
    StagedValidatorState, TableOutcome, Upkeep,
};
use hull_value::{DocumentId, InternalId, Schema, TableNumber};
use serde_json::{Map, Value as Json, json};

use super::start::SchemaChange;

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

pub(super) fn schema_change(change: &SchemaChange) -> Json {
    let rows = change.schema_rows.iter();
    let rows = rows.map(|(path, row)| (path.clone(), json!(row.map(schema_id))));
    let diffs = change.diffs.iter();
    let diffs = diffs.map(|(path, diff)| (path.clone(), index_diff(diff)));
    json!({
        "allocatedComponentIds": change.component_ids,
        "schemaIds": rows.collect::<Map<_, _>>(),
        "indexDiffs": diffs.collect::<Map<_, _>>(),
    })
}

/// What a push of `schema` would do, for the checks the CLI makes before it (deploy spec 6.8).
pub(super) fn schema_evaluation(
    schema: &Schema,
    prediction: &SchemaPrediction,
    upkeep: &Upkeep,
) -> Json {
    let staged_state = |staged: &StagedValidator, documents: u64| match &staged.state {
        StagedValidatorState::Pending => json!({
            "state": "pending",
            "numDocsValidated": upkeep.documents_checked_staged(staged),
            "totalDocs": documents,
        }),
        StagedValidatorState::Valid => json!({ "state": "valid" }),
        StagedValidatorState::Failed { error } => json!({ "state": "failed", "error": error }),
    };
    let documents_of = |name: &str| {
        let mut tables = prediction.tables.iter();
        let table = tables.find(|table| table.name == name);
        table.map_or(Json::Null, |table| json!(table.documents))
    };
    let tables = prediction.tables.iter().map(|table| {
        let mut json = json!({
            "name": table.name,
            "outcome": match table.outcome {
                TableOutcome::NotValidated => "notValidated",
                TableOutcome::SupersetOfEnforced => "supersetOfEnforced",
                TableOutcome::SupersetOfStagedValidated => "supersetOfStagedValidated",
                TableOutcome::SupersetOfShape => "supersetOfShape",
                TableOutcome::MustWalk => "mustWalk",
            },
            "numDocs": table.documents,
            "sizeBytes": table.size_bytes,
            "canSkipAfterStagedValidation": table.can_skip_after_staged_validation,
        });
        if let Some(staged) = &table.staged {
            json["staged"] = staged_state(staged, table.documents);
        }
        json
    });
    let indexes = prediction.indexes.iter().map(|index| {
        let mut json = index_change(&index.index);
        // Shown to people, who did not write the implicit field.
        if let Some(fields) = json.get_mut("fields").and_then(Json::as_array_mut) {
            fields.retain(|field| field != "_creationTime");
        }
        json["change"] = json!(match index.change {
            IndexChangeKind::Added => "added",
            IndexChangeKind::Identical => "identical",
            IndexChangeKind::Enabled => "enabled",
            IndexChangeKind::Disabled => "disabled",
            IndexChangeKind::Dropped => "dropped",
        });
        json["needsBackfill"] = json!(index.needs_backfill);
        json["numDocs"] = json!(index.documents);
        json
    });
    let discarded = prediction.discarded.iter().map(|discarded| {
        let mut state = staged_state(&discarded.staged, 0);
        if state.get("totalDocs").is_some() {
            state["totalDocs"] = documents_of(&discarded.table);
        }
        json!({
            "tableName": discarded.table,
            "state": state,
            "replaced": discarded.replaced,
        })
    });
    json!({
        "definitionPath": "",
        "schemaValidation": schema.schema_validation,
        "tables": tables.collect::<Vec<_>>(),
        "indexes": indexes.collect::<Vec<_>>(),
        "discardedStagedValidators": discarded.collect::<Vec<_>>(),
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
