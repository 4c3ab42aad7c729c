//! Limits of one call that user code can see, and bounds of this crate.

/// Longest console line, all messages joined with spaces. Public name: log line length.
pub const LOG_LINE_BYTES_MAX: usize = 32_768;

/// Most console lines kept of an import; the call's own count is the host's.
pub const IMPORT_LOG_LINES_MAX: usize = 256;

/// Longest error message, cut beyond. Public name: error message length.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 65_536;

/// Adjacent reads that run as one batch.
pub const BATCH_MAX: usize = 16;

/// JavaScript heap of one call, beyond what its image holds. Public: 64 MiB.
pub const HEAP_BYTES: usize = 64 << 20;

/// Heap of the evaluation that makes an image.
pub const IMAGE_HEAP_BYTES: usize = 256 << 20;

/// Native stack one isolate may use. About 13,000 simple JavaScript frames.
pub const STACK_BYTES: usize = 8 << 20;

/// Native stack left to the host below an isolate's limit.
pub const STACK_RESERVE_BYTES: usize = 256 << 10;

/// Deepest nesting of calls on one thread (function-runtime §4), the outermost included.
pub const CALL_DEPTH_MAX: usize = 9;

/// Host calls one function may have queued at the same time.
pub const PENDING_CALLS_MAX: usize = 100_000;
