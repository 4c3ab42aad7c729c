use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use hull_value::{CodedError, Timestamp};
use uuid::Uuid;

use crate::{
    close::Close,
    frame::Frame,
    function_request_id::FunctionRequestId,
    messages::{AuthToken, QueryId, RequestId},
    query_result::{FunctionFailure, QueryResult},
    udf_path::UdfPath,
};

/// Something the owner of a session has to do. Effects are carried out in the order given.
#[derive(Debug)]
pub enum Effect<I> {
    /// Send a text frame; report it with `Session::frame_written` when it has left the send queue.
    Send(Frame),
    /// Send a WebSocket ping frame. At most one needs to wait in the send queue.
    WebSocketPing,
    /// Verify a token and answer with `Session::token_verified`. At most one is outstanding.
    VerifyToken(Arc<AuthToken>),
    /// Change the subscriptions, compute all of them at one timestamp, and answer with
    /// `Session::update_computed` or `update_failed`. At most one is outstanding.
    Update(UpdateRequest<I>),
    /// Run a mutation and answer with `Session::mutation_done`. At most one is outstanding.
    StartMutation(FunctionRequest<I>),
    /// Run an action and answer with `Session::action_done`. Many are outstanding.
    StartAction(FunctionRequest<I>),
    /// Send what is queued, close the socket, drop everything that belongs to the session.
    /// Nothing follows.
    Close(Close),
}

/// A computation of the next transition.
#[derive(Debug)]
pub struct UpdateRequest<I> {
    /// Whose results: all queries of the session run under it.
    pub identity: I,
    /// Queries to drop, before the new ones are taken.
    pub unsubscribe: Vec<QueryId>,
    /// Queries to take. One that is already subscribed is replaced (the identity changed).
    pub subscribe: Vec<Subscription>,
    /// The timestamp to choose may not be lower.
    pub at_least: Timestamp,
}

/// One query to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub query_id: QueryId,
    pub request: Arc<QueryRequest>,
    /// Journal of the last run, from this connection or from the client's previous one.
    pub journal: Option<Arc<str>>,
}

/// What a query asks, shared between the session and the runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRequest {
    pub path: UdfPath,
    /// Path of the component, `None` for the root.
    pub component_path: Option<Box<str>>,
    /// Arguments as JSON text: an array of exactly the positional arguments.
    pub args: Arc<str>,
}

/// One mutation or action to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRequest<I> {
    /// With `request_id` the key under which a mutation is executed at most once.
    pub session_id: Uuid,
    pub request_id: RequestId,
    /// Shown in errors and logs.
    pub function_request_id: FunctionRequestId,
    pub path: UdfPath,
    /// Path of the component, `None` for the root.
    pub component_path: Option<Box<str>>,
    /// Arguments as JSON text: an array of exactly the positional arguments.
    pub args: Arc<str>,
    /// The identity of the connection when the request arrived.
    pub identity: I,
}

/// The answer to [`Effect::VerifyToken`].
#[derive(Clone, Debug)]
pub struct VerifiedIdentity<I> {
    pub identity: I,
    /// Whether system functions and components may be called. An admin that acts as a user keeps the
    /// rights of an admin. Admins are verified again when older than a minute.
    pub is_admin: bool,
    /// Expiry of the token, nanoseconds since the Unix epoch.
    pub expires_at_ns: Option<u64>,
}

/// The answer to [`Effect::Update`].
#[derive(Clone, Debug)]
pub struct UpdateResult {
    /// The one timestamp at which all results hold.
    pub ts: Timestamp,
    /// Results of all queries of `subscribe`, and of those that ran again. Unchanged ones may be
    /// left out or handed in again: what the client has already is not sent twice.
    pub results: Vec<(QueryId, Arc<QueryResult>)>,
    /// Queries without a result for now (feature temporarily unavailable); tried again in 3 s.
    pub deferred: BTreeSet<QueryId>,
}

/// What a function run left for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The encoded JSON value, or the error.
    pub result: Result<Bytes, FunctionFailure>,
    pub log_lines: Vec<String>,
}

/// The answer to [`Effect::StartMutation`].
#[derive(Debug)]
pub enum MutationOutcome {
    /// It committed, or had committed before under the same key.
    Committed {
        ts: Timestamp,
        value: Bytes,
        log_lines: Vec<String>,
    },
    /// The function failed: nothing was written.
    Failed {
        failure: FunctionFailure,
        log_lines: Vec<String>,
    },
    /// The server failed. Deterministic errors are answered, others end the connection and the
    /// client replays the mutation.
    Error(CodedError),
}

/// The answer to [`Effect::StartAction`].
#[derive(Debug)]
pub enum ActionOutcome {
    Completed(Completed),
    /// The server failed, see [`MutationOutcome::Error`].
    Error(CodedError),
}
