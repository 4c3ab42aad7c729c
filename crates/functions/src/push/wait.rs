use std::time::Duration;

use hull_engine::{Metadata, Namespace, SchemaState};
use hull_value::{CodedError, InternalId};
use serde_json::{Value as Json, json};

use super::respond;
use crate::deployment::Deployment;

/// How a submitted schema and its indexes are doing.
enum Progress {
    Complete,
    Running {
        schema_complete: bool,
        indexes_complete: usize,
        indexes_total: usize,
    },
    Failed {
        error: String,
        table: Option<String>,
    },
    Overwritten,
}

impl Deployment {
    /// Waits until a submitted schema is checked and its indexes are built, or for `timeout`.
    pub async fn wait_for_schema(
        &self,
        schema_change: Json,
        timeout: Duration,
        dry_run: bool,
    ) -> Result<Json, CodedError> {
        let deadline = tokio::time::Instant::now() + timeout;
        let row = match schema_change["schemaIds"][""].as_str() {
            Some(id) if !dry_run => Some(respond::parse_schema_id(id).ok_or_else(|| {
                CodedError::bad_request(
                    "InvalidSchemaId",
                    format!("\"{id}\" is not the id of a schema."),
                )
            })?),
            _ => None,
        };
        let Some(row) = row else {
            return Ok(json!({ "type": "complete" }));
        };
        self.upkeep().wake();
        let mut is_late = false;
        loop {
            let changed = self.metadata_changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match look(&self.runner().engine.metadata(), row) {
                Progress::Complete => return Ok(json!({ "type": "complete" })),
                Progress::Failed { error, table } => {
                    return Ok(json!({
                        "type": "failed", "error": error, "componentPath": "", "tableName": table,
                    }));
                }
                Progress::Overwritten => return Ok(json!({ "type": "raceDetected" })),
                Progress::Running {
                    schema_complete,
                    indexes_complete,
                    indexes_total,
                } if is_late => {
                    return Ok(json!({
                        "type": "inProgress",
                        "components": { "": {
                            "schemaValidationComplete": schema_complete,
                            "indexesComplete": indexes_complete,
                            "indexesTotal": indexes_total,
                        } },
                    }));
                }
                Progress::Running { .. } => {}
            }
            // Late or not, the answer is how things are then.
            is_late = tokio::time::timeout_at(deadline, changed).await.is_err();
        }
    }
}

fn look(metadata: &Metadata, row: InternalId) -> Progress {
    let schema_complete = match metadata.schema_state(row) {
        Some(SchemaState::Active | SchemaState::Validated) => true,
        Some(SchemaState::Pending) => false,
        Some(SchemaState::Failed { error, table }) => return Progress::Failed { error, table },
        Some(SchemaState::Overwritten) | None => return Progress::Overwritten,
    };
    let indexes = metadata.index_progress(Namespace::ROOT);
    if schema_complete && indexes.complete == indexes.total {
        return Progress::Complete;
    }
    Progress::Running {
        schema_complete,
        indexes_complete: indexes.complete,
        indexes_total: indexes.total,
    }
}
