//! Background work, one bounded step at a time: building indexes, checking
//! stored documents against a submitted schema, purging what was deleted.
//!
//! Nothing here runs by itself: the owner of the engine calls [`Engine::upkeep`]
//! when metadata changed and again while it says that there is more to do.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{HashMap, HashSet};
use hull_store::{IndexId, IndexWrite, Order, TabletId, Writer};
use hull_value::{CodedError, DocumentId, InternalId, keys::Interval};

use crate::committer::CommitError;
use crate::engine::{BeginContext, Engine};
use crate::metadata::{
    IndexInfo, IndexState, Metadata, SchemaSlot, SchemaState, TableInfo, TableState,
};
use crate::schema_change::is_implied;
use crate::snapshot::ScannedRow;
use crate::system;
use crate::transaction::{ScanTarget, Transaction, index_key};

/// Documents handled in one step: a few milliseconds, so that mutations are not held up.
const PAGE_DOCUMENTS: usize = 256;
/// Rows purged in one step.
const PURGE_ROWS: usize = 1_024;

/// Where the background walks are. Lost at a restart: walks then begin anew, which is safe.
#[derive(Default)]
pub(crate) struct Progress {
    indexes: HashMap<IndexId, Walk>,
    schemas: HashMap<InternalId, SchemaWalk>,
}

#[derive(Clone, Default)]
struct Walk {
    after: Option<Vec<u8>>,
    documents: u64,
}

#[derive(Clone, Default)]
struct SchemaWalk {
    tables_done: HashSet<String>,
    walk: Walk,
    documents: u64,
}

/// Background walks and how far they are.
#[derive(Default)]
pub struct Upkeep {
    progress: Mutex<Progress>,
}

impl Upkeep {
    /// Documents entered so far into an index being built.
    pub fn documents_indexed(&self, index: IndexId) -> u64 {
        self.lock()
            .indexes
            .get(&index)
            .map_or(0, |walk| walk.documents)
    }

