//! Background work, one bounded step at a time: checking stored documents
//! against a submitted schema, building indexes, purging what was deleted,
//! forgetting what is old.
//!
//! Nothing here runs by itself: the owner of the engine calls [`Engine::upkeep`]
//! when metadata changed and again while it says that there is more to do.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use hull_store::{IndexId, TabletId, TrimStep};
use hull_value::{CodedError, InternalId, Timestamp};

use crate::engine::{BeginContext, Engine};
use crate::metadata::{IndexState, Metadata, Namespace, SchemaState, TableState};
use crate::staged_validators::{StagedValidator, StagedValidatorState};
use crate::system;
use crate::walks::{Walk, WalkOwner};
use crate::writer::trim_step;

/// How long a failed or overwritten schema can still be asked for (data model spec 5.5).
const DEAD_SCHEMA_NANOS: u64 = 3_600_000_000_000;
/// Time between two looks for old session records and, besides those that
/// commits make, for old history.
const LOOK_INTERVAL_NANOS: u64 = 600_000_000_000;
/// How much history is forgotten in one step.
const TRIM_STEP: TrimStep = TrimStep {
    entries_max: 4_096,
    bytes_max: 8 << 20,
};
/// How long what failed waits while there is other work.
const RETRY_NANOS: u64 = 5_000_000_000;

/// Background walks and how far they are.
#[derive(Default)]
pub struct Upkeep {
    progress: Mutex<Progress>,
}

/// What the background work is at. Lost at a restart, which is harmless.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) walks: HashMap<WalkOwner, Walk>,
    /// How far the session records from before they were listed by time are listed.
    pub(crate) session_records_after: Option<Vec<u8>>,
    turns: Turns,
    forget: Timer,
    trim: Timer,
}

