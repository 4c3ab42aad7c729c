//! The relation that spares a push its walk over a table (data model spec 5.5): if one
//! validator is a subset of another, no value may pass the first and not the second.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may unwrap")]

use hull_value::{
    DocumentId, FieldValidator, InternalId, Literal, Object, ObjectValidator, TableKind,
    TableNames, TableNumber, Validator, Value,
};
use proptest::prelude::*;

const TABLES: [&str; 2] = ["users", "posts"];
const FIELDS: [&str; 3] = ["a", "b", "c"];

struct Tables;

impl TableNames for Tables {
    fn name_of(&self, number: TableNumber) -> Option<TableKind<'_>> {
        let at = number.0.checked_sub(10_001)?;
        TABLES.get(at as usize).map(|name| TableKind::User(name))
    }
}

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        prop_oneof![Just(0), Just(i64::MAX)].prop_map(Literal::Int64),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.5)].prop_map(Literal::Float64),
        any::<bool>().prop_map(Literal::Boolean),
        prop_oneof![Just(String::new()), Just("x".to_owned())].prop_map(Literal::String),
    ]
}

fn leaves() -> impl Strategy<Value = Validator> {
    prop_oneof![
        1 => Just(Validator::Null),
        1 => Just(Validator::Float64),
        1 => Just(Validator::Int64),
        1 => Just(Validator::CommitTs),
        1 => Just(Validator::Boolean),
        1 => Just(Validator::String),
        1 => Just(Validator::Bytes),
        1 => Just(Validator::Any),
        3 => literals().prop_map(Validator::Literal),
        2 => prop::sample::select(&TABLES[..]).prop_map(|table| Validator::Id(table.to_owned())),
    ]
}

fn validators() -> impl Strategy<Value = Validator> {
    leaves().prop_recursive(3, 16, 3, |inner| {
        let field =
            (inner.clone(), any::<bool>()).prop_map(|(validator, is_optional)| FieldValidator {
                validator,
                is_optional,
            });
        let fields = prop::collection::btree_map(
            prop::sample::select(&FIELDS[..]).prop_map(str::to_owned),
            field,
            0..3,
        );
        let keys = prop_oneof![
            Just(Validator::String),
            Just(Validator::Id("users".to_owned()))
        ];
        prop_oneof![
            inner
                .clone()
                .prop_map(|one| Validator::Array(Box::new(one))),
            (keys, inner.clone()).prop_map(|(keys, values)| Validator::Record {
                keys: Box::new(keys),
                values: Box::new(values)
            }),
            fields.prop_map(|fields| Validator::Object(ObjectValidator(fields))),
            prop::collection::vec(inner, 0..4).prop_map(Validator::Union),
        ]
    })
}

/// Choices that follow from one number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        // The constants of SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn id_of(table: &str) -> Value {
    let at = TABLES.iter().position(|name| *name == table).unwrap();
    let number = TableNumber(10_001 + at as u32);
    Value::String(DocumentId::new(number, InternalId([7; 16])).to_string())
}

/// A value that passes, `None` where there is none.
fn member(validator: &Validator, dice: &mut Dice) -> Option<Value> {
    Some(match validator {
        Validator::Null => Value::Null,
        Validator::Float64 => Value::Float64(*dice.pick(&[0.0, -0.0, 1.5, f64::NAN])),
        Validator::Int64 | Validator::CommitTs => match dice.below(3) {
            0 => Value::CommitTs,
            1 => Value::Int64(i64::MAX),
            _ => Value::Int64(0),
        },
        Validator::Boolean => Value::Boolean(dice.below(2) == 0),
        Validator::String => match dice.below(3) {
            0 => Value::String(String::new()),
            1 => Value::String("x".to_owned()),
            _ => id_of(TABLES[dice.below(2)]),
        },
        Validator::Bytes => Value::Bytes(vec![1]),
        Validator::Any => match dice.below(4) {
            0 => Value::Null,
            1 => Value::Int64(0),
            2 => Value::String("x".to_owned()),
            _ => Value::Object(Object::default()),
        },
        Validator::Id(table) => id_of(table),
        Validator::Literal(literal) => match literal {
            Literal::Int64(n) => Value::Int64(*n),
            Literal::Float64(n) => Value::Float64(*n),
            Literal::Boolean(flag) => Value::Boolean(*flag),
            Literal::String(text) => Value::String(text.clone()),
        },
        Validator::Array(element) => {
            let elements = (0..dice.below(3)).filter_map(|_| member(element, dice));
            Value::Array(elements.collect())
        }
        Validator::Record { keys, values } => {
            let mut record = Object::default();
            for _ in 0..dice.below(3) {
                if let (Some(Value::String(key)), Some(value)) =
                    (member(keys, dice), member(values, dice))
                {
                    record.insert(key, value);
                }
            }
            Value::Object(record)
        }
        Validator::Object(object) => {
            let mut fields = Object::default();
            for (name, field) in &object.0 {
                if field.is_optional && dice.below(2) == 0 {
                    continue;
                }
                match member(&field.validator, dice) {
                    Some(value) => {
                        fields.insert(name.clone(), value);
                    }
                    None if field.is_optional => {}
                    None => return None,
                }
            }
            Value::Object(fields)
        }
        Validator::Union(members) => {
            let start = dice.below(members.len().max(1));
            let mut order = members.iter().cycle().skip(start).take(members.len());
            order.find_map(|one| member(one, dice))?
        }
    })
}

