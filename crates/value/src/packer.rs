use crate::{
    CodedError, PackedValue, Value, ValueRef, check_field_name,
    limits::{
        self, ARRAY_LEN_MAX, NESTING_MAX, OBJECT_FIELDS_MAX, PACKED_NESTING_MAX,
        VALUE_SIZE_MAX_BYTES,
    },
    raw,
};

/// A streaming writer of the packed form.
///
/// Calls must form exactly one value, and every value inside an object must follow its [`Packer::key`]; anything else
/// is a programming error and panics. Fields may come in any order; of two fields with the same name the later wins.
/// Limits of values are checked on the way. After an error the packer must be dropped.
pub struct Packer {
    bytes: Vec<u8>,
    /// Open containers, outermost first; bounded by the nesting limit.
    frames: Vec<Frame>,
    /// Offsets of the fields of all open objects, innermost last.
    field_offsets: Vec<usize>,
    /// Accounted size of everything written so far.
    size_bytes: usize,
    is_trusted: bool,
}

struct Frame {
    /// Offset of the container's tag.
    start: usize,
    /// Values written so far; for objects the offsets tell.
    count: usize,
    kind: FrameKind,
}

enum FrameKind {
    Array,
    Object {
        /// Where this object's part of `field_offsets` begins.
        first_field: usize,
        /// Name of the last field, as a range of `bytes`.
        last_name: std::ops::Range<usize>,
        is_ascending: bool,
        expects_value: bool,
    },
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    /// Makes a packer that enforces all limits and field name rules, for values from outside.
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            frames: Vec::new(),
            field_offsets: Vec::new(),
            size_bytes: 0,
            is_trusted: false,
        }
    }

    /// Makes a packer for values from our own code: only what the format itself needs is enforced, that is the rules of
    /// field names and the bound on nesting (which is asserted).
    pub fn trusted() -> Self {
        Self {
            is_trusted: true,
            ..Self::new()
        }
    }

    pub fn null(&mut self) -> Result<(), CodedError> {
        self.begin_value(1)?;
        self.bytes.push(raw::NULL);
        Ok(())
    }

    pub fn int64(&mut self, number: i64) -> Result<(), CodedError> {
        self.begin_value(9)?;
        self.bytes.push(raw::INT64);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }

    pub fn float64(&mut self, number: f64) -> Result<(), CodedError> {
        self.begin_value(9)?;
        self.bytes.push(raw::FLOAT64);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }

    pub fn boolean(&mut self, flag: bool) -> Result<(), CodedError> {
        self.begin_value(1)?;
        self.bytes.push(if flag { raw::TRUE } else { raw::FALSE });
        Ok(())
    }

    pub fn string(&mut self, text: &str) -> Result<(), CodedError> {
        self.begin_value(2 + text.len())?;
        self.blob(raw::STRING, text.as_bytes());
        Ok(())
    }

    pub fn bytes(&mut self, content: &[u8]) -> Result<(), CodedError> {
        self.begin_value(2 + content.len())?;
        self.blob(raw::BYTES, content);
        Ok(())
    }

    pub fn commit_ts(&mut self) -> Result<(), CodedError> {
        self.begin_value(9)?;
        self.bytes.push(raw::COMMIT_TS);
        Ok(())
    }

    pub fn begin_array(&mut self) -> Result<(), CodedError> {
        self.begin_container(raw::ARRAY, FrameKind::Array)
    }

    pub fn begin_object(&mut self) -> Result<(), CodedError> {
        let first_field = self.field_offsets.len();
        let kind = FrameKind::Object {
            first_field,
            last_name: 0..0,
            is_ascending: true,
            expects_value: false,
        };
        self.begin_container(raw::OBJECT, kind)
    }

    /// Writes the name of the next field of the innermost object.
    pub fn key(&mut self, name: &str) -> Result<(), CodedError> {
        // Checked for trusted code too: bytes with such a name could not be read back.
        check_field_name(name)?;
        let name_len =
            u16::try_from(name.len()).expect("invariant: field names are far shorter than 64 KiB");
        self.add_size(name.len() + 1)?;
        let Some(Frame {
            kind:
                FrameKind::Object {
                    first_field,
                    last_name,
                    is_ascending,
                    expects_value,
                },
            ..
        }) = self.frames.last_mut()
        else {
            panic!("invariant: a key is written inside an object")
        };
        assert!(
            !*expects_value,
            "invariant: every key is followed by a value"
        );
        let offset = self.bytes.len();
        *is_ascending &= self.field_offsets.len() == *first_field
            || self.bytes[last_name.clone()] < *name.as_bytes();
        *last_name = offset + 2..offset + 2 + name.len();
        *expects_value = true;
        self.field_offsets.push(offset);
        self.bytes.extend_from_slice(&name_len.to_le_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        Ok(())
    }

    /// Closes the innermost array or object.
    pub fn end(&mut self) -> Result<(), CodedError> {
        let frame = self
            .frames
            .pop()
            .expect("invariant: end closes an open container");
        let body_start = frame.start + raw::CONTAINER_HEADER_LEN;
        let mut count = frame.count;
        match frame.kind {
            FrameKind::Array => {
                if count > ARRAY_LEN_MAX && !self.is_trusted {
                    return Err(limits::array_too_long(count));
                }
            }
            FrameKind::Object {
                first_field,
                is_ascending,
                expects_value,
                ..
            } => {
                assert!(
                    !expects_value,
                    "invariant: every key is followed by a value"
                );
                if !is_ascending {
                    count = self.sort_fields(body_start, first_field);
                }
                self.field_offsets.truncate(first_field);
                if count > OBJECT_FIELDS_MAX && !self.is_trusted {
                    return Err(limits::too_many_fields(count));
                }
            }
        }
        let body_len = as_u32(self.bytes.len() - body_start);
        self.bytes[frame.start + 1..frame.start + 5].copy_from_slice(&body_len.to_le_bytes());
        self.bytes[frame.start + 5..body_start].copy_from_slice(&as_u32(count).to_le_bytes());
        Ok(())
    }

    /// Copies a packed value in as the next value.
    pub fn append(&mut self, value: ValueRef<'_>) -> Result<(), CodedError> {
        match value {
            ValueRef::Null => self.null(),
            ValueRef::Int64(number) => self.int64(number),
            ValueRef::Float64(number) => self.float64(number),
            ValueRef::Boolean(flag) => self.boolean(flag),
            ValueRef::String(text) => self.string(text),
            ValueRef::Bytes(content) => self.bytes(content),
            ValueRef::CommitTs => self.commit_ts(),
            ValueRef::Array(array) => self.append_container(value, array.as_bytes()),
            ValueRef::Object(object) => self.append_container(value, object.as_bytes()),
        }
    }

    /// Writes a tree as the next value.
    pub fn append_value(&mut self, value: &Value) -> Result<(), CodedError> {
        match value {
            Value::Null => self.null(),
            Value::Int64(number) => self.int64(*number),
            Value::Float64(number) => self.float64(*number),
            Value::Boolean(flag) => self.boolean(*flag),
            Value::String(text) => self.string(text),
            Value::Bytes(content) => self.bytes(content),
            Value::CommitTs => self.commit_ts(),
            Value::Array(elements) => {
                self.begin_array()?;
                elements
                    .iter()
                    .try_for_each(|element| self.append_value(element))?;
                self.end()
            }
            Value::Object(fields) => {
                self.begin_object()?;
                for (name, field) in fields.iter() {
                    self.key(name)?;
                    self.append_value(field)?;
                }
                self.end()
            }
        }
    }

    /// Returns the finished value.
    pub fn finish(self) -> PackedValue {
        assert!(
            self.frames.is_empty() && !self.bytes.is_empty(),
            "invariant: exactly one complete value is packed"
        );
        PackedValue::from_trusted(self.bytes)
    }

    /// Accounts for a value of `size_bytes` and tells the container around it.
    fn begin_value(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.add_size(size_bytes)?;
        match self.frames.last_mut() {
            Some(frame) => {
                frame.count += 1;
                if let FrameKind::Object { expects_value, .. } = &mut frame.kind {
                    assert!(
                        *expects_value,
                        "invariant: a value inside an object follows its key"
                    );
                    *expects_value = false;
                }
            }
            None => assert!(
                self.bytes.is_empty(),
                "invariant: exactly one complete value is packed"
            ),
        }
        Ok(())
    }

    fn add_size(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.size_bytes += size_bytes;
        if self.size_bytes > VALUE_SIZE_MAX_BYTES && !self.is_trusted {
            return Err(limits::too_large(self.size_bytes, VALUE_SIZE_MAX_BYTES));
        }
        Ok(())
    }

    fn begin_container(&mut self, tag: u8, kind: FrameKind) -> Result<(), CodedError> {
        self.check_nesting(self.frames.len() + 1)?;
        self.begin_value(2)?;
        self.frames.push(Frame {
            start: self.bytes.len(),
            count: 0,
            kind,
        });
        self.bytes.push(tag);
        self.bytes
            .extend_from_slice(&[0; raw::CONTAINER_HEADER_LEN - 1]);
        Ok(())
    }

    fn append_container(&mut self, value: ValueRef<'_>, packed: &[u8]) -> Result<(), CodedError> {
        // A trusted packer still asserts the bound of the format, or the result could not be read back.
        self.check_nesting(self.frames.len() + value.nesting())?;
        self.begin_value(value.size())?;
        self.bytes.extend_from_slice(packed);
        Ok(())
    }

    fn check_nesting(&self, nesting: usize) -> Result<(), CodedError> {
        if self.is_trusted {
            assert!(
                nesting <= PACKED_NESTING_MAX,
                "invariant: trusted code does not nest beyond the format's bound"
            );
        } else if nesting > NESTING_MAX {
            return Err(limits::too_nested(nesting));
        }
        Ok(())
    }

    fn blob(&mut self, tag: u8, content: &[u8]) {
        self.bytes.push(tag);
        self.bytes
            .extend_from_slice(&as_u32(content.len()).to_le_bytes());
        self.bytes.extend_from_slice(content);
    }

    /// Puts the fields of the object that ends here in order and drops overwritten ones; returns how many remain.
    fn sort_fields(&mut self, body_start: usize, first_field: usize) -> usize {
        let offsets = &self.field_offsets[first_field..];
        let ends = offsets.iter().skip(1).copied().chain([self.bytes.len()]);
        let mut fields: Vec<_> = offsets.iter().copied().zip(ends).collect();
        let name_at = |offset: usize| raw::read_name(&mut &self.bytes[offset..]);
        // The sort is stable, so the later of two equal names stays the later one.
        fields.sort_by(|a, b| name_at(a.0).cmp(name_at(b.0)));
        let mut body = Vec::with_capacity(self.bytes.len() - body_start);
        let mut count = 0;
        for (position, &(start, end)) in fields.iter().enumerate() {
            let is_overwritten = fields
                .get(position + 1)
                .is_some_and(|(next, _)| name_at(*next) == name_at(start));
            if !is_overwritten {
                body.extend_from_slice(&self.bytes[start..end]);
                count += 1;
            }
        }
        self.bytes.truncate(body_start);
        self.bytes.extend_from_slice(&body);
        count
    }
}

