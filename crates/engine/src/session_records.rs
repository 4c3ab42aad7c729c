//! The records by which a mutation that a client sends again is recognised
//! (client protocol spec 1.8), and how they are forgotten.
//!
//! A record is a row of [`SESSION_REQUESTS`], found by its id. Its age
//! is that of its revision. [`SESSION_REQUESTS_BY_TIME`] lists them in
//! the order of their commits, so that forgetting costs O(forgotten).

use std::sync::{Arc, LazyLock};

use hull_store::{IndexWrite, Order};
use hull_value::{
    CodedError, IndexSpec, InternalId, PackedValue, Timestamp, Value, keys::Interval,
};

use crate::committer::Prepared;
use crate::document;
use crate::engine::{BeginContext, Engine};
use crate::key_space::KeySpace;
use crate::metadata::{IndexInfo, IndexState};
use crate::snapshot::{ScanTarget, ScannedRow};
use crate::system::{DEPLOYMENT_STATE, SESSION_REQUESTS, SESSION_REQUESTS_BY_TIME, row_id};
use crate::transaction::Transaction;
use crate::upkeep::Upkeep;
use crate::window::EntryChange;

/// How long a mutation that is sent again is recognised.
const KEPT_NANOS: u64 = 14 * 24 * 3_600_000_000_000;
/// Records forgotten in one step.
const STEP_RECORDS: usize = 512;

impl Transaction {
    /// Looks for a record: when it was committed, and its row.
    pub fn session_record(
        &mut self,
        id: InternalId,
    ) -> Result<Option<(Timestamp, PackedValue)>, CodedError> {
        self.read_revision(SESSION_REQUESTS, id)
    }

    /// Writes the record of a mutation, in the mutation's own commit.
    pub fn put_session_record(
        &mut self,
        id: InternalId,
        row: PackedValue,
    ) -> Result<(), CodedError> {
        self.put_system_row(SESSION_REQUESTS, id, Some(row))
    }
}

impl Prepared {
    /// Adds what the commit at `ts` changes of the records' order by time.
    pub(crate) fn add_session_records(&mut self, ts: Timestamp) {
        let records = self.documents.iter();
        let records = records.filter(|change| change.tablet == SESSION_REQUESTS);
        let mut entries = Vec::new();
        for change in records {
            let old = change.old.as_ref();
            entries.extend(old.map(|(since, _)| (time_key(*since, change.id), change.id, false)));
            if change.new.is_some() {
                entries.push((time_key(ts, change.id), change.id, true));
            }
        }
        for (key, id, is_new) in entries {
            let key: Arc<[u8]> = key.into();
            let space = KeySpace::Index(SESSION_REQUESTS_BY_TIME);
            self.touched.push((space, key.clone()));
            self.entries.push(EntryChange {
                index: SESSION_REQUESTS_BY_TIME,
                key,
                old: (!is_new).then_some(id),
                new: is_new.then_some(id),
            });
        }
    }
}

impl Engine {
    /// Forgets some of the records that are old; `true` once none is left.
    pub(crate) fn forget_session_records(
        &self,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<bool, CodedError> {
        let is_old = |ts: Timestamp| ts.0.saturating_add(KEPT_NANOS) < context.now.0;
        let mut transaction = self.begin(context)?;
        if transaction
            .system_row(DEPLOYMENT_STATE, all_listed_row())?
            .is_none()
        {
            return self.list_session_records(is_old, upkeep, context);
        }
        let before = Timestamp(context.now.0.saturating_sub(KEPT_NANOS));
        let interval = Interval {
            start: Vec::new(),
            end: Some(before.0.to_be_bytes().to_vec()),
        };
        let by_time = ScanTarget::Index(&BY_TIME);
        let rows = transaction.scan(by_time, &interval, Order::Asc, STEP_RECORDS)?;
        drop(transaction);
        self.delete_session_records(rows.iter(), context)?;
        Ok(rows.len() < STEP_RECORDS)
    }

    /// Lists one page of the records of a data file from before there was an
    /// order by time. Done once, unless a restart comes in between.
    fn list_session_records(
        &self,
        is_old: impl Fn(Timestamp) -> bool,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<bool, CodedError> {
        let after = upkeep.lock().session_records_after.clone();
        let page = self.page(SESSION_REQUESTS, after.as_deref(), context)?;
        let (old, kept): (Vec<_>, Vec<_>) = page.rows.iter().partition(|row| is_old(row.ts));
        let entries: Vec<IndexWrite> = kept
            .into_iter()
            .map(|row| IndexWrite {
                index: SESSION_REQUESTS_BY_TIME,
                key: time_key(row.ts, row.id),
                target: Some(row.id),
            })
            .collect();
        // Nothing else removes records: none of these goes in between.
        self.in_writer(move |writer| writer.write_index_entries(&entries))?;
        self.delete_session_records(old.into_iter(), context)?;
        if page.is_last {
            self.retrying(context, |transaction| {
                let row = document::row([("complete", Value::Boolean(true))]);
                transaction.put_system_row(DEPLOYMENT_STATE, all_listed_row(), Some(row))
            })?;
        }
        let last = page.rows.last().map(|row| row.key.clone());
        upkeep.lock().session_records_after = last;
        Ok(page.is_last)
    }

    fn delete_session_records<'a>(
        &self,
        rows: impl Iterator<Item = &'a ScannedRow> + Clone,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        if rows.clone().next().is_none() {
            return Ok(());
        }
        self.retrying(context, |transaction| {
            let mut rows = rows.clone();
            rows.try_for_each(|row| transaction.put_system_row(SESSION_REQUESTS, row.id, None))
        })
    }
}

/// The order by time as scans want it.
static BY_TIME: LazyLock<IndexInfo> = LazyLock::new(|| IndexInfo {
    index: SESSION_REQUESTS_BY_TIME,
    tablet: SESSION_REQUESTS,
    name: "by_time".to_owned(),
    spec: IndexSpec::Database { fields: Vec::new() },
    fields: Vec::new(),
    state: IndexState::Enabled,
    staged: false,
});

fn time_key(ts: Timestamp, id: InternalId) -> Vec<u8> {
    [&ts.0.to_be_bytes()[..], &id.0].concat()
}

/// The row that says that all records are in the order by time.
fn all_listed_row() -> InternalId {
    row_id(&[b"session records by time"])
}
