//! What functions may use of the database: at each limit all is well, one past it
//! is the error that users know (data model spec 8).

use hull_engine::query::{CursorCodec, PageRequest, Query, UndecodableCursor, paginate};
use hull_engine::{ComponentReads, DatabaseReader, Transaction};
use hull_value::{CodedError, DocumentId, ErrorClass, InternalId, Object, Value};
use serde_json::json;

use crate::fixture::{Db, ITEMS, ROOT, int, object, patch};

const HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";
const MIB: usize = 1 << 20;

/// What the uses of limits need: a small document and enough large ones.
struct Stock {
    small: DocumentId,
    /// Each takes 1 MiB.
    large: Vec<String>,
}

/// Uses as much as it is told to, in a transaction of its own.
type Use = fn(&mut Transaction, &Stock, usize) -> Result<(), CodedError>;

struct NoCursors;

impl CursorCodec for NoCursors {
    fn encode(&self, _: &[u8]) -> String {
        String::new()
    }

    fn decode(&self, _: &str) -> Result<Vec<u8>, UndecodableCursor> {
        Err(UndecodableCursor)
    }
}

fn get(transaction: &mut Transaction, id: &str) -> Result<(), CodedError> {
    let found = transaction.get_document(ROOT, id, None, DatabaseReader::User)?;
    drop(found);
    Ok(())
}

fn insert(transaction: &mut Transaction, body: Object) -> Result<String, CodedError> {
    let id = transaction.insert_document(ROOT, ITEMS, body)?;
    Ok(id.to_string())
}

/// The body of a document that takes so many bytes.
fn body_of_size(size: usize) -> Object {
    // Object, `_id`, `_creationTime`, the name of the field, its own marks (data model spec 1.6).
    let rest = 2 + (3 + 1 + 2 + 32) + (13 + 1 + 9) + (4 + 1 + 2);
    object([("text", Value::String("x".repeat(size - rest)))])
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(Value::Array(Vec::new()), |inner, _| {
        Value::Array(vec![inner])
    })
}

fn page(transaction: &mut Transaction, request: &PageRequest) -> Result<(), CodedError> {
    let query = json!({ "source": { "type": "FullTableScan", "tableName": "none", "order": null }, "operators": [] });
    let mut source = ComponentReads {
        transaction,
        namespace: ROOT,
    };
    paginate(Query::parse(&query)?, request, &NoCursors, &mut source)?;
    Ok(())
}

