//! JSON forms of values: the wire form, the lossy clean form and the form of export files.
//!
//! | value | encoded (wire) | clean | export |
//! |---|---|---|---|
//! | int64 | `{"$integer":"<base64 LE>"}` | `"123"` | `123` |
//! | finite float64 | `1.0`, `1e21` | same | same |
//! | -0 | `{"$float":"…"}` | `-0.0` | `-0.0` |
//! | NaN, infinities | `{"$float":"…"}` | `"NaN"`, `"Infinity"`, `"-Infinity"` | as encoded |
//! | bytes | `{"$bytes":"<base64>"}` | `"<base64>"` | as encoded |
//!
//! Output has no whitespace and sorted fields, so the wire form is canonical and may be hashed. All parsers share one
//! visitor that writes straight into a [`Packer`](crate::Packer), so they enforce the same limits.

mod encode;
mod parse;

use std::str::FromStr;

use thiserror::Error;

use crate::{CodedError, PackedValue, Value, ValueRef};

pub use encode::{encode, encode_clean, encode_export, encode_string};
pub use parse::{
    CommitTsPolicy, pack_encoded, pack_encoded_value, pack_export, pack_plain, parse_patch,
};

/// A rendering of values that HTTP callers can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Encoded,
    Clean,
    Export,
}

impl Format {
    /// Reads the `format` parameter of a request.
    pub fn parse(text: &str) -> Result<Self, CodedError> {
        match text {
            "convex_encoded_json" | "convex_json" => Ok(Self::Encoded),
            "json" | "convex_clean_json" => Ok(Self::Clean),
            "export_json" => Ok(Self::Export),
            _ => Err(CodedError::bad_request(
                "BadFormat",
                format!("format param must be one of [`json`]. Got {text}"),
            )),
        }
    }

    /// Appends the value in this format.
    pub fn encode(self, value: ValueRef<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Encoded => encode(value, out),
            Self::Clean => encode_clean(value, out),
            Self::Export => encode_export(value, out),
        }
    }

    pub fn to_string(self, value: ValueRef<'_>) -> String {
        let mut out = Vec::new();
        self.encode(value, &mut out);
        String::from_utf8(out).expect("invariant: JSON output is UTF-8")
    }
}

impl FromStr for Format {
    type Err = CodedError;

    fn from_str(text: &str) -> Result<Self, CodedError> {
        Self::parse(text)
    }
}

/// Why a JSON text is not a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonValueError {
    /// Not JSON at all (lone surrogates included); the text says where.
    #[error("{0}")]
    Syntax(String),
    /// JSON, but against the rules of values; the text is the one users know.
    #[error("{0}")]
    Invalid(CodedError),
}

impl JsonValueError {
    /// Returns the error for a caller who names broken JSON with a code of its own.
    pub fn into_coded(self, syntax_code: &'static str) -> CodedError {
        match self {
            Self::Syntax(message) => CodedError::bad_request(syntax_code, message),
            Self::Invalid(error) => error,
        }
    }
}

/// Returns the wire form.
pub fn to_string(value: ValueRef<'_>) -> String {
    Format::Encoded.to_string(value)
}

/// Returns the lossy clean form.
pub fn to_clean_string(value: ValueRef<'_>) -> String {
    Format::Clean.to_string(value)
}

/// Returns the form of export files.
pub fn to_export_string(value: ValueRef<'_>) -> String {
    Format::Export.to_string(value)
}

/// Parses the wire form; an unresolved commit timestamp is refused.
pub fn parse_encoded(text: &str) -> Result<Value, JsonValueError> {
    pack_encoded(text, CommitTsPolicy::Reject).map(|packed| packed.unpack())
}

/// Parses the wire form inside a running mutation, where `{"$commitTs":null}` is a value.
pub fn parse_encoded_in_mutation(text: &str) -> Result<Value, JsonValueError> {
    pack_encoded(text, CommitTsPolicy::Allow).map(|packed| packed.unpack())
}

/// Reads the wire form from an already parsed JSON tree; an unresolved commit timestamp is refused.
pub fn parse_encoded_value(json: &serde_json::Value) -> Result<Value, JsonValueError> {
    pack_encoded_value(json, CommitTsPolicy::Reject).map(|packed| packed.unpack())
}

/// Parses the form of export files: integer literals are int64, `$` objects are read as wire form.
pub fn parse_export(text: &str) -> Result<Value, JsonValueError> {
    pack_export(text).map(|packed| packed.unpack())
}

/// Parses plain JSON of imports: every number is float64 and `$` objects are invalid field names.
pub fn parse_plain(text: &str) -> Result<Value, JsonValueError> {
    pack_plain(text).map(|packed| packed.unpack())
}

/// Returns the wire form as a JSON tree.
pub fn to_json_value(value: ValueRef<'_>) -> serde_json::Value {
    let text = to_string(value);
    serde_json::from_str(&text)
        .expect("invariant: the encoder writes valid JSON within serde_json's depth")
}

/// Packs nothing but checks that the text is a value in wire form.
pub fn check_encoded(text: &str) -> Result<(), JsonValueError> {
    pack_encoded(text, CommitTsPolicy::Reject).map(|_: PackedValue| ())
}

#[cfg(test)]
mod tests;
