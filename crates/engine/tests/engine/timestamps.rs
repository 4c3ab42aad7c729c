//! Snapshots are of exactly the timestamp asked for, wherever the store is.

use hull_value::Timestamp;

use crate::fixture::{Db, get};
use crate::model::{Scan, State, write_at_random};
use crate::random::{Random, Seed};

/// The states after each commit, oldest first, and every id there ever was.
struct History {
    states: Vec<(Timestamp, State)>,
    ids: Vec<String>,
}

impl History {
    fn new(db: &Db) -> History {
        History {
            states: vec![(db.engine.latest(), State::new())],
            ids: Vec::new(),
        }
    }

    fn tip(&self) -> &(Timestamp, State) {
        self.states.last().unwrap()
    }

    /// Commits random writes without waiting for the store.
    fn commit(&mut self, db: &Db, random: &mut Random) {
        let mut state = self.tip().1.clone();
        let mut transaction = db.begin();
        assert_eq!(transaction.begin_ts(), self.tip().0);
        for _ in 0..1 + random.below(3) {
            let (id, _) = write_at_random(random, &mut transaction, &mut state, &self.ids);
            if !self.ids.contains(&id) {
                self.ids.push(id);
            }
        }
        let has_writes = transaction.has_writes();
        let ts = db.queue(transaction).unwrap();
        assert_eq!(
            has_writes,
            ts > self.tip().0,
            "only writes take a timestamp"
        );
        if has_writes {
            self.states.push((ts, state));
        }
    }

    fn check(&self, db: &Db, random: &mut Random, (ts, state): &(Timestamp, State), is_tip: bool) {
        let begin = || if is_tip { db.begin() } else { db.begin_at(*ts) };
        let mut transaction = begin();
        assert_eq!(transaction.begin_ts(), *ts);
        for id in &self.ids {
            assert_eq!(
                get(&mut transaction, id).as_ref(),
                state.get(id),
                "{id} at {ts}"
            );
        }
        for _ in 0..8 {
            let scan = Scan::random(random);
            assert_eq!(
                scan.run(&mut begin()),
                scan.expected(state),
                "{scan:?} at {ts}"
            );
        }
    }
}

#[test]
fn every_timestamp_of_the_window_reads_as_it_was() {
    for seed in 0..6 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::with_items();
        let mut history = History::new(&db);
        for _ in 0..40 {
            history.commit(&db, &mut random);
        }
        db.wait_until_published(history.tip().0);
        assert_eq!(db.engine.latest(), history.tip().0);
        for at in &history.states {
            history.check(&db, &mut random, at, false);
        }
    }
}

#[test]
fn the_tip_is_read_before_the_store_has_it() {
    for seed in 0..6 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::with_items();
        let mut history = History::new(&db);
        for _ in 0..10 {
            history.commit(&db, &mut random);
        }
        db.wait_until_published(history.tip().0);
        let published = history.tip().clone();
        db.store.hold_sync();
        for _ in 0..20 {
            history.commit(&db, &mut random);
            history.check(&db, &mut random, history.tip(), true);
        }
        assert_eq!(
            db.engine.latest(),
            published.0,
            "nothing is published before it is durable"
        );
        history.check(&db, &mut random, &published, false);
        let future = db.engine.begin_at(history.tip().0, &db.context());
        assert!(future.is_err(), "an unpublished timestamp can be asked for");
        db.store.release_sync();
        db.wait_until_published(history.tip().0);
        for at in &history.states {
            history.check(&db, &mut random, at, false);
        }
    }
}

#[test]
fn a_timestamp_before_the_window_is_refused() {
    let db = Db::with_items();
    let mut history = History::new(&db);
    let mut random = Random::new(1);
    for _ in 0..5 {
        history.commit(&db, &mut random);
    }
    db.wait_until_published(history.tip().0);
    let later = Timestamp(history.tip().0.0 + hull_engine::limits::WINDOW_AGE_NANOS + 1);
    db.engine.trim(later);
    let old = db.engine.begin_at(history.states[0].0, &db.context());
    assert!(old.is_err_and(|error| error.class == hull_value::ErrorClass::OutOfRetention));
    history.check(&db, &mut random, history.tip(), false);
}

#[test]
fn the_tip_can_be_read_although_the_window_overflows_meanwhile() {
    let db = std::sync::Arc::new(Db::with_items());
    let (id, before) = db.run(|t| crate::fixture::insert(t, 0, 0));
    let overflow = {
        let db = db.clone();
        move || {
            let commits = 2 + hull_engine::limits::WINDOW_BYTES_MAX / 1_800_000;
            for n in 0..commits {
                let text = format!("{n}{}", "x".repeat(900_000));
                db.run(|t| crate::fixture::patch(t, &id, "b", Some(text.into())).unwrap());
            }
        }
    };
    db.store.after_begin(overflow.clone());
    let transaction = db.begin();
    assert_eq!(transaction.begin_ts(), db.engine.latest());
    drop(transaction);
    // What the reader itself is at needs no window.
    let latest = db.engine.latest();
    db.store.after_begin(overflow);
    assert!(db.engine.begin_at(latest, &db.context()).is_ok());
    assert!(db.engine.latest() > latest);
    let gone = db.engine.begin_at(before, &db.context());
    assert!(gone.is_err_and(|error| error.class == hull_value::ErrorClass::OutOfRetention));
}
