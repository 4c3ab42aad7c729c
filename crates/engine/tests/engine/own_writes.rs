//! A transaction sees its own writes, and savepoints take them back exactly.

use hull_engine::Savepoint;

use crate::fixture::{Db, ROOT, get, insert, int, object};
use crate::model::{Scan, State, write_at_random};
use crate::random::{Random, Seed};

#[test]
fn scans_see_own_writes_and_savepoints_restore() {
    for seed in 0..12 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::with_items();
        let mut committed = State::new();
        let mut ids = Vec::new();
        // The second half lies in commits that the store does not have yet.
        for round in 0..10 {
            if round == 5 {
                db.wait_until_published(db.queue(db.begin()).unwrap());
                db.store.hold_sync();
            }
            let mut transaction = db.begin();
            for _ in 0..3 {
                let (id, _) = write_at_random(&mut random, &mut transaction, &mut committed, &ids);
                ids.push(id);
            }
            db.queue(transaction).unwrap();
        }
        let mut state = committed.clone();
        let mut savepoints: Vec<(Savepoint, State)> = Vec::new();
        let mut transaction = db.begin();
        for _ in 0..60 {
            match random.below(8) {
                0 => savepoints.push((transaction.savepoint(), state.clone())),
                1 => {
                    if let Some((savepoint, before)) = savepoints.pop() {
                        transaction.roll_back(savepoint);
                        state = before;
                    }
                }
                _ => {
                    let (id, _) = write_at_random(&mut random, &mut transaction, &mut state, &ids);
                    ids.push(id);
                }
            }
            for _ in 0..4 {
                let scan = Scan::random(&mut random);
                assert_eq!(
                    scan.run(&mut transaction),
                    scan.expected(&state),
                    "{scan:?}"
                );
            }
            let id = random.pick(&ids).clone();
            assert_eq!(get(&mut transaction, &id).as_ref(), state.get(&id));
            assert_eq!(transaction.has_writes(), state != committed);
            let was_stale = transaction.set_stale(true);
            let scan = Scan::random(&mut random);
            assert_eq!(
                scan.run(&mut transaction),
                scan.expected(&committed),
                "stale {scan:?}"
            );
            transaction.set_stale(was_stale);
        }
        let ts = db.queue(transaction).unwrap();
        db.store.release_sync();
        db.wait_until_published(ts);
        let mut after = db.begin_at(ts);
        for id in &ids {
            assert_eq!(get(&mut after, id).as_ref(), state.get(id));
        }
        for _ in 0..10 {
            let scan = Scan::random(&mut random);
            assert_eq!(
                scan.run(&mut after),
                scan.expected(&state),
                "committed {scan:?}"
            );
        }
    }
}

#[test]
fn rolling_back_the_creation_of_a_table_leaves_no_trace() {
    let db = Db::new();
    let mut transaction = db.begin();
    let savepoint = transaction.savepoint();
    let id = transaction
        .insert_document(ROOT, "fresh", object([("a", int(1))]))
        .unwrap()
        .to_string();
    transaction.roll_back(savepoint);
    assert_eq!(get(&mut transaction, &id), None);
    assert!(transaction.table(ROOT, "fresh").is_none());
    assert!(!transaction.has_writes());
    insert(&mut transaction, 1, 1);
    db.commit(transaction);
    let names: Vec<String> = (db.engine.metadata().tables())
        .filter(|table| !table.name.starts_with('_'))
        .map(|table| table.name.clone())
        .collect();
    assert_eq!(names, ["items"]);
}
