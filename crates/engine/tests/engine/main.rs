//! The engine against naive models, through its public interface and over
//! the in-memory store. Every random test prints the seed it failed with.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod commit_timestamps;
mod conflicts;
mod document_writes;
mod fixture;
mod history;
mod index_builds;
mod index_drops;
mod limits;
mod model;
mod own_writes;
mod random;
mod read_sets;
mod refused_commits;
mod schema_checks;
mod serializability;
mod session_records;
mod staged_validators;
mod subscriptions;
mod timestamps;
mod upkeep;
mod walks;
