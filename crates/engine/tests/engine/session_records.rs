//! Records of mutations are found for two weeks, and then forgotten.

use hull_engine::{BeginContext, Upkeep, system};
use hull_store::memory::MemoryStore;
use hull_store::{CommitRecord, DocumentWrite, Store, TabletGrowth};
use hull_value::{InternalId, Timestamp};

use crate::fixture::{Db, NOW, insert, int};

const MINUTE: u64 = 60_000_000_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn id(number: u32) -> InternalId {
    system::row_id(&[&number.to_be_bytes()])
}

fn put(db: &Db, numbers: std::ops::Range<u32>) {
    db.run(|t| {
        for number in numbers {
            t.put_session_record(id(number), int(number.into()).pack())
                .unwrap();
        }
    });
}

/// Lets the clock go on, as commits see it.
fn commit_at(db: &Db, now: u64) {
    let mut transaction = db.begin();
    insert(&mut transaction, 1, 1);
    db.engine
        .commit_and_wait(transaction, Timestamp(now))
        .unwrap();
}

fn context_at(db: &Db, now: u64) -> BeginContext {
    BeginContext {
        now: Timestamp(now),
        ..db.context()
    }
}

/// Does all background work that is due, and counts the steps.
fn upkeep_at(db: &Db, upkeep: &Upkeep, now: u64) -> usize {
    let steps = || db.engine.upkeep(upkeep, &context_at(db, now)).unwrap();
    std::iter::repeat_with(steps)
        .take_while(|more| *more)
        .count()
}

/// Records and their entries by time.
fn stored(db: &Db) -> (usize, usize) {
    (
        db.stored_documents(system::SESSION_REQUESTS),
        db.stored_entries(system::SESSION_REQUESTS_BY_TIME),
    )
}

#[test]
fn a_record_is_found_with_the_time_of_its_commit() {
    let db = Db::new();
    assert_eq!(db.begin().session_record(id(7)).unwrap(), None);
    let ((), ts) = db.run(|t| t.put_session_record(id(7), int(7).pack()).unwrap());
    let mut transaction = db.begin();
    let found = transaction.session_record(id(7)).unwrap();
    assert_eq!(found, Some((ts, int(7).pack())));
    assert_eq!(transaction.session_record(id(8)).unwrap(), None);
    // Absent, it is a dependency: the same mutation may be on its way twice.
    let mut twin = db.begin();
    assert_eq!(twin.session_record(id(8)).unwrap(), None);
    for transaction in [&mut transaction, &mut twin] {
        transaction
            .put_session_record(id(8), int(8).pack())
            .unwrap();
    }
    db.commit(transaction);
    assert!(db.queue(twin).is_err());
}

#[test]
fn records_are_kept_for_two_weeks() {
    let db = Db::new();
    put(&db, 0..600);
    let upkeep = Upkeep::default();
    upkeep_at(&db, &upkeep, NOW.0);
    upkeep_at(&db, &upkeep, NOW.0 + 13 * DAY);
    assert_eq!(stored(&db), (600, 600));
    commit_at(&db, NOW.0 + 13 * DAY);
    put(&db, 600..2_000);
    upkeep_at(&db, &upkeep, NOW.0 + 14 * DAY);
    assert_eq!(stored(&db), (2_000, 2_000));
    // Two steps for 600 old ones, and a look at the history; those that stay
    // are not looked at.
    assert_eq!(upkeep_at(&db, &upkeep, NOW.0 + 14 * DAY + 11 * MINUTE), 3);
    assert_eq!(stored(&db), (1_400, 1_400));
    commit_at(&db, NOW.0 + 27 * DAY);
    upkeep_at(&db, &upkeep, NOW.0 + 27 * DAY);
    assert_eq!(stored(&db), (1_400, 1_400));
    upkeep_at(&db, &upkeep, NOW.0 + 27 * DAY + 11 * MINUTE);
    assert_eq!(stored(&db), (0, 0));
}

#[test]
fn records_from_before_their_order_by_time_are_kept_as_long() {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    let first = NOW.0 - 10 * DAY;
    for number in 0..700 {
        let value = int(number.into()).pack().as_bytes().clone();
        let record = CommitRecord {
            ts: Timestamp(first + u64::from(number) * MINUTE),
            growth: vec![TabletGrowth {
                tablet: system::SESSION_REQUESTS,
                documents: 1,
                bytes: i64::try_from(value.len()).unwrap(),
            }],
            documents: vec![DocumentWrite {
                tablet: system::SESSION_REQUESTS,
                id: id(number),
                prev_ts: None,
                value: Some(value),
            }],
            indexes: Vec::new(),
        };
        writer.commit(&[record]).unwrap();
    }
    drop(writer);
    let db = Db::over(store.clone());
    let upkeep = Upkeep::default();
    upkeep_at(&db, &upkeep, NOW.0);
    // In the middle of the walk, a restart.
    let soon = NOW.0 + 4 * DAY + 100 * MINUTE;
    commit_at(&db, soon);
    assert!(db.engine.upkeep(&upkeep, &context_at(&db, soon)).unwrap());
    let upkeep = Upkeep::default();
    upkeep_at(&db, &upkeep, soon - 11 * MINUTE);
    upkeep_at(&db, &upkeep, soon);
    assert_eq!(stored(&db), (600, 600));
    commit_at(&db, soon + 100 * MINUTE);
    upkeep_at(&db, &upkeep, soon + 100 * MINUTE);
    assert_eq!(stored(&db), (500, 500));
}
