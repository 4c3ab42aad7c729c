use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hull_store::{IndexDocument, IndexId, Order, Reader, StoreError, TabletId};
use hull_value::{InternalId, PackedValue, Timestamp, keys::Interval};

use crate::metadata::{IndexInfo, Metadata};
use crate::window::Overlay;

/// The state of the database at exactly one timestamp.
pub(crate) struct Snapshot {
    reader: PooledReader,
    pub(crate) ts: Timestamp,
    pub(crate) metadata: Arc<Metadata>,
    /// What holds in the store, if that is newer and not the same.
    stored_metadata: Option<Arc<Metadata>>,
    overlay: Overlay,
}

/// A row of an index scan with its document.
#[derive(Clone, Debug)]
pub(crate) struct ScannedRow {
    pub(crate) key: Vec<u8>,
    pub(crate) id: InternalId,
    pub(crate) ts: Timestamp,
    pub(crate) value: PackedValue,
}

/// Key, id and, if it was read along, the document of an index entry.
type StoredRow = (Vec<u8>, InternalId, Option<(Timestamp, Bytes)>);

/// Readers that are not in use, kept open because opening one costs a connection.
#[derive(Default)]
pub(crate) struct ReaderPool {
    idle: Mutex<Vec<Box<dyn Reader>>>,
}

pub(crate) struct PooledReader {
    reader: Option<Box<dyn Reader>>,
    pool: Arc<ReaderPool>,
}

/// Idle readers kept; more than this many calls at once open and close their own.
const IDLE_READERS_MAX: usize = 16;

impl ReaderPool {
    pub(crate) fn take(
        self: &Arc<Self>,
        open: impl FnOnce() -> Result<Box<dyn Reader>, StoreError>,
    ) -> Result<PooledReader, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let reader = match idle {
            Some(reader) => reader,
            None => open()?,
        };
        Ok(PooledReader {
            reader: Some(reader),
            pool: self.clone(),
        })
    }
}

impl PooledReader {
    pub(crate) fn get(&mut self) -> &mut dyn Reader {
        self.reader
            .as_deref_mut()
            .expect("invariant: a reader is given back only on drop")
    }
}

impl Drop for PooledReader {
    fn drop(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            reader.end();
            let mut idle = self
                .pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_READERS_MAX {
                idle.push(reader);
            }
        }
    }
}

/// Changes laid over a scan, later layers winning over earlier ones.
pub(crate) trait Layer {
    fn entries(&self, index: IndexId) -> Option<&BTreeMap<Arc<[u8]>, Option<InternalId>>>;
    /// `Some(None)`: the layer says that the document does not exist.
    fn document(
        &self,
        tablet: TabletId,
        id: InternalId,
    ) -> Option<Option<(Timestamp, PackedValue)>>;
    /// Ids in `interval` that the layer says something about.
    fn ids_in(&self, tablet: TabletId, interval: &Interval) -> Vec<InternalId>;
}

impl Layer for Overlay {
    fn entries(&self, index: IndexId) -> Option<&BTreeMap<Arc<[u8]>, Option<InternalId>>> {
        self.entries.get(&index)
    }

    fn document(
        &self,
        tablet: TabletId,
        id: InternalId,
    ) -> Option<Option<(Timestamp, PackedValue)>> {
        self.documents.get(&(tablet, id)).cloned()
    }

    fn ids_in(&self, tablet: TabletId, interval: &Interval) -> Vec<InternalId> {
        self.documents
            .keys()
            .filter(|(t, id)| *t == tablet && interval.contains(&id.0))
            .map(|(_, id)| *id)
            .collect()
    }
}

impl Snapshot {
    pub(crate) fn new(
        reader: PooledReader,
        ts: Timestamp,
        metadata: Arc<Metadata>,
        stored_metadata: Option<Arc<Metadata>>,
        overlay: Overlay,
    ) -> Snapshot {
        Snapshot {
            reader,
            ts,
            metadata,
            stored_metadata,
            overlay,
        }
    }

