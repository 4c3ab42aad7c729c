use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hashbrown::HashMap;
use hull_store::{
    CommitRecord, DocumentWrite, IndexWrite, StoreError, TabletGrowth, TabletId, Writer,
};
use hull_value::{CodedError, DocumentId, ErrorClass, PackedValue, Timestamp};

use crate::document;
use crate::engine::Shared;
use crate::key_space::KeySpace;
use crate::limits;
use crate::metadata::Metadata;
use crate::read_set::ReadSet;
use crate::system;
use crate::transaction::{Finished, FinishedDocument, Transaction, index_key};
use crate::window::{CommitChanges, DocumentChange, EntryChange};
use crate::writer::write_loop;

/// Called with the commit timestamp once it is durable and published, or with
/// the reason why it never will be.
pub type CommitCallback = Box<dyn FnOnce(Result<Timestamp, CodedError>) + Send>;

/// Puts commits in order: validation under one lock, durability in one thread.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    state: Arc<CommitState>,
    queue: Mutex<Option<SyncSender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lane: Mutex<()>,
}

/// Lock order: `inner` before the window's lock.
#[derive(Default)]
pub(crate) struct CommitState {
    inner: Mutex<Inner>,
    /// Signalled when a commit becomes durable, and when the lane is left.
    pub(crate) changed: Condvar,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// Commits that are validated and not yet durable,
    pub(crate) in_flight: usize,
    /// and the memory they take.
    pub(crate) in_flight_bytes: usize,
    /// The serial lane's holder, if there is one.
    protected: Option<Protected>,
    /// Commits waiting for the lane to be left; they go before its next holder.
    lane_waiters: usize,
    pub(crate) waiting: BTreeMap<Timestamp, Vec<CommitCallback>>,
    pub(crate) failed: bool,
}

/// What commits of others must leave alone while the lane is held.
#[derive(Default)]
struct Protected {
    /// What the holder read in its earlier attempts.
    reads: ReadSet,
    /// Everything.
    is_exclusive: bool,
}

/// How a commit stands to the serial lane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtLane {
    /// It is the holder's.
    Holds,
    /// Where it would touch what the holder has read, it waits,
    Wait,
    /// or is refused.
    Refuse,
}

/// Background work for the writer thread. It tells whoever waits for it how it
/// went; its result is an error only if the process has to stop. It is dropped
/// without having run if a commit before it could not be stored.
pub(crate) type UpkeepWork = Box<dyn FnOnce(&mut dyn Writer) -> Result<(), StoreError> + Send>;

pub(crate) enum Message {
    Commit {
        record: CommitRecord,
        changes: Arc<CommitChanges>,
        done: CommitCallback,
    },
    /// Work that must be in order with commits: backfills, purges.
    Upkeep(UpkeepWork),
}

/// Why a transaction did not commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Run the transaction again, at once.
    #[error("a commit since the begin of the transaction touched what it read")]
    Conflict(Box<Conflict>),
    /// Run the transaction again in the serial lane, whose holder has read what
    /// it would change.
    #[error("the transaction would change what the holder of the serial lane has read")]
    Protected(Box<Conflict>),
    #[error("{}", .0.message)]
    Overloaded(CodedError),
    /// Validated, but the store had to refuse it; it may be tried again.
    #[error("{}", .0.message)]
    NotStored(CodedError),
    #[error("the store failed; nothing can be committed any more")]
    Failed,
}

/// The write that a transaction collided with.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// Name of the table, `None` if unknown.
    pub table: Option<String>,
    pub document_id: Option<String>,
    /// Whether it was a row of a system table, which has neither for users.
    pub is_system: bool,
    /// Function that wrote it.
    pub source: Option<Arc<str>>,
    /// What the failed attempt had read, for the serial lane.
    pub reads: ReadSet,
}

/// The serial lane: while it is held, commits that would touch what the holder
/// read in earlier attempts wait or are refused, and all others proceed. One
/// holder at a time; commits that wait go before the next one.
pub struct Lane<'a> {
    committer: &'a Committer,
    _turn: MutexGuard<'a, ()>,
}

