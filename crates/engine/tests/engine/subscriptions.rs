//! A subscription ends with the first commit that touches its read set, and
//! with no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use hull_engine::{KeySpace, ReadSet, SubscriptionId, TableInfo};
use hull_value::{DocumentId, Timestamp, Value, keys};

use crate::fixture::{Db, ITEMS, ROOT, get};
use crate::model::{Scan, State, write_at_random};
use crate::random::{Random, Seed};

#[derive(Debug)]
enum Question {
    Scan(Scan),
    Get(String),
    Count,
}

impl Question {
    fn random(random: &mut Random, ids: &[String]) -> Question {
        match random.below(10) {
            0 => Question::Count,
            1 | 2 if !ids.is_empty() => Question::Get(random.pick(ids).clone()),
            _ => Question::Scan(Scan::random(random)),
        }
    }

    fn answer(&self, db: &Db, ts: Timestamp) -> (Vec<Value>, ReadSet) {
        let mut transaction = db.begin_at(ts);
        let rows = match self {
            Question::Scan(scan) => scan.run(&mut transaction),
            Question::Get(id) => get(&mut transaction, id).into_iter().collect(),
            Question::Count => {
                let count = transaction.count_documents(ROOT, ITEMS).unwrap();
                vec![Value::Int64(count as i64)]
            }
        };
        (rows, transaction.into_reads())
    }
}

/// A result that is right until something touches what it read.
struct Live {
    question: Question,
    reads: Arc<ReadSet>,
    rows: Vec<Value>,
    since: Timestamp,
}

/// The keys of a document in its table and all indexes.
fn keys_of(table: &TableInfo, document: &Value) -> Vec<(KeySpace, Vec<u8>)> {
    let id: DocumentId = crate::model::id_of(document);
    let packed = document.pack();
    let object = packed.as_object().unwrap();
    let by_index = table.indexes.iter().map(|index| {
        let key = keys::index_key(object, &index.fields, &id);
        (KeySpace::Index(index.index), key)
    });
    std::iter::once((KeySpace::Tablet(table.tablet), id.internal.0.to_vec()))
        .chain(by_index)
        .collect()
}

/// Every key that a commit from one state to the next touches.
fn touched(table: &TableInfo, before: &State, after: &State) -> Vec<(KeySpace, Vec<u8>)> {
    let changed = |from: &State, to: &State| -> Vec<(KeySpace, Vec<u8>)> {
        let differs = |(id, document): &(&String, &Value)| to.get(*id) != Some(*document);
        let documents = from.iter().filter(differs);
        documents
            .flat_map(|(_, document)| keys_of(table, document))
            .collect()
    };
    [changed(before, after), changed(after, before)].concat()
}

fn is_touched(reads: &ReadSet, touched: &[(KeySpace, Vec<u8>)]) -> bool {
    touched
        .iter()
        .any(|(space, key)| reads.contains(*space, key))
}

#[test]
fn a_commit_hits_exactly_the_read_sets_it_touches() {
    for seed in 0..6 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::with_items();
        let table = db.table(ITEMS);
        let mut state = State::new();
        let mut ids = Vec::new();
        let mut live: BTreeMap<SubscriptionId, Live> = BTreeMap::new();
        for _ in 0..40 {
            let latest = db.engine.latest();
            while live.len() < 25 {
                let question = Question::random(&mut random, &ids);
                let (rows, reads) = question.answer(&db, latest);
                let reads = Arc::new(reads);
                let id = db.engine.subscribe(reads.clone(), latest).unwrap();
                let since = latest;
                live.insert(
                    id,
                    Live {
                        question,
                        reads,
                        rows,
                        since,
                    },
                );
            }
            if let Some(id) = live.keys().next().copied().filter(|_| random.percent(20)) {
                db.engine.unsubscribe(id);
                live.remove(&id);
            }
            let before = state.clone();
            let (_, ts) = db.run(|transaction| {
                for _ in 0..1 + random.below(2) {
                    let written = write_at_random(&mut random, transaction, &mut state, &ids);
                    ids.push(written.0);
                }
            });
            let touched = touched(&table, &before, &state);
            let hits: Vec<_> = db.take_hits();
            assert!(
                hits.iter().all(|(_, at)| *at == ts),
                "hits {hits:?} of the commit at {ts}"
            );
            let hits: Vec<SubscriptionId> = hits.into_iter().map(|(id, _)| id).collect();
            for (id, live) in &live {
                let Live {
                    question,
                    reads,
                    rows,
                    ..
                } = live;
                let is_hit = hits.contains(id);
                assert_eq!(is_hit, is_touched(reads, &touched), "{question:?} at {ts}");
                let (now, _) = question.answer(&db, ts);
                assert!(
                    is_hit || now == *rows,
                    "missed: {question:?} is {now:?}, was {rows:?}"
                );
            }
            for id in hits {
                assert!(
                    live.remove(&id).is_some(),
                    "{id:?} is hit and was not registered"
                );
            }
            assert_eq!(db.engine.subscriptions_count(), live.len());
        }
    }
}

#[test]
fn subscribing_late_tells_of_the_first_commit_that_matters() {
    for seed in 0..6 {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let db = Db::with_items();
        let table = db.table(ITEMS);
        let mut state = State::new();
        let mut ids = Vec::new();
        let mut asked: Vec<Live> = Vec::new();
        let mut commits = Vec::new();
        for _ in 0..30 {
            let since = db.engine.latest();
            for _ in 0..3 {
                let question = Question::random(&mut random, &ids);
                let (rows, reads) = question.answer(&db, since);
                let reads = Arc::new(reads);
                asked.push(Live {
                    question,
                    reads,
                    rows,
                    since,
                });
            }
            let before = state.clone();
            let (_, ts) = db.run(|transaction| {
                let written = write_at_random(&mut random, transaction, &mut state, &ids);
                ids.push(written.0);
            });
            commits.push((ts, touched(&table, &before, &state)));
        }
        for Live {
            question,
            reads,
            rows,
            since,
        } in asked
        {
            let first = commits
                .iter()
                .find(|(ts, touched)| *ts > since && is_touched(&reads, touched));
            let subscribed = db.engine.subscribe(reads.clone(), since);
            assert_eq!(
                subscribed.err(),
                first.map(|(ts, _)| *ts),
                "{question:?} since {since}"
            );
            let until = first.map_or(db.engine.latest(), |(ts, _)| Timestamp(ts.0 - 1));
            let (still, _) = question.answer(&db, until);
            assert_eq!(still, rows, "{question:?} from {since} until {until}");
        }
    }
}

#[test]
fn creating_a_table_concerns_only_who_asked_for_its_name() {
    let db = Db::new();
    let latest = db.engine.latest();
    let ask = |name: &str| {
        let mut transaction = db.begin_at(latest);
        assert_eq!(transaction.count_documents(ROOT, name).unwrap(), 0);
        let reads = Arc::new(transaction.into_reads());
        db.engine.subscribe(reads, latest).unwrap()
    };
    let (of_items, of_others) = (ask(ITEMS), ask("others"));
    let (_, first) = db.run(|t| crate::fixture::insert(t, 1, 1));
    assert_eq!(db.take_hits(), [(of_items, first)]);
    let (_, second) = db.run(|t| t.create_table(ROOT, "others", None).unwrap());
    assert_eq!(db.take_hits(), [(of_others, second)]);
}
