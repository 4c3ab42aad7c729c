//! Opens SQLite connections, each tuned for its role.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::SqliteOptions;

/// How long a connection waits for a lock that another program holds (for
/// example a backup tool). Within this process, turns are taken before.
const FOREIGN_LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// More than the distinct statements of any role.
const STATEMENT_CACHE_LEN: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

/// Opens a connection on an existing data file that has been checked and locked.
pub(crate) fn open(
    path: &Path,
    options: &SqliteOptions,
    role: Role,
) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(FOREIGN_LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_LEN);
    // `wal_autocheckpoint=0`: commits never pay for a checkpoint.
    // `fullfsync`: on Apple systems a plain fsync does not reach the disk.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;",
    )?;
    let cache_bytes = match role {
        Role::Writer => options.writer_cache_bytes,
        Role::Reader => options.reader_cache_bytes,
        // Copies from file to file; needs only the pages of the schema.
        Role::Checkpointer => 64 * 1024,
    };
    // A negative cache size is in KiB rather than pages.
    let cache_kib = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    match role {
        Role::Reader => {
            connection.pragma_update(None, "query_only", true)?;
            let map_bytes = i64::try_from(options.reader_map_bytes).unwrap_or(i64::MAX);
            connection.pragma_update_and_check(None, "mmap_size", map_bytes, |_| Ok(()))?;
        }
        Role::Writer => {
            if let Some(limit_bytes) = options.file_limit_bytes {
                let pages = limit_bytes / u64::from(crate::format::PAGE_LEN);
                let pages = i64::try_from(pages).unwrap_or(i64::MAX);
                connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            }
        }
        Role::Checkpointer => {}
    }
    Ok(connection)
}
