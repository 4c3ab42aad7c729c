use std::{borrow::Cow, fmt};

use crate::PackedValue;

/// The family of an error that reaches users; decides the HTTP status and whether JavaScript may catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    BadRequest,
    /// A per-function limit of pagination or reads; deterministic like a bad request.
    PaginationLimit,
    Unauthenticated,
    Forbidden,
    NotFound,
    /// The client went away before the answer; nobody reads the status.
    ClientDisconnect,
    Conflict,
    RateLimited,
    /// Lost an optimistic concurrency check on every attempt.
    Occ,
    Overloaded,
    OutOfRetention,
    FeatureUnavailable,
    /// Refused before any user code ran, so a retry is always safe.
    RejectedBeforeExecution,
    Internal,
}

impl ErrorClass {
    /// Returns the HTTP status code of the class.
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::PaginationLimit => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::ClientDisconnect => 408,
            Self::Conflict => 409,
            Self::RateLimited => 429,
            Self::Occ
            | Self::Overloaded
            | Self::OutOfRetention
            | Self::FeatureUnavailable
            | Self::RejectedBeforeExecution => 503,
            Self::Internal => 500,
        }
    }

    /// Tells whether the same call on the same data fails again, so that JavaScript may see and catch the error.
    pub fn is_deterministic(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::PaginationLimit
                | Self::Unauthenticated
                | Self::Forbidden
                | Self::Conflict
        )
    }
}

/// The user-visible error of all crates: a class, a stable short code and the text shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedError {
    pub class: ErrorClass,
    /// Stable CamelCase identifier that clients and tools match on.
    pub code: Cow<'static, str>,
    pub message: String,
    /// Payload of a `ConvexError` thrown by user code.
    pub data: Option<PackedValue>,
}

impl CodedError {
    pub fn new(
        class: ErrorClass,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            data: None,
        }
    }

    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::BadRequest, code, message)
    }

    pub fn pagination_limit(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(ErrorClass::PaginationLimit, code, message)
    }

    pub fn unauthenticated(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unauthenticated, code, message)
    }

    pub fn forbidden(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Forbidden, code, message)
    }

    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, code, message)
    }

    pub fn conflict(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Conflict, code, message)
    }

    pub fn overloaded(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Overloaded, code, message)
    }

    /// Makes an internal error; the message is for the log, clients are shown a generic text at the edge.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Internal, "InternalServerError", message)
    }

    /// Attaches a `ConvexError` payload.
    #[must_use]
    pub fn with_data(mut self, data: PackedValue) -> Self {
        self.data = Some(data);
        self
    }

    /// Puts `prefix` in front of the message, the way nested contexts are reported.
    #[must_use]
    pub fn prefixed(mut self, prefix: impl fmt::Display) -> Self {
        self.message = format!("{prefix}{}", self.message);
        self
    }

    pub fn http_status(&self) -> u16 {
        self.class.http_status()
    }

    pub fn is_deterministic(&self) -> bool {
        self.class.is_deterministic()
    }
}

impl fmt::Display for CodedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CodedError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_four_user_statuses_are_deterministic() {
        use ErrorClass::*;
        let all = [
            BadRequest,
            PaginationLimit,
            Unauthenticated,
            Forbidden,
            NotFound,
            ClientDisconnect,
            Conflict,
            RateLimited,
            Occ,
            Overloaded,
            OutOfRetention,
            FeatureUnavailable,
            RejectedBeforeExecution,
            Internal,
        ];
        for class in all {
            assert_eq!(
                class.is_deterministic(),
                [400, 401, 403, 409].contains(&class.http_status()),
                "{class:?}"
            );
        }
    }
}
