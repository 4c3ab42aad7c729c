use std::{cmp::Ordering, fmt};

use crate::{
    FieldPath, Object, PackedValue, Packer, Value,
    raw::{self, RawContainer, RawValue},
};

/// A view of a value inside packed bytes; cheap to copy, allocates nothing.
///
/// Equality and order are the total order of the data model, like those of [`Value`].
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    Null,
    Int64(i64),
    Float64(f64),
    Boolean(bool),
    String(&'a str),
    Bytes(&'a [u8]),
    Array(ArrayRef<'a>),
    Object(ObjectRef<'a>),
    CommitTs,
}

/// A view of a packed array.
#[derive(Clone, Copy)]
pub struct ArrayRef<'a>(RawContainer<'a>);

/// A view of a packed object, fields in byte order of their names.
#[derive(Clone, Copy)]
pub struct ObjectRef<'a>(RawContainer<'a>);

impl<'a> ValueRef<'a> {
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int64(number) => Value::Int64(number),
            Self::Float64(number) => Value::Float64(number),
            Self::Boolean(flag) => Value::Boolean(flag),
            Self::String(text) => Value::String(text.to_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Self::Array(array) => Value::Array(array.iter().map(Self::to_value).collect()),
            Self::Object(object) => Value::Object(object.to_object()),
            Self::CommitTs => Value::CommitTs,
        }
    }

    /// Copies the value out into packed bytes of its own.
    pub fn to_packed(self) -> PackedValue {
        let mut packer = Packer::trusted();
        packer
            .append(self)
            .expect("invariant: trusted code packs valid field names, and has no limits to exceed");
        packer.finish()
    }

    /// Returns the accounted size in bytes, the one limits and `getConvexSize` count.
    pub fn size(self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 1,
            Self::Int64(_) | Self::Float64(_) | Self::CommitTs => 9,
            Self::String(text) => 2 + text.len(),
            Self::Bytes(bytes) => 2 + bytes.len(),
            Self::Array(ArrayRef(raw)) => raw_size(RawValue::Array(raw)),
            Self::Object(ObjectRef(raw)) => raw_size(RawValue::Object(raw)),
        }
    }

    /// Returns how many containers are nested in each other: 0 for a scalar, 1 for an empty container.
    pub fn nesting(self) -> usize {
        match self {
            Self::Array(ArrayRef(raw)) => raw_nesting(RawValue::Array(raw)),
            Self::Object(ObjectRef(raw)) => raw_nesting(RawValue::Object(raw)),
            _ => 0,
        }
    }

    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn as_str(self) -> Option<&'a str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub fn as_bool(self) -> Option<bool> {
        if let Self::Boolean(flag) = self {
            Some(flag)
        } else {
            None
        }
    }

    pub fn as_int64(self) -> Option<i64> {
        if let Self::Int64(number) = self {
            Some(number)
        } else {
            None
        }
    }

    pub fn as_float64(self) -> Option<f64> {
        if let Self::Float64(number) = self {
            Some(number)
        } else {
            None
        }
    }

    pub fn as_bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self {
            Some(bytes)
        } else {
            None
        }
    }

    pub fn as_array(self) -> Option<ArrayRef<'a>> {
        if let Self::Array(array) = self {
            Some(array)
        } else {
            None
        }
    }

    pub fn as_object(self) -> Option<ObjectRef<'a>> {
        if let Self::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }

    /// Returns the type name used in messages.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Int64(_) | Self::CommitTs => "Int64",
            Self::Float64(_) => "Float64",
            Self::Boolean(_) => "Boolean",
            Self::String(_) => "String",
            Self::Bytes(_) => "Bytes",
            Self::Array(_) => "Array",
            Self::Object(_) => "Object",
        }
    }

    /// Tells whether an unresolved commit timestamp occurs anywhere inside.
    pub fn has_commit_ts(self) -> bool {
        match self {
            Self::CommitTs => true,
            Self::Array(ArrayRef(raw)) => raw_has_commit_ts(RawValue::Array(raw)),
            Self::Object(ObjectRef(raw)) => raw_has_commit_ts(RawValue::Object(raw)),
            _ => false,
        }
    }

    /// Takes the next value off the front of `input`.
    pub(crate) fn read(input: &mut &'a [u8]) -> Self {
        match raw::read(input) {
            RawValue::Null => Self::Null,
            RawValue::Int64(number) => Self::Int64(number),
            RawValue::Float64(number) => Self::Float64(number),
            RawValue::Boolean(flag) => Self::Boolean(flag),
            RawValue::String(bytes) => Self::String(raw::as_str(bytes)),
            RawValue::Bytes(bytes) => Self::Bytes(bytes),
            RawValue::Array(raw) => Self::Array(ArrayRef(raw)),
            RawValue::Object(raw) => Self::Object(ObjectRef(raw)),
            RawValue::CommitTs => Self::CommitTs,
        }
    }

    pub(crate) fn to_raw(self) -> RawValue<'a> {
        match self {
            Self::Null => RawValue::Null,
            Self::Int64(number) => RawValue::Int64(number),
            Self::Float64(number) => RawValue::Float64(number),
            Self::Boolean(flag) => RawValue::Boolean(flag),
            Self::String(text) => RawValue::String(text.as_bytes()),
            Self::Bytes(bytes) => RawValue::Bytes(bytes),
            Self::Array(ArrayRef(raw)) => RawValue::Array(raw),
            Self::Object(ObjectRef(raw)) => RawValue::Object(raw),
            Self::CommitTs => RawValue::CommitTs,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Int64(_) | Self::CommitTs => 1,
            Self::Float64(_) => 2,
            Self::Boolean(_) => 3,
            Self::String(_) => 4,
            Self::Bytes(_) => 5,
            Self::Array(_) => 6,
            Self::Object(_) => 7,
        }
    }

    fn as_ordered_int64(self) -> i64 {
        if let Self::Int64(number) = self {
            number
        } else {
            i64::MAX
        }
    }
}

