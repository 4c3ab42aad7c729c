//! Pure operations behind the JavaScript globals.
//!
//! The scripts in `bootstrap/` call these by name through one native. An operation sees only its arguments: no clock, no
//! state, so nothing has to be reset between calls, and, but for the signatures and encryptions that need one, no source of
//! randomness, so a call replayed with the same arguments gives the same answer. Whatever needs the running call (time, environment variables, host calls) is not here.

mod base64;
mod ciphers;
mod crypto;
mod curves;
mod derivation;
mod multipart;
mod rsa_keys;
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
    ("aes.cbc", ciphers::cbc),
    ("aes.ctr", ciphers::ctr),
    ("aes.gcm", ciphers::gcm),
    ("base64.decode", base64::decode),
    ("base64.encode", base64::encode),
    ("crypto.digest", crypto::digest),
    ("crypto.hkdf", derivation::hkdf),
    ("crypto.hmacSign", crypto::hmac_sign),
    ("crypto.hmacVerify", crypto::hmac_verify),
    ("crypto.pbkdf2", derivation::pbkdf2),
    ("curve25519.fromPkcs8", curves::from_pkcs8_25519),
    ("curve25519.fromSpki", curves::from_spki_25519),
    ("curve25519.publicOf", curves::public_of_25519),
    ("curve25519.toPkcs8", curves::to_pkcs8_25519),
    ("curve25519.toSpki", curves::to_spki_25519),
    ("ec.checkPoint", curves::check_point),
    ("ec.derive", curves::derive),
    ("ec.fromPkcs8", curves::from_pkcs8),
    ("ec.fromSpki", curves::from_spki),
    ("ec.generate", curves::generate),
    ("ec.publicOf", curves::public_of),
    ("ec.sign", curves::sign),
    ("ec.toPkcs8", curves::to_pkcs8),
    ("ec.toSpki", curves::to_spki),
    ("ec.verify", curves::verify),
    ("ed25519.sign", curves::sign_ed25519),
    ("ed25519.verify", curves::verify_ed25519),
    ("form.parse", urls::form_parse),
    ("form.serialize", urls::form_serialize),
    ("multipart.parse", multipart::parse),
    ("rsa.decrypt", rsa_keys::decrypt),
    ("rsa.encrypt", rsa_keys::encrypt),
    ("rsa.fromParts", rsa_keys::from_parts),
    ("rsa.generate", rsa_keys::generate),
    ("rsa.importPrivate", rsa_keys::import_private),
    ("rsa.importPublic", rsa_keys::import_public),
    ("rsa.privateParts", rsa_keys::private_parts),
    ("rsa.publicOf", rsa_keys::public_of),
    ("rsa.sign", rsa_keys::sign),
    ("rsa.verify", rsa_keys::verify),
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

/// Reads the argument at `at` as a number.
fn number(args: &[OpValue], at: usize) -> Result<f64, OpError> {
    match args.get(at) {
        Some(OpValue::Number(number)) => Ok(*number),
        _ => Err(wrong_argument(at, "a number")),
    }
}

/// Reads the argument at `at` as a list.
fn list(args: &[OpValue], at: usize) -> Result<&[OpValue], OpError> {
    match args.get(at) {
        Some(OpValue::List(list)) => Ok(list),
        _ => Err(wrong_argument(at, "a list")),
    }
}

/// What `crypto.subtle` says of an operation that did not work, and no more.
fn operation_failed() -> OpError {
    OpError::dom("OperationError", "The operation failed")
}

/// What `crypto.subtle` says of data that is no key.
fn invalid_key() -> OpError {
    OpError::dom("DataError", "The key data is invalid")
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

    /// Whatever scripts pass, an operation answers or fails; a panic would be an internal error.
    #[test]
    fn no_operation_panics_on_odd_arguments() {
        use proptest::prelude::*;
        use proptest::test_runner::{Config, TestRunner};

        let text = prop_oneof![
            Just("SHA-1"),
            Just("SHA-256"),
            Just("P-256"),
            Just("P-384"),
            Just("P-521"),
            Just("Ed25519"),
            Just("X25519"),
            Just("utf-8"),
            Just(""),
            Just("x"),
            Just("http://h/?a=b"),
        ];
        let bytes = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..70),
            (0_usize..140).prop_map(|length| vec![0; length]),
            (0_usize..140).prop_map(|length| vec![0xff; length]),
            prop_oneof![Just(12), Just(16), Just(24), Just(32), Just(66)]
                .prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length)),
        ];
        let bytes = bytes.prop_map(OpValue::Bytes);
        let argument = prop_oneof![
            4 => bytes.clone(),
            2 => text.prop_map(|text| OpValue::String(text.to_owned())),
            2 => prop_oneof![-2.0..300.0, Just(f64::NAN), Just(f64::INFINITY)].prop_map(OpValue::Number),
            1 => any::<bool>().prop_map(OpValue::Bool),
            1 => proptest::collection::vec(bytes, 0..6).prop_map(OpValue::List),
            1 => Just(OpValue::Null),
        ];
        let arguments = proptest::collection::vec(argument, 0..7);
        let mut runner = TestRunner::new(Config {
            cases: 3_000,
            failure_persistence: None,
            ..Config::default()
        });
        let case = (proptest::sample::select(OPERATIONS), arguments);
        runner
            .run(&case, |((name, operation), arguments)| {
                let _ = operation(&arguments);
                prop_assert!(!name.is_empty());
                Ok(())
            })
            .unwrap();
    }
}
