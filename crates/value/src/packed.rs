use std::fmt;

use bytes::Bytes;

use crate::{
    CorruptValue, JsonValueError, ObjectRef, Packer, Value, ValueRef, check_field_name, json,
    limits::PACKED_NESTING_MAX,
    raw::{self, CONTAINER_HEADER_LEN},
};

/// A value in the one stored and transported representation; cloning shares the bytes.
///
/// The layout is drawn in `raw.rs`. Equality and hash are those of the bytes, which are canonical; unlike the total
/// order they tell the commit timestamp placeholder from int64 max.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackedValue(Bytes);

impl PackedValue {
    /// Packs a tree built by trusted code, which must not nest deeper than [`PACKED_NESTING_MAX`].
    pub fn pack(value: &Value) -> Self {
        let mut packer = Packer::trusted();
        packer
            .append_value(value)
            .expect("invariant: trusted code packs valid field names, and has no limits to exceed");
        packer.finish()
    }

    pub fn unpack(&self) -> Value {
        self.as_ref().to_value()
    }

    pub fn as_ref(&self) -> ValueRef<'_> {
        ValueRef::read(&mut &self.0[..])
    }

    /// Returns the view of an object, or `None` for any other value.
    pub fn as_object(&self) -> Option<ObjectRef<'_>> {
        self.as_ref().as_object()
    }

    /// Takes over bytes from the store or the wire after checking all of them; never panics.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, CorruptValue> {
        let mut checker = Checker {
            bytes: &bytes,
            offset: 0,
        };
        checker.check_value(0)?;
        if checker.offset != bytes.len() {
            return Err(checker.corrupt("bytes after the end of the value"));
        }
        Ok(Self(bytes))
    }

    /// Parses the wire JSON of a client straight into packed form, with all limits and rules of values.
    pub fn from_encoded_json(text: &str) -> Result<Self, JsonValueError> {
        json::pack_encoded(text, json::CommitTsPolicy::Reject)
    }

    /// Wraps bytes that a `PackedValue` was stored as, without checking them again.
    ///
    /// Only for storage of our own that detects its own corruption: reading a
    /// value made from other bytes may panic.
    pub fn from_stored_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub(crate) fn from_trusted(bytes: Vec<u8>) -> Self {
        // A boxed slice wastes no capacity; documents stay in caches for long.
        Self(bytes.into_boxed_slice().into())
    }
}

impl From<&Value> for PackedValue {
    fn from(value: &Value) -> Self {
        Self::pack(value)
    }
}

impl fmt::Debug for PackedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

/// Walks untrusted bytes once, checking everything the readers rely on.
struct Checker<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Checker<'a> {
    fn check_value(&mut self, nesting: usize) -> Result<(), CorruptValue> {
        match self.take(1)?[0] {
            raw::NULL | raw::FALSE | raw::TRUE | raw::COMMIT_TS => Ok(()),
            raw::INT64 | raw::FLOAT64 => self.take(8).map(drop),
            raw::BYTES => {
                let len = self.take_u32()?;
                self.take(len).map(drop)
            }
            raw::STRING => {
                let len = self.take_u32()?;
                self.take_str(len).map(drop)
            }
            tag @ (raw::ARRAY | raw::OBJECT) => {
                self.check_container(tag == raw::OBJECT, nesting + 1)
            }
            _ => Err(self.corrupt("unknown tag")),
        }
    }

    fn check_container(&mut self, is_object: bool, nesting: usize) -> Result<(), CorruptValue> {
        if nesting > PACKED_NESTING_MAX {
            return Err(self.corrupt("nested too deeply"));
        }
        let body_len = self.take_u32()?;
        let count = self.take_u32()?;
        let Some(end) = self
            .offset
            .checked_add(body_len)
            .filter(|end| *end <= self.bytes.len())
        else {
            return Err(self.corrupt("container longer than its bytes"));
        };
        let mut previous: Option<&str> = None;
        for _ in 0..count {
            if is_object {
                let len = usize::from(u16::from_le_bytes([self.take(1)?[0], self.take(1)?[0]]));
                let name = self.take_str(len)?;
                check_field_name(name).map_err(|_| self.corrupt("invalid field name"))?;
                if previous.is_some_and(|previous| previous >= name) {
                    return Err(self.corrupt("field names not strictly ascending"));
                }
                previous = Some(name);
            }
            self.check_value(nesting)?;
            if self.offset > end {
                break;
            }
        }
        if self.offset == end {
            Ok(())
        } else {
            Err(self.corrupt("container length does not match its content"))
        }
    }

    fn take_str(&mut self, len: usize) -> Result<&'a str, CorruptValue> {
        let content = self.take(len)?;
        std::str::from_utf8(content).map_err(|_| self.corrupt("string is not UTF-8"))
    }

    fn take_u32(&mut self) -> Result<usize, CorruptValue> {
        let bytes = self
            .take(4)?
            .try_into()
            .expect("invariant: four bytes were asked for");
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CorruptValue> {
        let taken = self
            .offset
            .checked_add(len)
            .and_then(|end| self.bytes.get(self.offset..end));
        let taken = taken.ok_or_else(|| self.corrupt("truncated"))?;
        self.offset += len;
        Ok(taken)
    }

    fn corrupt(&self, reason: &'static str) -> CorruptValue {
        CorruptValue {
            offset: self.offset,
            reason,
        }
    }
}

