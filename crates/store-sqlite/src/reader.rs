//! Snapshots: one SQLite read transaction each.

use std::sync::Arc;

use bytes::Bytes;
use hull_store::{
    IndexDocument, IndexId, IndexRow, LogEntry, Order, Reader, StoreError, TabletId, TabletUsage,
};
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::checkpointer::leave_log_if_in_doubt;
use crate::connection::{self, Role};
use crate::error::{corrupt, store_error};
use crate::log_entry;
use crate::shared::Shared;
use crate::statements::{self, Scan};

/// Declared so that the connection closes before the file is unlocked.
pub(crate) struct SqliteReader {
    connection: Connection,
    has_snapshot: bool,
    shared: Arc<Shared>,
}

impl SqliteReader {
    pub(crate) fn open(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let connection = connection::open(&shared.path, &shared.options, Role::Reader)
            .map_err(|error| store_error("opening a reader", error))?;
        Ok(Self {
            connection,
            has_snapshot: false,
            shared: Arc::clone(shared),
        })
    }

    fn check_snapshot(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.has_snapshot {
            Ok(())
        } else {
            Err(StoreError::NoSnapshot { operation })
        }
    }

    fn begin_transaction(&self) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached(statements::BEGIN_READ)?
            .execute([])?;
        // SQLite takes its snapshot with the first read.
        newest_ts(&self.connection)
    }

    fn end_transaction(&self) -> rusqlite::Result<()> {
        if !self.connection.is_autocommit() {
            self.connection
                .prepare_cached(statements::COMMIT)?
                .execute([])?;
        }
        Ok(())
    }

    fn scan<T>(
        &self,
        operation: &'static str,
        scan: &Scan,
        bounds: Bounds<'_>,
        read_row: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.check_snapshot(operation)?;
        let failed = |error| store_error(operation, error);
        let sql = scan.sql(bounds.interval, bounds.order);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        bounds.bind(&mut statement).map_err(failed)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(read_row(row)?);
        }
        Ok(found)
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        self.end();
        leave_log_if_in_doubt(&self.connection, &self.shared);
    }
}

impl Reader for SqliteReader {
    fn begin(&mut self) -> Result<Timestamp, StoreError> {
        self.end();
        self.shared.gate.enter();
        self.has_snapshot = true;
        let newest = self
            .begin_transaction()
            .map_err(|error| store_error("begin", error))
            .and_then(|ts| ts.map_or(Ok(Timestamp(0)), timestamp));
        if newest.is_err() {
            self.end();
        }
        newest
    }

    fn end(&mut self) {
        if !self.has_snapshot {
            return;
        }
        self.has_snapshot = false;
        // Ending a transaction that only read touches no file; if it fails
        // all the same, the next `begin` reports that one is still open.
        if let Err(error) = self.end_transaction() {
            tracing::error!(%error, "cannot end a snapshot");
        }
        self.shared.gate.leave();
    }

