//! Limits that clients can meet, and the intervals of the protocols.

use std::time::Duration;

/// Largest frame a client may send on a socket. As large as a message: browsers
/// send one frame per message, and arguments past their own limit have to reach
/// the answer that names it.
pub const WS_FRAME_SIZE_MAX: usize = 64 << 20;
/// Largest message, fragments together.
pub const WS_MESSAGE_SIZE_MAX: usize = 64 << 20;

/// Body of a function call: 16 MiB of arguments and room for the fields around them.
pub const FUNCTION_BODY_SIZE_MAX: usize = (16 << 20) + 2000;
/// Body of a push, counted after decompression (`MAX_PUSH_BYTES`).
pub const PUSH_BODY_SIZE_MAX: usize = 200_000_000;
/// Body of `POST /echo`.
pub const ECHO_BODY_SIZE_MAX: usize = 128 << 20;
/// Body of every other endpoint.
pub const OTHER_BODY_SIZE_MAX: usize = 2 << 20;

/// How much of a body that is refused for its length is still read, so that the refusal arrives.
pub const BODY_DISCARDED_MAX: usize = 64 << 20;

/// How long one HTTP request may take altogether.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a request's headers may take; also how long an unused connection is kept.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request's body may stand still.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a log poll waits for something new.
pub const LOG_POLL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long `wait_for_schema` waits when the request does not say.
pub const SCHEMA_WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest wait `wait_for_schema` grants; below [`REQUEST_TIMEOUT`].
pub const SCHEMA_WAIT_MAX: Duration = Duration::from_secs(240);

/// Error messages are cut at this many bytes.
pub const ERROR_MESSAGE_LEN_MAX: usize = 65_536;
/// Most queries in one `query_batch`.
pub const QUERY_BATCH_LEN_MAX: usize = 1000;

/// Mutations of one socket that wait for their turn (public name: `TooManyConcurrentMutations`).
pub const PENDING_MUTATIONS_MAX: usize = 1000;
/// Actions of one socket that run at the same time.
pub const INFLIGHT_ACTIONS_MAX: usize = 1000;

/// How long open connections may take to end after a shutdown was asked for.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
