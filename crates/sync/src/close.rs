use hull_value::{CodedError, ErrorClass};

use crate::{
    json_text,
    limits::{CLOSE_REASON_BYTES_MAX, QUOTED_TEXT_BYTES_MAX},
};

/// How the server ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Code of the close frame; `None` = a close frame without payload.
    pub code: Option<u16>,
    /// Reason of the close frame. npm clients pick their back-off by its prefix.
    pub reason: String,
    /// Why, for the log of the server. Never sent.
    pub detail: String,
}

/// The codes of close frames that the protocol uses.
pub(crate) const NORMAL: u16 = 1000;
pub(crate) const INTERNAL: u16 = 1011;
pub(crate) const TRY_AGAIN_LATER: u16 = 1013;

/// Reasons that npm clients know by prefix (`src/browser/sync/web_socket_manager.ts`).
pub(crate) const INTERNAL_SERVER_ERROR: &str = "InternalServerError";
pub(crate) const TOO_MANY_CONCURRENT_REQUESTS: &str = "TooManyConcurrentRequests";
pub(crate) const SYSTEM_TIMEOUT: &str = "SystemTimeoutError";
/// Reasons without a back-off of their own.
pub(crate) const TOO_MANY_CONCURRENT_MUTATIONS: &str = "TooManyConcurrentMutations";
pub(crate) const TOO_MANY_INFLIGHT_ACTIONS: &str = "TooManyInflightActionsForSingleClient";
pub(crate) const CLIENT_DISCONNECTED: &str = "ClientDisconnected";

impl Close {
    /// Closes without code, after an `AuthError` or `FatalError`.
    pub(crate) fn silent(detail: impl Into<String>) -> Self {
        Self {
            code: None,
            reason: String::new(),
            detail: detail.into(),
        }
    }

    pub(crate) fn with_code(code: u16, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            reason: json_text::prefix(reason, CLOSE_REASON_BYTES_MAX).to_owned(),
            detail: detail.into(),
        }
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::with_code(INTERNAL, INTERNAL_SERVER_ERROR, detail)
    }
}

/// Returns how an error at the level of the connection ends it: the text of a `FatalError` to send
/// first, if any, and the close frame.
///
/// `Unauthenticated` is answered with an `AuthError` where a token is at fault; here it only closes.
pub fn close_for_error(error: &CodedError) -> (Option<String>, Close) {
    let detail = format!(
        "{}: {}",
        error.code,
        json_text::prefix(&error.message, QUOTED_TEXT_BYTES_MAX)
    );
    match error.class {
        ErrorClass::BadRequest | ErrorClass::Conflict => {
            (Some(error.message.clone()), Close::silent(detail))
        }
        ErrorClass::Forbidden | ErrorClass::PaginationLimit => (
            Some(error.message.clone()),
            Close::with_code(NORMAL, &error.code, detail),
        ),
        ErrorClass::Unauthenticated => (None, Close::silent(detail)),
        ErrorClass::NotFound | ErrorClass::ClientDisconnect => {
            (None, Close::with_code(NORMAL, &error.code, detail))
        }
        ErrorClass::RateLimited
        | ErrorClass::Occ
        | ErrorClass::Overloaded
        | ErrorClass::OutOfRetention
        | ErrorClass::FeatureUnavailable
        | ErrorClass::RejectedBeforeExecution => {
            (None, Close::with_code(TRY_AGAIN_LATER, &error.code, detail))
        }
        ErrorClass::Internal => (None, Close::internal(detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(class: ErrorClass, is_fatal: bool, code: Option<u16>, reason: &str) {
        let (fatal, close) = close_for_error(&CodedError::new(class, "Code", "text"));
        assert_eq!(fatal.as_deref(), is_fatal.then_some("text"), "{class:?}");
        assert_eq!(
            (close.code, close.reason.as_str()),
            (code, reason),
            "{class:?}"
        );
    }

    #[test]
    fn every_class_has_its_close_frame() {
        check(ErrorClass::BadRequest, true, None, "");
        check(ErrorClass::Conflict, true, None, "");
        check(ErrorClass::Forbidden, true, Some(1000), "Code");
        check(ErrorClass::PaginationLimit, true, Some(1000), "Code");
        check(ErrorClass::Unauthenticated, false, None, "");
        check(ErrorClass::NotFound, false, Some(1000), "Code");
        check(ErrorClass::ClientDisconnect, false, Some(1000), "Code");
        for class in [
            ErrorClass::RateLimited,
            ErrorClass::Occ,
            ErrorClass::Overloaded,
            ErrorClass::OutOfRetention,
            ErrorClass::FeatureUnavailable,
            ErrorClass::RejectedBeforeExecution,
        ] {
            check(class, false, Some(1013), "Code");
        }
        check(
            ErrorClass::Internal,
            false,
            Some(1011),
            "InternalServerError",
        );
    }

    #[test]
    fn reason_fits_a_close_frame() {
        let (_, close) = close_for_error(&CodedError::overloaded("é".repeat(100), ""));
        assert_eq!(close.reason.len(), 122);
    }
}
