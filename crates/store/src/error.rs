//! What can go wrong in a store.

use hull_value::Timestamp;

/// A failed read or write of a store.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The write was refused whole; it may be tried again once there is space.
    #[error("no space left to store data; nothing of this write was kept")]
    DiskFull,
    /// An operating-system error. A failed read may be tried again. A failed
    /// write was not kept.
    #[error("{operation} failed: {reason}")]
    Io {
        operation: &'static str,
        reason: String,
    },
    /// A commit failed at a point where it may or may not survive a restart.
    /// The writer refuses everything from here on with this same error.
    #[error(
        "a write to the data file failed ({reason}) and its outcome is unknown; restart to recover"
    )]
    OutcomeUnknown { reason: String },
    /// The stored bytes contradict themselves.
    #[error("stored data is corrupt: {detail}")]
    Corrupt { detail: String },
    /// The committer broke the order of timestamps. Nothing was written.
    #[error("commit timestamp {ts:?} is not above the newest stored one, {newest:?}")]
    TimestampNotIncreasing { ts: Timestamp, newest: Timestamp },
    /// The caller broke a rule of the records. Nothing was written.
    #[error("invalid write: {detail}")]
    InvalidWrite { detail: String },
    /// A read outside of `begin` and `end`.
    #[error("{operation} needs a snapshot: call begin first")]
    NoSnapshot { operation: &'static str },
    /// There is one writer at a time.
    #[error("the store already has a writer")]
    WriterTaken,
}

impl StoreError {
    /// Returns whether trying the same again later can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::DiskFull | Self::Io { .. })
    }

    /// Returns whether the process must stop and recover from what is stored,
    /// rather than go on and possibly contradict it.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::OutcomeUnknown { .. }
                | Self::Corrupt { .. }
                | Self::TimestampNotIncreasing { .. }
                | Self::InvalidWrite { .. }
        )
    }
}
