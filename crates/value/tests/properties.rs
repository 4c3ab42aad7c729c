//! What must hold for every value, checked against naive definitions.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may unwrap")]

#[path = "support/arbitrary.rs"]
mod arbitrary;

use std::cmp::Ordering;

use arbitrary::{field_names, strings, values};
use bytes::Bytes;
use hull_value::{
    DocumentId, FieldPath, InternalId, PackedValue, Packer, TableNumber, Validator, Value,
    ValueRef, json, keys,
};
use proptest::prelude::*;

/// Values as the server holds them: any NaN, and the commit timestamp placeholder.
fn server_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => values(),
        1 => any::<u64>().prop_map(|bits| Value::Float64(f64::from_bits(bits | 0x7ff << 52))),
        1 => Just(Value::CommitTs),
        1 => prop::collection::vec(prop_oneof![values(), Just(Value::CommitTs)], 0..4).prop_map(Value::Array),
    ]
}

fn key_of(value: &Value) -> Vec<u8> {
    let mut key = Vec::new();
    keys::encode_value(Some(value.pack().as_ref()), &mut key);
    key
}

/// Packs fields in the given order, so that the packer has to sort.
fn pack_backwards(value: &Value, packer: &mut Packer) {
    match value {
        Value::Object(fields) => {
            packer.begin_object().unwrap();
            for (name, field) in fields.iter().rev() {
                packer.key(name).unwrap();
                pack_backwards(field, packer);
            }
            packer.end().unwrap();
        }
        Value::Array(elements) => {
            packer.begin_array().unwrap();
            elements
                .iter()
                .for_each(|element| pack_backwards(element, packer));
            packer.end().unwrap();
        }
        _ => packer.append(value.pack().as_ref()).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pack_and_unpack(value in server_values()) {
        let packed = value.pack();
        prop_assert_eq!(&packed.unpack(), &value);
        prop_assert_eq!(&PackedValue::from_bytes(packed.as_bytes().clone()).unwrap(), &packed);
        prop_assert_eq!(&packed.as_ref().to_packed(), &packed);
        prop_assert_eq!(packed.as_ref().size(), value.size());
        prop_assert_eq!(packed.as_ref().nesting(), value.nesting());
        let mut packer = Packer::new();
        pack_backwards(&value, &mut packer);
        prop_assert_eq!(&packer.finish(), &packed);
    }

    #[test]
    fn all_orders_are_one(a in server_values(), b in server_values()) {
        let order = a.cmp(&b);
        let (packed_a, packed_b) = (a.pack(), b.pack());
        prop_assert_eq!(packed_a.as_ref().cmp(&packed_b.as_ref()), order);
        prop_assert_eq!(key_of(&a).cmp(&key_of(&b)), order);
        prop_assert_eq!(b.cmp(&a), order.reverse());
        // Concatenated keys compare field by field.
        let pair = |x: &Value, y: &Value| [key_of(x), key_of(y)].concat();
        prop_assert_eq!(pair(&a, &b).cmp(&pair(&b, &a)), order);
        prop_assert_eq!(pair(&a, &a).cmp(&pair(&a, &b)), order);
    }

    #[test]
    fn the_interval_of_a_component_holds_no_other_value(
        a in server_values(),
        b in server_values(),
        next in server_values(),
    ) {
        let interval = keys::Interval::of_components(key_of(&a));
        let longer = [key_of(&b), key_of(&next)].concat();
        prop_assert_eq!(interval.contains(&key_of(&b)), a == b);
        prop_assert_eq!(interval.contains(&longer), a == b);
        prop_assert_eq!(longer < keys::end_of_components(&key_of(&a)), b <= a);
    }

    #[test]
    fn wire_json_round_trip(value in server_values()) {
        let packed = value.pack();
        let text = json::to_string(packed.as_ref());
        let parsed = json::pack_encoded(&text, json::CommitTsPolicy::Allow).unwrap();
        prop_assert_eq!(&parsed, &packed);
        prop_assert_eq!(&json::to_string(parsed.as_ref()), &text);
        let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&json::pack_encoded_value(&tree, json::CommitTsPolicy::Allow).unwrap(), &packed);
        serde_json::from_str::<serde_json::Value>(&json::to_clean_string(packed.as_ref())).unwrap();
    }

    #[test]
    fn export_json_round_trip(value in values()) {
        let packed = value.pack();
        prop_assert_eq!(&json::pack_export(&json::to_export_string(packed.as_ref())).unwrap(), &packed);
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them(text in strings()) {
        let mut out = Vec::new();
        json::encode_string(&text, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn random_bytes_are_refused_or_safe(bytes in prop::collection::vec(prop_oneof![0u8..10, any::<u8>()], 0..40)) {
        check_hostile(bytes);
    }

    #[test]
    fn damaged_bytes_are_refused_or_safe(
        value in server_values(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0u8..10, any::<u8>()]), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = value.pack().as_bytes().to_vec();
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_hostile(bytes);
    }

    #[test]
    fn lookups_agree_with_the_tree(value in values(), name in field_names(), position in 0usize..5) {
        let packed = value.pack();
        match (&value, packed.as_ref()) {
            (Value::Object(fields), ValueRef::Object(object)) => {
                prop_assert_eq!(object.get(&name).map(ValueRef::to_value), fields.get(&name).cloned());
                prop_assert_eq!(object.len(), fields.len());
                prop_assert!(object.keys().eq(fields.keys()));
                if let Ok(path) = FieldPath::new(vec![name.clone(), "a".to_owned()]) {
                    let inner = fields.get(&name).and_then(|field| match field {
                        Value::Object(fields) => fields.get("a").cloned(),
                        _ => None,
                    });
                    prop_assert_eq!(object.get_path(&path).map(ValueRef::to_value), inner);
                }
            }
            (Value::Array(elements), ValueRef::Array(array)) => {
                prop_assert_eq!(array.get(position).map(ValueRef::to_value), elements.get(position).cloned());
            }
            _ => {}
        }
    }

    #[test]
    fn ids_have_one_spelling(
        table in prop_oneof![1u32..200, 10001u32..20000, 1u32..],
        internal in any::<[u8; 16]>(),
        change in any::<prop::sample::Index>(),
        digit in prop::sample::select(b"0123456789abcdefghjkmnpqrstvwxyz".to_vec()),
    ) {
        let id = DocumentId::new(TableNumber(table), InternalId(internal));
        let text = id.to_string();
        prop_assert!((31..=37).contains(&text.len()));
        prop_assert_eq!(text.parse::<DocumentId>().unwrap(), id);
        let mut changed = text.into_bytes();
        let position = change.index(changed.len());
        changed[position] = digit;
        let changed = String::from_utf8(changed).unwrap();
        match changed.parse::<DocumentId>() {
            Ok(other) => prop_assert_eq!(other.to_string(), changed),
            Err(error) => prop_assert!(error.to_string().starts_with("Unable to decode ID: ")),
        }
    }

    #[test]
    fn random_texts_are_never_a_panic(text in "[0-9a-hjkmnp-tv-z]{29,39}|[{}\\[\\]\":,$a-z0-9.-]{0,30}|.{0,40}") {
        if let Ok(id) = text.parse::<DocumentId>() {
            prop_assert_eq!(id.to_string(), text.clone());
        }
        let parsed = [json::parse_encoded(&text), json::parse_export(&text), json::parse_plain(&text)];
        for value in parsed.into_iter().flatten() {
            prop_assert_eq!(value.cmp(&value.pack().unpack()), Ordering::Equal);
        }
        let is_patch = json::parse_patch(&text).is_ok();
        let is_object = text.trim_start().starts_with('{');
        prop_assert!(is_object || !is_patch);
        if let Ok(path) = text.parse::<FieldPath>() {
            prop_assert_eq!(path.to_string(), text.trim_matches('.'));
        }
        if let Ok(validator) = Validator::parse(&text) {
            prop_assert_eq!(Validator::from_json(&validator.to_json()).unwrap(), validator);
        }
    }
}

/// Bytes that pass the check must be the canonical form of a value that every reader survives.
fn check_hostile(bytes: Vec<u8>) {
    let Ok(packed) = PackedValue::from_bytes(Bytes::from(bytes)) else {
        return;
    };
    let value = packed.unpack();
    // The placeholder equals int64 max in the order, so the canonical form is compared as bytes.
    assert_eq!(packed.as_ref().to_packed(), packed);
    assert_eq!(packed.as_ref().size(), value.size());
    assert_eq!(PackedValue::pack(&value), packed);
    json::to_string(packed.as_ref());
    key_of(&value);
}
