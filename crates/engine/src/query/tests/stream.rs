use std::cmp::Ordering;

use hull_store::Order;
use hull_value::{InternalId, PackedValue, Value};
use proptest::prelude::*;

use super::super::{
    Filter, Operator, Query, QueryStream, Source,
    filter::Comparison,
    testing::{
        MemorySource,
        memory_source::{self, INDEXES},
        naive, strategies,
    },
};

fn collect(source: &mut MemorySource, query: &Query) -> Vec<PackedValue> {
    let mut stream = QueryStream::open(query.clone(), source).unwrap();
    let rows = std::iter::from_fn(|| stream.next(source).unwrap()).collect();
    assert_eq!(
        stream.next(source),
        Ok(None),
        "a finished stream stays finished"
    );
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn stream_equals_naive_evaluation(documents in strategies::documents(60), query in strategies::query()) {
        let mut source = MemorySource::new(documents);
        prop_assert_eq!(collect(&mut source, &query), naive::results(&source, &query));
    }

    #[test]
    fn batch_is_so_many_single_rows(
        documents in strategies::documents(60),
        query in strategies::query(),
        batches in prop::collection::vec(0_usize..30, 0..4),
    ) {
        let mut singly = MemorySource::new(documents);
        let mut batched = singly.clone();
        let mut single_stream = QueryStream::open(query.clone(), &mut singly).unwrap();
        let mut batch_stream = QueryStream::open(query, &mut batched).unwrap();
        for rows_max in batches {
            let rows: Vec<PackedValue> =
                (0..rows_max).map_while(|_| single_stream.next(&mut singly).unwrap()).collect();
            prop_assert_eq!(batch_stream.next_rows(&mut batched, rows_max).unwrap(), rows);
            prop_assert_eq!(&batched.reads, &singly.reads);
            prop_assert_eq!(batched.documents_read, singly.documents_read);
        }
    }

    /// Neither more nor less than what was consumed, also for documents that do not exist.
    #[test]
    fn recorded_is_exactly_the_consumed_prefix(
        documents in strategies::documents(60),
        query in strategies::query(),
        pulls in 0_usize..70,
        probes in strategies::documents(60),
    ) {
        let mut source = MemorySource::new(documents);
        let mut stream = QueryStream::open(query.clone(), &mut source).unwrap();
        for _ in 0..pulls {
            if stream.next(&mut source).unwrap().is_none() {
                break;
            }
        }
        let consumed = consumed_by(&source, &query, pulls);
        prop_assert_eq!(source.documents_read, consumed.rows.len());

        let (index_name, range, order) = match &query.source {
            Source::IndexRange { index, range, order, .. } => (index.as_str(), range.as_slice(), *order),
            _ => ("by_creation_time", &[][..], naive_order(&query)),
        };
        let reads = source.reads_of(index_name);
        let index = INDEXES.iter().position(|(name, _)| *name == index_name).unwrap();
        let last = consumed.rows.last().map(|(id, document)| memory_source::key(index, *id, document));
        let existing = source.documents.iter().map(|(id, document)| (*id, document.clone()));
        for (id, document) in existing.chain(probes) {
            let key = memory_source::key(index, id, &document);
            let is_passed = last.as_ref().is_some_and(|last| match order {
                Order::Asc => key.cmp(last) != Ordering::Greater,
                Order::Desc => key.cmp(last) != Ordering::Less,
            });
            let expected = naive::matches(&document, range) && (consumed.is_exhausted || is_passed);
            prop_assert_eq!(reads.contains(&key), expected, "{:?}", document);
        }
        prop_assert!(reads.len() <= 1, "one scan is one interval");
    }
}

struct Consumed {
    rows: Vec<(InternalId, PackedValue)>,
    is_exhausted: bool,
}

/// The rows that so many pulls have to look at, by the meaning of the operators.
fn consumed_by(source: &MemorySource, query: &Query, pulls: usize) -> Consumed {
    let mut limits: Vec<Option<usize>> = query
        .operators
        .iter()
        .map(|operator| {
            if let Operator::Limit(n) = operator {
                Some(*n)
            } else {
                None
            }
        })
        .collect();
    let mut consumed = Consumed {
        rows: Vec::new(),
        is_exhausted: false,
    };
    let mut rows = naive::rows(source, &query.source).into_iter();
    let mut emitted = 0;
    while emitted < pulls && !limits.contains(&Some(0)) {
        let Some(row) = rows.next() else {
            consumed.is_exhausted = true;
            break;
        };
        let passed =
            query
                .operators
                .iter()
                .zip(&mut limits)
                .all(|(operator, limit)| match operator {
                    Operator::Filter(filter) => filter.accepts(row.1.as_object().unwrap()).unwrap(),
                    Operator::Limit(_) => {
                        *limit = limit.map(|left| left - 1);
                        true
                    }
                });
        emitted += usize::from(passed);
        consumed.rows.push(row);
    }
    consumed
}

