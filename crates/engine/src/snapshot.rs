use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hull_store::{IndexDocument, Order, Reader, StoreError, TabletId, TabletUsage};
use hull_value::{InternalId, PackedValue, Timestamp, keys::Interval};

use crate::layer::{Changes, Layer};
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

/// What a scan walks.
#[derive(Clone, Copy)]
pub(crate) enum ScanTarget<'a> {
    /// The documents by id: keys are the 16 bytes of the internal id.
    Tablet(TabletId),
    Index(&'a IndexInfo),
}

/// Key, id and, if it was read along, the document of an entry.
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
        Ok(self.usage(tablet)?.documents)
    }

    /// How much a tablet holds; the bytes are those of the store. Costs O(1).
    pub(crate) fn usage(&mut self, tablet: TabletId) -> Result<TabletUsage, StoreError> {
        let stored = self.reader.get().tablet_usage(tablet)?;
        let growth = self.overlay.growth.get(&tablet).copied().unwrap_or(0);
        Ok(stored.grown_by(growth, 0))
    }

    /// Returns up to `limit` rows of `target` in `interval` with `own` (the
    /// transaction's writes) laid over. Costs O(rows returned + removed ones passed).
    pub(crate) fn scan(
        &mut self,
        target: ScanTarget<'_>,
        interval: &Interval,
        order: Order,
        limit: usize,
        own: &dyn Layer,
    ) -> Result<Vec<ScannedRow>, StoreError> {
        let rows = self.merged_rows(target, interval, order, limit, own)?;
        let tablet = match target {
            ScanTarget::Tablet(tablet) => tablet,
            ScanTarget::Index(index) => index.tablet,
        };
        let mut scanned = Vec::with_capacity(rows.len());
        for (key, id, stored) in rows {
            // A document may have changed without its key.
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
                    detail: format!("an entry of tablet {} has no document", tablet.0),
                });
            };
            scanned.push(ScannedRow { key, id, ts, value });
        }
        Ok(scanned)
    }

    /// The rows of the store with those of the layers in their places.
    fn merged_rows(
        &mut self,
        target: ScanTarget<'_>,
        interval: &Interval,
        order: Order,
        limit: usize,
        own: &dyn Layer,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let layers = [&self.overlay as &dyn Layer, own];
        let mut changes = Changes::new(
            layers.map(|layer| layer.changes(target, interval, order)),
            order,
        );
        let stored_metadata = self.stored_metadata.as_deref();
        let reader = self.reader.get();
        let mut rest = interval.clone();
        let mut rows: Vec<StoredRow> = Vec::new();
        let mut is_exhausted = false;
        while rows.len() < limit && !is_exhausted {
            let wanted = limit - rows.len();
            let batch = stored_rows(reader, stored_metadata, target, &rest, order, wanted)?;
            is_exhausted = batch.len() < wanted;
            if let Some((last, _, _)) = batch.last() {
                rest = remainder(rest, last.clone(), order);
            }
            for row in batch {
                while let Some((key, change)) = changes.next_before(Some(&row.0)) {
                    rows.extend(change.map(|id| (key.to_vec(), id, None)));
                }
                match changes.next_at(&row.0) {
                    None => rows.push(row),
                    Some(change) => rows.extend(change.map(|id| (row.0, id, None))),
                }
            }
            while is_exhausted
                && rows.len() < limit
                && let Some((key, change)) = changes.next_before(None)
            {
                rows.extend(change.map(|id| (key.to_vec(), id, None)));
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }
}

/// Returns up to `limit` rows of the store with their documents, or without
/// where those have to be looked up one by one: no write maintains an index
/// after it was dropped, so its entries may point to deleted documents.
fn stored_rows(
    reader: &mut dyn Reader,
    stored_metadata: Option<&Metadata>,
    target: ScanTarget<'_>,
    interval: &Interval,
    order: Order,
    limit: usize,
) -> Result<Vec<StoredRow>, StoreError> {
    let index = match target {
        ScanTarget::Index(index) => index,
        ScanTarget::Tablet(tablet) => {
            let rows = reader.scan_tablet(tablet, interval, order, limit)?;
            let with_key =
                |(id, ts, value): (InternalId, _, _)| (id.0.to_vec(), id, Some((ts, value)));
            return Ok(rows.into_iter().map(with_key).collect());
        }
    };
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
