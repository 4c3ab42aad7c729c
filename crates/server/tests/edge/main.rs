//! The edge of a deployment as clients meet it: HTTP, sockets, shutdown.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like tests"
)]

mod http;
mod support;
mod sync_socket;
mod web_socket;
