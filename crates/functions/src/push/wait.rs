use std::time::Duration;

use hull_engine::{Metadata, Namespace, SchemaState};
use hull_value::{CodedError, InternalId};
use serde_json::{Map, Value as Json, json};

use super::respond;
use crate::clock;
use crate::components;
use crate::deployment::Deployment;

/// How a submitted schema and its indexes are doing.
enum Progress {
    Complete(Json),
    Running(Json),
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
        if dry_run {
            return Ok(json!({ "type": "complete" }));
        }
        let submitted = self.submitted(&schema_change)?;
        if submitted.is_empty() {
            return Ok(json!({ "type": "complete" }));
        }
        self.upkeep().wake();
        let mut is_late = false;
        loop {
            let changed = self.metadata_changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let metadata = self.runner().engine.metadata();
            let mut is_complete = true;
            let mut components = Map::new();
            for (path, namespace, row) in &submitted {
                let progress = match look(&metadata, *namespace, *row) {
                    Progress::Failed { error, table } => {
                        return Ok(json!({
                            "type": "failed", "error": error, "componentPath": path, "tableName": table,
                        }));
                    }
                    Progress::Overwritten => return Ok(json!({ "type": "raceDetected" })),
                    Progress::Running(progress) => {
                        is_complete = false;
                        progress
                    }
                    Progress::Complete(progress) => progress,
                };
                components.insert(path.clone(), progress);
            }
            if is_complete {
                return Ok(json!({ "type": "complete" }));
            }
            if is_late {
                return Ok(json!({ "type": "inProgress", "components": components }));
            }
            // Late or not, the answer is how things are then.
            is_late = tokio::time::timeout_at(deadline, changed).await.is_err();
        }
    }
}

impl Deployment {
    /// The schemas a push has submitted, with the components they are of.
    fn submitted(
        &self,
        schema_change: &Json,
    ) -> Result<Vec<(String, Namespace, InternalId)>, CodedError> {
        let mut transaction = self.runner().engine.begin(&clock::begin_context())?;
        let mut submitted = Vec::new();
        let ids = schema_change["schemaIds"].as_object();
        for (path, id) in ids.into_iter().flatten() {
            let Some(id) = id.as_str() else { continue };
            let row = respond::parse_schema_id(id).ok_or_else(|| {
                CodedError::bad_request(
                    "InvalidSchemaId",
                    format!("\"{id}\" is not the id of a schema."),
                )
            })?;
            let namespace = match path.as_str() {
                "" => Namespace::ROOT,
                path => match components::read(&mut transaction, path)? {
                    Some(stored) => stored.component.namespace,
                    None => {
                        return Err(CodedError::bad_request(
                            "ComponentPathNotFound",
                            format!("Component path '{path}' not found"),
                        ));
                    }
                },
            };
            submitted.push((path.clone(), namespace, row));
        }
        Ok(submitted)
    }
}

fn look(metadata: &Metadata, namespace: Namespace, row: InternalId) -> Progress {
    let schema_complete = match metadata.schema_state(row) {
        Some(SchemaState::Active | SchemaState::Validated) => true,
        Some(SchemaState::Pending) => false,
        Some(SchemaState::Failed { error, table }) => return Progress::Failed { error, table },
        Some(SchemaState::Overwritten) | None => return Progress::Overwritten,
    };
    let indexes = metadata.index_progress(namespace);
    let progress = json!({
        "schemaValidationComplete": schema_complete,
        "indexesComplete": indexes.complete,
        "indexesTotal": indexes.total,
    });
    if schema_complete && indexes.complete == indexes.total {
        Progress::Complete(progress)
    } else {
        Progress::Running(progress)
    }
}
