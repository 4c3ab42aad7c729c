//! The data of the double, and the faults waiting to happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hull_value::{InternalId, Timestamp};

use super::versioned::{Sequence, Versioned};
use super::{Fault, Hook, Survivors};
use crate::{DocumentWrite, IndexId, IndexWrite, StoreError, TabletId, TabletUsage};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) documents: Versioned<(TabletId, InternalId), (Timestamp, Bytes)>,
    pub(super) entries: Versioned<(IndexId, Vec<u8>), InternalId>,
    pub(super) log: Versioned<Timestamp, Arc<[DocumentWrite]>>,
    pub(super) globals: Versioned<String, Vec<u8>>,
    pub(super) usage: Versioned<TabletId, TabletUsage>,
    /// Under the only key there is.
    pub(super) log_start: Versioned<(), Timestamp>,
    /// The newest transaction handed to the disk.
    written: Sequence,
    /// The newest transaction that is synced, and with that visible.
    durable: Sequence,
    /// How many readers look at each sequence.
    snapshots: BTreeMap<Sequence, usize>,
    /// With the number of operations that succeed before each strikes.
    pub(super) faults: Vec<(Fault, u64)>,
    pub(super) after_begin: Option<Hook>,
    pub(super) sync_held: bool,
    pub(super) has_writer: bool,
    pub(super) is_crashed: bool,
    is_outcome_unknown: bool,
}

impl State {
    pub(super) fn check_alive(&self) -> Result<(), StoreError> {
        if self.is_crashed {
            return Err(StoreError::Io {
                operation: "using the store",
                reason: "it crashed".to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn has_unsynced(&self) -> bool {
        self.written > self.durable
    }

    pub(super) fn begin_snapshot(&mut self) -> Sequence {
        *self.snapshots.entry(self.durable).or_default() += 1;
        self.durable
    }

    pub(super) fn end_snapshot(&mut self, at: Sequence) {
        let count = self
            .snapshots
            .get_mut(&at)
            .expect("invariant: every ended snapshot was begun");
        *count -= 1;
        if *count == 0 {
            self.snapshots.remove(&at);
        }
    }

    pub(super) fn newest_ts(&self, at: Sequence) -> Timestamp {
        self.log
            .range(.., at)
            .next_back()
            .map_or(Timestamp(0), |(ts, _)| *ts)
    }

    /// The sequence of what is written, for the writer, who sees its own work.
    pub(super) fn written(&self) -> Sequence {
        self.written
    }

    /// Fails if a fault of the reading kind is due.
    pub(super) fn check_read(&mut self) -> Result<(), StoreError> {
        self.check_alive()?;
        match self.due_fault(|fault| fault == Fault::ReadFails) {
            Some(_) => Err(StoreError::Io {
                operation: "reading",
                reason: "injected fault".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Starts a transaction: everything put at the returned sequence stays
    /// invisible to others until [`finish_sync`](Self::finish_sync).
    pub(super) fn begin_write(&mut self) -> Result<Sequence, StoreError> {
        self.check_writable()?;
        self.written += 1;
        let oldest = self
            .snapshots
            .first_key_value()
            .map_or(self.durable, |(at, _)| self.durable.min(*at));
        self.documents.sweep(oldest);
        self.entries.sweep(oldest);
        self.log.sweep(oldest);
        self.globals.sweep(oldest);
        self.usage.sweep(oldest);
        self.log_start.sweep(oldest);
        Ok(self.written)
    }

    pub(super) fn check_writable(&mut self) -> Result<(), StoreError> {
        self.check_alive()?;
        if self.is_outcome_unknown {
            return Err(outcome_unknown());
        }
        let due = self.due_fault(|fault| matches!(fault, Fault::DiskFull | Fault::WriteFails));
        match due {
            Some(Fault::DiskFull) => Err(StoreError::DiskFull),
            Some(_) => Err(StoreError::Io {
                operation: "writing",
                reason: "injected fault".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Makes the written transaction durable and visible, unless a fault strikes.
    pub(super) fn finish_sync(&mut self) -> Result<(), StoreError> {
        self.check_alive().map_err(|_| outcome_unknown())?;
        if self.due_fault(|fault| fault == Fault::SyncFails).is_some() {
            self.is_outcome_unknown = true;
            return Err(outcome_unknown());
        }
        self.durable = self.written;
        Ok(())
    }

    pub(super) fn grow(&mut self, tablet: TabletId, documents: i64, bytes: i64, at: Sequence) {
        let usage = self.usage.get(&tablet, at).copied().unwrap_or_default();
        let usage = usage.grown_by(documents, bytes);
        self.usage.put(tablet, Some(usage), at);
    }

    pub(super) fn put_entry(&mut self, write: &IndexWrite, at: Sequence) {
        self.entries
            .put((write.index, write.key.clone()), write.target, at);
    }

    /// Returns what a crash at this moment leaves, as a state of its own.
    pub(super) fn image(&self, survivors: Survivors) -> State {
        let at = match survivors {
            Survivors::Durable => self.durable,
            Survivors::Written => self.written,
        };
        State {
            documents: copy(&self.documents, at),
            entries: copy(&self.entries, at),
            log: copy(&self.log, at),
            globals: copy(&self.globals, at),
            usage: copy(&self.usage, at),
            log_start: copy(&self.log_start, at),
            ..State::default()
        }
    }

    /// Takes the fault that strikes the current operation. Counts down the
    /// others of its kind.
    fn due_fault(&mut self, is_of_kind: impl Fn(Fault) -> bool) -> Option<Fault> {
        let due = self
            .faults
            .iter()
            .position(|(fault, successes)| *successes == 0 && is_of_kind(*fault));
        if let Some(position) = due {
            return Some(self.faults.remove(position).0);
        }
        for (fault, successes) in &mut self.faults {
            if is_of_kind(*fault) {
                *successes -= 1;
            }
        }
        None
    }
}

fn copy<K: Ord + Clone, V: Clone>(map: &Versioned<K, V>, at: Sequence) -> Versioned<K, V> {
    let mut image = Versioned::default();
    for (key, value) in map.range(.., at) {
        image.put(key.clone(), Some(value.clone()), 0);
    }
    image
}

fn outcome_unknown() -> StoreError {
    StoreError::OutcomeUnknown {
        reason: "the sync failed".to_owned(),
    }
}
