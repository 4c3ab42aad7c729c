use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use hull_engine::{
    BeginContext, Ceilings, CommitError, Engine, EngineConfig, HistoryLimits, InvalidationListener,
    Namespace, SubscriptionId, TableInfo, Transaction, Upkeep,
};
use hull_store::memory::MemoryStore;
use hull_store::{Order, Store, StoreError};
use hull_value::keys::Interval;
use hull_value::{CodedError, Object, Schema, Timestamp, Value};

/// The wall clock of all tests stands still: timestamps count up from here and
/// nothing ever leaves the window unless a test trims it.
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
pub(crate) const ROOT: Namespace = Namespace::ROOT;
/// The table that the model knows.
pub(crate) const ITEMS: &str = "items";

pub(crate) const SCHEMA: &str = r#"{"schemaValidation":false,"tables":[{"tableName":"items","documentType":null,"indexes":[
    {"indexDescriptor":"by_a","fields":["a"]},{"indexDescriptor":"by_ab","fields":["a","b"]}]}]}"#;

/// An engine over a store in memory, and what its listener heard.
pub(crate) struct Db {
    pub(crate) engine: Engine,
    pub(crate) store: MemoryStore,
    heard: Arc<Heard>,
    seeds: AtomicU64,
}

#[derive(Default)]
struct Heard {
    hits: Mutex<Vec<(SubscriptionId, Timestamp)>>,
    metadata_changes: AtomicU64,
}

impl InvalidationListener for Heard {
    fn invalidated(&self, hits: &[(SubscriptionId, Timestamp)]) {
        self.hits.lock().unwrap().extend_from_slice(hits);
    }

    fn published(&self, _: Timestamp) {}

    fn metadata_changed(&self) {
        self.metadata_changes.fetch_add(1, Ordering::Relaxed);
    }

    fn storage_failed(&self, error: &StoreError) {
        panic!("the store failed: {error}");
    }
}

impl Db {
    pub(crate) fn new() -> Db {
        Db::over(MemoryStore::new())
    }

    /// A database with what the store holds already.
    pub(crate) fn over(store: MemoryStore) -> Db {
        let heard = Arc::new(Heard::default());
        let config = EngineConfig {
            listener: heard.clone(),
            now: NOW,
            seed: [0; 32],
            history: HistoryLimits::default(),
            ceilings: Ceilings::default(),
        };
        let engine = Engine::open(Arc::new(store.clone()), config).unwrap();
        Db {
            engine,
            store,
            heard,
            seeds: AtomicU64::new(1),
        }
    }

    /// The same database in a new process, with other randomness.
    pub(crate) fn restarted(self) -> Db {
        let (store, seeds) = (self.store.clone(), self.seeds.load(Ordering::Relaxed));
        drop(self);
        let db = Db::over(store);
        db.seeds.store(seeds, Ordering::Relaxed);
        db
    }

    /// A database with the table [`ITEMS`] and its indexes `by_a` and `by_ab`.
    pub(crate) fn with_items() -> Db {
        let db = Db::new();
        db.push(SCHEMA);
        db
    }

    pub(crate) fn context(&self) -> BeginContext {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seeds.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        BeginContext { now: NOW, seed }
    }

    pub(crate) fn begin(&self) -> Transaction {
        self.engine.begin(&self.context()).unwrap()
    }

    pub(crate) fn begin_at(&self, ts: Timestamp) -> Transaction {
        self.engine.begin_at(ts, &self.context()).unwrap()
    }

    pub(crate) fn commit(&self, transaction: Transaction) -> Timestamp {
        self.engine.commit_and_wait(transaction, NOW).unwrap()
    }

    /// Commits without waiting for durability.
    pub(crate) fn queue(&self, transaction: Transaction) -> Result<Timestamp, CommitError> {
        self.engine.commit(transaction, NOW, None, Box::new(|_| {}))
    }

    /// Runs `body` in a transaction of its own.
    pub(crate) fn run<R>(&self, body: impl FnOnce(&mut Transaction) -> R) -> (R, Timestamp) {
        let mut transaction = self.begin();
        let result = body(&mut transaction);
        (result, self.commit(transaction))
    }

    pub(crate) fn wait_until_published(&self, ts: Timestamp) {
        let (sender, receiver) = channel();
        let done = Box::new(move |_| sender.send(()).unwrap());
        self.engine.when_published(ts, done);
        receiver.recv().unwrap();
    }

    /// What subscriptions were hit since the last call.
    pub(crate) fn take_hits(&self) -> Vec<(SubscriptionId, Timestamp)> {
        std::mem::take(&mut *self.heard.hits.lock().unwrap())
    }

    /// How often tables, indexes or schemas changed since the last call.
    pub(crate) fn take_metadata_changes(&self) -> u64 {
        self.heard.metadata_changes.swap(0, Ordering::Relaxed)
    }

    /// Does background work until none is left.
    pub(crate) fn upkeep(&self, upkeep: &Upkeep) {
        while self.engine.upkeep(upkeep, &self.context()).unwrap() {}
    }

    /// Everything a push does to tables and indexes.
    pub(crate) fn push(&self, schema: &str) {
        let schema = Schema::parse(schema).unwrap();
        self.run(|t| t.prepare_indexes(ROOT, &schema).unwrap());
        self.upkeep(&Upkeep::default());
        self.run(|t| t.finish_indexes(ROOT, &schema).unwrap());
    }

    /// An active table as of the newest published state.
    pub(crate) fn table(&self, name: &str) -> Arc<TableInfo> {
        let metadata = self.engine.metadata();
        let mut tables = metadata.tables();
        let found = tables
            .find(|table| table.name == name && table.state == hull_engine::TableState::Active);
        found.expect("the test made this table").clone()
    }

    /// How many entries the store holds for an index, whoever may read them.
    pub(crate) fn stored_entries(&self, index: hull_store::IndexId) -> usize {
        let mut reader = self.store.reader().unwrap();
        reader.begin().unwrap();
        let rows = reader.scan_index(index, &Interval::all(), Order::Asc, usize::MAX);
        rows.unwrap().len()
    }

    pub(crate) fn stored_documents(&self, tablet: hull_store::TabletId) -> usize {
        let mut reader = self.store.reader().unwrap();
        reader.begin().unwrap();
        let rows = reader.scan_tablet(tablet, &Interval::all(), Order::Asc, usize::MAX);
        rows.unwrap().len()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // A failed test must not leave the writer waiting for ever.
        self.store.release_sync();
    }
}

pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Object {
    fields.into_iter().collect()
}

pub(crate) fn int(n: i64) -> Value {
    Value::Int64(n)
}

/// Inserts an item and returns its id.
pub(crate) fn insert(transaction: &mut Transaction, a: i64, b: i64) -> String {
    let body = object([("a", int(a)), ("b", int(b))]);
    let id = transaction.insert_document(ROOT, ITEMS, body).unwrap();
    id.to_string()
}

pub(crate) fn get(transaction: &mut Transaction, id: &str) -> Option<Value> {
    let through = hull_engine::DatabaseReader::User;
    let found = transaction.get_document(ROOT, id, None, through).unwrap();
    found.map(|value| value.unpack())
}

pub(crate) fn patch(
    transaction: &mut Transaction,
    id: &str,
    field: &str,
    value: Option<Value>,
) -> Result<Value, CodedError> {
    let patched = transaction.patch_document(ROOT, id, None, vec![(field.to_owned(), value)])?;
    Ok(patched.unpack())
}
