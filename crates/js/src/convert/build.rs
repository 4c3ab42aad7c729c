//! Packed values to JavaScript values.

use std::ffi::c_int;

use hull_value::{ObjectRef, PackedValue, ValueRef};

use super::free_atoms;
use crate::ffi::{self, JSShape, JSValue};
use crate::js::Js;

/// Shapes of objects built in this call, so that the next object with the
/// same fields costs one allocation and no lookups. Lives in the `Run`: the
/// shapes lie in the arena and are forgotten at the reset.
#[derive(Default)]
pub(crate) struct ShapeCache {
    entries: Vec<Entry>,
    /// Where the last hit was; documents of one table come in rows.
    latest: usize,
}

struct Entry {
    names: Vec<String>,
    shape: *mut JSShape,
}

const ENTRIES_MAX: usize = 32;

impl ShapeCache {
    fn find(&mut self, object: ObjectRef<'_>) -> Option<*mut JSShape> {
        let matches = |entry: &Entry| {
            entry.names.len() == object.len()
                && entry
                    .names
                    .iter()
                    .zip(object.keys())
                    .all(|(known, name)| known == name)
        };
        if let Some(entry) = self.entries.get(self.latest).filter(|entry| matches(entry)) {
            return Some(entry.shape);
        }
        self.latest = self.entries.iter().position(matches)?;
        Some(self.entries[self.latest].shape)
    }
}

/// Builds what `jsonToConvex` gives for the value. `commit_ts` is the
/// placeholder of the library. Gives the exception marker when memory ran
/// out; parts built so far are then left to the reset.
pub(crate) fn build(
    js: Js,
    cache: &mut ShapeCache,
    commit_ts: JSValue,
    value: ValueRef<'_>,
) -> JSValue {
    match value {
        ValueRef::Null => JSValue::NULL,
        ValueRef::Boolean(flag) => JSValue::bool(flag),
        ValueRef::Float64(number) => JSValue::number(number),
        ValueRef::String(text) => js.string(text),
        // SAFETY: plain constructors that copy their input.
        ValueRef::Int64(number) => unsafe { ffi::JS_NewBigInt64(js.0, number) },
        // SAFETY: as above.
        ValueRef::Bytes(bytes) => unsafe {
            ffi::JS_NewArrayBufferCopy(js.0, bytes.as_ptr(), bytes.len())
        },
        ValueRef::CommitTs => js.dup(commit_ts),
        ValueRef::Array(array) => {
            let mut values = Vec::with_capacity(array.len());
            for item in array.iter() {
                let item = build(js, cache, commit_ts, item);
                if item.is_exception() {
                    return item;
                }
                values.push(item);
            }
            new_array(js, &values)
        }
        ValueRef::Object(object) => build_object(js, cache, commit_ts, object),
    }
}

fn build_object(
    js: Js,
    cache: &mut ShapeCache,
    commit_ts: JSValue,
    object: ObjectRef<'_>,
) -> JSValue {
    let mut values = Vec::with_capacity(object.len());
    for (_, value) in object.iter() {
        let value = build(js, cache, commit_ts, value);
        if value.is_exception() {
            return value;
        }
        values.push(value);
    }
    if let Some(shape) = cache.find(object) {
        // SAFETY: the shape has exactly these properties, in this order; the
        // values are given away.
        return unsafe { ffi::hull_object_from_shape(js.0, shape, values.as_ptr()) };
    }
    let atoms: Vec<_> = object.keys().map(|name| js.atom(name)).collect();
    let built = new_object(js, &atoms, &values);
    free_atoms(js.0, &atoms);
    if !built.is_exception() && cache.entries.len() < ENTRIES_MAX {
        // SAFETY: `built` is a plain object; the shape stays referenced until the reset.
        let shape =
            unsafe { ffi::hull_shape_of(built, u32::try_from(values.len()).unwrap_or(u32::MAX)) };
        if !shape.is_null() {
            cache.latest = cache.entries.len();
            cache.entries.push(Entry {
                names: object.keys().map(str::to_owned).collect(),
                shape,
            });
        }
    }
    built
}

/// An array of values, which are given away.
pub(super) fn new_array(js: Js, values: &[JSValue]) -> JSValue {
    // SAFETY: values are alive and given away; counts are far below 2^31.
    unsafe { ffi::JS_NewArrayFrom(js.0, values.len() as c_int, values.as_ptr()) }
}

/// An object made by assignment, as the library does (`out[k] = v`); the
/// values are given away.
pub(super) fn new_object(js: Js, atoms: &[ffi::JSAtom], values: &[JSValue]) -> JSValue {
    debug_assert_eq!(atoms.len(), values.len());
    // SAFETY: as in `new_array`.
    unsafe { ffi::JS_NewObjectFrom(js.0, values.len() as c_int, atoms.as_ptr(), values.as_ptr()) }
}

/// Whether a commit timestamp placeholder occurs in the value.
pub(super) fn has_commit_ts(value: &PackedValue) -> bool {
    value.as_ref().has_commit_ts()
}
