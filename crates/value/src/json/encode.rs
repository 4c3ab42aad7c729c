use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    ValueRef,
    raw::{self, RawValue},
};

use super::Format;

const INFALLIBLE: &str = "invariant: writing to a Vec cannot fail";

/// Appends the wire form (`convex_encoded_json`).
pub fn encode(value: ValueRef<'_>, out: &mut Vec<u8>) {
    write_value(value.to_raw(), Format::Encoded, out);
}

/// Appends the lossy clean form (`json`).
pub fn encode_clean(value: ValueRef<'_>, out: &mut Vec<u8>) {
    write_value(value.to_raw(), Format::Clean, out);
}

/// Appends the form of export files (`export_json`).
pub fn encode_export(value: ValueRef<'_>, out: &mut Vec<u8>) {
    write_value(value.to_raw(), Format::Export, out);
}

/// Appends a JSON string literal.
pub fn encode_string(text: &str, out: &mut Vec<u8>) {
    write_string(text.as_bytes(), out);
}

fn write_value(value: RawValue<'_>, format: Format, out: &mut Vec<u8>) {
    match value {
        RawValue::Null => out.extend_from_slice(b"null"),
        RawValue::Boolean(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        RawValue::String(text) => write_string(text, out),
        RawValue::Float64(number) => write_float64(number, format, out),
        RawValue::Int64(number) => match format {
            Format::Encoded => write_wrapped(b"$integer", &number.to_le_bytes(), out),
            Format::Clean => write!(out, "\"{number}\"").expect(INFALLIBLE),
            Format::Export => write!(out, "{number}").expect(INFALLIBLE),
        },
        RawValue::Bytes(bytes) => match format {
            Format::Clean => write_base64(bytes, out),
            Format::Encoded | Format::Export => write_wrapped(b"$bytes", bytes, out),
        },
        RawValue::CommitTs => out.extend_from_slice(br#"{"$commitTs":null}"#),
        RawValue::Array(array) => {
            let mut rest = array.body();
            let mut separator = b'[';
            while !rest.is_empty() {
                out.push(separator);
                separator = b',';
                write_value(raw::read(&mut rest), format, out);
            }
            out.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
        }
        RawValue::Object(object) => {
            let mut rest = object.body();
            let mut separator = b'{';
            while !rest.is_empty() {
                out.push(separator);
                separator = b',';
                write_string(raw::read_name(&mut rest), out);
                out.push(b':');
                write_value(raw::read(&mut rest), format, out);
            }
            out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
        }
    }
}

fn write_float64(number: f64, format: Format, out: &mut Vec<u8>) {
    let is_negative_zero = number == 0.0 && number.is_sign_negative();
    if number.is_finite() && !(is_negative_zero && format == Format::Encoded) {
        write_finite(number, out);
        return;
    }
    match format {
        Format::Encoded | Format::Export => write_wrapped(b"$float", &number.to_le_bytes(), out),
        Format::Clean if number.is_nan() => out.extend_from_slice(b"\"NaN\""),
        Format::Clean if number > 0.0 => out.extend_from_slice(b"\"Infinity\""),
        Format::Clean => out.extend_from_slice(b"\"-Infinity\""),
    }
}

/// Writes the shortest digits that read back as the same double, always with a fraction or exponent.
fn write_finite(number: f64, out: &mut Vec<u8>) {
    // Counters and ids are mostly small whole numbers, for which integer printing is several times cheaper.
    let whole = number as i32;
    if f64::from(whole).to_bits() == number.to_bits() {
        write_small_int(whole, out);
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    }
}

fn write_small_int(number: i32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Writes `{"<key>":"<base64>"}`.
fn write_wrapped(key: &[u8], content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
    write_base64(content, out);
    out.push(b'}');
}

fn write_base64(content: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + content.len().div_ceil(3) * 4, 0);
    STANDARD
        .encode_slice(content, &mut out[start..])
        .expect("invariant: the slice has the exact encoded length");
    out.push(b'"');
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(position) = find_escape(rest) {
        out.extend_from_slice(&rest[..position]);
        write_escape(rest[position], out);
        rest = &rest[position + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Finds the first byte that cannot stand in a JSON string, looking at eight bytes at a time.
fn find_escape(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x80 * ONES;
    let (words, tail) = text.as_chunks::<8>();
    for (position, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(0x20 * ONES) & !word;
        let quote = zero_bytes(word ^ (ONES * b'"' as u64));
        let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
        // A borrow can only make a later byte look like a hit, so the first one is exact.
        let hits = (control | quote | backslash) & HIGH_BITS;
        if hits != 0 {
            return Some(position * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let found = tail
        .iter()
        .position(|byte| NEEDS_ESCAPE[usize::from(*byte)])?;
    Some(words.len() * 8 + found)
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

const NEEDS_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};
