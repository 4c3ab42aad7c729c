use hull_store::Order;
use hull_value::{DocumentId, InternalId, Object, PackedValue, TableNumber, Value};
use proptest::prelude::*;

use super::{
    super::{
        Bound, Filter, Operator, Query, RangeExpression, RangeOperator, Source, filter::Comparison,
    },
    memory_source::{INDEXES, TABLE, paths},
    naive,
};

pub(in super::super) type Document = (InternalId, PackedValue);

/// Values that sort close to each other and whose keys begin alike; `None` is a missing field.
fn field_value() -> impl Strategy<Value = Option<Value>> {
    let text = |text: &str| Value::String(text.to_owned());
    prop::sample::select(vec![
        None,
        Some(Value::Null),
        Some(Value::Int64(-1)),
        Some(Value::Int64(0)),
        Some(Value::Int64(300)),
        Some(Value::Int64(i64::MAX)),
        Some(Value::CommitTs),
        Some(Value::Float64(-0.0)),
        Some(Value::Float64(0.0)),
        Some(Value::Float64(f64::NAN)),
        Some(Value::Boolean(false)),
        Some(Value::Boolean(true)),
        Some(text("")),
        Some(text("\0")),
        Some(text("a")),
        Some(text("a\0")),
        Some(text("a\0b")),
        Some(text("\u{10ffff}")),
        Some(Value::Bytes(vec![0xff])),
        Some(Value::Array(vec![])),
        Some(Value::Array(vec![text("a")])),
        Some(Value::Array(vec![text("a\0")])),
        Some(Value::Object(Object::new())),
        Some(Value::Object([("", Value::Null)].into_iter().collect())),
    ])
}

pub(in super::super) fn internal_id() -> impl Strategy<Value = InternalId> {
    prop_oneof![
        3 => (0_u128..40).prop_map(|number| number << 100),
        1 => prop::sample::select(vec![0, 1, u128::MAX - 1, u128::MAX]),
        1 => any::<u128>(),
    ]
    .prop_map(|number| InternalId(number.to_be_bytes()))
}

pub(in super::super) fn document() -> impl Strategy<Value = Document> {
    // Few different values: most documents share their first index fields with others.
    let few = || prop_oneof![2 => prop::sample::select(vec![None, Some(Value::from("a"))]), 3 => field_value()];
    (
        internal_id(),
        1_u32..6,
        few(),
        few(),
        prop::option::of(few()),
    )
        .prop_map(|(id, time, a, b, c)| {
            let nested = c.map(|d| Value::Object(d.map(|d| ("d", d)).into_iter().collect()));
            let fields = [
                a.map(|a| ("a", a)),
                b.map(|b| ("b", b)),
                nested.map(|c| ("c", c)),
            ];
            naive::document(id, f64::from(time), fields.into_iter().flatten())
        })
}

pub(in super::super) fn documents(count_max: usize) -> impl Strategy<Value = Vec<Document>> {
    prop::collection::vec(document(), 0..=count_max)
}

fn id_text() -> impl Strategy<Value = String> {
    let own = internal_id()
        .prop_map(|internal| {
            DocumentId {
                table: TABLE,
                internal,
            }
            .to_string()
        })
        .boxed();
    let foreign = (
        prop::sample::select(vec![1, 540, 10_000, 10_002, 20_000]),
        internal_id(),
    )
        .prop_map(|(table, internal)| {
            DocumentId {
                table: TableNumber(table),
                internal,
            }
            .to_string()
        });
    let broken = (
        own.clone(),
        0_usize..33,
        prop::sample::select(vec!["", "\0", "0", "z", "é"]),
    )
        .prop_map(|(id, at, tail)| format!("{}{tail}", &id[..at.min(id.len())]));
    prop_oneof![4 => own, 1 => foreign, 2 => broken]
}

