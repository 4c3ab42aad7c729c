//! What an isolate asks of whoever runs it.

use std::any::Any;

use hull_value::PackedValue;

use crate::ops::{OpError, OpValue};

/// Answers the host calls of one function call.
///
/// Everything happens on the thread that called `Isolate::call`. Methods may
/// call other isolates, never the same one.
pub trait Host {
    /// Answers `Convex.syscall`, at once and ahead of queued asynchronous calls.
    fn syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError>;

    /// Answers `Convex.asyncSyscall`. Called in the order of the requests, when
    /// no microtask is left to run.
    fn async_syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError>;

    /// Returns the value of an environment variable. The name is valid.
    fn env_var(&mut self, name: &str) -> Result<Option<String>, HostError>;

    /// Takes one console line.
    fn log(&mut self, line: LogLine);

    /// Fills `bytes` with randomness for secrets. Only actions ask for it.
    fn random_bytes(&mut self, _bytes: &mut [u8]) -> Result<(), HostError> {
        Err(HostError::User {
            message: "Cryptographic randomness needs an action".to_owned(),
            data: None,
        })
    }
}

/// The host of an action, whose calls are answered later.
pub trait ActionHost: Host {
    /// Starts what the action has asked for. The answer goes to
    /// [`Activity::run`](crate::Activity::run), whenever it is there.
    fn start(&mut self, op: OpId, call: HostCall);

    /// The answer of a started call is not wanted any more.
    fn cancel(&mut self, op: OpId);
}

/// Names one call of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// What an action asks its host for.
#[derive(Clone, Debug, PartialEq)]
pub enum HostCall {
    /// `Convex.asyncSyscall`: a name and the JSON text of one object.
    Syscall { name: String, args: String },
    /// An operation behind a global: `sleep`, `fetch`, …
    Op { name: String, args: Vec<OpValue> },
}

/// The answer to a [`HostCall`], of the same kind.
#[derive(Debug)]
pub enum Answer {
    Syscall(Result<Reply, HostError>),
    Op(Result<OpValue, OpError>),
}

/// The argument of a host call: JSON text of one object.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(pub(crate) &'a str);

impl<'a> Args<'a> {
    /// Wraps JSON text; for tests of hosts.
    pub fn from_json(json: &'a str) -> Self {
        Args(json)
    }

    /// Returns the JSON text.
    pub fn json(&self) -> &'a str {
        self.0
    }
}

/// The answer to a host call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// JSON text, handed on as it is.
    Json(String),
    /// One Convex value.
    Value(PackedValue),
    /// A document or null.
    Document(Option<PackedValue>),
    /// The answer of `1.0/queryStreamNext`.
    Next {
        value: Option<PackedValue>,
        done: bool,
    },
    /// The answer of `1.0/queryPage`: `rest` holds every field but `page`.
    Page {
        page: Vec<PackedValue>,
        rest: serde_json::Map<String, serde_json::Value>,
    },
}

impl Reply {
    /// Returns the JSON text the string protocol hands to JavaScript.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        match self {
            Reply::Json(text) => return text.clone(),
            Reply::Value(value) => encode(value, &mut out),
            Reply::Document(value) => encode_or_null(value.as_ref(), &mut out),
            Reply::Next { value, done } => {
                out.extend_from_slice(b"{\"value\":");
                encode_or_null(value.as_ref(), &mut out);
                out.extend_from_slice(if *done {
                    b",\"done\":true}"
                } else {
                    b",\"done\":false}"
                });
            }
            Reply::Page { page, rest } => {
                out.extend_from_slice(b"{\"page\":[");
                for (i, value) in page.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    encode(value, &mut out);
                }
                out.push(b']');
                for (key, value) in rest {
                    out.push(b',');
                    hull_value::json::encode_string(key, &mut out);
                    out.push(b':');
                    out.extend_from_slice(value.to_string().as_bytes());
                }
                out.push(b'}');
            }
        }
        String::from_utf8(out).expect("invariant: JSON encoders write UTF-8")
    }
}

fn encode(value: &PackedValue, out: &mut Vec<u8>) {
    hull_value::json::encode(value.as_ref(), out);
}

fn encode_or_null(value: Option<&PackedValue>, out: &mut Vec<u8>) {
    match value {
        Some(value) => encode(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Why a host call failed.
#[derive(Debug)]
pub enum HostError {
    /// The developer's fault: a catchable `Error`, with `data` for ConvexErrors.
    User {
        message: String,
        data: Option<PackedValue>,
    },
    /// Ends this function; user code cannot catch it, the caller sees a
    /// JavaScript error with frames.
    Uncatchable { message: String },
    /// A system error: ends the call and is handed back unseen as
    /// [`crate::JsError::Aborted`].
    Abort(Box<dyn Any + Send>),
}

/// One console line of user code.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    pub level: LogLevel,
    /// The formatted arguments.
    pub messages: Vec<String>,
    /// Whether the messages were cut to 32 KiB.
    pub truncated: bool,
    /// Real time of the line, milliseconds since 1970.
    pub timestamp_ms: f64,
}

/// The console method a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Error,
    Info,
    Log,
    Warn,
}

impl LogLevel {
    /// Returns the name used in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "DEBUG",
            LogLevel::Error => "ERROR",
            LogLevel::Info => "INFO",
            LogLevel::Log => "LOG",
            LogLevel::Warn => "WARN",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "DEBUG" => LogLevel::Debug,
            "ERROR" => LogLevel::Error,
            "INFO" => LogLevel::Info,
            "LOG" => LogLevel::Log,
            "WARN" => LogLevel::Warn,
            _ => return None,
        })
    }
}
