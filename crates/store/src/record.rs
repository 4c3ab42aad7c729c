//! The records that go into and come out of a store.

use bytes::Bytes;
use hull_value::{InternalId, Timestamp};

/// Names a physical table. Numbers are given out by the engine and never
/// reused, so that a deleted table can be swept in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TabletId(pub u32);

/// Names a physical index. Never reused, like [`TabletId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub u32);

/// The direction of a scan, by key bytes (`memcmp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Asc,
    Desc,
}

/// A new revision of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentWrite {
    pub tablet: TabletId,
    pub id: InternalId,
    /// The timestamp of the revision that this one replaces; `None` when the
    /// document did not exist.
    pub prev_ts: Option<Timestamp>,
    /// `None` is a tombstone: the document does not exist from here on.
    pub value: Option<Bytes>,
}

/// One change of the index key space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexWrite {
    pub index: IndexId,
    pub key: Vec<u8>,
    /// `None` removes the entry; removing an absent one is allowed.
    pub target: Option<InternalId>,
}

/// Everything that becomes visible at one timestamp.
///
/// `documents` also form the log entry of `ts`, and a record without any still
/// leaves an (empty) entry. At most one write per document and per index key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    pub ts: Timestamp,
    pub documents: Vec<DocumentWrite>,
    pub indexes: Vec<IndexWrite>,
    /// What `documents` mean for their tablets, one for each that changes. The
    /// committer knows the old values; a store would have to look them up.
    pub growth: Vec<TabletGrowth>,
}

/// By how much one commit makes a tablet larger, or smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TabletGrowth {
    pub tablet: TabletId,
    pub documents: i64,
    /// Of their values, as stored.
    pub bytes: i64,
}

/// What a tablet holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TabletUsage {
    pub documents: u64,
    /// Of their values, as stored.
    pub bytes: u64,
}

impl TabletUsage {
    /// Returns the usage after growing; at least nothing.
    pub fn grown_by(self, documents: i64, bytes: i64) -> TabletUsage {
        TabletUsage {
            documents: self.documents.saturating_add_signed(documents),
            bytes: self.bytes.saturating_add_signed(bytes),
        }
    }
}

/// An index entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    pub key: Vec<u8>,
    pub id: InternalId,
}

/// An index entry with the document it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDocument {
    pub key: Vec<u8>,
    pub id: InternalId,
    /// When the document's current revision was committed.
    pub ts: Timestamp,
    pub value: Bytes,
}

/// The documents written at one timestamp, in the order they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub ts: Timestamp,
    pub documents: Vec<DocumentWrite>,
}

/// Which log entries to keep: those that are young enough *and* among the
/// newest `bytes_max` bytes. The newest entry always stays, since it carries
/// the timestamp of the newest commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRetention {
    /// Entries below this timestamp are too old.
    pub before: Timestamp,
    /// Bytes of entries kept, counted by [`log_entry_bytes`].
    pub bytes_max: u64,
}

/// How much of the log one step of trimming forgets at most, but at least one
/// entry if there is one to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimStep {
    pub entries_max: usize,
    /// Counted by [`log_entry_bytes`].
    pub bytes_max: u64,
}

/// What a store holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// The log, counted by [`log_entry_bytes`].
    pub log_bytes: u64,
    /// Everything else, rather less than more.
    pub data_bytes: u64,
}

/// What an entry of the log counts for, in every store alike.
pub fn log_entry_bytes(documents: &[DocumentWrite]) -> u64 {
    const ENTRY: u64 = 16;
    const DOCUMENT: u64 = 32;
    documents.iter().fold(ENTRY, |bytes, write| {
        bytes + DOCUMENT + write.value.as_ref().map_or(0, |value| value.len() as u64)
    })
}
