use std::sync::Arc;

use hull_store::{IndexId, TabletId};
use hull_value::{
    CodedError, IndexSpec, Schema, TableNumber, Value, check_identifier, keys::Interval,
};

use super::Transaction;
use crate::document;
use crate::key_space::KeySpace;
use crate::limits;
use crate::metadata::{IndexInfo, IndexState, Namespace, TableInfo, TableState};
use crate::system;

/// Names under which user code may read system tables (data model spec 3.5).
pub(super) const VIRTUAL_TABLES: [&str; 2] = ["_storage", "_scheduled_functions"];

/// Why a schema does not let a table be deleted.
fn needs_table(schema: &Schema, table: &str) -> Option<String> {
    if schema.tables.contains_key(table) {
        return Some(format!(
            "Failed to delete table \"{table}\" because it appears in the schema"
        ));
    }
    let referring = schema.references_to(table).next()?;
    Some(format!(
        "Failed to delete table \"{table}\" because `v.id(\"{table}\")` appears in the schema of table \"{referring}\""
    ))
}

impl Transaction {
    /// Finds an active table by name and records the dependency on the name, found or not.
    pub fn table(&mut self, namespace: Namespace, name: &str) -> Option<Arc<TableInfo>> {
        let key = system::table_name_key(namespace, name);
        self.record(
            KeySpace::Index(system::TABLES_BY_NAME),
            Interval::point(key),
        );
        self.metadata().table_by_name(namespace, name).cloned()
    }

    /// Finds an active table by the number in an id, recording the dependency.
    pub fn table_by_number(
        &mut self,
        namespace: Namespace,
        number: TableNumber,
    ) -> Option<Arc<TableInfo>> {
        let key = system::table_number_key(namespace, number);
        self.record(
            KeySpace::Index(system::TABLES_BY_NUMBER),
            Interval::point(key),
        );
        self.metadata().table_by_number(namespace, number).cloned()
    }

    /// Records a dependency on every document of a table, existing or not.
    pub fn record_table(&mut self, namespace: Namespace, name: &str) {
        if let Some(table) = self.table(namespace, name) {
            self.record(KeySpace::Tablet(table.tablet), Interval::all());
        }
    }

    /// Like [`table`](Self::table) for a name that user code gave.
    pub(crate) fn user_table(
        &mut self,
        namespace: Namespace,
        name: &str,
    ) -> Result<Option<Arc<TableInfo>>, CodedError> {
        if name.starts_with('_') && !VIRTUAL_TABLES.contains(&name) {
            return Err(CodedError::bad_request(
                "TableDoesNotExist",
                format!("Table '{name}' not found"),
            ));
        }
        Ok(self.table(namespace, name))
    }

    /// Finds the table to insert into, creating it when it does not exist.
    pub fn table_or_create(
        &mut self,
        namespace: Namespace,
        name: &str,
    ) -> Result<Arc<TableInfo>, CodedError> {
        match self.table(namespace, name) {
            Some(table) => Ok(table),
            None => self.create_table(namespace, name, None),
        }
    }

    /// Makes the tables that functions see through `ctx.db.system`, unless they are there.
    pub fn create_virtual_tables(&mut self, namespace: Namespace) -> Result<(), CodedError> {
        for (name, number) in [
            ("_storage", system::STORAGE_TABLE),
            ("_scheduled_functions", system::SCHEDULED_FUNCTIONS_TABLE),
        ] {
            if self.table_by_number(namespace, number).is_none() {
                self.create_table(namespace, name, Some(number))?;
            }
        }
        Ok(())
    }

    /// Creates a table with its built-in indexes, in this transaction.
    pub fn create_table(
        &mut self,
        namespace: Namespace,
        name: &str,
        number: Option<TableNumber>,
    ) -> Result<Arc<TableInfo>, CodedError> {
        if !VIRTUAL_TABLES.contains(&name) {
            if name.starts_with('_') {
                return Err(CodedError::bad_request(
                    "InvalidTableName",
                    format!("Invalid table name {name} starts with metadata prefix '_'"),
                ));
            }
            check_identifier(name)?;
        }
        if self.metadata().user_tables_count() >= limits::TABLES_MAX {
            return Err(CodedError::bad_request(
                "TooManyTables",
                format!("Number of tables cannot exceed {}.", limits::TABLES_MAX),
            ));
        }
        let number = number.unwrap_or_else(|| self.metadata().next_table_number(namespace));
        // Another transaction may be taking the same number.
        let key = system::table_number_key(namespace, number);
        self.record(
            KeySpace::Index(system::TABLES_BY_NUMBER),
            Interval::point(key),
        );
        let tablet = TabletId(self.next_number());
        self.put_table(tablet, number, name, namespace, TableState::Active)?;
        self.add_index(
            tablet,
            "by_creation_time",
            &IndexSpec::Database { fields: Vec::new() },
            IndexState::Enabled,
            false,
        )?;
        self.metadata()
            .table(tablet)
            .cloned()
            .ok_or_else(|| CodedError::internal("a table is missing right after its creation"))
    }

