use hull_store::Order;
use hull_value::{CodedError, FieldPath, PackedValue, keys::Interval};

use super::{
    Query, QuerySource, ResolvedIndex, Source, compile_id_range, compile_range, error,
    pipeline::Pipeline, scan::IndexScan,
};

/// A running query: state only, every call is given the source anew.
///
/// Holds at most 100 prefetched rows; how reads are recorded and which own
/// writes are seen is told in [`scan`](super::scan).
#[derive(Debug)]
pub struct QueryStream {
    /// `None` once nothing more can come.
    scan: Option<IndexScan>,
    pipeline: Pipeline,
}

impl QueryStream {
    /// Resolves the index and compiles the range; reads no rows yet.
    pub fn open(
        query: Query,
        source: &mut (impl QuerySource + ?Sized),
    ) -> Result<Self, CodedError> {
        let scan = resolve(&query.source, source)?.map(
            |Resolved {
                 index,
                 interval,
                 order,
             }| IndexScan::new(index, interval, order),
        );
        Ok(Self {
            scan,
            pipeline: Pipeline::new(query.operators),
        })
    }

    /// Returns the next row, `None` at the end and ever after.
    pub fn next(
        &mut self,
        source: &mut (impl QuerySource + ?Sized),
    ) -> Result<Option<PackedValue>, CodedError> {
        Ok(self.next_rows(source, 1)?.pop())
    }

    /// Returns the next rows; fewer than `rows_max` at the end, none ever after.
    ///
    /// For callers that hand all of them on: reads are recorded once for the
    /// batch, as if each row had been asked for singly. An error takes the
    /// place of the rows before it.
    pub fn next_rows(
        &mut self,
        source: &mut (impl QuerySource + ?Sized),
        rows_max: usize,
    ) -> Result<Vec<PackedValue>, CodedError> {
        let mut rows = Vec::new();
        let Some(scan) = &mut self.scan else {
            return Ok(rows);
        };
        let pulled = pull(scan, &mut self.pipeline, source, &mut rows, rows_max);
        // Also after an error, which the function may catch: it depends on what was read.
        let recorded = scan.record(source);
        pulled?;
        recorded?;
        if rows.len() < rows_max {
            self.scan = None;
        }
        Ok(rows)
    }
}

/// Consumes rows until so many have passed all operators, or to the end.
fn pull(
    scan: &mut IndexScan,
    pipeline: &mut Pipeline,
    source: &mut (impl QuerySource + ?Sized),
    rows: &mut Vec<PackedValue>,
    rows_max: usize,
) -> Result<(), CodedError> {
    while rows.len() < rows_max && !pipeline.is_exhausted() {
        let Some(row) = scan.next(source, pipeline.wanted_max())? else {
            break;
        };
        if pipeline.admit(&row)? {
            rows.push(row.value);
        }
    }
    Ok(())
}

/// Where a query reads.
pub(super) struct Resolved {
    pub(super) index: ResolvedIndex,
    pub(super) interval: Interval,
    pub(super) order: Order,
}

/// Resolves the index of a query and compiles its range; `None`: no such table, no rows.
pub(super) fn resolve(
    query: &Source,
    source: &mut (impl QuerySource + ?Sized),
) -> Result<Option<Resolved>, CodedError> {
    let (table, index_name) = query.names();
    let (order, range) = match query {
        Source::FullTableScan { order, .. } => (*order, [].as_slice()),
        Source::IndexRange { order, range, .. } => (*order, range.as_slice()),
        Source::Search { .. } => return Err(error::search_not_built(table, index_name)),
    };
    let index = source.resolve_index(table, index_name)?;
    let full_name = format!("{table}.{index_name}");
    let Some(index) = index else {
        if !matches!(index_name, "by_id" | "by_creation_time") {
            return Err(error::index_not_found(&full_name));
        }
        // A wrong range is an error whether or not the table exists.
        compile_range(&full_name, &key_fields(&builtin_fields(index_name)), range)?;
        return Ok(None);
    };
    let interval = if index.is_by_id {
        compile_id_range(&full_name, index.table_number, range)?
    } else {
        compile_range(&full_name, &key_fields(&index.fields), range)?
    };
    Ok(Some(Resolved {
        index,
        interval,
        order,
    }))
}

/// The fields of a built-in index.
pub(super) fn builtin_fields(index_name: &str) -> Vec<FieldPath> {
    if index_name == "by_id" {
        Vec::new()
    } else {
        vec![FieldPath::creation_time()]
    }
}

/// All components of the index key.
fn key_fields(fields: &[FieldPath]) -> Vec<FieldPath> {
    fields.iter().cloned().chain([FieldPath::id()]).collect()
}
