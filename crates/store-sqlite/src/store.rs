//! Opening a data file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hull_store::{Reader, Store, StoreError, Writer};
use rusqlite::Connection;

use crate::checkpointer::Checkpointer;
use crate::connection::{self, Role};
use crate::error::store_error;
use crate::format::{self, FORMAT_VERSION};
use crate::header::{self, io_error};
use crate::lock::DataFileLock;
use crate::reader::SqliteReader;
use crate::shared::Shared;
use crate::writer::SqliteWriter;
use crate::{OpenError, SqliteOptions};

/// A data file, open and locked.
///
/// Dropping it stops and joins its background thread. Readers and the writer
/// may live on (without checkpoints); the file is unlocked with the last.
#[derive(Debug)]
pub struct SqliteStore {
    /// Dropped first: it uses what is shared.
    _checkpointer: Checkpointer,
    shared: Arc<Shared>,
}

impl SqliteStore {
    /// Opens the data file at `path`, creating it and its directory if absent.
    ///
    /// A file that is not ours, or is damaged, or comes from a newer version,
    /// is refused as it is.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = resolve(path)?;
        // Look before locking, so that no lock file appears beside a foreign
        // file. But where there is a lock file, lock before looking: another
        // store in this process may have the file open, and closing our
        // descriptor of it would drop the locks of its connections.
        if !DataFileLock::exists(&path) {
            header::check(&path)?;
        }
        if let Some(directory) = path.parent() {
            format::create_directory(directory)?;
        }
        let mut lock = DataFileLock::acquire(&path)?;
        let exists = header::check(&path)?;
        lock.sign(&path)?;
        if !exists {
            format::create(&path)?;
        }
        let shared = Arc::new(Shared::new(path, options, lock));
        let to_open_error = |source| OpenError::Store {
            path: shared.path.clone(),
            source,
        };
        let connection = recover(&shared).map_err(to_open_error)?;
        let checkpointer = Checkpointer::start(&shared, connection).map_err(to_open_error)?;
        Ok(Self {
            _checkpointer: checkpointer,
            shared,
        })
    }

    /// Returns the absolute path of the data file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }
}

impl Store for SqliteStore {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.shared)?))
    }

    fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        if self.shared.has_writer.swap(true, Ordering::AcqRel) {
            return Err(StoreError::WriterTaken);
        }
        match SqliteWriter::open(&self.shared) {
            Ok(writer) => Ok(Box::new(writer)),
            Err(error) => {
                self.shared.has_writer.store(false, Ordering::Release);
                Err(error)
            }
        }
    }
}

/// Resolves links, so that two names of one file share one lock.
fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    if let Ok(resolved) = fs::canonicalize(path) {
        return Ok(resolved);
    }
    std::path::absolute(path).map_err(|source| io_error("resolve", path, source))
}

/// Recovers the file from its write-ahead log, if there is one, and checks
/// that SQLite agrees with what the header said. Returns the connection of the
/// checkpointer, which stays open as long as the store.
fn recover(shared: &Shared) -> Result<Connection, StoreError> {
    let read = || {
        let connection = connection::open(&shared.path, &shared.options, Role::Checkpointer)?;
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        }
        let version_of = || connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        let mut version: u32 = version_of()?;
        if (1..FORMAT_VERSION).contains(&version) {
            format::upgrade(&connection, version)?;
            version = version_of()?;
        }
        Ok((connection, version))
    };
    let (connection, version) =
        read().map_err(|error| store_error("opening the data file", error))?;
    if version != FORMAT_VERSION {
        return Err(StoreError::Corrupt {
            detail: format!("format version {version} in the write-ahead log"),
        });
    }
    Ok(connection)
}
