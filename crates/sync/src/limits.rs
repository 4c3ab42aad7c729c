//! Limits and intervals of the sync protocol.

use std::time::Duration;

/// Most modifications in one `ModifyQuerySet`.
pub const MODIFICATIONS_PER_MESSAGE_MAX: usize = 10_000;
/// Most queries one connection may hold. Past it the connection ends with a `FatalError`.
pub const QUERIES_MAX: usize = 10_000;
/// Most modifications that wait for the next transition to start (a slow reader holds it back).
pub const PENDING_MODIFICATIONS_MAX: usize = 20_000;
/// Most argument bytes that the queries of one connection may hold, pending ones included.
pub const QUERY_ARGS_BYTES_MAX: usize = 128 << 20;

/// Most mutations that wait or run on one connection (`TooManyConcurrentMutations`).
pub const MUTATIONS_MAX: usize = 1000;
/// Most argument bytes of waiting mutations (`TooManyConcurrentMutations`).
pub const MUTATION_ARGS_BYTES_MAX: usize = 128 << 20;
/// Most actions in flight on one connection, answers that were not read included
/// (`TooManyInflightActionsForSingleClient`).
pub const ACTIONS_MAX: usize = 1000;

/// Frames and bytes that may wait while a token is verified. The transport stops reading at this
/// point (`Session::accepts_frames`); a frame pushed past it ends the connection.
pub const INBOX_FRAMES_MAX: usize = 2048;
pub const INBOX_BYTES_MAX: usize = 128 << 20;

/// Transitions that may wait to be written; at this point intermediate states are skipped.
pub const TRANSITIONS_WAITING_MAX: usize = 2;
/// Responses that may wait to be written; at this point the next mutation is not started.
pub const RESPONSES_WAITING_MAX: usize = 64;
/// Response bytes that may wait to be written; at this point the next mutation is not started.
pub const RESPONSE_BYTES_WAITING_MAX: usize = 64 << 20;

/// A transition larger than this is split for clients that understand chunks; also the size of a chunk.
pub const TRANSITION_CHUNK_BYTES: usize = 5_000_000;
/// An error message is cut at this many bytes.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 65_536;
/// The text of a `FatalError` about a message is cut at this many bytes.
pub const FATAL_ERROR_BYTES_MAX: usize = 1024;
/// The reason of a close frame is cut at this many bytes (RFC 6455).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;
/// Longest piece of client text quoted in an error message.
pub const QUOTED_TEXT_BYTES_MAX: usize = 256;
/// Longest module path component and longest function name in a function path.
pub const PATH_COMPONENT_CHARS_MAX: usize = 64;

/// An application-level `Ping` is sent when nothing else was for this long.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A WebSocket ping frame is sent this often.
pub const WEB_SOCKET_PING_INTERVAL: Duration = Duration::from_secs(5);
/// A client that sends nothing, pongs included, for this long is dropped.
pub const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(120);
/// Admin identities older than this are verified again before they are used.
pub const ADMIN_REVALIDATION_AGE: Duration = Duration::from_secs(60);
/// A token verification or a running mutation that takes longer ends the connection; the client
/// reconnects and replays.
pub const WORK_WALL_MAX: Duration = Duration::from_secs(60);
/// How long a running mutation may hold back transitions (see `Session`, rule 1.6.3).
pub const MUTATION_HOLD_MAX: Duration = Duration::from_millis(100);
/// When queries left out of a transition (feature temporarily unavailable) are tried again.
pub const DEFERRED_RETRY: Duration = Duration::from_secs(3);
