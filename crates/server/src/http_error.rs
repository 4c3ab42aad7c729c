//! Errors as HTTP answers: a status and `{"code","message"}`.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};

use crate::site::ResponseStream;
use serde::Serialize;

use hull_value::{CodedError, ErrorClass};

/// What responses carry: all of it at once, or the stream of an HTTP action or a file.
pub type Body = Either<Full<Bytes>, ResponseStream>;

/// What an endpoint answers when it does not answer 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    pub status: StatusCode,
    pub code: std::borrow::Cow<'static, str>,
    pub message: String,
}

impl HttpError {
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> HttpError {
        CodedError::bad_request(code, message).into()
    }

    /// The answer of an endpoint that exists in the protocol and is not built yet:
    /// 400, because tools retry 404 and 5xx for half a minute.
    pub fn not_implemented(method: &http::Method, path: &str) -> HttpError {
        let message = format!("{method} {path} is not implemented by this server yet");
        HttpError::bad_request("NotImplemented", message)
    }

    /// The request took longer than it may.
    pub fn timeout(message: &str) -> HttpError {
        CodedError::new(ErrorClass::ClientDisconnect, "RequestTimeout", message).into()
    }

    pub fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct ErrorBody<'a> {
            code: &'a str,
            message: &'a str,
        }
        let body = ErrorBody {
            code: &self.code,
            message: &self.message,
        };
        let mut response = json_response(&body);
        *response.status_mut() = self.status;
        response
    }
}

impl From<CodedError> for HttpError {
    /// Internal errors keep their text to the log; clients get an id to ask for.
    fn from(error: CodedError) -> HttpError {
        let status = StatusCode::from_u16(error.http_status())
            .expect("invariant: error classes map to valid statuses");
        if error.class == ErrorClass::Internal {
            tracing::error!(code = %error.code, "internal error: {}", error.message);
            return HttpError {
                status,
                code: "InternalServerError".into(),
                message: "Your request couldn't be completed. Try again later.".to_owned(),
            };
        }
        HttpError {
            status,
            code: error.code,
            message: error.message,
        }
    }
}

/// Builds a 200 answer from anything that serializes to JSON.
pub(crate) fn json_response(value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value)
        .expect("invariant: answers are plain structures with string keys");
    json_bytes_response(body)
}

/// Builds a 200 answer from finished JSON text.
pub(crate) fn json_bytes_response(body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(whole(body));
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// Builds a plain text answer.
pub(crate) fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    let value = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// A body that is all there.
pub(crate) fn whole(body: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(body.into()))
}

/// A body that is read from a file while it is sent.
pub(crate) fn streamed_body(
    body: tokio::sync::mpsc::Receiver<Result<Bytes, hull_functions::http_action::BodyCut>>,
) -> Body {
    Either::Right(ResponseStream::File(body))
}

/// Builds an answer that is only a status.
pub(crate) fn empty_response(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}
