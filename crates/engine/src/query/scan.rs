//! Reading an index interval row by row and recording exactly what was read.
//!
//! What is recorded: from the edge where the scan starts through the last
//! consumed row, inclusive; the whole interval once the scan has found its
//! end. Rows a filter rejects are consumed too, prefetched rows are not.
//!
//! How: each [`IndexScan::record`] hands the source the *whole* interval
//! consumed so far, so later calls contain the earlier ones and a read set
//! that merges overlapping intervals holds one per scan, however many rows.
//!
//! Own writes: rows are fetched in batches, each merged with the writes of the
//! transaction at that moment. A write ahead of the scan is therefore seen
//! unless its place lies in the batch that was already fetched. (Which
//! batch sizes are used depends on the query only, so runs repeat exactly.)

use std::collections::VecDeque;

use hull_store::Order;
use hull_value::{CodedError, keys::Interval};

use super::{IndexedDocument, QuerySource, ResolvedIndex};

/// Rows fetched first when nobody says how many are wanted: small, because
/// the documents may be large and the caller may stop early.
const FIRST_BATCH_LEN: usize = 32;
/// Rows held ahead of the caller at most.
const BATCH_LEN_MAX: usize = 100;

/// A position in an index interval. Holds no borrow of the source.
#[derive(Debug)]
pub struct IndexScan {
    index: ResolvedIndex,
    interval: Interval,
    order: Order,
    prefetched: VecDeque<IndexedDocument>,
    /// What lies beyond the prefetched rows; `None` once known to be empty.
    unfetched: Option<Interval>,
    batch_len: usize,
    consumed: Consumed,
    is_recorded: bool,
}

#[derive(Debug, PartialEq)]
enum Consumed {
    Nothing,
    /// Through the row with this key.
    Through(Vec<u8>),
    All,
}

impl IndexScan {
    pub fn new(index: ResolvedIndex, interval: Interval, order: Order) -> Self {
        let unfetched = (!interval.is_empty()).then(|| interval.clone());
        Self {
            index,
            interval,
            order,
            prefetched: VecDeque::new(),
            unfetched,
            batch_len: FIRST_BATCH_LEN,
            consumed: Consumed::Nothing,
            is_recorded: true,
        }
    }

    /// Consumes and charges the next row. `wanted_max`: how many more rows the
    /// caller can use, if it knows.
    ///
    /// The caller must [`record`](Self::record) before it lets the outcome,
    /// even an error, out to the function.
    pub fn next(
        &mut self,
        source: &mut (impl QuerySource + ?Sized),
        wanted_max: Option<usize>,
    ) -> Result<Option<IndexedDocument>, CodedError> {
        if self.prefetched.is_empty() {
            self.fetch(source, wanted_max)?;
        }
        let Some(row) = self.prefetched.pop_front() else {
            self.is_recorded &= self.consumed == Consumed::All;
            self.consumed = Consumed::All;
            return Ok(None);
        };
        match &mut self.consumed {
            Consumed::Through(key) => key.clone_from(&row.key),
            consumed => *consumed = Consumed::Through(row.key.clone()),
        }
        self.is_recorded = false;
        source.record_document(&self.index, &row)?;
        Ok(Some(row))
    }

    /// Records what has been consumed since the last call.
    pub fn record(&mut self, source: &mut (impl QuerySource + ?Sized)) -> Result<(), CodedError> {
        if self.is_recorded {
            return Ok(());
        }
        self.is_recorded = true;
        let interval = match (&self.consumed, self.order) {
            (Consumed::Nothing, _) => return Ok(()),
            (Consumed::All, _) => self.interval.clone(),
            (Consumed::Through(key), order) => through(&self.interval, key, order),
        };
        if interval.is_empty() {
            return Ok(());
        }
        source.record_interval(&self.index, interval)
    }

    fn fetch(
        &mut self,
        source: &mut (impl QuerySource + ?Sized),
        wanted_max: Option<usize>,
    ) -> Result<(), CodedError> {
        let Some(interval) = &self.unfetched else {
            return Ok(());
        };
        let limit = wanted_max.unwrap_or(self.batch_len).clamp(1, BATCH_LEN_MAX);
        let rows = source.fetch(&self.index, interval, self.order, limit)?;
        self.batch_len = BATCH_LEN_MAX;
        self.unfetched = match rows.last() {
            Some(last) if rows.len() >= limit => {
                let rest = beyond(interval, &last.key, self.order);
                (!rest.is_empty()).then_some(rest)
            }
            _ => None,
        };
        self.prefetched = rows.into();
        Ok(())
    }
}

/// What is left of an interval after the row with this key.
pub(super) fn beyond(interval: &Interval, key: &[u8], order: Order) -> Interval {
    match order {
        Order::Asc => Interval {
            start: after(key),
            end: interval.end.clone(),
        },
        Order::Desc => Interval {
            start: interval.start.clone(),
            end: Some(key.to_vec()),
        },
    }
}

/// What an interval has up to the row with this key, inclusive.
pub(super) fn through(interval: &Interval, key: &[u8], order: Order) -> Interval {
    match order {
        Order::Asc => Interval {
            start: interval.start.clone(),
            end: Some(after(key)),
        },
        Order::Desc => Interval {
            start: key.to_vec(),
            end: interval.end.clone(),
        },
    }
}

/// The key right after this one.
fn after(key: &[u8]) -> Vec<u8> {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after
}