impl Ord for ValueRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Int64(_) | Self::CommitTs, Self::Int64(_) | Self::CommitTs) => {
                self.as_ordered_int64().cmp(&other.as_ordered_int64())
            }
            (Self::Float64(a), Self::Float64(b)) => a.total_cmp(&b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(&b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.iter().cmp(b.iter()),
            (Self::Object(a), Self::Object(b)) => a.iter().cmp(b.iter()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for ValueRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ValueRef<'_> {}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::render(*self))
    }
}

impl<'a> ArrayRef<'a> {
    pub fn len(self) -> usize {
        self.0.count()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn iter(self) -> impl Iterator<Item = ValueRef<'a>> + Clone + use<'a> {
        let mut rest = self.0.body();
        std::iter::from_fn(move || (!rest.is_empty()).then(|| ValueRef::read(&mut rest)))
    }

    /// Returns the element at `position`, skipping over the ones before it.
    pub fn get(self, position: usize) -> Option<ValueRef<'a>> {
        if position >= self.len() {
            return None;
        }
        let mut rest = self.0.body();
        for _ in 0..position {
            raw::skip(&mut rest);
        }
        Some(ValueRef::read(&mut rest))
    }

    /// Returns the packed bytes of the whole array.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.0
    }
}

impl<'a> ObjectRef<'a> {
    pub fn len(self) -> usize {
        self.0.count()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Iterates over the fields in byte order of their names.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + Clone + use<'a> {
        let mut rest = self.0.body();
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| {
                (
                    raw::as_str(raw::read_name(&mut rest)),
                    ValueRef::read(&mut rest),
                )
            })
        })
    }

    pub fn keys(self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let mut rest = self.0.body();
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| {
                let name = raw::read_name(&mut rest);
                raw::skip(&mut rest);
                raw::as_str(name)
            })
        })
    }

    /// Returns the value of a field, stopping at the first greater name.
    pub fn get(self, name: &str) -> Option<ValueRef<'a>> {
        let mut rest = self.0.body();
        while !rest.is_empty() {
            match raw::read_name(&mut rest).cmp(name.as_bytes()) {
                Ordering::Less => raw::skip(&mut rest),
                Ordering::Equal => return Some(ValueRef::read(&mut rest)),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Follows a path through nested objects; `None` where a field is missing or something else than an object.
    pub fn get_path(self, path: &FieldPath) -> Option<ValueRef<'a>> {
        let (last, parents) = path.segments().split_last()?;
        let mut object = self;
        for segment in parents {
            object = object.get(segment)?.as_object()?;
        }
        object.get(last)
    }

    /// Copies the object without its top-level fields that begin with `_`.
    pub fn without_system_fields(self) -> PackedValue {
        const TRUSTED: &str =
            "invariant: trusted code packs valid field names, and has no limits to exceed";
        let mut packer = Packer::trusted();
        packer.begin_object().expect(TRUSTED);
        for (name, value) in self.iter().filter(|(name, _)| !name.starts_with('_')) {
            packer.key(name).expect(TRUSTED);
            packer.append(value).expect(TRUSTED);
        }
        packer.end().expect(TRUSTED);
        packer.finish()
    }

    pub fn to_object(self) -> Object {
        self.iter()
            .map(|(name, value)| (name, value.to_value()))
            .collect()
    }

    /// Returns the packed bytes of the whole object.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.0
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&ValueRef::Array(*self), f)
    }
}

