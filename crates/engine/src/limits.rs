//! Limits that user code can run into, and the texts that name them
//! (data model spec 8, function runtime spec 4).

use hull_value::{CodedError, ErrorClass};

/// Documents one function may read.
pub const DOCUMENTS_READ_MAX: usize = 32_000;
/// Bytes of documents one function may read.
pub const BYTES_READ_MAX: usize = 16 << 20;
/// Distinct index intervals one function may read.
pub const INTERVALS_READ_MAX: usize = 4_096;
/// Calls of insert, patch, replace and delete in one mutation.
pub const DOCUMENTS_WRITTEN_MAX: usize = 16_000;
/// Bytes of documents one mutation may write.
pub const BYTES_WRITTEN_MAX: usize = 16 << 20;
/// Functions one mutation may schedule.
pub const FUNCTIONS_SCHEDULED_MAX: usize = 1_000;
/// Bytes of their arguments.
pub const SCHEDULED_BYTES_MAX: usize = 16 << 20;
/// Files read or written whole by one mutation (`ctx.storage.get` and `store`).
pub const FILES_MAX: usize = 1_000;
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// Rows that one transaction may write to tables of the system.
pub const SYSTEM_ROWS_WRITTEN_MAX: usize = 40_000;
/// Bytes of those.
pub const SYSTEM_BYTES_WRITTEN_MAX: usize = 128 << 20;
/// User tables of a deployment, all namespaces together.
pub const TABLES_MAX: usize = 10_000;
/// Commits that may be validated and not yet durable.
pub const COMMITS_IN_FLIGHT_MAX: usize = 512;
/// Memory that those may take. One that is larger goes alone.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// How long a commit waits for a place in that queue.
pub const COMMIT_QUEUE_WAIT: std::time::Duration = std::time::Duration::from_millis(500);
/// How long a commit that is not a function's waits for the serial lane.
pub const LANE_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
/// How long the lane's next holder leaves those waiting commits time to go first.
pub const LANE_YIELD: std::time::Duration = std::time::Duration::from_millis(10);
/// How far back a snapshot may be asked for.
pub const WINDOW_AGE_NANOS: u64 = 10_000_000_000;
/// How long it is remembered that a commit was not stored: longer than any
/// transaction lasts that may have seen it.
pub const ABORTED_AGE_NANOS: u64 = 120_000_000_000;
/// Memory the window of recent commits may hold before its oldest are dropped early.
pub const WINDOW_BYTES_MAX: usize = 48 << 20;

/// How much of the past the log keeps, for what reads history by timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Revisions superseded longer ago than this are forgotten.
    pub age_nanos: u64,
    /// Bytes of log kept at least, if they are young enough; as many as the
    /// rest of the data takes where that is more. Pages that entries fill only
    /// by half included, a file is about three times its live data at most.
    pub bytes_floor: u64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        HistoryLimits {
            age_nanos: 14 * 24 * 3_600 * 1_000_000_000,
            bytes_floor: 64 << 20,
        }
    }
}

const READ_HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";

fn pagination_limit(code: &'static str, message: String) -> CodedError {
    CodedError {
        class: ErrorClass::PaginationLimit,
        code: code.into(),
        message,
        data: None,
    }
}

pub fn too_many_documents_read(limit: usize) -> CodedError {
    pagination_limit(
        "TooManyDocumentsRead",
        format!(
            "Too many documents read in a single function execution (limit: {limit}). {READ_HELP}"
        ),
    )
}

pub fn too_many_bytes_read(limit: usize) -> CodedError {
    pagination_limit(
        "TooManyBytesRead",
        format!(
            "Too many bytes read in a single function execution (limit: {limit} bytes). {READ_HELP}"
        ),
    )
}

pub fn too_many_reads(limit: usize) -> CodedError {
    pagination_limit(
        "TooManyReads",
        format!("Too many reads in a single function execution (limit: {limit}). {READ_HELP}"),
    )
}

pub fn too_many_writes(limit: usize) -> CodedError {
    pagination_limit(
        "TooManyWrites",
        format!("Too many writes in a single function execution (limit: {limit})"),
    )
}

pub fn too_many_scheduled(limit: usize) -> CodedError {
    pagination_limit(
        "TooManyFunctionsScheduled",
        format!("Too many functions scheduled by this mutation (limit: {limit})"),
    )
}

pub fn too_large_scheduled(limit: usize) -> CodedError {
    pagination_limit(
        "ScheduledFunctionsArgumentsTooLarge",
        format!(
            "Too large total size of the arguments of scheduled functions from this mutation (limit: {limit} bytes)"
        ),
    )
}

/// `verb` is `read` or `written`.
pub fn too_many_files(verb: &str, limit: usize) -> CodedError {
    pagination_limit(
        match verb {
            "read" => "TooManyFilesRead",
            _ => "TooManyFilesWritten",
        },
        format!("Too many files {verb} in a single function execution (limit: {limit})"),
    )
}

pub fn too_many_file_bytes(verb: &str, limit: usize) -> CodedError {
    pagination_limit(
        match verb {
            "read" => "TooManyFileBytesRead",
            _ => "TooManyFileBytesWritten",
        },
        format!(
            "Too many bytes of files {verb} in a single function execution (limit: {})",
            hull_value::format_size(limit)
        ),
    )
}

pub fn too_many_bytes_written(limit: usize) -> CodedError {
    pagination_limit(
        "TooManyBytesWritten",
        format!(
            "Too many bytes written in a single function execution (limit: {})",
            hull_value::format_size(limit)
        ),
    )
}
