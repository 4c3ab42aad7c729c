//! The placeholder of the commit timestamp is replaced wherever it stands.

use hull_store::Order;
use hull_value::Value;

use crate::fixture::{Db, ITEMS, ROOT, get, int, object, patch};
use crate::model::{Scan, State, field, id_of};

#[test]
fn placeholders_become_the_commit_timestamp_in_documents_and_indexes() {
    let db = Db::with_items();
    let (known, _) = db.run(|t| crate::fixture::insert(t, 5, 5));
    let mut transaction = db.begin();
    let nested = Value::Object(object([(
        "at",
        Value::Array(vec![int(1), Value::CommitTs]),
    )]));
    let body = object([("a", Value::CommitTs), ("b", int(1)), ("c", nested)]);
    let id = transaction
        .insert_document(ROOT, ITEMS, body)
        .unwrap()
        .to_string();
    patch(&mut transaction, &known, "a", Some(Value::CommitTs)).unwrap();
    let own = get(&mut transaction, &id).unwrap();
    assert_eq!(
        field(&own, "a"),
        Some(&Value::CommitTs),
        "not known before the commit"
    );
    assert_eq!(
        Scan::all("by_a", Order::Desc).run(&mut transaction).len(),
        2
    );
    // Before and after the store has it, the state is the same.
    db.store.hold_sync();
    let ts = db.queue(transaction).unwrap();
    let at = int(ts.0 as i64);
    for is_held in [true, false] {
        let mut after = db.begin();
        let mut state = State::new();
        for id in [&id, &known] {
            let document = get(&mut after, id).unwrap();
            assert_eq!(field(&document, "a"), Some(&at), "held: {is_held}");
            state.insert(id.clone(), document);
        }
        let resolved = Value::Object(object([("at", Value::Array(vec![int(1), at.clone()]))]));
        assert_eq!(field(&state[&id], "c"), Some(&resolved));
        for index in ["by_a", "by_ab", "by_creation_time", "by_id"] {
            let scan = Scan::all(index, Order::Asc);
            assert_eq!(
                scan.run(&mut after),
                scan.expected(&state),
                "{index}, held: {is_held}"
            );
        }
        let found = Scan::equal(ts.0 as i64).run(&mut after);
        assert_eq!(found.len(), 2);
        if is_held {
            db.store.release_sync();
            db.wait_until_published(ts);
        }
    }
    let table = db.table(ITEMS);
    for index in &table.indexes {
        assert_eq!(db.stored_entries(index.index), 2, "{}", index.name);
    }
}

#[test]
fn rewriting_a_placeholder_leaves_one_index_entry() {
    let db = Db::with_items();
    let body = object([("a", Value::CommitTs)]);
    let (id, first) = db.run(|t| t.insert_document(ROOT, ITEMS, body).unwrap().to_string());
    let (_, second) = db.run(|t| patch(t, &id, "a", Some(Value::CommitTs)).unwrap());
    assert!(first < second);
    let rows = |ts, a: hull_value::Timestamp| Scan::equal(a.0 as i64).run(&mut db.begin_at(ts));
    assert_eq!(rows(second, first), []);
    assert_eq!(rows(second, second).len(), 1);
    assert_eq!(
        rows(first, first).len(),
        1,
        "the former state is still there"
    );
    assert_eq!(
        rows(first, first)
            .iter()
            .map(id_of)
            .next()
            .unwrap()
            .to_string(),
        id
    );
    // Deleting takes the resolved entry away, not one of the placeholder.
    db.run(|t| t.delete_document(ROOT, &id, None).unwrap());
    for index in &db.table(ITEMS).indexes {
        assert_eq!(db.stored_entries(index.index), 0, "{}", index.name);
    }
}
