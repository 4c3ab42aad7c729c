//! JavaScript values to packed values.

use hull_value::{PackedValue, Packer};

use super::{Kind, Miss, elements, properties, with_name};
use crate::ffi::{self, JSValue};
use crate::js::{Chars, Js};

/// Packs what `convexToJson` and the host's parser would make of the value.
/// `is_commit_ts` tells the library's placeholder.
pub(crate) fn pack(
    js: Js,
    value: JSValue,
    is_commit_ts: &dyn Fn(JSValue) -> bool,
) -> Result<PackedValue, Miss> {
    let mut packer = Packer::new();
    Walk { js, is_commit_ts }.value(value, &mut packer)?;
    Ok(packer.finish())
}

struct Walk<'a> {
    js: Js,
    is_commit_ts: &'a dyn Fn(JSValue) -> bool,
}

impl Walk<'_> {
    /// Recursion is bounded by the packer's limit on nesting.
    fn value(&self, value: JSValue, packer: &mut Packer) -> Result<(), Miss> {
        let written = match Kind::of(self.js, value) {
            Kind::Null => packer.null(),
            Kind::Bool => packer.boolean(value.as_bool().ok_or(Miss)?),
            Kind::Int | Kind::Float => packer.float64(canonical(value.as_number().ok_or(Miss)?)),
            Kind::String => return self.string(value, packer),
            Kind::BigInt => {
                let mut number = 0i64;
                // SAFETY: the kind is checked.
                if !unsafe { ffi::hull_bigint_to_i64(value, &raw mut number) } {
                    return Err(Miss);
                }
                packer.int64(number)
            }
            Kind::ArrayBuffer => match self.js.bytes(value) {
                // An empty one may be detached, which the library reports.
                Some(bytes) if !bytes.is_empty() => packer.bytes(bytes),
                _ => return Err(Miss),
            },
            Kind::Array => {
                packer.begin_array().map_err(|_| Miss)?;
                for element in elements(value) {
                    self.value(*element, packer)?;
                }
                packer.end()
            }
            Kind::PlainObject => {
                packer.begin_object().map_err(|_| Miss)?;
                for (key, field) in properties(self.js, value) {
                    if field.is_undefined() {
                        continue;
                    }
                    with_name(self.js, key, |name| packer.key(name).map_err(|_| Miss))?;
                    self.value(field, packer)?;
                }
                packer.end()
            }
            Kind::Other if (self.is_commit_ts)(value) => packer.commit_ts(),
            Kind::Undefined | Kind::Other => return Err(Miss),
        };
        written.map_err(|_| Miss)
    }

    fn string(&self, value: JSValue, packer: &mut Packer) -> Result<(), Miss> {
        match self.js.chars(value).ok_or(Miss)? {
            Chars::Latin1(bytes) if bytes.is_ascii() => {
                let text = std::str::from_utf8(bytes).map_err(|_| Miss)?;
                packer.string(text).map_err(|_| Miss)
            }
            chars => packer
                .string(&chars.to_strict().ok_or(Miss)?)
                .map_err(|_| Miss),
        }
    }
}

/// JavaScript has one NaN; the wire form spells it with these bits.
fn canonical(number: f64) -> f64 {
    if number.is_nan() {
        f64::from_bits(0x7ff8_0000_0000_0000)
    } else {
        number
    }
}
