//! What single reads and writes of documents answer (data model spec 2.5, 2.6, 6.8).

use hull_engine::{DatabaseReader, Transaction};
use hull_value::{CodedError, Value};

use crate::fixture::{Db, ITEMS, ROOT, get, insert, int, object};

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// Runs one operation that fails, and checks that it left nothing.
fn check(
    transaction: &mut Transaction,
    operation: impl FnOnce(&mut Transaction) -> Result<(), CodedError>,
    code: &str,
    message: &str,
) {
    let had_writes = transaction.has_writes();
    let usage = transaction.usage().documents_written;
    let error = operation(transaction).unwrap_err();
    assert_eq!((&*error.code, &*error.message), (code, message));
    assert!(error.is_deterministic(), "a function can catch {code}");
    assert_eq!(transaction.has_writes(), had_writes, "{code}");
    assert_eq!(transaction.usage().documents_written, usage, "{code}");
}

#[test]
fn operations_on_wrong_ids_say_what_is_wrong() {
    let db = Db::with_items();
    let (id, _) = db.run(|t| insert(t, 1, 1));
    let (gone, _) = db.run(|t| insert(t, 2, 2));
    db.run(|t| t.delete_document(ROOT, &gone, None).unwrap());
    db.run(|t| t.insert_document(ROOT, "others", object([])).unwrap());
    let unknown = hull_value::DocumentId::new(
        hull_value::TableNumber(20_000),
        hull_value::InternalId([7; 16]),
    )
    .to_string();
    let t = &mut db.begin();
    let patch = |id: &str, table: Option<&str>| {
        let (id, table) = (id.to_owned(), table.map(str::to_owned));
        move |t: &mut Transaction| {
            t.patch_document(ROOT, &id, table.as_deref(), Default::default())
                .map(drop)
        }
    };
    let replace = |id: &str| {
        let id = id.to_owned();
        move |t: &mut Transaction| t.replace_document(ROOT, &id, None, object([])).map(drop)
    };
    let delete = |id: &str| {
        let id = id.to_owned();
        move |t: &mut Transaction| t.delete_document(ROOT, &id, None).map(drop)
    };
    check(
        t,
        patch(&gone, None),
        "NonexistentDocument",
        &format!("Update on nonexistent document ID {gone}"),
    );
    check(
        t,
        replace(&gone),
        "NonexistentDocument",
        &format!("Replace on nonexistent document ID {gone}"),
    );
    check(
        t,
        delete(&gone),
        "NonexistentDocument",
        &format!("Delete on nonexistent document ID {gone}"),
    );
    check(
        t,
        patch(&id, Some("others")),
        "InvalidArgument",
        "Invalid argument `id` for `db.patch`: expected to be an Id<\"others\">, got Id<\"items\"> instead.",
    );
    for (operation, method) in [
        (
            Box::new(patch(&unknown, None)) as Box<dyn Fn(&mut Transaction) -> _>,
            "db.patch",
        ),
        (Box::new(replace(&unknown)), "db.replace"),
        (Box::new(delete(&unknown)), "db.delete"),
    ] {
        check(
            t,
            operation,
            "InvalidArgument",
            &format!("Invalid argument `id` for `{method}`: Table for ID \"{unknown}\" not found"),
        );
    }
    let reader = DatabaseReader::User;
    assert_eq!(t.get_document(ROOT, &unknown, None, reader).unwrap(), None);
    assert_eq!(t.get_document(ROOT, &gone, None, reader).unwrap(), None);
    check(
        t,
        |t| {
            t.get_document(ROOT, &id, None, DatabaseReader::System)
                .map(drop)
        },
        "SystemTableError",
        "User tables cannot be accessed with db.system.",
    );
    let error = t.get_document(ROOT, "nonsense", None, reader).unwrap_err();
    let prefix = "Invalid argument `id` for `db.get`: Unable to decode ID: ";
    assert!(error.message.starts_with(prefix), "{}", error.message);
}

