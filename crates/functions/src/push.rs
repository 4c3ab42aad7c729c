//! Pushing code: what the CLI's `dev`, `deploy` and `codegen` ask for (deploy spec 6).
//!
//! `start_push` evaluates everything and leaves behind only what is harmless if
//! the push is never finished: sources by their content, a pending schema and
//! indexes being built. `finish_push` switches to the new code in one commit.

mod analyze;
mod declared_variables;
mod finish;
mod package;
mod request;
mod respond;
pub(crate) mod staged;
mod start;
mod tree;
mod wait;
