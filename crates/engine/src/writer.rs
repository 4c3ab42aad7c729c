//! The thread that makes commits durable: whatever has queued up in one batch,
//! which it then publishes. Between two batches it does what has to be in order
//! with commits, and forgets old history.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use hull_store::{CommitRecord, LogRetention, StoreError, TrimStep, Writer, log_entry_bytes};
use hull_value::{CodedError, ErrorClass, Timestamp};

use crate::committer::{CommitCallback, CommitState, Message, UpkeepWork, store_failed};
use crate::engine::Shared;
use crate::limits::HistoryLimits;
use crate::system::SCHEDULED_JOBS_BY_TIME;
use crate::window::CommitChanges;

/// Commits in one durable batch; more only makes the first of them wait longer.
const BATCH_MAX: usize = 256;
/// No more commits join a batch that takes so much memory.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// What is made durable at once, and what is done after it.
#[derive(Default)]
struct Batch {
    records: Vec<CommitRecord>,
    commits: Vec<(Arc<CommitChanges>, CommitCallback)>,
    size_bytes: usize,
    upkeep: Option<UpkeepWork>,
}

impl Batch {
    fn collect(first: Message, queue: &Receiver<Message>) -> Batch {
        let mut batch = Batch::default();
        batch.add(first);
        while batch.upkeep.is_none()
            && batch.records.len() < BATCH_MAX
            && batch.size_bytes < BATCH_BYTES_MAX
            && let Ok(message) = queue.try_recv()
        {
            batch.add(message);
        }
        batch
    }

    fn add(&mut self, message: Message) {
        match message {
            Message::Commit {
                record,
                changes,
                done,
            } => {
                self.records.push(record);
                self.size_bytes += changes.size_bytes;
                self.commits.push((changes, done));
            }
            Message::Upkeep(work) => self.upkeep = Some(work),
        }
    }
}

/// Runs until the queue is closed or the store fails for good.
pub(crate) fn write_loop(
    shared: &Shared,
    state: &CommitState,
    mut writer: Box<dyn Writer>,
    queue: &Receiver<Message>,
) {
    let mut history = History::new(shared.history);
    // Said once, not with each of the commits that follow.
    let mut is_refusing = false;
    let mut next = queue.recv().ok();
    while let Some(first) = next.take() {
        let mut batch = Batch::collect(first, queue);
        let result = match writer.commit(&batch.records) {
            Ok(()) => {
                if !batch.records.is_empty() && std::mem::take(&mut is_refusing) {
                    tracing::warn!("commits can be stored again");
                }
                publish(shared, state, &mut batch.commits);
                after_commit(&mut *writer, &mut batch, &mut history)
            }
            Err(error) if error.is_fatal() => {
                // Their outcome is unknown, so nobody is told one.
                batch.commits.clear();
                Err(error)
            }
            Err(error) => {
                if !std::mem::replace(&mut is_refusing, true) {
                    tracing::error!(%error, "commits cannot be stored and fail until they can");
                }
                abort(shared, state, batch, queue, &error);
                Ok(())
            }
        };
        if let Err(error) = result {
            fail(shared, state, &error);
            return;
        }
        next = match queue.try_recv() {
            Ok(message) => Some(message),
            Err(_) => {
                writer.checkpoint_if_needed();
                queue.recv().ok()
            }
        };
    }
}

