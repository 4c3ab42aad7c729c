//! Compares this crate with the npm library: order, sizes, wire JSON, accepted texts, validator and schema JSON.

#[path = "support/arbitrary.rs"]
mod arbitrary;
#[path = "support/node.rs"]
mod node;

use std::{cmp::Ordering, collections::BTreeMap};

use hull_value::{Object, PackedValue, Schema, Validator, Value, json};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::Value as Json;

const VALUES: usize = 4000;
const PAIRS: usize = 12_000;
const TEXTS: usize = 4000;

#[derive(serde::Serialize)]
struct Questions {
    /// Values in wire JSON.
    values: Vec<String>,
    /// Positions in `values` to compare.
    pairs: Vec<(usize, usize)>,
    /// JSON texts that may or may not be values.
    texts: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answers {
    round_trips: Vec<String>,
    sizes: Vec<usize>,
    /// `null` for values that are not objects.
    document_sizes: Vec<Option<usize>>,
    orders: Vec<i32>,
    accepted: Vec<bool>,
    validators: Vec<String>,
    schemas: Vec<String>,
}

fn samples<T: std::fmt::Debug>(
    runner: &mut TestRunner,
    strategy: impl Strategy<Value = T>,
    count: usize,
) -> Vec<T> {
    (0..count)
        .map(|_| {
            strategy
                .new_tree(runner)
                .expect("the strategy yields values")
                .current()
        })
        .collect()
}

/// JSON that looks like special forms: right and wrong names, contents, companions and repetitions.
fn suspicious_texts() -> impl Strategy<Value = String> {
    let names = [
        "$integer",
        "$float",
        "$bytes",
        "$commitTs",
        "$set",
        "$map",
        "$x",
        "$",
        "a",
        "b c",
        "",
        "é",
        "a\\n",
        "a\\u007f",
    ];
    let contents = [
        "null",
        "1",
        "-0",
        "1e400",
        "true",
        "\"\"",
        "\"AQAAAAAAAAA=\"",
        "\"AAAAAAAA8D8=\"",
        "\"AAAAAAAA+H8=\"",
        "\"AAAAAAAAAIA=\"",
        "\"AAAA\"",
        "\"x\"",
        "[]",
        "[1,\"\\ud83d\\ude00\"]",
        "{}",
        "\"€\"",
    ];
    let content = prop::sample::select(contents.to_vec()).prop_map(str::to_owned);
    content.prop_recursive(3, 12, 3, move |inner| {
        // Names are distinct: of a repeated one JavaScript sees the last content only, here all must be valid.
        let names = prop::sample::subsequence(names.to_vec(), 0..3).prop_shuffle();
        let contents = prop::collection::vec(inner.clone(), 3);
        let object = (names, contents).prop_map(|(names, contents)| {
            let fields = names
                .iter()
                .zip(contents)
                .map(|(name, content)| format!("\"{name}\":{content}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        });
        let array = prop::collection::vec(inner, 0..3)
            .prop_map(|elements| format!("[{}]", elements.join(",")));
        prop_oneof![4 => object, 1 => array]
    })
}

/// Tells whether the two sides differ by design on this text.
fn differs_by_design(text: &str) -> bool {
    // A number beyond the doubles is an error here and infinity in JavaScript.
    text.contains("1e400")
}

#[test]
fn agrees_with_the_npm_library() {
    let mut runner = TestRunner::deterministic();
    let values = samples(&mut runner, arbitrary::values(), VALUES);
    let pairs = samples(&mut runner, (0..VALUES, 0..VALUES), PAIRS);
    let texts = samples(&mut runner, suspicious_texts(), TEXTS);
    let packed: Vec<PackedValue> = values.iter().map(Value::pack).collect();
    let wire: Vec<String> = packed
        .iter()
        .map(|value| json::to_string(value.as_ref()))
        .collect();
    let questions = Questions {
        values: wire,
        pairs,
        texts,
    };
    let input = serde_json::to_vec(&questions).expect("questions are plain data");
    let answers: Answers = serde_json::from_slice(&node::run("differential.js", &input))
        .expect("the script's answers");

    check_round_trips(&packed, &answers.round_trips);
    check_sizes(&values, &answers);
    check_orders(&values, &questions.pairs, &answers.orders);
    check_accepted(&questions.texts, &answers.accepted);
    answers
        .validators
        .iter()
        .for_each(|text| check_validator(text));
    answers.schemas.iter().for_each(|text| check_schema(text));
}

fn check_round_trips(packed: &[PackedValue], round_trips: &[String]) {
    assert_eq!(packed.len(), round_trips.len());
    for (value, text) in packed.iter().zip(round_trips) {
        assert_eq!(
            PackedValue::from_encoded_json(text).as_ref(),
            Ok(value),
            "{text}"
        );
    }
}

fn check_sizes(values: &[Value], answers: &Answers) {
    let mut documents = 0;
    for ((value, size), document_size) in values
        .iter()
        .zip(&answers.sizes)
        .zip(&answers.document_sizes)
    {
        assert_eq!(value.size(), *size, "{value:?}");
        let Value::Object(fields) = value else {
            assert_eq!(*document_size, None);
            continue;
        };
        let system_fields = [
            ("_id", Value::from("0".repeat(32))),
            ("_creationTime", 1.0.into()),
        ];
        let whole: BTreeMap<_, _> = system_fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .chain(fields.clone())
            .collect();
        let whole = Value::from(whole.into_iter().collect::<Object>());
        assert_eq!(Some(whole.size()), *document_size, "{value:?}");
        documents += 1;
    }
    assert!(
        documents > VALUES / 20,
        "only {documents} objects among the values"
    );
}

fn check_orders(values: &[Value], pairs: &[(usize, usize)], orders: &[i32]) {
    assert_eq!(pairs.len(), orders.len());
    for ((a, b), order) in pairs.iter().zip(orders) {
        let (a, b) = (&values[*a], &values[*b]);
        let expected = order.cmp(&0);
        assert_eq!(a.cmp(b), expected, "{a:?} against {b:?}");
    }
    assert!(
        orders
            .iter()
            .filter(|order| order.cmp(&&0) == Ordering::Equal)
            .count()
            > 10,
        "too few equal pairs"
    );
}

fn check_accepted(texts: &[String], accepted: &[bool]) {
    assert_eq!(texts.len(), accepted.len());
    for (text, accepted) in texts
        .iter()
        .zip(accepted)
        .filter(|(text, _)| !differs_by_design(text))
    {
        assert_eq!(
            json::parse_encoded_in_mutation(text).is_ok(),
            *accepted,
            "{text}"
        );
    }
    let refused = accepted.iter().filter(|accepted| !**accepted).count();
    assert!(
        refused > TEXTS / 10 && refused < TEXTS * 9 / 10,
        "{refused} of {TEXTS} refused"
    );
}

fn check_validator(text: &str) {
    let validator = Validator::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(comparable(validator.to_json()), comparable(parse(text)));
}

/// The stored form differs from the exported one by sorted tables and the implicit last index field.
fn check_schema(text: &str) {
    let schema = Schema::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut expected = parse(text);
    let tables = expected["tables"].as_array_mut().expect("tables");
    tables.sort_by_key(|table| table["tableName"].to_string());
    for table in tables {
        for kind in ["indexes", "stagedDbIndexes"] {
            for index in table[kind].as_array_mut().expect("indexes") {
                index["fields"]
                    .as_array_mut()
                    .expect("fields")
                    .push("_creationTime".into());
            }
        }
    }
    assert_eq!(comparable(schema.to_json()), comparable(expected));
    assert_eq!(
        Schema::parse_stored(&schema.to_json().to_string()),
        Ok(schema)
    );
}

fn parse(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// Makes all numbers doubles, as they are in JavaScript.
fn comparable(json: Json) -> Json {
    match json {
        Json::Number(number) => number.as_f64().into(),
        Json::Array(elements) => elements.into_iter().map(comparable).collect(),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, comparable(field)))
            .collect(),
        other => other,
    }
}
