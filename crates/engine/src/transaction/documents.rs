//! What user functions do to documents: checks, texts, schema enforcement.

use std::sync::Arc;

use hull_value::limits::{DocumentShape, check_document};
use hull_value::{CodedError, DocumentId, Object, PackedValue, Value, keys::Interval, render};

use super::{Transaction, is_usable};
use crate::document;
use crate::key_space::KeySpace;
use crate::metadata::{Metadata, Namespace, NamespaceNames, TableInfo};
use crate::staged_validators::{StagedValidator, StagedValidatorState};
use crate::system;

/// Which of `db` and `db.system` a read came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseReader {
    User,
    System,
}

/// The fields of a patch; `None` removes the field.
pub type Patch = Vec<(String, Option<Value>)>;

impl Transaction {
    /// `db.get` and `db.system.get`: an unknown table or a missing row is `None`, and recorded.
    pub fn get_document(
        &mut self,
        namespace: Namespace,
        id: &str,
        expected_table: Option<&str>,
        through: DatabaseReader,
    ) -> Result<Option<PackedValue>, CodedError> {
        let method = match through {
            DatabaseReader::User => "db.get",
            DatabaseReader::System => "db.system.get",
        };
        let id = parse_id(id, method)?;
        let Some(table) = self.table_by_number(namespace, id.table) else {
            return Ok(None);
        };
        check_expected_table(&table, expected_table, method)?;
        check_reader(&table, through)?;
        let found = self.read(table.tablet, id.internal)?;
        self.charge_point(table.tablet, id.internal)?;
        if let Some(found) = &found
            && !table.name.starts_with('_')
        {
            let size = found.as_ref().size();
            self.usage_mut().charge_read(size)?;
        }
        Ok(found)
    }

    /// `db.insert`: creates the table when it does not exist yet.
    pub fn insert_document(
        &mut self,
        namespace: Namespace,
        table: &str,
        body: Object,
    ) -> Result<DocumentId, CodedError> {
        check_insert_target(table)?;
        // The table made for the document goes with it.
        self.all_or_nothing(|transaction| transaction.insert_new(namespace, table, body))
    }

    /// Takes back what a failed write staged: a function may catch the error.
    fn all_or_nothing<R>(
        &mut self,
        write: impl FnOnce(&mut Transaction) -> Result<R, CodedError>,
    ) -> Result<R, CodedError> {
        let savepoint = self.savepoint();
        let result = write(self);
        if result.is_err() {
            self.roll_back(savepoint);
        }
        result
    }

    fn insert_new(
        &mut self,
        namespace: Namespace,
        table: &str,
        mut body: Object,
    ) -> Result<DocumentId, CodedError> {
        let table = self.table_or_create(namespace, table)?;
        let id = DocumentId::new(table.number, self.new_id());
        let creation_time = self.take_creation_time();
        set_system_fields(
            &mut body,
            Value::String(id.to_string()),
            Value::Float64(creation_time),
        )?;
        self.put_document(&table, &id, None, body)?;
        Ok(id)
    }

    /// `db.patch`: merges at the top level and returns the new document.
    pub fn patch_document(
        &mut self,
        namespace: Namespace,
        id: &str,
        expected_table: Option<&str>,
        patch: Patch,
    ) -> Result<PackedValue, CodedError> {
        let (table, id, old) =
            self.existing(namespace, id, expected_table, "db.patch", "Update")?;
        let Value::Object(mut body) = old.unpack() else {
            return Err(CodedError::internal("a stored document is not an object"));
        };
        for (field, value) in patch {
            match value {
                Some(value) => {
                    body.insert(field, value);
                }
                None => {
                    body.remove(&field);
                }
            }
        }
        restore_system_fields(&mut body, &old)?;
        self.all_or_nothing(|transaction| transaction.put_document(&table, &id, Some(old), body))
    }

    /// `db.replace`: the whole body, system fields kept; returns the new document.
    pub fn replace_document(
        &mut self,
        namespace: Namespace,
        id: &str,
        expected_table: Option<&str>,
        mut body: Object,
    ) -> Result<PackedValue, CodedError> {
        let (table, id, old) =
            self.existing(namespace, id, expected_table, "db.replace", "Replace")?;
        restore_system_fields(&mut body, &old)?;
        self.all_or_nothing(|transaction| transaction.put_document(&table, &id, Some(old), body))
    }

    /// `db.delete`: returns the deleted document.
    pub fn delete_document(
        &mut self,
        namespace: Namespace,
        id: &str,
        expected_table: Option<&str>,
    ) -> Result<PackedValue, CodedError> {
        let (table, id, old) =
            self.existing(namespace, id, expected_table, "db.delete", "Delete")?;
        self.record_indexes_of(table.tablet);
        self.all_or_nothing(|transaction| {
            transaction.write(table.tablet, id.internal, None, Some((&table, &id)))?;
            let size = old.as_ref().size();
            transaction.usage_mut().charge_write(size)
        })?;
        Ok(old)
    }

