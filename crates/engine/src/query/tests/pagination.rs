use hull_store::Order;
use hull_value::{CodedError, InternalId, Object, Value};
use proptest::prelude::*;
use serde_json::json;

use super::super::{
    CursorCodec, Filter, Operator, Page, PageRequest, PageStatus, Query, Source,
    filter::Comparison,
    paginate,
    testing::{HexCodec, MemorySource, memory_source, naive},
};

fn numbered(count: u32) -> MemorySource {
    MemorySource::new((0..count).map(|number| {
        let id = InternalId((u128::from(number) << 64).to_be_bytes());
        naive::document(
            id,
            f64::from(number + 1),
            [("a", Value::Float64(f64::from(number)))],
        )
    }))
}

fn scan() -> Query {
    Query {
        source: Source::FullTableScan {
            table: "t".to_owned(),
            order: Order::Asc,
        },
        operators: vec![],
    }
}

fn request(page_size: usize) -> PageRequest {
    PageRequest {
        page_size,
        ..PageRequest::default()
    }
}

fn page(source: &mut MemorySource, request: &PageRequest) -> Result<Page, CodedError> {
    paginate(scan(), request, &HexCodec, source)
}

/// The field `a` of each result.
fn numbers(page: &Page) -> Vec<f64> {
    let number = |value: hull_value::Value| match value {
        Value::Object(object) => match object.get("a") {
            Some(Value::Float64(number)) => *number,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    page.page
        .iter()
        .map(|value| number(value.unpack()))
        .collect()
}

fn is_read(source: &MemorySource, number: u32) -> bool {
    let (id, value) = numbered(number + 1).documents.pop_last().unwrap();
    source
        .reads_of("by_creation_time")
        .contains(&memory_source::key(1, id, &value))
}

#[test]
fn full_page_does_not_look_further() {
    let mut source = numbered(3);
    let full = page(&mut source, &request(3)).unwrap();
    assert_eq!((numbers(&full), full.is_done), (vec![0.0, 1.0, 2.0], false));
    assert_eq!([2, 3].map(|number| is_read(&source, number)), [true, false]);
    let rest = page(
        &mut source,
        &PageRequest {
            cursor: Some(full.continue_cursor),
            ..request(3)
        },
    )
    .unwrap();
    assert_eq!((numbers(&rest), rest.is_done), (vec![], true));
    assert!(is_read(&source, 3));
    let after_end = page(
        &mut source,
        &PageRequest {
            cursor: Some(rest.continue_cursor.clone()),
            ..request(3)
        },
    )
    .unwrap();
    assert_eq!(after_end, rest);
}

#[test]
fn end_cursor_wins_over_journal_and_size() {
    let mut source = numbered(10);
    let cursor =
        |source: &mut MemorySource, size| page(source, &request(size)).unwrap().continue_cursor;
    let (three, six) = (cursor(&mut source, 3), cursor(&mut source, 6));
    let bounded = PageRequest {
        end_cursor: Some(six.clone()),
        journal_end_cursor: Some(three.clone()),
        maximum_rows_read: Some(1),
        maximum_bytes_read: Some(1),
        ..request(1)
    };
    let whole = page(&mut source, &bounded).unwrap();
    assert_eq!(numbers(&whole).len(), 6);
    assert_eq!((whole.continue_cursor, whole.is_done), (six, false));
    let by_journal = page(
        &mut source,
        &PageRequest {
            end_cursor: None,
            ..bounded
        },
    )
    .unwrap();
    assert_eq!(
        (numbers(&by_journal).len(), by_journal.continue_cursor),
        (3, three)
    );
}

#[test]
fn journal_that_does_not_fit_is_ignored() {
    let mut source = numbered(10);
    let three = page(&mut source, &request(3)).unwrap().continue_cursor;
    let six = page(&mut source, &request(6)).unwrap().continue_cursor;
    let expected = page(
        &mut source,
        &PageRequest {
            cursor: Some(six.clone()),
            ..request(2)
        },
    )
    .unwrap();
    for journal in [three, six.clone(), "nonsense".to_owned()] {
        let request = PageRequest {
            cursor: Some(six.clone()),
            journal_end_cursor: Some(journal),
            ..request(2)
        };
        assert_eq!(page(&mut source, &request).unwrap(), expected);
    }
}

#[test]
fn maximums_stop_a_page() {
    let mut source = numbered(10);
    let by_rows = page(
        &mut source,
        &PageRequest {
            maximum_rows_read: Some(4),
            ..request(9)
        },
    )
    .unwrap();
    assert_eq!(
        (numbers(&by_rows).len(), by_rows.page_status),
        (4, Some(PageStatus::SplitRequired))
    );
    assert_eq!([3, 4].map(|number| is_read(&source, number)), [true, false]);
    let size = source.documents.values().next().unwrap().as_ref().size();
    let by_bytes = page(
        &mut source,
        &PageRequest {
            maximum_bytes_read: Some(size + 1),
            ..request(9)
        },
    )
    .unwrap();
    assert_eq!(
        (numbers(&by_bytes).len(), by_bytes.page_status),
        (2, Some(PageStatus::SplitRequired))
    );
    let rest = page(
        &mut source,
        &PageRequest {
            cursor: Some(by_rows.continue_cursor),
            ..request(9)
        },
    )
    .unwrap();
    assert_eq!(numbers(&rest)[0], 4.0);
}

#[test]
fn split_is_recommended_above_three_quarters() {
    let mut source = numbered(10);
    let mut status = |maximum: usize, size: usize| {
        let request = PageRequest {
            maximum_rows_read: Some(maximum),
            ..request(size)
        };
        page(&mut source, &request).unwrap().page_status
    };
    assert_eq!(status(8, 6), None);
    assert_eq!(status(8, 7), Some(PageStatus::SplitRecommended));
    assert_eq!(status(8, 8), Some(PageStatus::SplitRecommended));
    assert_eq!(status(8, 9), Some(PageStatus::SplitRequired));
}

#[test]
fn transaction_limit_truncates_the_page() {
    let mut source = numbered(10);
    let end = page(&mut source, &request(8)).unwrap().continue_cursor;
    source.begin();
    source.documents_max = Some(5);
    let truncated = page(&mut source, &request(8)).unwrap();
    assert_eq!(
        (numbers(&truncated).len(), truncated.page_status),
        (5, Some(PageStatus::SplitRequired))
    );
    assert!(
        is_read(&source, 5),
        "the row that broke the limit was looked at"
    );
    let next = PageRequest {
        cursor: Some(truncated.continue_cursor),
        ..request(8)
    };
    assert_eq!(
        page(&mut source, &next).unwrap_err().code,
        "TooManyDocumentsRead"
    );

    source.begin();
    let bounded = page(
        &mut source,
        &PageRequest {
            end_cursor: Some(end.clone()),
            ..request(8)
        },
    )
    .unwrap();
    assert_eq!(
        (numbers(&bounded).len(), bounded.page_status),
        (5, Some(PageStatus::SplitRequired))
    );
    assert_eq!(bounded.continue_cursor, end);
    source.begin();
    source.documents_max = None;
    let half = PageRequest {
        end_cursor: bounded.split_cursor,
        ..request(8)
    };
    assert_eq!(numbers(&page(&mut source, &half).unwrap()), [0.0, 1.0, 2.0]);
}

#[test]
fn split_cursor_is_the_middle_of_what_was_read() {
    let mut source = numbered(20);
    for (size, middle) in [
        (1, None),
        (2, None),
        (3, Some(2)),
        (4, Some(2)),
        (5, Some(3)),
        (12, Some(6)),
    ] {
        let split_cursor = page(&mut source, &request(size)).unwrap().split_cursor;
        let expected =
            middle.map(|middle| page(&mut source, &request(middle)).unwrap().continue_cursor);
        assert_eq!(split_cursor, expected, "page of {size}");
    }
}

#[test]
fn fetches_what_the_page_can_use() {
    let mut source = numbered(300);
    page(&mut source, &request(150)).unwrap();
    page(
        &mut source,
        &PageRequest {
            maximum_rows_read: Some(7),
            ..request(150)
        },
    )
    .unwrap();
    assert_eq!(source.fetches, [100, 50, 7]);
}

#[test]
fn missing_table_is_one_empty_page_until_it_has_rows() {
    let query = || Query {
        source: Source::FullTableScan {
            table: "u".to_owned(),
            order: Order::Asc,
        },
        operators: vec![],
    };
    let empty = paginate(
        query(),
        &request(3),
        &HexCodec,
        &mut MemorySource::default(),
    )
    .unwrap();
    assert_eq!(
        (empty.page.len(), empty.is_done, empty.page_status),
        (0, true, None)
    );
    let request = PageRequest {
        journal_end_cursor: Some(empty.journal_end_cursor.clone()),
        ..request(3)
    };
    assert_eq!(
        paginate(query(), &request, &HexCodec, &mut MemorySource::default()).unwrap(),
        empty
    );
}

fn check_refused(request: &PageRequest, code: &str, message: &str) {
    let error = page(&mut numbered(1), request).unwrap_err();
    assert_eq!(
        (error.code.as_ref(), error.message.as_str()),
        (code, message)
    );
}

#[test]
fn request_limits() {
    check_refused(
        &request(0),
        "NoDocumentsForPagination",
        "Must request at least 1 document while paginating",
    );
    check_refused(
        &request(32_001),
        "PageSizeTooLarge",
        "Requested too many items: 32001",
    );
    assert!(page(&mut numbered(1), &request(32_000)).is_ok());
    for request in [
        PageRequest {
            maximum_rows_read: Some(0),
            ..request(1)
        },
        PageRequest {
            maximum_bytes_read: Some(0),
            ..request(1)
        },
    ] {
        let message = "maximumRowsRead and maximumBytesRead must be greater than 0";
        check_refused(&request, "InvalidPaginationLimit", message);
    }
}

#[test]
fn request_is_parsed() {
    let request = PageRequest::parse(&json!({
        "query": {}, "cursor": null, "endCursor": "e", "pageSize": 10, "maximumRowsRead": null, "maximumBytesRead": 5,
        "version": "1.48.0",
    }));
    let expected = PageRequest {
        end_cursor: Some("e".to_owned()),
        page_size: 10,
        maximum_bytes_read: Some(5),
        ..PageRequest::default()
    };
    assert_eq!(request, Ok(expected));
    assert!(PageRequest::parse(&json!({"cursor": null})).is_err());
    assert!(PageRequest::parse(&json!({"cursor": 1, "pageSize": 1})).is_err());
    assert!(PageRequest::parse(&json!({"cursor": null, "pageSize": 1.5})).is_err());
}

/// `usePaginatedQuery` starts again on `errorData.paginationError === "InvalidCursor"`
/// with `isConvexSystemError`, or on the word in the message.
#[test]
fn foreign_cursors_tell_the_client_to_start_again() {
    let mut source = numbered(3);
    let filter = Filter::Compare(
        Comparison::Eq,
        Box::new([
            Filter::Field("a".parse().unwrap()),
            Filter::Literal(Some(Value::Null.pack())),
        ]),
    );
    let other = Query {
        operators: vec![Operator::Filter(filter)],
        ..scan()
    };
    let foreign = paginate(other, &request(1), &HexCodec, &mut source)
        .unwrap()
        .continue_cursor;
    let from_another = "InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is from a different query.";
    let unreadable = "InvalidCursor: Failed to parse cursor";
    let too_short = HexCodec.encode(&[1, 0, 5]);
    for (cursor, message) in [
        (foreign.as_str(), from_another),
        ("", unreadable),
        ("nonsense", unreadable),
        (&too_short, unreadable),
    ] {
        for request in [
            PageRequest {
                cursor: Some(cursor.to_owned()),
                ..request(1)
            },
            PageRequest {
                end_cursor: Some(cursor.to_owned()),
                ..request(1)
            },
        ] {
            let error = page(&mut source, &request).unwrap_err();
            assert_eq!(
                (error.code.as_ref(), error.message.as_str()),
                ("InvalidCursor", message)
            );
            let data: Object = [
                ("isConvexSystemError", Value::Boolean(true)),
                ("paginationError", Value::from("InvalidCursor")),
            ]
            .into_iter()
            .collect();
            assert_eq!(error.data, Some(Value::Object(data).pack()));
        }
    }
}

#[test]
fn cursors_keep_their_bytes() {
    // Clients hold cursors across restarts and upgrades.
    let cursor = page(&mut numbered(2), &request(1)).unwrap().continue_cursor;
    let end = page(&mut numbered(0), &request(1)).unwrap().continue_cursor;
    assert_eq!(
        cursor,
        "0100af070240a232df798e958f2bcab8948d0dbff0000000000000106a35373030303030303030303030303030303030303030303030303031717630001b"
    );
    assert_eq!(end, "0101af070240a232df798e958f2bcab8948d52");
}

proptest! {
    #[test]
    fn no_string_makes_pagination_panic(cursor in prop_oneof![
        ".{0,20}",
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| HexCodec.encode(&bytes)),
    ]) {
        let request = PageRequest { cursor: Some(cursor), ..request(1) };
        prop_assert_eq!(page(&mut numbered(1), &request).unwrap_err().code, "InvalidCursor");
    }
}
