//! The packed layout, byte by byte, and the reader every view is built on.
//!
//! ```text
//! value  = tag:u8 payload                                   (all integers little endian)
//! 00 null     | nothing
//! 01 int64    | i64
//! 02 float64  | u64 bits of the double
//! 03 false    | nothing
//! 04 true     | nothing
//! 05 string   | len:u32  UTF-8 bytes
//! 06 bytes    | len:u32  bytes
//! 07 array    | body_len:u32  count:u32  body = count values
//! 08 object   | body_len:u32  count:u32  body = count × (name_len:u16  name  value), names strictly ascending
//! 09 commitTs | nothing
//! ```
//! Format version 1. `body_len` counts the bytes after `count`, so a container is skipped without reading it. A value
//! has exactly one packed form: equal bytes mean identical values (floats by bit pattern).

pub(crate) const NULL: u8 = 0;
pub(crate) const INT64: u8 = 1;
pub(crate) const FLOAT64: u8 = 2;
pub(crate) const FALSE: u8 = 3;
pub(crate) const TRUE: u8 = 4;
pub(crate) const STRING: u8 = 5;
pub(crate) const BYTES: u8 = 6;
pub(crate) const ARRAY: u8 = 7;
pub(crate) const OBJECT: u8 = 8;
pub(crate) const COMMIT_TS: u8 = 9;

/// Bytes before the body of a container: tag, body length, count.
pub(crate) const CONTAINER_HEADER_LEN: usize = 9;

const VALIDATED: &str = "invariant: packed bytes are validated where a PackedValue is made";

/// A value whose strings are still bytes, so that encoders do not pay for UTF-8 checks they do not need.
#[derive(Clone, Copy)]
pub(crate) enum RawValue<'a> {
    Null,
    Int64(i64),
    Float64(f64),
    Boolean(bool),
    String(&'a [u8]),
    Bytes(&'a [u8]),
    Array(RawContainer<'a>),
    Object(RawContainer<'a>),
    CommitTs,
}

/// A whole packed array or object, header included.
#[derive(Clone, Copy)]
pub(crate) struct RawContainer<'a>(pub(crate) &'a [u8]);

impl<'a> RawContainer<'a> {
    pub(crate) fn count(self) -> usize {
        let bytes: [u8; 4] = self.0[5..CONTAINER_HEADER_LEN].try_into().expect(VALIDATED);
        u32::from_le_bytes(bytes) as usize
    }

    pub(crate) fn body(self) -> &'a [u8] {
        &self.0[CONTAINER_HEADER_LEN..]
    }
}

/// Takes the next value off the front of `input`.
pub(crate) fn read<'a>(input: &mut &'a [u8]) -> RawValue<'a> {
    let tag = input[0];
    match tag {
        ARRAY | OBJECT => {
            let body_len = u32::from_le_bytes(input[1..5].try_into().expect(VALIDATED)) as usize;
            let container = RawContainer(take(input, CONTAINER_HEADER_LEN + body_len));
            if tag == ARRAY {
                RawValue::Array(container)
            } else {
                RawValue::Object(container)
            }
        }
        STRING | BYTES => {
            let len = u32::from_le_bytes(input[1..5].try_into().expect(VALIDATED)) as usize;
            let content = &take(input, 5 + len)[5..];
            if tag == STRING {
                RawValue::String(content)
            } else {
                RawValue::Bytes(content)
            }
        }
        FLOAT64 => RawValue::Float64(f64::from_le_bytes(
            take(input, 9)[1..].try_into().expect(VALIDATED),
        )),
        INT64 => RawValue::Int64(i64::from_le_bytes(
            take(input, 9)[1..].try_into().expect(VALIDATED),
        )),
        _ => {
            take(input, 1);
            match tag {
                NULL => RawValue::Null,
                FALSE => RawValue::Boolean(false),
                TRUE => RawValue::Boolean(true),
                COMMIT_TS => RawValue::CommitTs,
                _ => unreachable!("{VALIDATED}"),
            }
        }
    }
}

/// Takes the next field name off the front of an object's body.
pub(crate) fn read_name<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let len = u16::from_le_bytes(body[..2].try_into().expect(VALIDATED)) as usize;
    &take(body, 2 + len)[2..]
}

/// Skips the next value without looking inside.
pub(crate) fn skip(input: &mut &[u8]) {
    let len = match input[0] {
        ARRAY | OBJECT => {
            CONTAINER_HEADER_LEN
                + u32::from_le_bytes(input[1..5].try_into().expect(VALIDATED)) as usize
        }
        STRING | BYTES => 5 + u32::from_le_bytes(input[1..5].try_into().expect(VALIDATED)) as usize,
        INT64 | FLOAT64 => 9,
        _ => 1,
    };
    take(input, len);
}

/// Reads bytes that were checked to be UTF-8 when the packed value was made.
pub(crate) fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect(VALIDATED)
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, tail) = input.split_at(len);
    *input = tail;
    head
}
