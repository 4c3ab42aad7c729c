//! Running user functions end to end.
//!
//! A [`Deployment`] is a value, not a process: name, secret, engine, worker
//! threads, JavaScript images, live queries and logs all hang off it, and two
//! of them in one process never see each other.
//!
//! What this crate is: executing queries and mutations (argument and return
//! validation, host calls, nested calls, retries), the registry of live
//! queries, pushing code and schemas, the native `_system/*` functions and the
//! log stream.
//!
//! What it is **not**: HTTP, WebSockets, or admin-key cryptography (`server`),
//! protocol state (`sync`), storage (`store`), transactions (`engine`).
//!
//! Start reading at [`deployment`], then `runner`, `live`, `push`.
//!
//! Invariants:
//! * every call runs in a pristine isolate on one exact snapshot;
//! * a mutation's answer leaves only after its commit (and everything it read)
//!   is durable;
//! * all results handed out by one evaluation are of one timestamp;
//! * a result is shared only with callers for whom it is the right answer
//!   (data model spec 6.7).

mod actions;
pub mod call;
mod clock;
mod components;
mod crons;
mod cursors;
pub mod deployment;
pub mod environment;
mod execution;
pub mod files;
mod functions;
mod host;
pub mod http_action;
pub mod identity;
mod images;
pub mod live;
pub mod logs;
mod modules;
mod mutations;
mod push;
mod runner;
mod scheduler;
mod sources;
mod system_functions;
mod workers;

pub use call::{
    Caller, FunctionCall, FunctionError, FunctionOutcome, FunctionResult, MutationOutcome,
    RequestOrigin, SessionRequest,
};
pub use clock::random_request_id;
pub use deployment::{
    CanonicalUrlKind, CanonicalUrls, Deployment, DeploymentConfig, EnvironmentChange,
    FunctionLimits, OpenError,
};
pub use http_action::{HttpOutcome, HttpRequest, HttpResponse};
pub use identity::{AdminIdentity, Identity, UserIdentity};
pub use live::{Evaluation, LiveQuery, LiveQueryRequest, LiveResult, Waker};
pub use logs::{LogEntry, LogLine, LogPage, LogQuery, LogStream};
