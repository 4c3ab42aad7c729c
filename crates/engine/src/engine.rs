use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hull_store::{Order, Store, StoreError};
use hull_value::{CodedError, ErrorClass, Timestamp, keys::Interval};

use crate::committer::{AtLane, CommitCallback, CommitError, Committer};
use crate::limits::HistoryLimits;
use crate::metadata::{CorruptRow, Metadata, Namespace};
use crate::read_set::ReadSet;
use crate::snapshot::{ReaderPool, Snapshot};
use crate::subscriptions::{SubscriptionId, Subscriptions};
use crate::system;
use crate::transaction::{Ceilings, Transaction, storage_error};
use crate::window::{Overlay, Window};

/// A database: one store, one committer, any number of transactions at a time.
pub struct Engine {
    shared: Arc<Shared>,
    committer: Committer,
}

pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    readers: Arc<ReaderPool>,
    /// Lock order: `subscriptions` before `window`; neither is held while calling out.
    pub(crate) window: Mutex<Window>,
    pub(crate) subscriptions: Mutex<Subscriptions>,
    pub(crate) published: AtomicU64,
    pub(crate) numbers: Arc<AtomicU32>,
    pub(crate) listener: Arc<dyn InvalidationListener>,
    pub(crate) history: HistoryLimits,
    ceilings: Ceilings,
}

pub struct EngineConfig {
    pub listener: Arc<dyn InvalidationListener>,
    /// Wall clock at opening.
    pub now: Timestamp,
    /// Randomness for the rows a fresh database starts with.
    pub seed: [u8; 32],
    pub history: HistoryLimits,
    /// What one transaction may use.
    pub ceilings: Ceilings,
}

/// Times a transaction begins again because the window moved past the state its
/// reader saw; it takes tens of megabytes of commits in between.
const BEGIN_ATTEMPTS_MAX: usize = 8;

/// What a transaction needs from outside: the engine reads no clock and draws no randomness.
#[derive(Clone, Debug)]
pub struct BeginContext {
    pub now: Timestamp,
    /// Seed of the ids that inserts make; never the function's own random seed.
    pub seed: [u8; 32],
}

/// Hears what commits concern. Called from the writer thread: must be quick.
pub trait InvalidationListener: Send + Sync {
    /// These subscriptions end with the commit at the given timestamp. Called
    /// before that timestamp becomes the latest one.
    fn invalidated(&self, hits: &[(SubscriptionId, Timestamp)]);
    /// Everything up to `ts` is durable and visible.
    fn published(&self, ts: Timestamp);
    /// Something was scheduled, or will run at another time.
    fn jobs_changed(&self) {}
    /// Tables, indexes or schemas changed, and [`Engine::metadata`] shows it.
    fn metadata_changed(&self) {}
    /// The store failed in a way that leaves its state unknown: the process must stop.
    fn storage_failed(&self, error: &StoreError);
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Corrupt(#[from] CorruptRow),
    #[error("a new database could not be set up: {0}")]
    Bootstrap(String),
}

impl Engine {
    /// Opens the database of a store. Costs O(tables, indexes, modules), never O(documents).
    pub fn open(store: Arc<dyn Store>, config: EngineConfig) -> Result<Engine, EngineError> {
        let mut reader = store.reader()?;
        let ts = reader.begin()?;
        let mut metadata = Metadata::default();
        for tablet in system::RESIDENT {
            for (id, row_ts, bytes) in
                reader.scan_tablet(tablet, &Interval::all(), Order::Asc, usize::MAX)?
            {
                let value = hull_value::PackedValue::from_bytes(bytes).map_err(|error| {
                    StoreError::Corrupt {
                        detail: error.to_string(),
                    }
                })?;
                metadata.apply(tablet, id, Some((row_ts, value)))?;
            }
        }
        reader.end();
        drop(reader);
        let is_fresh = metadata.tables().next().is_none();
        let shared = Arc::new(Shared {
            numbers: Arc::new(AtomicU32::new(metadata.last_number() + 1)),
            store: store.clone(),
            readers: Arc::default(),
            window: Mutex::new(Window::new(ts, Arc::new(metadata))),
            subscriptions: Mutex::new(Subscriptions::new(ts)),
            published: AtomicU64::new(ts.0),
            listener: config.listener,
            history: config.history,
            ceilings: config.ceilings,
        });
        let committer = Committer::start(shared.clone(), store.writer()?);
        let engine = Engine { shared, committer };
        if is_fresh {
            engine.bootstrap(config.now, config.seed)?;
        }
        Ok(engine)
    }