/// One of the ways to accept more that the specification names.
fn widened(validator: &Validator, dice: &mut Dice) -> Validator {
    let inner = |one: &Validator, dice: &mut Dice| Box::new(widened(one, dice));
    match (validator, dice.below(4)) {
        (_, 0) => {
            let mut members = vec![Validator::Null, validator.clone()];
            members.swap(0, dice.below(2));
            Validator::Union(members)
        }
        (Validator::Literal(Literal::Int64(_)), _) => Validator::Int64,
        (Validator::Literal(Literal::Float64(_)), _) => Validator::Float64,
        (Validator::Literal(Literal::Boolean(_)), _) => Validator::Boolean,
        (Validator::Literal(Literal::String(_)) | Validator::Id(_), _) => Validator::String,
        (Validator::Int64, _) => Validator::CommitTs,
        (Validator::CommitTs, _) => Validator::Int64,
        (Validator::Boolean, _) => Validator::Union(vec![
            Validator::Literal(Literal::Boolean(true)),
            Validator::Literal(Literal::Boolean(false)),
        ]),
        (Validator::Array(element), _) => Validator::Array(inner(element, dice)),
        (Validator::Record { keys, values }, _) => Validator::Record {
            keys: Box::new(match **keys {
                Validator::Id(_) if dice.below(2) == 0 => Validator::String,
                _ => (**keys).clone(),
            }),
            values: inner(values, dice),
        },
        (Validator::Object(object), way) => {
            let mut fields = object.0.clone();
            let at = dice.below(fields.len().max(1));
            match fields.values_mut().nth(at) {
                Some(field) if way == 1 => field.is_optional = true,
                Some(field) if way == 2 => field.validator = widened(&field.validator, dice),
                _ => {
                    let new = FieldValidator {
                        validator: Validator::String,
                        is_optional: true,
                    };
                    fields.entry("new".to_owned()).or_insert(new);
                }
            }
            Validator::Object(ObjectValidator(fields))
        }
        (Validator::Union(members), _) => {
            let mut members = members.clone();
            members.push(Validator::Bytes);
            members.rotate_right(1);
            Validator::Union(members)
        }
        _ => Validator::Any,
    }
}

/// Every value that is found to pass `narrow` passes `wide`.
fn check_sound(narrow: &Validator, wide: &Validator, dice: &mut Dice) {
    for _ in 0..8 {
        let Some(value) = member(narrow, dice) else {
            return;
        };
        let value = value.pack();
        assert_eq!(narrow.check(value.as_ref(), &Tables), Ok(()), "{narrow}");
        let accepted = wide.check(value.as_ref(), &Tables);
        assert!(accepted.is_ok(), "{narrow} in {wide}: {accepted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_a_subset_passes_the_whole(a in validators(), b in validators(), seed in any::<u64>()) {
        let mut dice = Dice(seed);
        if a.is_subset_of(&b) {
            check_sound(&a, &b, &mut dice);
        }
        prop_assert!(a.is_subset_of(&a) && a.is_subset_of(&Validator::Any));
    }

    #[test]
    fn each_way_to_accept_more_is_recognised_and_sound(a in validators(), seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let wider = widened(&a, &mut dice);
        prop_assert!(a.is_subset_of(&wider), "{a} in {wider}");
        check_sound(&a, &wider, &mut dice);
        // Back it is seldom a subset; where it is said to be one, it is.
        if wider.is_subset_of(&a) {
            check_sound(&wider, &a, &mut dice);
        }
        let widest = widened(&wider, &mut dice);
        if a.is_subset_of(&widest) {
            check_sound(&a, &widest, &mut dice);
        }
    }

    #[test]
    fn a_value_of_the_one_that_fails_the_other_refutes(a in validators(), b in validators(), seed in any::<u64>()) {
        let mut dice = Dice(seed);
        for _ in 0..8 {
            let Some(value) = member(&a, &mut dice) else { break };
            if b.check(value.pack().as_ref(), &Tables).is_err() {
                prop_assert!(!a.is_subset_of(&b), "{a} in {b}, but not {value:?}");
            }
        }
    }
}
