//! The traits an implementation provides.

use bytes::Bytes;
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

use crate::{
    CommitRecord, IndexDocument, IndexId, IndexRow, IndexWrite, LogEntry, LogRetention, Order,
    StoreError, StoreUsage, TabletId, TabletUsage, TrimStep,
};

/// An open store. Readers and the writer may outlive it and go to other threads.
pub trait Store: Send + Sync {
    /// Opens a reader. Each holds its own resources (a connection, a cache of
    /// one or two MB), so open one per worker, not per request.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// Returns the writer. There is one at a time: [`StoreError::WriterTaken`]
    /// until the former one is dropped.
    fn writer(&self) -> Result<Box<dyn Writer>, StoreError>;
}

/// The only way to change a store.
///
/// Calls are ordered: what an earlier call wrote is there for a later one and,
/// once the later one is durable, so is the earlier. Every method either does
/// all it says or, on an error other than [`StoreError::OutcomeUnknown`],
/// nothing.
pub trait Writer: Send {
    /// Makes the records durable and visible, all or none, in one sync.
    ///
    /// Timestamps strictly increase within the batch and from call to call.
    /// An empty batch does nothing.
    fn commit(&mut self, batch: &[CommitRecord]) -> Result<(), StoreError>;

    /// Sets a named value outside of the log; durable when it returns.
    fn set_global(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Writes index entries without a log entry, for backfills.
    fn write_index_entries(&mut self, entries: &[IndexWrite]) -> Result<(), StoreError>;

    /// Deletes at most `rows_max` entries of an index; `true` once none is left.
    fn delete_index(&mut self, index: IndexId, rows_max: usize) -> Result<bool, StoreError>;

    /// Deletes at most `rows_max` documents of a tablet, without tombstones in
    /// the log; `true` once none is left.
    fn delete_tablet(&mut self, tablet: TabletId, rows_max: usize) -> Result<bool, StoreError>;

    /// Deletes log entries that `keep` does not keep, oldest first, as many as
    /// `step` allows; `true` once none is left. What [`Reader::log_start`] says
    /// changes in the same transaction.
    fn trim_log(&mut self, keep: LogRetention, step: TrimStep) -> Result<bool, StoreError>;

    /// Returns how much the store holds. Costs O(1).
    fn usage(&mut self) -> Result<StoreUsage, StoreError>;

    /// Lets the store do its background upkeep now, for a caller that is idle.
    /// Returns at once.
    fn checkpoint_if_needed(&mut self);
}

/// Reads at one snapshot at a time.
///
/// Reads outside of `begin` and `end` fail with [`StoreError::NoSnapshot`].
/// Keep snapshots short (a page, one function run): a store may have to hold
/// back new snapshots until old ones have ended.
pub trait Reader: Send {
    /// Starts a snapshot (ending the former one) and returns the timestamp of
    /// the newest commit in it, 0 if there is none.
    fn begin(&mut self) -> Result<Timestamp, StoreError>;

    /// Ends the snapshot. Does nothing without one.
    fn end(&mut self);

    /// Returns a document and when its current revision was committed.
    fn get(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<(Timestamp, Bytes)>, StoreError>;

    /// Returns the first `limit` entries of the interval in the given order.
    fn scan_index(
        &mut self,
        index: IndexId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexRow>, StoreError>;

    /// Returns entries as [`scan_index`](Self::scan_index) does, with the
    /// documents they point to. A missing document is
    /// [`StoreError::Corrupt`]: entries and documents change in one commit.
    fn scan_index_documents(
        &mut self,
        index: IndexId,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexDocument>, StoreError>;

    /// Returns the first `limit` documents whose 16 id bytes are in the interval.
    fn scan_tablet(
        &mut self,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(InternalId, Timestamp, Bytes)>, StoreError>;

    /// Returns how much a tablet holds. Costs O(1).
    fn tablet_usage(&mut self, tablet: TabletId) -> Result<TabletUsage, StoreError>;

    /// Returns the timestamp from which on the log is complete: every commit
    /// after it has its entry. 0 as long as nothing was trimmed, then just
    /// below the oldest entry.
    fn log_start(&mut self) -> Result<Timestamp, StoreError>;

    /// Returns the first `limit` log entries above `after`, oldest first. They
    /// are all there are only for an `after` not below
    /// [`log_start`](Self::log_start).
    fn read_log(&mut self, after: Timestamp, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns a named value.
    fn global(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
}