impl Committer {
    pub(crate) fn start(shared: Arc<Shared>, writer: Box<dyn Writer>) -> Committer {
        let (sender, receiver) = sync_channel(limits::COMMITS_IN_FLIGHT_MAX * 2);
        let state = Arc::new(CommitState::default());
        let thread = std::thread::Builder::new()
            .name("hull-writer".to_owned())
            .spawn({
                let (shared, state) = (shared.clone(), state.clone());
                move || write_loop(&shared, &state, writer, &receiver)
            });
        let thread = thread.expect("invariant: a thread can be started while the database opens");
        Committer {
            shared,
            state,
            queue: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            lane: Mutex::new(()),
        }
    }

    pub(crate) fn commit(
        &self,
        transaction: Transaction,
        now: Timestamp,
        source: Option<Arc<str>>,
        at_lane: AtLane,
        done: CommitCallback,
    ) -> Result<Timestamp, CommitError> {
        let finished = transaction.finish();
        if finished.documents.is_empty() {
            let begin = finished.begin;
            self.when_published(begin, done);
            return Ok(begin);
        }
        // Keys that do not depend on the commit timestamp are made before the lock.
        let has_placeholder = finished.documents.iter().any(|change| {
            change
                .new
                .as_ref()
                .is_some_and(|new| document::has_commit_ts(new.as_ref()))
        });
        let mut prepared = (!has_placeholder).then(|| prepare(&finished, None));

        let mut inner = self.state.lock();
        loop {
            inner = self.wait_for_room(inner)?;
            let protected = inner.protected.as_ref();
            let must_not = at_lane != AtLane::Holds
                && protected.is_some_and(|protected| {
                    let changes = prepared.get_or_insert_with(|| prepare(&finished, None));
                    protected.is_touched_by(&changes.touched)
                });
            if !must_not {
                break;
            }
            if at_lane == AtLane::Refuse {
                return Err(CommitError::Protected(Box::new(Conflict {
                    reads: finished.reads,
                    ..Conflict::unknown()
                })));
            }
            inner = self.wait_for_lane(inner)?;
        }
        if inner.failed {
            return Err(CommitError::Failed);
        }
        let mut window = self.shared.window();
        if let Some(conflict) = find_conflict(&window, &finished) {
            let conflict = describe_conflict(&conflict, &finished);
            return Err(CommitError::Conflict(Box::new(Conflict {
                reads: finished.reads,
                ..conflict
            })));
        }
        let ts = window.next_ts(now);
        let mut prepared = match prepared {
            Some(prepared) if !has_placeholder => prepared,
            _ => prepare(&finished, Some(ts)),
        };
        prepared.add_session_records(ts);
        prepared.add_job_times();
        let metadata = apply_metadata(window.tip_metadata(), &prepared, ts);
        let record = CommitRecord {
            ts,
            documents: prepared.document_writes(),
            indexes: prepared.index_writes(),
            growth: prepared.growth(),
        };
        let size_bytes = prepared.size_bytes();
        let changes = Arc::new(CommitChanges {
            ts,
            size_bytes,
            documents: prepared.documents,
            entries: prepared.entries,
            touched: prepared.touched,
            source,
        });
        window.push(changes.clone(), metadata);
        // Sent under the locks, so that the writer sees commits in their order.
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().is_some_and(|queue| {
            queue
                .send(Message::Commit {
                    record,
                    changes,
                    done,
                })
                .is_ok()
        });
        if !sent {
            inner.failed = true;
            return Err(CommitError::Failed);
        }
        inner.in_flight += 1;
        inner.in_flight_bytes += size_bytes;
        Ok(ts)
    }

