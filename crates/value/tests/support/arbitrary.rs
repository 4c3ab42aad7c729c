//! Random values that favour the corners: equal neighbours, special floats, strings that sort differently in UTF-16.

#![expect(
    unreachable_pub,
    reason = "several tests include this file, each a part of it"
)]

use hull_value::{Object, Value};
use proptest::prelude::*;

/// Doubles of every kind; NaN with the one bit pattern JavaScript can be trusted to keep.
pub fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            1e15,
            1e16,
            1e21,
            -1e21,
            9_007_199_254_740_993.0,
            5e-324,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::MIN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(0x7ff8 << 48),
        ]),
        (-1000i32..1000).prop_map(f64::from),
        any::<f64>().prop_filter("only one NaN", |number| !number.is_nan()),
    ]
}

pub fn integers() -> impl Strategy<Value = i64> {
    prop_oneof![
        -300i64..300,
        prop::sample::select(vec![
            i64::MIN,
            i64::MAX,
            -0x8000,
            -0x8001,
            0x7fff,
            0x8000,
            1 << 31,
            -(1 << 31) - 1
        ]),
        any::<i64>(),
    ]
}

/// Strings over an alphabet with control characters, quotes, and characters around the surrogates.
pub fn strings() -> impl Strategy<Value = String> {
    let alphabet = vec![
        'a',
        'b',
        '0',
        '\0',
        '\u{1}',
        '\n',
        '"',
        '\\',
        '/',
        '\u{7f}',
        'é',
        '\u{7ff}',
        '\u{800}',
        '\u{2028}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{10000}',
        '😀',
        '\u{10ffff}',
    ];
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(alphabet), 0..12).prop_map(String::from_iter),
        1 => any::<String>(),
    ]
}

pub fn field_names() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab_][ab ]{0,2}", 1 => "[ -#%-~][ -~]{0,8}", 1 => Just(String::new()), 1 => "[0-9]{1,2}"]
}

pub fn values() -> impl Strategy<Value = Value> {
    let scalars = prop_oneof![
        Just(Value::Null),
        integers().prop_map(Value::Int64),
        floats().prop_map(Value::Float64),
        any::<bool>().prop_map(Value::Boolean),
        strings().prop_map(Value::String),
        prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..4)
            .prop_map(Value::Bytes),
    ];
    scalars.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((field_names(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Object>())),
        ]
    })
}