    pub(crate) fn get(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<(Timestamp, PackedValue)>, StoreError> {
        if let Some(known) = self.overlay.document(tablet, id) {
            return Ok(known);
        }
        match self.reader.get().get(tablet, id)? {
            Some((ts, bytes)) => Ok(Some((ts, PackedValue::from_stored_bytes(bytes)))),
            None => Ok(None),
        }
    }

    /// How many documents a tablet has. Costs O(1).
    pub(crate) fn count(&mut self, tablet: TabletId) -> Result<u64, StoreError> {
        let stored = self.reader.get().tablet_usage(tablet)?;
        let growth = self.overlay.growth.get(&tablet).copied().unwrap_or(0);
        Ok(stored.grown_by(growth, 0).documents)
    }

    /// Returns up to `limit` rows of `index` in `interval` with `own` (the
    /// transaction's writes) laid over. Costs O(rows returned + changes passed).
    pub(crate) fn scan_index(
        &mut self,
        index: &IndexInfo,
        interval: &Interval,
        order: Order,
        limit: usize,
        own: &dyn Layer,
    ) -> Result<Vec<ScannedRow>, StoreError> {
        let mut changes: BTreeMap<Arc<[u8]>, Option<InternalId>> = BTreeMap::new();
        for layer in [&self.overlay as &dyn Layer, own] {
            if let Some(entries) = layer.entries(index.index) {
                for (key, target) in entries.range::<[u8], _>(bounds(interval)) {
                    changes.insert(key.clone(), *target);
                }
            }
        }
        let mut rest = interval.clone();
        let mut rows = Vec::new();
        let mut exhausted = false;
        while rows.len() < limit && !exhausted {
            let wanted = limit - rows.len();
            let batch = self.stored_rows(index, &rest, order, wanted)?;
            exhausted = batch.len() < wanted;
            let frontier = batch.last().map(|(key, _, _)| key.clone());
            for (row_key, row_id, stored) in batch {
                emit_changes(
                    &mut changes,
                    Some((&row_key, order)),
                    order,
                    &mut |key, id| {
                        rows.push((key, id, None));
                    },
                );
                if changes
                    .remove(row_key.as_slice())
                    .is_none_or(|target| target.is_some())
                {
                    rows.push((row_key, row_id, stored));
                }
            }
            if exhausted {
                emit_changes(&mut changes, None, order, &mut |key, id| {
                    rows.push((key, id, None))
                });
            } else if let Some(frontier) = frontier {
                rest = remainder(rest, frontier, order);
            }
        }
        rows.truncate(limit);
        let tablet = index.tablet;
        let mut scanned = Vec::with_capacity(rows.len());
        for (key, id, stored) in rows {
            let changed = own
                .document(tablet, id)
                .or_else(|| self.overlay.document(tablet, id));
            let document = match (changed, stored) {
                (Some(changed), _) => changed,
                (None, Some((ts, bytes))) => Some((ts, PackedValue::from_stored_bytes(bytes))),
                (None, None) => self.get(tablet, id)?,
            };
            let Some((ts, value)) = document else {
                return Err(StoreError::Corrupt {
                    detail: format!("index {} points to a missing document", index.index.0),
                });
            };
            scanned.push(ScannedRow { key, id, ts, value });
        }
        Ok(scanned)
    }

    /// Returns up to `limit` rows of the store with their documents, or without
    /// where those have to be looked up one by one: no write maintains an index
    /// after it was dropped, so its entries may point to deleted documents.
    fn stored_rows(
        &mut self,
        index: &IndexInfo,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let stored_metadata = self.stored_metadata.as_ref();
        let reader = self.reader.get();
        if stored_metadata.is_none_or(|metadata| metadata.maintains(index)) {
            let rows =
                reader.scan_index_documents(index.index, index.tablet, interval, order, limit)?;
            let with_document = |row: IndexDocument| (row.key, row.id, Some((row.ts, row.value)));
            return Ok(rows.into_iter().map(with_document).collect());
        }
        let rows = reader.scan_index(index.index, interval, order, limit)?;
        Ok(rows
            .into_iter()
            .map(|row| (row.key, row.id, None))
            .collect())
    }

    /// The same for `by_id`: keys are the 16 bytes of the internal id.
    pub(crate) fn scan_tablet(
        &mut self,
        tablet: TabletId,
        interval: &Interval,
        order: Order,
        limit: usize,
        own: &dyn Layer,
    ) -> Result<Vec<ScannedRow>, StoreError> {
        let mut changes: BTreeMap<Arc<[u8]>, Option<InternalId>> = BTreeMap::new();
        for layer in [&self.overlay as &dyn Layer, own] {
            for id in layer.ids_in(tablet, interval) {
                let exists = layer
                    .document(tablet, id)
                    .is_some_and(|document| document.is_some());
                changes.insert(Arc::from(id.0.as_slice()), exists.then_some(id));
            }
        }
        let mut rest = interval.clone();
        let mut rows = Vec::new();
        let mut exhausted = false;
        while rows.len() < limit && !exhausted {
            let wanted = limit - rows.len();
            let batch = self
                .reader
                .get()
                .scan_tablet(tablet, &rest, order, wanted)?;
            exhausted = batch.len() < wanted;
            let frontier = batch.last().map(|(id, _, _)| id.0.to_vec());
            for (id, ts, bytes) in batch {
                emit_changes(&mut changes, Some((&id.0, order)), order, &mut |_, id| {
                    rows.push((id, None))
                });
                match changes.remove(id.0.as_slice()) {
                    None => rows.push((id, Some((ts, bytes)))),
                    Some(Some(_)) => rows.push((id, None)),
                    Some(None) => {}
                }
            }
            if exhausted {
                emit_changes(&mut changes, None, order, &mut |_, id| {
                    rows.push((id, None))
                });
            } else if let Some(frontier) = frontier {
                rest = remainder(rest, frontier, order);
            }
        }
        rows.truncate(limit);
        let mut scanned = Vec::with_capacity(rows.len());
        for (id, stored) in rows {
            let document = match stored {
                Some((ts, bytes)) => Some((ts, PackedValue::from_stored_bytes(bytes))),
                None => match own.document(tablet, id) {
                    Some(document) => document,
                    None => self.get(tablet, id)?,
                },
            };
            if let Some((ts, value)) = document {
                scanned.push(ScannedRow {
                    key: id.0.to_vec(),
                    id,
                    ts,
                    value,
                });
            }
        }
        Ok(scanned)
    }
}

fn bounds(interval: &Interval) -> (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) {
    use std::ops::Bound;
    let start = interval.start.as_slice();
    match interval.end.as_deref() {
        // BTreeMap::range panics on inverted bounds; an empty interval has no keys.
        Some(end) if end <= start => (Bound::Included(start), Bound::Excluded(start)),
        Some(end) => (Bound::Included(start), Bound::Excluded(end)),
        None => (Bound::Included(start), Bound::Unbounded),
    }
}

/// Takes the added entries that come before `until` in scan order (all of them
/// for `None`) out of `changes`; removed entries on the way are dropped.
fn emit_changes(
    changes: &mut BTreeMap<Arc<[u8]>, Option<InternalId>>,
    until: Option<(&[u8], Order)>,
    order: Order,
    emit: &mut impl FnMut(Vec<u8>, InternalId),
) {
    loop {
        let next = match order {
            Order::Asc => changes.first_key_value(),
            Order::Desc => changes.last_key_value(),
        };
        let Some((key, _)) = next else { return };
        let comes_before = match until {
            None => true,
            Some((limit, Order::Asc)) => **key < *limit,
            Some((limit, Order::Desc)) => **key > *limit,
        };
        if !comes_before {
            return;
        }
        let taken = match order {
            Order::Asc => changes.pop_first(),
            Order::Desc => changes.pop_last(),
        };
        if let Some((key, Some(id))) = taken {
            emit(key.to_vec(), id);
        }
    }
}

/// What is left of `interval` after the row with key `last` in scan order.
fn remainder(interval: Interval, mut last: Vec<u8>, order: Order) -> Interval {
    match order {
        Order::Asc => {
            last.push(0);
            Interval {
                start: last,
                end: interval.end,
            }
        }
        Order::Desc => Interval {
            start: interval.start,
            end: Some(last),
        },
    }
}
