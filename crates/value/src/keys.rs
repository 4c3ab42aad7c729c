//! The order-preserving key encoding of values, and intervals of keys.
//!
//! Lexicographic order of the bytes is the total order of values. Encodings are self-delimiting, so the key of several
//! fields is their concatenation.
//!
//! ```text
//! 01 undefined (a missing field)          0e false   0f true
//! 03 null                                 10 string: UTF-8, each 00 as 00 ff; then 00
//! 04..07 negative int64 in 8/4/2/1 bytes  11 bytes: escaped alike; then 00
//! 08 zero                                 12 array: elements; then 00
//! 09..0c positive int64 in 1/2/4/8 bytes  15 object: (escaped name 00, empty name 00 ff; value)*; then 00
//! 0d float64: big endian, all bits inverted if negative, else the top bit set
//! ```
//! Integers are big-endian two's complement of the smallest signed width.

mod interval;

use crate::{DocumentId, FieldPath, ObjectRef, ValueRef};

pub use interval::Interval;

const UNDEFINED: u8 = 0x01;
const NULL: u8 = 0x03;
const INT64_ZERO: u8 = 0x08;
const FLOAT64: u8 = 0x0d;
const FALSE: u8 = 0x0e;
const TRUE: u8 = 0x0f;
const STRING: u8 = 0x10;
const BYTES: u8 = 0x11;
const ARRAY: u8 = 0x12;
const OBJECT: u8 = 0x15;
const TERMINATOR: u8 = 0x00;
const ESCAPE: u8 = 0xff;

/// Appends the key encoding of a value, or of `undefined` for `None`.
pub fn encode_value(value: Option<ValueRef<'_>>, out: &mut Vec<u8>) {
    match value {
        None => out.push(UNDEFINED),
        Some(value) => encode(value, out),
    }
}

/// Appends the key encoding of an id, the last component of every index key.
pub fn encode_id(id: &DocumentId, out: &mut Vec<u8>) {
    // Id strings are ASCII without zero bytes, so nothing needs escaping.
    out.push(STRING);
    out.extend_from_slice(id.write(&mut [0; 37]).as_bytes());
    out.push(TERMINATOR);
}

/// Returns the key of a document in an index over `fields`: their values, then the id.
pub fn index_key(document: ObjectRef<'_>, fields: &[FieldPath], id: &DocumentId) -> Vec<u8> {
    let mut key = Vec::with_capacity(48 + 16 * fields.len());
    for field in fields {
        encode_value(document.get_path(field), &mut key);
    }
    encode_id(id, &mut key);
    key
}

/// Returns the end of the interval of keys whose first components are exactly `components` (whole encodings).
///
/// This is not the successor of the byte prefix: the encoding of `"a"` is a byte prefix of that of `"a\0"`, and `{}`
/// of `{"": null}`. The byte that continues them is always `ff`, above every byte that can begin what follows.
pub fn end_of_components(components: &[u8]) -> Vec<u8> {
    [components, &[ESCAPE]].concat()
}

/// Returns the smallest byte string above every one that starts with `prefix`; `None` if there is none. For whole
/// components of keys use [`end_of_components`].
pub fn successor_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut successor = prefix[..=keep].to_vec();
    successor[keep] += 1;
    Some(successor)
}

fn encode(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.push(NULL),
        ValueRef::Int64(number) => encode_int64(number, out),
        ValueRef::CommitTs => encode_int64(i64::MAX, out),
        ValueRef::Float64(number) => {
            let bits = number.to_bits();
            let ordered = if number.is_sign_negative() {
                !bits
            } else {
                bits | 1 << 63
            };
            out.push(FLOAT64);
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        ValueRef::Boolean(flag) => out.push(if flag { TRUE } else { FALSE }),
        ValueRef::String(text) => {
            out.push(STRING);
            encode_escaped(text.as_bytes(), out);
        }
        ValueRef::Bytes(bytes) => {
            out.push(BYTES);
            encode_escaped(bytes, out);
        }
        ValueRef::Array(array) => {
            out.push(ARRAY);
            array.iter().for_each(|element| encode(element, out));
            out.push(TERMINATOR);
        }
        ValueRef::Object(object) => {
            out.push(OBJECT);
            for (name, field) in object.iter() {
                if name.is_empty() {
                    // A lone terminator would read as the end of the object.
                    out.extend_from_slice(&[TERMINATOR, ESCAPE]);
                } else {
                    encode_escaped(name.as_bytes(), out);
                }
                encode(field, out);
            }
            out.push(TERMINATOR);
        }
    }
}

