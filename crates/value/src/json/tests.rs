use super::*;
use crate::Object;

fn check(value: impl Into<Value>, encoded: &str, clean: &str, export: &str) {
    let packed = value.into().pack();
    assert_eq!(to_string(packed.as_ref()), encoded);
    assert_eq!(to_clean_string(packed.as_ref()), clean);
    assert_eq!(to_export_string(packed.as_ref()), export);
    assert_eq!(PackedValue::from_encoded_json(encoded).unwrap(), packed);
    assert_eq!(pack_export(export).unwrap(), packed);
}

fn check_same(value: impl Into<Value>, text: &str) {
    check(value, text, text, text);
}

#[test]
fn renderings() {
    check_same(Value::Null, "null");
    check_same(true, "true");
    check_same(0.0, "0.0");
    check_same(-7.0, "-7.0");
    check_same(2_147_483_648.0, "2147483648.0");
    check_same(0.1, "0.1");
    check_same(1e21, "1e21");
    check_same(5e-324, "5e-324");
    check_same("\"\\/\u{8}\u{c}\n\r\t\u{1f}", r#""\"\\/\b\f\n\r\t\u001f""#);
    check_same("\u{7f}é\u{2028}😀", "\"\u{7f}é\u{2028}😀\"");
    check_same(Vec::<Value>::new(), "[]");
    check_same(Object::new(), "{}");
    check_same(
        Object::from([("b", vec![Value::Null, 1.5.into()]), ("", vec![])]),
        r#"{"":[],"b":[null,1.5]}"#,
    );
    check(1i64, r#"{"$integer":"AQAAAAAAAAA="}"#, "\"1\"", "1");
    check(-1i64, r#"{"$integer":"//////////8="}"#, "\"-1\"", "-1");
    check(
        i64::MIN,
        r#"{"$integer":"AAAAAAAAAIA="}"#,
        "\"-9223372036854775808\"",
        "-9223372036854775808",
    );
    check(-0.0, r#"{"$float":"AAAAAAAAAIA="}"#, "-0.0", "-0.0");
    let special = |text: &str| format!(r#"{{"$float":"{text}"}}"#);
    check(
        f64::NAN,
        &special("AAAAAAAA+H8="),
        "\"NaN\"",
        &special("AAAAAAAA+H8="),
    );
    check(
        f64::INFINITY,
        &special("AAAAAAAA8H8="),
        "\"Infinity\"",
        &special("AAAAAAAA8H8="),
    );
    check(
        f64::NEG_INFINITY,
        &special("AAAAAAAA8P8="),
        "\"-Infinity\"",
        &special("AAAAAAAA8P8="),
    );
    check(
        vec![0u8, 255],
        r#"{"$bytes":"AP8="}"#,
        "\"AP8=\"",
        r#"{"$bytes":"AP8="}"#,
    );
}

fn check_parse(text: &str, expected: impl Into<Value>) {
    let expected = expected.into();
    assert_eq!(parse_encoded(text).unwrap(), expected, "{text}");
    assert_eq!(
        parse_encoded_value(&serde_json::from_str(text).unwrap()).unwrap(),
        expected,
        "{text}"
    );
}

#[test]
fn accepted_wire_forms() {
    check_parse("5", 5.0);
    check_parse("-0", -0.0);
    check_parse("18446744073709551615", 18_446_744_073_709_551_615.0);
    check_parse(
        "123456789012345678901234567890",
        123_456_789_012_345_678_901_234_567_890.0,
    );
    check_parse(r#"{"$float":"AAAAAAAAAAA="}"#, 0.0);
    check_parse(
        r#" {"a" : [1 , {"$integer":"BwAAAAAAAAA="}] } "#,
        Object::from([("a", vec![Value::from(1.0), 7i64.into()])]),
    );
    check_parse(r#"{"a":1,"a":2}"#, Object::from([("a", 2.0)]));
    check_parse(r#"{"$bytes":"AA==","$bytes":""}"#, Vec::<u8>::new());
    check_parse(r#"{"\u0024bytes":"AA=="}"#, vec![0u8]);
    check_parse("\"\\ud83d\\ude00\"", "😀");
}

fn check_invalid(text: &str, expected: &str) {
    match parse_encoded(text) {
        Err(JsonValueError::Invalid(error)) => assert_eq!(error.message, expected, "{text}"),
        other => panic!("{text}: {other:?}"),
    }
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        parse_encoded_value(&json).unwrap_err().to_string(),
        expected,
        "{text}"
    );
}

#[test]
fn refused_wire_forms() {
    check_invalid(
        r#"{"$x":1}"#,
        "Field name $x starts with '$', which is reserved.",
    );
    check_invalid(
        r#"[{"a":1,"$x":1}]"#,
        "Field name $x starts with '$', which is reserved.",
    );
    check_invalid(
        r#"{"$bytes":"","b":[1]}"#,
        "Field name $bytes starts with '$', which is reserved.",
    );
    check_invalid(
        r#"{"$commitTs":null}"#,
        "Field name $commitTs starts with '$', which is reserved.",
    );
    check_invalid(
        r#"{"$undefined":null}"#,
        "Field name $undefined starts with '$', which is reserved.",
    );
    check_invalid(
        r#"{"$float":"AAAAAAAA8D8="}"#,
        "Float64 1 should be encoded as a number",
    );
    check_invalid(
        r#"{"$float":"AAAA"}"#,
        "Received 3 bytes, expected 8 for $float",
    );
    check_invalid(
        r#"{"$integer":"AAAA"}"#,
        "Received 3 bytes, expected 8 for $integer",
    );
    check_invalid(
        r#"{"$integer":5}"#,
        "Malformed $integer field: expected a base64 string",
    );
    check_invalid(
        r#"{"$bytes":{"a":[1,true]}}"#,
        "Malformed $bytes field: expected a base64 string",
    );
    check_invalid(
        r#"{"$set":[]}"#,
        "Received a Set which is no longer supported as a Convex type.",
    );
    check_invalid(
        r#"{"$map":[]}"#,
        "Received a Map which is no longer supported as a Convex type.",
    );
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    check_invalid(
        &deep,
        "Value is too nested (nested 65 levels deep > maximum nesting 64)",
    );
}

#[test]
fn broken_json_is_a_syntax_error() {
    for text in [
        "",
        "[",
        "1 2",
        "nul",
        "\"\\ud800\"",
        "{\"a\" 1}",
        "NaN",
        "1e999",
        "{\"$bytes\":",
        "{\"$x\":1,\"b\":}",
    ] {
        assert!(
            matches!(parse_encoded(text), Err(JsonValueError::Syntax(_))),
            "{text}"
        );
    }
    assert!(parse_encoded(&"[".repeat(1_000_000)).is_err());
}

#[test]
fn commit_timestamps_only_inside_mutations() {
    let text = r#"{"a":{"$commitTs":null}}"#;
    let value = parse_encoded_in_mutation(text).unwrap();
    assert_eq!(to_string(value.pack().as_ref()), text);
    assert!(value.pack().as_ref().has_commit_ts());
    assert!(parse_encoded(text).is_err());
    assert!(parse_encoded_in_mutation(r#"{"$commitTs":1}"#).is_err());
    assert!(parse_export(text).is_err());
}

#[test]
fn export_numbers_tell_int64_from_float64() {
    assert_eq!(
        parse_export("[1,1.0,-0.0]").unwrap(),
        vec![Value::from(1i64), 1.0.into(), (-0.0).into()].into()
    );
    assert_eq!(
        parse_export("9223372036854775807").unwrap(),
        i64::MAX.into()
    );
    assert_eq!(
        parse_export("9223372036854775808").unwrap_err().to_string(),
        "Integer 9223372036854775808 does not fit into an Int64"
    );
}

#[test]
fn plain_json_knows_no_special_forms() {
    assert_eq!(parse_plain("[1]").unwrap(), vec![Value::from(1.0)].into());
    assert_eq!(
        parse_plain(r#"{"$integer":"AQAAAAAAAAA="}"#)
            .unwrap_err()
            .to_string(),
        "Field name $integer starts with '$', which is reserved."
    );
}

#[test]
fn patches_remove_fields_at_top_level_only() {
    let fields =
        parse_patch(r#"{"a":{"$undefined":null},"b":{"$commitTs":null},"c":1,"c":2}"#).unwrap();
    let expected = [
        ("a", None),
        ("b", Some(Value::CommitTs)),
        ("c", Some(2.0.into())),
    ];
    assert_eq!(
        fields,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    assert!(parse_patch(r#"{"a":[{"$undefined":null}]}"#).is_err());
    assert!(parse_patch(r#"{"a":{"$undefined":1}}"#).is_err());
    assert!(matches!(parse_patch("[]"), Err(JsonValueError::Syntax(_))));
    assert_eq!(
        parse_patch(r#"{"$a":1}"#).unwrap_err().to_string(),
        "Field name $a starts with '$', which is reserved."
    );
}

#[test]
fn formats_have_names() {
    assert_eq!(Format::parse("convex_json").unwrap(), Format::Encoded);
    assert_eq!(
        Format::parse("convex_encoded_json").unwrap(),
        Format::Encoded
    );
    assert_eq!(Format::parse("json").unwrap(), Format::Clean);
    assert_eq!(Format::parse("convex_clean_json").unwrap(), Format::Clean);
    assert_eq!(Format::parse("export_json").unwrap(), Format::Export);
    let error = Format::parse("xml").unwrap_err();
    assert_eq!(
        (&*error.code, &*error.message),
        ("BadFormat", "format param must be one of [`json`]. Got xml")
    );
}