    /// Documents checked so far against a submitted schema.
    pub fn documents_checked(&self, schema_row: InternalId) -> u64 {
        self.lock()
            .schemas
            .get(&schema_row)
            .map_or(0, |walk| walk.documents)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Does one step of background work; `true` if there is more to do now.
    ///
    /// What was dropped is purged only when it has left the window of
    /// snapshots that may still read it; until then there is nothing to do.
    pub fn upkeep(&self, upkeep: &Upkeep, context: &BeginContext) -> Result<bool, CodedError> {
        let metadata = self.metadata();
        for table in metadata.tables() {
            if let Some(index) = table.indexes.iter().find(|index| {
                index.state == IndexState::Deleting
                    && self.is_out_of_reach(&metadata, system::INDEXES, index.index.0)
            }) {
                self.purge_index(index, context)?;
                return Ok(true);
            }
            if table.state == TableState::Deleting {
                if table.indexes.is_empty()
                    && self.is_out_of_reach(&metadata, system::TABLES, table.tablet.0)
                {
                    self.purge_table(table, context)?;
                    return Ok(true);
                }
                continue;
            }
            if let Some(index) = table
                .indexes
                .iter()
                .find(|index| index.state == IndexState::Backfilling)
            {
                self.backfill_page(table, index, upkeep, context)?;
                return Ok(true);
            }
        }
        let namespaces: HashSet<_> = metadata.tables().map(|table| table.namespace).collect();
        for namespace in namespaces {
            if let Some(pending) = metadata.pending_schema(namespace)
                && pending.state == SchemaState::Pending
            {
                self.check_page(namespace, pending, upkeep, context)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether every snapshot that can still be asked for sees the row of a
    /// table or index as it is now.
    fn is_out_of_reach(&self, metadata: &Metadata, tablet: TabletId, number: u32) -> bool {
        metadata
            .row(tablet, system::numbered_row_id(number))
            .is_some_and(|(ts, _)| !self.shared().window().reaches_before(*ts))
    }

    fn purge_index(&self, index: &IndexInfo, context: &BeginContext) -> Result<(), CodedError> {
        let id = index.index;
        if self.in_writer(move |writer| writer.delete_index(id, PURGE_ROWS))? {
            let index = index.clone();
            self.retrying(context, move |transaction| transaction.forget_index(&index))?;
        }
        Ok(())
    }

    fn purge_table(&self, table: &TableInfo, context: &BeginContext) -> Result<(), CodedError> {
        let tablet = table.tablet;
        if self.in_writer(move |writer| writer.delete_tablet(tablet, PURGE_ROWS))? {
            let table = table.clone();
            self.retrying(context, move |transaction| transaction.forget_table(&table))?;
        }
        Ok(())
    }

    /// Enters one page of documents into an index that is being built.
    ///
    /// Writes maintain the index from the moment its row was committed, so a
    /// key that was written after the page was read is left to that write;
    /// the check and the queueing are one step under the commit lock.
    fn backfill_page(
        &self,
        table: &TableInfo,
        index: &Arc<IndexInfo>,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let walk = upkeep
            .lock()
            .indexes
            .get(&index.index)
            .cloned()
            .unwrap_or_default();
        let (ts, rows) = self.page(table.tablet, walk.after.as_deref(), context)?;
        let is_last = rows.len() < PAGE_DOCUMENTS;
        let next = Walk {
            after: rows.last().map(|row| row.key.clone()).or(walk.after),
            documents: walk.documents + rows.len() as u64,
        };
        let entries: Arc<Mutex<Vec<IndexWrite>>> = Arc::new(Mutex::new(
            rows.iter()
                .map(|row| {
                    let id = DocumentId::new(table.number, row.id);
                    IndexWrite {
                        index: index.index,
                        key: index_key(&row.value, index, &id),
                        target: Some(row.id),
                    }
                })
                .collect(),
        ));
        let (sender, receiver) = sync_channel(1);
        let index_id = index.index;
        let queued = entries.clone();
        let checked = entries;
        let is_queued = self
            .committer()
            .upkeep(
                move |window| {
                    // By key, not by document: a write that leaves the key alone writes no entry.
                    let changed: HashSet<&[u8]> = window
                        .between(ts, window.tip())
                        .flat_map(|commit| &commit.entries)
                        .filter(|change| change.index == index_id)
                        .map(|change| &*change.key)
                        .collect();
                    let mut entries = checked.lock().unwrap_or_else(PoisonError::into_inner);
                    entries.retain(|entry| !changed.contains(entry.key.as_slice()));
                    window.covers(ts)
                },
                Box::new(move |writer: &mut dyn Writer| {
                    let entries = queued.lock().unwrap_or_else(PoisonError::into_inner);
                    let result = writer.write_index_entries(&entries);
                    // Nobody waits any more only when the engine is closing.
                    let _ = sender.send(());
                    result
                }),
            )
            .map_err(commit_error)?;
        if !is_queued {
            // The page is older than the window: read it again in the next step.
            return Ok(());
        }
        receiver
            .recv()
            .map_err(|_| commit_error(CommitError::Failed))?;
        if is_last {
            upkeep.lock().indexes.remove(&index.index);
            let index = index.clone();
            self.retrying(context, move |transaction| {
                let still = transaction
                    .metadata()
                    .table(index.tablet)
                    .and_then(|table| {
                        table
                            .indexes
                            .iter()
                            .find(|known| known.index == index.index)
                    })
                    .filter(|known| known.state == IndexState::Backfilling)
                    .cloned();
                match still {
                    Some(known) => {
                        transaction.set_index_state(&known, IndexState::Backfilled, known.staged)
                    }
                    None => Ok(()),
                }
            })
        } else {
            upkeep.lock().indexes.insert(index.index, next);
            Ok(())
        }
    }

    /// Checks one page of stored documents against a submitted schema.
    fn check_page(
        &self,
        namespace: crate::metadata::Namespace,
        pending: &SchemaSlot,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let mut walk = upkeep
            .lock()
            .schemas
            .get(&pending.row)
            .cloned()
            .unwrap_or_default();
        let metadata = self.metadata();
        let enforced = metadata
            .active_schema(namespace)
            .map(|slot| slot.schema.clone());
        let mut next_tables = pending.schema.tables.keys().filter(|name| {
            !walk.tables_done.contains(*name)
                && pending.schema.schema_validation
                && !is_implied(&pending.schema, enforced.as_deref(), name)
        });
        // A table that does not exist has no documents to check.
        let next_table = next_tables.find_map(|name| metadata.table_by_name(namespace, name));
        let Some(table) = next_table else {
            upkeep.lock().schemas.remove(&pending.row);
            let row = pending.row;
            return self.retrying(context, move |transaction| {
                match transaction.schema_state(row)? {
                    Some(SchemaState::Pending) => {
                        transaction.set_schema_state(row, &SchemaState::Validated)
                    }
                    _ => Ok(()),
                }
            });
        };
        let (ts, rows) = self.page(table.tablet, walk.walk.after.as_deref(), context)?;
        let mut transaction = self.begin_at(ts, context)?;
        for row in &rows {
            if let Err(error) = transaction.check_schema(&pending.schema, table, &row.value) {
                let id = DocumentId::new(table.number, row.id);
                let name = table.name.clone();
                let message = format!(
                    "Document with ID \"{id}\" in table \"{name}\" does not match the schema: {error}"
                );
                let schema_row = pending.row;
                upkeep.lock().schemas.remove(&schema_row);
                return self.retrying(context, move |transaction| {
                    match transaction.schema_state(schema_row)? {
                        Some(SchemaState::Pending) => {
                            transaction.fail_schema(schema_row, message.clone(), Some(name.clone()))
                        }
                        _ => Ok(()),
                    }
                });
            }
        }
        walk.documents += rows.len() as u64;
        if rows.len() < PAGE_DOCUMENTS {
            walk.tables_done.insert(table.name.clone());
            walk.walk = Walk::default();
        } else {
            walk.walk.after = rows.last().map(|row| row.key.clone());
        }
        upkeep.lock().schemas.insert(pending.row, walk);
        Ok(())
    }

    fn page(
        &self,
        tablet: TabletId,
        after: Option<&[u8]>,
        context: &BeginContext,
    ) -> Result<(hull_value::Timestamp, Vec<ScannedRow>), CodedError> {
        let mut transaction = self.begin_at(self.latest(), context)?;
        let mut interval = Interval::all();
        if let Some(after) = after {
            interval.start = after.to_vec();
            interval.start.push(0);
        }
        let rows = transaction.scan(
            ScanTarget::Tablet(tablet),
            &interval,
            Order::Asc,
            PAGE_DOCUMENTS,
        )?;
        Ok((transaction.begin_ts(), rows))
    }

    /// Runs work on the writer thread and waits for what it says.
    fn in_writer<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Writer) -> Result<R, hull_store::StoreError> + Send + 'static,
    ) -> Result<R, CodedError> {
        let (sender, receiver) = sync_channel(1);
        self.committer()
            .upkeep(
                |_| true,
                Box::new(move |writer: &mut dyn Writer| {
                    let result = work(writer)?;
                    // Nobody waits any more only when the engine is closing.
                    let _ = sender.send(result);
                    Ok(())
                }),
            )
            .map_err(commit_error)?;
        receiver
            .recv()
            .map_err(|_| commit_error(CommitError::Failed))
    }

    /// Runs a small transaction until it commits.
    fn retrying(
        &self,
        context: &BeginContext,
        mut body: impl FnMut(&mut Transaction) -> Result<(), CodedError>,
    ) -> Result<(), CodedError> {
        loop {
            let mut transaction = self.begin(context)?;
            body(&mut transaction)?;
            match self.commit_and_wait(transaction, context.now) {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(commit_error(error)),
            }
        }
    }
}

fn commit_error(error: CommitError) -> CodedError {
    match error {
        CommitError::Overloaded(error) => error,
        other => CodedError::internal(other.to_string()),
    }
}
