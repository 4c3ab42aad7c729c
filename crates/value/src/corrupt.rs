use thiserror::Error;

/// Bytes that are not the packed form of any value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("corrupt packed value at byte {offset}: {reason}")]
pub struct CorruptValue {
    /// Offset from the start of the packed bytes.
    pub offset: usize,
    pub reason: &'static str,
}
