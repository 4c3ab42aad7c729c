//! Long walks of the background work go on where they were after a restart.

use hull_engine::{IndexState, SchemaState, StagedValidatorState, Upkeep, system};
use hull_store::Order;
use hull_value::{Schema, Value};

use crate::fixture::{Db, ITEMS, ROOT, get, insert, int, patch};
use crate::model::{Scan, State};
use crate::random::{Random, Seed};

const DOCUMENTS: i64 = 9_000;

/// [`ITEMS`] with an index on `a`, and with `a` an int64 for sure or later.
const SCHEMA: &str = r#"{"schemaValidation":true,"tables":[
    {"tableName":"a_first","indexes":[],"documentType":{"type":"object","value":{}}},
    {"tableName":"items","indexes":[{"indexDescriptor":"by_a","fields":["a"]},{"indexDescriptor":"by_ab","fields":["a","b"]}],
     "documentType":{"type":"object","value":{"a":{"fieldType":{"type":"any"},"optional":true},"b":{"fieldType":{"type":"bigint"},"optional":true}}},
     "stagedDocumentType":{"type":"object","value":{"a":{"fieldType":{"type":"bigint"},"optional":true},"b":{"fieldType":{"type":"any"},"optional":true}}}}]}"#;

fn saved_walks(db: &Db) -> usize {
    db.stored_documents(system::WALKS)
}

#[test]
fn walks_go_on_after_a_restart_and_miss_nothing() {
    for seed in 0..2 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let mut db = Db::new();
        let (mut ids, _) = db.run(|t| {
            t.insert_document(ROOT, "a_first", Default::default())
                .unwrap();
            (0..DOCUMENTS)
                .map(|n| insert(t, n % 100, n))
                .collect::<Vec<_>>()
        });
        let schema = Schema::parse(SCHEMA).unwrap();
        let (row, _) = db.run(|t| {
            t.prepare_indexes(ROOT, &schema).unwrap();
            let row = t.submit_schema(ROOT, &schema).unwrap();
            t.stage_validators(ROOT, &schema).unwrap();
            row
        });
        // As many steps as half of the walks, then a new process, again and again.
        let mut steps = 0;
        let mut restarts = 0;
        let mut upkeep = Upkeep::default();
        while db.engine.upkeep(&upkeep, &db.context()).unwrap() {
            steps += 1;
            if random.percent(30) {
                let id = random.pick(&ids).clone();
                let n = random.below(1_000) as i64;
                db.run(|t| drop(patch(t, &id, "a", Some(int(n))).unwrap()));
            }
            if random.percent(10) {
                ids.push(db.run(|t| insert(t, 7, 7)).0);
            }
            if steps % 60 == 0 {
                db = db.restarted();
                upkeep = Upkeep::default();
                restarts += 1;
            }
            assert!(steps < 1_000, "the walks begin anew each time");
        }
        assert!(restarts >= 2);
        // Three pages of 256 for four walks, and what is done twice.
        let pages = 4 * DOCUMENTS as usize / 256;
        assert!(steps < pages * 2, "{steps} steps");
        assert_eq!(saved_walks(&db), 0, "nothing is left of them");

        let metadata = db.engine.metadata();
        assert_eq!(metadata.schema_state(row), Some(SchemaState::Validated));
        let table = db.table(ITEMS);
        let staged = metadata.staged_validator(table.tablet).unwrap();
        assert_eq!(staged.state, StagedValidatorState::Valid);
        let mut state = State::new();
        for ids in ids.chunks(1_000) {
            let mut transaction = db.begin();
            let known = ids.iter();
            state.extend(known.map(|id| (id.clone(), get(&mut transaction, id).unwrap())));
        }
        db.run(|t| {
            t.activate_schema(ROOT, Some(row)).unwrap();
            t.finish_indexes(ROOT, &schema).unwrap();
        });
        for index in ["by_a", "by_ab"] {
            let scan = Scan::all(index, Order::Asc);
            assert_eq!(scan.run(&mut db.begin()), scan.expected(&state), "{index}");
        }
        for index in &db.table(ITEMS).indexes {
            assert_eq!(index.state, IndexState::Enabled);
            assert_eq!(
                db.stored_entries(index.index),
                state.len(),
                "{}",
                index.name
            );
        }
    }
}

#[test]
fn a_wrong_document_behind_the_saved_place_is_found() {
    let db = Db::new();
    let (ids, _) = db.run(|t| {
        let ids = (0..DOCUMENTS).map(|n| insert(t, n, n));
        ids.collect::<Vec<_>>()
    });
    // The walk goes by id: the largest comes last.
    let last = ids.iter().max().unwrap().clone();
    let wrong = Value::String("wrong".to_owned());
    db.run(|t| drop(patch(t, &last, "b", Some(wrong)).unwrap()));
    let schema = Schema::parse(SCHEMA).unwrap();
    let (row, _) = db.run(|t| t.submit_schema(ROOT, &schema).unwrap());
    let upkeep = Upkeep::default();
    while saved_walks(&db) == 0 {
        assert!(db.engine.upkeep(&upkeep, &db.context()).unwrap());
    }
    let checked = upkeep.documents_checked(row);
    let db = db.restarted();
    let upkeep = Upkeep::default();
    assert!(db.engine.upkeep(&upkeep, &db.context()).unwrap());
    assert_eq!(upkeep.documents_checked(row), checked + 256);
    db.upkeep(&upkeep);
    let state = db.engine.metadata().schema_state(row);
    let Some(SchemaState::Failed { error, .. }) = state else {
        panic!("{state:?}");
    };
    assert!(error.contains(&last), "{error}");
}
