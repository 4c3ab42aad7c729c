//! Whatever threads do at the same time, the order of commit timestamps explains
//! it: what transactions read, and how long what subscriptions were told is right.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use hull_engine::{CommitError, ReadSet, SubscriptionId, Transaction};
use hull_store::Order;
use hull_value::{Timestamp, Value};

use crate::fixture::{Db, NOW, get};
use crate::model::{Scan, State, write_at_random};
use crate::random::{Random, Seed};

const THREADS: u64 = 6;
const TRANSACTIONS: usize = 50;

#[derive(Debug)]
enum Step {
    Got(String, Option<Value>),
    Scanned(Scan, Vec<Value>),
    Wrote(String, Option<Value>),
}

/// A committed transaction and everything it saw, in its own order.
#[derive(Debug)]
struct Committed {
    ts: Timestamp,
    is_write: bool,
    steps: Vec<Step>,
}

/// What a subscription was told, and from when on.
#[derive(Debug)]
struct Told {
    scan: Scan,
    since: Timestamp,
    rows: Vec<Value>,
    /// An error: when it ended before it had begun.
    subscription: Result<SubscriptionId, Timestamp>,
}

struct Shared<'a> {
    db: &'a Db,
    ids: Mutex<Vec<String>>,
    log: Mutex<Vec<Committed>>,
    told: Mutex<Vec<Told>>,
}

/// Reads and writes at random; later steps depend on what earlier ones read.
fn run_steps(random: &mut Random, transaction: &mut Transaction, ids: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..1 + random.below(4) {
        match random.below(5) {
            0 | 1 => {
                let scan = Scan::random(random);
                let rows = scan.run(transaction);
                steps.push(Step::Scanned(scan, rows));
            }
            2 if !ids.is_empty() => {
                let id = random.pick(ids).clone();
                let found = get(transaction, &id);
                steps.push(Step::Got(id, found));
            }
            _ => {
                // What the write starts from is read, and so part of what is checked.
                let mut known = State::new();
                if !ids.is_empty() {
                    let id = random.pick(ids).clone();
                    if let Some(found) = get(transaction, &id) {
                        steps.push(Step::Got(id.clone(), Some(found.clone())));
                        known.insert(id, found);
                    }
                }
                let known_ids: Vec<String> = known.keys().cloned().collect();
                let (id, new) = write_at_random(random, transaction, &mut known, &known_ids);
                steps.push(Step::Wrote(id, new));
            }
        }
    }
    steps
}

