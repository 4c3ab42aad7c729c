//! What Hull needs from a place that keeps data: the traits, the records they
//! exchange, and an in-memory implementation that simulates crashes.
//!
//! A store holds the *current* documents by `(tablet, id)`, one ordered key
//! space of index entries `(index, key) → id`, the commit log by timestamp,
//! and a few named globals. It is deliberately **not** a database: it knows no
//! tables by name, no schema, no values (documents are opaque bytes), no
//! conflicts and no clock. It does what the committer says, in that order.
//!
//! Start reading at [`Store`], then [`CommitRecord`]. [`memory::MemoryStore`]
//! is the double for tests; with the feature `testing`, `conformance` is the
//! suite that every implementation passes.
//!
//! Invariants:
//! * When [`Writer::commit`] returns `Ok`, the whole batch survives any crash.
//!   A crash before that leaves a prefix of the batches, never half of one.
//! * A [`Reader`] between `begin` and `end` sees exactly the commits up to the
//!   timestamp `begin` returned, whatever is committed meanwhile.
//! * A scan costs O(rows returned), not O(rows in the interval).
//! * An error is never swallowed: it is a [`StoreError`], and
//!   [`StoreError::is_fatal`] says whether the process may go on.

mod error;
mod record;
mod traits;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod memory;

pub use error::StoreError;
pub use record::{
    CommitRecord, DocumentWrite, IndexDocument, IndexId, IndexRow, IndexWrite, LogEntry,
    LogRetention, Order, StoreUsage, TabletGrowth, TabletId, TabletUsage, TrimStep,
    log_entry_bytes,
};
pub use traits::{Reader, Store, Writer};
