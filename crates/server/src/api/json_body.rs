//! JSON request bodies.

use bytes::Bytes;
use serde::Deserialize;

use crate::http_error::HttpError;

/// Parses a body into what an endpoint expects.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, HttpError> {
    serde_json::from_slice(body).map_err(|error| {
        let reason = match error.classify() {
            serde_json::error::Category::Data => {
                "Failed to deserialize the JSON body into the target type"
            }
            _ => "Failed to parse the request body as JSON",
        };
        HttpError::bad_request("BadJsonBody", format!("{reason}: {error}"))
    })
}

/// Reads a JSON body of at most `size_max` bytes, checking its declared type.
pub(crate) async fn read(
    request: crate::gateway::ApiRequest,
    size_max: usize,
) -> Result<(http::request::Parts, Bytes), HttpError> {
    use crate::request_body::{check_json_content_type, json_too_large};
    let crate::gateway::ApiRequest { head, body } = request;
    check_json_content_type(&head.headers)?;
    let body = body.read(size_max, json_too_large).await?;
    Ok((head, body))
}
