//! Errors of compiling, building images and running calls.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use hull_value::PackedValue;

use crate::stack::Frame;

/// Why JavaScript did not deliver a result.
#[derive(Debug)]
pub enum JsError {
    /// User code threw, or a rule of the runtime ended it as if it had.
    Thrown(JsException),
    /// The user-time limit passed.
    Timeout { limit: Duration },
    /// The heap limit was hit, whether or not user code caught the exception.
    OutOfMemory { limit_bytes: usize },
    /// The promise is pending and nothing is left that could settle it.
    NeverResolves,
    /// [`crate::HostError::Abort`], handed back as it was.
    Aborted(Box<dyn Any + Send>),
    /// What [`crate::Activity::stop_when`] was given said so.
    Stopped,
    /// The module does not parse.
    Compile(JsException),
    /// A defect of this crate or of the system; never caused by user code.
    Internal(String),
}

/// An exception as the caller of a function sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsException {
    /// For instance `Uncaught Error: boom`; without frames.
    pub message: String,
    /// Where it was thrown, innermost first, before source mapping.
    pub frames: Vec<Frame>,
    /// The payload of a ConvexError.
    pub data: Option<PackedValue>,
    /// Set when a push-time check raised it and not user code.
    pub check: Option<Box<FailedCheck>>,
}

/// A push-time check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// Short code, for instance `InvalidSchemaExport`.
    pub code: String,
    /// The text as the specification has it: no `Uncaught`, no frames.
    pub message: String,
}

impl JsException {
    /// An error of the runtime itself, which has no frames.
    pub(crate) fn of_runtime(message: impl Into<String>) -> Self {
        JsException {
            message: message.into(),
            ..Default::default()
        }
    }
}

impl JsError {
    pub(crate) fn thrown(message: impl Into<String>) -> Self {
        JsError::Thrown(JsException::of_runtime(message))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        JsError::Internal(message.into())
    }

    /// Returns the text for the caller, where there is one: everything but
    /// system errors.
    pub fn user_message(&self) -> Option<String> {
        Some(match self {
            JsError::Thrown(exception) | JsError::Compile(exception) => exception.message.clone(),
            JsError::Timeout { limit } => {
                format!(
                    "Function execution timed out (maximum duration: {})",
                    seconds(*limit)
                )
            }
            JsError::OutOfMemory { limit_bytes } => format!(
                "JavaScript execution ran out of memory (maximum memory usage: {} MB)",
                limit_bytes >> 20
            ),
            JsError::NeverResolves => "Returned promise will never resolve".to_owned(),
            JsError::Aborted(_) | JsError::Stopped | JsError::Internal(_) => return None,
        })
    }
}

/// Why evaluating a module graph failed; each call of the image fails so.
#[derive(Clone, Debug)]
pub enum ImportError {
    Thrown(JsException),
    Timeout { limit: Duration },
    OutOfMemory { limit_bytes: usize },
}

impl ImportError {
    /// Takes what user code caused; anything else is handed back.
    pub(crate) fn of(error: JsError) -> Result<Self, JsError> {
        Ok(match error {
            JsError::Thrown(exception) | JsError::Compile(exception) => {
                ImportError::Thrown(exception)
            }
            JsError::Timeout { limit } => ImportError::Timeout { limit },
            JsError::OutOfMemory { limit_bytes } => ImportError::OutOfMemory { limit_bytes },
            error @ (JsError::NeverResolves
            | JsError::Aborted(_)
            | JsError::Stopped
            | JsError::Internal(_)) => {
                return Err(error);
            }
        })
    }
}

impl From<ImportError> for JsError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Thrown(exception) => JsError::Thrown(exception),
            ImportError::Timeout { limit } => JsError::Timeout { limit },
            ImportError::OutOfMemory { limit_bytes } => JsError::OutOfMemory { limit_bytes },
        }
    }
}

fn seconds(limit: Duration) -> String {
    if limit.subsec_nanos() == 0 {
        format!("{}s", limit.as_secs())
    } else {
        format!("{limit:?}")
    }
}

impl fmt::Display for JsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsError::Aborted(_) => f.write_str("the host ended the call"),
            JsError::Stopped => f.write_str("nobody waits for the call any more"),
            JsError::Internal(message) => write!(f, "JavaScript engine: {message}"),
            other => f.write_str(&other.user_message().unwrap_or_default()),
        }
    }
}

impl std::error::Error for JsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_as_the_protocol_does() {
        let timeout = JsError::Timeout {
            limit: Duration::from_secs(1),
        };
        assert_eq!(
            timeout.to_string(),
            "Function execution timed out (maximum duration: 1s)"
        );
        let oom = JsError::OutOfMemory {
            limit_bytes: 64 << 20,
        };
        assert_eq!(
            oom.to_string(),
            "JavaScript execution ran out of memory (maximum memory usage: 64 MB)"
        );
    }
}