    fn put_table(
        &mut self,
        tablet: TabletId,
        number: TableNumber,
        name: &str,
        namespace: Namespace,
        state: TableState,
    ) -> Result<(), CodedError> {
        let row = document::row([
            ("name", Value::String(name.to_owned())),
            ("number", Value::Int64(number.0.into())),
            ("tablet", Value::Int64(tablet.0.into())),
            ("namespace", Value::Int64(namespace.0.into())),
            (
                "state",
                Value::String(
                    match state {
                        TableState::Active => "active",
                        TableState::Deleting => "deleting",
                    }
                    .to_owned(),
                ),
            ),
        ]);
        self.put_system_row(system::TABLES, system::numbered_row_id(tablet.0), Some(row))
    }

    /// Marks a table and its indexes for purging; the name is free at once, the
    /// number once the purge is complete. Refused while the active schema names
    /// the table; a schema on its way that does fails (data model spec 3.1).
    pub fn delete_table(&mut self, table: &TableInfo) -> Result<(), CodedError> {
        self.record_schema_of(table.namespace);
        let metadata = self.metadata.clone();
        if let Some(active) = metadata.active_schema(table.namespace)
            && let Some(reason) = needs_table(&active.schema, &table.name)
        {
            return Err(CodedError::bad_request("SchemaEnforcementError", reason));
        }
        if let Some(pending) = metadata.pending_schema(table.namespace)
            && let Some(reason) = needs_table(&pending.schema, &table.name)
        {
            self.fail_schema(pending.row, reason, Some(table.name.clone()))?;
        }
        for index in &table.indexes {
            self.set_index_state(index, IndexState::Deleting, index.staged)?;
        }
        self.put_table(
            table.tablet,
            table.number,
            &table.name,
            table.namespace,
            TableState::Deleting,
        )
    }

    /// Removes the row of a table whose purge is complete.
    pub(crate) fn forget_table(&mut self, table: &TableInfo) -> Result<(), CodedError> {
        self.put_system_row(
            system::TABLES,
            system::numbered_row_id(table.tablet.0),
            None,
        )
    }

    pub(crate) fn forget_index(&mut self, index: &IndexInfo) -> Result<(), CodedError> {
        self.put_system_row(
            system::INDEXES,
            system::numbered_row_id(index.index.0),
            None,
        )
    }

    /// Adds an index to a table.
    pub(crate) fn add_index(
        &mut self,
        tablet: TabletId,
        name: &str,
        spec: &IndexSpec,
        state: IndexState,
        staged: bool,
    ) -> Result<IndexId, CodedError> {
        let index = IndexId(self.next_number());
        self.put_index(index, tablet, name, spec, state, staged)?;
        Ok(index)
    }

    pub(crate) fn set_index_state(
        &mut self,
        index: &IndexInfo,
        state: IndexState,
        staged: bool,
    ) -> Result<(), CodedError> {
        self.put_index(
            index.index,
            index.tablet,
            &index.name,
            &index.spec,
            state,
            staged,
        )
    }

    fn put_index(
        &mut self,
        index: IndexId,
        tablet: TabletId,
        name: &str,
        spec: &IndexSpec,
        state: IndexState,
        staged: bool,
    ) -> Result<(), CodedError> {
        let state = match state {
            IndexState::Backfilling => "backfilling",
            IndexState::Backfilled => "backfilled",
            IndexState::Enabled => "enabled",
            IndexState::Deleting => "deleting",
        };
        let row = document::row([
            ("index", Value::Int64(index.0.into())),
            ("tablet", Value::Int64(tablet.0.into())),
            ("name", Value::String(name.to_owned())),
            ("spec", Value::String(spec.to_config_json().to_string())),
            ("state", Value::String(state.to_owned())),
            ("staged", Value::Boolean(staged)),
        ]);
        self.put_system_row(system::INDEXES, system::numbered_row_id(index.0), Some(row))
    }

    /// Records that a write depends on which indexes its table has.
    pub(crate) fn record_indexes_of(&mut self, tablet: TabletId) {
        let start = tablet.0.to_be_bytes().to_vec();
        let end = (tablet.0 + 1).to_be_bytes().to_vec();
        self.record(
            KeySpace::Index(system::INDEXES_BY_TABLET),
            Interval {
                start,
                end: Some(end),
            },
        );
    }

    /// Records a dependency on the schemas of a namespace.
    pub fn record_schema_of(&mut self, namespace: Namespace) {
        self.record(
            KeySpace::Index(system::SCHEMAS_BY_NAMESPACE),
            Interval::point(system::schema_key(namespace)),
        );
    }
}
