//! The walks of the background work: entering stored documents into an index,
//! checking them against a schema, purging what was deleted; a page at a time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashSet;
use hull_store::{IndexWrite, Order, StoreError, TabletId, Writer};
use hull_value::{CodedError, DocumentId, Timestamp, keys::Interval};

use crate::committer::{CommitError, UpkeepWork};
use crate::engine::{BeginContext, Engine};
use crate::metadata::{IndexInfo, IndexState, SchemaSlot, SchemaState, TableInfo};
use crate::schema_change::{is_implied, is_staged_valid};
use crate::snapshot::ScanTarget;
use crate::snapshot::ScannedRow;
use crate::staged_validators::{StagedValidator, StagedValidatorState};
use crate::transaction::{Transaction, index_key};
use crate::upkeep::Upkeep;
use crate::walks::WalkOwner;
use crate::writer::not_stored;

/// Documents handled in one step, if they are small.
const PAGE_DOCUMENTS: usize = 256;
/// No more documents are read once a page holds so many bytes. Together they keep
/// what the writer does between two commits to some milliseconds.
const PAGE_BYTES: usize = 1 << 20;
/// Documents read before the size is looked at.
const CHUNK_DOCUMENTS: usize = 8;
/// Rows purged in one step.
const PURGE_ROWS: usize = 1_024;

/// Documents of a tablet in the order of their ids.
pub(crate) struct Page {
    /// What they are as of.
    pub(crate) ts: Timestamp,
    pub(crate) rows: Vec<ScannedRow>,
    pub(crate) is_last: bool,
}

impl Engine {
    pub(crate) fn purge_index(
        &self,
        index: &IndexInfo,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let id = index.index;
        if self.in_writer(move |writer| writer.delete_index(id, PURGE_ROWS))? {
            let index = index.clone();
            self.retrying(context, move |transaction| transaction.forget_index(&index))?;
        }
        Ok(())
    }

    pub(crate) fn purge_table(
        &self,
        table: &TableInfo,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
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
    pub(crate) fn backfill_page(
        &self,
        table: &TableInfo,
        index: &Arc<IndexInfo>,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let owner = WalkOwner::Index(index.index);
        let walk = self.walk(owner, upkeep);
        let tablet = table.tablet;
        let Page { ts, rows, is_last } = self.page(tablet, walk.after_in(tablet), context)?;
        let last = rows.last().map(|row| &*row.key);
        let next = walk.advanced(tablet, last, rows.len());
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
                answering(sender, move |writer| {
                    let entries = queued.lock().unwrap_or_else(PoisonError::into_inner);
                    writer.write_index_entries(&entries)
                }),
            )
            .map_err(commit_error)?;
        if !is_queued {
            // The page is older than the window: read it again in the next step.
            return Ok(());
        }
        answer(&receiver)?;
        if is_last {
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
            self.set_walk(owner, next, upkeep, context)
        }
    }

