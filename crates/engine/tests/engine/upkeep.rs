//! In which order background work is done, in what portions, and what is forgotten.

use hull_engine::{BeginContext, IndexState, SchemaState, Upkeep};
use hull_store::IndexId;
use hull_value::{Schema, Timestamp, Value};

use crate::fixture::{Db, ITEMS, NOW, ROOT, SCHEMA, get, insert, object, patch};

const MINUTE: u64 = 60_000_000_000;

const STRICT: &str = r#"{"schemaValidation":true,"tables":[{"tableName":"items","indexes":[],
    "documentType":{"type":"object","value":{"a":{"fieldType":{"type":"bigint"},"optional":false}}}}]}"#;
const LOOSE: &str = r#"{"schemaValidation":true,"tables":[{"tableName":"items","indexes":[],
    "stagedDbIndexes":[{"indexDescriptor":"by_a","fields":["a"]}],
    "documentType":{"type":"object","value":{"a":{"fieldType":{"type":"bigint"},"optional":false},
    "b":{"fieldType":{"type":"bigint"},"optional":false}}}}]}"#;
const PLAIN: &str = r#"{"tables":[{"tableName":"items","documentType":null,"indexes":[]}]}"#;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap()
}

fn filled(documents: i64) -> Db {
    let db = Db::new();
    db.run(|t| (0..documents).for_each(|n| drop(insert(t, n, n))));
    db
}

fn index(db: &Db, name: &str) -> (IndexId, IndexState) {
    let table = db.table(ITEMS);
    let index = table.index(name).unwrap();
    (index.index, index.state)
}

fn step(db: &Db, upkeep: &Upkeep) {
    assert!(db.engine.upkeep(upkeep, &db.context()).unwrap());
}

/// Does everything there is to do at a time.
fn upkeep_at(db: &Db, upkeep: &Upkeep, now: u64) {
    let context = || BeginContext {
        now: Timestamp(now),
        ..db.context()
    };
    while db.engine.upkeep(upkeep, &context()).unwrap() {}
}

#[test]
fn a_submitted_schema_does_not_wait_for_staged_indexes() {
    let db = filled(300);
    let (row, _) = db.run(|t| {
        t.prepare_indexes(ROOT, &schema(LOOSE)).unwrap();
        t.submit_schema(ROOT, &schema(LOOSE)).unwrap()
    });
    let upkeep = Upkeep::default();
    // Two pages, and the end.
    (0..3).for_each(|_| step(&db, &upkeep));
    let state = db.begin().schema_state(row).unwrap();
    assert_eq!(state, Some(SchemaState::Validated));
    let (by_a, state) = index(&db, "by_a");
    assert_eq!(state, IndexState::Backfilling);
    assert_eq!(upkeep.documents_indexed(by_a), 0);
    db.upkeep(&upkeep);
    assert_eq!(index(&db, "by_a").1, IndexState::Backfilled);
}

#[test]
fn indexes_are_built_in_turns() {
    let db = filled(600);
    db.run(|t| t.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap());
    let upkeep = Upkeep::default();
    (0..2).for_each(|_| step(&db, &upkeep));
    for name in ["by_a", "by_ab"] {
        assert_eq!(upkeep.documents_indexed(index(&db, name).0), 256);
    }
}

#[test]
fn a_page_of_large_documents_is_short() {
    let db = Db::new();
    db.run(|t| {
        for _ in 0..40 {
            let text = Value::String("x".repeat(200_000));
            t.insert_document(ROOT, ITEMS, object([("text", text)]))
                .unwrap();
        }
    });
    db.run(|t| t.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap());
    let upkeep = Upkeep::default();
    step(&db, &upkeep);
    let documents = upkeep.documents_indexed(index(&db, "by_a").0);
    assert!((1..=8).contains(&documents), "{documents}");
    db.upkeep(&upkeep);
    assert_eq!(db.stored_entries(index(&db, "by_ab").0), 40);
}

#[test]
fn walks_that_came_to_nothing_leave_nothing_behind() {
    let db = filled(300);
    let (id, _) = db.run(|t| insert(t, 1, 1));
    let (row, _) = db.run(|t| {
        t.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap();
        t.submit_schema(ROOT, &schema(LOOSE)).unwrap()
    });
    let (by_a, _) = index(&db, "by_a");
    let upkeep = Upkeep::default();
    (0..3).for_each(|_| step(&db, &upkeep));
    let walked = |upkeep: &Upkeep| {
        (
            upkeep.documents_indexed(by_a),
            upkeep.documents_checked(row),
        )
    };
    assert_eq!(walked(&upkeep), (256, 256));
    db.run(|t| {
        t.prepare_indexes(ROOT, &schema(PLAIN)).unwrap();
        patch(t, &id, "a", Some(Value::Null)).unwrap()
    });
    db.upkeep(&upkeep);
    assert_eq!(walked(&upkeep), (0, 0));
}

#[test]
fn dead_schemas_are_forgotten_after_an_hour_and_disturb_nobody() {
    let db = filled(1);
    let submit = |text| db.run(|t| t.submit_schema(ROOT, &schema(text)).unwrap()).0;
    let (failed, overwritten) = (submit(STRICT), {
        db.upkeep(&Upkeep::default());
        submit(LOOSE)
    });
    let live = submit(PLAIN);
    let state = |row| db.begin().schema_state(row).unwrap();
    let upkeep = Upkeep::default();
    upkeep_at(&db, &upkeep, NOW.0 + 59 * MINUTE);
    assert!(matches!(state(failed), Some(SchemaState::Failed { .. })));
    assert_eq!(state(overwritten), Some(SchemaState::Overwritten));
    // So that the writer is not too old for the window.
    let later = Timestamp(NOW.0 + 61 * MINUTE);
    let mut transaction = db.begin();
    insert(&mut transaction, 2, 2);
    db.engine.commit_and_wait(transaction, later).unwrap();
    let mut writer = db.begin();
    let id = insert(&mut writer, 3, 3);
    upkeep_at(&db, &upkeep, later.0);
    assert_eq!((state(failed), state(overwritten)), (None, None));
    assert_eq!(state(live), Some(SchemaState::Validated));
    let ts = db.queue(writer).expect("nothing that concerns the writer");
    db.wait_until_published(ts);
    assert!(get(&mut db.begin(), &id).is_some());
}
