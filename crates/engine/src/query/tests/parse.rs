use hull_store::Order;
use hull_value::Value;
use serde_json::json;

use super::super::{
    Filter, Operator, Query, QueryStream, RangeExpression, RangeOperator, SearchFilter, Source,
    testing::MemorySource,
};

#[test]
fn full_table_scan() {
    let query = Query::parse(&json!({
        "source": {"type": "FullTableScan", "tableName": "messages", "order": null},
        "operators": [{"limit": 10}, {"limit": 3.0}, {"filter": {"$literal": true}}],
    }));
    let literal = Filter::Literal(Some(Value::Boolean(true).pack()));
    let expected = Query {
        source: Source::FullTableScan {
            table: "messages".to_owned(),
            order: Order::Asc,
        },
        operators: vec![
            Operator::Limit(10),
            Operator::Limit(3),
            Operator::Filter(literal),
        ],
    };
    assert_eq!(query, Ok(expected));
}

#[test]
fn index_range() {
    let query = Query::parse(&json!({
        "source": {"type": "IndexRange", "indexName": "messages.by_channel", "order": "desc", "range": [
            {"type": "Eq", "fieldPath": "channel.name", "value": {"$undefined": null}},
            {"type": "Gte", "fieldPath": "n", "value": {"$commitTs": null}},
            {"type": "Lt", "fieldPath": "n", "value": 5},
        ]},
        "operators": [],
    }));
    let expression = |operator, field: &str, value: Option<Value>| RangeExpression {
        operator,
        field: field.parse().unwrap(),
        value: value.map(|value| value.pack()),
    };
    let expected = Source::IndexRange {
        table: "messages".to_owned(),
        index: "by_channel".to_owned(),
        order: Order::Desc,
        range: vec![
            expression(RangeOperator::Eq, "channel.name", None),
            expression(RangeOperator::Gte, "n", Some(Value::CommitTs)),
            expression(RangeOperator::Lt, "n", Some(Value::Float64(5.0))),
        ],
    };
    assert_eq!(
        query,
        Ok(Query {
            source: expected,
            operators: vec![]
        })
    );
}

#[test]
fn search_is_parsed_and_refused() {
    let query = Query::parse(&json!({
        "source": {"type": "Search", "indexName": "t.s", "filters": [
            {"type": "Search", "fieldPath": "body", "value": "hello"},
            {"type": "Eq", "fieldPath": "channel", "value": {"$undefined": null}},
        ]},
        "operators": [{"limit": 5}],
    }))
    .unwrap();
    let filters = vec![
        SearchFilter::Search {
            field: "body".parse().unwrap(),
            text: "hello".to_owned(),
        },
        SearchFilter::Eq {
            field: "channel".parse().unwrap(),
            value: None,
        },
    ];
    assert_eq!(
        query.source,
        Source::Search {
            table: "t".to_owned(),
            index: "s".to_owned(),
            filters
        }
    );
    let error = QueryStream::open(query, &mut MemorySource::default()).unwrap_err();
    assert_eq!(
        error.message,
        "Text search is not implemented yet: cannot query search index t.s."
    );
    assert!(error.is_deterministic(), "a retry would not help");
}

#[test]
fn operators_are_limited() {
    let query = |operators: usize| {
        let operators = vec![json!({"limit": 1}); operators];
        let source = json!({"type": "FullTableScan", "tableName": "t", "order": null});
        Query::parse(&json!({"source": source, "operators": operators}))
    };
    assert!(query(256).is_ok());
    assert_eq!(
        query(257).unwrap_err().message,
        "Can't construct query with more than 256 operators"
    );
}

#[test]
fn malformed_queries_are_refused() {
    let source = |source| json!({"source": source, "operators": []});
    let scan = json!({"type": "FullTableScan", "tableName": "t", "order": null});
    let range =
        |range| json!({"type": "IndexRange", "indexName": "t.i", "order": null, "range": range});
    for query in [
        json!(null),
        json!({"operators": []}),
        json!({"source": scan, "operators": {}}),
        json!({"source": scan, "operators": [{}]}),
        json!({"source": scan, "operators": [{"limit": -1}]}),
        json!({"source": scan, "operators": [{"limit": 1.5}]}),
        json!({"source": scan, "operators": [{"limit": "1"}]}),
        json!({"source": scan, "operators": [{"limit": 1, "filter": {"$literal": true}}]}),
        source(json!({"type": "Everything"})),
        source(json!({"type": "FullTableScan", "tableName": "a b", "order": null})),
        source(json!({"type": "FullTableScan", "tableName": "t", "order": "up"})),
        source(json!({"type": "IndexRange", "indexName": "t", "order": null, "range": []})),
        source(range(json!({}))),
        source(range(
            json!([{"type": "Like", "fieldPath": "a", "value": 1}]),
        )),
        source(range(json!([{"type": "Eq", "fieldPath": "a"}]))),
        source(range(json!([{"type": "Eq", "fieldPath": "", "value": 1}]))),
        source(range(
            json!([{"type": "Eq", "fieldPath": "a", "value": {"$integer": "x"}}]),
        )),
        source(
            json!({"type": "Search", "indexName": "t.s", "filters": [{"type": "Search", "fieldPath": "a", "value": 1}]}),
        ),
    ] {
        assert_eq!(
            Query::parse(&query).unwrap_err().http_status(),
            400,
            "{query}"
        );
    }
}