fn encode_int64(number: i64, out: &mut Vec<u8>) {
    let (steps, width) = match number {
        0 => (0, 0),
        -0x80..=0x7f => (1, 1),
        -0x8000..=0x7fff => (2, 2),
        -0x8000_0000..=0x7fff_ffff => (3, 4),
        _ => (4, 8),
    };
    out.push(if number < 0 {
        INT64_ZERO - steps
    } else {
        INT64_ZERO + steps
    });
    out.extend_from_slice(&number.to_be_bytes()[8 - width..]);
}

fn encode_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        out.extend_from_slice(&rest[..=zero]);
        out.push(ESCAPE);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.push(TERMINATOR);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, Value};

    fn check(value: impl Into<Value>, expected: &str) {
        let mut key = Vec::new();
        encode_value(Some(value.into().pack().as_ref()), &mut key);
        assert_eq!(hex::encode(key), expected);
    }

    #[test]
    fn vectors() {
        check(Value::Null, "03");
        check(0i64, "08");
        check(1i64, "0901");
        check(-1i64, "07ff");
        check(127i64, "097f");
        check(128i64, "0a0080");
        check(-128i64, "0780");
        check(-129i64, "06ff7f");
        check(300i64, "0a012c");
        check(i64::MIN, "048000000000000000");
        check(i64::MAX, "0c7fffffffffffffff");
        check(Value::CommitTs, "0c7fffffffffffffff");
        check(0.0, "0d8000000000000000");
        check(-0.0, "0d7fffffffffffffff");
        check(1.0, "0dbff0000000000000");
        check(-1.0, "0d400fffffffffffff");
        check(f64::INFINITY, "0dfff0000000000000");
        check(f64::NEG_INFINITY, "0d000fffffffffffff");
        check(f64::from_bits(0x7ff8 << 48), "0dfff8000000000000");
        check(f64::from_bits(0xfff8 << 48), "0d0007ffffffffffff");
        check(false, "0e");
        check(true, "0f");
        check("", "1000");
        check("a", "106100");
        check("a\0b", "106100ff6200");
        check(vec![0u8; 0], "1100");
        check(vec![0u8], "1100ff00");
        check(Vec::<Value>::new(), "1200");
        check(
            vec![Value::from(1.0), "x".into()],
            "120dbff000000000000010780000",
        );
        check(Object::new(), "1500");
        check(Object::from([("a", Value::Null)]), "1561000300");
        check(Object::from([("", Value::Null)]), "1500ff0300");
    }

    #[test]
    fn index_keys_end_with_the_id() {
        let id: DocumentId = "j57000820c20a1g7104gm2rc1m70ynr8".parse().unwrap();
        let document = Value::from(Object::from([
            ("name", Value::from("Ann")),
            ("_creationTime", 1_700_000_000_000.5.into()),
        ]))
        .pack();
        let fields = ["name", "missing.field", "_creationTime"].map(|path| path.parse().unwrap());
        let key = index_key(document.as_object().unwrap(), &fields, &id);
        let expected = format!(
            "10416e6e00010dc278bcfe5680080010{}00",
            hex::encode(id.to_string())
        );
        assert_eq!(hex::encode(key), expected);
    }

    #[test]
    fn prefix_successors() {
        assert_eq!(successor_of_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(successor_of_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(successor_of_prefix(&[0xff]), None);
        assert_eq!(successor_of_prefix(&[]), None);
    }
}
