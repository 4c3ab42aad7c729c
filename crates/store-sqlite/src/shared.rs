//! What the store, its readers, its writer and its checkpointer share.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hull_store::StoreError;

use crate::SqliteOptions;
use crate::format::PAGE_LEN;
use crate::gate::Gate;
use crate::lock::DataFileLock;

/// How long one commit waits for a write-ahead log that is far too long.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// Lock order: `gate`, `write_turn`, `upkeep`.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) options: SqliteOptions,
    pub(crate) gate: Gate,
    /// Held for each write transaction, and by the checkpointer while it
    /// restarts the write-ahead log.
    pub(crate) write_turn: Mutex<()>,
    pub(crate) has_writer: AtomicBool,
    upkeep: Mutex<Upkeep>,
    changed: Condvar,
    /// Every connection's owner holds a `Shared` and drops it after the
    /// connection, so the lock goes last.
    _lock: DataFileLock,
}

/// The conversation between writer and checkpointer.
#[derive(Debug, Default)]
struct Upkeep {
    /// The length of the write-ahead log after the latest commit or restart.
    wal_pages: u32,
    /// The length at which the next checkpoint is due.
    checkpoint_at_pages: u32,
    is_requested: bool,
    is_stopping: bool,
    /// Why the last checkpoint failed. Fatal ones stay for ever.
    failure: Option<StoreError>,
}

impl Shared {
    pub(crate) fn new(path: PathBuf, options: SqliteOptions, lock: DataFileLock) -> Self {
        let upkeep = Upkeep {
            checkpoint_at_pages: pages(options.checkpoint_interval_bytes),
            // What a crash left in the log.
            is_requested: true,
            ..Upkeep::default()
        };
        Self {
            path,
            options,
            gate: Gate::default(),
            write_turn: Mutex::new(()),
            has_writer: AtomicBool::new(false),
            upkeep: Mutex::new(upkeep),
            changed: Condvar::new(),
            _lock: lock,
        }
    }

    /// Records the length of the write-ahead log after a commit, and wakes
    /// the checkpointer when one is due.
    pub(crate) fn note_commit(&self, wal_pages: u32) {
        let mut upkeep = self.lock();
        if wal_pages < upkeep.wal_pages {
            upkeep.checkpoint_at_pages = self.interval_pages();
        }
        upkeep.wal_pages = wal_pages;
        if wal_pages >= upkeep.checkpoint_at_pages && !upkeep.is_requested {
            upkeep.is_requested = true;
            self.changed.notify_all();
        }
    }

    /// Asks for a checkpoint now.
    pub(crate) fn request_checkpoint(&self) {
        let mut upkeep = self.lock();
        if upkeep.wal_pages > 0 {
            upkeep.is_requested = true;
            self.changed.notify_all();
        }
    }

    /// Fails if nothing may be written any more. Waits, for a bounded time,
    /// if the checkpointer is far behind.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        let limit = self.limit_pages().saturating_mul(4);
        let upkeep = self.lock();
        let (upkeep, timeout) = self
            .changed
            .wait_timeout_while(upkeep, ROOM_PATIENCE, |upkeep| {
                upkeep.wal_pages > limit && upkeep.failure.is_none() && !upkeep.is_stopping
            })
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            tracing::warn!(
                wal_pages = upkeep.wal_pages,
                "a long snapshot keeps the write-ahead log from being restarted"
            );
        }
        match &upkeep.failure {
            Some(error) if error.is_fatal() || upkeep.wal_pages > limit => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Waits for the next request; `false` when it is time to stop.
    pub(crate) fn wait_for_request(&self) -> bool {
        let upkeep = self.lock();
        let mut upkeep = self
            .changed
            .wait_while(upkeep, |upkeep| !upkeep.is_requested && !upkeep.is_stopping)
            .unwrap_or_else(PoisonError::into_inner);
        upkeep.is_requested = false;
        !upkeep.is_stopping
    }

    /// Records a checkpoint that left the log `wal_pages` long.
    pub(crate) fn note_checkpoint(&self, wal_pages: u32, next_after_pages: u32) {
        let mut upkeep = self.lock();
        upkeep.failure = None;
        upkeep.checkpoint_at_pages = wal_pages.saturating_add(next_after_pages);
        self.changed.notify_all();
    }

    /// Records that the next commit starts the log from its beginning.
    pub(crate) fn note_restart(&self) {
        let mut upkeep = self.lock();
        upkeep.wal_pages = 0;
        upkeep.checkpoint_at_pages = self.interval_pages();
        self.changed.notify_all();
    }

    pub(crate) fn note_failure(&self, error: StoreError) {
        let mut upkeep = self.lock();
        // Try again after some more commits, as after a success.
        upkeep.checkpoint_at_pages = upkeep.wal_pages.saturating_add(self.interval_pages());
        upkeep.failure = Some(error);
        self.changed.notify_all();
    }

    /// Returns whether a failure has put the disk's contents in doubt.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.lock()
            .failure
            .as_ref()
            .is_some_and(StoreError::is_fatal)
    }

    pub(crate) fn stop(&self) {
        self.lock().is_stopping = true;
        self.changed.notify_all();
    }

    pub(crate) fn limit_pages(&self) -> u32 {
        pages(self.options.wal_limit_bytes)
    }

    pub(crate) fn interval_pages(&self) -> u32 {
        pages(self.options.checkpoint_interval_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of log frames, each a page and a small header, in `bytes`.
fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes / u64::from(PAGE_LEN + 24))
        .unwrap_or(u32::MAX)
        .max(1)
}