/// Something to do, with what is more urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Item {
    urgency: Urgency,
    work: Work,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Urgency {
    /// A push waits for it.
    Push,
    /// Staged indexes and validators: nobody waits for them.
    Staged,
    Cleanup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Work {
    CheckSchema(Namespace),
    BuildIndex(TabletId, IndexId),
    CheckStagedValidator(TabletId, InternalId),
    PurgeIndex(TabletId, IndexId),
    PurgeTable(TabletId),
    ForgetSchema(InternalId),
    ForgetWalk(InternalId),
    ForgetSessionRecords,
    TrimHistory,
}

/// Says when something that is done every now and then is due.
#[derive(Default)]
struct Timer {
    due: Option<Timestamp>,
}

/// Whose turn it is.
#[derive(Default)]
struct Turns {
    last: Option<Item>,
    /// Begun then and not ended well since.
    failed: HashMap<Item, Timestamp>,
}

impl Upkeep {
    /// Documents entered so far into an index being built.
    pub fn documents_indexed(&self, index: IndexId) -> u64 {
        self.documents(WalkOwner::Index(index))
    }

    /// Documents checked so far against a submitted schema.
    pub fn documents_checked(&self, schema_row: InternalId) -> u64 {
        self.documents(WalkOwner::Schema(schema_row))
    }

    /// Documents checked so far against a staged validator that is pending.
    pub fn documents_checked_staged(&self, staged: &StagedValidator) -> u64 {
        self.documents(WalkOwner::StagedValidator(staged.row))
    }

    fn documents(&self, owner: WalkOwner) -> u64 {
        let progress = self.lock();
        progress.walks.get(&owner).map_or(0, |walk| walk.documents)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
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
        let mut items = self.items(&metadata, context.now);
        let chosen = {
            let mut progress = upkeep.lock();
            progress.forget_ended(&metadata);
            let Progress { forget, trim, .. } = &mut *progress;
            for (timer, work) in [
                (forget, Work::ForgetSessionRecords),
                (trim, Work::TrimHistory),
            ] {
                if timer.is_due(context.now, LOOK_INTERVAL_NANOS) {
                    let urgency = Urgency::Cleanup;
                    items.push(Item { urgency, work });
                }
            }
            progress.turns.choose(items, context.now)
        };
        let Some(item) = chosen else { return Ok(false) };
        self.step(item.work, &metadata, upkeep, context)?;
        upkeep.lock().turns.failed.remove(&item);
        Ok(true)
    }

    /// What there is to do.
    fn items(&self, metadata: &Metadata, now: Timestamp) -> Vec<Item> {
        let mut items = Vec::new();
        let mut add = |urgency, work| items.push(Item { urgency, work });
        for slot in metadata.pending_schemas() {
            if slot.1.state == SchemaState::Pending {
                add(Urgency::Push, Work::CheckSchema(slot.0));
            }
        }
        for staged in metadata.staged_validators() {
            if staged.state == StagedValidatorState::Pending {
                let work = Work::CheckStagedValidator(staged.tablet, staged.row);
                add(Urgency::Staged, work);
            }
        }
        for table in metadata.tables() {
            for index in &table.indexes {
                match index.state {
                    IndexState::Backfilling if table.state == TableState::Active => {
                        let urgency = if index.staged {
                            Urgency::Staged
                        } else {
                            Urgency::Push
                        };
                        add(urgency, Work::BuildIndex(table.tablet, index.index));
                    }
                    IndexState::Deleting
                        if self.is_out_of_reach(metadata, system::INDEXES, index.index.0) =>
                    {
                        let work = Work::PurgeIndex(table.tablet, index.index);
                        add(Urgency::Cleanup, work);
                    }
                    _ => {}
                }
            }
            if table.state == TableState::Deleting
                && table.indexes.is_empty()
                && self.is_out_of_reach(metadata, system::TABLES, table.tablet.0)
            {
                add(Urgency::Cleanup, Work::PurgeTable(table.tablet));
            }
        }
        for row in metadata.ended_walks() {
            add(Urgency::Cleanup, Work::ForgetWalk(row));
        }
        for (row, since) in metadata.dead_schemas() {
            if since.0.saturating_add(DEAD_SCHEMA_NANOS) < now.0 {
                add(Urgency::Cleanup, Work::ForgetSchema(row));
            }
        }
        items
    }

    /// Whether every snapshot that can still be asked for sees the row of a
    /// table or index as it is now.
    fn is_out_of_reach(&self, metadata: &Metadata, tablet: TabletId, number: u32) -> bool {
        metadata
            .row(tablet, system::numbered_row_id(number))
            .is_some_and(|(ts, _)| !self.shared().window().reaches_before(*ts))
    }

    fn step(
        &self,
        work: Work,
        metadata: &Metadata,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let find = |tablet, index| {
            let table = metadata.table(tablet)?;
            let index = table.indexes.iter().find(|known| known.index == index)?;
            Some((table, index))
        };
        match work {
            Work::CheckSchema(namespace) => match metadata.pending_schema(namespace) {
                Some(pending) => self.check_page(namespace, pending, upkeep, context),
                None => Ok(()),
            },
            Work::BuildIndex(tablet, index) => match find(tablet, index) {
                Some((table, index)) => self.backfill_page(table, index, upkeep, context),
                None => Ok(()),
            },
            Work::CheckStagedValidator(tablet, row) => {
                let staged = metadata.staged_validator(tablet);
                let staged = staged.filter(|staged| staged.row == row);
                match metadata.table(tablet).zip(staged) {
                    Some((table, staged)) => self.check_staged_page(table, staged, upkeep, context),
                    None => Ok(()),
                }
            }
            Work::PurgeIndex(tablet, index) => match find(tablet, index) {
                Some((_, index)) => self.purge_index(index, context),
                None => Ok(()),
            },
            Work::PurgeTable(tablet) => match metadata.table(tablet) {
                Some(table) => self.purge_table(table, context),
                None => Ok(()),
            },
            Work::ForgetSchema(row) => self.retrying(context, |transaction| {
                match transaction.schema_state(row)? {
                    Some(SchemaState::Failed { .. } | SchemaState::Overwritten) => {
                        transaction.put_system_row(system::SCHEMAS, row, None)
                    }
                    _ => Ok(()),
                }
            }),
            Work::ForgetWalk(row) => self.retrying(context, |transaction| {
                transaction.put_system_row(system::WALKS, row, None)
            }),
            Work::ForgetSessionRecords => {
                if self.forget_session_records(upkeep, context)? {
                    upkeep.lock().forget = Timer::default();
                }
                Ok(())
            }
            Work::TrimHistory => {
                let (limits, now) = (self.shared().history, context.now);
                if self.in_writer(move |writer| trim_step(writer, limits, now, TRIM_STEP))? {
                    upkeep.lock().trim = Timer::default();
                }
                Ok(())
            }
        }
    }
}

impl Progress {
    /// Drops the walks of what is not being built or checked any more.
    fn forget_ended(&mut self, metadata: &Metadata) {
        self.walks.retain(|owner, _| owner.is_walking(metadata));
    }
}

impl Timer {
    /// The first time is some time after the start: nobody waits for it.
    fn is_due(&mut self, now: Timestamp, interval_nanos: u64) -> bool {
        let later = Timestamp(now.0.saturating_add(interval_nanos));
        *self.due.get_or_insert(later) <= now
    }
}

impl Turns {
    /// Chooses among the most urgent items in turn. What failed a moment ago
    /// comes after everything else, so that it holds up nothing.
    fn choose(&mut self, mut items: Vec<Item>, now: Timestamp) -> Option<Item> {
        items.sort_unstable();
        self.failed.retain(|item, since| {
            since.0.saturating_add(RETRY_NANOS) > now.0 && items.binary_search(item).is_ok()
        });
        if items.iter().any(|item| !self.failed.contains_key(item)) {
            items.retain(|item| !self.failed.contains_key(item));
        }
        let urgency = items.first()?.urgency;
        let next = items
            .iter()
            .find(|item| item.urgency == urgency && self.last.is_some_and(|last| last < **item))
            .or(items.first())
            .copied()?;
        self.last = Some(next);
        self.failed.insert(next, now);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

    fn build(urgency: Urgency, number: u32) -> Item {
        Item {
            urgency,
            work: Work::BuildIndex(TabletId(1), IndexId(number)),
        }
    }

    #[test]
    fn the_most_urgent_take_turns() {
        let items = [
            build(Urgency::Staged, 1),
            build(Urgency::Push, 2),
            build(Urgency::Push, 3),
        ];
        let mut turns = Turns::default();
        let mut next = || {
            let item = turns.choose(items.to_vec(), NOW).unwrap();
            turns.failed.remove(&item);
            item
        };
        assert_eq!([next(), next(), next()], [items[1], items[2], items[1]]);
        assert_eq!(turns.choose(Vec::new(), NOW), None);
    }

    #[test]
    fn what_failed_waits_until_the_rest_had_a_turn() {
        let items = [
            build(Urgency::Push, 1),
            build(Urgency::Push, 2),
            build(Urgency::Staged, 3),
        ];
        let mut turns = Turns::default();
        let mut fail = |now| turns.choose(items.to_vec(), now).unwrap();
        assert_eq!([fail(NOW), fail(NOW), fail(NOW)], items);
        // Nothing else is left.
        assert_eq!(fail(NOW).urgency, Urgency::Push);
        assert_eq!(fail(Timestamp(NOW.0 + RETRY_NANOS)).urgency, Urgency::Push);
    }
}
