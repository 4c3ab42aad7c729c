use super::*;
use crate::{DocumentId, InternalId, TableKind, TableNames, TableNumber, json};

struct Tables;

impl TableNames for Tables {
    fn name_of(&self, number: TableNumber) -> Option<TableKind<'_>> {
        match number.0 {
            10001 => Some(TableKind::User("users")),
            540 => Some(TableKind::User("_storage")),
            513 => Some(TableKind::System),
            _ => None,
        }
    }
}

fn id_in(table: u32) -> String {
    DocumentId::new(TableNumber(table), InternalId([7; 16])).to_string()
}

fn check(validator: &str, value: &str, expected: Result<(), &str>) {
    let validator = Validator::parse(validator).unwrap();
    let value = json::parse_encoded_in_mutation(value).unwrap().pack();
    let checked = validator
        .check(value.as_ref(), &Tables)
        .map_err(|e| e.to_string());
    assert_eq!(checked.as_ref().map_err(String::as_str).copied(), expected);
}

fn check_mismatch(validator: &str, value: &str, value_text: &str, validator_text: &str) {
    let expected = format!(
        "Value does not match validator.\n\nValue: {value_text}\nValidator: {validator_text}"
    );
    check(validator, value, Err(&expected));
}

#[test]
fn scalars() {
    check(r#"{"type":"null"}"#, "null", Ok(()));
    check(r#"{"type":"number"}"#, "1", Ok(()));
    check(
        r#"{"type":"bigint"}"#,
        r#"{"$integer":"AQAAAAAAAAA="}"#,
        Ok(()),
    );
    check(r#"{"type":"bigint"}"#, r#"{"$commitTs":null}"#, Ok(()));
    check(r#"{"type":"commitTs"}"#, r#"{"$commitTs":null}"#, Ok(()));
    check(
        r#"{"type":"commitTs"}"#,
        r#"{"$integer":"AQAAAAAAAAA="}"#,
        Ok(()),
    );
    check(r#"{"type":"boolean"}"#, "true", Ok(()));
    check(r#"{"type":"string"}"#, "\"\"", Ok(()));
    check(r#"{"type":"bytes"}"#, r#"{"$bytes":""}"#, Ok(()));
    check(r#"{"type":"any"}"#, "[null]", Ok(()));
    check(r#"{"type":"map"}"#, "[null]", Ok(()));
    check_mismatch(
        r#"{"type":"number"}"#,
        r#"{"$integer":"AQAAAAAAAAA="}"#,
        "1",
        "v.float64()",
    );
    check_mismatch(r#"{"type":"bigint"}"#, "1", "1.0", "v.int64()");
    check_mismatch(r#"{"type":"commitTs"}"#, "1", "1.0", "v.commitTs()");
    check_mismatch(r#"{"type":"null"}"#, "false", "false", "v.null()");
    check_mismatch(r#"{"type":"boolean"}"#, "null", "null", "v.boolean()");
    check_mismatch(
        r#"{"type":"string"}"#,
        r#"{"$bytes":"AP8="}"#,
        "b\"AP8=\"",
        "v.string()",
    );
    check_mismatch(r#"{"type":"bytes"}"#, "\"a\\n\"", "\"a\\n\"", "v.bytes()");
    check_mismatch(
        r#"{"type":"union","value":[]}"#,
        "null",
        "null",
        "v.union()",
    );
}

#[test]
fn ids() {
    let users = r#"{"type":"id","tableName":"users"}"#;
    check(users, &format!("{:?}", id_in(10001)), Ok(()));
    check(
        r#"{"type":"id","tableName":"_storage"}"#,
        &format!("{:?}", id_in(540)),
        Ok(()),
    );
    check_mismatch(users, "\"x\"", "\"x\"", "v.id(\"users\")");
    check_mismatch(users, "1", "1.0", "v.id(\"users\")");
    let unknown = format!("{:?}", id_in(10002));
    check_mismatch(users, &unknown, &unknown, "v.id(\"users\")");
    let storage = id_in(540);
    check(
        users,
        &format!("{storage:?}"),
        Err(&format!(
            "Found ID \"{storage}\" from table `_storage`, which does not match the table name in validator \
             `v.id(\"users\")`."
        )),
    );
    let system = id_in(513);
    check(
        r#"{"type":"array","value":{"type":"id","tableName":"users"}}"#,
        &format!("[{system:?}]"),
        Err(&format!(
            "Found ID \"{system}\" from a system table, which does not match the table name in validator \
             `v.id(\"users\")`.Path: [0]"
        )),
    );
}

#[test]
fn literals() {
    let literal = |value: &str| format!(r#"{{"type":"literal","value":{value}}}"#);
    check(&literal("\"a\""), "\"a\"", Ok(()));
    check(&literal("1"), "1.0", Ok(()));
    check(
        &literal("\"a\""),
        "1",
        Err("`1.0` does not match literal validator `v.literal(\"a\")`."),
    );
    check(
        &literal("0"),
        r#"{"$float":"AAAAAAAAAIA="}"#,
        Err("`-0.0` does not match literal validator `v.literal(0.0)`."),
    );
    let one = r#"{"$integer":"AQAAAAAAAAA="}"#;
    check(&literal(one), one, Ok(()));
    check(
        &literal(one),
        "1",
        Err("`1.0` does not match literal validator `v.literal(<bigint>)`."),
    );
    check(
        &literal("true"),
        "false",
        Err("`false` does not match literal validator `v.literal(true)`."),
    );
}

const MEMBERS: &str = r#"{"type":"object","value":{
    "members":{"fieldType":{"type":"array","value":{"type":"object","value":{
        "role":{"fieldType":{"type":"string"},"optional":false}}}},"optional":false},
    "note":{"fieldType":{"type":"string"},"optional":true}}}"#;

#[test]
fn objects() {
    check(MEMBERS, r#"{"members":[{"role":"x"}]}"#, Ok(()));
    check(MEMBERS, r#"{"members":[],"note":""}"#, Ok(()));
    let shown =
        "v.object({members: v.array(v.object({role: v.string()})), note: v.optional(v.string())})";
    check(
        MEMBERS,
        r#"{"members":[{"role":1}]}"#,
        Err(
            "Value does not match validator.\nPath: .members[0].role\nValue: 1.0\nValidator: v.string()",
        ),
    );
    check(
        MEMBERS,
        r#"{"members":[{"role":"x"},{}]}"#,
        Err(
            "Object is missing the required field `role`. Consider wrapping the field validator in `v.optional(...)` \
             if this is expected.\nPath: .members[1]\nObject: {}\nValidator: v.object({role: v.string()})",
        ),
    );
    check(
        MEMBERS,
        r#"{"a":1,"members":[],"z":2}"#,
        Err(&format!(
            "Object contains extra field `a` that is not in the validator.\n\nObject: {{a: 1.0, members: [], z: \
             2.0}}\nValidator: {shown}"
        )),
    );
    // A wrong declared field is reported before an extra one that sorts earlier.
    check(
        MEMBERS,
        r#"{"a":1,"members":1}"#,
        Err(
            "Value does not match validator.\nPath: .members\nValue: 1.0\nValidator: v.array(v.object({role: \
             v.string()}))",
        ),
    );
    check_mismatch(MEMBERS, "[]", "[]", shown);
}

#[test]
fn records() {
    let record = r#"{"type":"record","keys":{"type":"id","tableName":"users"},
        "values":{"fieldType":{"type":"number"},"optional":false}}"#;
    check(record, &format!(r#"{{"{}":1}}"#, id_in(10001)), Ok(()));
    check(record, "{}", Ok(()));
    check(
        record,
        r#"{"a b":1}"#,
        Err(
            "Value does not match validator.\nPath: .keys()\nValue: \"a b\"\nValidator: v.id(\"users\")",
        ),
    );
    check(
        record,
        &format!(r#"{{"{}":null}}"#, id_in(10001)),
        Err(
            "Value does not match validator.\nPath: .values()\nValue: null\nValidator: v.float64()",
        ),
    );
    check_mismatch(
        record,
        "null",
        "null",
        "v.record(v.id(\"users\"), v.float64())",
    );
}

#[test]
fn unions() {
    let two =
        r#"{"type":"union","value":[{"type":"string"},{"type":"array","value":{"type":"null"}}]}"#;
    check(two, "[null]", Ok(()));
    check_mismatch(
        two,
        "[1]",
        "[1.0]",
        "v.union(v.string(), v.array(v.null()))",
    );
    let one = r#"{"type":"union","value":[{"type":"array","value":{"type":"null"}}]}"#;
    check(
        one,
        "[1]",
        Err("Value does not match validator.\nPath: [0]\nValue: 1.0\nValidator: v.null()"),
    );
}

#[test]
fn documents_are_checked_without_system_fields() {
    let validator = Validator::parse(MEMBERS).unwrap();
    let document = json::parse_encoded(r#"{"_creationTime":1,"_id":"x","members":1}"#)
        .unwrap()
        .pack();
    assert_eq!(
        validator
            .check_document(document.as_object().unwrap(), &Tables)
            .unwrap_err()
            .to_string(),
        "Value does not match validator.\nPath: .members\nValue: 1.0\nValidator: v.array(v.object({role: v.string()}))"
    );
    let document = json::parse_encoded(r#"{"_creationTime":1,"_id":"x"}"#)
        .unwrap()
        .pack();
    let error = validator
        .check_document(document.as_object().unwrap(), &Tables)
        .unwrap_err()
        .to_string();
    assert!(error.contains("\nObject: {}\n"), "{error}");
}

fn check_parse_error(validator: &str, code: &str, message: &str) {
    let error = Validator::parse(validator).unwrap_err();
    assert_eq!((&*error.code, &*error.message), (code, message));
}

#[test]
fn parse_errors() {
    let record = |keys: &str, optional: bool| {
        format!(
            r#"{{"type":"record","keys":{keys},"values":{{"fieldType":{{"type":"any"}},"optional":{optional}}}}}"#
        )
    };
    check_parse_error(
        &record(r#"{"type":"number"}"#, false),
        "InvalidRecordType",
        "Records can only have string keys. Your validator contains a record with key typed as `v.float64()`, which is \
         not a subtype of `v.string()`",
    );
    check_parse_error(
        &record(
            r#"{"type":"union","value":[{"type":"string"},{"type":"literal","value":"a"}]}"#,
            false,
        ),
        "InvalidRecordType",
        "Records cannot have string literal keys",
    );
    check_parse_error(
        &record(r#"{"type":"string"}"#, true),
        "InvalidRecordType",
        "Records cannot have optional values",
    );
    check_parse_error(
        r#"{"type":"literal","value":{"$float":"AAAAAAAA+H8="}}"#,
        "UnsupportedFloatLiteral",
        "Infinite or NaN values are not supported in literal validators.",
    );
    check_parse_error(
        r#"{"type":"object","value":{"a":{"fieldType":{"type":"object","value":{"b c":{"fieldType":{"type":"any"},"optional":false}}},"optional":false}}}"#,
        "InvalidIdentifier",
        "Invalid validator for key `a`: Invalid validator for key `b c`: Identifier b c has invalid character ' ': \
         Identifiers can only contain alphanumeric characters or underscores",
    );
    check_parse_error(
        r#"{"type":"date"}"#,
        "InvalidSchema",
        "Unknown validator type `date`",
    );
    let deep = format!(
        "{}{}",
        r#"{"type":"array","value":"#.repeat(200),
        "}".repeat(200)
    );
    assert_eq!(Validator::parse(&deep).unwrap_err().code, "InvalidSchema");
}

fn check_subset(narrow: &str, wide: &str, expected: bool) {
    let [narrow, wide] = [narrow, wide].map(|text| Validator::parse(text).unwrap());
    assert_eq!(narrow.is_subset_of(&wide), expected, "{narrow} in {wide}");
    assert!(narrow.is_subset_of(&narrow) && narrow.is_subset_of(&Validator::Any));
}

#[test]
fn subsets() {
    let kind = |name: &str| format!(r#"{{"type":"{name}"}}"#);
    let literal = |value: &str| format!(r#"{{"type":"literal","value":{value}}}"#);
    let union = |a: &str, b: &str| format!(r#"{{"type":"union","value":[{a},{b}]}}"#);
    let field = |name: &str, kind: &str, optional: bool| {
        format!(
            r#"{{"type":"object","value":{{"{name}":{{"fieldType":{kind},"optional":{optional}}}}}}}"#
        )
    };
    let id = r#"{"type":"id","tableName":"users"}"#;
    check_subset(id, &kind("string"), true);
    check_subset(&kind("string"), id, false);
    check_subset(id, r#"{"type":"id","tableName":"posts"}"#, false);
    check_subset(&literal("\"a\""), &kind("string"), true);
    check_subset(&literal("1"), &kind("bigint"), false);
    check_subset(&kind("commitTs"), &kind("bigint"), true);
    check_subset(&kind("bigint"), &kind("commitTs"), true);
    check_subset(&kind("any"), &kind("string"), false);
    check_subset(
        &kind("string"),
        &union(&kind("null"), &kind("string")),
        true,
    );
    check_subset(
        &union(&kind("null"), &kind("string")),
        &kind("string"),
        false,
    );
    check_subset(&union(&literal("1"), &literal("2")), &kind("number"), true);
    check_subset(
        &kind("boolean"),
        &union(&literal("true"), &literal("false")),
        true,
    );
    check_subset(
        &kind("boolean"),
        &union(&literal("true"), &kind("null")),
        false,
    );
    check_subset(r#"{"type":"union","value":[]}"#, &kind("null"), true);
    let empty = r#"{"type":"object","value":{}}"#;
    check_subset(empty, &field("a", &kind("null"), true), true);
    check_subset(empty, &field("a", &kind("null"), false), false);
    check_subset(&field("a", &kind("null"), false), empty, false);
    check_subset(
        &field("a", &kind("null"), false),
        &field("a", &kind("any"), true),
        true,
    );
    check_subset(
        &field("a", &kind("null"), true),
        &field("a", &kind("null"), false),
        false,
    );
}

#[test]
fn json_round_trip() {
    let text = r#"{"type":"object","value":{"a":{"fieldType":{"type":"union","value":[{"type":"literal","value":{"$integer":"AQAAAAAAAAA="}},{"type":"literal","value":-0.5},{"tableName":"users","type":"id"}]},"optional":true},"b":{"fieldType":{"keys":{"type":"string"},"type":"record","values":{"fieldType":{"type":"bytes"},"optional":false}},"optional":false}}}"#;
    let validator = Validator::parse(text).unwrap();
    assert_eq!(validator.to_json().to_string(), text);
}
