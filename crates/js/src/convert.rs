//! Conversion between packed values and JavaScript values without JSON text.
//!
//! The natives here stand in for functions of the npm package that
//! `recognise` has found in a bundle. Each handles what is plain and returns
//! `miss` for anything else (wrong types, getters, proxies, bad field names);
//! the library's own code then runs as if nothing had been there, so every
//! error is the library's.

use hull_value::PackedValue;
use hull_value::json::{CommitTsPolicy, pack_encoded};

use crate::ffi::{self, JSAtom, JSContext, JSValue};
use crate::js::Js;

pub(crate) mod bindings;
pub(crate) mod build;
mod json_form;
mod pack;

/// What a value is for a conversion that must not be observable; mirrored by
/// `hull_kind` in `quickjs/hull.inc.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Kind {
    Undefined,
    Null,
    Bool,
    Int,
    Float,
    String,
    BigInt,
    Array,
    PlainObject,
    ArrayBuffer,
    Other,
}

impl Kind {
    pub(crate) fn of(js: Js, value: JSValue) -> Self {
        const KINDS: [Kind; 11] = [
            Kind::Undefined,
            Kind::Null,
            Kind::Bool,
            Kind::Int,
            Kind::Float,
            Kind::String,
            Kind::BigInt,
            Kind::Array,
            Kind::PlainObject,
            Kind::ArrayBuffer,
            Kind::Other,
        ];
        // SAFETY: `value` is alive.
        let kind = unsafe { ffi::hull_kind(js.0, value) };
        usize::try_from(kind)
            .ok()
            .and_then(|kind| KINDS.get(kind).copied())
            .unwrap_or(Kind::Other)
    }
}

/// The value is not plain: the library's own code must deal with it.
pub(crate) struct Miss;

/// Deepest nesting converted natively; deeper values are the library's.
const DEPTH_MAX: usize = 80;

/// Elements of a value of kind `Array`, valid until JavaScript runs.
fn elements<'a>(array: JSValue) -> &'a [JSValue] {
    let mut count = 0u32;
    // SAFETY: the caller has checked the kind; a count of zero may come with null.
    unsafe {
        let first = ffi::hull_array_elements(array, &raw mut count);
        if count == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(first, count as usize)
        }
    }
}

/// Enumerable string-keyed properties of a value of kind `PlainObject`.
fn properties(js: Js, object: JSValue) -> impl Iterator<Item = (JSAtom, JSValue)> {
    // SAFETY: the caller has checked the kind, slots are below the count, and
    // nothing changes the object during the iteration.
    let slots = unsafe { ffi::hull_object_slots(object) };
    (0..slots).filter_map(move |slot| {
        let (mut key, mut value) = (0, JSValue::UNDEFINED);
        // SAFETY: as above.
        let listed =
            unsafe { ffi::hull_object_slot(js.0, object, slot, &raw mut key, &raw mut value) };
        listed.then_some((key, value))
    })
}

/// Runs `use_name` with the name of a field if it is plain ASCII.
fn with_name<R>(
    js: Js,
    atom: JSAtom,
    use_name: impl FnOnce(&str) -> Result<R, Miss>,
) -> Result<R, Miss> {
    let (mut len, mut is_wide) = (0u32, 0);
    // SAFETY: the characters live as long as the atom, which its object holds.
    let start = unsafe { ffi::hull_atom_chars(js.0, atom, &raw mut len, &raw mut is_wide) };
    if start.is_null() {
        // SAFETY: a null means an integer atom.
        let index = unsafe { ffi::hull_atom_int(atom) };
        return use_name(&index.to_string());
    }
    if is_wide != 0 {
        return Err(Miss);
    }
    // SAFETY: `len` bytes of Latin-1, checked to be ASCII before use as text.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len as usize) };
    match std::str::from_utf8(bytes) {
        Ok(name) if bytes.is_ascii() => use_name(name),
        _ => Err(Miss),
    }
}

/// The library's rule for field names.
fn is_field_name(name: &str) -> bool {
    name.len() <= 1024
        && !name.starts_with('$')
        && name.bytes().all(|byte| (32..127).contains(&byte))
}

/// Parses the JSON text of a result. Whether it may hold commit timestamp
/// placeholders is the host's to say.
pub(crate) fn parse_result(text: &str) -> Result<PackedValue, String> {
    pack_encoded(text, CommitTsPolicy::Allow).map_err(|error| error.to_string())
}

/// Frees atoms made for one object.
fn free_atoms(ctx: *mut JSContext, atoms: &[JSAtom]) {
    for atom in atoms {
        // SAFETY: made by the caller on this context.
        unsafe { ffi::JS_FreeAtom(ctx, *atom) };
    }
}
