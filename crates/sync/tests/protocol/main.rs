//! Tests of the session through its public interface only.

mod auth;
mod captures;
mod connection;
mod liveness;
mod model;
mod model_client;
mod queries;
mod requests;
mod script;
