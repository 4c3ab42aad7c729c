//! Commits that the store refuses, on a full disk for example: they never were,
//! neither was what built on them, and everything goes on after them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use hull_engine::{CommitError, Metadata, Transaction, Upkeep};
use hull_store::Order;
use hull_store::memory::Fault;
use hull_value::{CodedError, Schema, Timestamp, Value};

use crate::fixture::{Db, ITEMS, NOW, ROOT, SCHEMA, get, insert, int, patch};
use crate::model::{Scan, State};
use crate::random::{Random, Seed};

type Outcome = Result<Timestamp, CodedError>;

/// Begins a commit; its outcome comes later.
fn start(db: &Db, transaction: Transaction) -> Result<Receiver<Outcome>, CommitError> {
    let (sender, receiver) = channel();
    let done = Box::new(move |outcome| sender.send(outcome).unwrap());
    db.engine.commit(transaction, NOW, None, done)?;
    Ok(receiver)
}

fn code(outcome: &Outcome) -> &str {
    match outcome {
        Ok(_) => "",
        Err(error) => &error.code,
    }
}

fn has_table(metadata: &Metadata, name: &str) -> bool {
    metadata.tables().any(|table| table.name == name)
}

fn value(db: &Db, id: &str) -> i64 {
    match get(&mut db.begin(), id) {
        Some(Value::Object(document)) => match document.get("a") {
            Some(Value::Int64(n)) => *n,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_builds_on_a_refused_commit_is_refused_or_runs_again() {
    let db = Db::with_items();
    let (id, before) = db.run(|t| insert(t, 1, 1));
    db.store.hold_sync();
    let mut first = db.begin();
    patch(&mut first, &id, "a", Some(int(2))).unwrap();
    let first = start(&db, first).unwrap();
    db.store.wait_until_held();

    let mut second = db.begin();
    patch(&mut second, &id, "a", Some(int(3))).unwrap();
    second
        .insert_document(ROOT, "others", Default::default())
        .unwrap();
    let second = start(&db, second).unwrap();
    let mut third = db.begin();
    assert!(has_table(third.metadata(), "others"));
    insert(&mut third, 7, 7);
    let third = start(&db, third).unwrap();
    // These have seen the second and the third.
    let mut reader = db.begin();
    assert_eq!(reader.count_documents(ROOT, ITEMS).unwrap(), 2);
    let waiting = start(&db, db.begin()).unwrap();
    let mut writer = db.begin();
    insert(&mut writer, 8, 8);

    db.store.inject(Fault::DiskFull, 0);
    db.store.release_sync();
    assert_eq!(code(&first.recv().unwrap()), "");
    let refused = second.recv().unwrap();
    assert_eq!(code(&refused), "DiskFull");
    assert_eq!(
        refused.unwrap_err().message,
        "The disk of this deployment is full. Nothing can be written until there is space again."
    );
    assert_eq!(code(&third.recv().unwrap()), "DiskFull");
    assert_eq!(code(&waiting.recv().unwrap()), "DiskFull");
    let seen = reader.begin_ts();
    assert_eq!(
        code(&start(&db, reader).unwrap().recv().unwrap()),
        "CommitNotStored"
    );
    assert!(matches!(start(&db, writer), Err(CommitError::Conflict(_))));

    assert_eq!(value(&db, &id), 2);
    assert!(!has_table(&db.engine.metadata(), "others"));
    let (_, after) = db.run(|t| insert(t, 9, 9));
    assert!(before < seen && seen < after, "no timestamp is given twice");
    assert_eq!(db.begin().count_documents(ROOT, ITEMS).unwrap(), 2);
    // Also later, when newer commits are published.
    let (sender, receiver) = channel();
    let done = Box::new(move |outcome| sender.send(outcome).unwrap());
    db.engine.when_published(seen, done);
    assert_eq!(code(&receiver.recv().unwrap()), "CommitNotStored");
}

#[test]
fn acknowledged_commits_alone_make_the_state() {
    for seed in 0..200 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::with_items();
        // What is acknowledged, by id.
        let mut model: BTreeMap<String, i64> = BTreeMap::new();
        let mut newest = db.engine.latest();
        for _ in 0..8 {
            db.store.hold_sync();
            let mut started = vec![step(&db, &model, &mut random)];
            db.store.wait_until_held();
            for _ in 0..random.below(4) {
                started.push(step(&db, &model, &mut random));
            }
            // It strikes the batch after the one that is held.
            if started.len() > 1 && random.percent(60) {
                let fault = *random.pick(&[Fault::DiskFull, Fault::WriteFails]);
                db.store.inject(fault, 0);
            }
            let straggler = random.percent(50).then(|| {
                let mut transaction = db.begin();
                let id = insert(&mut transaction, 5, 5);
                (transaction, id)
            });
            db.store.release_sync();
            let mut is_refused = false;
            for (change, outcome) in started {
                let outcome = outcome.expect("nothing runs beside it").recv().unwrap();
                match outcome {
                    Ok(ts) => {
                        assert!(!is_refused, "it was built on one that was refused");
                        assert!(ts > newest);
                        newest = ts;
                        change.apply(&mut model);
                    }
                    Err(_) => is_refused = true,
                }
            }
            if let Some((transaction, id)) = straggler
                && let Ok(outcome) = start(&db, transaction)
                && let Ok(ts) = outcome.recv().unwrap()
            {
                newest = ts;
                model.insert(id, 5);
            }
            check(&db, &model);
        }
    }
}

#[test]
fn an_index_built_among_refused_commits_is_complete() {
    for seed in 0..10 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::new();
        // Several pages of the walk.
        let (documents, _) = db.run(|t| (0..600).map(|n| (insert(t, n, n), n)).collect());
        let mut model: BTreeMap<String, i64> = documents;
        let schema = Schema::parse(SCHEMA).unwrap();
        db.run(|t| t.prepare_indexes(ROOT, &schema).unwrap());
        let upkeep = Upkeep::default();
        let mut refused = 0;
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            scope.spawn({
                let (db, upkeep) = (&db, &upkeep);
                move || {
                    // A step that was refused is done again.
                    while !matches!(db.engine.upkeep(upkeep, &db.context()), Ok(false)) {
                        sender.send(()).unwrap();
                    }
                }
            });
            while receiver.recv().is_ok() {
                db.store.hold_sync();
                let held = patch_many(&db, &model, &mut random);
                if held.1.is_ok() {
                    db.store.wait_until_held();
                }
                // The next step of the walk may come before it or after it.
                let next = patch_many(&db, &model, &mut random);
                if next.1.is_ok() {
                    db.store.inject(Fault::DiskFull, 0);
                }
                db.store.release_sync();
                for (changes, outcome) in [held, next] {
                    // An index has changed its state: every write depends on that.
                    let Ok(outcome) = outcome else { continue };
                    match outcome.recv().unwrap() {
                        Ok(_) => changes.into_iter().for_each(|one| one.apply(&mut model)),
                        Err(_) => refused += 1,
                    }
                }
            }
        });
        assert!(refused > 0);
        db.run(|t| t.finish_indexes(ROOT, &schema).unwrap());
        check(&db, &model);
        let mut transaction = db.begin();
        let state: State = model
            .keys()
            .map(|id| (id.clone(), get(&mut transaction, id).unwrap()))
            .collect();
        for index in ["by_a", "by_ab"] {
            let scan = Scan::all(index, Order::Asc);
            assert_eq!(scan.run(&mut transaction), scan.expected(&state), "{index}");
        }
    }
}