    /// Queues work for the writer in order with the commits. `check` runs under
    /// the commit lock and may still call the work off.
    pub(crate) fn upkeep(
        &self,
        check: impl FnOnce(&crate::window::Window) -> bool,
        work: UpkeepWork,
    ) -> Result<bool, CommitError> {
        let inner = self.state.lock();
        if inner.failed {
            return Err(CommitError::Failed);
        }
        if !check(&self.shared.window()) {
            return Ok(false);
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue
            .as_ref()
            .is_some_and(|queue| queue.send(Message::Upkeep(work)).is_ok());
        if sent {
            Ok(true)
        } else {
            Err(CommitError::Failed)
        }
    }

    pub(crate) fn when_published(&self, ts: Timestamp, done: CommitCallback) {
        let mut inner = self.state.lock();
        let published = self.shared.published.load(Ordering::Acquire);
        let outcome = if self.shared.window().is_aborted(ts) {
            Err(aborted())
        } else if published >= ts.0 {
            Ok(ts)
        } else if inner.failed {
            Err(store_failed())
        } else {
            inner.waiting.entry(ts).or_default().push(done);
            return;
        };
        drop(inner);
        done(outcome);
    }

    pub(crate) fn lane(&self) -> Lane<'_> {
        let turn = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut inner, _) = self
            .state
            .changed
            .wait_timeout_while(self.state.lock(), limits::LANE_YIELD, |inner| {
                inner.lane_waiters > 0 && !inner.failed
            })
            .unwrap_or_else(PoisonError::into_inner);
        inner.protected = Some(Protected::default());
        drop(inner);
        Lane {
            committer: self,
            _turn: turn,
        }
    }

    pub(crate) fn close(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // The writer thread contains its own errors; it cannot have panicked on purpose.
            let _ = thread.join();
        }
    }

    /// Waits until fewer commits than the limit are on their way to disk.
    fn wait_for_room<'a>(
        &self,
        inner: MutexGuard<'a, Inner>,
    ) -> Result<MutexGuard<'a, Inner>, CommitError> {
        let (inner, waited) = self
            .state
            .changed
            .wait_timeout_while(inner, limits::COMMIT_QUEUE_WAIT, |inner| {
                inner.is_full() && !inner.failed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(too_many_commits());
        }
        Ok(inner)
    }

    /// Waits until the lane has been left once.
    fn wait_for_lane<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
    ) -> Result<MutexGuard<'a, Inner>, CommitError> {
        inner.lane_waiters += 1;
        let (mut inner, waited) = self
            .state
            .changed
            .wait_timeout_while(inner, limits::LANE_WAIT, |inner| {
                inner.protected.is_some() && !inner.failed
            })
            .unwrap_or_else(PoisonError::into_inner);
        inner.lane_waiters -= 1;
        if inner.lane_waiters == 0 {
            self.state.changed.notify_all();
        }
        if waited.timed_out() {
            return Err(too_many_commits());
        }
        Ok(inner)
    }
}

fn too_many_commits() -> CommitError {
    CommitError::Overloaded(CodedError {
        class: ErrorClass::Overloaded,
        code: "CommitterFullError".into(),
        message: "Too many concurrent commits in a short period of time. Spread your writes out over time or throttle them to avoid errors.".to_owned(),
        data: None,
    })
}

/// The error of whoever saw a commit that could not be stored.
fn aborted() -> CodedError {
    CodedError {
        class: ErrorClass::Overloaded,
        code: "CommitNotStored".into(),
        message: "An earlier change that this one was based on could not be stored. Try again."
            .to_owned(),
        data: None,
    }
}

/// The error of what will never be stored because the store has failed for good.
pub(crate) fn store_failed() -> CodedError {
    CodedError::internal("the store failed; nothing can be committed any more")
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn is_full(&self) -> bool {
        self.in_flight >= limits::COMMITS_IN_FLIGHT_MAX
            || self.in_flight_bytes >= limits::IN_FLIGHT_BYTES_MAX
    }
}

impl CommitState {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Protected {
    fn is_touched_by(&self, touched: &[(KeySpace, Arc<[u8]>)]) -> bool {
        self.is_exclusive
            || touched
                .iter()
                .any(|(space, key)| self.reads.contains(*space, key))
    }
}

impl Conflict {
    /// A reason to run again that has no write to point at.
    fn unknown() -> Conflict {
        Conflict {
            table: None,
            document_id: None,
            is_system: false,
            source: None,
            reads: ReadSet::default(),
        }
    }
}

impl Lane<'_> {
    /// Keeps commits that would touch `reads` out until the lane is left.
    pub fn protect(&self, reads: &ReadSet) {
        let mut inner = self.committer.state.lock();
        inner.protected.get_or_insert_default().reads.merge(reads);
    }