#[test]
fn each_limit_holds_at_its_bound_and_not_one_past_it() {
    let db = Db::with_items();
    let (stock, _) = db.run(|transaction| Stock {
        small: DocumentId::parse(&crate::fixture::insert(transaction, 0, 0)).unwrap(),
        large: Vec::new(),
    });
    let mut stock = stock;
    for _ in 0..17 {
        let (id, _) = db.run(|transaction| insert(transaction, body_of_size(MIB)).unwrap());
        stock.large.push(id);
    }
    let limits: [(usize, Use, ErrorClass, &str, String); 9] = [
        (
            32_000,
            |t, stock, n| (0..n).try_for_each(|_| get(t, &stock.small.to_string())),
            ErrorClass::PaginationLimit,
            "TooManyDocumentsRead",
            format!("Too many documents read in a single function execution (limit: 32000). {HELP}"),
        ),
        (
            16,
            |t, stock, n| stock.large[..n].iter().try_for_each(|id| get(t, id)),
            ErrorClass::PaginationLimit,
            "TooManyBytesRead",
            format!("Too many bytes read in a single function execution (limit: 16777216 bytes). {HELP}"),
        ),
        (
            4_096,
            |t, stock, n| {
                (0..n).try_for_each(|n| {
                    let absent = InternalId((n as u128).to_be_bytes());
                    get(t, &DocumentId::new(stock.small.table, absent).to_string())
                })
            },
            ErrorClass::PaginationLimit,
            "TooManyReads",
            format!("Too many reads in a single function execution (limit: 4096). {HELP}"),
        ),
        (
            16_000,
            |t, stock, n| {
                let id = stock.small.to_string();
                (1..=n).try_for_each(|n| patch(t, &id, "a", Some(int(n as i64))).map(|_| ()))
            },
            ErrorClass::PaginationLimit,
            "TooManyWrites",
            "Too many writes in a single function execution (limit: 16000)".to_owned(),
        ),
        (
            16,
            |t, _, n| (0..n).try_for_each(|_| insert(t, body_of_size(MIB)).map(|_| ())),
            ErrorClass::PaginationLimit,
            "TooManyBytesWritten",
            "Too many bytes written in a single function execution (limit: 16 MiB)".to_owned(),
        ),
        (
            MIB,
            |t, _, n| insert(t, body_of_size(n)).map(|_| ()),
            ErrorClass::BadRequest,
            "ValueTooLargeError",
            "Value is too large (1 MiB > maximum size 1 MiB)".to_owned(),
        ),
        (
            16,
            // The document itself is a level.
            |t, _, n| insert(t, object([("a", nested(n - 1))])).map(|_| ()),
            ErrorClass::BadRequest,
            "InvalidDocumentError",
            "isn't a valid document: Document is too nested (nested 17 levels deep > maximum nesting 16)".to_owned(),
        ),
        (
            1_024,
            |t, _, n| {
                let fields = (2..n).map(|n| (format!("f{n}"), Value::Null));
                insert(t, fields.collect()).map(|_| ())
            },
            ErrorClass::BadRequest,
            "TooManyFieldsError",
            "Object has too many fields (1025 > maximum number 1024)".to_owned(),
        ),
        (
            32_000,
            |t, _, n| {
                page(t, &PageRequest { page_size: n, ..PageRequest::default() })
            },
            ErrorClass::BadRequest,
            "PageSizeTooLarge",
            "Requested too many items: 32001".to_owned(),
        ),
    ];
    for (bound, uses, class, code, message) in limits {
        let at_bound = uses(&mut db.begin(), &stock, bound);
        assert_eq!(at_bound, Ok(()), "{code} at {bound}");
        let mut transaction = db.begin();
        let error = uses(&mut transaction, &stock, bound + 1).unwrap_err();
        assert_eq!((error.class, &*error.code), (class, code));
        let shown = error.message.split_once(") isn't");
        match shown {
            // The document is shown before it.
            Some((_, reason)) => assert_eq!(format!("isn't{reason}"), message),
            None => assert_eq!(error.message, message),
        }
        assert!(error.is_deterministic(), "functions may catch {code}");
    }
}

#[test]
fn what_a_caught_limit_has_used_stays_used() {
    let db = Db::with_items();
    let (id, _) = db.run(|transaction| crate::fixture::insert(transaction, 0, 0));
    let mut transaction = db.begin();
    for _ in 0..32_000 {
        get(&mut transaction, &id).unwrap();
    }
    for used in [32_001, 32_002] {
        let error = get(&mut transaction, &id).unwrap_err();
        assert_eq!(error.code, "TooManyDocumentsRead");
        assert_eq!(transaction.usage().documents_read, used);
    }
}

#[test]
fn what_no_page_may_ask_for() {
    let db = Db::with_items();
    let cases = [
        (
            PageRequest::default(),
            "NoDocumentsForPagination",
            "Must request at least 1 document while paginating",
        ),
        (
            PageRequest {
                page_size: 1,
                maximum_rows_read: Some(0),
                ..PageRequest::default()
            },
            "InvalidPaginationLimit",
            "maximumRowsRead and maximumBytesRead must be greater than 0",
        ),
        (
            PageRequest {
                page_size: 1,
                maximum_bytes_read: Some(0),
                ..PageRequest::default()
            },
            "InvalidPaginationLimit",
            "maximumRowsRead and maximumBytesRead must be greater than 0",
        ),
    ];
    for (request, code, message) in cases {
        let error = page(&mut db.begin(), &request).unwrap_err();
        assert_eq!((&*error.code, &*error.message), (code, message));
    }
}
