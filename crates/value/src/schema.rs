mod checks;
mod index_spec;
mod parse;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::{ObjectRef, TableNames, ValidationError, Validator};

pub use index_spec::IndexSpec;

/// What a deployment says about its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub tables: BTreeMap<String, TableSchema>,
    /// Whether documents are checked; tables and indexes exist either way.
    pub schema_validation: bool,
}

/// What a schema says about one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// An object, a union of objects or any; `None` accepts everything.
    pub document_type: Option<Validator>,
    /// A document type announced for later: documents are checked against it, nothing is refused.
    pub staged_document_type: Option<Validator>,
    /// Indexes by name.
    pub indexes: BTreeMap<String, IndexSpec>,
    /// Indexes that are built but must not be queried yet; their names are disjoint from `indexes`.
    pub staged_indexes: BTreeMap<String, IndexSpec>,
}

impl Schema {
    /// Checks a document of `table`; tables the schema does not mention accept everything.
    pub fn check_document(
        &self,
        table: &str,
        document: ObjectRef<'_>,
        tables: &dyn TableNames,
    ) -> Result<(), ValidationError> {
        match self
            .tables
            .get(table)
            .and_then(|table| table.document_type.as_ref())
        {
            Some(document_type) if self.schema_validation => {
                document_type.check_document(document, tables)
            }
            _ => Ok(()),
        }
    }

    /// Returns the tables whose document type mentions `v.id(referenced)`.
    pub fn references_to(&self, referenced: &str) -> impl Iterator<Item = &str> {
        self.tables.iter().filter_map(move |(name, table)| {
            table
                .document_type
                .as_ref()
                .is_some_and(|v| v.mentions_table(referenced))
                .then_some(name.as_str())
        })
    }

    /// Returns the JSON stored and shown to tools: tables sorted, index fields with their implicit `_creationTime`.
    pub fn to_json(&self) -> Json {
        let tables: Vec<_> = self
            .tables
            .iter()
            .map(|(name, table)| table.to_json(name))
            .collect();
        json!({"tables": tables, "schemaValidation": self.schema_validation})
    }
}

impl TableSchema {
    fn to_json(&self, name: &str) -> Json {
        let of_kind =
            |indexes: &BTreeMap<String, IndexSpec>, is_kind: fn(&IndexSpec) -> bool| -> Vec<Json> {
                let kind = indexes.iter().filter(|(_, spec)| is_kind(spec));
                kind.map(|(name, spec)| spec.to_schema_json(name)).collect()
            };
        let is_database: fn(&IndexSpec) -> bool = |spec| matches!(spec, IndexSpec::Database { .. });
        let is_search: fn(&IndexSpec) -> bool = |spec| matches!(spec, IndexSpec::Search { .. });
        let is_vector: fn(&IndexSpec) -> bool = |spec| matches!(spec, IndexSpec::Vector { .. });
        let mut json = json!({
            "tableName": name,
            "indexes": of_kind(&self.indexes, is_database),
            "stagedDbIndexes": of_kind(&self.staged_indexes, is_database),
            "searchIndexes": of_kind(&self.indexes, is_search),
            "stagedSearchIndexes": of_kind(&self.staged_indexes, is_search),
            "vectorIndexes": of_kind(&self.indexes, is_vector),
            "stagedVectorIndexes": of_kind(&self.staged_indexes, is_vector),
            // Tools require the key; null stands for "anything".
            "documentType": self.document_type.as_ref().map(Validator::to_json),
        });
        if let Some(staged) = &self.staged_document_type {
            json["stagedDocumentType"] = staged.to_json();
        }
        json
    }
}

#[cfg(test)]
mod tests;
