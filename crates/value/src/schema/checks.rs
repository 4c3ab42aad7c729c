use std::collections::BTreeMap;

use crate::{CodedError, FieldPath, Validator, check_identifier, limits::TABLE_INDEXES_MAX};

use super::{IndexSpec, TableSchema};

/// Checks the name of a table in a schema.
pub(super) fn check_table_name(table: &str) -> Result<(), CodedError> {
    if check_identifier(table).is_err() {
        let message = format!(
            "Invalid table name: \"{table}\". Identifiers must start with a letter and can only contain letters, \
             digits, and underscores."
        );
        return Err(CodedError::bad_request("InvalidTableName", message));
    }
    if table.starts_with('_') {
        return Err(CodedError::bad_request(
            "TableNameReserved",
            format!("{table} is a reserved table name."),
        ));
    }
    Ok(())
}

/// Checks that a field may be part of a database index.
pub(super) fn check_indexable(path: &FieldPath) -> Result<(), CodedError> {
    let (code, message) = if path.is_id() {
        (
            "IndexFieldsContainId",
            "`_id` is not a valid index field. To load documents by ID, use `db.get(id)`.",
        )
    } else if path.is_creation_time() {
        (
            "IndexFieldsContainCreationTime",
            "`_creationTime` is automatically added to the end of each index. It should not be added explicitly in the \
             index definition. See https://docs.convex.dev/using/indexes for more details.",
        )
    } else if path
        .segments()
        .iter()
        .any(|segment| segment.starts_with('_'))
    {
        (
            "IndexFieldNameReserved",
            "Reserved fields (starting with `_`) are not allowed in indexes.",
        )
    } else {
        return Ok(());
    };
    Err(CodedError::bad_request(code, message))
}

/// Gathers the indexes of one table, checking each against those before it.
pub(super) struct IndexCollector<'t> {
    table: &'t str,
    enabled: BTreeMap<String, IndexSpec>,
    staged: BTreeMap<String, IndexSpec>,
}

impl<'t> IndexCollector<'t> {
    pub(super) fn new(table: &'t str) -> Self {
        Self {
            table,
            enabled: BTreeMap::new(),
            staged: BTreeMap::new(),
        }
    }

    /// Checks a name before its definition is read, so that errors can speak of the index by name.
    pub(super) fn check_name(&self, index: &str) -> Result<(), CodedError> {
        let table = self.table;
        if check_identifier(index).is_err() {
            let message = format!(
                "In table \"{table}\": Invalid index name: \"{index}\". Identifiers must be 64 characters or less, \
                 start with a letter, and only contain letters, digits, underscores."
            );
            return Err(CodedError::bad_request("InvalidIndexName", message));
        }
        // Data integration tools add indexes of this prefix of their own.
        let is_underscored = index.starts_with('_') && !index.starts_with("_fivetran");
        if is_underscored || index == "by_id" || index == "by_creation_time" {
            let message = format!(
                "In table \"{table}\" cannot name an index \"{index}\" because the name is reserved. Indexes may not \
                 start with an underscore or be named \"by_id\" or \"by_creation_time\"."
            );
            return Err(CodedError::bad_request("IndexNameReserved", message));
        }
        if self.enabled.contains_key(index) || self.staged.contains_key(index) {
            let message =
                format!("Table \"{table}\" has two or more definitions of index \"{index}\".");
            return Err(CodedError::bad_request("IndexNamesNotUnique", message));
        }
        Ok(())
    }

    pub(super) fn empty_index(&self, index: &str, is_staged: bool) -> CodedError {
        let staged = if is_staged { "staged " } else { "" };
        let message = format!(
            "In table \"{}\" {staged}index \"{index}\" must have at least one field.",
            self.table
        );
        CodedError::bad_request("EmptyIndex", message)
    }

    pub(super) fn add(
        &mut self,
        index: String,
        spec: IndexSpec,
        is_staged: bool,
    ) -> Result<(), CodedError> {
        let table = self.table;
        let mut others = self.enabled.iter().chain(&self.staged);
        if let Some((other, _)) = others.find(|(_, other)| is_same_index(other, &spec)) {
            let (code, kind, same) = match spec {
                IndexSpec::Database { .. } => ("IndexNotUnique", "index", "fields"),
                IndexSpec::Search { .. } => (
                    "SearchIndexFieldNotUnique",
                    "search index",
                    "`searchField` and `filterFields`",
                ),
                IndexSpec::Vector { .. } => (
                    "VectorIndexFieldNotUnique",
                    "vector index",
                    "`vectorField` and `dimensions`",
                ),
            };
            let message = format!(
                "In table \"{table}\" {kind} \"{other}\" and {kind} \"{index}\" have the same {same}. Indexes must be \
                 unique within a table."
            );
            return Err(CodedError::bad_request(code, message));
        }
        if self.enabled.len() + self.staged.len() == TABLE_INDEXES_MAX {
            let message =
                format!("Table \"{table}\" cannot have more than {TABLE_INDEXES_MAX} indexes.");
            return Err(CodedError::bad_request("TooManyIndexes", message));
        }
        if is_staged {
            &mut self.staged
        } else {
            &mut self.enabled
        }
        .insert(index, spec);
        Ok(())
    }

    /// Returns the enabled and the staged indexes.
    pub(super) fn finish(self) -> (BTreeMap<String, IndexSpec>, BTreeMap<String, IndexSpec>) {
        (self.enabled, self.staged)
    }
}

/// Tells whether two definitions would index the same thing.
fn is_same_index(a: &IndexSpec, b: &IndexSpec) -> bool {
    let sorted = |fields: &[FieldPath]| {
        let mut fields = fields.to_vec();
        fields.sort();
        fields
    };
    match (a, b) {
        (IndexSpec::Database { fields: a }, IndexSpec::Database { fields: b }) => a == b,
        (
            IndexSpec::Search {
                search_field: a,
                filter_fields: f,
            },
            IndexSpec::Search {
                search_field: b,
                filter_fields: g,
            },
        ) => a == b && sorted(f) == sorted(g),
        (
            IndexSpec::Vector {
                vector_field: a,
                dimensions: d,
                ..
            },
            IndexSpec::Vector {
                vector_field: b,
                dimensions: e,
                ..
            },
        ) => a == b && d == e,
        _ => false,
    }
}

/// Checks that every indexed field can occur in a document the schema accepts.
pub(super) fn check_index_fields_exist(
    table: &str,
    schema: &TableSchema,
) -> Result<(), CodedError> {
    let Some(document_type) = &schema.document_type else {
        return Ok(());
    };
    let definition_error = |index: &str, reason: String| {
        let message = format!(
            "In table \"{table}\" the {index} is invalid because it references the field {reason}"
        );
        CodedError::bad_request("SchemaDefinitionError", message)
    };
    for (name, spec) in schema.indexes.iter().chain(&schema.staged_indexes) {
        if let Some(field) = spec
            .referenced_fields()
            .find(|field| !can_occur(document_type, field))
        {
            let reason = format!("\"{field}\" that does not exist.");
            return Err(definition_error(&format!("index \"{name}\""), reason));
        }
        if let IndexSpec::Vector { vector_field, .. } = spec
            && !document_type.can_contain_vector(vector_field.segments())
        {
            let reason = format!(
                "\"{vector_field}\" that is neither an array of float64 or optional array of float64."
            );
            return Err(definition_error(
                &format!("vector index \"{name}\""),
                reason,
            ));
        }
    }
    Ok(())
}

fn can_occur(document_type: &Validator, field: &FieldPath) -> bool {
    field.is_id() || field.is_creation_time() || document_type.can_contain_path(field.segments())
}
