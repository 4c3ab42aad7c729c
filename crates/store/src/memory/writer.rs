//! Writes of the double: apply, then sync.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hull_value::{InternalId, Timestamp};

use super::Shared;
use super::state::State;
use super::versioned::Sequence;
use crate::{
    CommitRecord, IndexId, IndexWrite, LogRetention, StoreError, StoreUsage, TabletGrowth,
    TabletId, TrimStep, Writer, log_entry_bytes,
};

pub(super) struct MemoryWriter {
    shared: Arc<Shared>,
}

impl MemoryWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs one transaction: checks, then `apply`, then the sync.
    fn write<T>(
        &self,
        check: impl FnOnce(&State) -> Result<(), StoreError>,
        apply: impl FnOnce(&mut State, Sequence) -> T,
    ) -> Result<T, StoreError> {
        let mut state = self.shared.lock();
        state.check_alive()?;
        check(&state)?;
        let at = state.begin_write()?;
        let result = apply(&mut state, at);
        self.shared.changed.notify_all();
        while state.sync_held && !state.is_crashed {
            state = self.shared.wait(state);
        }
        state.finish_sync()?;
        Ok(result)
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.shared.lock().has_writer = false;
    }
}

impl Writer for MemoryWriter {
    fn commit(&mut self, batch: &[CommitRecord]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.write(
            |state| check_batch(state, batch),
            |state, at| {
                for record in batch {
                    apply_record(state, record, at);
                }
            },
        )
    }

    fn set_global(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(
            |_| Ok(()),
            |state, at| state.globals.put(key.to_owned(), Some(value.to_vec()), at),
        )
    }

    fn write_index_entries(&mut self, entries: &[IndexWrite]) -> Result<(), StoreError> {
        self.write(
            |_| Ok(()),
            |state, at| {
                for entry in entries {
                    state.put_entry(entry, at);
                }
            },
        )
    }

    fn delete_index(&mut self, index: IndexId, rows_max: usize) -> Result<bool, StoreError> {
        self.write(
            |_| Ok(()),
            |state, at| {
                let mut keys: Vec<_> = state
                    .entries
                    .range((index, Vec::new()).., at)
                    .map(|(key, _)| key.clone())
                    .take_while(|(of_index, _)| *of_index == index)
                    .take(rows_max.saturating_add(1))
                    .collect();
                let is_done = keys.len() <= rows_max;
                keys.truncate(rows_max);
                for key in keys {
                    state.entries.put(key, None, at);
                }
                is_done
            },
        )
    }

    fn delete_tablet(&mut self, tablet: TabletId, rows_max: usize) -> Result<bool, StoreError> {
        self.write(
            |_| Ok(()),
            |state, at| {
                let first = (tablet, hull_value::InternalId([0; 16]));
                let mut keys: Vec<_> = state
                    .documents
                    .range(first.., at)
                    .map(|(key, _)| *key)
                    .take_while(|(of_tablet, _)| *of_tablet == tablet)
                    .take(rows_max.saturating_add(1))
                    .collect();
                let is_done = keys.len() <= rows_max;
                keys.truncate(rows_max);
                for key in keys {
                    let len = state
                        .documents
                        .get(&key, at)
                        .map_or(0, |(_, value)| len(value));
                    state.grow(tablet, -1, -len, at);
                    state.documents.put(key, None, at);
                }
                is_done
            },
        )
    }

    fn trim_log(&mut self, keep: LogRetention, step: TrimStep) -> Result<bool, StoreError> {
        self.write(
            |_| Ok(()),
            |state, at| {
                let newest = state.newest_ts(at);
                let mut rest_bytes = log_bytes(state, at);
                let mut trimmed = Vec::new();
                let (mut step_bytes, mut is_done) = (0, true);
                for (ts, documents) in state.log.range(..newest, at) {
                    if *ts >= keep.before && rest_bytes <= keep.bytes_max {
                        break;
                    }
                    let bytes = log_entry_bytes(documents);
                    let is_over = step_bytes + bytes > step.bytes_max;
                    if trimmed.len() >= step.entries_max.max(1) || !trimmed.is_empty() && is_over {
                        is_done = false;
                        break;
                    }
                    rest_bytes -= bytes;
                    step_bytes += bytes;
                    trimmed.push(*ts);
                }
                let is_any_trimmed = !trimmed.is_empty();
                for ts in trimmed {
                    state.log.put(ts, None, at);
                }
                let oldest = state.log.range(.., at).next().map(|(ts, _)| *ts);
                if let (true, Some(oldest)) = (is_any_trimmed, oldest) {
                    state.log_start.put((), Some(Timestamp(oldest.0 - 1)), at);
                }
                is_done
            },
        )
    }

