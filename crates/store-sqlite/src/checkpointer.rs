//! Moves the write-ahead log into the main file, off the commit path.
//!
//! A PASSIVE checkpoint disturbs nobody: it copies what no snapshot still
//! needs. When it has copied everything and no snapshot reads from the log,
//! SQLite starts the log again from its beginning with the next commit, and
//! the file stays at the length it had. Past the limit that moment is made:
//! the gate is closed, the last pages are copied, the log is restarted.

use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hull_store::StoreError;
use rusqlite::{Connection, ErrorCode};

use crate::error::describe;
use crate::shared::Shared;

/// How long the gate stays closed for running snapshots to end, at first.
/// Doubles with each attempt that found one running.
const PATIENCE_MIN: Duration = Duration::from_millis(20);
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// The thread that checkpoints. Stopped and joined when dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(shared: &Arc<Shared>, connection: Connection) -> Result<Self, StoreError> {
        let worker = Worker {
            connection,
            patience: PATIENCE_MIN,
            shared: Arc::clone(shared),
        };
        let thread = thread::Builder::new()
            .name("hull-checkpoint".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| StoreError::Io {
                operation: "starting the checkpointer",
                reason: error.to_string(),
            })?;
        Ok(Self {
            shared: Arc::clone(shared),
            thread: Some(thread),
        })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpointer panicked");
        }
    }
}

/// Declared so that the connection closes before the file is unlocked.
struct Worker {
    connection: Connection,
    patience: Duration,
    shared: Arc<Shared>,
}

/// What `PRAGMA wal_checkpoint` reports.
struct Progress {
    is_busy: bool,
    wal_pages: u32,
    copied_pages: u32,
}

impl Worker {
    fn run(mut self) {
        while self.shared.wait_for_request() {
            if let Err(error) = self.checkpoint() {
                let error = failure(&error);
                tracing::error!(%error, "checkpoint failed");
                let is_fatal = error.is_fatal();
                self.shared.note_failure(error);
                if is_fatal {
                    break;
                }
            }
        }
        leave_log_if_in_doubt(&self.connection, &self.shared);
    }

    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        let progress = self.pragma("PRAGMA wal_checkpoint(PASSIVE)")?;
        tracing::debug!(
            wal_pages = progress.wal_pages,
            copied_pages = progress.copied_pages,
            "checkpoint"
        );
        if progress.wal_pages < self.shared.limit_pages() {
            self.shared
                .note_checkpoint(progress.wal_pages, self.shared.interval_pages());
            return Ok(());
        }
        if self.restart()? {
            self.patience = PATIENCE_MIN;
            self.shared.note_restart();
        } else {
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
            // Soon again, but not with every commit: the gate must not be
            // closed most of the time.
            self.shared
                .note_checkpoint(progress.wal_pages, self.shared.interval_pages().div_ceil(8));
        }
        Ok(())
    }

    /// Copies the rest of the log and lets the next commit start it again.
    /// `false` if a snapshot outlasts the patience.
    fn restart(&self) -> rusqlite::Result<bool> {
        let Some(_closed) = self.shared.gate.close(self.patience) else {
            return Ok(false);
        };
        let _turn = self
            .shared
            .write_turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let progress = self.pragma("PRAGMA wal_checkpoint(RESTART)")?;
        Ok(!progress.is_busy)
    }

    fn pragma(&self, sql: &str) -> rusqlite::Result<Progress> {
        let count = |value: i64| u32::try_from(value).unwrap_or(0);
        self.connection.query_row(sql, [], |row| {
            Ok(Progress {
                is_busy: row.get::<_, i64>(0)? != 0,
                wal_pages: count(row.get(1)?),
                copied_pages: count(row.get(2)?),
            })
        })
    }
}

/// A full disk or a foreign lock passes. After anything else the main file is
/// in doubt, and a later sync of it that succeeds would prove nothing: the
/// log, which is whole, must stay for the recovery.
fn failure(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Io {
            operation: "checkpointing",
            reason: describe(error),
        },
        _ => StoreError::OutcomeUnknown {
            reason: describe(error),
        },
    }
}

/// Closing the last connection checkpoints and deletes the log, unless told
/// not to.
pub(crate) fn leave_log_if_in_doubt(connection: &Connection, shared: &Shared) {
    use rusqlite::config::DbConfig;

    if shared.is_in_doubt()
        && let Err(error) =
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
    {
        tracing::error!(%error, "cannot keep the write-ahead log on close");
    }
}