impl Shared<'_> {
    fn work(&self, random: &mut Random) {
        for _ in 0..TRANSACTIONS {
            let in_lane_at_once = random.percent(15);
            let done = if in_lane_at_once {
                None
            } else {
                self.try_in_parallel(random)
            };
            let done = done.unwrap_or_else(|| self.run_in_lane(random));
            let inserted = done.steps.iter().filter_map(|step| match step {
                Step::Wrote(id, Some(_)) => Some(id.clone()),
                _ => None,
            });
            // Few documents, so that transactions meet.
            let mut ids = self.ids.lock().unwrap();
            ids.extend(inserted);
            let surplus = ids.len().saturating_sub(8);
            ids.drain(..surplus);
            drop(ids);
            self.log.lock().unwrap().push(done);
            if random.percent(50) {
                self.watch(random);
            }
        }
    }

    /// Subscribes to a query as of a moment that is over when it has run.
    fn watch(&self, random: &mut Random) {
        let since = self.db.engine.latest();
        let mut transaction = self.db.begin_at(since);
        let scan = Scan::random(random);
        let rows = scan.run(&mut transaction);
        let reads = Arc::new(transaction.into_reads());
        if random.percent(50) {
            std::thread::yield_now();
        }
        let subscription = self.db.engine.subscribe(reads, since);
        self.told.lock().unwrap().push(Told {
            scan,
            since,
            rows,
            subscription,
        });
    }

    fn attempt(&self, random: &mut Random) -> (Transaction, Vec<Step>) {
        let ids = self.ids.lock().unwrap().clone();
        let mut transaction = self.db.begin();
        let steps = run_steps(random, &mut transaction, &ids);
        (transaction, steps)
    }

    /// `None` after the second conflict.
    fn try_in_parallel(&self, random: &mut Random) -> Option<Committed> {
        for _ in 0..2 {
            let (transaction, steps) = self.attempt(random);
            let is_write = transaction.has_writes();
            let committed = if random.percent(30) {
                self.db.engine.commit_and_wait(transaction, NOW)
            } else {
                self.db.queue(transaction)
            };
            match committed {
                Ok(ts) => {
                    return Some(Committed {
                        ts,
                        is_write,
                        steps,
                    });
                }
                Err(CommitError::Conflict(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        None
    }

    fn run_in_lane(&self, random: &mut Random) -> Committed {
        let lane = self.db.engine.lane();
        // The same reads in every attempt, so that the lane can protect them.
        let start = random.clone();
        let mut protected = ReadSet::default();
        loop {
            *random = start.clone();
            let (transaction, steps) = self.attempt(random);
            let is_write = transaction.has_writes();
            let (sender, receiver) = channel();
            let done = Box::new(move |outcome| sender.send(outcome).unwrap());
            match lane.commit(transaction, NOW, None, done) {
                Ok(ts) => {
                    drop(lane);
                    assert_eq!(receiver.recv().unwrap().unwrap(), ts);
                    return Committed {
                        ts,
                        is_write,
                        steps,
                    };
                }
                Err(CommitError::Conflict(conflict)) => {
                    protected.merge(&conflict.reads);
                    lane.protect(&protected);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Runs the log one transaction after the other; returns the state after each.
fn replay(mut log: Vec<Committed>) -> BTreeMap<Timestamp, State> {
    // A transaction that wrote nothing saw the state after the commit it began at.
    log.sort_by_key(|committed| (committed.ts, !committed.is_write));
    for pair in log.windows(2) {
        let both_write = pair[0].is_write && pair[1].is_write;
        assert!(
            !both_write || pair[0].ts < pair[1].ts,
            "two commits at {}",
            pair[0].ts
        );
    }
    let mut states = BTreeMap::from([(Timestamp(0), State::new())]);
    for Committed { ts, steps, .. } in log {
        let (_, before) = states.last_key_value().unwrap();
        let mut state = before.clone();
        for step in &steps {
            match step {
                Step::Got(id, found) => {
                    assert_eq!(
                        state.get(id),
                        found.as_ref(),
                        "read of {id} at {ts} in {steps:#?}"
                    )
                }
                Step::Scanned(scan, rows) => {
                    assert_eq!(
                        scan.expected(&state),
                        *rows,
                        "{scan:?} at {ts} in {steps:#?}"
                    )
                }
                Step::Wrote(id, Some(new)) => {
                    state.insert(id.clone(), new.clone());
                }
                Step::Wrote(id, None) => {
                    state.remove(id);
                }
            }
        }
        states.insert(ts, state);
    }
    states
}

/// What subscriptions were told must be right until they were hit.
fn check_told(
    told: Vec<Told>,
    hits: &HashMap<SubscriptionId, Timestamp>,
    states: &BTreeMap<Timestamp, State>,
) {
    for Told {
        scan,
        since,
        rows,
        subscription,
    } in told
    {
        let end = match subscription {
            Ok(id) => hits.get(&id).copied(),
            Err(invalid_from) => Some(invalid_from),
        };
        assert!(end.is_none_or(|end| end > since), "{scan:?} at {since}");
        let (_, first) = states.range(..=since).next_back().unwrap();
        assert_eq!(scan.expected(first), rows, "{scan:?} at {since}");
        let until = end.map_or(Timestamp(u64::MAX), |end| Timestamp(end.0 - 1));
        for (ts, state) in states.range(since..=until) {
            let expected = scan.expected(state);
            assert_eq!(expected, rows, "{scan:?} of {since} at {ts}, ended {end:?}");
        }
    }
}

#[test]
fn commit_order_explains_every_read() {
    for seed in 0..3 {
        let _seed = Seed(seed);
        let db = Db::with_items();
        let shared = Shared {
            db: &db,
            ids: Mutex::default(),
            log: Mutex::default(),
            told: Mutex::default(),
        };
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let shared = &shared;
                scope.spawn(move || shared.work(&mut Random::new(seed * 1000 + thread)));
            }
        });
        let log = shared.log.into_inner().unwrap();
        let last = log.iter().map(|committed| committed.ts).max().unwrap();
        db.wait_until_published(last);
        let states = replay(log);
        // Hits are reported before the commit that makes them is published.
        let hits = db.take_hits().into_iter().collect();
        check_told(shared.told.into_inner().unwrap(), &hits, &states);
        let (_, state) = states.last_key_value().unwrap();
        for index in ["by_id", "by_creation_time", "by_a", "by_ab"] {
            let scan = Scan::all(index, Order::Asc);
            assert_eq!(
                scan.run(&mut db.begin_at(last)),
                scan.expected(state),
                "{index}"
            );
        }
    }
}

#[test]
fn no_increment_is_lost_and_the_lane_always_gets_through() {
    const EACH: i64 = 40;
    let db = Db::with_items();
    let (id, _) = db.run(|t| crate::fixture::insert(t, 0, 0));
    let increment = |transaction: &mut Transaction| {
        let document = get(transaction, &id).unwrap();
        let Some(Value::Int64(n)) = crate::model::field(&document, "a") else {
            panic!("not a counter: {document:?}");
        };
        crate::fixture::patch(transaction, &id, "a", Some(Value::Int64(n + 1))).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let mut transaction = db.begin();
                    increment(&mut transaction);
                    let conflict = match db.queue(transaction) {
                        Ok(_) => continue,
                        Err(CommitError::Conflict(conflict)) => conflict,
                        Err(other) => panic!("{other}"),
                    };
                    let lane = db.engine.lane();
                    lane.protect(&conflict.reads);
                    let mut transaction = db.begin();
                    increment(&mut transaction);
                    // Who could conflict has to wait for the lane.
                    lane.commit(transaction, NOW, None, Box::new(|_| {}))
                        .unwrap();
                }
            });
        }
    });
    let last = db.begin().begin_ts();
    db.wait_until_published(last);
    let document = get(&mut db.begin(), &id).unwrap();
    assert_eq!(
        crate::model::field(&document, "a"),
        Some(&Value::Int64(4 * EACH))
    );
}
