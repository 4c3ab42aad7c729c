//! Schemas and indexes of a push: what changes, and the steps from submitted
//! to active (data model spec 4.5, 5.5).

use std::sync::Arc;

use hull_value::{CodedError, IndexSpec, InternalId, Schema, TableSchema, Validator, Value};

use crate::document;
use crate::metadata::{IndexInfo, IndexState, Metadata, Namespace, SchemaState, TableInfo};
use crate::staged_validators::StagedValidatorState;
use crate::system;
use crate::transaction::Transaction;

/// How the indexes of a namespace differ from a schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexDiff {
    /// Not there yet, or there but not serving reads yet.
    pub added: Vec<IndexChange>,
    pub removed: Vec<IndexChange>,
    /// Staged before, wanted for reads now.
    pub enabled: Vec<IndexChange>,
    /// Serving reads before, staged now.
    pub disabled: Vec<IndexChange>,
    pub identical: Vec<IndexChange>,
}

/// One index in an [`IndexDiff`].
#[derive(Clone, Debug, PartialEq)]
pub struct IndexChange {
    pub table: String,
    pub name: String,
    pub spec: IndexSpec,
    pub staged: bool,
}

/// How far the indexes of a namespace are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexProgress {
    pub complete: usize,
    pub total: usize,
}

impl Metadata {
    /// Counts the indexes a push has to wait for.
    pub fn index_progress(&self, namespace: Namespace) -> IndexProgress {
        let mut progress = IndexProgress::default();
        for table in self.tables().filter(|table| table.namespace == namespace) {
            for index in table
                .indexes
                .iter()
                .filter(|index| is_declared(index) && !index.staged)
            {
                progress.total += 1;
                progress.complete += usize::from(index.state != IndexState::Backfilling);
            }
        }
        progress
    }

    /// State of a submitted schema, `None` if there is no such row (any more).
    pub fn schema_state(&self, row: InternalId) -> Option<SchemaState> {
        let (_, value) = self.row(system::SCHEMAS, row)?;
        SchemaState::of_row(value.as_ref())
    }
}

impl Transaction {
    /// Makes the tables and (still building) indexes a schema asks for and
    /// removes pending indexes it no longer asks for. Indexes that serve reads
    /// are left alone until [`finish_indexes`](Self::finish_indexes).
    pub fn prepare_indexes(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
    ) -> Result<IndexDiff, CodedError> {
        for table in schema.tables.keys() {
            self.table_or_create(namespace, table)?;
        }
        let diff = self.diff_indexes(namespace, schema);
        for change in &diff.added {
            let table = self.table_or_create(namespace, &change.table)?;
            let pending = table.indexes.iter().find(|index| {
                index.name == change.name
                    && index.spec == change.spec
                    && index.state != IndexState::Deleting
            });
            match pending {
                Some(pending) if pending.staged != change.staged => {
                    self.set_index_state(&pending.clone(), pending.state, change.staged)?;
                }
                Some(_) => {}
                None => {
                    let state = match change.spec {
                        IndexSpec::Database { .. } => IndexState::Backfilling,
                        // Text and vector indexes hold nothing yet; queries on them say so.
                        _ => IndexState::Backfilled,
                    };
                    self.add_index(
                        table.tablet,
                        &change.name,
                        &change.spec,
                        state,
                        change.staged,
                    )?;
                }
            }
        }
        for change in diff.enabled.iter().chain(&diff.disabled) {
            if let Some(index) = self.stored_index(namespace, change) {
                self.set_index_state(&index, index.state, change.staged)?;
            }
        }
        for index in self.unwanted_indexes(namespace, schema) {
            if index.state != IndexState::Enabled && !index.staged {
                self.set_index_state(&index, IndexState::Deleting, false)?;
            }
        }
        Ok(diff)
    }

    /// The last step of a push, after its schema was activated: built indexes
    /// begin to serve reads, dropped ones go.
    pub fn finish_indexes(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
    ) -> Result<IndexDiff, CodedError> {
        let diff = self.diff_indexes(namespace, schema);
        for change in diff
            .added
            .iter()
            .chain(&diff.enabled)
            .chain(&diff.disabled)
            .chain(&diff.identical)
        {
            let Some(index) = self.stored_index(namespace, change) else {
                return Err(CodedError::bad_request(
                    "RaceDetected",
                    format!(
                        "Index {}.{} was changed by another push.",
                        change.table, change.name
                    ),
                ));
            };
            match (index.state, change.staged) {
                (IndexState::Backfilled, false) => {
                    self.set_index_state(&index, IndexState::Enabled, false)?
                }
                (IndexState::Enabled, true) => {
                    self.set_index_state(&index, IndexState::Backfilled, true)?
                }
                (IndexState::Backfilling, false) => {
                    return Err(CodedError::bad_request(
                        "IndexNotReady",
                        format!(
                            "Index {}.{} is still being built.",
                            change.table, change.name
                        ),
                    ));
                }
                _ => {}
            }
        }
        // Another push may be on its way: what it is building is its own.
        let metadata = self.metadata.clone();
        let pending = metadata
            .pending_schema(namespace)
            .map(|slot| slot.schema.clone());
        for index in self.unwanted_indexes(namespace, schema) {
            let is_building = index.state != IndexState::Enabled
                && (pending.as_ref()).is_some_and(|pending| declares(pending, &metadata, &index));
            if !is_building {
                self.set_index_state(&index, IndexState::Deleting, false)?;
            }
        }
        Ok(diff)
    }

