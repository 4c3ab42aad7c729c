use std::collections::BTreeMap;

use hull_engine::query::{Operator, Query, QueryStream, RangeExpression, RangeOperator, Source};
use hull_engine::{ComponentReads, Transaction};
use hull_store::Order;
use hull_value::{DocumentId, Value};

use crate::fixture::{ITEMS, ROOT, get, insert, int, object, patch};
use crate::random::Random;

/// The documents of [`ITEMS`] by id.
pub(crate) type State = BTreeMap<String, Value>;

/// A query that both the engine and the model can answer.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    index: &'static str,
    /// On `a`, for the indexes that begin with it.
    a: Vec<(RangeOperator, i64)>,
    /// On `b`, after an equality on `a`.
    b: Vec<(RangeOperator, i64)>,
    order: Order,
    limit: Option<usize>,
    /// How many rows the caller asks for before it stops.
    pulls: usize,
}

impl Scan {
    /// The whole of an index.
    pub(crate) fn all(index: &'static str, order: Order) -> Scan {
        Scan {
            index,
            a: Vec::new(),
            b: Vec::new(),
            order,
            limit: None,
            pulls: usize::MAX,
        }
    }

    /// Exactly the documents with this `a`.
    pub(crate) fn equal(a: i64) -> Scan {
        Scan {
            a: vec![(RangeOperator::Eq, a)],
            ..Scan::all("by_a", Order::Asc)
        }
    }

    pub(crate) fn limited(self, limit: usize) -> Scan {
        Scan {
            limit: Some(limit),
            ..self
        }
    }

    pub(crate) fn random(random: &mut Random) -> Scan {
        let index = *random.pick(&[
            "by_id",
            "by_creation_time",
            "by_a",
            "by_a",
            "by_ab",
            "by_ab",
        ]);
        let order = *random.pick(&[Order::Asc, Order::Desc]);
        let mut scan = Scan::all(index, order);
        if index == "by_a" || index == "by_ab" {
            scan.a = random_range(random);
        }
        if index == "by_ab" && matches!(scan.a.first(), Some((RangeOperator::Eq, _))) {
            scan.b = random_range(random);
        }
        if random.percent(40) {
            scan.limit = Some(1 + random.below(5));
        }
        if random.percent(40) {
            scan.pulls = random.below(4);
        }
        scan
    }

    /// What the engine answers.
    pub(crate) fn run(&self, transaction: &mut Transaction) -> Vec<Value> {
        let on = |field: &str, range: &[(RangeOperator, i64)]| -> Vec<RangeExpression> {
            let expression = |(operator, value): &(RangeOperator, i64)| RangeExpression {
                operator: *operator,
                field: field.parse().unwrap(),
                value: Some(int(*value).pack()),
            };
            range.iter().map(expression).collect()
        };
        let query = Query {
            source: Source::IndexRange {
                table: ITEMS.to_owned(),
                index: self.index.to_owned(),
                order: self.order,
                range: [on("a", &self.a), on("b", &self.b)].concat(),
            },
            operators: self.limit.map(Operator::Limit).into_iter().collect(),
        };
        let mut source = ComponentReads {
            transaction,
            namespace: ROOT,
        };
        let mut stream = QueryStream::open(query, &mut source).unwrap();
        let mut rows = Vec::new();
        while rows.len() < self.pulls {
            match stream.next(&mut source).unwrap() {
                Some(row) => rows.push(row.unpack()),
                None => break,
            }
        }
        rows
    }

    /// What the answer must be.
    pub(crate) fn expected(&self, state: &State) -> Vec<Value> {
        let mut rows: Vec<&Value> = state
            .values()
            .filter(|row| in_range(field(row, "a"), &self.a) && in_range(field(row, "b"), &self.b))
            .collect();
        let fields: &[&str] = match self.index {
            "by_id" => &[],
            "by_creation_time" => &["_creationTime"],
            "by_a" => &["a", "_creationTime"],
            "by_ab" => &["a", "b", "_creationTime"],
            other => panic!("unknown index {other}"),
        };
        rows.sort_by_cached_key(|row| {
            let values: Vec<Option<Value>> = fields
                .iter()
                .map(|name| field(row, name).cloned())
                .collect();
            (values, id_of(row).internal.0)
        });
        if self.order == Order::Desc {
            rows.reverse();
        }
        rows.truncate(self.limit.unwrap_or(usize::MAX).min(self.pulls));
        rows.into_iter().cloned().collect()
    }
}

