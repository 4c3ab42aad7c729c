use hull_store::{IndexId, Order, TabletId};
use hull_value::{
    CodedError, FieldPath, InternalId, PackedValue, TableNumber, Timestamp, keys::Interval,
};

/// What queries run against: the running transaction.
pub trait QuerySource {
    /// Looks the index up by name in the caller's namespace and records the
    /// dependency on the name. `None`: the table does not exist (an error for
    /// any index but `by_id` and `by_creation_time`, which read as empty).
    fn resolve_index(
        &mut self,
        table: &str,
        index: &str,
    ) -> Result<Option<ResolvedIndex>, CodedError>;

    /// Returns up to `limit` rows of the index in `interval`, in order, with
    /// the transaction's own writes overlaid. Fewer than `limit` rows mean
    /// that the interval holds no more. Records nothing.
    fn fetch(
        &mut self,
        index: &ResolvedIndex,
        interval: &Interval,
        order: Order,
        limit: usize,
    ) -> Result<Vec<IndexedDocument>, CodedError>;

    /// Adds an interval that was really consumed to the read set.
    ///
    /// One scan calls this again and again with an interval that grows from
    /// the same edge (each call contains the one before), so the source must
    /// merge overlapping intervals and count the merged ones. Cost should be
    /// O(log intervals). May fail with a limit of class `PaginationLimit`;
    /// the interval must have been added even then.
    fn record_interval(
        &mut self,
        index: &ResolvedIndex,
        interval: Interval,
    ) -> Result<(), CodedError>;

    /// How many documents and bytes may be read in all.
    fn read_limits(&self) -> ReadLimits;

    /// Charges one consumed row to the limits on documents and bytes read.
    ///
    /// Called once per row, in order, before the row's interval is recorded.
    /// May fail with a limit of class `PaginationLimit`.
    fn record_document(
        &mut self,
        index: &ResolvedIndex,
        document: &IndexedDocument,
    ) -> Result<(), CodedError>;
}

/// The limits on reading that pages are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    pub documents: usize,
    pub bytes: usize,
}

/// An index as a query needs to know it.
#[derive(Clone, Debug)]
pub struct ResolvedIndex {
    pub index: IndexId,
    pub tablet: TabletId,
    /// The table's number, for comparisons with id strings in `by_id`.
    pub table_number: TableNumber,
    /// As declared, with the appended `_creationTime`; `_id` comes last
    /// implicitly. Empty for `by_id`.
    pub fields: Vec<FieldPath>,
    /// Keys are the 16 bytes of the internal id, not encoded field values.
    pub is_by_id: bool,
}

/// A row of an index with its document.
#[derive(Clone, Debug)]
pub struct IndexedDocument {
    pub key: Vec<u8>,
    pub id: InternalId,
    pub ts: Timestamp,
    pub value: PackedValue,
}