    /// Compares the stored indexes of a namespace with those of a schema.
    pub fn diff_indexes(&mut self, namespace: Namespace, schema: &Schema) -> IndexDiff {
        self.record_schema_of(namespace);
        let mut diff = IndexDiff::default();
        for (table, table_schema) in &schema.tables {
            for (name, spec, staged) in all_indexes(table_schema) {
                let change = IndexChange {
                    table: table.clone(),
                    name: name.to_owned(),
                    spec: spec.clone(),
                    staged,
                };
                match self.stored_index(namespace, &change) {
                    None => diff.added.push(change),
                    Some(stored) => match (stored.staged, staged, stored.state) {
                        (true, false, _) => diff.enabled.push(change),
                        (false, true, IndexState::Enabled) => diff.disabled.push(change),
                        (false, false, IndexState::Enabled) | (true, true, _) => {
                            diff.identical.push(change)
                        }
                        _ => diff.added.push(change),
                    },
                }
            }
        }
        for index in self.unwanted_indexes(namespace, schema) {
            if index.state == IndexState::Enabled || index.staged {
                let table = self
                    .metadata()
                    .table(index.tablet)
                    .map(|table| table.name.clone())
                    .unwrap_or_default();
                diff.removed.push(IndexChange {
                    table,
                    name: index.name.clone(),
                    spec: index.spec.clone(),
                    staged: index.staged,
                });
            }
        }
        diff.removed
            .sort_by(|a, b| (&a.table, &a.name).cmp(&(&b.table, &b.name)));
        diff
    }

    /// Submits a schema for validation and returns its row (data model spec 5.5).
    pub fn submit_schema(
        &mut self,
        namespace: Namespace,
        schema: &Schema,
    ) -> Result<InternalId, CodedError> {
        self.record_schema_of(namespace);
        let metadata = self.metadata.clone();
        let pending = metadata.pending_schema(namespace);
        if let Some(active) = metadata.active_schema(namespace)
            && *active.schema == *schema
        {
            if let Some(pending) = pending {
                self.set_schema_state(pending.row, &SchemaState::Overwritten)?;
            }
            return Ok(active.row);
        }
        if let Some(pending) = pending {
            if *pending.schema == *schema {
                return Ok(pending.row);
            }
            self.set_schema_state(pending.row, &SchemaState::Overwritten)?;
        }
        let row = self.new_id();
        let value = schema_row(
            namespace,
            &schema.to_json().to_string(),
            &SchemaState::Pending,
        );
        self.put_system_row(system::SCHEMAS, row, Some(value))?;
        Ok(row)
    }

    /// State of a submitted schema, `None` if there is no such row.
    pub fn schema_state(&mut self, row: InternalId) -> Result<Option<SchemaState>, CodedError> {
        let value = self.system_row(system::SCHEMAS, row)?;
        Ok(value.and_then(|value| SchemaState::of_row(value.as_ref())))
    }

    /// Makes a validated schema the one that writes are checked against, `None` for no schema at all.
    pub fn activate_schema(
        &mut self,
        namespace: Namespace,
        row: Option<InternalId>,
    ) -> Result<(), CodedError> {
        self.record_schema_of(namespace);
        let metadata = self.metadata.clone();
        let active = metadata.active_schema(namespace);
        if active.map(|slot| slot.row) == row {
            return Ok(());
        }
        if let Some(row) = row {
            match self.schema_state(row)? {
                Some(SchemaState::Validated) => {}
                Some(SchemaState::Failed { error, .. }) => {
                    return Err(CodedError::bad_request(
                        "SchemaAlreadyFailed",
                        format!("Schema has already been failed with error: {error}"),
                    ));
                }
                Some(SchemaState::Pending) => {
                    return Err(CodedError::bad_request(
                        "SchemaNotValidated",
                        "Schema is still being validated.",
                    ));
                }
                _ => {
                    return Err(CodedError::bad_request(
                        "SchemaAlreadyOverwritten",
                        "Schema has already been overwritten.",
                    ));
                }
            }
        }
        if let Some(active) = active {
            self.set_schema_state(active.row, &SchemaState::Overwritten)?;
        }
        if let Some(row) = row {
            self.set_schema_state(row, &SchemaState::Active)?;
        }
        Ok(())
    }