/// Converts a length; packed values stay below 4 GiB because everything from outside is at most 32 MiB.
fn as_u32(len: usize) -> u32 {
    u32::try_from(len).expect("invariant: packed values are smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    #[test]
    fn fields_in_any_order_give_the_canonical_form_and_the_last_duplicate_wins() {
        let mut packer = Packer::new();
        packer.begin_object().unwrap();
        for (name, number) in [("b", 1), ("", 2), ("a", 3), ("b", 4), ("ab", 5)] {
            packer.key(name).unwrap();
            packer.int64(number).unwrap();
        }
        packer.end().unwrap();
        let expected =
            Object::from([("", 2), ("a", 3), ("ab", 5), ("b", 4)].map(|(k, v): (_, i64)| (k, v)));
        assert_eq!(packer.finish(), Value::from(expected).pack());
    }

    fn message(
        build: impl FnOnce(&mut Packer) -> Result<(), CodedError>,
    ) -> Option<(String, String)> {
        build(&mut Packer::new())
            .err()
            .map(|e| (e.code.into_owned(), e.message))
    }

    fn coded(code: &str, message: &str) -> Option<(String, String)> {
        Some((code.to_owned(), message.to_owned()))
    }

    #[test]
    fn array_length_limit() {
        let array = |len: usize| {
            message(|packer| {
                packer.begin_array()?;
                (0..len).try_for_each(|_| packer.null())?;
                packer.end()
            })
        };
        assert_eq!(array(8192), None);
        assert_eq!(
            array(9000),
            coded(
                "ArrayTooLong",
                "Array length is too long (9000 > maximum length 8192)"
            )
        );
    }

    #[test]
    fn field_count_limit() {
        let object = |len: usize| {
            message(|packer| {
                packer.begin_object()?;
                for i in 0..len {
                    packer.key(&format!("f{i}"))?;
                    packer.null()?;
                }
                packer.end()
            })
        };
        assert_eq!(object(1024), None);
        assert_eq!(
            object(1025),
            coded(
                "TooManyFieldsError",
                "Object has too many fields (1025 > maximum number 1024)"
            )
        );
    }

    #[test]
    fn nesting_limit() {
        let nested = |levels: usize| {
            message(|packer| {
                (0..levels).try_for_each(|_| packer.begin_array())?;
                (0..levels).try_for_each(|_| packer.end())
            })
        };
        let expected = coded(
            "TooNestedError",
            "Value is too nested (nested 65 levels deep > maximum nesting 64)",
        );
        assert_eq!(nested(64), None);
        assert_eq!(nested(65), expected);
        let mut inner = Value::Array(Vec::new());
        for _ in 1..64 {
            inner = Value::Array(vec![inner]);
        }
        let inner = inner.pack();
        assert_eq!(message(|packer| packer.append(inner.as_ref())), None);
        assert_eq!(
            message(|packer| {
                packer.begin_array()?;
                packer.append(inner.as_ref())
            }),
            expected
        );
    }

    #[test]
    fn size_limit() {
        let string = |len: usize| message(|packer| packer.string(&"x".repeat(len)));
        assert_eq!(string((32 << 20) - 2), None);
        assert_eq!(
            string(40 << 20),
            coded(
                "ValueTooLargeError",
                "Value is too large (40 MiB > maximum size 32 MiB)"
            )
        );
    }
}