    /// Keeps all other commits out (`true`), or only those that touch what is
    /// protected: for a holder whose reads keep moving.
    pub fn set_exclusive(&self, is_exclusive: bool) {
        let mut inner = self.committer.state.lock();
        inner.protected.get_or_insert_default().is_exclusive = is_exclusive;
    }

    /// Commits the holder's transaction; see [`Engine::commit`](crate::Engine::commit).
    pub fn commit(
        &self,
        transaction: Transaction,
        now: Timestamp,
        source: Option<Arc<str>>,
        done: CommitCallback,
    ) -> Result<Timestamp, CommitError> {
        self.committer
            .commit(transaction, now, source, AtLane::Holds, done)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.committer.state.lock().protected = None;
        self.committer.state.changed.notify_all();
    }
}

/// A transaction's writes as the window and the store want them.
pub(crate) struct Prepared {
    pub(crate) documents: Vec<DocumentChange>,
    pub(crate) entries: Vec<EntryChange>,
    pub(crate) touched: Vec<(KeySpace, Arc<[u8]>)>,
}

impl Prepared {
    fn document_writes(&self) -> Vec<DocumentWrite> {
        self.documents
            .iter()
            .map(|change| DocumentWrite {
                tablet: change.tablet,
                id: change.id,
                prev_ts: change.old.as_ref().map(|(ts, _)| *ts),
                value: change.new.as_ref().map(|value| value.as_bytes().clone()),
            })
            .collect()
    }

    /// By how much each tablet grows.
    fn growth(&self) -> Vec<TabletGrowth> {
        let mut tablets: HashMap<TabletId, TabletGrowth> = HashMap::new();
        for change in &self.documents {
            let len = |value: Option<&PackedValue>| {
                let len = value.map_or(0, |value| value.as_bytes().len());
                i64::try_from(len).unwrap_or(i64::MAX)
            };
            let growth = tablets.entry(change.tablet).or_insert(TabletGrowth {
                tablet: change.tablet,
                documents: 0,
                bytes: 0,
            });
            growth.documents += change.growth();
            growth.bytes +=
                len(change.new.as_ref()) - len(change.old.as_ref().map(|(_, value)| value));
        }
        let mut growth: Vec<_> = tablets.into_values().collect();
        growth.retain(|growth| (growth.documents, growth.bytes) != (0, 0));
        growth
    }

    /// The memory that the changes take.
    fn size_bytes(&self) -> usize {
        let len = |value: Option<&PackedValue>| value.map_or(0, |value| value.as_bytes().len());
        let documents = self.documents.iter().map(|change| {
            96 + len(change.old.as_ref().map(|(_, value)| value)) + len(change.new.as_ref())
        });
        let keys = self.touched.iter().map(|(_, key)| 40 + key.len());
        128 + documents.sum::<usize>() + keys.sum::<usize>() + self.entries.len() * 64
    }

    fn index_writes(&self) -> Vec<IndexWrite> {
        self.entries
            .iter()
            .map(|entry| IndexWrite {
                index: entry.index,
                key: entry.key.to_vec(),
                target: entry.new,
            })
            .collect()
    }
}