const _: () = assert!(
    CONTAINER_HEADER_LEN == 1 + 4 + 4,
    "the checker reads the header field by field"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    fn check_corrupt(bytes: &[u8], reason: &str) {
        assert_eq!(
            PackedValue::from_bytes(Bytes::copy_from_slice(bytes))
                .unwrap_err()
                .reason,
            reason
        );
    }

    #[test]
    fn layout_is_stable() {
        let object = Object::from([
            ("b", Value::Array(vec![Value::Boolean(true), Value::Null])),
            ("a", "x".into()),
        ]);
        let packed = PackedValue::pack(&object.into());
        let expected = [
            &[8, 23, 0, 0, 0, 2, 0, 0, 0][..],
            &[1, 0, b'a', 5, 1, 0, 0, 0, b'x'],
            &[1, 0, b'b', 7, 2, 0, 0, 0, 2, 0, 0, 0, 4, 0],
        ]
        .concat();
        assert_eq!(packed.as_bytes(), &expected[..]);
        assert_eq!(PackedValue::from_bytes(expected.into()).unwrap(), packed);
    }

    #[test]
    fn corrupt_bytes_are_refused() {
        check_corrupt(&[], "truncated");
        check_corrupt(&[10], "unknown tag");
        check_corrupt(&[0, 0], "bytes after the end of the value");
        check_corrupt(&[1, 0, 0], "truncated");
        check_corrupt(&[5, 1, 0, 0, 0, 0xff], "string is not UTF-8");
        check_corrupt(&[6, 0xff, 0xff, 0xff, 0xff], "truncated");
        check_corrupt(
            &[7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            "container longer than its bytes",
        );
        check_corrupt(
            &[7, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            "container length does not match its content",
        );
        check_corrupt(
            &[7, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0],
            "container length does not match its content",
        );
        let twice = [
            &[8, 8, 0, 0, 0, 2, 0, 0, 0][..],
            &[1, 0, b'a', 0],
            &[1, 0, b'a', 0],
        ]
        .concat();
        check_corrupt(&twice, "field names not strictly ascending");
    }

    #[test]
    fn nesting_of_stored_bytes_is_bounded() {
        let nested = |levels: usize| {
            let mut bytes = vec![raw::NULL];
            for _ in 0..levels {
                let body_len = u32::try_from(bytes.len()).unwrap().to_le_bytes();
                bytes = [&[raw::ARRAY][..], &body_len, &[1, 0, 0, 0], &bytes].concat();
            }
            PackedValue::from_bytes(bytes.into())
        };
        assert_eq!(
            nested(PACKED_NESTING_MAX).unwrap().as_ref().nesting(),
            PACKED_NESTING_MAX
        );
        assert_eq!(
            nested(PACKED_NESTING_MAX + 1).unwrap_err().reason,
            "nested too deeply"
        );
        assert_eq!(nested(2000).unwrap_err().reason, "nested too deeply");
    }
}
