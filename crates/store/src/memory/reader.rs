//! Snapshots of the double.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

use super::state::State;
use super::versioned::Sequence;
use super::{Hook, Shared};
use crate::{
    IndexDocument, IndexId, IndexRow, LogEntry, Order, Reader, StoreError, TabletId, TabletUsage,
};

pub(super) struct MemoryReader {
    shared: Arc<Shared>,
    snapshot: Option<Sequence>,
}

impl MemoryReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            snapshot: None,
        }
    }

    fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&State, Sequence) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let at = self.snapshot.ok_or(StoreError::NoSnapshot { operation })?;
        let mut state = self.shared.lock();
        state.check_read()?;
        read(&state, at)
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.end();
    }
}

impl Reader for MemoryReader {
    fn begin(&mut self) -> Result<Timestamp, StoreError> {
        self.end();
        let mut state = self.shared.lock();
        state.check_read()?;
        let at = state.begin_snapshot();
        let newest = state.newest_ts(at);
        drop(state);
        self.snapshot = Some(at);
        let hook = self.shared.lock().after_begin.take();
        if let Some(Hook(hook)) = hook {
            hook();
        }
        Ok(newest)
    }

    fn end(&mut self) {
        if let Some(at) = self.snapshot.take() {
            self.shared.lock().end_snapshot(at);
        }
    }

    fn get(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<(Timestamp, Bytes)>, StoreError> {
        self.read("get", |state, at| {
            Ok(state.documents.get(&(tablet, id), at).cloned())
        })
    }

    fn scan_index(
        &mut self,
        index: IndexId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexRow>, StoreError> {
        self.read("scan_index", |state, at| {
            Ok(scan_entries(state, at, index, interval, order, limit))
        })
    }

    fn scan_index_documents(
        &mut self,
        index: IndexId,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexDocument>, StoreError> {
        self.read("scan_index_documents", |state, at| {
            scan_entries(state, at, index, interval, order, limit)
                .into_iter()
                .map(|IndexRow { key, id }| {
                    let (ts, value) =
                        state
                            .documents
                            .get(&(tablet, id), at)
                            .cloned()
                            .ok_or_else(|| StoreError::Corrupt {
                                detail: format!(
                                    "index {} points to a document that tablet {} does not have",
                                    index.0, tablet.0
                                ),
                            })?;
                    Ok(IndexDocument { key, id, ts, value })
                })
                .collect()
        })
    }

    fn scan_tablet(
        &mut self,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(InternalId, Timestamp, Bytes)>, StoreError> {
        self.read("scan_tablet", |state, at| {
            let from = (tablet, InternalId([0; 16]));
            let to = (tablet, InternalId([0xff; 16]));
            let rows = state
                .documents
                .range(from..=to, at)
                .filter(|((_, id), _)| {
                    id.0.as_slice() >= interval.start.as_slice()
                        && interval
                            .end
                            .as_deref()
                            .is_none_or(|end| id.0.as_slice() < end)
                })
                .map(|((_, id), (ts, value))| (*id, *ts, value.clone()));
            Ok(take(rows, order, limit))
        })
    }

    fn tablet_usage(&mut self, tablet: TabletId) -> Result<TabletUsage, StoreError> {
        self.read("tablet_usage", |state, at| {
            Ok(state.usage.get(&tablet, at).copied().unwrap_or_default())
        })
    }

    fn log_start(&mut self) -> Result<Timestamp, StoreError> {
        self.read("log_start", |state, at| {
            Ok(state
                .log_start
                .get(&(), at)
                .copied()
                .unwrap_or(Timestamp(0)))
        })
    }

    fn read_log(&mut self, after: Timestamp, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.read("read_log", |state, at| {
            Ok(state
                .log
                .range((Bound::Excluded(after), Bound::Unbounded), at)
                .take(limit)
                .map(|(ts, documents)| LogEntry {
                    ts: *ts,
                    documents: documents.to_vec(),
                })
                .collect())
        })
    }

    fn global(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("global", |state, at| {
            Ok(state.globals.get(key, at).cloned())
        })
    }
}

fn scan_entries(
    state: &State,
    at: Sequence,
    index: IndexId,
    interval: &Interval,
    order: Order,
    limit: usize,
) -> Vec<IndexRow> {
    // An end below the start is an empty interval, which `range` would not accept.
    if interval
        .end
        .as_ref()
        .is_some_and(|end| *end <= interval.start)
    {
        return Vec::new();
    }
    let from = Bound::Included((index, interval.start.clone()));
    let to = match (&interval.end, index.0.checked_add(1)) {
        (Some(end), _) => Bound::Excluded((index, end.clone())),
        (None, Some(next)) => Bound::Excluded((IndexId(next), Vec::new())),
        (None, None) => Bound::Unbounded,
    };
    let rows = state
        .entries
        .range((from, to), at)
        .map(|((_, key), id)| IndexRow {
            key: key.clone(),
            id: *id,
        });
    take(rows, order, limit)
}

fn take<T>(rows: impl DoubleEndedIterator<Item = T>, order: Order, limit: usize) -> Vec<T> {
    match order {
        Order::Asc => rows.take(limit).collect(),
        Order::Desc => rows.rev().take(limit).collect(),
    }
}
