use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::ValueRef;

/// Returns the rendering of a value used in messages: strings quoted with escapes, floats always with a fraction or
/// exponent, bytes as `b"<base64>"`, fields in order.
pub fn render(value: ValueRef<'_>) -> String {
    let mut out = String::new();
    render_into(value, &mut out);
    out
}

fn render_into(value: ValueRef<'_>, out: &mut String) {
    let written = match value {
        ValueRef::Null => out.write_str("null"),
        ValueRef::Int64(number) => write!(out, "{number}"),
        ValueRef::Float64(number) => write!(out, "{number:?}"),
        ValueRef::Boolean(flag) => write!(out, "{flag}"),
        ValueRef::String(text) => write!(out, "{text:?}"),
        ValueRef::Bytes(bytes) => write!(out, "b\"{}\"", STANDARD.encode(bytes)),
        // What validation sees (data model spec 5.6).
        ValueRef::CommitTs => write!(out, "{}", i64::MAX),
        ValueRef::Array(array) => {
            out.push('[');
            for (position, element) in array.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { ", " });
                render_into(element, out);
            }
            out.push(']');
            Ok(())
        }
        ValueRef::Object(object) => {
            out.push('{');
            for (position, (name, field)) in object.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { ", " });
                out.push_str(name);
                out.push_str(": ");
                render_into(field, out);
            }
            out.push('}');
            Ok(())
        }
    };
    written.expect("invariant: writing to a String cannot fail");
}

/// Returns a size in binary units with at most two decimals: `512 B`, `1.2 MiB`, `16 MiB`.
pub fn format_size(size_bytes: usize) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = size_bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = format!("{amount:.2}");
    format!(
        "{} {}",
        digits.trim_end_matches('0').trim_end_matches('.'),
        UNITS[unit]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, Value};

    fn check(value: impl Into<Value>, expected: &str) {
        assert_eq!(render(value.into().pack().as_ref()), expected);
    }

    #[test]
    fn values_render_like_rust_debug() {
        check(Value::Null, "null");
        check(true, "true");
        check(5i64, "5");
        check(1.0, "1.0");
        check(-0.0, "-0.0");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "inf");
        check(1e21, "1e21");
        check("a\"b\n", r#""a\"b\n""#);
        check(vec![0u8, 255], "b\"AP8=\"");
        check(vec![Value::from(1i64), "x".into()], r#"[1, "x"]"#);
        check(
            Object::from([("b", Value::Null), ("a b", 1.5.into())]),
            "{a b: 1.5, b: null}",
        );
    }

    #[test]
    fn sizes_use_binary_units() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1023), "1023 B");
        assert_eq!(format_size(1 << 20), "1 MiB");
        assert_eq!(format_size(1_258_291), "1.2 MiB");
        assert_eq!(format_size(1_205_863), "1.15 MiB");
        assert_eq!(format_size(20 * 1024), "20 KiB");
    }
}
