use hull_value::{CodedError, DocumentId, InternalId, TableNumber, Value, keys::Interval};
use proptest::prelude::*;

use super::super::{
    RangeExpression, RangeOperator, compile_id_range, compile_range,
    testing::{
        memory_source::{self, INDEXES, TABLE, paths},
        naive, strategies,
    },
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn interval_holds_exactly_the_matching_documents(
        (index, range) in (1..INDEXES.len()).prop_flat_map(|index| (Just(index), strategies::range(index))),
        documents in strategies::documents(20),
    ) {
        let fields = [INDEXES[index].1, &["_id"]].concat();
        let interval = compile_range("t.i", &paths(&fields), &range).unwrap();
        for (id, document) in documents {
            let key = memory_source::key(index, id, &document);
            prop_assert_eq!(interval.contains(&key), naive::matches(&document, &range), "{:?} in {:?}", document, range);
        }
    }

    #[test]
    fn id_interval_holds_exactly_the_matching_ids(
        range in strategies::range(0),
        documents in strategies::documents(20),
    ) {
        let interval = compile_id_range("t.by_id", TABLE, &range).unwrap();
        for (id, document) in documents {
            prop_assert_eq!(interval.contains(&id.0), naive::matches(&document, &range), "{:?} in {:?}", document, range);
        }
    }
}

use RangeOperator::{Eq, Gt, Gte, Lt, Lte};

fn range(expressions: &[(&str, RangeOperator, f64)]) -> Vec<RangeExpression> {
    let expression = |(field, operator, value): &(&str, RangeOperator, f64)| RangeExpression {
        field: field.parse().unwrap(),
        operator: *operator,
        value: Some(Value::Float64(*value).pack()),
    };
    expressions.iter().map(expression).collect()
}

fn compile(expressions: &[(&str, RangeOperator, f64)]) -> Result<Interval, CodedError> {
    compile_range(
        "t.by_abc",
        &paths(&["a", "b", "c", "_creationTime", "_id"]),
        &range(expressions),
    )
}

fn check_error(expressions: &[(&str, RangeOperator, f64)], code: &str, message: &str) {
    let error = compile(expressions).unwrap_err();
    assert_eq!(
        (
            error.code.as_ref(),
            error.message.as_str(),
            error.http_status()
        ),
        (code, message, 400)
    );
}

#[test]
fn equalities_stand_in_any_order() {
    let sorted = compile(&[("a", Eq, 1.0), ("b", Eq, 2.0), ("c", Gt, 3.0)]).unwrap();
    assert_eq!(
        compile(&[("c", Gt, 3.0), ("b", Eq, 2.0), ("a", Eq, 1.0)]).unwrap(),
        sorted
    );
}

#[test]
fn contradiction_is_empty() {
    assert!(
        compile(&[("a", Gt, 5.0), ("a", Lt, 4.0)])
            .unwrap()
            .is_empty()
    );
    assert!(
        compile(&[("a", Gte, 5.0), ("a", Lt, 5.0)])
            .unwrap()
            .is_empty()
    );
    assert!(
        compile(&[("a", Gt, 5.0), ("a", Lte, 5.0)])
            .unwrap()
            .is_empty()
    );
    assert!(
        !compile(&[("a", Gte, 5.0), ("a", Lte, 5.0)])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn whole_id_is_a_point() {
    let internal = InternalId([7; 16]);
    let id = DocumentId {
        table: TABLE,
        internal,
    }
    .to_string();
    let range = |operator| {
        [RangeExpression {
            operator,
            field: "_id".parse().unwrap(),
            value: Some(Value::from(id.as_str()).pack()),
        }]
    };
    assert_eq!(
        compile_id_range("t.by_id", TABLE, &range(Eq)).unwrap(),
        Interval::point(vec![7; 16])
    );
    assert!(
        compile_id_range("t.by_id", TableNumber(10_002), &range(Eq))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        compile_id_range("t.by_id", TableNumber(10_002), &range(Gt))
            .unwrap()
            .start,
        vec![0; 16]
    );
    assert!(
        compile_id_range("t.by_id", TableNumber(10_000), &range(Gt))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn error_texts() {
    check_error(
        &[("a", Eq, 1.0), ("a", Eq, 2.0)],
        "AlreadyDefinedBound",
        "Already defined equality bound in index range. Can't add \"a\" == 2.0.",
    );
    check_error(
        &[("a", Gt, 1.0), ("a", Gte, 2.0)],
        "AlreadyDefinedBound",
        "Already defined lower bound in index range. Can't add \"a\" >= 2.0.",
    );
    check_error(
        &[("a", Lt, 1.0), ("a", Lte, 2.0)],
        "AlreadyDefinedBound",
        "Already defined upper bound in index range. Can't add \"a\" <= 2.0.",
    );
    check_error(
        &[("a", Lt, 1.0), ("a", Eq, 2.0)],
        "AlreadyDefinedBound",
        "Already defined inequality bound in index range. Can't add \"a\" == 2.0.",
    );
    check_error(
        &[("a", Gt, 1.0), ("b", Lt, 2.0)],
        "BoundsOnMultipleFields",
        "Upper and lower bounds in `range` can only be applied to a single index field. This query against index t.by_abc attempted to set a range bound on both \"a\" and \"b\". Consider using `filter` instead. See https://docs.convex.dev/using/indexes for more info.",
    );
    check_error(
        &[("x", Gt, 1.0)],
        "FieldNotInIndex",
        "The index range included a comparison with \"x\", but t.by_abc with fields [\"a\", \"b\", \"c\", \"_creationTime\"] doesn't index this field. For more information see https://docs.convex.dev/using/indexes.",
    );
    check_error(
        &[("a", Eq, 1.0), ("c", Gt, 1.0)],
        "InvalidIndexRange",
        "Tried to query index t.by_abc but the query didn't use the index fields in order.\nIndex fields: [\"a\", \"b\", \"c\", \"_creationTime\"]\nQuery fields: [\"a\", \"c\"]\nFirst incorrect field: \"c\"\nFor more information see https://docs.convex.dev/using/indexes.",
    );
}

#[test]
fn every_way_to_skip_a_field_is_refused() {
    for expressions in [
        &[("b", Eq, 1.0)][..],
        &[("b", Gt, 1.0)],
        &[("c", Eq, 1.0), ("a", Eq, 1.0)],
        &[("a", Gt, 1.0), ("b", Eq, 1.0)],
        &[("_id", Eq, 1.0)],
    ] {
        assert_eq!(
            compile(expressions).unwrap_err().code,
            "InvalidIndexRange",
            "{expressions:?}"
        );
    }
}