/// Computes index entries and touched keys; `ts` fills commit-timestamp placeholders.
fn prepare(finished: &Finished, ts: Option<Timestamp>) -> Prepared {
    let mut prepared = Prepared {
        documents: Vec::new(),
        entries: Vec::new(),
        touched: Vec::new(),
    };
    for change in &finished.documents {
        let FinishedDocument {
            tablet,
            id,
            old,
            new,
        } = change;
        let new = match (new, ts) {
            (Some(new), Some(ts)) if document::has_commit_ts(new.as_ref()) => {
                let mut value = new.unpack();
                document::resolve_commit_ts(&mut value, i64::try_from(ts.0).unwrap_or(i64::MAX));
                Some(PackedValue::pack(&value))
            }
            (new, _) => new.clone(),
        };
        prepared
            .touched
            .push((KeySpace::Tablet(*tablet), Arc::from(id.0.as_slice())));
        if tablet.0 < system::FIRST_DYNAMIC_NUMBER {
            for value in [old.as_ref().map(|(_, value)| value), new.as_ref()]
                .into_iter()
                .flatten()
            {
                for (space, key) in system::computed_keys(*tablet, value.as_ref()) {
                    prepared.touched.push((space, key.into()));
                }
            }
        } else if let Some(table) = finished.metadata.table(*tablet) {
            let document_id = DocumentId::new(table.number, *id);
            for index in table.maintained_indexes() {
                let key_of = |value: &PackedValue| -> Arc<[u8]> {
                    index_key(value, index, &document_id).into()
                };
                let before = old.as_ref().map(|(_, value)| key_of(value));
                let after = new.as_ref().map(key_of);
                let space = KeySpace::Index(index.index);
                if before == after {
                    prepared.touched.extend(before.map(|key| (space, key)));
                    continue;
                }
                if let Some(key) = before {
                    prepared.touched.push((space, key.clone()));
                    prepared.entries.push(EntryChange {
                        index: index.index,
                        key,
                        old: Some(*id),
                        new: None,
                    });
                }
                if let Some(key) = after {
                    prepared.touched.push((space, key.clone()));
                    prepared.entries.push(EntryChange {
                        index: index.index,
                        key,
                        old: None,
                        new: Some(*id),
                    });
                }
            }
        }
        prepared.documents.push(DocumentChange {
            tablet: *tablet,
            id: *id,
            old: old.clone(),
            new,
        });
    }
    prepared
}

/// Returns the metadata after the commit if it changes any.
fn apply_metadata(
    tip: &Arc<Metadata>,
    prepared: &Prepared,
    ts: Timestamp,
) -> Option<Arc<Metadata>> {
    let mut changed: Option<Metadata> = None;
    for change in prepared
        .documents
        .iter()
        .filter(|change| system::is_resident(change.tablet))
    {
        let metadata = changed.get_or_insert_with(|| (**tip).clone());
        metadata
            .apply(
                change.tablet,
                change.id,
                change.new.clone().map(|value| (ts, value)),
            )
            .expect("invariant: the transaction applied the same rows to its own metadata");
    }
    changed.map(Arc::new)
}

/// What a transaction collided with.
enum Collision {
    Write {
        changes: Arc<CommitChanges>,
        /// Position in `touched`.
        position: usize,
    },
    /// The transaction began before the window, or has seen what was not stored:
    /// nothing can be proven, and a new attempt is cheap.
    Unfounded,
}

fn find_conflict(window: &crate::window::Window, finished: &Finished) -> Option<Collision> {
    if !window.covers(finished.begin) || window.is_aborted(finished.begin) {
        return Some(Collision::Unfounded);
    }
    for commit in window.between(finished.begin, window.tip()) {
        let hit = commit
            .touched
            .iter()
            .position(|(space, key)| finished.reads.contains(*space, key));
        if let Some(position) = hit {
            return Some(Collision::Write {
                changes: commit.clone(),
                position,
            });
        }
    }
    None
}

fn describe_conflict(collision: &Collision, finished: &Finished) -> Conflict {
    let Collision::Write { changes, position } = collision else {
        return Conflict::unknown();
    };
    // A document's own key stands before its keys in the indexes.
    let document =
        changes.touched[..=*position]
            .iter()
            .rev()
            .find_map(|(space, key)| match space {
                KeySpace::Tablet(tablet) => Some((*tablet, key)),
                KeySpace::Index(_) => None,
            });
    let Some((tablet, key)) = document else {
        return Conflict::unknown();
    };
    let table = finished
        .metadata
        .table(tablet)
        .filter(|table| !table.name.starts_with('_'));
    Conflict {
        table: table.map(|table| table.name.clone()),
        document_id: table.and_then(|table| {
            let id = <[u8; 16]>::try_from(&**key).ok()?;
            Some(DocumentId::new(table.number, hull_value::InternalId(id)).to_string())
        }),
        is_system: tablet.0 < system::FIRST_DYNAMIC_NUMBER,
        source: changes.source.clone(),
        reads: ReadSet::default(),
    }
}
