//! What queries mean, written down without keys, intervals or batches.

use std::cmp::Ordering;

use hull_store::Order;
use hull_value::{DocumentId, FieldPath, InternalId, PackedValue, Value, ValueRef};

use super::{
    super::{Operator, Query, RangeExpression, RangeOperator, Source},
    memory_source::{INDEXES, MemorySource, TABLE, paths},
};

/// The rows of the source part of a query, in order.
pub(in super::super) fn rows(
    source: &MemorySource,
    query: &Source,
) -> Vec<(InternalId, PackedValue)> {
    let (range, order) = match query {
        Source::FullTableScan { order, .. } => (&[][..], *order),
        Source::IndexRange { range, order, .. } => (range.as_slice(), *order),
        Source::Search { .. } => panic!("no model of text search"),
    };
    let (_, fields) = INDEXES
        .iter()
        .find(|(name, _)| *name == query.names().1)
        .unwrap();
    let fields: Vec<FieldPath> = paths(fields).into_iter().chain([FieldPath::id()]).collect();
    let mut rows: Vec<(InternalId, PackedValue)> = source
        .documents
        .iter()
        .filter(|(_, document)| matches(document, range))
        .map(|(id, document)| (*id, document.clone()))
        .collect();
    rows.sort_by(|(_, left), (_, right)| {
        let ordering = fields
            .iter()
            .map(|field| get(left, field).cmp(&get(right, field)));
        ordering.fold(Ordering::Equal, Ordering::then)
    });
    if order == Order::Desc {
        rows.reverse();
    }
    rows
}

/// The results of a query.
pub(in super::super) fn results(source: &MemorySource, query: &Query) -> Vec<PackedValue> {
    let mut rows: Vec<PackedValue> = rows(source, &query.source)
        .into_iter()
        .map(|(_, document)| document)
        .collect();
    for operator in &query.operators {
        match operator {
            Operator::Filter(filter) => {
                rows.retain(|row| filter.accepts(row.as_object().unwrap()).unwrap())
            }
            Operator::Limit(limit) => rows.truncate(*limit),
        }
    }
    rows
}

pub(in super::super) fn matches(document: &PackedValue, range: &[RangeExpression]) -> bool {
    range.iter().all(
        |RangeExpression {
             operator,
             field,
             value,
         }| {
            let ordering = get(document, field).cmp(&value.as_ref().map(PackedValue::as_ref));
            match operator {
                RangeOperator::Eq => ordering.is_eq(),
                RangeOperator::Gt => ordering.is_gt(),
                RangeOperator::Gte => ordering.is_ge(),
                RangeOperator::Lt => ordering.is_lt(),
                RangeOperator::Lte => ordering.is_le(),
            }
        },
    )
}

fn get<'a>(document: &'a PackedValue, field: &FieldPath) -> Option<ValueRef<'a>> {
    document.as_object().unwrap().get_path(field)
}

/// A document with its system fields.
pub(in super::super) fn document(
    id: InternalId,
    creation_time: f64,
    fields: impl IntoIterator<Item = (&'static str, Value)>,
) -> (InternalId, PackedValue) {
    let id_string = DocumentId {
        table: TABLE,
        internal: id,
    }
    .to_string();
    let system = [
        ("_id", Value::String(id_string)),
        ("_creationTime", Value::Float64(creation_time)),
    ];
    (
        id,
        Value::Object(system.into_iter().chain(fields).collect()).pack(),
    )
}