fn naive_order(query: &Query) -> Order {
    match query.source {
        Source::FullTableScan { order, .. } | Source::IndexRange { order, .. } => order,
        Source::Search { .. } => Order::Asc,
    }
}

fn numbered(count: u32) -> MemorySource {
    MemorySource::new((0..count).map(|number| document(number, f64::from(number + 1))))
}

fn document(number: u32, creation_time: f64) -> (InternalId, PackedValue) {
    let id = InternalId((u128::from(number) << 64).to_be_bytes());
    naive::document(
        id,
        creation_time,
        [("a", Value::Float64(f64::from(number)))],
    )
}

fn scan(operators: Vec<Operator>) -> Query {
    Query {
        source: Source::FullTableScan {
            table: "t".to_owned(),
            order: Order::Asc,
        },
        operators,
    }
}

fn a_equals(number: f64) -> Operator {
    let operands = [
        Filter::Field("a".parse().unwrap()),
        Filter::Literal(Some(Value::Float64(number).pack())),
    ];
    Operator::Filter(Filter::Compare(Comparison::Eq, Box::new(operands)))
}

fn check_fetches(operators: Vec<Operator>, expected: &[usize]) {
    let mut source = numbered(240);
    collect(&mut source, &scan(operators));
    assert_eq!(source.fetches, expected);
}

#[test]
fn fetches_no_more_than_the_limit_can_use() {
    check_fetches(vec![Operator::Limit(0)], &[]);
    check_fetches(vec![Operator::Limit(1)], &[1]);
    check_fetches(vec![Operator::Limit(250)], &[100, 100, 50]);
    check_fetches(vec![Operator::Limit(2), a_equals(0.0)], &[2]);
    check_fetches(vec![a_equals(0.0), Operator::Limit(1)], &[32]);
    check_fetches(vec![], &[32, 100, 100, 100]);
}

#[test]
fn rejected_rows_are_recorded_with_the_next_result_at_once() {
    let mut source = numbered(240);
    let mut stream = QueryStream::open(scan(vec![a_equals(200.0)]), &mut source).unwrap();
    assert!(stream.next(&mut source).unwrap().is_some());
    assert_eq!((source.documents_read, source.record_calls), (201, 1));
}

#[test]
fn own_write_is_seen_unless_its_place_was_fetched() {
    let mut source = numbered(50);
    let mut stream = QueryStream::open(scan(vec![]), &mut source).unwrap();
    let first = stream.next(&mut source).unwrap().unwrap();
    // The first 32 rows are fetched; the 33rd has creation time 33.
    source
        .documents
        .extend([document(100, 5.5), document(101, 40.5)]);
    let rest: Vec<PackedValue> = std::iter::from_fn(|| stream.next(&mut source).unwrap()).collect();
    assert_eq!(first, document(0, 1.0).1);
    assert_eq!(rest.len(), 50);
    assert!(!rest.contains(&document(100, 5.5).1));
    assert!(rest.contains(&document(101, 40.5).1));
}

#[test]
fn limit_error_leaves_what_was_read_recorded() {
    let mut source = numbered(5);
    source.documents_max = Some(2);
    let mut stream = QueryStream::open(scan(vec![]), &mut source).unwrap();
    assert!(stream.next(&mut source).is_ok());
    assert!(stream.next(&mut source).is_ok());
    assert_eq!(
        stream.next(&mut source).unwrap_err().code,
        "TooManyDocumentsRead"
    );
    let reads = source.reads_of("by_creation_time");
    let is_read = |number: u32| {
        let (id, value) = document(number, f64::from(number + 1));
        reads.contains(&memory_source::key(1, id, &value))
    };
    assert_eq!([0, 1, 2, 3].map(is_read), [true, true, true, false]);
}

#[test]
fn filter_error_leaves_the_row_recorded() {
    let mut source = numbered(2);
    let filter = Operator::Filter(Filter::Field("a".parse().unwrap()));
    let mut stream = QueryStream::open(scan(vec![filter]), &mut source).unwrap();
    let error = stream.next(&mut source).unwrap_err();
    assert_eq!(
        error.message,
        "Cannot use value 0.0 (type Float64) as a Boolean"
    );
    let (id, value) = document(0, 1.0);
    assert!(
        source
            .reads_of("by_creation_time")
            .contains(&memory_source::key(1, id, &value))
    );
}

#[test]
fn missing_table_reads_as_empty_by_its_own_indexes_only() {
    let query = |index: &str| Query {
        source: Source::IndexRange {
            table: "nowhere".to_owned(),
            index: index.to_owned(),
            order: Order::Asc,
            range: vec![],
        },
        operators: vec![],
    };
    let mut source = MemorySource::default();
    assert_eq!(collect(&mut source, &query("by_id")), []);
    assert_eq!(collect(&mut source, &query("by_creation_time")), []);
    let error = QueryStream::open(query("by_a"), &mut source).unwrap_err();
    assert_eq!(error.message, "Index nowhere.by_a not found.");
}
