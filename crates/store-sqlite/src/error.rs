//! Errors of opening, and SQLite's errors in the store's terms.

use std::io;
use std::path::PathBuf;

use hull_store::StoreError;
use rusqlite::ErrorCode;

/// Why a data file was not opened. Whatever the reason, an existing file is
/// as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "`{}` is not a Hull data file ({found}), so it was left untouched: choose another path",
        path.display()
    )]
    Foreign { path: PathBuf, found: &'static str },
    #[error(
        "`{}` was written by a newer version of Hull (file format {found}, this version reads up to {supported}), \
         so it was left untouched: use the newer version",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error("`{}` is damaged ({detail}), so it was left untouched: restore a backup", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("`{}` is already in use by another process{holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot open `{}`: {source}", path.display())]
    Store { path: PathBuf, source: StoreError },
}

/// Translates a failure of reading, or of a write that was not kept.
pub(crate) fn store_error(operation: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
            detail: error.to_string(),
        },
        _ => StoreError::Io {
            operation,
            reason: describe(&error),
        },
    }
}

/// Translates a failure of the final step of a transaction.
///
/// Only a full disk is certain: the frame that completes a commit is written
/// last, so without space for it there is no commit. After any other failure
/// the frame may be on the disk although its sync failed, and a second sync
/// would succeed without having written anything.
pub(crate) fn commit_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        _ => StoreError::OutcomeUnknown {
            reason: describe(&error),
        },
    }
}

/// The text of an error with SQLite's extended code, which tells a failed
/// sync from a failed write.
pub(crate) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(inner) => format!("{error} (SQLite code {})", inner.extended_code),
        None => error.to_string(),
    }
}

pub(crate) fn corrupt(detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        detail: detail.into(),
    }
}
