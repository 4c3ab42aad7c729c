//! The log forgets, so that the data file stays in proportion to its live data.

use std::sync::Arc;
use std::sync::mpsc::channel;

use hull_engine::{
    BeginContext, Ceilings, Engine, EngineConfig, HistoryLimits, InvalidationListener, Namespace,
    SubscriptionId,
};
use hull_store::{Store, StoreError};
use hull_store_sqlite::{SqliteOptions, SqliteStore};
use hull_value::{CodedError, Timestamp, Value};
use tempfile::TempDir;

const DOCUMENTS: usize = 1_000;
/// The whole soak is `HULL_SOAK_UPDATES=1000000 cargo test --release -p hull-engine history`.
const UPDATES: usize = 20_000;
/// How many commits may wait for the disk.
const IN_FLIGHT: usize = 64;

struct Deaf;

impl InvalidationListener for Deaf {
    fn invalidated(&self, _: &[(SubscriptionId, Timestamp)]) {}
    fn published(&self, _: Timestamp) {}
    fn storage_failed(&self, error: &StoreError) {
        panic!("the store failed: {error}");
    }
}

/// Updates documents of this size, and expects a file of so many times the live data at most.
fn check(document_bytes: usize, times_max: u64) {
    let updates = std::env::var("HULL_SOAK_UPDATES").map_or(UPDATES, |text| text.parse().unwrap());
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data");
    let store = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    let config = EngineConfig {
        listener: Arc::new(Deaf),
        now: Timestamp(1),
        seed: [0; 32],
        history: HistoryLimits {
            bytes_floor: 1 << 20,
            ..HistoryLimits::default()
        },
        ceilings: Ceilings::default(),
    };
    let engine = Engine::open(store.clone(), config).unwrap();
    let mut seeds = 0_u64;
    let mut begin = || {
        let mut seed = [0; 32];
        seeds += 1;
        seed[..8].copy_from_slice(&seeds.to_le_bytes());
        let now = Timestamp(seeds);
        engine.begin(&BeginContext { now, seed }).unwrap()
    };
    let body = |n: usize| {
        let filler = "x".repeat(document_bytes);
        [
            ("n".to_owned(), Value::Int64(n as i64)),
            ("filler".to_owned(), Value::String(filler)),
        ]
    };

    let mut ids = Vec::new();
    let mut transaction = begin();
    for n in 0..DOCUMENTS {
        let id = transaction
            .insert_document(Namespace::ROOT, "items", body(n).into_iter().collect())
            .unwrap();
        ids.push(id.to_string());
    }
    engine.commit_and_wait(transaction, Timestamp(1)).unwrap();

    let (sender, receiver) = channel::<Result<Timestamp, CodedError>>();
    for update in 0..updates {
        if update >= IN_FLIGHT {
            receiver.recv().unwrap().unwrap();
        }
        let mut transaction = begin();
        let body = body(update).into_iter().collect();
        transaction
            .replace_document(Namespace::ROOT, &ids[update % DOCUMENTS], None, body)
            .unwrap();
        let sender = sender.clone();
        let done = Box::new(move |outcome| sender.send(outcome).unwrap());
        engine
            .commit(transaction, Timestamp(1), None, done)
            .unwrap();
    }
    engine.close();
    drop(engine);
    let usage = store.writer().unwrap().usage().unwrap();
    drop(store);

    let live_bytes = (DOCUMENTS * document_bytes) as u64;
    let file_bytes = std::fs::metadata(&path).unwrap().len();
    eprintln!(
        "{updates} updates of {document_bytes} bytes: {usage:?}, the file is {file_bytes} bytes"
    );
    assert!(usage.log_bytes >= 1 << 20, "history is kept: {usage:?}");
    // The log and the data, the pages they fill only by half, and what comes
    // in between two steps of trimming.
    let limit = times_max * live_bytes;
    assert!(file_bytes < limit, "{file_bytes} bytes of file");
}

#[test]
fn a_file_under_constant_updates_stays_in_proportion_to_its_live_data() {
    check(1_000, 8);
}

/// Each entry of the log fills a little over half a page, and so wastes the rest.
#[test]
fn losses_of_pages_do_not_pass_for_data() {
    check(1_960, 12);
}