impl fmt::Debug for ObjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&ValueRef::Object(*self), f)
    }
}

fn raw_size(value: RawValue<'_>) -> usize {
    match value {
        RawValue::Null | RawValue::Boolean(_) => 1,
        RawValue::Int64(_) | RawValue::Float64(_) | RawValue::CommitTs => 9,
        RawValue::String(bytes) | RawValue::Bytes(bytes) => 2 + bytes.len(),
        RawValue::Array(raw) => {
            let mut rest = raw.body();
            let mut size = 2;
            while !rest.is_empty() {
                size += raw_size(raw::read(&mut rest));
            }
            size
        }
        RawValue::Object(raw) => {
            let mut rest = raw.body();
            let mut size = 2;
            while !rest.is_empty() {
                size += raw::read_name(&mut rest).len() + 1;
                size += raw_size(raw::read(&mut rest));
            }
            size
        }
    }
}

fn raw_nesting(value: RawValue<'_>) -> usize {
    match value {
        RawValue::Array(raw) => {
            let mut rest = raw.body();
            let mut deepest = 0;
            while !rest.is_empty() {
                deepest = deepest.max(raw_nesting(raw::read(&mut rest)));
            }
            1 + deepest
        }
        RawValue::Object(raw) => {
            let mut rest = raw.body();
            let mut deepest = 0;
            while !rest.is_empty() {
                raw::read_name(&mut rest);
                deepest = deepest.max(raw_nesting(raw::read(&mut rest)));
            }
            1 + deepest
        }
        _ => 0,
    }
}

fn raw_has_commit_ts(value: RawValue<'_>) -> bool {
    match value {
        RawValue::CommitTs => true,
        RawValue::Array(raw) => {
            let mut rest = raw.body();
            std::iter::from_fn(|| (!rest.is_empty()).then(|| raw::read(&mut rest)))
                .any(raw_has_commit_ts)
        }
        RawValue::Object(raw) => {
            let mut rest = raw.body();
            std::iter::from_fn(|| {
                (!rest.is_empty()).then(|| {
                    raw::read_name(&mut rest);
                    raw::read(&mut rest)
                })
            })
            .any(raw_has_commit_ts)
        }
        _ => false,
    }
}
