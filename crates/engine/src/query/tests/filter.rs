use hull_value::{CodedError, Object, PackedValue, Value};
use serde_json::json;

use super::super::{Filter, filter::DEPTH_MAX};

fn document() -> PackedValue {
    let nested: Object = [("d", Value::from("x"))].into_iter().collect();
    let fields: Object = [
        ("int", Value::Int64(7)),
        ("min", Value::Int64(i64::MIN)),
        ("float", Value::Float64(2.5)),
        ("yes", Value::Boolean(true)),
        ("null", Value::Null),
        ("text", Value::from("a\"b")),
        ("list", Value::Array(vec![Value::Float64(1.0)])),
        ("c", Value::Object(nested)),
        ("ts", Value::CommitTs),
    ]
    .into_iter()
    .collect();
    Value::Object(fields).pack()
}

fn evaluate(expression: serde_json::Value) -> Result<bool, CodedError> {
    Filter::parse(&expression)?.accepts(document().as_object().unwrap())
}

fn check(expression: serde_json::Value, expected: bool) {
    assert_eq!(evaluate(expression.clone()), Ok(expected), "{expression}");
}

fn check_error(expression: serde_json::Value, message: &str) {
    let error = evaluate(expression).unwrap_err();
    assert_eq!(
        (error.code.as_ref(), error.message.as_str()),
        ("EvalError", message)
    );
}

fn field(path: &str) -> serde_json::Value {
    json!({"$field": path})
}

fn literal(value: impl Into<serde_json::Value>) -> serde_json::Value {
    json!({"$literal": value.into()})
}

/// An int64 literal in wire form, from its little-endian base64.
fn int(base64: &str) -> serde_json::Value {
    literal(json!({"$integer": base64}))
}

const INT_7: &str = "BwAAAAAAAAA=";
const INT_0: &str = "AAAAAAAAAAA=";
const INT_MINUS_1: &str = "//////////8=";

#[test]
fn comparisons_follow_the_total_order() {
    check(json!({"$eq": [field("int"), int(INT_7)]}), true);
    check(json!({"$eq": [field("int"), literal(7)]}), false);
    check(json!({"$neq": [field("int"), literal(7)]}), true);
    check(json!({"$lt": [field("int"), literal(-1000)]}), true);
    check(json!({"$gt": [field("text"), field("float")]}), true);
    check(
        json!({"$eq": [literal(0), literal(json!({"$float": "AAAAAAAAAIA="}))]}),
        false,
    );
    check(
        json!({"$eq": [field("c"), literal(json!({"d": "x"}))]}),
        true,
    );
    check(json!({"$eq": [field("c.d"), literal("x")]}), true);
    check(json!({"$gte": [field("list"), literal(json!([1]))]}), true);
    check(json!({"$lte": [field("list"), literal(json!([]))]}), false);
    check(json!({"$gt": [field("ts"), int(INT_7)]}), true);
}

#[test]
fn missing_field_is_undefined() {
    let undefined = literal(json!({"$undefined": null}));
    check(json!({"$eq": [field("missing"), undefined]}), true);
    check(json!({"$eq": [field("c.missing"), undefined]}), true);
    check(json!({"$eq": [field("text.deeper"), undefined]}), true);
    check(json!({"$eq": [field("null"), undefined]}), false);
    check(json!({"$lt": [field("missing"), field("null")]}), true);
}

#[test]
fn arithmetic() {
    check(
        json!({"$eq": [{"$add": [field("float"), literal(1)]}, literal(3.5)]}),
        true,
    );
    check(
        json!({"$eq": [{"$sub": [field("int"), int(INT_7)]}, int(INT_0)]}),
        true,
    );
    check(
        json!({"$eq": [{"$mul": [field("int"), int(INT_MINUS_1)]}, {"$neg": field("int")}]}),
        true,
    );
    check(
        json!({"$eq": [{"$div": [literal(1), literal(0)]}, literal(json!({"$float": "AAAAAAAA8H8="}))]}),
        true,
    );
    check(
        json!({"$eq": [{"$mod": [literal(-7), literal(4)]}, literal(-3)]}),
        true,
    );
    check(
        json!({"$eq": [{"$mod": [field("min"), int(INT_MINUS_1)]}, int(INT_0)]}),
        true,
    );
    check(json!({"$eq": [{"$neg": literal(2)}, literal(-2)]}), true);
}

#[test]
fn logic_stops_as_soon_as_it_knows() {
    let broken = json!({"$neg": field("text")});
    check(json!({"$and": []}), true);
    check(json!({"$or": []}), false);
    check(json!({"$and": [literal(false), broken]}), false);
    check(json!({"$or": [field("yes"), broken]}), true);
    check(json!({"$not": field("yes")}), false);
    assert!(evaluate(json!({"$and": [literal(true), broken]})).is_err());
}

#[test]
fn evaluation_error_texts() {
    check_error(
        json!({"$add": [field("int"), literal(1)]}),
        "Cannot add 7 (type Int64) and 1.0 (type Float64)",
    );
    check_error(
        json!({"$sub": [field("missing"), field("null")]}),
        "Cannot subtract undefined (type Undefined) and null (type Null)",
    );
    check_error(
        json!({"$mul": [field("text"), field("yes")]}),
        "Cannot multiply \"a\\\"b\" (type String) and true (type Boolean)",
    );
    check_error(
        json!({"$div": [field("int"), int(INT_0)]}),
        "Cannot divide 7 by zero",
    );
    check_error(
        json!({"$mod": [field("int"), int(INT_0)]}),
        "Cannot mod 7 by zero",
    );
    check_error(
        json!({"$div": [field("min"), int(INT_MINUS_1)]}),
        "Cannot divide -9223372036854775808 and -1: the result is out of range for Int64",
    );
    check_error(
        json!({"$add": [field("min"), int(INT_MINUS_1)]}),
        "Cannot add -9223372036854775808 and -1: the result is out of range for Int64",
    );
    check_error(
        json!({"$neg": field("min")}),
        "Cannot negate -9223372036854775808: the result is out of range for Int64",
    );
    check_error(
        json!({"$neg": field("list")}),
        "Cannot negate [1.0] (type Array)",
    );
    check_error(field("int"), "Cannot use value 7 (type Int64) as a Boolean");
    check_error(
        json!({"$not": field("missing")}),
        "Cannot use value undefined (type Undefined) as a Boolean",
    );
    check_error(
        json!({"$or": [field("c")]}),
        "Cannot use value {d: \"x\"} (type Object) as a Boolean",
    );
}

#[test]
fn malformed_expressions_are_refused() {
    for expression in [
        json!(1),
        json!({}),
        json!({"$eq": [], "$neq": []}),
        json!({"$eq": [literal(1)]}),
        json!({"$eq": [literal(1), literal(1), literal(1)]}),
        json!({"$and": literal(true)}),
        json!({"$foo": []}),
        json!({"$field": 1}),
        json!({"$field": "a b"}),
        literal(json!({"$commitTs": null})),
        literal(json!({"a": {"$undefined": null}})),
    ] {
        assert_eq!(
            evaluate(expression.clone()).unwrap_err().http_status(),
            400,
            "{expression}"
        );
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| (1..depth).fold(literal(true), |inner, _| json!({"$not": inner}));
    assert_eq!(evaluate(nested(DEPTH_MAX)), Ok(DEPTH_MAX % 2 == 1));
    let error = evaluate(nested(DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(
        error.message,
        "Invalid query: filter expressions may be nested at most 256 deep"
    );
}