    fn bootstrap(&self, now: Timestamp, seed: [u8; 32]) -> Result<(), EngineError> {
        let failed = |error: CodedError| EngineError::Bootstrap(error.message);
        let mut transaction = self.begin(&BeginContext { now, seed }).map_err(failed)?;
        transaction
            .create_virtual_tables(Namespace::ROOT)
            .map_err(failed)?;
        self.commit_and_wait(transaction, now)
            .map_err(|error| EngineError::Bootstrap(error.to_string()))?;
        Ok(())
    }

    /// The newest timestamp that is durable and visible.
    pub fn latest(&self) -> Timestamp {
        Timestamp(self.shared.published.load(Ordering::Acquire))
    }

    /// Begins a transaction on the tip: every validated commit is visible, also
    /// those on their way to disk. Whatever it leads to may be told to the
    /// outside only once the begin timestamp is published, which
    /// [`commit`](Self::commit) and [`when_published`](Self::when_published) see to.
    pub fn begin(&self, context: &BeginContext) -> Result<Transaction, CodedError> {
        self.transaction(None, context)
    }

    /// Begins a read-only transaction at exactly `ts`, which must be published
    /// and not older than the window.
    pub fn begin_at(
        &self,
        ts: Timestamp,
        context: &BeginContext,
    ) -> Result<Transaction, CodedError> {
        if ts > self.latest() {
            return Err(CodedError::internal(format!(
                "timestamp {ts} is in the future"
            )));
        }
        self.transaction(Some(ts), context)
    }

    fn transaction(
        &self,
        at: Option<Timestamp>,
        context: &BeginContext,
    ) -> Result<Transaction, CodedError> {
        let shared = &self.shared;
        let mut reader = shared
            .readers
            .take(|| shared.store.reader())
            .map_err(storage_error)?;
        for _ in 0..BEGIN_ATTEMPTS_MAX {
            let stored = reader.get().begin().map_err(storage_error)?;
            let window = shared.window();
            let ts = at.unwrap_or_else(|| window.tip());
            let Some(metadata) = window.metadata_at(ts).cloned() else {
                break;
            };
            if ts != stored && !window.covers(ts) {
                break;
            }
            if ts != stored && !window.covers(stored) {
                // The window has moved past what the reader sees since it began.
                continue;
            }
            let (older, newer) = (ts.min(stored), ts.max(stored));
            let commits: Vec<_> = window.between(older, newer).cloned().collect();
            // Only a store that is ahead may have dropped what the snapshot reads.
            let stored_metadata = (ts < stored)
                .then(|| window.metadata_at(stored).cloned())
                .flatten()
                .filter(|stored| !Arc::ptr_eq(stored, &metadata));
            drop(window);
            let overlay = Overlay::build(&commits, stored, ts);
            return Ok(Transaction::new(
                Snapshot::new(reader, ts, metadata, stored_metadata, overlay),
                context,
                shared.numbers.clone(),
                shared.ceilings,
            ));
        }
        Err(out_of_retention())
    }

