//! Stored documents and racing writes against a submitted schema.

use hull_engine::{SchemaState, Upkeep, limits::WINDOW_AGE_NANOS};
use hull_value::{InternalId, Schema, Timestamp, Value};

use crate::fixture::{Db, ITEMS, ROOT, insert, int, object, patch};

/// `a` of [`ITEMS`] must be an int64; `tables` come before it in the alphabet.
fn schema(tables: &str) -> Schema {
    let text = format!(
        r#"{{"schemaValidation":true,"tables":[{tables}{{"tableName":"items","indexes":[],"documentType":{{"type":"object","value":{{
        "a":{{"fieldType":{{"type":"bigint"}},"optional":false}},"b":{{"fieldType":{{"type":"any"}},"optional":true}}}}}}}}]}}"#
    );
    Schema::parse(&text).unwrap()
}

fn submit(db: &Db, schema: &Schema) -> InternalId {
    db.run(|t| t.submit_schema(ROOT, schema).unwrap()).0
}

fn state(db: &Db, row: InternalId) -> SchemaState {
    db.begin().schema_state(row).unwrap().unwrap()
}

fn text(text: &str) -> Option<Value> {
    Some(Value::String(text.to_owned()))
}

#[test]
fn matching_documents_validate_and_the_schema_is_enforced() {
    let db = Db::new();
    db.run(|t| (0..300).for_each(|n| drop(insert(t, n, n))));
    let row = submit(&db, &schema(""));
    assert_eq!(state(&db, row), SchemaState::Pending);
    assert!(db.begin().activate_schema(ROOT, Some(row)).is_err());
    db.upkeep(&Upkeep::default());
    assert_eq!(state(&db, row), SchemaState::Validated);
    db.run(|t| t.activate_schema(ROOT, Some(row)).unwrap());
    assert_eq!(state(&db, row), SchemaState::Active);
    let body = object([("a", Value::Null)]);
    let error = db.begin().insert_document(ROOT, ITEMS, body).unwrap_err();
    assert_eq!(error.code, "SchemaEnforcementError");
    db.run(|t| t.activate_schema(ROOT, None).unwrap());
    assert_eq!(state(&db, row), SchemaState::Overwritten);
    let body = object([("a", Value::Null)]);
    db.run(|t| t.insert_document(ROOT, ITEMS, body).unwrap());
}

#[test]
fn a_stored_document_that_does_not_match_fails_the_schema() {
    let db = Db::new();
    // Wherever in the walk it comes.
    for wrong in [0, 150, 299] {
        let (ids, _) = db.run(|t| (0..300).map(|n| insert(t, n, n)).collect::<Vec<_>>());
        db.run(|t| patch(t, &ids[wrong], "a", text("x")).unwrap());
        let row = submit(&db, &schema(""));
        db.upkeep(&Upkeep::default());
        let SchemaState::Failed { error, table } = state(&db, row) else {
            panic!("a wrong document went unnoticed");
        };
        assert_eq!(table.as_deref(), Some(ITEMS));
        assert!(
            error.contains(&format!("Document with ID \"{}\"", ids[wrong])),
            "{error}"
        );
        assert!(db.begin().activate_schema(ROOT, Some(row)).is_err());
        db.run(|t| {
            ids.iter()
                .for_each(|id| drop(t.delete_document(ROOT, id, None).unwrap()))
        });
    }
}

#[test]
fn a_racing_write_fails_the_schema_and_goes_through() {
    for steps_before in [0, 1, 100] {
        let db = Db::new();
        let (id, _) = db.run(|t| {
            (0..300).for_each(|n| drop(insert(t, n, n)));
            insert(t, 1, 1)
        });
        // One that began before the schema was submitted has to look again.
        let mut early = db.begin();
        patch(&mut early, &id, "a", text("early")).unwrap();
        let row = submit(&db, &schema(""));
        assert!(db.queue(early).is_err(), "the schema was not looked at");
        let upkeep = Upkeep::default();
        for _ in 0..steps_before {
            db.engine.upkeep(&upkeep, &db.context()).unwrap();
        }
        db.run(|t| patch(t, &id, "a", text("x")).unwrap());
        let SchemaState::Failed { error, .. } = state(&db, row) else {
            panic!("the write went unnoticed");
        };
        assert!(
            error.starts_with("New document in table \"items\""),
            "{error}"
        );
        db.upkeep(&upkeep);
        assert!(matches!(state(&db, row), SchemaState::Failed { .. }));
        // A patch back does not revive it; submitting again does.
        db.run(|t| patch(t, &id, "a", Some(int(1))).unwrap());
        let again = submit(&db, &schema(""));
        assert_ne!(again, row);
        db.upkeep(&upkeep);
        assert_eq!(state(&db, again), SchemaState::Validated);
    }
}

#[test]
fn a_table_that_does_not_exist_does_not_end_the_walk() {
    let db = Db::new();
    db.run(|t| {
        t.insert_document(ROOT, ITEMS, object([("a", Value::Null)]))
            .unwrap()
    });
    let absent =
        r#"{"tableName":"absent","indexes":[],"documentType":{"type":"object","value":{}}},"#;
    let row = submit(&db, &schema(absent));
    db.upkeep(&Upkeep::default());
    assert!(matches!(state(&db, row), SchemaState::Failed { .. }));
}

