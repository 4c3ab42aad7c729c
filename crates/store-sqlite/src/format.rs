//! What is on the disk.
//!
//! An SQLite database in WAL mode with `application_id` "HULL" and
//! `user_version` = format version. Version 3:
//!
//! ```sql
//! documents(tablet, id, ts, value)    -- current revisions, an index by (tablet, id)
//! index_entries(index_id, key, id)    -- by (index_id, key), memcmp order
//! log(ts, start, entry)               -- all revisions of a commit, log_entry.rs
//! tablets(tablet, documents, bytes)   -- how much each tablet holds
//! globals(key, value)
//! ```
//!
//! `documents` is an ordinary table, its rows in the order they were first
//! written, found through a small index. In a `WITHOUT ROWID` tree, which
//! version 1 used, a search compares whole rows on its way down, and each row
//! longer than a quarter of a page is read from its overflow pages for that:
//! next to a few large documents, every read cost ten system calls.
//! `index_entries` is `WITHOUT ROWID`: its rows are little more than keys.
//! `log` is an ordinary table because its key is an integer that only grows:
//! appending fills the last page of the tree. `start` counts the bytes of all
//! entries ever appended before this one: the length of the log is the
//! difference of its ends, whatever was trimmed; whether anything
//! was shows in the oldest entry. Timestamps are stored as signed
//! 64-bit integers, which they fit by definition.
//!
//! Pages are 4096 bytes, the unit of the file cache and of most disks: a
//! commit writes each page it touches whole to the log, and documents with
//! random ids touch one page of the index each.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::OpenError;
use crate::error::store_error;
use crate::header::{beside, io_error};

pub(crate) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"HULL");
pub(crate) const FORMAT_VERSION: u32 = 3;
pub(crate) const PAGE_LEN: u32 = 4096;

const SCHEMA: &str = "
CREATE TABLE documents(
  tablet INTEGER NOT NULL,
  id BLOB NOT NULL,
  ts INTEGER NOT NULL,
  value BLOB NOT NULL,
  UNIQUE(tablet, id)
) STRICT;
CREATE TABLE index_entries(
  index_id INTEGER NOT NULL,
  key BLOB NOT NULL,
  id BLOB NOT NULL,
  PRIMARY KEY(index_id, key)
) WITHOUT ROWID, STRICT;
CREATE TABLE log(ts INTEGER PRIMARY KEY, start INTEGER NOT NULL, entry BLOB NOT NULL) STRICT;
CREATE TABLE tablets(
  tablet INTEGER PRIMARY KEY,
  documents INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE globals(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
";

/// Creates an empty data file at `path`, which must be locked and absent.
///
/// It is built under another name and renamed when complete and synced, so a
/// file at `path` always has our magic: a crash in here leaves only a stray
/// that the next attempt removes.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let draft = beside(path, ".new");
    for stray in [
        draft.clone(),
        beside(&draft, "-wal"),
        beside(&draft, "-shm"),
        beside(&draft, "-journal"),
    ] {
        match fs::remove_file(&stray) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &stray, error));
            }
            _ => {}
        }
    }
    build(&draft).map_err(|error| OpenError::Store {
        path: draft.clone(),
        source: store_error("creating the data file", error),
    })?;
    File::open(&draft)
        .and_then(|file| file.sync_all())
        .map_err(|source| io_error("sync", &draft, source))?;
    fs::rename(&draft, path)
        .map_err(|source| io_error("rename the new data file to", path, source))?;
    sync_parent(path)
}

fn build(draft: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(
        draft,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Nobody relies on the draft before it is complete and synced as a whole.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "page_size", PAGE_LEN)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT_VERSION)?;
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

/// Brings a data file of an older version up to this one, in one transaction:
/// a crash in the middle leaves the old file.
pub(crate) fn upgrade(connection: &Connection, from: u32) -> rusqlite::Result<()> {
    tracing::info!(from, to = FORMAT_VERSION, "upgrading the data file");
    connection.execute_batch("BEGIN IMMEDIATE")?;
    if from < 2 {
        connection.execute_batch(TO_VERSION_2)?;
    }
    connection.execute_batch(TO_VERSION_3)?;
    connection.pragma_update(None, "user_version", FORMAT_VERSION)?;
    connection.execute_batch("COMMIT")
}

const TO_VERSION_2: &str = "
ALTER TABLE documents RENAME TO documents_1;
CREATE TABLE documents(
  tablet INTEGER NOT NULL,
  id BLOB NOT NULL,
  ts INTEGER NOT NULL,
  value BLOB NOT NULL,
  UNIQUE(tablet, id)
) STRICT;
INSERT INTO documents(tablet, id, ts, value) SELECT tablet, id, ts, value FROM documents_1;
DROP TABLE documents_1;
ALTER TABLE log RENAME TO log_1;
CREATE TABLE log(ts INTEGER PRIMARY KEY, start INTEGER NOT NULL, entry BLOB NOT NULL) STRICT;
INSERT INTO log(ts, start, entry)
  SELECT ts, sum(length(entry)) OVER (ORDER BY ts) - length(entry), entry FROM log_1;
DROP TABLE log_1;
";

const TO_VERSION_3: &str = "
CREATE TABLE tablets(
  tablet INTEGER PRIMARY KEY,
  documents INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
INSERT INTO tablets(tablet, documents, bytes)
  SELECT tablet, count(*), sum(length(value)) FROM documents GROUP BY tablet;
";

/// Creates a directory and its missing parents, durably.
pub(crate) fn create_directory(directory: &Path) -> Result<(), OpenError> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_directory(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io_error("create the directory", directory, error));
        }
        _ => {}
    }
    sync_parent(directory)
}

/// Makes the directory entry of `path` durable.
fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // Windows cannot sync directories and does not need to.
    if cfg!(windows) {
        return Ok(());
    }
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| io_error("sync the directory", parent, source))
}
