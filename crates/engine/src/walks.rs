//! Walks over all documents of a table, and how far they are. Long ones are
//! saved every now and then, so that a restart goes on and does not begin anew.
//!
//! A saved walk is never ahead of what it stands for: it is saved after its
//! page. Being behind is harmless, as each page may be done again.

use std::collections::BTreeSet;

use hull_store::{IndexId, TabletId};
use hull_value::{CodedError, InternalId, Value, ValueRef};

use crate::document;
use crate::engine::{BeginContext, Engine};
use crate::metadata::{IndexState, Metadata, SchemaState};
use crate::staged_validators::StagedValidatorState;
use crate::system;
use crate::upkeep::Upkeep;

/// A walk is saved each time it has seen so many more documents: one small
/// commit beside some sixteen pages.
pub(crate) const SAVE_DOCUMENTS: u64 = 4_096;

/// What a walk is for. Neither indexes nor rows are ever numbered the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum WalkOwner {
    /// Enters documents into an index that is being built.
    Index(IndexId),
    /// Checks documents against a submitted schema, table by table.
    Schema(InternalId),
    /// Checks documents against a staged validator.
    StagedValidator(InternalId),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Walk {
    /// Where it is.
    pub(crate) tablet: Option<TabletId>,
    /// The last document it has seen there.
    pub(crate) after: Option<Vec<u8>>,
    /// Documents seen in all.
    pub(crate) documents: u64,
    /// Tables it has been through.
    pub(crate) tables_done: BTreeSet<String>,
    /// What of `documents` is saved.
    saved_documents: u64,
}

impl Walk {
    /// Where to go on in a table.
    pub(crate) fn after_in(&self, tablet: TabletId) -> Option<&[u8]> {
        self.after
            .as_deref()
            .filter(|_| self.tablet == Some(tablet))
    }

    /// The walk one page on.
    pub(crate) fn advanced(self, tablet: TabletId, last: Option<&[u8]>, documents: usize) -> Walk {
        Walk {
            after: last.or(self.after_in(tablet)).map(<[u8]>::to_vec),
            tablet: Some(tablet),
            documents: self.documents + documents as u64,
            ..self
        }
    }
}

impl WalkOwner {
    fn row_id(self) -> InternalId {
        let (kind, id) = self.parts();
        system::row_id(&[b"walk", kind.as_bytes(), &id])
    }

    fn parts(self) -> (&'static str, Vec<u8>) {
        match self {
            WalkOwner::Index(index) => ("index", index.0.to_be_bytes().to_vec()),
            WalkOwner::Schema(row) => ("schema", row.0.to_vec()),
            WalkOwner::StagedValidator(row) => ("staged validator", row.0.to_vec()),
        }
    }

    fn of_row(row: ValueRef<'_>) -> Option<WalkOwner> {
        let id: &[u8] = match document::field(row, "owner")? {
            ValueRef::Bytes(id) => id,
            _ => return None,
        };
        let row_id = || Some(InternalId(id.try_into().ok()?));
        Some(match document::text(row, "kind")? {
            "index" => WalkOwner::Index(IndexId(u32::from_be_bytes(id.try_into().ok()?))),
            "schema" => WalkOwner::Schema(row_id()?),
            "staged validator" => WalkOwner::StagedValidator(row_id()?),
            _ => return None,
        })
    }

    /// Whether there is still something to walk for.
    pub(crate) fn is_walking(self, metadata: &Metadata) -> bool {
        match self {
            WalkOwner::Index(index) => metadata.tables().any(|table| {
                let mut indexes = table.indexes.iter();
                indexes.any(|known| known.index == index && known.state == IndexState::Backfilling)
            }),
            WalkOwner::Schema(row) => metadata
                .pending_schemas()
                .any(|(_, slot)| slot.row == row && slot.state == SchemaState::Pending),
            WalkOwner::StagedValidator(row) => metadata
                .staged_validators()
                .any(|known| known.row == row && known.state == StagedValidatorState::Pending),
        }
    }
}

impl Metadata {
    fn saved_walk(&self, owner: WalkOwner) -> Option<Walk> {
        let (_, row) = self.row(system::WALKS, owner.row_id())?;
        let row = row.as_ref();
        let documents = document::int(row, "documents").and_then(|n| u64::try_from(n).ok())?;
        let tablet = document::int(row, "tablet").and_then(|n| u32::try_from(n).ok());
        let after = match document::field(row, "after")? {
            ValueRef::Bytes(after) => Some(after.to_vec()),
            _ => None,
        };
        let tables_done = match document::field(row, "tablesDone")? {
            ValueRef::Array(tables) => tables
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            _ => return None,
        };
        Some(Walk {
            tablet: tablet.map(TabletId),
            after,
            documents,
            tables_done,
            saved_documents: documents,
        })
    }

    /// Rows of saved walks that have come to their end.
    pub(crate) fn ended_walks(&self) -> impl Iterator<Item = InternalId> {
        self.rows(system::WALKS)
            .filter(|(_, row)| {
                !WalkOwner::of_row(row.as_ref()).is_some_and(|owner| owner.is_walking(self))
            })
            .map(|(id, _)| id)
    }
}

impl Engine {
    /// How far a walk is.
    pub(crate) fn walk(&self, owner: WalkOwner, upkeep: &Upkeep) -> Walk {
        let known = upkeep.lock().walks.get(&owner).cloned();
        known
            .or_else(|| self.metadata().saved_walk(owner))
            .unwrap_or_default()
    }

    /// Notes how far a walk is now, after its page was done.
    pub(crate) fn set_walk(
        &self,
        owner: WalkOwner,
        mut walk: Walk,
        upkeep: &Upkeep,
        context: &BeginContext,
    ) -> Result<(), CodedError> {
        let is_due = walk.documents >= walk.saved_documents + SAVE_DOCUMENTS;
        if is_due {
            walk.saved_documents = walk.documents;
        }
        upkeep.lock().walks.insert(owner, walk.clone());
        if !is_due {
            return Ok(());
        }
        let (kind, id) = owner.parts();
        let tablet = walk
            .tablet
            .map_or(Value::Null, |tablet| Value::Int64(tablet.0.into()));
        let tables_done = walk.tables_done.into_iter().map(Value::String);
        let row = document::row([
            ("kind", Value::String(kind.to_owned())),
            ("owner", Value::Bytes(id)),
            ("tablet", tablet),
            ("after", walk.after.map_or(Value::Null, Value::Bytes)),
            ("documents", Value::Int64(walk.documents as i64)),
            ("tablesDone", Value::Array(tables_done.collect())),
        ]);
        self.retrying(context, |transaction| {
            transaction.put_system_row(system::WALKS, owner.row_id(), Some(row.clone()))
        })
    }
}
