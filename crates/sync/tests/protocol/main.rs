//! Tests of the session through its public interface only.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where what it expects is not there"
)]

mod auth;
mod captures;
mod connection;
mod liveness;
mod model;
mod model_client;
mod queries;
mod requests;
mod script;