#[test]
fn system_fields_in_a_body_must_be_the_documents_own() {
    let db = Db::with_items();
    let (id, _) = db.run(|t| insert(t, 1, 1));
    let t = &mut db.begin();
    let Some(Value::Object(stored)) = get(t, &id) else {
        panic!("an inserted document is an object");
    };
    let other = insert(t, 2, 2);
    check(
        t,
        |t| {
            let body = object([("_id", text(&other))]);
            t.replace_document(ROOT, &id, None, body).map(drop)
        },
        "InvalidIdError",
        &format!("Provided document ID \"{id}\" doesn't match '_id' field \"{other}\""),
    );
    let error = t
        .replace_document(
            ROOT,
            &id,
            None,
            object([("_creationTime", Value::Float64(1.0))]),
        )
        .unwrap_err();
    assert_eq!(error.code, "InvalidCreationTimeError");
    let shown = "doesn't match '_creationTime' field in {";
    assert!(error.message.contains(shown), "{}", error.message);
    // A document copied whole is the same document, not a new one.
    let error = t.insert_document(ROOT, ITEMS, stored.clone()).unwrap_err();
    assert_eq!(error.code, "InvalidIdError");
    t.replace_document(ROOT, &id, None, stored).unwrap();
}

#[test]
fn a_write_that_changes_nothing_is_no_write() {
    let db = Db::with_items();
    let (id, _) = db.run(|t| insert(t, 1, 1));
    let mut transaction = db.begin();
    let t = &mut transaction;
    t.patch_document(ROOT, &id, None, [("a".to_owned(), Some(int(1)))].into())
        .unwrap();
    t.patch_document(ROOT, &id, None, [("absent".to_owned(), None)].into())
        .unwrap();
    let body = object([("b", int(1)), ("a", int(1))]);
    t.replace_document(ROOT, &id, None, body).unwrap();
    assert!(!t.has_writes());
    assert_eq!(t.usage().documents_written, 0);
    let begin = t.begin_ts();
    assert_eq!(db.commit(transaction), begin);
}

#[test]
fn a_failed_insert_leaves_no_table_behind() {
    let db = Db::with_items();
    let mut transaction = db.begin();
    let error = transaction
        .insert_document(ROOT, "fresh", object([("_mine", int(1))]))
        .unwrap_err();
    assert_eq!(error.code, "InvalidDocumentError");
    assert!(!transaction.has_writes());
    db.commit(transaction);
    let metadata = db.engine.metadata();
    assert!(metadata.tables().all(|table| table.name != "fresh"));
}

/// A function that catches the error of a limit must not keep the write.
#[test]
fn a_write_past_a_limit_is_not_staged() {
    let db = Db::with_items();
    let (ids, _) = db.run(|t| [insert(t, 1, 1), insert(t, 2, 2), insert(t, 3, 3)]);
    let mut transaction = db.begin();
    let t = &mut transaction;
    let written = t.usage().documents_written;
    t.usage_mut().ceilings.documents_written = written + 1;
    // At the limit.
    let nine = || [("a".to_owned(), Some(int(9)))].into();
    t.patch_document(ROOT, &ids[0], None, nine()).unwrap();
    // One past it, and further.
    let failures = [
        t.patch_document(ROOT, &ids[1], None, nine()).map(drop),
        t.replace_document(ROOT, &ids[1], None, object([("a", int(9))]))
            .map(drop),
        t.delete_document(ROOT, &ids[2], None).map(drop),
        t.insert_document(ROOT, ITEMS, object([])).map(drop),
    ];
    for failure in failures {
        assert_eq!(failure.unwrap_err().code, "TooManyWrites");
    }
    assert_eq!(t.usage().documents_written, written + 5, "usage stays");
    db.commit(transaction);
    let mut after = db.begin();
    let a = |t: &mut Transaction, id: &str| match get(t, id) {
        Some(Value::Object(fields)) => fields.get("a").cloned(),
        _ => None,
    };
    let seen = ids.each_ref().map(|id| a(&mut after, id));
    assert_eq!(seen, [Some(int(9)), Some(int(2)), Some(int(3))]);
}