fn random_range(random: &mut Random) -> Vec<(RangeOperator, i64)> {
    let mut value = || random.below(6) as i64;
    let (first, second) = (value(), value());
    let (low, high) = (first.min(second), first.max(second));
    let lower = *random.pick(&[RangeOperator::Gt, RangeOperator::Gte]);
    let upper = *random.pick(&[RangeOperator::Lt, RangeOperator::Lte]);
    match random.below(5) {
        0 => vec![],
        1 | 2 => vec![(RangeOperator::Eq, first)],
        3 => vec![(lower, low), (upper, high)],
        _ => vec![*random.pick(&[(lower, low), (upper, high)])],
    }
}

/// Whether a field, absent ones sorting first, is in a range.
fn in_range(value: Option<&Value>, range: &[(RangeOperator, i64)]) -> bool {
    range.iter().all(|(operator, bound)| {
        let ordering = value.cmp(&Some(&int(*bound)));
        match operator {
            RangeOperator::Eq => ordering.is_eq(),
            RangeOperator::Gt => ordering.is_gt(),
            RangeOperator::Gte => ordering.is_ge(),
            RangeOperator::Lt => ordering.is_lt(),
            RangeOperator::Lte => ordering.is_le(),
        }
    })
}

pub(crate) fn field<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    match document {
        Value::Object(fields) => fields.get(name),
        _ => panic!("a document is an object"),
    }
}

pub(crate) fn id_of(document: &Value) -> DocumentId {
    match field(document, "_id") {
        Some(Value::String(id)) => DocumentId::parse(id).unwrap(),
        other => panic!("not an id: {other:?}"),
    }
}

/// Writes at random to the transaction and to the model alike, and returns the
/// id and the new state of the document. `ids` are those to choose from.
pub(crate) fn write_at_random(
    random: &mut Random,
    transaction: &mut Transaction,
    state: &mut State,
    ids: &[String],
) -> (String, Option<Value>) {
    let (a, b) = (random.below(6) as i64, random.below(3) as i64);
    let existing: Vec<&String> = ids.iter().filter(|id| state.contains_key(*id)).collect();
    let (id, new) = if existing.is_empty() || random.percent(30) {
        let id = insert(transaction, a, b);
        let document = get(transaction, &id).expect("own inserts are seen");
        assert_eq!(field(&document, "a"), Some(&int(a)));
        assert_eq!(field(&document, "b"), Some(&int(b)));
        (id, Some(document))
    } else {
        let id = (*random.pick(&existing)).clone();
        let Value::Object(mut body) = state[&id].clone() else {
            panic!("a document is an object");
        };
        let new = match random.below(6) {
            0 => {
                let deleted = transaction.delete_document(ROOT, &id, None).unwrap();
                assert_eq!(deleted.unpack(), state[&id]);
                None
            }
            1 => {
                body.remove("a");
                Some((patch(transaction, &id, "a", None).unwrap(), body))
            }
            2 => {
                let replacement = object([("a", int(a)), ("c", int(b))]);
                body.remove("b");
                body.insert("a", int(a));
                body.insert("c", int(b));
                let written = transaction.replace_document(ROOT, &id, None, replacement);
                Some((written.unwrap().unpack(), body))
            }
            3 => {
                body.insert("b", int(b));
                Some((patch(transaction, &id, "b", Some(int(b))).unwrap(), body))
            }
            _ => {
                body.insert("a", int(a));
                Some((patch(transaction, &id, "a", Some(int(a))).unwrap(), body))
            }
        };
        let new = new.map(|(written, expected)| {
            assert_eq!(written, Value::Object(expected));
            written
        });
        (id, new)
    };
    match new.clone() {
        Some(document) => state.insert(id.clone(), document),
        None => state.remove(&id),
    };
    (id, new)
}
