//! Functions of a pushed module, run by a deployment on a store in memory.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod app;
mod commit_timestamps;
mod limits;
mod live_queries;
