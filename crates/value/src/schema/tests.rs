use super::*;
use crate::CodedError;

/// Wraps the JSON of one table's keys into a schema.
fn schema_of(table: &str) -> String {
    format!(r#"{{"tables":[{{"tableName":"t",{table}}}],"schemaValidation":true}}"#)
}

fn check_error(table: &str, code: &str, message: &str) {
    let error = Schema::parse(&schema_of(table)).unwrap_err();
    assert_eq!((&*error.code, &*error.message), (code, message));
    assert_eq!(error.http_status(), 400);
}

fn index(name: &str, fields: &[&str]) -> String {
    format!(r#"{{"indexDescriptor":{name:?},"fields":{fields:?}}}"#)
}

fn indexes(list: &[String]) -> String {
    format!(r#""indexes":[{}]"#, list.join(","))
}

const FULL: &str = r#"{"tables":[
    {"tableName":"b","indexes":[]},
    {"tableName":"a","extra":1,
     "indexes":[{"indexDescriptor":"by_name","fields":["name","x.y"],"extra":1}],
     "stagedDbIndexes":[{"indexDescriptor":"by_emb","fields":["emb"]}],
     "searchIndexes":[{"indexDescriptor":"s","searchField":"name","filterFields":["x.y"]}],
     "stagedSearchIndexes":[],
     "vectorIndexes":[{"indexDescriptor":"v","vectorField":"emb","dimension":1536,"filterFields":["_creationTime"]}],
     "documentType":{"type":"object","value":{
        "_id":{"fieldType":{"type":"string"},"optional":false},
        "name":{"fieldType":{"type":"string"},"optional":false},
        "emb":{"fieldType":{"type":"array","value":{"type":"number"}},"optional":true},
        "x":{"fieldType":{"type":"any"},"optional":false}}},
     "stagedDocumentType":{"type":"any"}}],
    "schemaValidation":true}"#;

#[test]
fn a_full_schema_is_normalised_and_reads_back() {
    let schema = Schema::parse(FULL).unwrap();
    let expected = serde_json::json!({"tables":[
        {"tableName":"a",
         "indexes":[{"indexDescriptor":"by_name","fields":["name","x.y","_creationTime"]}],
         "stagedDbIndexes":[{"indexDescriptor":"by_emb","fields":["emb","_creationTime"]}],
         "searchIndexes":[{"indexDescriptor":"s","searchField":"name","filterFields":["x.y"]}],
         "stagedSearchIndexes":[],
         "vectorIndexes":[{"indexDescriptor":"v","vectorField":"emb","dimensions":1536,"filterFields":["_creationTime"]}],
         "stagedVectorIndexes":[],
         "documentType":{"type":"object","value":{
            "emb":{"fieldType":{"type":"array","value":{"type":"number"}},"optional":true},
            "name":{"fieldType":{"type":"string"},"optional":false},
            "x":{"fieldType":{"type":"any"},"optional":false}}},
         "stagedDocumentType":{"type":"any"}},
        {"tableName":"b","indexes":[],"stagedDbIndexes":[],"searchIndexes":[],"stagedSearchIndexes":[],
         "vectorIndexes":[],"stagedVectorIndexes":[],"documentType":null}],
        "schemaValidation":true});
    assert_eq!(schema.to_json(), expected);
    assert_eq!(Schema::parse_stored(&expected.to_string()).unwrap(), schema);
    let by_name = &schema.tables["a"].indexes["by_name"];
    assert_eq!(
        by_name.key_fields().last(),
        Some(&crate::FieldPath::creation_time())
    );
    assert_eq!(
        by_name.to_config_json(),
        serde_json::json!({"type":"database","fields":["name","x.y","_creationTime"]})
    );
}

#[test]
fn missing_validation_flag_means_off() {
    assert!(!Schema::parse(r#"{"tables":[]}"#).unwrap().schema_validation);
    assert_eq!(Schema::parse("{}").unwrap_err().code, "InvalidSchema");
    let unchecked = format!(
        r#"{{"tables":[{{"tableName":"t",{},"documentType":{{"type":"object","value":{{}}}}}}]}}"#,
        indexes(&[index("i", &["missing"])])
    );
    assert!(Schema::parse(&unchecked).is_ok());
}

#[test]
fn table_names() {
    let error = |name: &str| -> CodedError {
        Schema::parse(&format!(
            r#"{{"tables":[{{"tableName":{name:?},"indexes":[]}}]}}"#
        ))
        .unwrap_err()
    };
    assert_eq!(
        error("a-b").message,
        "Invalid table name: \"a-b\". Identifiers must start with a letter and can only contain letters, digits, and \
         underscores."
    );
    assert_eq!(error("a-b").code, "InvalidTableName");
    assert_eq!(error("_a").message, "_a is a reserved table name.");
    assert_eq!(error("_a").code, "TableNameReserved");
}

#[test]
fn index_names() {
    let reserved = |name: &str| {
        check_error(
            &indexes(&[index(name, &["a"])]),
            "IndexNameReserved",
            &format!(
                "In table \"t\" cannot name an index \"{name}\" because the name is reserved. Indexes may not start \
                 with an underscore or be named \"by_id\" or \"by_creation_time\"."
            ),
        );
    };
    reserved("_a");
    reserved("by_id");
    reserved("by_creation_time");
    assert!(Schema::parse(&schema_of(&indexes(&[index("_fivetran_a", &["a"])]))).is_ok());
    check_error(
        &indexes(&[index("a b", &["a"])]),
        "InvalidIndexName",
        "In table \"t\": Invalid index name: \"a b\". Identifiers must be 64 characters or less, start with a letter, \
         and only contain letters, digits, underscores.",
    );
    let search = r#""searchIndexes":[{"indexDescriptor":"i","searchField":"a"}]"#;
    check_error(
        &format!("{},{search}", indexes(&[index("i", &["a"])])),
        "IndexNamesNotUnique",
        "Table \"t\" has two or more definitions of index \"i\".",
    );
}

#[test]
fn database_index_fields() {
    let one = |fields: &[&str], code: &str, message: &str| {
        check_error(
            &indexes(&[index("i", fields)]),
            code,
            &format!("In table \"t\"{message}"),
        );
    };
    one(
        &[],
        "EmptyIndex",
        " index \"i\" must have at least one field.",
    );
    check_error(
        r#""indexes":[],"stagedDbIndexes":[{"indexDescriptor":"i","fields":[]}]"#,
        "EmptyIndex",
        "In table \"t\" staged index \"i\" must have at least one field.",
    );
    one(
        &["a", "b", "a"],
        "FieldsNotUniqueWithinIndex",
        ": In index \"i\": Duplicate field a. Index fields must be unique within an index.",
    );
    one(
        &["_id"],
        "IndexFieldsContainId",
        ": In index \"i\": `_id` is not a valid index field. To load documents by ID, use `db.get(id)`.",
    );
    one(
        &["a", "_creationTime"],
        "IndexFieldsContainCreationTime",
        ": In index \"i\": `_creationTime` is automatically added to the end of each index. It should not be added \
         explicitly in the index definition. See https://docs.convex.dev/using/indexes for more details.",
    );
    one(
        &["a._b"],
        "IndexFieldNameReserved",
        ": In index \"i\": Reserved fields (starting with `_`) are not allowed in indexes.",
    );
    one(
        &["a..b"],
        "InvalidIndexField",
        ": In index \"i\": Invalid index field: \"a..b\"",
    );
    let many: Vec<_> = (0..17).map(|i| format!("f{i}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    one(
        &many,
        "IndexTooManyFields",
        ": In index \"i\": Indexes may have up to 16 fields.",
    );
    let full = Schema::parse(&schema_of(&indexes(&[index("i", &many[..16])]))).unwrap();
    assert_eq!(
        Schema::parse_stored(&full.to_json().to_string()).unwrap(),
        full
    );
}

#[test]
fn indexes_are_unique_and_limited() {
    check_error(
        &format!(
            r#"{},"stagedDbIndexes":[{}]"#,
            indexes(&[index("x", &["a", "b"]), index("y", &["b", "a"])]),
            index("z", &["a", "b"])
        ),
        "IndexNotUnique",
        "In table \"t\" index \"x\" and index \"z\" have the same fields. Indexes must be unique within a table.",
    );
    let search = |name: &str, filters: &str| {
        format!(r#"{{"indexDescriptor":"{name}","searchField":"a","filterFields":{filters}}}"#)
    };
    check_error(
        &format!(
            r#""indexes":[],"searchIndexes":[{},{}]"#,
            search("x", r#"["b","c"]"#),
            search("y", r#"["c","b"]"#)
        ),
        "SearchIndexFieldNotUnique",
        "In table \"t\" search index \"x\" and search index \"y\" have the same `searchField` and `filterFields`. \
         Indexes must be unique within a table.",
    );
    let vector = |name: &str, filters: &str| {
        format!(
            r#"{{"indexDescriptor":"{name}","vectorField":"a","dimensions":3,"filterFields":{filters}}}"#
        )
    };
    check_error(
        &format!(
            r#""indexes":[],"vectorIndexes":[{},{}]"#,
            vector("x", "[]"),
            vector("y", r#"["b"]"#)
        ),
        "VectorIndexFieldNotUnique",
        "In table \"t\" vector index \"x\" and vector index \"y\" have the same `vectorField` and `dimensions`. \
         Indexes must be unique within a table.",
    );
    let many: Vec<_> = (0..65)
        .map(|i| index(&format!("i{i}"), &[&format!("f{i}")]))
        .collect();
    assert!(Schema::parse(&schema_of(&indexes(&many[..64]))).is_ok());
    check_error(
        &indexes(&many),
        "TooManyIndexes",
        "Table \"t\" cannot have more than 64 indexes.",
    );
}

#[test]
fn vector_dimensions() {
    let with = |dimensions: &str| {
        format!(
            r#""indexes":[],"vectorIndexes":[{{"indexDescriptor":"v","vectorField":"a","dimensions":{dimensions}}}]"#
        )
    };
    for wrong in ["1", "4097", "-3", "2.5"] {
        check_error(
            &with(wrong),
            "InvalidVectorDimensionError",
            &format!(
                "In table \"t\": In index \"v\": Dimensions {wrong} must be between 2 and 4096."
            ),
        );
    }
    for right in ["2", "4096", "3.0"] {
        assert!(Schema::parse(&schema_of(&with(right))).is_ok(), "{right}");
    }
    let filters: Vec<_> = (0..17).map(|i| format!("f{i}")).collect();
    check_error(
        &format!(
            r#""indexes":[],"searchIndexes":[{{"indexDescriptor":"s","searchField":"a","filterFields":{filters:?}}}]"#
        ),
        "IndexTooManyFilterFields",
        "In table \"t\": In index \"s\": Search indexes may have up to 16 filter fields.",
    );
}

#[test]
fn document_types() {
    let with = |json: &str| format!(r#""indexes":[],"documentType":{json}"#);
    let object = r#"{"type":"object","value":{}}"#;
    for right in [
        object,
        r#"{"type":"any"}"#,
        &format!(r#"{{"type":"union","value":[{object},{object}]}}"#),
    ] {
        assert!(Schema::parse(&schema_of(&with(right))).is_ok(), "{right}");
    }
    check_error(
        &with(r#"{"type":"union","value":[{"type":"object","value":{}},{"type":"null"}]}"#),
        "InvalidTopLevelTypeInSchemaError",
        "In table \"t\": The document validator in a schema must be an object, a union of objects, or `v.any()`. Found \
         v.union(v.object({}), v.null()). To learn more, see the schema documentation at \
         https://docs.convex.dev/database/schemas.",
    );
    check_error(
        &with(r#"{"type":"object","value":{"a":{"fieldType":{"type":"x"},"optional":false}}}"#),
        "InvalidSchema",
        "In table \"t\": Invalid validator for key `a`: Unknown validator type `x`",
    );
}

#[test]
fn indexed_fields_must_be_possible() {
    let document = r#""documentType":{"type":"union","value":[
        {"type":"object","value":{"a":{"fieldType":{"type":"union","value":[{"type":"null"},{"type":"object","value":{
            "b":{"fieldType":{"type":"array","value":{"type":"string"}},"optional":true}}}]},"optional":false}}},
        {"type":"object","value":{
            "r":{"fieldType":{"type":"record","keys":{"type":"string"},"values":{"fieldType":{"type":"any"},"optional":false}},"optional":false},
            "v":{"fieldType":{"type":"union","value":[{"type":"array","value":{"type":"number"}},{"type":"null"}]},"optional":false}}}]}"#;
    let with = |indexes: &str| format!("{indexes},{document}");
    for right in ["a", "a.b", "r.x.y", "v"] {
        assert!(
            Schema::parse(&schema_of(&with(&indexes(&[index("i", &[right])])))).is_ok(),
            "{right}"
        );
    }
    for wrong in ["c", "a.c", "a.b.c", "v.x"] {
        check_error(
            &with(&indexes(&[index("i", &[wrong])])),
            "SchemaDefinitionError",
            &format!(
                "In table \"t\" the index \"i\" is invalid because it references the field \"{wrong}\" that does not \
                 exist."
            ),
        );
    }
    let vector = |field: &str| {
        with(&format!(
            r#""indexes":[],"vectorIndexes":[{{"indexDescriptor":"i","vectorField":"{field}","dimensions":3}}]"#
        ))
    };
    assert!(Schema::parse(&schema_of(&vector("v"))).is_ok());
    check_error(
        &vector("a.b"),
        "SchemaDefinitionError",
        "In table \"t\" the vector index \"i\" is invalid because it references the field \"a.b\" that is neither an \
         array of float64 or optional array of float64.",
    );
}

#[test]
fn references_to_a_table_are_found() {
    let id = r#"{"type":"array","value":{"type":"id","tableName":"users"}}"#;
    let text = schema_of(&format!(
        r#""indexes":[],"documentType":{{"type":"object","value":{{"a":{{"fieldType":{id},"optional":true}}}}}}"#
    ));
    let schema = Schema::parse(&text).unwrap();
    assert_eq!(schema.references_to("users").collect::<Vec<_>>(), ["t"]);
    assert_eq!(schema.references_to("posts").count(), 0);
}