enum Change {
    Put(String, i64),
    Delete(String),
}

impl Change {
    fn apply(self, model: &mut BTreeMap<String, i64>) {
        match self {
            Change::Put(id, n) => model.insert(id, n),
            Change::Delete(id) => model.remove(&id),
        };
    }
}

/// Commits a random change on the tip.
fn step(
    db: &Db,
    model: &BTreeMap<String, i64>,
    random: &mut Random,
) -> (Change, Result<Receiver<Outcome>, CommitError>) {
    let mut transaction = db.begin();
    let known: Vec<_> = model
        .keys()
        .filter(|id| get(&mut transaction, id).is_some())
        .collect();
    let n = random.below(1000) as i64;
    let change = if known.is_empty() || random.percent(40) {
        Change::Put(insert(&mut transaction, n, n), n)
    } else {
        let id = (*random.pick(&known)).clone();
        if random.percent(30) {
            transaction.delete_document(ROOT, &id, None).unwrap();
            Change::Delete(id)
        } else {
            patch(&mut transaction, &id, "a", Some(int(n + 1_000))).unwrap();
            Change::Put(id, n + 1_000)
        }
    };
    (change, start(db, transaction))
}

/// Commits new values for a third of the documents.
fn patch_many(
    db: &Db,
    model: &BTreeMap<String, i64>,
    random: &mut Random,
) -> (Vec<Change>, Result<Receiver<Outcome>, CommitError>) {
    let mut transaction = db.begin();
    let mut changes = Vec::new();
    for id in model.keys() {
        if random.percent(67) {
            continue;
        }
        let n = random.below(1_000) as i64;
        patch(&mut transaction, id, "a", Some(int(n))).unwrap();
        changes.push(Change::Put(id.clone(), n));
    }
    (changes, start(db, transaction))
}

fn check(db: &Db, model: &BTreeMap<String, i64>) {
    let mut transaction = db.begin();
    let count = transaction.count_documents(ROOT, ITEMS).unwrap();
    assert_eq!(count, model.len() as u64);
    let table = db.table(ITEMS);
    assert_eq!(db.stored_documents(table.tablet), model.len());
    for index in &table.indexes {
        assert_eq!(db.stored_entries(index.index), model.len());
    }
    for (id, n) in model {
        assert_eq!(value(db, id), *n);
    }
}