/// A value that the field is likely to be compared with in a telling way.
fn bound(field: &str) -> BoxedStrategy<Bound> {
    let pack = |value: Option<Value>| value.map(|value| value.pack());
    let any = field_value().prop_map(pack);
    match field {
        "_creationTime" => {
            prop_oneof![5 => (0_u32..7).prop_map(|time| Some(Value::Float64(f64::from(time)).pack())), 1 => any].boxed()
        }
        "_id" => prop_oneof![5 => id_text().prop_map(|id| Some(Value::String(id).pack())), 1 => any].boxed(),
        _ => any.boxed(),
    }
}

fn expression(
    field: &'static str,
    operators: &'static [RangeOperator],
) -> BoxedStrategy<RangeExpression> {
    (prop::sample::select(operators), bound(field))
        .prop_map(move |(operator, value)| RangeExpression {
            operator,
            field: field.parse().unwrap(),
            value,
        })
        .boxed()
}

/// A range that fits the index, its expressions in any order.
pub(in super::super) fn range(index: usize) -> impl Strategy<Value = Vec<RangeExpression>> {
    use RangeOperator::{Eq, Gt, Gte, Lt, Lte};
    let fields: Vec<&'static str> = INDEXES[index].1.iter().copied().chain(["_id"]).collect();
    let equalities_max = fields.len();
    (0..=equalities_max, any::<[bool; 2]>())
        .prop_flat_map(move |(equalities, [has_lower, has_upper])| {
            let mut parts: Vec<BoxedStrategy<RangeExpression>> = fields[..equalities]
                .iter()
                .map(|field| expression(field, &[Eq]))
                .collect();
            if let Some(field) = fields.get(equalities) {
                if has_lower {
                    parts.push(expression(field, &[Gt, Gte]));
                }
                if has_upper {
                    parts.push(expression(field, &[Lt, Lte]));
                }
            }
            parts
        })
        .prop_shuffle()
}

pub(in super::super) fn order() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![Order::Asc, Order::Desc])
}

fn source() -> impl Strategy<Value = Source> {
    let index_range = (0..INDEXES.len()).prop_flat_map(|index| {
        // Half of the ranges are everything, so that queries see many rows.
        let range = prop_oneof![Just(Vec::new()), range(index)];
        (range, order()).prop_map(move |(range, order)| Source::IndexRange {
            table: "t".to_owned(),
            index: INDEXES[index].0.to_owned(),
            order,
            range,
        })
    });
    prop_oneof![
        1 => order().prop_map(|order| Source::FullTableScan { table: "t".to_owned(), order }),
        4 => index_range,
    ]
}

/// A filter that is a boolean of every document.
pub(in super::super) fn filter() -> impl Strategy<Value = Filter> {
    let comparison = prop::sample::select(vec![
        Comparison::Eq,
        Comparison::Neq,
        Comparison::Lt,
        Comparison::Lte,
        Comparison::Gt,
        Comparison::Gte,
    ]);
    let leaf = (
        comparison,
        prop::sample::select(vec!["a", "b", "c.d"]),
        bound("a"),
    )
        .prop_map(|(op, field, value)| {
            let field = Filter::Field(paths(&[field]).remove(0));
            Filter::Compare(op, Box::new([field, Filter::Literal(value)]))
        });
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|operand| Filter::Not(Box::new(operand))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            prop::collection::vec(inner, 0..3).prop_map(Filter::Or),
        ]
    })
}

fn operators() -> impl Strategy<Value = Vec<Operator>> {
    let operator = prop_oneof![
        filter().prop_map(Operator::Filter),
        (0_usize..12).prop_map(Operator::Limit)
    ];
    prop::collection::vec(operator, 0..3)
}

pub(in super::super) fn query() -> impl Strategy<Value = Query> {
    (source(), operators()).prop_map(|(source, operators)| Query { source, operators })
}

/// A query that pages can be read of: without a limit of its own.
pub(in super::super) fn paged_query() -> impl Strategy<Value = Query> {
    (
        source(),
        prop::collection::vec(filter().prop_map(Operator::Filter), 0..2),
    )
        .prop_map(|(source, operators)| Query { source, operators })
}
