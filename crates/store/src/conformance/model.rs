//! The naive store: four maps.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

use crate::{
    CommitRecord, DocumentWrite, IndexDocument, IndexId, IndexRow, IndexWrite, LogEntry,
    LogRetention, Order, TabletId, TabletUsage, TrimStep, log_entry_bytes,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) documents: BTreeMap<(TabletId, InternalId), (Timestamp, Bytes)>,
    pub(super) entries: BTreeMap<(IndexId, Vec<u8>), InternalId>,
    pub(super) log: BTreeMap<Timestamp, Vec<DocumentWrite>>,
    pub(super) globals: BTreeMap<String, Vec<u8>>,
    pub(super) log_start: Timestamp,
}

impl Model {
    pub(super) fn newest_ts(&self) -> Timestamp {
        self.log
            .last_key_value()
            .map_or(Timestamp(0), |(ts, _)| *ts)
    }

    pub(super) fn commit(&mut self, record: &CommitRecord) {
        for write in &record.documents {
            let key = (write.tablet, write.id);
            match &write.value {
                Some(value) => self.documents.insert(key, (record.ts, value.clone())),
                None => self.documents.remove(&key),
            };
        }
        self.write_entries(&record.indexes);
        self.log.insert(record.ts, record.documents.clone());
    }

    pub(super) fn write_entries(&mut self, writes: &[IndexWrite]) {
        for write in writes {
            let key = (write.index, write.key.clone());
            match write.target {
                Some(id) => self.entries.insert(key, id),
                None => self.entries.remove(&key),
            };
        }
    }

    /// Removes the first `rows_max` of the keys; `true` if that was all.
    fn sweep<K: Ord, V>(map: &mut BTreeMap<K, V>, mut keys: Vec<K>, rows_max: usize) -> bool {
        let is_done = keys.len() <= rows_max;
        keys.truncate(rows_max);
        for key in keys {
            map.remove(&key);
        }
        is_done
    }

    pub(super) fn delete_index(&mut self, index: IndexId, rows_max: usize) -> bool {
        let keys = self.entries.keys().filter(|(of, _)| *of == index);
        let keys = keys.cloned().collect();
        Self::sweep(&mut self.entries, keys, rows_max)
    }

    pub(super) fn delete_tablet(&mut self, tablet: TabletId, rows_max: usize) -> bool {
        let keys = self.documents.keys().filter(|(of, _)| *of == tablet);
        let keys = keys.copied().collect();
        Self::sweep(&mut self.documents, keys, rows_max)
    }

    pub(super) fn trim_log(&mut self, keep: LogRetention, step: TrimStep) -> bool {
        let mut newer_bytes = 0;
        let mut keys = Vec::new();
        for (ts, documents) in self.log.iter().rev() {
            newer_bytes += log_entry_bytes(documents);
            let is_kept = *ts >= keep.before && newer_bytes <= keep.bytes_max;
            if !is_kept && *ts != self.newest_ts() {
                keys.insert(0, *ts);
            }
        }
        let mut bytes = 0;
        let fitting = keys.iter().take_while(|ts| {
            bytes += log_entry_bytes(&self.log[ts]);
            bytes <= step.bytes_max
        });
        let rows_max = fitting.count().min(step.entries_max).max(1);
        let is_any_trimmed = !keys.is_empty();
        let is_done = Self::sweep(&mut self.log, keys, rows_max);
        if let (true, Some((oldest, _))) = (is_any_trimmed, self.log.first_key_value()) {
            self.log_start = Timestamp(oldest.0 - 1);
        }
        is_done
    }

    pub(super) fn tablet_usage(&self, tablet: TabletId) -> TabletUsage {
        let of_tablet = self.documents.iter().filter(|((of, _), _)| *of == tablet);
        of_tablet.fold(TabletUsage::default(), |usage, (_, (_, value))| {
            usage.grown_by(1, value.len() as i64)
        })
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.log
            .values()
            .map(|documents| log_entry_bytes(documents))
            .sum()
    }

    pub(super) fn scan_index(
        &self,
        index: IndexId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Vec<IndexRow> {
        let rows = self
            .entries
            .iter()
            .filter(|((of, key), _)| *of == index && is_within(interval, key))
            .map(|((_, key), id)| IndexRow {
                key: key.clone(),
                id: *id,
            })
            .collect();
        first(rows, order, limit)
    }

    /// `None` if a row points to no document.
    pub(super) fn scan_index_documents(
        &self,
        index: IndexId,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Option<Vec<IndexDocument>> {
        self.scan_index(index, interval, order, limit)
            .into_iter()
            .map(|IndexRow { key, id }| {
                let (ts, value) = self.documents.get(&(tablet, id)).cloned()?;
                Some(IndexDocument { key, id, ts, value })
            })
            .collect()
    }

    pub(super) fn scan_tablet(
        &self,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Vec<(InternalId, Timestamp, Bytes)> {
        let rows = self
            .documents
            .iter()
            .filter(|((of, id), _)| *of == tablet && is_within(interval, &id.0))
            .map(|((_, id), (ts, value))| (*id, *ts, value.clone()))
            .collect();
        first(rows, order, limit)
    }

    pub(super) fn read_log(&self, after: Timestamp, limit: usize) -> Vec<LogEntry> {
        self.log
            .range((Bound::Excluded(after), Bound::Unbounded))
            .take(limit)
            .map(|(ts, documents)| LogEntry {
                ts: *ts,
                documents: documents.clone(),
            })
            .collect()
    }
}

fn is_within(interval: &Interval, key: &[u8]) -> bool {
    key >= interval.start.as_slice() && interval.end.as_deref().is_none_or(|end| key < end)
}

fn first<T>(mut rows: Vec<T>, order: Order, limit: usize) -> Vec<T> {
    if order == Order::Desc {
        rows.reverse();
    }
    rows.truncate(limit);
    rows
}
