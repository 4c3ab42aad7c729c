//! The library's JSON form as JavaScript objects, both ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::build::{new_array, new_object};
use super::{DEPTH_MAX, Kind, Miss, elements, free_atoms, is_field_name, properties, with_name};
use crate::ffi::{self, JSValue};
use crate::js::Js;

/// `jsonToConvex`. `commit_ts` is the library's placeholder.
pub(crate) fn from_json(
    js: Js,
    value: JSValue,
    commit_ts: JSValue,
    depth: usize,
) -> Result<JSValue, Miss> {
    match Kind::of(js, value) {
        Kind::Null | Kind::Bool | Kind::Int | Kind::Float | Kind::String => Ok(js.dup(value)),
        _ if depth > DEPTH_MAX => Err(Miss),
        Kind::Array => {
            let mut values = Vec::with_capacity(elements(value).len());
            for element in elements(value) {
                values.push(from_json(js, *element, commit_ts, depth + 1)?);
            }
            made(new_array(js, &values))
        }
        Kind::PlainObject => {
            let fields: Vec<_> = properties(js, value).collect();
            if let [(key, field)] = fields[..]
                && let Some(special) = with_name(js, key, |name| Ok(Special::of(name)))?
            {
                return special.decode(js, field, commit_ts);
            }
            let mut atoms = Vec::with_capacity(fields.len());
            let mut values = Vec::with_capacity(fields.len());
            for (key, field) in fields {
                with_name(js, key, |name| {
                    is_field_name(name).then_some(()).ok_or(Miss)
                })?;
                atoms.push(key);
                values.push(from_json(js, field, commit_ts, depth + 1)?);
            }
            made(new_object(js, &atoms, &values))
        }
        Kind::Undefined | Kind::BigInt | Kind::ArrayBuffer | Kind::Other => Err(Miss),
    }
}

/// Keys that make an object of one field something else.
enum Special {
    Bytes,
    Integer,
    Float,
    CommitTs,
}

impl Special {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "$bytes" => Special::Bytes,
            "$integer" => Special::Integer,
            "$float" => Special::Float,
            "$commitTs" => Special::CommitTs,
            _ => return None,
        })
    }

    fn decode(&self, js: Js, field: JSValue, commit_ts: JSValue) -> Result<JSValue, Miss> {
        if let Special::CommitTs = self {
            let is_usable = field.is_null() && commit_ts.is_object();
            return if is_usable {
                Ok(js.dup(commit_ts))
            } else {
                Err(Miss)
            };
        }
        let text = js
            .chars(field)
            .and_then(|chars| chars.to_strict())
            .ok_or(Miss)?;
        let bytes = STANDARD.decode(text).map_err(|_| Miss)?;
        let word = || <[u8; 8]>::try_from(&bytes[..]).map_err(|_| Miss);
        // SAFETY: plain constructors that copy their input.
        made(unsafe {
            match self {
                Special::Bytes => ffi::JS_NewArrayBufferCopy(js.0, bytes.as_ptr(), bytes.len()),
                Special::Integer => ffi::JS_NewBigInt64(js.0, i64::from_le_bytes(word()?)),
                _ => {
                    let number = f64::from_le_bytes(word()?);
                    if !is_special(number) {
                        return Err(Miss);
                    }
                    JSValue::number(number)
                }
            }
        })
    }
}

fn is_special(number: f64) -> bool {
    !number.is_finite() || (number == 0.0 && number.is_sign_negative())
}

/// What to do with undefined fields of the outermost object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undefined {
    Drop,
    /// `{"$undefined":null}`, as `patchValueToJson` does.
    Keep,
}

/// `convexToJson` and `patchValueToJson`.
pub(crate) fn to_json(
    js: Js,
    value: JSValue,
    is_commit_ts: &dyn Fn(JSValue) -> bool,
    undefined: Undefined,
    depth: usize,
) -> Result<JSValue, Miss> {
    match Kind::of(js, value) {
        Kind::Null | Kind::Bool | Kind::String => Ok(js.dup(value)),
        Kind::Int => Ok(value),
        Kind::Float => match value.as_number().ok_or(Miss)? {
            number if is_special(number) => {
                let number = if number.is_nan() { f64::NAN } else { number };
                tagged(
                    js,
                    "$float",
                    js.string(&STANDARD.encode(number.to_le_bytes())),
                )
            }
            _ => Ok(value),
        },
        Kind::BigInt => {
            let mut number = 0i64;
            // SAFETY: the kind is checked.
            if !unsafe { ffi::hull_bigint_to_i64(value, &raw mut number) } {
                return Err(Miss);
            }
            tagged(
                js,
                "$integer",
                js.string(&STANDARD.encode(number.to_le_bytes())),
            )
        }
        Kind::ArrayBuffer => match js.bytes(value) {
            Some(bytes) if !bytes.is_empty() => {
                tagged(js, "$bytes", js.string(&STANDARD.encode(bytes)))
            }
            _ => Err(Miss),
        },
        Kind::Other if is_commit_ts(value) => tagged(js, "$commitTs", JSValue::NULL),
        _ if depth > DEPTH_MAX => Err(Miss),
        Kind::Array => {
            let mut values = Vec::with_capacity(elements(value).len());
            for element in elements(value) {
                values.push(to_json(
                    js,
                    *element,
                    is_commit_ts,
                    Undefined::Drop,
                    depth + 1,
                )?);
            }
            made(new_array(js, &values))
        }
        Kind::PlainObject => {
            let mut fields = Vec::new();
            for (key, field) in properties(js, value) {
                if field.is_undefined() && undefined == Undefined::Drop {
                    continue;
                }
                let name = with_name(js, key, |name| {
                    is_field_name(name).then(|| name.to_owned()).ok_or(Miss)
                })?;
                fields.push((name, key, field));
            }
            fields.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let mut atoms = Vec::with_capacity(fields.len());
            let mut values = Vec::with_capacity(fields.len());
            for (_, key, field) in fields {
                atoms.push(key);
                values.push(if field.is_undefined() {
                    tagged(js, "$undefined", JSValue::NULL)?
                } else {
                    to_json(js, field, is_commit_ts, Undefined::Drop, depth + 1)?
                });
            }
            made(new_object(js, &atoms, &values))
        }
        Kind::Undefined | Kind::Other => Err(Miss),
    }
}

fn tagged(js: Js, name: &str, value: JSValue) -> Result<JSValue, Miss> {
    let value = made(value)?;
    let atoms = [js.atom(name)];
    let object = new_object(js, &atoms, &[value]);
    free_atoms(js.0, &atoms);
    made(object)
}

/// Out of memory counts as a miss: the allocator has noted it, the call ends.
fn made(value: JSValue) -> Result<JSValue, Miss> {
    if value.is_exception() {
        Err(Miss)
    } else {
        Ok(value)
    }
}
