use std::collections::BTreeMap;

use hull_store::{IndexId, Order, TabletId};
use hull_value::{
    CodedError, DocumentId, FieldPath, InternalId, PackedValue, TableNumber, Timestamp,
    keys::{self, Interval},
};

use super::super::{IndexedDocument, QuerySource, ReadLimits, ResolvedIndex};
use crate::{limits, read_set::IntervalSet};

/// The one table of the tests.
pub(in super::super) const TABLE: TableNumber = TableNumber(10_001);
pub(in super::super) const INDEXES: [(&str, &[&str]); 5] = [
    ("by_id", &[]),
    ("by_creation_time", &["_creationTime"]),
    ("by_a", &["a", "_creationTime"]),
    ("by_a_b", &["a", "b", "_creationTime"]),
    ("by_nested", &["c.d", "a", "_creationTime"]),
];

/// A transaction on the table `t`, which keeps documents in a map and works
/// out index keys whenever they are asked for.
#[derive(Clone, Default)]
pub(in super::super) struct MemorySource {
    pub(in super::super) documents: BTreeMap<InternalId, PackedValue>,
    pub(in super::super) reads: BTreeMap<IndexId, IntervalSet>,
    pub(in super::super) documents_read: usize,
    pub(in super::super) documents_max: Option<usize>,
    /// The `limit` of each fetch.
    pub(in super::super) fetches: Vec<usize>,
    pub(in super::super) record_calls: usize,
}

impl MemorySource {
    pub(in super::super) fn new(
        documents: impl IntoIterator<Item = (InternalId, PackedValue)>,
    ) -> Self {
        Self {
            documents: documents.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Forgets what was read and charged.
    pub(in super::super) fn begin(&mut self) {
        *self = Self {
            documents_max: self.documents_max,
            ..Self::new(std::mem::take(&mut self.documents))
        };
    }

    /// Whether a write of this revision of a document concerns what was read.
    pub(in super::super) fn is_read(&self, id: InternalId, value: &PackedValue) -> bool {
        self.reads
            .iter()
            .any(|(index, set)| set.contains(&key(index.0 as usize, id, value)))
    }

    /// The recorded intervals of an index.
    pub(in super::super) fn reads_of(&self, index: &str) -> IntervalSet {
        let position = INDEXES.iter().position(|(name, _)| *name == index).unwrap();
        self.reads
            .get(&IndexId(position as u32))
            .cloned()
            .unwrap_or_default()
    }
}

/// The key of a document in one of [`INDEXES`].
pub(in super::super) fn key(index: usize, id: InternalId, value: &PackedValue) -> Vec<u8> {
    let (name, fields) = INDEXES[index];
    if name == "by_id" {
        return id.0.to_vec();
    }
    keys::index_key(
        value.as_object().unwrap(),
        &paths(fields),
        &DocumentId {
            table: TABLE,
            internal: id,
        },
    )
}

pub(in super::super) fn paths(fields: &[&str]) -> Vec<FieldPath> {
    fields.iter().map(|field| field.parse().unwrap()).collect()
}

impl QuerySource for MemorySource {
    fn read_limits(&self) -> ReadLimits {
        let ceilings = crate::Ceilings::default();
        ReadLimits {
            documents: ceilings.documents_read,
            bytes: ceilings.bytes_read,
        }
    }

    fn resolve_index(
        &mut self,
        table: &str,
        index: &str,
    ) -> Result<Option<ResolvedIndex>, CodedError> {
        let position = INDEXES.iter().position(|(name, _)| *name == index);
        match position {
            Some(position) if table == "t" => Ok(Some(ResolvedIndex {
                index: IndexId(position as u32),
                tablet: TabletId(1),
                table_number: TABLE,
                fields: paths(INDEXES[position].1),
                is_by_id: index == "by_id",
            })),
            _ if table != "t" => Ok(None),
            _ => Err(CodedError::bad_request(
                "IndexNotFoundError",
                format!("Index {table}.{index} not found."),
            )),
        }
    }

    fn fetch(
        &mut self,
        index: &ResolvedIndex,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexedDocument>, CodedError> {
        self.fetches.push(limit);
        let mut rows: Vec<IndexedDocument> = self
            .documents
            .iter()
            .map(|(id, value)| IndexedDocument {
                key: key(index.index.0 as usize, *id, value),
                id: *id,
                ts: Timestamp(1),
                value: value.clone(),
            })
            .filter(|row| interval.contains(&row.key))
            .collect();
        rows.sort_by(|left, right| left.key.cmp(&right.key));
        if order == Order::Desc {
            rows.reverse();
        }
        rows.truncate(limit);
        Ok(rows)
    }

    fn record_interval(
        &mut self,
        index: &ResolvedIndex,
        interval: Interval,
    ) -> Result<(), CodedError> {
        self.record_calls += 1;
        self.reads.entry(index.index).or_default().add(interval);
        Ok(())
    }

    fn record_document(
        &mut self,
        _: &ResolvedIndex,
        _: &IndexedDocument,
    ) -> Result<(), CodedError> {
        self.documents_read += 1;
        match self.documents_max {
            Some(max) if self.documents_read > max => Err(limits::too_many_documents_read(max)),
            _ => Ok(()),
        }
    }
}
