use serde_json::{Value as Json, json};

use crate::FieldPath;

/// The definition of an index, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexSpec {
    Database {
        /// The fields of the user's definition, without the implicit `_creationTime`; see [`IndexSpec::key_fields`].
        fields: Vec<FieldPath>,
    },
    Search {
        search_field: FieldPath,
        filter_fields: Vec<FieldPath>,
    },
    Vector {
        vector_field: FieldPath,
        dimensions: u32,
        filter_fields: Vec<FieldPath>,
    },
}

impl IndexSpec {
    /// Returns the fields of a database index as they are stored and queried: the user's, then `_creationTime`.
    /// Other kinds have none.
    pub fn key_fields(&self) -> Vec<FieldPath> {
        match self {
            Self::Database { fields } => fields
                .iter()
                .cloned()
                .chain([FieldPath::creation_time()])
                .collect(),
            Self::Search { .. } | Self::Vector { .. } => Vec::new(),
        }
    }

    /// Returns every field the user's definition names.
    pub(super) fn referenced_fields(&self) -> impl Iterator<Item = &FieldPath> {
        let (first, rest) = match self {
            Self::Database { fields } => (None, fields),
            Self::Search {
                search_field,
                filter_fields,
            } => (Some(search_field), filter_fields),
            Self::Vector {
                vector_field,
                filter_fields,
                ..
            } => (Some(vector_field), filter_fields),
        };
        first.into_iter().chain(rest)
    }

    /// Returns the definition as push responses show it, without name and staged flag.
    pub fn to_config_json(&self) -> Json {
        match self {
            Self::Database { .. } => {
                json!({"type": "database", "fields": texts(&self.key_fields())})
            }
            Self::Search {
                search_field,
                filter_fields,
            } => json!({
                "type": "search",
                "searchField": search_field.to_string(),
                "filterFields": texts(filter_fields),
            }),
            Self::Vector {
                vector_field,
                dimensions,
                filter_fields,
            } => json!({
                "type": "vector",
                "dimensions": dimensions,
                "vectorField": vector_field.to_string(),
                "filterFields": texts(filter_fields),
            }),
        }
    }

    /// Returns the definition as an element of a schema's index lists.
    pub(super) fn to_schema_json(&self, name: &str) -> Json {
        match self {
            Self::Database { .. } => {
                json!({"indexDescriptor": name, "fields": texts(&self.key_fields())})
            }
            Self::Search {
                search_field,
                filter_fields,
            } => json!({
                "indexDescriptor": name,
                "searchField": search_field.to_string(),
                "filterFields": texts(filter_fields),
            }),
            Self::Vector {
                vector_field,
                dimensions,
                filter_fields,
            } => json!({
                "indexDescriptor": name,
                "vectorField": vector_field.to_string(),
                "dimensions": dimensions,
                "filterFields": texts(filter_fields),
            }),
        }
    }
}

fn texts(fields: &[FieldPath]) -> Vec<String> {
    fields.iter().map(FieldPath::to_string).collect()
}
