//! Cross-origin answers of the API port.
//!
//! Any page may call the API: the credentials are in headers it must know, never
//! in cookies. So origins and requested headers are mirrored. Nothing that hands
//! out a secret may ever be served behind these headers.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::http_error::{Body, whole};

const VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET,POST,OPTIONS,PATCH,DELETE,PUT");
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("86400");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Answers a preflight request, or any other `OPTIONS`.
pub(crate) fn preflight_response(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(whole(""));
    apply(request.get(header::ORIGIN).cloned(), response.headers_mut());
    let headers = response.headers_mut();
    if let Some(names) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    response
}

/// Adds what a page of `origin` needs to read an answer.
pub(crate) fn apply(origin: Option<HeaderValue>, response: &mut HeaderMap) {
    let mut insert = |name: HeaderName, value: HeaderValue| drop(response.insert(name, value));
    if let Some(origin) = origin {
        insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    insert(header::VARY, VARY);
}