    pub(crate) fn fail_schema(
        &mut self,
        row: InternalId,
        error: String,
        table: Option<String>,
    ) -> Result<(), CodedError> {
        self.set_schema_state(row, &SchemaState::Failed { error, table })
    }

    pub(crate) fn set_schema_state(
        &mut self,
        row: InternalId,
        state: &SchemaState,
    ) -> Result<(), CodedError> {
        let Some(stored) = self.system_row(system::SCHEMAS, row)? else {
            return Ok(());
        };
        let stored = stored.as_ref();
        let namespace = document::int(stored, "namespace")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0);
        let text = document::text(stored, "schema").unwrap_or_default();
        let value = schema_row(Namespace(namespace), text, state);
        self.put_system_row(system::SCHEMAS, row, Some(value))
    }

    pub(crate) fn stored_index(
        &self,
        namespace: Namespace,
        change: &IndexChange,
    ) -> Option<Arc<IndexInfo>> {
        let table = self.metadata().table_by_name(namespace, &change.table)?;
        table
            .indexes
            .iter()
            .find(|index| {
                index.name == change.name
                    && index.spec == change.spec
                    && index.state != IndexState::Deleting
            })
            .cloned()
    }

    fn unwanted_indexes(&self, namespace: Namespace, schema: &Schema) -> Vec<Arc<IndexInfo>> {
        self.metadata()
            .tables()
            .filter(|table| table.namespace == namespace)
            .flat_map(|table| &table.indexes)
            .filter(|index| is_declared(index) && !declares(schema, self.metadata(), index))
            .cloned()
            .collect()
    }
}

/// Whether a schema asks for exactly this index, staged or not.
fn declares(schema: &Schema, metadata: &Metadata, index: &IndexInfo) -> bool {
    metadata
        .table(index.tablet)
        .and_then(|table| schema.tables.get(&table.name))
        .is_some_and(|table| {
            all_indexes(table).any(|(name, spec, _)| name == index.name && *spec == index.spec)
        })
}

/// Every index of a table with its name and whether it is staged.
fn all_indexes(table: &TableSchema) -> impl Iterator<Item = (&str, &IndexSpec, bool)> {
    table
        .indexes
        .iter()
        .map(|(name, spec)| (name.as_str(), spec, false))
        .chain(
            table
                .staged_indexes
                .iter()
                .map(|(name, spec)| (name.as_str(), spec, true)),
        )
}

/// Whether every document that `enforced` accepts is accepted by `schema`, for one table.
pub(crate) fn is_implied(schema: &Schema, enforced: Option<&Schema>, table: &str) -> bool {
    let wanted = schema
        .tables
        .get(table)
        .and_then(|table| table.document_type.as_ref());
    let wanted = match wanted {
        None | Some(Validator::Any) => return true,
        Some(wanted) => wanted,
    };
    enforced
        .filter(|enforced| enforced.schema_validation)
        .and_then(|enforced| enforced.tables.get(table)?.document_type.as_ref())
        .is_some_and(|enforced| enforced.is_subset_of(wanted))
}

/// Whether every document of a table matches a staged validator that accepts no
/// more than the schema does.
pub(crate) fn is_staged_valid(schema: &Schema, metadata: &Metadata, table: &TableInfo) -> bool {
    let wanted = schema.tables.get(&table.name);
    let wanted = wanted.and_then(|wanted| wanted.document_type.as_ref());
    metadata
        .staged_validator(table.tablet)
        .filter(|staged| staged.state == StagedValidatorState::Valid)
        .zip(wanted)
        .is_some_and(|(staged, wanted)| staged.validator.is_subset_of(wanted))
}

/// Whether an index comes from a schema (and not with every table) and is still wanted.
fn is_declared(index: &IndexInfo) -> bool {
    index.name != "by_creation_time" && index.state != IndexState::Deleting
}

fn schema_row(namespace: Namespace, schema: &str, state: &SchemaState) -> hull_value::PackedValue {
    let (name, error, table) = match state {
        SchemaState::Pending => ("pending", None, None),
        SchemaState::Validated => ("validated", None, None),
        SchemaState::Active => ("active", None, None),
        SchemaState::Overwritten => ("overwritten", None, None),
        SchemaState::Failed { error, table } => ("failed", Some(error.clone()), table.clone()),
    };
    let text = |text: Option<String>| text.map_or(Value::Null, Value::String);
    document::row([
        ("namespace", Value::Int64(namespace.0.into())),
        ("state", Value::String(name.to_owned())),
        ("error", text(error)),
        ("table", text(table)),
        ("schema", Value::String(schema.to_owned())),
    ])
}