    /// Validates a transaction and hands it to the writer. `done` is called
    /// (from the writer thread) with the commit timestamp once it is durable,
    /// or with an error if the store has refused it; it is dropped uncalled if
    /// the outcome is unknown, and when this fails. A transaction without
    /// writes commits at its begin timestamp.
    pub fn commit(
        &self,
        transaction: Transaction,
        now: Timestamp,
        source: Option<Arc<str>>,
        done: CommitCallback,
    ) -> Result<Timestamp, CommitError> {
        self.committer
            .commit(transaction, now, source, AtLane::Wait, done)
    }

    /// Like [`commit`](Self::commit), but never waits for the holder of the
    /// [serial lane](crate::Lane): [`CommitError::Protected`] instead.
    pub fn try_commit(
        &self,
        transaction: Transaction,
        now: Timestamp,
        source: Option<Arc<str>>,
        done: CommitCallback,
    ) -> Result<Timestamp, CommitError> {
        self.committer
            .commit(transaction, now, source, AtLane::Refuse, done)
    }

    /// Like [`commit`](Self::commit) and waits. Not for worker threads with other work to do.
    pub fn commit_and_wait(
        &self,
        transaction: Transaction,
        now: Timestamp,
    ) -> Result<Timestamp, CommitError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.commit(
            transaction,
            now,
            None,
            Box::new(move |outcome| {
                // The receiver is gone only if the waiting thread is.
                let _ = sender.send(outcome);
            }),
        )?;
        match receiver.recv() {
            Ok(outcome) => outcome.map_err(CommitError::NotStored),
            Err(_) => Err(CommitError::Failed),
        }
    }

    /// Calls `done` once everything up to `ts` is durable and visible.
    pub fn when_published(&self, ts: Timestamp, done: CommitCallback) {
        self.committer.when_published(ts, done);
    }

    /// Enters the serial lane; see [`Lane`](crate::Lane).
    pub fn lane(&self) -> crate::Lane<'_> {
        self.committer.lane()
    }

    /// Registers a read set whose results are right as of `ts`. An error tells
    /// from which timestamp on they are not right any more.
    pub fn subscribe(
        &self,
        read_set: Arc<ReadSet>,
        ts: Timestamp,
    ) -> Result<SubscriptionId, Timestamp> {
        let mut subscriptions = self.shared.subscriptions();
        {
            let window = self.shared.window();
            if !window.covers(ts) {
                return Err(Timestamp(ts.0 + 1));
            }
            for commit in window.between(ts, subscriptions.processed) {
                if commit
                    .touched
                    .iter()
                    .any(|(space, key)| read_set.contains(*space, key))
                {
                    return Err(commit.ts);
                }
            }
        }
        Ok(subscriptions.add(read_set))
    }

    pub fn unsubscribe(&self, id: SubscriptionId) {
        self.shared.subscriptions().remove(id);
    }

    pub fn subscriptions_count(&self) -> usize {
        self.shared.subscriptions().len()
    }

    /// Forgets what is older than the window, for times without commits.
    pub fn trim(&self, now: Timestamp) {
        let published = self.latest();
        self.shared.window().trim(published, now);
    }

    /// Memory held by the window of recent commits.
    pub fn window_size_bytes(&self) -> usize {
        self.shared.window().size_bytes()
    }

    /// Metadata of the newest published state, for looking around without a
    /// transaction. Never newer than [`latest`](Self::latest) asked afterwards:
    /// background walks rely on it.
    pub fn metadata(&self) -> Arc<Metadata> {
        let latest = self.latest();
        self.shared.window().published_metadata(latest).clone()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn committer(&self) -> &Committer {
        &self.committer
    }

    /// Writes out what is queued and stops the writer thread.
    pub fn close(&self) {
        self.committer.close();
    }
}

impl Shared {
    pub(crate) fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn out_of_retention() -> CodedError {
    CodedError {
        class: ErrorClass::OutOfRetention,
        code: "InternalServerError".into(),
        message: "Your request couldn't be completed. Try again later.".to_owned(),
        data: None,
    }
}