    /// `db.normalizeId`: the id itself if it belongs to `table`.
    pub fn normalize_id(
        &mut self,
        namespace: Namespace,
        table: &str,
        id: &str,
    ) -> Result<Option<DocumentId>, CodedError> {
        let found = match self.user_table(namespace, table) {
            Ok(found) => found,
            Err(_) => return Ok(None),
        };
        Ok(match (found, DocumentId::parse(id)) {
            (Some(table), Ok(id)) if id.table == table.number => Some(id),
            _ => None,
        })
    }

    /// `db.count`: depends on the whole table (data model spec 3.6).
    pub fn count_documents(
        &mut self,
        namespace: Namespace,
        table: &str,
    ) -> Result<u64, CodedError> {
        let Some(table) = self.user_table(namespace, table)? else {
            return Ok(0);
        };
        self.record(KeySpace::Tablet(table.tablet), Interval::all());
        self.charge_interval(KeySpace::Tablet(table.tablet), Interval::all())?;
        self.count(table.tablet)
    }

    /// Calls `check` with the names of this namespace's tables, recording each number asked for.
    pub fn with_table_names<R>(
        &mut self,
        namespace: Namespace,
        check: impl FnOnce(&dyn hull_value::TableNames) -> R,
    ) -> R {
        let recorder = RecordingNames::new(&self.metadata, namespace);
        let result = check(&recorder);
        for number in recorder.into_asked() {
            let key = system::table_number_key(namespace, number);
            self.record(
                KeySpace::Index(system::TABLES_BY_NUMBER),
                Interval::point(key),
            );
        }
        result
    }

    fn existing(
        &mut self,
        namespace: Namespace,
        id_text: &str,
        expected_table: Option<&str>,
        method: &str,
        verb: &str,
    ) -> Result<(Arc<TableInfo>, DocumentId, PackedValue), CodedError> {
        let id = parse_id(id_text, method)?;
        let Some(table) = self.table_by_number(namespace, id.table) else {
            return Err(invalid_id(
                method,
                &format!("Table for ID \"{id_text}\" not found"),
            ));
        };
        check_expected_table(&table, expected_table, method)?;
        check_reader(&table, DatabaseReader::User)?;
        let old = self.read(table.tablet, id.internal)?.ok_or_else(|| {
            CodedError::bad_request(
                "NonexistentDocument",
                format!("{verb} on nonexistent document ID {id_text}"),
            )
        })?;
        Ok((table, id, old))
    }

    fn put_document(
        &mut self,
        table: &Arc<TableInfo>,
        id: &DocumentId,
        old: Option<PackedValue>,
        body: Object,
    ) -> Result<PackedValue, CodedError> {
        let is_new = old.is_none();
        let packed = PackedValue::pack(&Value::Object(body));
        if old.as_ref() == Some(&packed) {
            // Nothing is written, charged or invalidated (data model spec 0.5).
            return Ok(packed);
        }
        let document = packed
            .as_object()
            .ok_or_else(|| CodedError::internal("a document body is not an object"))?;
        let DocumentShape {
            size_bytes,
            nesting,
        } = check_document(document)?;
        self.enforce_schema(table, &packed)?;
        self.record_indexes_of(table.tablet);
        if is_new {
            if !self.is_stale {
                self.reads.add_point(table.tablet, id.internal);
            }
            self.write_over(
                table.tablet,
                id.internal,
                None,
                Some(packed.clone()),
                Some((table, id)),
            )?;
        } else {
            self.write(
                table.tablet,
                id.internal,
                Some(packed.clone()),
                Some((table, id)),
            )?;
        }
        self.usage_mut().charge_write(size_bytes)?;
        self.usage_mut().note_written(id, size_bytes, nesting);
        Ok(packed)
    }

    /// Checks a document against the active schema; a violation of a pending
    /// schema or a staged validator lets the write pass and fails that (data
    /// model spec 5.5).
    fn enforce_schema(
        &mut self,
        table: &TableInfo,
        document: &PackedValue,
    ) -> Result<(), CodedError> {
        if table.name.starts_with('_') {
            return Ok(());
        }
        self.record_schema_of(table.namespace);
        let metadata = self.metadata.clone();
        if let Some(active) = metadata.active_schema(table.namespace)
            && let Err(error) = self.check_schema(&active.schema, table, document)
        {
            return Err(CodedError::bad_request(
                "SchemaEnforcementError",
                format!(
                    "Failed to insert or update a document in table \"{}\" because it does not match the schema: {error}",
                    table.name
                ),
            ));
        }
        if let Some(pending) = metadata.pending_schema(table.namespace)
            && let Err(error) = self.check_schema(&pending.schema, table, document)
        {
            let message = format!(
                "New document in table \"{}\" does not match the schema: {error}",
                table.name
            );
            self.fail_schema(pending.row, message, Some(table.name.clone()))?;
        }
        if let Some(staged) = metadata.staged_validator(table.tablet)
            && !matches!(staged.state, StagedValidatorState::Failed { .. })
            && let Err(error) = self.check_staged(staged, document)
        {
            let error = format!(
                "New document in table \"{}\" does not match the staged schema: {error}",
                table.name
            );
            self.set_staged_validator_state(staged, StagedValidatorState::Failed { error })?;
        }
        Ok(())
    }

