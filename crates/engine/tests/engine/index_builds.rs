//! Indexes built while writes go on hold what a full recomputation says.

use std::sync::mpsc::channel;
use std::time::Duration;

use hull_engine::query::QuerySource;
use hull_engine::{CommitError, ComponentReads, IndexState, Upkeep};
use hull_store::Order;
use hull_value::{CodedError, Schema};

use crate::fixture::{Db, ITEMS, ROOT, SCHEMA, insert};
use crate::model::{Scan, State, write_at_random};
use crate::random::{Random, Seed};

const STAGED: &str = r#"{"tables":[{"tableName":"items","documentType":null,"indexes":[],"stagedDbIndexes":[
    {"indexDescriptor":"by_a","fields":["a"]},{"indexDescriptor":"by_ab","fields":["a","b"]}]}]}"#;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap()
}

fn resolve(db: &Db, index: &str) -> Result<(), CodedError> {
    let mut transaction = db.begin();
    let mut source = ComponentReads {
        transaction: &mut transaction,
        namespace: ROOT,
    };
    source.resolve_index(ITEMS, index).map(drop)
}

fn check_indexes(db: &Db, state: &State) {
    for index in ["by_a", "by_ab"] {
        for order in [Order::Asc, Order::Desc] {
            let scan = Scan::all(index, order);
            assert_eq!(
                scan.run(&mut db.begin()),
                scan.expected(state),
                "{index} {order:?}"
            );
        }
    }
    for index in &db.table(ITEMS).indexes {
        assert_eq!(
            db.stored_entries(index.index),
            state.len(),
            "{}",
            index.name
        );
    }
}