#[test]
fn a_new_submission_overwrites_the_pending_one() {
    let db = Db::new();
    db.run(|t| drop(insert(t, 1, 1)));
    let first = submit(&db, &schema(""));
    assert_eq!(submit(&db, &schema("")), first);
    let other = r#"{"tableName":"absent","indexes":[],"documentType":null},"#;
    let second = submit(&db, &schema(other));
    assert_eq!(state(&db, first), SchemaState::Overwritten);
    db.upkeep(&Upkeep::default());
    assert_eq!(state(&db, second), SchemaState::Validated);
    assert_eq!(state(&db, first), SchemaState::Overwritten);
}

#[test]
fn what_accepts_anything_is_not_walked() {
    let any = r#"{"schemaValidation":true,"tables":[{"tableName":"items","indexes":[],"documentType":{"type":"any"}}]}"#;
    let db = Db::new();
    db.run(|t| (0..300).for_each(|n| drop(insert(t, n, n))));
    let row = submit(&db, &Schema::parse(any).unwrap());
    let upkeep = Upkeep::default();
    db.engine.upkeep(&upkeep, &db.context()).unwrap();
    assert_eq!(state(&db, row), SchemaState::Validated);
}

#[test]
fn whoever_waits_for_a_schema_hears_of_its_end() {
    let db = Db::new();
    let (id, _) = db.run(|t| insert(t, 1, 1));
    let other = r#"{"tableName":"absent","indexes":[],"documentType":null},"#;
    let row = submit(&db, &schema(""));
    db.take_metadata_changes();
    // A write that does not concern it is none of theirs.
    db.run(|t| patch(t, &id, "a", Some(int(2))).unwrap());
    assert_eq!(db.take_metadata_changes(), 0);
    db.run(|t| patch(t, &id, "a", text("x")).unwrap());
    assert_eq!(db.take_metadata_changes(), 1);
    let state_now = |row| db.engine.metadata().schema_state(row);
    assert!(matches!(state_now(row), Some(SchemaState::Failed { .. })));
    db.run(|t| patch(t, &id, "a", Some(int(1))).unwrap());
    let row = submit(&db, &schema(""));
    db.take_metadata_changes();
    submit(&db, &schema(other));
    assert_eq!(db.take_metadata_changes(), 1);
    assert_eq!(state_now(row), Some(SchemaState::Overwritten));
}

#[test]
fn a_table_that_a_schema_names_is_not_deleted() {
    let referring = r#"{"tableName":"a_refs","indexes":[],"documentType":{"type":"object","value":{
        "of":{"fieldType":{"type":"array","value":{"type":"id","tableName":"items"}},"optional":true}}}}"#;
    let elsewhere = format!(r#"{{"schemaValidation":true,"tables":[{referring}]}}"#);
    let elsewhere = Schema::parse(&elsewhere).unwrap();
    let other = Schema::parse(r#"{"schemaValidation":true,"tables":[]}"#).unwrap();
    for (schema, refusal) in [
        (
            schema(""),
            Some("Failed to delete table \"items\" because it appears in the schema"),
        ),
        (
            elsewhere,
            Some(
                "Failed to delete table \"items\" because `v.id(\"items\")` appears in the schema of table \"a_refs\"",
            ),
        ),
        (other, None),
    ] {
        for is_active in [true, false] {
            let db = Db::new();
            db.run(|t| drop(insert(t, 1, 1)));
            let row = submit(&db, &schema);
            if is_active {
                db.upkeep(&Upkeep::default());
                db.run(|t| t.activate_schema(ROOT, Some(row)).unwrap());
            }
            let table = db.table(ITEMS);
            let mut transaction = db.begin();
            let deleted = transaction.delete_table(&table);
            match refusal.filter(|_| is_active) {
                Some(text) => {
                    let error = deleted.unwrap_err();
                    assert_eq!(error.code, "SchemaEnforcementError");
                    assert_eq!(error.message, text);
                    continue;
                }
                None => deleted.unwrap(),
            }
            db.commit(transaction);
            assert_eq!(db.begin().count_documents(ROOT, ITEMS).unwrap(), 0);
            match (state(&db, row), refusal) {
                (SchemaState::Failed { error, table }, Some(text)) => {
                    assert_eq!((&*error, table.as_deref()), (text, Some(ITEMS)));
                }
                (SchemaState::Pending | SchemaState::Active, None) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_deployment_has_ten_thousand_tables_at_most() {
    let db = Db::new();
    let (tables, _) = db.run(|t| {
        let names = (0..10_000).map(|n| format!("t{n}"));
        let tables = names.map(|name| t.create_table(ROOT, &name, None).unwrap());
        tables.collect::<Vec<_>>()
    });
    let refused = db.begin().create_table(ROOT, "more", None).unwrap_err();
    assert_eq!(refused.code, "TooManyTables");
    assert_eq!(refused.message, "Number of tables cannot exceed 10000.");
    let refused = db
        .begin()
        .insert_document(ROOT, "more", object([]))
        .unwrap_err();
    assert_eq!(refused.code, "TooManyTables");
    // A deleted one makes room once it is purged, and its number is free then.
    let ((), deleted) = db.run(|t| t.delete_table(&tables[17]).unwrap());
    db.upkeep(&Upkeep::default());
    assert!(db.begin().create_table(ROOT, "more", None).is_err());
    db.engine.trim(Timestamp(deleted.0 + WINDOW_AGE_NANOS + 1));
    db.upkeep(&Upkeep::default());
    let (table, _) = db.run(|t| t.create_table(ROOT, "more", None).unwrap());
    assert_eq!(table.number, tables[17].number);
}