    /// Checks one document against a staged validator.
    pub(crate) fn check_staged(
        &mut self,
        staged: &StagedValidator,
        document: &PackedValue,
    ) -> Result<(), hull_value::ValidationError> {
        let Some(object) = document.as_object() else {
            return Ok(());
        };
        self.with_table_names(staged.namespace, |names| {
            staged.validator.check_document(object, names)
        })
    }

    /// Checks one document against the table's validator in `schema`.
    pub(crate) fn check_schema(
        &mut self,
        schema: &hull_value::Schema,
        table: &TableInfo,
        document: &PackedValue,
    ) -> Result<(), hull_value::ValidationError> {
        let Some(object) = document.as_object() else {
            return Ok(());
        };
        self.with_table_names(table.namespace, |names| {
            schema.check_document(&table.name, object, names)
        })
    }
}

/// Table names for a validator that remembers which numbers were asked for.
struct RecordingNames<'a> {
    names: NamespaceNames<'a>,
    asked: std::cell::RefCell<Vec<hull_value::TableNumber>>,
}

impl<'a> RecordingNames<'a> {
    fn new(metadata: &'a Metadata, namespace: Namespace) -> RecordingNames<'a> {
        RecordingNames {
            names: NamespaceNames {
                metadata,
                namespace,
            },
            asked: Default::default(),
        }
    }

    fn into_asked(self) -> Vec<hull_value::TableNumber> {
        let mut asked = self.asked.into_inner();
        asked.sort_unstable();
        asked.dedup();
        asked
    }
}

impl hull_value::TableNames for RecordingNames<'_> {
    fn name_of(&self, number: hull_value::TableNumber) -> Option<hull_value::TableKind<'_>> {
        self.asked.borrow_mut().push(number);
        self.names.name_of(number)
    }
}

fn parse_id(id: &str, method: &str) -> Result<DocumentId, CodedError> {
    DocumentId::parse(id).map_err(|error| invalid_id(method, &error.to_string()))
}

fn invalid_id(method: &str, cause: &str) -> CodedError {
    CodedError::bad_request(
        "InvalidArgument",
        format!("Invalid argument `id` for `{method}`: {cause}"),
    )
}

fn check_expected_table(
    table: &TableInfo,
    expected: Option<&str>,
    method: &str,
) -> Result<(), CodedError> {
    match expected {
        Some(expected) if expected != table.name => Err(invalid_id(
            method,
            &format!(
                "expected to be an Id<\"{expected}\">, got Id<\"{}\"> instead.",
                table.name
            ),
        )),
        _ => Ok(()),
    }
}

fn check_reader(table: &TableInfo, through: DatabaseReader) -> Result<(), CodedError> {
    debug_assert!(is_usable(table));
    let message = match (through, table.name.starts_with('_')) {
        (DatabaseReader::User, true) => "System tables can only be accessed with db.system.",
        (DatabaseReader::System, false) => "User tables cannot be accessed with db.system.",
        _ => return Ok(()),
    };
    Err(CodedError::bad_request("SystemTableError", message))
}

fn check_insert_target(table: &str) -> Result<(), CodedError> {
    if super::tables::VIRTUAL_TABLES.contains(&table) {
        return Err(CodedError::bad_request(
            "ReadOnlyTable",
            format!("{table} is a read-only table"),
        ));
    }
    if table.starts_with('_') {
        return Err(CodedError::bad_request(
            "InvalidTableName",
            format!("Invalid table name {table} starts with metadata prefix '_'"),
        ));
    }
    Ok(())
}

/// Puts the `_id` and `_creationTime` of the stored document into its new body.
fn restore_system_fields(body: &mut Object, old: &PackedValue) -> Result<(), CodedError> {
    let stored = |field| {
        document::field(old.as_ref(), field)
            .map(|value| value.to_value())
            .ok_or_else(|| CodedError::internal(format!("a stored document has no {field}")))
    };
    set_system_fields(body, stored("_id")?, stored("_creationTime")?)
}

/// Sets the system fields; a body with other values for them is an error (data model spec 2.5).
fn set_system_fields(body: &mut Object, id: Value, creation_time: Value) -> Result<(), CodedError> {
    let show = |value: &Value| render(PackedValue::pack(value).as_ref());
    if let Some(given) = body.get("_id")
        && *given != id
    {
        return Err(CodedError::bad_request(
            "InvalidIdError",
            format!(
                "Provided document ID {} doesn't match '_id' field {}",
                show(&id),
                show(given)
            ),
        ));
    }
    if let Some(given) = body.get("_creationTime")
        && *given != creation_time
    {
        return Err(CodedError::bad_request(
            "InvalidCreationTimeError",
            format!(
                "Provided creation time {} doesn't match '_creationTime' field in {}",
                show(&creation_time),
                show(&Value::Object(body.clone()))
            ),
        ));
    }
    body.insert("_id".to_owned(), id);
    body.insert("_creationTime".to_owned(), creation_time);
    Ok(())
}
