//! HTTP and WebSockets of one deployment.
//!
//! What this crate is: the API port and the site port of a
//! [`Deployment`](hull_functions::Deployment), admin keys and the identities of
//! requests, the WebSocket transport of the sync protocol, limits on what
//! clients may send, and the listeners with their shutdown.
//!
//! What it is **not**: business rules. Running functions, pushing code, logs and
//! system functions are `functions`; the state of a sync connection is `sync`.
//!
//! Start reading at [`Gateway`] (one request), then [`endpoint`] (all routes),
//! `sync_socket` (one connection) and [`Server`] (the ports).
//!
//! Invariants:
//! * nothing a client sends can panic, block an async worker or grow memory
//!   without bound; a panic in a handler is that request's internal error;
//! * an idle socket owns no buffer; a frame sent to many is never copied;
//! * a slow client delays nobody else;
//! * no secret is ever answered behind the mirroring CORS headers.

mod admin_key;
mod api;
mod authorization;
mod client_version;
mod cors;
pub mod endpoint;
mod envelope;
mod gateway;
mod http_error;
mod instance_secret;
pub mod limits;
mod metrics;
mod origin;
mod query_string;
mod request_body;
mod request_id;
mod server;
mod shutdown;
mod site;
mod sync_socket;
pub mod ws;

pub use admin_key::{AdminKeys, InvalidAdminKey, Operation};
pub use authorization::Authorizer;
pub use gateway::Gateway;
pub use http_error::{Body, HttpError};
pub use instance_secret::{InstanceSecret, InvalidSecret};
pub use request_body::RequestBody;
pub use server::{BindError, Server};
pub use shutdown::{Shutdown, ShutdownGuard};