#[test]
fn only_what_a_function_asks_for_counts_as_reads() {
    let db = Db::with_items();
    let t = &mut db.begin();
    assert_eq!(t.usage().intervals_read, 0);
    let ids: Vec<_> = (0..5_000).map(|n| insert(t, n, 0)).collect();
    assert_eq!(t.usage().intervals_read, 0, "inserts read nothing");
    // One document asked for again is one read.
    for _ in 0..3 {
        get(t, &ids[0]);
    }
    assert_eq!(t.usage().intervals_read, 1);
    // A stale read counts although it is no dependency.
    t.set_stale(true);
    let recorded = t.reads().len();
    get(t, &ids[1]);
    assert_eq!(t.reads().len(), recorded);
    t.set_stale(false);
    assert_eq!(t.usage().intervals_read, 2);
    // The bound, and one past it.
    for id in &ids[2..4_096] {
        get(t, id);
    }
    assert_eq!(t.usage().intervals_read, 4_096);
    let error = t
        .get_document(ROOT, &ids[4_096], None, DatabaseReader::User)
        .unwrap_err();
    assert_eq!(error.code, "TooManyReads");
}

#[test]
fn the_largest_and_the_deepest_document_are_warned_of() {
    let db = Db::with_items();
    let t = &mut db.begin();
    let mut write = |body| {
        t.insert_document(ROOT, "notes", object([("body", body)]))
            .unwrap()
            .to_string()
    };
    let nested = |levels| (0..levels).fold(int(1), |value, _| Value::Array(vec![value]));
    write(text("small"));
    // 80 % is no reason yet: body and object are 12 levels and 1 level.
    write(nested(11));
    let deep = write(nested(13));
    let large = write(text(&"x".repeat(900_000)));
    let warnings = t.usage().warnings();
    let codes: Vec<_> = warnings.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, ["TooLargeDocument", "TooNestedDocument"]);
    let start = format!("Large document written with ID \"{large}\" (actual: 900");
    assert!(warnings[0].1.starts_with(&start), "{}", warnings[0].1);
    assert!(warnings[0].1.ends_with(" bytes, limit: 1048576 bytes)."));
    assert_eq!(
        warnings[1].1,
        format!("Deeply nested document written with ID \"{deep}\" (actual: 14, limit: 16).")
    );
}

#[test]
fn tables_of_the_system_are_out_of_reach() {
    let db = Db::with_items();
    let t = &mut db.begin();
    let insert_into = |table: &'static str| {
        move |t: &mut Transaction| t.insert_document(ROOT, table, object([])).map(drop)
    };
    for table in ["_storage", "_scheduled_functions"] {
        let message = format!("{table} is a read-only table");
        check(t, insert_into(table), "ReadOnlyTable", &message);
    }
    check(
        t,
        insert_into("_modules"),
        "InvalidTableName",
        "Invalid table name _modules starts with metadata prefix '_'",
    );
    check(
        t,
        insert_into("a-b"),
        "InvalidIdentifier",
        "Identifier a-b has invalid character '-': Identifiers can only contain alphanumeric characters or underscores",
    );
    check(
        t,
        |t| t.count_documents(ROOT, "_modules").map(drop),
        "TableDoesNotExist",
        "Table '_modules' not found",
    );
    // As for a table that does not exist.
    let id = "kg2004926d25askqh2ctneycvn8ja8ag";
    assert_eq!(t.normalize_id(ROOT, "_modules", id).unwrap(), None);
    assert!(t.normalize_id(ROOT, "_storage", id).unwrap().is_some());
}
