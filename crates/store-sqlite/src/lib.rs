//! The store on one local SQLite file.
//!
//! One connection writes, one per reader reads, and a third kind, owned by a
//! background thread, moves the write-ahead log into the main file. It is
//! deliberately **not** a general wrapper of SQLite: a closed set of prepared
//! statements over four tables, drawn in `format.rs`.
//!
//! Start reading at [`SqliteStore`], then `format.rs` (what is on the disk),
//! `writer.rs` and `checkpointer.rs`.
//!
//! Invariants:
//! * A file that is not ours is refused untouched: not even a `-wal` or
//!   `.lock` file appears beside it.
//! * At most one process has a data file open (an advisory lock on
//!   `<file>.lock`).
//! * A commit is one transaction and one sync of the write-ahead log, which
//!   never waits for a checkpoint except when the log is far past its bound.
//! * The write-ahead log is bounded under any load of short snapshots.
//! * After a failure that leaves the disk's contents in doubt, nothing more
//!   is written: see [`hull_store::StoreError::OutcomeUnknown`].

mod checkpointer;
mod connection;
mod error;
mod format;
mod gate;
mod header;
mod lock;
mod log_entry;
mod options;
mod reader;
mod shared;
mod statements;
mod store;
mod writer;

pub use error::OpenError;
pub use options::SqliteOptions;
pub use store::SqliteStore;
