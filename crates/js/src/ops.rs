//! Pure operations behind the JavaScript globals.
//!
//! The scripts in `bootstrap/` call these by name through one native. An operation sees only its arguments: no clock, no
//! randomness, no state, so a call replayed with the same arguments gives the same answer and nothing has to be reset
//! between calls. Whatever needs the running call (time, environment variables, host calls) is not here.

mod base64;
mod crypto;
mod multipart;
mod text;
mod urls;

use std::fmt;

/// One argument or result of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum OpValue {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    /// An `ArrayBuffer` or view as argument, a fresh `Uint8Array` as result.
    Bytes(Vec<u8>),
    List(Vec<OpValue>),
}

/// Which JavaScript class a failed operation throws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    Error,
    TypeError,
    RangeError,
    DomException,
}

impl ErrorClass {
    /// The class name as JavaScript knows it.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Error => "Error",
            ErrorClass::TypeError => "TypeError",
            ErrorClass::RangeError => "RangeError",
            ErrorClass::DomException => "DOMException",
        }
    }
}

/// A failed operation; always a catchable exception in JavaScript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    pub class: ErrorClass,
    /// The `name` of a `DOMException`.
    pub name: Option<String>,
    pub message: String,
}

impl OpError {
    /// Builds a plain `TypeError`.
    pub fn type_error(message: impl Into<String>) -> Self {
        Self {
            class: ErrorClass::TypeError,
            name: None,
            message: message.into(),
        }
    }

    /// Builds a `DOMException` of the given name.
    pub fn dom(name: &str, message: impl Into<String>) -> Self {
        Self {
            class: ErrorClass::DomException,
            name: Some(name.to_owned()),
            message: message.into(),
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or(self.class.name());
        write!(f, "{name}: {}", self.message)
    }
}

impl std::error::Error for OpError {}

type Operation = fn(&[OpValue]) -> Result<OpValue, OpError>;

/// Every operation, sorted by name.
const OPERATIONS: &[(&str, Operation)] = &[
    ("base64.decode", base64::decode),
    ("base64.encode", base64::encode),
    ("crypto.digest", crypto::digest),
    ("crypto.hmacSign", crypto::hmac_sign),
    ("crypto.hmacVerify", crypto::hmac_verify),
    ("form.parse", urls::form_parse),
    ("form.serialize", urls::form_serialize),
    ("multipart.parse", multipart::parse),
    ("text.decode", text::decode),
    ("text.encode", text::encode),
    ("text.label", text::label),
    ("url.parse", urls::parse),
    ("url.set", urls::set),
];

/// Runs the operation `name`.
pub fn dispatch(name: &str, args: &[OpValue]) -> Result<OpValue, OpError> {
    match OPERATIONS.binary_search_by(|(known, _)| known.cmp(&name)) {
        Ok(at) => (OPERATIONS[at].1)(args),
        Err(_) => Err(OpError::type_error(format!("Unknown operation {name}"))),
    }
}

/// Returns the names of all operations.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|(name, _)| *name)
}

/// Reads the argument at `at` as text.
fn string(args: &[OpValue], at: usize) -> Result<&str, OpError> {
    match args.get(at) {
        Some(OpValue::String(text)) => Ok(text),
        _ => Err(wrong_argument(at, "a string")),
    }
}

/// Reads the argument at `at` as bytes.
fn bytes(args: &[OpValue], at: usize) -> Result<&[u8], OpError> {
    match args.get(at) {
        Some(OpValue::Bytes(bytes)) => Ok(bytes),
        _ => Err(wrong_argument(at, "bytes")),
    }
}

/// Reads the argument at `at` as a flag; absent is false.
fn flag(args: &[OpValue], at: usize) -> Result<bool, OpError> {
    match args.get(at) {
        Some(OpValue::Bool(flag)) => Ok(*flag),
        None | Some(OpValue::Undefined) => Ok(false),
        _ => Err(wrong_argument(at, "a boolean")),
    }
}

fn wrong_argument(at: usize, expected: &str) -> OpError {
    OpError::type_error(format!("operation argument {at} must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_sorted_for_the_search() {
        assert!(OPERATIONS.is_sorted_by(|a, b| a.0 < b.0));
        for name in names() {
            let unknown = dispatch(name, &[])
                == Err(OpError::type_error(format!("Unknown operation {name}")));
            assert!(!unknown, "{name}");
        }
    }

    #[test]
    fn unknown_operation_and_wrong_arguments_are_type_errors() {
        assert_eq!(
            dispatch("no.such", &[]),
            Err(OpError::type_error("Unknown operation no.such"))
        );
        assert_eq!(
            dispatch("text.encode", &[OpValue::Null]),
            Err(OpError::type_error("operation argument 0 must be a string"))
        );
    }
}
