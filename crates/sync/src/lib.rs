//! The sync WebSocket protocol as a pure state machine.
//!
//! One [`Session`] per connection turns text frames, completions, wake-ups and clock ticks into a
//! list of [`Effect`]s. It is deliberately *not* a transport (no sockets, no WebSocket framing),
//! not a runner (it never looks inside arguments or results: both are encoded JSON text) and not an
//! authority on tokens. It reads no clock: every input carries a [`Now`].
//!
//! Start reading at [`Session`], then [`Effect`] for what the owner of a session has to do, then
//! [`QueryResult`] for how one result is shared by thousands of sessions.
//!
//! Invariants:
//! * The `startVersion` of a transition is exactly the `endVersion` of the previous one; `ts` never
//!   decreases.
//! * After every mutation or action response a transition follows, with `ts` at or past the commit.
//! * Mutations start one at a time, in the order received.
//! * A response is only sent for a request that is outstanding on this connection.
//! * Every queue is bounded (`limits`); nothing a client sends can cause a panic.
//! * After [`Effect::Close`] a session has no further effects.

mod access;
mod chunks;
mod client_version;
mod close;
mod effect;
mod frame;
mod function_request_id;
mod json_text;
pub mod limits;
pub mod messages;
mod now;
mod query_result;
mod session;
mod udf_path;

pub use client_version::{ClientVersion, ClientVersionError, SemVer};
pub use close::{Close, close_for_error};
pub use effect::{
    ActionOutcome, Completed, Effect, FunctionRequest, MutationOutcome, QueryRequest, Subscription,
    UpdateRequest, UpdateResult, VerifiedIdentity,
};
pub use frame::{Frame, FrameKind};
pub use function_request_id::FunctionRequestId;
pub use messages::{AuthToken, ClientMessage, ProtocolError, QueryId, RequestId, StateVersion};
pub use now::Now;
pub use query_result::{ContentHash, FunctionFailure, QueryResult};
pub use session::{Session, SessionConfig};
pub use udf_path::{UdfPath, UdfPathError};
