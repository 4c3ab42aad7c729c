use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use hull_store::{IndexId, Order, StoreError, TabletId, TabletUsage};
use hull_value::{
    CodedError, DocumentId, InternalId, PackedValue, Timestamp, ValueRef, keys, keys::Interval,
};

use crate::engine::BeginContext;
use crate::key_space::KeySpace;
use crate::layer::{ChangesInOrder, Layer, documents_in, entries_in};
use crate::metadata::{IndexInfo, Metadata, Namespace, TableInfo, TableState};
use crate::read_set::ReadSet;
use crate::snapshot::{ScanTarget, ScannedRow, Snapshot};
use crate::system;

mod documents;
mod ids;
mod query_source;
mod tables;
mod usage;

pub use documents::{DatabaseReader, Patch};
pub use query_source::ComponentReads;
pub use usage::{Ceilings, TransactionLimits, Usage};

/// One unit of work on one snapshot: reads are recorded, writes are seen by
/// later reads of the same transaction and by nobody else until commit.
pub struct Transaction {
    snapshot: Snapshot,
    /// The snapshot's metadata with this transaction's own table changes.
    pub(crate) metadata: Arc<Metadata>,
    reads: ReadSet,
    /// What functions asked for by `db.get`, queries and counts, recorded or
    /// not: the limit on reads counts these and no derived dependencies.
    asked: ReadSet,
    writes: Writes,
    undo: Vec<Undo>,
    usage: Usage,
    ids: ids::IdGenerator,
    next_creation_time: f64,
    numbers: Arc<AtomicU32>,
    /// Reads see the begin snapshot only and are not recorded (`useStaleSnapshot`).
    is_stale: bool,
}

/// A point that writes can be rolled back to; reads and usage stay.
#[derive(Clone, Debug)]
pub struct Savepoint {
    undo_len: usize,
    metadata: Arc<Metadata>,
}

#[derive(Default)]
struct Writes {
    documents: BTreeMap<(TabletId, InternalId), PendingDocument>,
    entries: HashMap<IndexId, BTreeMap<Arc<[u8]>, Option<InternalId>>>,
    ts: Timestamp,
}

#[derive(Clone, Debug)]
struct PendingDocument {
    /// The committed revision this transaction started from.
    old: Option<(Timestamp, PackedValue)>,
    new: Option<PackedValue>,
}

enum Undo {
    Document {
        key: (TabletId, InternalId),
        before: Option<PendingDocument>,
    },
    Entry {
        index: IndexId,
        key: Arc<[u8]>,
        before: Option<Option<InternalId>>,
    },
}

/// What a finished transaction asks the committer for.
pub(crate) struct Finished {
    pub(crate) begin: Timestamp,
    pub(crate) reads: ReadSet,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) documents: Vec<FinishedDocument>,
}

pub(crate) struct FinishedDocument {
    pub(crate) tablet: TabletId,
    pub(crate) id: InternalId,
    pub(crate) old: Option<(Timestamp, PackedValue)>,
    pub(crate) new: Option<PackedValue>,
}

impl Transaction {
    pub(crate) fn new(
        snapshot: Snapshot,
        context: &BeginContext,
        numbers: Arc<AtomicU32>,
        ceilings: Ceilings,
    ) -> Transaction {
        let metadata = snapshot.metadata.clone();
        let creation_ns = context.now.0.max(snapshot.ts.0 + 1);
        Transaction {
            writes: Writes {
                ts: snapshot.ts,
                ..Writes::default()
            },
            snapshot,
            metadata,
            reads: ReadSet::default(),
            asked: ReadSet::default(),
            undo: Vec::new(),
            usage: Usage::new(ceilings),
            ids: ids::IdGenerator::new(context.seed, context.now),
            next_creation_time: creation_time_ms(creation_ns),
            numbers,
            is_stale: false,
        }
    }

    /// The timestamp of the snapshot that reads see.
    pub fn begin_ts(&self) -> Timestamp {
        self.snapshot.ts
    }