    fn get(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<(Timestamp, Bytes)>, StoreError> {
        let operation = "get";
        self.check_snapshot(operation)?;
        let failed = |error| store_error(operation, error);
        let mut statement = self
            .connection
            .prepare_cached(statements::GET)
            .map_err(failed)?;
        let mut rows = statement
            .query((tablet.0, id.0.as_slice()))
            .map_err(failed)?;
        match rows.next().map_err(failed)? {
            Some(row) => Ok(Some((timestamp_at(row, 0)?, bytes_at(row, 1)?))),
            None => Ok(None),
        }
    }

    fn scan_index(
        &mut self,
        index: IndexId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexRow>, StoreError> {
        let bounds = Bounds {
            tree: index.0,
            interval,
            order,
            limit,
            tablet: None,
        };
        self.scan("scan_index", &statements::SCAN_INDEX, bounds, |row| {
            Ok(IndexRow {
                key: blob_at(row, 0)?.to_vec(),
                id: id_at(row, 1)?,
            })
        })
    }

    fn scan_index_documents(
        &mut self,
        index: IndexId,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexDocument>, StoreError> {
        let bounds = Bounds {
            tree: index.0,
            interval,
            order,
            limit,
            tablet: Some(tablet),
        };
        let scan = &statements::SCAN_INDEX_DOCUMENTS;
        self.scan("scan_index_documents", scan, bounds, |row| {
            if matches!(row.get_ref(2), Ok(rusqlite::types::ValueRef::Null)) {
                return Err(corrupt(format!(
                    "index {} points to a document that tablet {} does not have",
                    index.0, tablet.0
                )));
            }
            Ok(IndexDocument {
                key: blob_at(row, 0)?.to_vec(),
                id: id_at(row, 1)?,
                ts: timestamp_at(row, 2)?,
                value: bytes_at(row, 3)?,
            })
        })
    }

    fn scan_tablet(
        &mut self,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(InternalId, Timestamp, Bytes)>, StoreError> {
        let bounds = Bounds {
            tree: tablet.0,
            interval,
            order,
            limit,
            tablet: None,
        };
        self.scan("scan_tablet", &statements::SCAN_TABLET, bounds, |row| {
            Ok((id_at(row, 0)?, timestamp_at(row, 1)?, bytes_at(row, 2)?))
        })
    }

    fn tablet_usage(&mut self, tablet: TabletId) -> Result<TabletUsage, StoreError> {
        let operation = "tablet_usage";
        self.check_snapshot(operation)?;
        let read = || {
            self.connection
                .prepare_cached(statements::TABLET_USAGE)?
                .query_row([tablet.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        let (documents, bytes) = read()
            .map_err(|error| store_error(operation, error))?
            .unwrap_or_default();
        Ok(TabletUsage::default().grown_by(documents, bytes))
    }

    fn log_start(&mut self) -> Result<Timestamp, StoreError> {
        let operation = "log_start";
        self.check_snapshot(operation)?;
        let oldest: Option<(i64, i64)> = self
            .connection
            .prepare_cached(statements::OLDEST_LOG)
            .and_then(|mut statement| {
                let row = statement.query_row((i64::MAX, 1), |row| Ok((row.get(0)?, row.get(1)?)));
                row.optional()
            })
            .map_err(|error| store_error(operation, error))?;
        match oldest {
            // The count of bytes begins with the first entry there ever was.
            Some((ts, start)) if start > 0 => timestamp(ts - 1),
            _ => Ok(Timestamp(0)),
        }
    }

    fn read_log(&mut self, after: Timestamp, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let operation = "read_log";
        self.check_snapshot(operation)?;
        let failed = |error| store_error(operation, error);
        let mut statement = self
            .connection
            .prepare_cached(statements::READ_LOG)
            .map_err(failed)?;
        // Nothing is stored above `i64::MAX`.
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let mut rows = statement.query((after, limit_i64(limit))).map_err(failed)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            entries.push(LogEntry {
                ts: timestamp_at(row, 0)?,
                documents: log_entry::decode(bytes_at(row, 1)?)?,
            });
        }
        Ok(entries)
    }

    fn global(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let operation = "global";
        self.check_snapshot(operation)?;
        self.connection
            .prepare_cached(statements::GLOBAL)
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
            .map_err(|error| store_error(operation, error))
    }
}

/// Where a scan goes.
struct Bounds<'a> {
    /// The tablet or index whose rows are scanned.
    tree: u32,
    interval: &'a Interval,
    order: Order,
    limit: usize,
    /// The tablet to join, if any.
    tablet: Option<TabletId>,
}

impl Bounds<'_> {
    fn bind(&self, statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(1, self.tree)?;
        statement.raw_bind_parameter(2, self.interval.start.as_slice())?;
        statement.raw_bind_parameter(3, limit_i64(self.limit))?;
        let mut next = 4;
        if let Some(tablet) = self.tablet {
            statement.raw_bind_parameter(next, tablet.0)?;
            next += 1;
        }
        if let Some(end) = &self.interval.end {
            statement.raw_bind_parameter(next, end.as_slice())?;
        }
        Ok(())
    }
}

/// Returns the timestamp of the newest commit, `None` before the first.
pub(crate) fn newest_ts(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(statements::NEWEST_TS)?
        .query_row([], |row| row.get(0))
}

pub(crate) fn timestamp(stored: i64) -> Result<Timestamp, StoreError> {
    u64::try_from(stored)
        .map(Timestamp)
        .map_err(|_| corrupt("negative timestamp"))
}

fn limit_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn timestamp_at(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    let stored = row
        .get(column)
        .map_err(|_| corrupt("a timestamp that is not a number"))?;
    timestamp(stored)
}

fn blob_at<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], StoreError> {
    row.get_ref(column)
        .ok()
        .and_then(|value| value.as_blob().ok())
        .ok_or_else(|| corrupt("a column that is not bytes"))
}

fn bytes_at(row: &Row<'_>, column: usize) -> Result<Bytes, StoreError> {
    blob_at(row, column).map(Bytes::copy_from_slice)
}

fn id_at(row: &Row<'_>, column: usize) -> Result<InternalId, StoreError> {
    blob_at(row, column)?
        .try_into()
        .map(InternalId)
        .map_err(|_| corrupt("an id that is not 16 bytes long"))
}