    /// Checks one page of stored documents against a submitted schema.
    pub(crate) fn check_page(
        &self,
        namespace: crate::metadata::Namespace,
        pending: &SchemaSlot,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let owner = WalkOwner::Schema(pending.row);
        let walk = self.walk(owner, upkeep);
        let metadata = self.metadata();
        let enforced = metadata
            .active_schema(namespace)
            .map(|slot| slot.schema.clone());
        let mut next_tables = pending.schema.tables.keys().filter(|name| {
            !walk.tables_done.contains(*name)
                && pending.schema.schema_validation
                && !is_implied(&pending.schema, enforced.as_deref(), name)
        });
        // A table that does not exist has no documents to check. What a staged
        // validator spares stays spared: every write since the schema was
        // submitted has been checked against it.
        let next_table = next_tables.find_map(|name| {
            let table = metadata.table_by_name(namespace, name)?;
            (!is_staged_valid(&pending.schema, &metadata, table)).then_some(table)
        });
        let Some(table) = next_table else {
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
        let Page { ts, rows, is_last } =
            self.page(table.tablet, walk.after_in(table.tablet), context)?;
        let mut transaction = self.begin_at(ts, context)?;
        for row in &rows {
            if let Err(error) = transaction.check_schema(&pending.schema, table, &row.value) {
                let id = DocumentId::new(table.number, row.id);
                let name = table.name.clone();
                let message = format!(
                    "Document with ID \"{id}\" in table \"{name}\" does not match the schema: {error}"
                );
                let schema_row = pending.row;
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
        let last = rows.last().map(|row| &*row.key);
        let mut walk = walk.advanced(table.tablet, last, rows.len());
        if is_last {
            walk.tables_done.insert(table.name.clone());
        }
        self.set_walk(owner, walk, upkeep, context)
    }

    /// Checks one page of stored documents against a staged validator.
    pub(crate) fn check_staged_page(
        &self,
        table: &TableInfo,
        staged: &StagedValidator,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let owner = WalkOwner::StagedValidator(staged.row);
        let walk = self.walk(owner, upkeep);
        let tablet = table.tablet;
        let Page { ts, rows, is_last } = self.page(tablet, walk.after_in(tablet), context)?;
        let mut transaction = self.begin_at(ts, context)?;
        let mismatch = rows.iter().find_map(|row| {
            let error = transaction.check_staged(staged, &row.value).err()?;
            let id = DocumentId::new(table.number, row.id);
            Some(format!(
                "Document with ID \"{id}\" in table \"{}\" does not match the staged schema: {error}",
                table.name
            ))
        });
        drop(transaction);
        let state = match mismatch {
            Some(error) => StagedValidatorState::Failed { error },
            None if is_last => StagedValidatorState::Valid,
            None => {
                let last = rows.last().map(|row| &*row.key);
                let next = walk.advanced(tablet, last, rows.len());
                return self.set_walk(owner, next, upkeep, context);
            }
        };
        self.retrying(context, |transaction| {
            transaction.set_staged_validator_state(staged, state.clone())
        })
    }

    /// Reads the documents after a key, as of now.
    pub(crate) fn page(
        &self,
        tablet: TabletId,
        after: Option<&[u8]>,
        context: &BeginContext,
    ) -> Result<Page, CodedError> {
        let mut transaction = self.begin_at(self.latest(), context)?;
        let mut page = Page {
            ts: transaction.begin_ts(),
            rows: Vec::new(),
            is_last: false,
        };
        let mut interval = Interval::all();
        let mut after = after.map(<[u8]>::to_vec);
        let mut size_bytes = 0;
        while page.rows.len() < PAGE_DOCUMENTS && size_bytes < PAGE_BYTES && !page.is_last {
            if let Some(mut after) = after.take() {
                after.push(0);
                interval.start = after;
            }
            let rows = transaction.scan(
                ScanTarget::Tablet(tablet),
                &interval,
                Order::Asc,
                CHUNK_DOCUMENTS,
            )?;
            page.is_last = rows.len() < CHUNK_DOCUMENTS;
            after = rows.last().map(|row| row.key.clone());
            size_bytes += rows
                .iter()
                .map(|row| row.value.as_bytes().len())
                .sum::<usize>();
            page.rows.extend(rows);
        }
        Ok(page)
    }

    /// Runs work on the writer thread and waits for what it says.
    pub(crate) fn in_writer<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Writer) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, CodedError> {
        let (sender, receiver) = sync_channel(1);
        self.committer()
            .upkeep(|_| true, answering(sender, work))
            .map_err(commit_error)?;
        answer(&receiver)
    }

    /// Runs a small transaction until it commits.
    pub(crate) fn retrying(
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

/// Makes work for the writer whose outcome goes to `sender`.
fn answering<R: Send + 'static>(
    sender: SyncSender<Result<R, StoreError>>,
    work: impl FnOnce(&mut dyn Writer) -> Result<R, StoreError> + Send + 'static,
) -> UpkeepWork {
    Box::new(move |writer: &mut dyn Writer| {
        let result = work(writer);
        let fatal = result.as_ref().err().filter(|error| error.is_fatal());
        let fatal = fatal.cloned().map_or(Ok(()), Err);
        // Nobody waits any more only when the engine is closing.
        let _ = sender.send(result);
        fatal
    })
}

/// Waits for the outcome of such work.
fn answer<R>(receiver: &Receiver<Result<R, StoreError>>) -> Result<R, CodedError> {
    match receiver.recv() {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(not_stored(&error)),
        Err(_) => Err(CodedError::internal(
            "a commit before it could not be stored",
        )),
    }
}

fn commit_error(error: CommitError) -> CodedError {
    match error {
        CommitError::Overloaded(error) | CommitError::NotStored(error) => error,
        other => CodedError::internal(other.to_string()),
    }
}