    pub fn reads(&self) -> &ReadSet {
        &self.reads
    }

    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    pub fn usage_mut(&mut self) -> &mut Usage {
        &mut self.usage
    }

    /// Takes the read set out of a transaction that will not commit.
    pub fn into_reads(self) -> ReadSet {
        self.reads
    }

    /// What the resident system tables say, own changes included. Whoever acts
    /// on it must have recorded the dependency: the other methods here do.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether anything was written, no-ops excluded.
    pub fn has_writes(&self) -> bool {
        self.writes
            .documents
            .values()
            .any(PendingDocument::is_change)
    }

    /// Switches to reading the begin snapshot without own writes and without
    /// recording; returns the former mode.
    pub fn set_stale(&mut self, is_stale: bool) -> bool {
        std::mem::replace(&mut self.is_stale, is_stale)
    }

    /// Marks the state that [`roll_back`](Self::roll_back) returns to.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            undo_len: self.undo.len(),
            metadata: self.metadata.clone(),
        }
    }

    /// Undoes every write since `savepoint`.
    pub fn roll_back(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.undo_len {
            match self.undo.pop() {
                Some(Undo::Document {
                    key,
                    before: Some(before),
                }) => {
                    self.writes.documents.insert(key, before);
                }
                Some(Undo::Document { key, before: None }) => {
                    self.writes.documents.remove(&key);
                }
                Some(Undo::Entry { index, key, before }) => {
                    let entries = self.writes.entries.entry(index).or_default();
                    match before {
                        Some(before) => entries.insert(key, before),
                        None => entries.remove(&key),
                    };
                }
                None => break,
            }
        }
        self.metadata = savepoint.metadata;
    }

    /// Reads one document of a tablet and records it, found or not.
    pub(crate) fn read(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<PackedValue>, CodedError> {
        if !self.is_stale {
            self.reads.add_point(tablet, id);
            if let Some(pending) = self.writes.documents.get(&(tablet, id)) {
                return Ok(pending.new.clone());
            }
        }
        let found = self.snapshot.get(tablet, id).map_err(storage_error)?;
        Ok(found.map(|(_, value)| value))
    }

    /// Reads a document as it was committed, and when.
    pub(crate) fn read_revision(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<(Timestamp, PackedValue)>, CodedError> {
        self.reads.add_point(tablet, id);
        self.snapshot.get(tablet, id).map_err(storage_error)
    }

    /// How many documents a tablet has, own writes included. Costs O(own writes).
    fn count(&mut self, tablet: TabletId) -> Result<u64, CodedError> {
        let committed = self.snapshot.count(tablet).map_err(storage_error)?;
        if self.is_stale {
            return Ok(committed);
        }
        let ids = (tablet, InternalId([0; 16]))..=(tablet, InternalId([0xff; 16]));
        let growth = self.writes.documents.range(ids).map(|(_, pending)| {
            i64::from(pending.new.is_some()) - i64::from(pending.old.is_some())
        });
        Ok(committed.saturating_add_signed(growth.sum()))
    }

    /// How much a table holds, own writes not included; nothing if there is
    /// none. For estimates: recorded is the table's name alone.
    pub(crate) fn table_usage(
        &mut self,
        namespace: Namespace,
        name: &str,
    ) -> Result<TabletUsage, CodedError> {
        match self.table(namespace, name) {
            Some(table) => self.snapshot.usage(table.tablet).map_err(storage_error),
            None => Ok(TabletUsage::default()),
        }
    }

    /// Reads a row of a system table.
    pub fn system_row(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<Option<PackedValue>, CodedError> {
        if system::is_resident(tablet) {
            self.reads.add_point(tablet, id);
            return Ok(self
                .metadata
                .row(tablet, id)
                .map(|(_, value)| value.clone()));
        }
        self.read(tablet, id)
    }

    /// Reads all rows of a resident system table.
    pub fn system_rows(&mut self, tablet: TabletId) -> Vec<(InternalId, PackedValue)> {
        debug_assert!(system::is_resident(tablet));
        self.reads
            .add_interval(KeySpace::Tablet(tablet), Interval::all());
        self.metadata
            .rows(tablet)
            .map(|(id, value)| (id, value.clone()))
            .collect()
    }

    /// Finds the first row of a resident system table whose id begins with `prefix`,
    /// recording that there is this one, or none.
    pub fn system_row_by_prefix(
        &mut self,
        tablet: TabletId,
        prefix: &[u8],
    ) -> Option<(InternalId, PackedValue)> {
        debug_assert!(system::is_resident(tablet));
        let interval = Interval::prefix(prefix.to_vec());
        let found = self
            .metadata
            .first_row_from(tablet, prefix)
            .filter(|(id, _)| id.0.starts_with(prefix))
            .map(|(id, row)| (id, row.clone()));
        self.reads.add_interval(KeySpace::Tablet(tablet), interval);
        found
    }

    /// Looks at all rows of a resident system table without recording anything:
    /// for a caller who records by other means what it makes of them.
    pub fn peek_system_rows(&self, tablet: TabletId) -> Vec<PackedValue> {
        self.metadata
            .rows(tablet)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// Writes (or with `None` deletes) a row of a system table.
    pub fn put_system_row(
        &mut self,
        tablet: TabletId,
        id: InternalId,
        new: Option<PackedValue>,
    ) -> Result<(), CodedError> {
        self.reads.add_point(tablet, id);
        let size_bytes = new.as_ref().map_or(0, |row| row.as_bytes().len());
        self.usage.charge_system_write(size_bytes)?;
        self.write(tablet, id, new, None)
    }

    /// Replaces the state of a document. `table` is its table when its indexes have to follow.
    pub(crate) fn write(
        &mut self,
        tablet: TabletId,
        id: InternalId,
        new: Option<PackedValue>,
        table: Option<(&TableInfo, &DocumentId)>,
    ) -> Result<(), CodedError> {
        let old = match self.writes.documents.get(&(tablet, id)) {
            Some(pending) => pending.old.clone(),
            None => self.snapshot.get(tablet, id).map_err(storage_error)?,
        };
        self.write_over(tablet, id, old, new, table)
    }

    /// Like [`write`](Self::write) for a caller who knows the committed revision:
    /// a new document's id needs no look-up.
    pub(crate) fn write_over(
        &mut self,
        tablet: TabletId,
        id: InternalId,
        old: Option<(Timestamp, PackedValue)>,
        new: Option<PackedValue>,
        table: Option<(&TableInfo, &DocumentId)>,
    ) -> Result<(), CodedError> {
        let pending = self.writes.documents.get(&(tablet, id)).cloned();
        let current = match &pending {
            Some(pending) => pending.new.clone(),
            None => old.as_ref().map(|(_, value)| value.clone()),
        };
        if current == new {
            return Ok(());
        }
        if let Some((table, document_id)) = table {
            let indexes: Vec<Arc<IndexInfo>> = table.maintained_indexes().cloned().collect();
            for index in indexes {
                let key_of = |value: &PackedValue| index_key(value, &index, document_id);
                let (before, after) = (current.as_ref().map(key_of), new.as_ref().map(key_of));
                if before == after {
                    continue;
                }
                if let Some(key) = before {
                    self.write_entry(index.index, key.into(), None);
                }
                if let Some(key) = after {
                    self.write_entry(index.index, key.into(), Some(id));
                }
            }
        }
        if system::is_resident(tablet) {
            let row = new.clone().map(|value| (self.snapshot.ts, value));
            Arc::make_mut(&mut self.metadata)
                .apply(tablet, id, row)
                .map_err(|error| CodedError::internal(error.to_string()))?;
        }
        self.undo.push(Undo::Document {
            key: (tablet, id),
            before: pending,
        });
        self.writes
            .documents
            .insert((tablet, id), PendingDocument { old, new });
        Ok(())
    }

    fn write_entry(&mut self, index: IndexId, key: Arc<[u8]>, target: Option<InternalId>) {
        let before = self
            .writes
            .entries
            .entry(index)
            .or_default()
            .insert(key.clone(), target);
        self.undo.push(Undo::Entry { index, key, before });
    }

    pub(crate) fn scan(
        &mut self,
        target: ScanTarget<'_>,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<ScannedRow>, CodedError> {
        let nothing = Writes::default();
        let own: &Writes = if self.is_stale {
            &nothing
        } else {
            &self.writes
        };
        self.snapshot
            .scan(target, interval, order, limit, own)
            .map_err(storage_error)
    }

    pub(crate) fn finish(self) -> Finished {
        let documents = self
            .writes
            .documents
            .into_iter()
            .filter(|(_, pending)| pending.is_change())
            .map(|((tablet, id), pending)| FinishedDocument {
                tablet,
                id,
                old: pending.old,
                new: pending.new,
            })
            .collect();
        Finished {
            begin: self.snapshot.ts,
            reads: self.reads,
            metadata: self.metadata,
            documents,
        }
    }

    pub(crate) fn record(&mut self, space: KeySpace, interval: Interval) {
        if !self.is_stale {
            self.reads.add_interval(space, interval);
        }
    }

    /// Counts a document that a function asked for towards the limit on reads.
    pub(crate) fn charge_point(
        &mut self,
        tablet: TabletId,
        id: InternalId,
    ) -> Result<(), CodedError> {
        self.asked.add_point(tablet, id);
        self.usage.charge_intervals(self.asked.len())
    }

    /// Counts an interval that a function asked for towards the limit on reads.
    pub(crate) fn charge_interval(
        &mut self,
        space: KeySpace,
        interval: Interval,
    ) -> Result<(), CodedError> {
        self.asked.add_interval(space, interval);
        self.usage.charge_intervals(self.asked.len())
    }

    pub(crate) fn next_number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn new_id(&mut self) -> InternalId {
        self.ids.next_id()
    }

    /// Creation time of the next insert; each is the next representable double (data model spec 2.5).
    pub(crate) fn take_creation_time(&mut self) -> f64 {
        let time = self.next_creation_time;
        self.next_creation_time = time.next_up();
        time
    }
}

impl PendingDocument {
    fn is_change(&self) -> bool {
        self.old.as_ref().map(|(_, value)| value) != self.new.as_ref()
    }
}

impl Layer for Writes {
    fn changes<'a>(
        &'a self,
        target: ScanTarget<'_>,
        interval: &Interval,
        order: Order,
    ) -> ChangesInOrder<'a> {
        match target {
            ScanTarget::Tablet(tablet) => {
                let exists = |pending: &PendingDocument| pending.new.is_some();
                documents_in(&self.documents, tablet, interval, order, exists)
            }
            ScanTarget::Index(index) => entries_in(self.entries.get(&index.index), interval, order),
        }
    }

    fn document(
        &self,
        tablet: TabletId,
        id: InternalId,
    ) -> Option<Option<(Timestamp, PackedValue)>> {
        let pending = self.documents.get(&(tablet, id))?;
        Some(pending.new.clone().map(|value| (self.ts, value)))
    }
}

/// Returns the key under which `index` holds a document.
pub(crate) fn index_key(value: &PackedValue, index: &IndexInfo, id: &DocumentId) -> Vec<u8> {
    match value.as_ref() {
        ValueRef::Object(object) => keys::index_key(object, &index.fields, id),
        _ => unreachable!("invariant: documents are objects"),
    }
}

/// Converts a timestamp to `_creationTime` milliseconds (data model spec 2.5).
pub(crate) fn creation_time_ms(ns: u64) -> f64 {
    (ns / 1_000_000) as f64 + (ns % 1_000_000) as f64 * 1e-6
}

pub(crate) fn storage_error(error: StoreError) -> CodedError {
    CodedError::internal(error.to_string())
}

/// Whether a document of this table may be read or written by user functions.
pub(crate) fn is_usable(table: &TableInfo) -> bool {
    table.state == TableState::Active
}
