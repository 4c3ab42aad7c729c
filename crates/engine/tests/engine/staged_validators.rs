//! Validators staged for later: checked in the background and by every write,
//! enforced by nothing, and what they spare a later schema.

use hull_engine::{
    SchemaState, StagedValidatorState, TableOutcome, TablePrediction, Transaction, Upkeep,
};
use hull_value::{Schema, Value};

use crate::fixture::{Db, ITEMS, ROOT, get, insert, int, object, patch};
use crate::random::{Random, Seed};

const BIGINT: &str = r#"{"type":"bigint"}"#;
const STRING: &str = r#"{"type":"string"}"#;
const EITHER: &str = r#"{"type":"union","value":[{"type":"bigint"},{"type":"string"}]}"#;

/// [`ITEMS`] with a field `a` of the given types.
fn schema(enforced: &str, staged: Option<&str>) -> Schema {
    let object = |a: &str| {
        format!(
            r#"{{"type":"object","value":{{"a":{{"fieldType":{a},"optional":false}},"b":{{"fieldType":{{"type":"any"}},"optional":true}}}}}}"#
        )
    };
    let staged = staged.map_or(String::new(), |staged| {
        format!(r#","stagedDocumentType":{}"#, object(staged))
    });
    let text = format!(
        r#"{{"schemaValidation":true,"tables":[{{"tableName":"items","indexes":[],"documentType":{}{staged}}}]}}"#,
        object(enforced)
    );
    Schema::parse(&text).unwrap()
}

/// A push: returns how many steps of background work its schema took.
fn push(db: &Db, upkeep: &Upkeep, schema: &Schema) -> u64 {
    let (row, _) = db.run(|t| {
        t.prepare_indexes(ROOT, schema).unwrap();
        t.submit_schema(ROOT, schema).unwrap()
    });
    let mut checked = 0;
    while db.begin().schema_state(row).unwrap() == Some(SchemaState::Pending) {
        assert!(db.engine.upkeep(upkeep, &db.context()).unwrap());
        checked = checked.max(upkeep.documents_checked(row));
    }
    db.run(|t| {
        t.activate_schema(ROOT, Some(row)).unwrap();
        t.stage_validators(ROOT, schema).unwrap();
    });
    checked
}

fn state(transaction: &Transaction) -> Option<StagedValidatorState> {
    let metadata = transaction.metadata();
    let table = metadata.tables().find(|table| table.name == ITEMS)?;
    let staged = metadata.staged_validator(table.tablet)?;
    Some(staged.state.clone())
}

fn is_failed(db: &Db) -> bool {
    matches!(
        state(&db.begin()),
        Some(StagedValidatorState::Failed { .. })
    )
}

fn prediction(db: &Db, schema: &Schema) -> TablePrediction {
    let mut transaction = db.begin();
    let mut prediction = transaction.predict_schema(ROOT, schema).unwrap();
    prediction.tables.remove(0)
}

fn insert_text(transaction: &mut Transaction) -> String {
    let body = object([("a", Value::String("x".to_owned()))]);
    let id = transaction.insert_document(ROOT, ITEMS, body).unwrap();
    id.to_string()
}

#[test]
fn a_valid_one_spares_the_walk_of_the_schema_that_applies_it() {
    let db = Db::new();
    let upkeep = Upkeep::default();
    db.run(|t| (0..600).for_each(|n| drop(insert(t, n, n))));
    assert_eq!(push(&db, &upkeep, &schema(EITHER, Some(BIGINT))), 600);
    assert_eq!(state(&db.begin()), Some(StagedValidatorState::Pending));
    let applying = schema(BIGINT, None);
    let waiting = prediction(&db, &applying);
    assert_eq!(waiting.outcome, TableOutcome::MustWalk);
    assert!(waiting.can_skip_after_staged_validation);
    db.upkeep(&upkeep);
    assert_eq!(state(&db.begin()), Some(StagedValidatorState::Valid));
    assert_eq!(
        prediction(&db, &applying).outcome,
        TableOutcome::SupersetOfStagedValidated
    );
    assert_eq!(push(&db, &upkeep, &applying), 0, "documents walked over");
    assert_eq!(state(&db.begin()), None, "nothing is staged any more");
    let body = object([("a", Value::Null)]);
    assert!(db.begin().insert_document(ROOT, ITEMS, body).is_err());
    // Without the staged one each document is looked at.
    let other = Db::new();
    other.run(|t| (0..600).for_each(|n| drop(insert(t, n, n))));
    push(&other, &upkeep, &schema(EITHER, None));
    assert_eq!(push(&other, &upkeep, &applying), 600);
}

#[test]
fn a_document_that_does_not_match_fails_it_and_is_written() {
    let existing = |db: &Db| {
        let (id, _) = db.run(insert_text);
        push(db, &Upkeep::default(), &schema(EITHER, Some(BIGINT)));
        db.upkeep(&Upkeep::default());
        (id, "Document with ID")
    };
    let racing = |db: &Db| {
        push(db, &Upkeep::default(), &schema(EITHER, Some(BIGINT)));
        (db.run(insert_text).0, "New document in table")
    };
    let later = |db: &Db| {
        push(db, &Upkeep::default(), &schema(EITHER, Some(BIGINT)));
        db.upkeep(&Upkeep::default());
        assert_eq!(state(&db.begin()), Some(StagedValidatorState::Valid));
        (db.run(insert_text).0, "New document in table")
    };
    for case in [&existing as &dyn Fn(&Db) -> _, &racing, &later] {
        let db = Db::new();
        db.run(|t| (0..10).for_each(|n| drop(insert(t, n, n))));
        let (id, text): (String, &str) = case(&db);
        let Some(StagedValidatorState::Failed { error }) = state(&db.begin()) else {
            panic!("{:?}", state(&db.begin()));
        };
        assert!(error.starts_with(text), "{error}");
        assert!(
            error.contains("does not match the staged schema: Value does not match validator.\nPath: .a\nValue: \"x\"\nValidator: v.int64()"),
            "{error}"
        );
        assert!(get(&mut db.begin(), &id).is_some());
        // It stays failed, and a schema that applies it is checked like any other.
        db.upkeep(&Upkeep::default());
        assert!(is_failed(&db));
        let applying = prediction(&db, &schema(BIGINT, None));
        assert_eq!(applying.outcome, TableOutcome::MustWalk);
        assert!(!applying.can_skip_after_staged_validation);
        // Staged again, it is checked again.
        db.run(|t| patch(t, &id, "a", Some(int(1))).unwrap());
        push(&db, &Upkeep::default(), &schema(EITHER, Some(BIGINT)));
        db.upkeep(&Upkeep::default());
        assert_eq!(state(&db.begin()), Some(StagedValidatorState::Valid));
    }
}

#[test]
fn a_push_keeps_what_it_stages_again_and_discards_the_rest() {
    let db = Db::new();
    let upkeep = Upkeep::default();
    db.run(|t| (0..10).for_each(|n| drop(insert(t, n, n))));
    let staging = schema(EITHER, Some(BIGINT));
    push(&db, &upkeep, &staging);
    db.upkeep(&upkeep);
    let discarded = |schema: &Schema| {
        let prediction = db.begin().predict_schema(ROOT, schema).unwrap();
        let discarded = prediction.discarded.into_iter();
        discarded.map(|one| one.replaced).collect::<Vec<_>>()
    };
    assert!(discarded(&staging).is_empty());
    assert!(discarded(&schema(BIGINT, None)).is_empty(), "it is applied");
    assert_eq!(discarded(&schema(EITHER, None)), [false]);
    assert_eq!(discarded(&schema(EITHER, Some(STRING))), [true]);
    assert_eq!(discarded(&Schema::default()), [false]);
    push(&db, &upkeep, &staging);
    assert_eq!(state(&db.begin()), Some(StagedValidatorState::Valid));
    push(&db, &upkeep, &schema(EITHER, Some(STRING)));
    assert_eq!(state(&db.begin()), Some(StagedValidatorState::Pending));
    push(&db, &upkeep, &schema(EITHER, None));
    assert_eq!(state(&db.begin()), None);
}

/// Whatever happens in whatever order: a valid one matches every document, and
/// unless it failed it becomes valid.
#[test]
fn valid_means_that_every_document_matches() {
    for seed in 0..60 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::new();
        let upkeep = Upkeep::default();
        let (mut ids, _) = db.run(|t| (0..300).map(|n| insert(t, n, n)).collect::<Vec<_>>());
        push(&db, &upkeep, &schema(EITHER, None));
        let mut wrong = 0;
        for _ in 0..40 {
            match random.below(8) {
                0 => drop(push(&db, &upkeep, &schema(EITHER, Some(BIGINT)))),
                1 => drop(push(&db, &upkeep, &schema(EITHER, None))),
                2 if random.percent(20) => {
                    let (id, _) = db.run(insert_text);
                    ids.push(id);
                    wrong += 1;
                }
                3 if wrong > 0 => {
                    let id = ids.pop().unwrap();
                    let (was, _) = db.run(|t| t.delete_document(ROOT, &id, None).unwrap());
                    let was = was.unpack();
                    let Value::Object(was) = was else { panic!() };
                    wrong -= usize::from(matches!(was.get("a"), Some(Value::String(_))));
                }
                4 => {
                    let (id, _) = db.run(|t| insert(t, 1, 1));
                    ids.insert(0, id);
                }
                _ => drop(db.engine.upkeep(&upkeep, &db.context()).unwrap()),
            }
            if state(&db.begin()) == Some(StagedValidatorState::Valid) {
                assert_eq!(wrong, 0);
            }
        }
        db.upkeep(&upkeep);
        match state(&db.begin()) {
            Some(StagedValidatorState::Valid) => assert_eq!(wrong, 0),
            Some(StagedValidatorState::Pending) => panic!("the work stopped"),
            _ => {}
        }
    }
}
