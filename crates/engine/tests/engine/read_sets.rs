//! The read set is exactly what an outcome depends on: a commit that hits none of
//! it changes nothing (data model spec 11.5), in subscriptions as in the conflict
//! check.

use std::sync::Arc;

use hull_engine::query::{
    CursorCodec, PageRequest, Query, QueryStream, UndecodableCursor, paginate,
};
use hull_engine::{
    CommitError, ComponentReads, DatabaseReader, KeySpace, ReadSet, SubscriptionId, Transaction,
};
use hull_store::TabletId;
use hull_value::keys::Interval;
use hull_value::{CodedError, DocumentId, InternalId, TableNumber};
use serde_json::{Value as Json, json};

use crate::fixture::{Db, ITEMS, ROOT, int, object};
use crate::model::{State, write_at_random};
use crate::random::{Random, Seed};

/// Something that functions ask.
#[derive(Clone, Debug)]
enum Question {
    Get {
        id: String,
        table: Option<&'static str>,
    },
    /// So many rows are pulled: `first`, `unique`, `take`, a loop with `break`, `collect`.
    Query {
        query: Json,
        pulls: usize,
    },
    Page {
        query: Json,
        request: PageRequest,
    },
    Count(&'static str),
    NormalizeId(&'static str, String),
    /// What a validator asks for an id in the arguments.
    NameOf(u32),
}

/// Tables that come into being on the way, in this order.
const LATE: [&str; 4] = ["late0", "late1", "late2", "late3"];

/// Shows cursors as they are.
struct Hex;

impl CursorCodec for Hex {
    fn encode(&self, cursor: &[u8]) -> String {
        cursor.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn decode(&self, cursor: &str) -> Result<Vec<u8>, UndecodableCursor> {
        let digits = |at| u8::from_str_radix(&cursor[at..at + 2], 16);
        let bytes = (0..cursor.len()).step_by(2).map(digits);
        bytes
            .collect::<Result<_, _>>()
            .map_err(|_| UndecodableCursor)
    }
}

impl Question {
    fn random(random: &mut Random, db: &Db, ids: &[String]) -> Question {
        match random.below(12) {
            0 | 1 => Question::Get {
                id: random_id(random, ids),
                table: *random.pick(&[None, Some(ITEMS), Some(LATE[0])]),
            },
            2 => Question::Count(random_table(random)),
            3 => Question::NormalizeId(random_table(random), random_id(random, ids)),
            4 => Question::NameOf(10_001 + random.below(6) as u32),
            5..=7 => Question::page(random, db, ids),
            _ => Question::Query {
                query: random_query(random, ids, true),
                pulls: *random.pick(&[0, 1, 2, 3, 5, usize::MAX, usize::MAX]),
            },
        }
    }

    /// A page after so many others, perhaps with its end given.
    fn page(random: &mut Random, db: &Db, ids: &[String]) -> Question {
        let query = random_query(random, ids, false);
        let mut request = PageRequest {
            page_size: 1 + random.below(4),
            maximum_rows_read: random.percent(30).then(|| 1 + random.below(5)),
            ..PageRequest::default()
        };
        let mut transaction = db.begin();
        for _ in 0..random.below(3) {
            if let Ok(page) = read_page(&query, &request, &mut transaction) {
                request.cursor = Some(page.continue_cursor);
            }
        }
        if random.percent(50)
            && let Ok(page) = read_page(&query, &request, &mut transaction)
        {
            let end = Some(page.continue_cursor);
            match random.percent(50) {
                true => request.end_cursor = end,
                false => request.journal_end_cursor = end,
            }
        }
        Question::Page { query, request }
    }

    fn outcome(&self, transaction: &mut Transaction) -> Result<String, String> {
        let outcome: Result<String, CodedError> = match self {
            Question::Get { id, table } => transaction
                .get_document(ROOT, id, *table, DatabaseReader::User)
                .map(|found| format!("{:?}", found.map(|found| found.unpack()))),
            Question::Query { query, pulls } => pull(query, *pulls, transaction),
            Question::Page { query, request } => {
                read_page(query, request, transaction).map(|page| format!("{page:?}"))
            }
            Question::Count(table) => transaction
                .count_documents(ROOT, table)
                .map(|count| count.to_string()),
            Question::NormalizeId(table, id) => transaction
                .normalize_id(ROOT, table, id)
                .map(|id| format!("{id:?}")),
            Question::NameOf(number) => {
                let number = TableNumber(*number);
                Ok(transaction
                    .with_table_names(ROOT, |names| format!("{:?}", names.name_of(number))))
            }
        };
        outcome.map_err(|error| error.message)
    }
}

fn read_page(
    query: &Json,
    request: &PageRequest,
    transaction: &mut Transaction,
) -> Result<hull_engine::query::Page, CodedError> {
    let mut source = ComponentReads {
        transaction,
        namespace: ROOT,
    };
    paginate(Query::parse(query)?, request, &Hex, &mut source)
}

fn pull(query: &Json, pulls: usize, transaction: &mut Transaction) -> Result<String, CodedError> {
    let mut source = ComponentReads {
        transaction,
        namespace: ROOT,
    };
    let mut stream = QueryStream::open(Query::parse(query)?, &mut source)?;
    let mut rows = Vec::new();
    while rows.len() < pulls
        && let Some(row) = stream.next(&mut source)?
    {
        rows.push(row.unpack());
    }
    Ok(format!("{rows:?}"))
}

fn random_table(random: &mut Random) -> &'static str {
    [ITEMS, ITEMS, LATE[0], LATE[1], LATE[2]][random.below(5)]
}

fn random_id(random: &mut Random, ids: &[String]) -> String {
    match random.below(3) {
        0 => {
            let table = TableNumber(10_001 + random.below(5) as u32);
            DocumentId::new(table, InternalId([random.below(3) as u8; 16])).to_string()
        }
        _ if ids.is_empty() => "nonsense".to_owned(),
        _ => random.pick(ids).clone(),
    }
}

fn encoded(n: usize) -> Json {
    let text = hull_value::json::to_string(int(n as i64).pack().as_ref());
    serde_json::from_str(&text).unwrap()
}

/// A query as functions send it.
fn random_query(random: &mut Random, ids: &[String], may_limit: bool) -> Json {
    let order = *random.pick(&["asc", "desc"]);
    let table = *random.pick(&[ITEMS, ITEMS, ITEMS, ITEMS, LATE[1]]);
    let index = *random.pick(&[
        "by_id",
        "by_creation_time",
        "by_a",
        "by_a",
        "by_ab",
        "by_ab",
    ]);
    let mut range: Vec<Json> = Vec::new();
    let mut bounds =
        |random: &mut Random, field: &str, value: &mut dyn FnMut(&mut Random) -> Json| {
            let mut add = |operator: &str, value: Json| {
                range.push(json!({ "type": operator, "fieldPath": field, "value": value }));
            };
            match random.below(4) {
                0 => add("Eq", value(random)),
                1 => add(["Gt", "Gte"][random.below(2)], value(random)),
                2 => add(["Lt", "Lte"][random.below(2)], value(random)),
                _ => {
                    add("Gte", value(random));
                    add("Lt", value(random));
                }
            }
            matches!(range.last(), Some(last) if last["type"] == "Eq")
        };
    let mut number = |random: &mut Random| match random.below(8) {
        0 => json!({ "$undefined": null }),
        n => encoded(n % 6),
    };
    if random.percent(70) {
        match index {
            "by_id" => _ = bounds(random, "_id", &mut |random| json!(random_id(random, ids))),
            "by_a" => _ = bounds(random, "a", &mut number),
            "by_ab" if bounds(random, "a", &mut number) && random.percent(60) => {
                bounds(random, "b", &mut number);
            }
            _ => {}
        }
    }
    let mut operators = Vec::new();
    for _ in 0..random.below(3) {
        if may_limit && random.percent(40) {
            operators.push(json!({ "limit": random.below(6) }));
        } else {
            let operator = *random.pick(&["$eq", "$lt", "$gte", "$neq"]);
            let field = *random.pick(&["a", "b", "c"]);
            let operands = json!([{ "$field": field }, { "$literal": encoded(random.below(6)) }]);
            operators.push(json!({ "filter": { operator: operands } }));
        }
    }
    let source = match index {
        "by_creation_time" if random.percent(50) => {
            json!({ "type": "FullTableScan", "tableName": table, "order": order })
        }
        _ => json!({
            "type": "IndexRange",
            "indexName": format!("{table}.{index}"),
            "order": order,
            "range": range,
        }),
    };
    json!({ "source": source, "operators": operators })
}

/// What became of a question after a commit.
#[derive(Default)]
struct Tally {
    /// Changed without being hit: the worst there is.
    missed: usize,
    /// Not hit, and not changed.
    spared: usize,
    /// Hit, and changed.
    told: usize,
    /// The conflict check says otherwise than the subscription.
    disagrees: usize,
}

/// Asks, commits something, asks again; `keep` is what is registered of a read set.
fn tally(seed: u64, keep: fn(&ReadSet) -> ReadSet) -> Tally {
    let _seed = Seed(seed);
    let mut random = Random::new(seed);
    let db = Db::with_items();
    let mut state = State::new();
    let mut ids = Vec::new();
    let mut tally = Tally::default();
    for _ in 0..40 {
        let since = db.engine.latest();
        let asked: Vec<(
            Question,
            Result<String, String>,
            SubscriptionId,
            Transaction,
        )> = (0..8)
            .map(|_| {
                let question = Question::random(&mut random, &db, &ids);
                let mut transaction = db.begin();
                let outcome = question.outcome(&mut transaction);
                let reads = Arc::new(keep(transaction.reads()));
                let subscription = db.engine.subscribe(reads, since).unwrap();
                (question, outcome, subscription, transaction)
            })
            .collect();
        let (_, ts) = db.run(|transaction| {
            for _ in 0..1 + random.below(2) {
                if random.percent(20) {
                    let table = *random.pick(&LATE);
                    let body = object([("a", int(random.below(6) as i64))]);
                    let id = transaction.insert_document(ROOT, table, body).unwrap();
                    ids.push(id.to_string());
                } else {
                    let written = write_at_random(&mut random, transaction, &mut state, &ids);
                    ids.push(written.0);
                }
            }
        });
        let hits = db.take_hits();
        for (number, (question, before, subscription, transaction)) in asked.into_iter().enumerate()
        {
            let is_hit = hits.contains(&(subscription, ts));
            let after = question.outcome(&mut db.begin_at(ts));
            match (is_hit, after != before) {
                (false, true) => tally.missed += 1,
                (false, false) => tally.spared += 1,
                (true, true) => tally.told += 1,
                (true, false) => {}
            }
            tally.disagrees += usize::from(conflicts(&db, transaction, number) != is_hit);
            db.engine.unsubscribe(subscription);
        }
    }
    tally
}

/// Whether a transaction that has read cannot commit a write any more.
fn conflicts(db: &Db, mut transaction: Transaction, number: usize) -> bool {
    // A row that nobody else asks for.
    let begin = transaction.begin_ts().0.to_le_bytes();
    let id = hull_engine::system::row_id(&[&begin, &number.to_le_bytes()]);
    let row = hull_engine::document::row([("n", int(0))]);
    let tablet = hull_engine::system::DEPLOYMENT_STATE;
    transaction.put_system_row(tablet, id, Some(row)).unwrap();
    match db.queue(transaction) {
        Ok(_) => false,
        Err(CommitError::Conflict(_)) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_commit_outside_of_the_read_set_changes_nothing() {
    let mut total = Tally::default();
    for seed in 0..20 {
        let tally = tally(seed, ReadSet::clone);
        assert_eq!(tally.missed, 0, "seed {seed}");
        assert_eq!(tally.disagrees, 0, "seed {seed}");
        total.spared += tally.spared;
        total.told += tally.told;
    }
    // The test sees both sides.
    assert!(total.told > 500, "only {} changes", total.told);
    assert!(total.spared > 500, "only {} spared", total.spared);
}

/// The test of the test: with any part of the read set missing, it fails.
#[test]
fn a_narrowed_read_set_is_found_out() {
    /// Rebuilds a read set from what is kept of its points and intervals.
    fn rebuilt(
        reads: &ReadSet,
        keeps_points: bool,
        keep: impl Fn(KeySpace, Interval) -> Option<Interval>,
    ) -> ReadSet {
        let mut kept = ReadSet::default();
        for (tablet, id) in reads.points().filter(|_| keeps_points) {
            kept.add_point(tablet, id);
        }
        for (space, start, end) in reads.intervals() {
            let interval = Interval {
                start: start.to_vec(),
                end: end.map(<[u8]>::to_vec),
            };
            if let Some(interval) = keep(space, interval) {
                kept.add_interval(space, interval);
            }
        }
        kept
    }
    fn is_system(space: KeySpace) -> bool {
        let number = match space {
            KeySpace::Tablet(TabletId(number)) => number,
            KeySpace::Index(index) => index.0,
        };
        number < 100
    }
    type Narrow = fn(&ReadSet) -> ReadSet;
    let narrowed: [(&str, Narrow); 5] = [
        ("documents", |reads| {
            rebuilt(reads, false, |_, interval| Some(interval))
        }),
        ("the last row of each scan", |reads| {
            rebuilt(reads, true, |space, interval| {
                match interval.end.as_deref().and_then(<[u8]>::split_last) {
                    Some((0, key)) if !is_system(space) => Some(Interval {
                        end: Some(key.to_vec()),
                        ..interval
                    }),
                    _ => Some(interval),
                }
            })
        }),
        ("the end of exhausted scans", |reads| {
            rebuilt(reads, true, |_, interval| {
                interval.end.is_some().then_some(interval)
            })
        }),
        ("the gap before the first row", |reads| {
            rebuilt(reads, true, |space, mut interval| {
                if !is_system(space) && interval.start.len() < 4 {
                    interval.start.push(0x09);
                    interval.start.push(0x03);
                }
                Some(interval)
            })
        }),
        ("names and numbers of tables", |reads| {
            rebuilt(reads, true, |space, interval| {
                (!is_system(space)).then_some(interval)
            })
        }),
    ];
    for (what, keep) in narrowed {
        let missed: usize = (0..12).map(|seed| tally(seed, keep).missed).sum();
        assert!(missed > 0, "nobody misses {what}");
    }
}