/// Fails only with what stops the process. Everything else that goes wrong here
/// is told to whoever waits for it, or tried again by itself.
fn after_commit(
    writer: &mut dyn Writer,
    batch: &mut Batch,
    history: &mut History,
) -> Result<(), StoreError> {
    if let Some(work) = batch.upkeep.take() {
        work(writer)?;
    }
    match history.note(writer, &batch.records) {
        Err(error) if error.is_fatal() => Err(error),
        Err(error) => {
            tracing::warn!(%error, "old history is forgotten later");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn publish(
    shared: &Shared,
    state: &CommitState,
    published: &mut Vec<(Arc<CommitChanges>, CommitCallback)>,
) {
    let Some(ts) = published.last().map(|(changes, _)| changes.ts) else {
        return;
    };
    let mut hits = Vec::new();
    {
        let mut subscriptions = shared.subscriptions();
        for (changes, _) in published.iter() {
            hits.extend(
                subscriptions
                    .process(changes)
                    .into_iter()
                    .map(|id| (id, changes.ts)),
            );
        }
    }
    if !hits.is_empty() {
        shared.listener.invalidated(&hits);
    }
    let ready = {
        let mut inner = state.lock();
        shared.published.store(ts.0, Ordering::Release);
        for (changes, _) in published.iter() {
            inner.in_flight -= 1;
            inner.in_flight_bytes -= changes.size_bytes;
        }
        let later = inner.waiting.split_off(&Timestamp(ts.0 + 1));
        std::mem::replace(&mut inner.waiting, later)
    };
    // Not before: the latest timestamp must be readable at any time.
    shared.window().trim(ts, ts);
    state.changed.notify_all();
    let is_metadata_changed = published
        .iter()
        .any(|(changes, _)| changes.changes_metadata());
    if is_metadata_changed {
        shared.listener.metadata_changed();
    }
    let mut entries = published.iter().flat_map(|(changes, _)| &changes.entries);
    if entries.any(|entry| entry.index == SCHEDULED_JOBS_BY_TIME) {
        shared.listener.jobs_changed();
    }
    // Answers first: a mutation's response should leave before the transition that shows its writes.
    for (changes, done) in published.drain(..) {
        done(Ok(changes.ts));
    }
    for (waited_for, callbacks) in ready {
        for done in callbacks {
            done(Ok(waited_for));
        }
    }
    shared.listener.published(ts);
}

/// Takes back a batch that the store has refused whole, with every commit that
/// was validated after it: those may have read what is not there.
fn abort(
    shared: &Shared,
    state: &CommitState,
    batch: Batch,
    queue: &Receiver<Message>,
    error: &StoreError,
) {
    let mut callbacks: Vec<CommitCallback> =
        batch.commits.into_iter().map(|(_, done)| done).collect();
    {
        // Nothing is validated and queued while this is held.
        let mut inner = state.lock();
        // Background work among it was called for on the same ground: whoever
        // waits for it finds that it was dropped.
        while let Ok(message) = queue.try_recv() {
            if let Message::Commit { done, .. } = message {
                callbacks.push(done);
            }
        }
        let published = Timestamp(shared.published.load(Ordering::Acquire));
        shared.window().abort_after(published);
        (inner.in_flight, inner.in_flight_bytes) = (0, 0);
        let waiting = inner.waiting.split_off(&Timestamp(published.0 + 1));
        callbacks.extend(waiting.into_values().flatten());
    }
    state.changed.notify_all();
    let error = not_stored(error);
    for done in callbacks {
        done(Err(error.clone()));
    }
}

/// Ends all hope of committing.
fn fail(shared: &Shared, state: &CommitState, error: &StoreError) {
    let waiting = {
        let mut inner = state.lock();
        inner.failed = true;
        std::mem::take(&mut inner.waiting)
    };
    state.changed.notify_all();
    for done in waiting.into_values().flatten() {
        done(Err(store_failed()));
    }
    shared.listener.storage_failed(error);
}

pub(crate) fn not_stored(error: &StoreError) -> CodedError {
    let (code, message) = match error {
        StoreError::DiskFull => (
            "DiskFull",
            "The disk of this deployment is full. Nothing can be written until there is space again."
                .to_owned(),
        ),
        other => (
            "CommitNotStored",
            format!("The change could not be stored: {other}"),
        ),
    };
    CodedError {
        class: ErrorClass::Overloaded,
        code: code.into(),
        message,
        data: None,
    }
}

/// Keeps the log within its limits, a step every now and then: each is a
/// transaction of its own, which the next batch waits for.
struct History {
    limits: HistoryLimits,
    /// What came in since the last step.
    added: TrimStep,
}

impl History {
    /// What comes in between two steps.
    const INTERVAL: TrimStep = TrimStep {
        entries_max: 1_024,
        bytes_max: 4 << 20,
    };

    fn new(limits: HistoryLimits) -> History {
        History {
            limits,
            added: TrimStep {
                entries_max: 0,
                bytes_max: 0,
            },
        }
    }

    /// Takes note of commits, and forgets old ones when it is time.
    fn note(&mut self, writer: &mut dyn Writer, batch: &[CommitRecord]) -> Result<(), StoreError> {
        let Some(newest) = batch.last() else {
            return Ok(());
        };
        self.added.entries_max += batch.len();
        let bytes = batch
            .iter()
            .map(|record| log_entry_bytes(&record.documents));
        self.added.bytes_max += bytes.sum::<u64>();
        let is_due = self.added.entries_max >= Self::INTERVAL.entries_max
            || self.added.bytes_max >= Self::INTERVAL.bytes_max;
        if !is_due {
            return Ok(());
        }
        // More than came in, so that what is too long becomes shorter.
        let step = TrimStep {
            entries_max: self.added.entries_max * 4,
            bytes_max: self.added.bytes_max * 2,
        };
        self.added = History::new(self.limits).added;
        trim_step(writer, self.limits, newest.ts, step)?;
        Ok(())
    }
}

/// Forgets some of what is too old or too much; `true` once nothing is.
pub(crate) fn trim_step(
    writer: &mut dyn Writer,
    limits: HistoryLimits,
    now: Timestamp,
    step: TrimStep,
) -> Result<bool, StoreError> {
    let keep = LogRetention {
        before: Timestamp(now.0.saturating_sub(limits.age_nanos)),
        bytes_max: writer.usage()?.data_bytes.max(limits.bytes_floor),
    };
    writer.trim_log(keep, step)
}