/// Commits random writes and keeps the model.
fn churn(db: &Db, random: &mut Random, state: &mut State, writes: usize) {
    let ids: Vec<String> = state.keys().cloned().collect();
    loop {
        let mut after = state.clone();
        let mut transaction = db.begin();
        for _ in 0..writes {
            write_at_random(random, &mut transaction, &mut after, &ids);
        }
        match db.queue(transaction) {
            Ok(ts) => {
                *state = after;
                return db.wait_until_published(ts);
            }
            // An index has changed its state: every write depends on that.
            Err(CommitError::Conflict(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn an_index_built_among_writes_is_complete() {
    for seed in 0..3 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::new();
        let mut state = State::new();
        // More than two pages of the walk.
        db.run(|t| {
            for n in 0..600 {
                let id = insert(t, n % 6, n % 3);
                let document = crate::fixture::get(t, &id).unwrap();
                state.insert(id, document);
            }
        });
        churn(&db, &mut random, &mut state, 40);
        db.run(|t| t.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap());
        let error = resolve(&db, "by_a").unwrap_err();
        assert_eq!(error.code, "IndexBackfillingError");
        let early = db.begin().finish_indexes(ROOT, &schema(SCHEMA));
        assert!(early.is_err_and(|error| error.code == "IndexNotReady"));
        let upkeep = Upkeep::default();
        std::thread::scope(|scope| {
            // Walks and writes at the same time; and between any two steps at the least.
            let (sender, receiver) = channel();
            let walker = scope.spawn({
                let (db, upkeep) = (&db, &upkeep);
                move || {
                    while db.engine.upkeep(upkeep, &db.context()).unwrap() {
                        sender.send(()).unwrap();
                    }
                }
            });
            while receiver.recv().is_ok() {
                churn(&db, &mut random, &mut state, 10);
            }
            walker.join().unwrap();
        });
        let progress = db.engine.metadata().index_progress(ROOT);
        assert_eq!((progress.complete, progress.total), (2, 2));
        churn(&db, &mut random, &mut state, 10);
        db.run(|t| t.finish_indexes(ROOT, &schema(SCHEMA)).unwrap());
        check_indexes(&db, &state);
        churn(&db, &mut random, &mut state, 10);
        check_indexes(&db, &state);
    }
}

#[test]
fn a_walk_does_not_begin_before_its_index_is_durable() {
    let db = Db::new();
    let mut state = State::new();
    db.run(|t| t.create_table(ROOT, ITEMS, None).unwrap());
    db.store.hold_sync();
    // Neither of both commits is published: the document is in no page at the
    // latest timestamp, and its write knew of no index.
    let mut writer = db.begin();
    write_at_random(&mut Random::new(1), &mut writer, &mut state, &[]);
    db.queue(writer).unwrap();
    let mut pusher = db.begin();
    pusher.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap();
    let ts = db.queue(pusher).unwrap();
    let upkeep = Upkeep::default();
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let (db, upkeep) = (&db, &upkeep);
        scope.spawn(move || sender.send(db.engine.upkeep(upkeep, &db.context()).unwrap()));
        // The time-out passes only if the test fails.
        let step = receiver.recv_timeout(Duration::from_secs(10));
        db.store.release_sync();
        assert_eq!(
            step,
            Ok(false),
            "an unpublished index is already being walked"
        );
    });
    db.wait_until_published(ts);
    db.upkeep(&upkeep);
    db.run(|t| t.finish_indexes(ROOT, &schema(SCHEMA)).unwrap());
    check_indexes(&db, &state);
}

#[test]
fn a_write_that_is_on_its_way_wins_over_the_page_read_before_it() {
    for seed in 0..5 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::new();
        let mut state = State::new();
        churn(&db, &mut random, &mut state, 60);
        db.run(|t| t.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap());
        db.store.hold_sync();
        let ids: Vec<String> = state.keys().cloned().collect();
        let mut writer = db.begin();
        for _ in 0..30 {
            write_at_random(&mut random, &mut writer, &mut state, &ids);
        }
        db.queue(writer).unwrap();
        let upkeep = Upkeep::default();
        std::thread::scope(|scope| {
            let step = scope.spawn(|| db.engine.upkeep(&upkeep, &db.context()).unwrap());
            // Gives the step time to read its page; right whether it takes it or not.
            (0..2_000).for_each(|_| std::thread::yield_now());
            db.store.release_sync();
            assert!(step.join().unwrap());
        });
        db.upkeep(&upkeep);
        db.run(|t| t.finish_indexes(ROOT, &schema(SCHEMA)).unwrap());
        check_indexes(&db, &state);
    }
}

#[test]
fn a_staged_index_is_built_and_serves_once_it_is_enabled() {
    let db = Db::new();
    let mut random = Random::new(7);
    let mut state = State::new();
    churn(&db, &mut random, &mut state, 30);
    db.push(STAGED);
    assert_eq!(resolve(&db, "by_a").unwrap_err().code, "IndexStagedError");
    let states = |db: &Db| -> Vec<(IndexState, bool)> {
        let table = db.table(ITEMS);
        let declared = table
            .indexes
            .iter()
            .filter(|index| index.name != "by_creation_time");
        declared.map(|index| (index.state, index.staged)).collect()
    };
    assert_eq!(states(&db), [(IndexState::Backfilled, true); 2]);
    churn(&db, &mut random, &mut state, 30);
    let (diff, _) = db.run(|t| {
        t.prepare_indexes(ROOT, &schema(SCHEMA)).unwrap();
        t.finish_indexes(ROOT, &schema(SCHEMA)).unwrap()
    });
    assert_eq!(diff.removed, []);
    assert_eq!(states(&db), [(IndexState::Enabled, false); 2]);
    check_indexes(&db, &state);
    // Staging it again takes it from readers and keeps it up to date.
    db.push(STAGED);
    assert_eq!(resolve(&db, "by_a").unwrap_err().code, "IndexStagedError");
    churn(&db, &mut random, &mut state, 30);
    db.push(SCHEMA);
    check_indexes(&db, &state);
}

#[test]
fn the_end_of_one_push_leaves_the_indexes_of_another_alone() {
    const BEFORE: &str = r#"{"schemaValidation":false,"tables":[{"tableName":"items","documentType":null,"indexes":[
        {"indexDescriptor":"by_a","fields":["a"]}]}]}"#;
    let db = Db::new();
    db.run(|t| insert(t, 1, 1));
    let start = |text: &str| {
        let schema = schema(text);
        db.run(|t| {
            t.prepare_indexes(ROOT, &schema).unwrap();
            t.submit_schema(ROOT, &schema).unwrap()
        })
        .0
    };
    let finish = |text: &str, row| {
        db.run(|t| {
            t.activate_schema(ROOT, Some(row)).unwrap();
            t.finish_indexes(ROOT, &schema(text)).map(drop).unwrap()
        });
    };
    let upkeep = Upkeep::default();
    let row = start(BEFORE);
    db.upkeep(&upkeep);
    finish(BEFORE, row);
    let first = start(BEFORE);
    let second = start(SCHEMA);
    finish(BEFORE, first);
    db.upkeep(&upkeep);
    finish(SCHEMA, second);
    resolve(&db, "by_ab").unwrap();
    // What nobody is building goes.
    let third = start(BEFORE);
    db.upkeep(&upkeep);
    finish(BEFORE, third);
    assert_eq!(
        resolve(&db, "by_ab").unwrap_err().code,
        "IndexNotFoundError"
    );
}

#[test]
fn a_search_index_is_no_database_index() {
    let db = Db::new();
    db.push(
        r#"{"tables":[{"tableName":"items","documentType":null,"indexes":[],
        "searchIndexes":[{"indexDescriptor":"by_text","searchField":"text","filterFields":[]}]}]}"#,
    );
    let error = resolve(&db, "by_text").unwrap_err();
    assert_eq!(
        (&*error.code, &*error.message),
        (
            "IndexNotADatabaseIndex",
            "Index items.by_text is not a database index"
        )
    );
}
