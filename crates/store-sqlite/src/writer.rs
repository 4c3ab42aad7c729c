//! Writes: one SQLite transaction per call, one sync of the write-ahead log.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use hull_store::{
    CommitRecord, IndexId, IndexWrite, LogRetention, StoreError, StoreUsage, TabletId, TrimStep,
    Writer, log_entry_bytes,
};
use hull_value::Timestamp;
use rusqlite::hooks::Wal;
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use crate::checkpointer::leave_log_if_in_doubt;
use crate::connection::{self, Role};
use crate::error::{commit_error, store_error};
use crate::format::PAGE_LEN;
use crate::log_entry;
use crate::reader::{newest_ts, timestamp};
use crate::shared::Shared;
use crate::statements as sql;

/// Room for the log entries of ordinary commits, kept from one to the next.
const SCRATCH_KEPT_BYTES: usize = 256 * 1024;

/// Pages that the log may take for its counted bytes: entries of little over
/// half a page fill one each. What pages lose must not pass for data, or the
/// log would be granted room for its own losses.
const LOG_PAGES_FACTOR: u64 = 2;

thread_local! {
    /// Set by SQLite's hook while a commit runs, read right after on the same
    /// thread. The hook is a plain function, so it has no other way out.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// Declared so that the connection closes before the file is unlocked.
pub(crate) struct SqliteWriter {
    connection: Connection,
    newest: Timestamp,
    /// Bytes of all log entries ever appended.
    log_end: u64,
    scratch: Vec<u8>,
    shared: Arc<Shared>,
}

impl SqliteWriter {
    pub(crate) fn open(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let open = || {
            let connection = connection::open(&shared.path, &shared.options, Role::Writer)?;
            connection.wal_hook(Some(note_wal_pages));
            let newest = newest_ts(&connection)?;
            let last: Option<(i64, Vec<u8>)> = connection
                .prepare_cached(sql::NEWEST_LOG)?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            Ok((connection, newest, last))
        };
        let (connection, newest, last) =
            open().map_err(|error| store_error("opening the writer", error))?;
        let log_end = match last {
            Some((start, entry)) => {
                unsigned(start) + log_entry_bytes(&log_entry::decode(entry.into())?)
            }
            None => 0,
        };
        Ok(Self {
            connection,
            newest: newest.map_or(Ok(Timestamp(0)), timestamp)?,
            log_end,
            scratch: Vec::new(),
            shared: Arc::clone(shared),
        })
    }

    /// Runs `write` in a transaction. When this returns `Ok`, it is durable.
    fn transaction<T>(
        &mut self,
        operation: &'static str,
        write: impl FnOnce(&Connection, &mut Vec<u8>) -> Result<T, WriteError>,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        shared.check_writable()?;
        let _turn = shared
            .write_turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = &self.connection;
        let written = execute(connection, sql::BEGIN_WRITE)
            .map_err(WriteError::Sqlite)
            .and_then(|()| write(connection, &mut self.scratch))
            .map_err(|error| match error {
                WriteError::Sqlite(error) => store_error(operation, error),
                WriteError::Store(error) => error,
            });
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_KEPT_BYTES);
        let outcome = written.and_then(|result| match execute(connection, sql::COMMIT) {
            Ok(()) => Ok(result),
            Err(error) => Err(commit_error(error)),
        });
        match outcome {
            Ok(result) => {
                shared.note_commit(WAL_PAGES.get());
                Ok(result)
            }
            Err(error) => {
                let error = self.abandon(error);
                if error.is_fatal() && !matches!(error, StoreError::InvalidWrite { .. }) {
                    shared.note_failure(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Takes back what a failed transaction wrote.
    fn abandon(&self, error: StoreError) -> StoreError {
        // SQLite takes some failures back by itself.
        if self.connection.is_autocommit() {
            return error;
        }
        match execute(&self.connection, sql::ROLLBACK) {
            Ok(()) => error,
            Err(rollback) => StoreError::OutcomeUnknown {
                reason: format!("{error}; then taking it back: {rollback}"),
            },
        }
    }

    fn check_order(&self, batch: &[CommitRecord]) -> Result<Timestamp, StoreError> {
        let mut newest = self.newest;
        for record in batch {
            if record.ts <= newest {
                return Err(StoreError::TimestampNotIncreasing {
                    ts: record.ts,
                    newest,
                });
            }
            newest = record.ts;
        }
        if i64::try_from(newest.0).is_err() {
            return Err(StoreError::InvalidWrite {
                detail: format!("timestamp {newest:?} is out of range"),
            });
        }
        Ok(newest)
    }

    /// Deletes at most `rows_max` rows of one tree from its start.
    fn sweep(&mut self, sweep: Sweep, rows_max: usize) -> Result<bool, StoreError> {
        self.transaction("deleting rows", |connection, _| {
            // SQLite's OFFSET is signed.
            let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
            let first_kept: Option<Value> = connection
                .prepare_cached(sweep.first_kept)?
                .query_row((sweep.tree, rows_max), |row| row.get(0))
                .optional()?;
            match &first_kept {
                Some(key) => {
                    if sweep.of == Swept::Documents {
                        let (documents, bytes): (i64, i64) = connection
                            .prepare_cached(sql::USAGE_BELOW)?
                            .query_row((sweep.tree, key), |row| Ok((row.get(0)?, row.get(1)?)))?;
                        connection
                            .prepare_cached(sql::GROW_TABLET)?
                            .execute((sweep.tree, -documents, -bytes))?;
                    }
                    connection
                        .prepare_cached(sweep.delete_below)?
                        .execute((sweep.tree, key))?;
                }
                None => {
                    connection
                        .prepare_cached(sweep.delete_all)?
                        .execute([sweep.tree])?;
                    if sweep.of == Swept::Documents {
                        connection
                            .prepare_cached(sql::FORGET_TABLET)?
                            .execute([sweep.tree])?;
                    }
                }
            }
            Ok(first_kept.is_none())
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Swept {
    Documents,
    Entries,
}

/// The statements that empty one tablet or index.
struct Sweep {
    of: Swept,
    tree: u32,
    first_kept: &'static str,
    delete_below: &'static str,
    delete_all: &'static str,
}

impl Drop for SqliteWriter {
    fn drop(&mut self) {
        leave_log_if_in_doubt(&self.connection, &self.shared);
        self.shared.has_writer.store(false, Ordering::Release);
    }
}

impl Writer for SqliteWriter {
    fn commit(&mut self, batch: &[CommitRecord]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let newest = self.check_order(batch)?;
        let log_start = self.log_end;
        self.log_end = self.transaction("committing", |connection, scratch| {
            let mut statements = CommitStatements::prepare(connection)?;
            let mut start = log_start;
            for record in batch {
                statements.write(record, start, scratch)?;
                start += log_entry_bytes(&record.documents);
            }
            statements.grow(batch)?;
            Ok(start)
        })?;
        self.newest = newest;
        Ok(())
    }

    fn set_global(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.transaction("setting a global", |connection, _| {
            connection
                .prepare_cached(sql::PUT_GLOBAL)?
                .execute((key, value))?;
            Ok(())
        })
    }

    fn write_index_entries(&mut self, entries: &[IndexWrite]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.transaction("writing index entries", |connection, _| {
            let mut put = connection.prepare_cached(sql::PUT_ENTRY)?;
            let mut delete = connection.prepare_cached(sql::DELETE_ENTRY)?;
            for entry in entries {
                write_entry(&mut put, &mut delete, entry)?;
            }
            Ok(())
        })
    }

    fn delete_index(&mut self, index: IndexId, rows_max: usize) -> Result<bool, StoreError> {
        let sweep = Sweep {
            of: Swept::Entries,
            tree: index.0,
            first_kept: sql::ENTRY_AFTER,
            delete_below: sql::DELETE_ENTRIES_BELOW,
            delete_all: sql::DELETE_ENTRIES,
        };
        self.sweep(sweep, rows_max)
    }

    fn delete_tablet(&mut self, tablet: TabletId, rows_max: usize) -> Result<bool, StoreError> {
        let sweep = Sweep {
            of: Swept::Documents,
            tree: tablet.0,
            first_kept: sql::DOCUMENT_AFTER,
            delete_below: sql::DELETE_DOCUMENTS_BELOW,
            delete_all: sql::DELETE_DOCUMENTS,
        };
        self.sweep(sweep, rows_max)
    }

    fn trim_log(&mut self, keep: LogRetention, step: TrimStep) -> Result<bool, StoreError> {
        let (newest, before) = (stored(self.newest), stored(keep.before));
        let log_end = self.log_end;
        self.transaction("trimming the log", |connection, _| {
            let entries_max = step.entries_max.max(1);
            // One more than may go, to know whether that is all.
            let limit = i64::try_from(entries_max.saturating_add(1)).unwrap_or(i64::MAX);
            let oldest = connection
                .prepare_cached(sql::OLDEST_LOG)?
                .query_map((i64::MAX, limit), |row| Ok((row.get(0)?, row.get(1)?)))?
                .map(|row| row.map(|(ts, start): (i64, i64)| (ts, unsigned(start))))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let (mut trimmed, mut is_done) = (0, true);
            while let Some((ts, start)) = oldest.get(trimmed) {
                let is_kept = *ts == newest
                    || *ts >= before && log_end.saturating_sub(*start) <= keep.bytes_max;
                if is_kept {
                    break;
                }
                let end = oldest.get(trimmed + 1).map_or(log_end, |(_, start)| *start);
                let is_over = end.saturating_sub(oldest[0].1) > step.bytes_max;
                if trimmed == entries_max || trimmed > 0 && is_over {
                    is_done = false;
                    break;
                }
                trimmed += 1;
            }
            let first_kept = oldest.get(trimmed).map_or(newest, |(ts, _)| *ts);
            connection
                .prepare_cached(sql::DELETE_LOG_BELOW)?
                .execute([first_kept])?;
            Ok(is_done)
        })
    }

    fn usage(&mut self) -> Result<StoreUsage, StoreError> {
        let read = || {
            let oldest = self
                .connection
                .prepare_cached(sql::OLDEST_LOG)?
                .query_row((i64::MAX, 1), |row| row.get(1))
                .optional()?;
            let pages = self
                .connection
                .prepare_cached(sql::PAGES_IN_USE)?
                .query_row([], |row| row.get(0))?;
            Ok((oldest, pages))
        };
        let (oldest, pages): (Option<i64>, i64) =
            read().map_err(|error| store_error("measuring the store", error))?;
        let log_bytes = oldest.map_or(0, |start| self.log_end.saturating_sub(unsigned(start)));
        let used_bytes = unsigned(pages) * u64::from(PAGE_LEN);
        Ok(StoreUsage {
            log_bytes,
            data_bytes: used_bytes.saturating_sub(log_bytes * LOG_PAGES_FACTOR),
        })
    }

    fn checkpoint_if_needed(&mut self) {
        self.shared.request_checkpoint();
    }
}

/// The statements of a commit, looked up once per batch.
struct CommitStatements<'a> {
    put_document: CachedStatement<'a>,
    delete_document: CachedStatement<'a>,
    put_entry: CachedStatement<'a>,
    delete_entry: CachedStatement<'a>,
    put_log: CachedStatement<'a>,
    grow_tablet: CachedStatement<'a>,
}

impl<'a> CommitStatements<'a> {
    fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            put_document: connection.prepare_cached(sql::PUT_DOCUMENT)?,
            delete_document: connection.prepare_cached(sql::DELETE_DOCUMENT)?,
            put_entry: connection.prepare_cached(sql::PUT_ENTRY)?,
            delete_entry: connection.prepare_cached(sql::DELETE_ENTRY)?,
            put_log: connection.prepare_cached(sql::PUT_LOG)?,
            grow_tablet: connection.prepare_cached(sql::GROW_TABLET)?,
        })
    }

    fn write(
        &mut self,
        record: &CommitRecord,
        log_start: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let ts = stored(record.ts);
        for write in &record.documents {
            let (tablet, id) = (write.tablet.0, write.id.0.as_slice());
            match &write.value {
                Some(value) => self
                    .put_document
                    .execute((tablet, id, ts, value.as_ref()))?,
                None => self.delete_document.execute((tablet, id))?,
            };
        }
        for write in &record.indexes {
            write_entry(&mut self.put_entry, &mut self.delete_entry, write)?;
        }
        scratch.clear();
        log_entry::encode(&record.documents, scratch)?;
        // Eight exabytes are never written.
        let log_start = i64::try_from(log_start).unwrap_or(i64::MAX);
        self.put_log.execute((ts, log_start, scratch.as_slice()))?;
        Ok(())
    }
}

impl CommitStatements<'_> {
    /// Adds up what the records say, so that each tablet's row is written once.
    fn grow(&mut self, batch: &[CommitRecord]) -> rusqlite::Result<()> {
        let mut tablets: BTreeMap<TabletId, (i64, i64)> = BTreeMap::new();
        for growth in batch.iter().flat_map(|record| &record.growth) {
            let (documents, bytes) = tablets.entry(growth.tablet).or_default();
            *documents += growth.documents;
            *bytes += growth.bytes;
        }
        for (tablet, (documents, bytes)) in tablets {
            if (documents, bytes) != (0, 0) {
                self.grow_tablet.execute((tablet.0, documents, bytes))?;
            }
        }
        Ok(())
    }
}

fn write_entry(
    put: &mut CachedStatement<'_>,
    delete: &mut CachedStatement<'_>,
    write: &IndexWrite,
) -> rusqlite::Result<()> {
    match write.target {
        Some(id) => put.execute((write.index.0, write.key.as_slice(), id.0.as_slice()))?,
        None => delete.execute((write.index.0, write.key.as_slice()))?,
    };
    Ok(())
}

/// A failure within a transaction: SQLite's or ours.
enum WriteError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn stored(ts: Timestamp) -> i64 {
    i64::try_from(ts.0).unwrap_or(i64::MAX)
}

/// A counter as it is stored; never negative unless the file is corrupt.
fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn note_wal_pages(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
    Ok(())
}