    fn usage(&mut self) -> Result<StoreUsage, StoreError> {
        let state = self.shared.lock();
        state.check_alive()?;
        let at = Sequence::MAX;
        let data_bytes = state
            .documents
            .range(.., at)
            .map(|(_, (_, value))| value.len() as u64)
            .sum();
        Ok(StoreUsage {
            log_bytes: log_bytes(&state, at),
            data_bytes,
        })
    }

    fn checkpoint_if_needed(&mut self) {}
}

fn log_bytes(state: &State, at: Sequence) -> u64 {
    state
        .log
        .range(.., at)
        .map(|(_, documents)| log_entry_bytes(documents))
        .sum()
}

/// Checks what the committer must guarantee, so that a slip of it fails here
/// and not as a wrong answer later.
fn check_batch(state: &State, batch: &[CommitRecord]) -> Result<(), StoreError> {
    let at = state.written();
    let mut newest = state.newest_ts(at);
    let mut in_batch = BTreeMap::new();
    let mut lengths = BTreeMap::new();
    for record in batch {
        if record.ts <= newest {
            return Err(StoreError::TimestampNotIncreasing {
                ts: record.ts,
                newest,
            });
        }
        newest = record.ts;
        if i64::try_from(newest.0).is_err() {
            return Err(invalid(format!("timestamp {newest:?} is out of range")));
        }
        let mut seen = BTreeSet::new();
        for write in &record.documents {
            let key = (write.tablet, write.id);
            if !seen.insert(key) {
                return Err(invalid(format!("{key:?} is written twice at {newest:?}")));
            }
            let stored = state.documents.get(&key, at).map(|(ts, _)| *ts);
            let current = in_batch.get(&key).copied().unwrap_or(stored);
            if write.prev_ts != current {
                return Err(invalid(format!(
                    "{key:?} says its former revision is {:?} but it is {current:?}",
                    write.prev_ts
                )));
            }
            in_batch.insert(key, write.value.as_ref().map(|_| record.ts));
        }
        check_growth(state, record, &mut lengths)?;
        let mut seen = BTreeSet::new();
        for write in &record.indexes {
            if !seen.insert((write.index, &write.key)) {
                return Err(invalid(format!(
                    "{:?} key {:?} is written twice at {newest:?}",
                    write.index, write.key
                )));
            }
        }
    }
    Ok(())
}

/// Compares what a record says of its tablets' growth with its documents.
/// `lengths` are those of the batch's documents so far.
fn check_growth(
    state: &State,
    record: &CommitRecord,
    lengths: &mut BTreeMap<(TabletId, InternalId), Option<i64>>,
) -> Result<(), StoreError> {
    let mut expected: BTreeMap<TabletId, (i64, i64)> = BTreeMap::new();
    for write in &record.documents {
        let key = (write.tablet, write.id);
        let stored = || {
            let revision = state.documents.get(&key, state.written());
            revision.map(|(_, value)| len(value))
        };
        let old = lengths.get(&key).copied().unwrap_or_else(stored);
        let new = write.value.as_ref().map(len);
        let (documents, bytes) = expected.entry(write.tablet).or_default();
        *documents += i64::from(new.is_some()) - i64::from(old.is_some());
        *bytes += new.unwrap_or(0) - old.unwrap_or(0);
        lengths.insert(key, new);
    }
    expected.retain(|_, growth| *growth != (0, 0));
    let said = record.growth.iter();
    let said: BTreeMap<_, _> = said
        .map(|growth| (growth.tablet, (growth.documents, growth.bytes)))
        .collect();
    if said.len() != record.growth.len() || said != expected {
        return Err(invalid(format!(
            "the tablets are said to grow by {:?} but grow by {expected:?}",
            record.growth
        )));
    }
    Ok(())
}

fn len(value: &Bytes) -> i64 {
    i64::try_from(value.len()).unwrap_or(i64::MAX)
}

fn invalid(detail: String) -> StoreError {
    StoreError::InvalidWrite { detail }
}

fn apply_record(state: &mut State, record: &CommitRecord, at: Sequence) {
    for write in &record.documents {
        let revision = write.value.clone().map(|value| (record.ts, value));
        state.documents.put((write.tablet, write.id), revision, at);
    }
    for write in &record.indexes {
        state.put_entry(write, at);
    }
    for growth in &record.growth {
        let TabletGrowth {
            tablet,
            documents,
            bytes,
        } = *growth;
        state.grow(tablet, documents, bytes, at);
    }
    state
        .log
        .put(record.ts, Some(record.documents.clone().into()), at);
}
