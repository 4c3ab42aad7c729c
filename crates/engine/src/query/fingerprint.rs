use hull_store::Order;
use hull_value::{FieldPath, PackedValue};
use sha2::{Digest, Sha256};

use super::{
    Bound, Filter, Operator, Query, RangeOperator, SearchFilter, Source,
    filter::{Arithmetic, Comparison},
};

/// Tells queries apart: the first half of a SHA-256.
pub(super) type Fingerprint = [u8; 16];

/// Returns the fingerprint of a query on an index with these fields.
///
/// It is inside of cursors that clients keep, so every number below is for
/// ever: a change makes clients start their lists again.
pub(super) fn of(query: &Query, fields: &[FieldPath]) -> Fingerprint {
    let mut hash = Hash(Sha256::new());
    hash.source(&query.source);
    hash.number(query.operators.len());
    for operator in &query.operators {
        match operator {
            Operator::Filter(filter) => {
                hash.tag(0);
                hash.filter(filter);
            }
            Operator::Limit(limit) => {
                hash.tag(1);
                hash.number(*limit);
            }
        }
    }
    hash.number(fields.len());
    fields.iter().for_each(|field| hash.path(field));
    let digest: [u8; 32] = hash.0.finalize().into();
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&digest[..16]);
    fingerprint
}

/// Everything is tagged or has its length in front, so that different queries
/// never feed the same bytes.
struct Hash(Sha256);

impl Hash {
    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn path(&mut self, path: &FieldPath) {
        self.number(path.segments().len());
        for segment in path.segments() {
            self.bytes(segment.as_bytes());
        }
    }

    fn bound(&mut self, value: &Bound) {
        match value {
            None => self.tag(0),
            Some(value) => {
                self.tag(1);
                self.bytes(PackedValue::as_bytes(value));
            }
        }
    }

    fn order(&mut self, order: Order) {
        self.tag(match order {
            Order::Asc => 0,
            Order::Desc => 1,
        });
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::FullTableScan { table, order } => {
                self.tag(0);
                self.bytes(table.as_bytes());
                self.order(*order);
            }
            Source::IndexRange {
                table,
                index,
                order,
                range,
            } => {
                self.tag(1);
                self.bytes(table.as_bytes());
                self.bytes(index.as_bytes());
                self.order(*order);
                self.number(range.len());
                for expression in range {
                    self.tag(match expression.operator {
                        RangeOperator::Eq => 0,
                        RangeOperator::Gt => 1,
                        RangeOperator::Gte => 2,
                        RangeOperator::Lt => 3,
                        RangeOperator::Lte => 4,
                    });
                    self.path(&expression.field);
                    self.bound(&expression.value);
                }
            }
            Source::Search {
                table,
                index,
                filters,
            } => {
                self.tag(2);
                self.bytes(table.as_bytes());
                self.bytes(index.as_bytes());
                self.number(filters.len());
                for filter in filters {
                    match filter {
                        SearchFilter::Search { field, text } => {
                            self.tag(0);
                            self.path(field);
                            self.bytes(text.as_bytes());
                        }
                        SearchFilter::Eq { field, value } => {
                            self.tag(1);
                            self.path(field);
                            self.bound(value);
                        }
                    }
                }
            }
        }
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Field(path) => {
                self.tag(0);
                self.path(path);
            }
            Filter::Literal(value) => {
                self.tag(1);
                self.bound(value);
            }
            Filter::Compare(comparison, operands) => {
                self.tag(match comparison {
                    Comparison::Eq => 2,
                    Comparison::Neq => 3,
                    Comparison::Lt => 4,
                    Comparison::Lte => 5,
                    Comparison::Gt => 6,
                    Comparison::Gte => 7,
                });
                self.filters(operands.as_slice());
            }
            Filter::Arithmetic(arithmetic, operands) => {
                self.tag(match arithmetic {
                    Arithmetic::Add => 8,
                    Arithmetic::Sub => 9,
                    Arithmetic::Mul => 10,
                    Arithmetic::Div => 11,
                    Arithmetic::Mod => 12,
                });
                self.filters(operands.as_slice());
            }
            Filter::Negate(operand) => {
                self.tag(13);
                self.filter(operand);
            }
            Filter::Not(operand) => {
                self.tag(14);
                self.filter(operand);
            }
            Filter::And(operands) => {
                self.tag(15);
                self.filters(operands);
            }
            Filter::Or(operands) => {
                self.tag(16);
                self.filters(operands);
            }
        }
    }

    fn filters(&mut self, filters: &[Filter]) {
        self.number(filters.len());
        filters.iter().for_each(|filter| self.filter(filter));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn queries_that_differ_anywhere_differ() {
        let range = |index: &str, order: &str, range: serde_json::Value| json!({"type": "IndexRange", "indexName": index, "order": order, "range": range});
        let eq =
            |field: &str, value: i32| json!([{"type": "Eq", "fieldPath": field, "value": value}]);
        let scan = |table: &str, order: &str| json!({"type": "FullTableScan", "tableName": table, "order": order});
        let filter = |operator: &str, field: &str, value: i32| json!({"filter": {operator: [{"$field": field}, {"$literal": value}]}});
        let queries = [
            (scan("t", "asc"), json!([])),
            (scan("t", "desc"), json!([])),
            (scan("u", "asc"), json!([])),
            (scan("t", "asc"), json!([{"limit": 1}])),
            (scan("t", "asc"), json!([{"limit": 2}])),
            (scan("t", "asc"), json!([filter("$eq", "a", 1)])),
            (scan("t", "asc"), json!([filter("$eq", "a", 2)])),
            (scan("t", "asc"), json!([filter("$eq", "b", 1)])),
            (scan("t", "asc"), json!([filter("$lt", "a", 1)])),
            (
                scan("t", "asc"),
                json!([{"filter": {"$and": [filter("$eq", "a", 1)["filter"]]}}]),
            ),
            (
                scan("t", "asc"),
                json!([{"filter": {"$or": [filter("$eq", "a", 1)["filter"]]}}]),
            ),
            (range("t.i", "asc", json!([])), json!([])),
            (range("t.i", "desc", json!([])), json!([])),
            (range("t.j", "asc", json!([])), json!([])),
            (range("t.i", "asc", eq("a", 1)), json!([])),
            (range("t.i", "asc", eq("a", 2)), json!([])),
            (range("t.i", "asc", eq("b", 1)), json!([])),
            (
                range(
                    "t.i",
                    "asc",
                    json!([{"type": "Gt", "fieldPath": "a", "value": 1}]),
                ),
                json!([]),
            ),
            (
                range(
                    "t.i",
                    "asc",
                    json!([{"type": "Eq", "fieldPath": "a", "value": {"$undefined": null}}]),
                ),
                json!([]),
            ),
        ];
        let mut seen = BTreeSet::new();
        for (source, operators) in queries {
            let json = json!({"source": source, "operators": operators});
            let query = Query::parse(&json).unwrap();
            assert!(seen.insert(of(&query, &[])), "{json}");
            assert!(
                seen.insert(of(&query, &[FieldPath::creation_time()])),
                "fields: {json}"
            );
        }
    }
}
