use std::time::Duration;

use hull_engine::{Namespace, SchemaState, Transaction};
use hull_value::{CodedError, InternalId};
use serde_json::{Value as Json, json};

use super::respond;
use crate::clock;
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
        loop {
            let progressed = self.upkeep().progressed.notified();
            tokio::pin!(progressed);
            progressed.as_mut().enable();
            let runner = self.runner().clone();
            let progress = self
                .on_worker(move || {
                    let mut transaction = runner.engine.begin(&clock::begin_context())?;
                    look(&mut transaction, row)
                })
                .await??;
            let (schema_complete, indexes_complete, indexes_total) = match progress {
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
                } => (schema_complete, indexes_complete, indexes_total),
            };
            if tokio::time::timeout_at(deadline, progressed).await.is_err() {
                return Ok(json!({
                    "type": "inProgress",
                    "components": { "": {
                        "schemaValidationComplete": schema_complete,
                        "indexesComplete": indexes_complete,
                        "indexesTotal": indexes_total,
                    } },
                }));
            }
        }
    }
}

fn look(transaction: &mut Transaction, row: InternalId) -> Result<Progress, CodedError> {
    let state = transaction.schema_state(row)?;
    let indexes = transaction.index_progress(Namespace::ROOT);
    let schema_complete = match state {
        Some(SchemaState::Active | SchemaState::Validated) => true,
        Some(SchemaState::Pending) => false,
        Some(SchemaState::Failed { error, table }) => return Ok(Progress::Failed { error, table }),
        Some(SchemaState::Overwritten) | None => return Ok(Progress::Overwritten),
    };
    if schema_complete && indexes.complete == indexes.total {
        return Ok(Progress::Complete);
    }
    Ok(Progress::Running {
        schema_complete,
        indexes_complete: indexes.complete,
        indexes_total: indexes.total,
    })
}
