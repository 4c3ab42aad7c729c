//! Snapshots, transactions, read sets, the committer and invalidation.
//!
//! What this crate is: the database proper. It turns the ordered commits of a
//! [`hull_store::Store`] into serializable transactions over tables and
//! indexes, and tells subscribers which of them a commit concerns.
//!
//! What it is **not**: it runs no user code, knows no HTTP and no runtime; it
//! reads no clock and draws no randomness: both come in as arguments. The one
//! thread it owns is the committer's writer thread.
//!
//! Start reading at [`Engine`], then [`Transaction`], then `committer`.
//!
//! Invariants:
//! * commits are totally ordered by timestamp; a transaction commits only if no
//!   commit since its begin touched what it read (serializable always);
//! * what a transaction read is recorded exactly: up to the last row consumed,
//!   absent rows, names and numbers included;
//! * a commit is published, and answered, only after it is durable;
//! * a subscription hears of every published commit that touches its read set,
//!   before that commit's timestamp becomes the latest one;
//! * cost of a commit is O(what it wrote and whom it concerns), never O(subscribers).

mod backfill;
mod committer;
pub mod document;
mod engine;
mod interval_tree;
mod key_space;
mod layer;
pub mod limits;
mod metadata;
pub mod query;
mod read_set;
mod scheduled_jobs;
mod schema_change;
mod schema_prediction;
mod session_records;
mod snapshot;
mod staged_validators;
mod stored_files;
mod subscriptions;
pub mod system;
mod transaction;
mod upkeep;
mod walks;
mod window;
mod writer;

pub use committer::{CommitCallback, CommitError, Conflict, Lane};
pub use engine::{BeginContext, Engine, EngineConfig, EngineError, InvalidationListener};
pub use key_space::KeySpace;
pub use limits::HistoryLimits;
pub use metadata::{
    IndexInfo, IndexState, Metadata, Namespace, SchemaSlot, SchemaState, TableInfo, TableState,
};
pub use read_set::{IntervalSet, ReadSet};
pub use scheduled_jobs::{Job, JobEnd, JobStage, NewJob};
pub use schema_change::{IndexChange, IndexDiff, IndexProgress};
pub use schema_prediction::{
    DiscardedValidator, IndexChangeKind, IndexPrediction, SchemaPrediction, TableOutcome,
    TablePrediction,
};
pub use staged_validators::{StagedValidator, StagedValidatorState};
pub use stored_files::{NewFile, StoredFile};
pub use subscriptions::SubscriptionId;
pub use transaction::{
    Ceilings, ComponentReads, DatabaseReader, Patch, Savepoint, Transaction, TransactionLimits,
    Usage,
};
pub use upkeep::Upkeep;
