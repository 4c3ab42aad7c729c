use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    CodedError, FieldPath, ObjectValidator, Validator,
    limits::{INDEX_FIELDS_MAX, INDEX_FILTER_FIELDS_MAX, VECTOR_DIMENSIONS},
};

use super::{IndexSpec, Schema, TableSchema, checks};

/// Whether database index fields end with the implicit `_creationTime`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldsForm {
    AsWritten,
    Stored,
}

/// Schema JSON as the npm library exports it; unknown keys are ignored, most lists may be missing or null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaJson {
    tables: Vec<TableJson>,
    schema_validation: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableJson {
    table_name: String,
    indexes: Vec<DatabaseIndexJson>,
    staged_db_indexes: Option<Vec<DatabaseIndexJson>>,
    search_indexes: Option<Vec<SearchIndexJson>>,
    staged_search_indexes: Option<Vec<SearchIndexJson>>,
    vector_indexes: Option<Vec<VectorIndexJson>>,
    staged_vector_indexes: Option<Vec<VectorIndexJson>>,
    document_type: Option<Json>,
    staged_document_type: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseIndexJson {
    index_descriptor: String,
    fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchIndexJson {
    index_descriptor: String,
    search_field: String,
    filter_fields: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorIndexJson {
    index_descriptor: String,
    vector_field: String,
    #[serde(alias = "dimension")]
    dimensions: serde_json::Number,
    filter_fields: Option<Vec<String>>,
}

impl Schema {
    /// Parses and checks what `schema.export()` returned. Callers put their own context in front of the error.
    pub fn parse(text: &str) -> Result<Self, CodedError> {
        parse(text, FieldsForm::AsWritten)
    }

    /// Reads back what [`Schema::to_json`] wrote.
    pub fn parse_stored(text: &str) -> Result<Self, CodedError> {
        parse(text, FieldsForm::Stored)
    }
}

fn parse(text: &str, form: FieldsForm) -> Result<Schema, CodedError> {
    let json: SchemaJson = serde_json::from_str(text).map_err(|error| {
        CodedError::bad_request("InvalidSchema", format!("Invalid schema JSON: {error}"))
    })?;
    let mut schema = Schema {
        tables: BTreeMap::new(),
        schema_validation: json.schema_validation.unwrap_or(false),
    };
    for table in json.tables {
        let name = table.table_name.clone();
        checks::check_table_name(&name)?;
        let table = table.into_table(form)?;
        if schema.schema_validation {
            checks::check_index_fields_exist(&name, &table)?;
        }
        if schema.tables.insert(name.clone(), table).is_some() {
            return Err(CodedError::bad_request(
                "InvalidSchema",
                format!("Table \"{name}\" is defined twice."),
            ));
        }
    }
    Ok(schema)
}

impl TableJson {
    fn into_table(self, form: FieldsForm) -> Result<TableSchema, CodedError> {
        let table = self.table_name;
        let context = |error: CodedError| error.prefixed(format_args!("In table \"{table}\": "));
        let mut collector = checks::IndexCollector::new(&table);
        let database = [(Some(self.indexes), false), (self.staged_db_indexes, true)];
        for (index, is_staged) in flatten(database) {
            let name = index.index_descriptor;
            collector.check_name(&name)?;
            if index.fields.is_empty() {
                return Err(collector.empty_index(&name, is_staged));
            }
            let fields = database_fields(&name, index.fields, form).map_err(context)?;
            collector.add(name, IndexSpec::Database { fields }, is_staged)?;
        }
        for (index, is_staged) in flatten([
            (self.search_indexes, false),
            (self.staged_search_indexes, true),
        ]) {
            let name = index.index_descriptor;
            collector.check_name(&name)?;
            let spec = field_path(&name, &index.search_field).and_then(|search_field| {
                let filter_fields = filter_fields(&name, index.filter_fields)?;
                Ok(IndexSpec::Search {
                    search_field,
                    filter_fields,
                })
            });
            collector.add(name, spec.map_err(context)?, is_staged)?;
        }
        for (index, is_staged) in flatten([
            (self.vector_indexes, false),
            (self.staged_vector_indexes, true),
        ]) {
            let name = index.index_descriptor;
            collector.check_name(&name)?;
            let spec = field_path(&name, &index.vector_field).and_then(|vector_field| {
                let dimensions = dimensions(&name, &index.dimensions)?;
                let filter_fields = filter_fields(&name, index.filter_fields)?;
                Ok(IndexSpec::Vector {
                    vector_field,
                    dimensions,
                    filter_fields,
                })
            });
            collector.add(name, spec.map_err(context)?, is_staged)?;
        }
        let document_type = |json: Option<Json>| {
            json.map(|json| document_type(&json).map_err(context))
                .transpose()
        };
        let (indexes, staged_indexes) = collector.finish();
        Ok(TableSchema {
            document_type: document_type(self.document_type)?,
            staged_document_type: document_type(self.staged_document_type)?,
            indexes,
            staged_indexes,
        })
    }
}

/// Chains the enabled and the staged definitions of one kind, each with its staged flag.
fn flatten<T>(lists: [(Option<Vec<T>>, bool); 2]) -> impl Iterator<Item = (T, bool)> {
    lists.into_iter().flat_map(|(list, is_staged)| {
        list.into_iter()
            .flatten()
            .map(move |index| (index, is_staged))
    })
}

fn database_fields(
    index: &str,
    mut fields: Vec<String>,
    form: FieldsForm,
) -> Result<Vec<FieldPath>, CodedError> {
    let context = |error: CodedError| error.prefixed(format_args!("In index \"{index}\": "));
    if form == FieldsForm::Stored {
        fields.pop_if(|last| last == "_creationTime");
    }
    if fields.len() > INDEX_FIELDS_MAX {
        let message = format!("Indexes may have up to {INDEX_FIELDS_MAX} fields.");
        return Err(context(CodedError::bad_request(
            "IndexTooManyFields",
            message,
        )));
    }
    let mut paths = Vec::with_capacity(fields.len());
    for field in fields {
        let path = field_path(index, &field)?;
        checks::check_indexable(&path).map_err(context)?;
        if paths.contains(&path) {
            let message =
                format!("Duplicate field {path}. Index fields must be unique within an index.");
            return Err(context(CodedError::bad_request(
                "FieldsNotUniqueWithinIndex",
                message,
            )));
        }
        paths.push(path);
    }
    Ok(paths)
}

fn filter_fields(index: &str, fields: Option<Vec<String>>) -> Result<Vec<FieldPath>, CodedError> {
    let fields = fields.unwrap_or_default();
    if fields.len() > INDEX_FILTER_FIELDS_MAX {
        let message = format!(
            "In index \"{index}\": Search indexes may have up to {INDEX_FILTER_FIELDS_MAX} filter fields."
        );
        return Err(CodedError::bad_request("IndexTooManyFilterFields", message));
    }
    fields
        .iter()
        .map(|field| field_path(index, field))
        .collect()
}

fn field_path(index: &str, field: &str) -> Result<FieldPath, CodedError> {
    field.parse().map_err(|_: CodedError| {
        let message = format!("In index \"{index}\": Invalid index field: \"{field}\"");
        CodedError::bad_request("InvalidIndexField", message)
    })
}

fn dimensions(index: &str, number: &serde_json::Number) -> Result<u32, CodedError> {
    // JavaScript has one kind of number, so 3.0 is as good as 3.
    let whole = number
        .as_f64()
        .filter(|number| number.fract() == 0.0)
        .map(|number| number as u32);
    whole
        .filter(|dimensions| VECTOR_DIMENSIONS.contains(dimensions))
        .ok_or_else(|| {
            let (min, max) = (VECTOR_DIMENSIONS.start(), VECTOR_DIMENSIONS.end());
            let message = format!(
                "In index \"{index}\": Dimensions {number} must be between {min} and {max}."
            );
            CodedError::bad_request("InvalidVectorDimensionError", message)
        })
}

/// Reads a document type; its top-level system fields are dropped, since documents are checked without them.
fn document_type(json: &Json) -> Result<Validator, CodedError> {
    let mut validator = Validator::from_json(json)?;
    let is_allowed = match &mut validator {
        Validator::Any => true,
        Validator::Object(object) => {
            drop_system_fields(object);
            true
        }
        Validator::Union(members) => members.iter_mut().all(|member| {
            if let Validator::Object(object) = member {
                drop_system_fields(object);
            }
            matches!(member, Validator::Object(_))
        }),
        _ => false,
    };
    if is_allowed {
        return Ok(validator);
    }
    let message = format!(
        "The document validator in a schema must be an object, a union of objects, or `v.any()`. Found {validator}. To \
         learn more, see the schema documentation at https://docs.convex.dev/database/schemas."
    );
    Err(CodedError::bad_request(
        "InvalidTopLevelTypeInSchemaError",
        message,
    ))
}

fn drop_system_fields(object: &mut ObjectValidator) {
    object.0.retain(|name, _| !name.starts_with('_'));
}
