//! Uploading and downloading stored files (client protocol spec 5).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hull_functions::files::{Download, DownloadOutcome, FileRange};
use serde_json::json;

use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, empty_response, json_response, streamed_body, whole};
use crate::query_string;
use crate::site::forward;

const DIGEST: &str = "digest";
const DIGEST_PREFIX: &str = "sha-256=";
/// A file never changes under its address.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, max-age=2592000");

/// `POST /api/storage/upload?token=`.
pub(crate) async fn upload(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let token = query_string::required(query, "token")?;
    let headers = &request.head.headers;
    let content_type = match headers.get(header::CONTENT_TYPE) {
        None => None,
        Some(value) => Some(header_text(value)?),
    };
    let digest = digest(headers)?;
    let body = forward(request.body);
    let id = gateway
        .deployment
        .upload(&token, body, content_type, digest.as_deref())
        .await?;
    Ok(json_response(&json!({ "storageId": id })))
}

fn header_text(value: &HeaderValue) -> Result<String, HttpError> {
    let text = value.to_str().map_err(|_| {
        HttpError::bad_request("BadHeader", "The content type is not visible ASCII text.")
    })?;
    Ok(text.to_owned())
}

/// The SHA-256 digest of the header `Digest`, in base64.
fn digest(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let Some(value) = headers.get(DIGEST) else {
        return Ok(None);
    };
    let text = value.to_str().ok();
    let prefix = |text: &&str| {
        let start = text.get(..DIGEST_PREFIX.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(DIGEST_PREFIX))
    };
    match text.filter(prefix) {
        Some(text) => Ok(Some(text[DIGEST_PREFIX.len()..].to_owned())),
        None => Err(HttpError::bad_request(
            "InvalidDigestHeader",
            "The header Digest must be `sha-256=` and the digest in base64.",
        )),
    }
}

/// `GET /api/storage/<uuid>`.
pub(crate) async fn download(
    gateway: &Arc<Gateway>,
    name: &str,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let Ok(uuid) = uuid::Uuid::try_parse(name) else {
        return Err(HttpError::bad_request(
            "InvalidStoragePath",
            format!("Invalid storage path: \"{name}\". Use the URL that storage.getUrl() gives."),
        ));
    };
    let range = match parse_range(&request.head.headers) {
        Ok(range) => range,
        Err(Several) => return Ok(empty_response(StatusCode::RANGE_NOT_SATISFIABLE)),
    };
    let with_body = request.head.method != Method::HEAD;
    let outcome = gateway.deployment.download(uuid, range, with_body).await?;
    match outcome {
        DownloadOutcome::Found(download) => Ok(respond(download)),
        DownloadOutcome::NotFound => {
            let message = format!("File {uuid} not found");
            Err(hull_value::CodedError::not_found("FileNotFound", message).into())
        }
        DownloadOutcome::NotSatisfiable { size } => {
            let mut response = empty_response(StatusCode::RANGE_NOT_SATISFIABLE);
            let range = header_value(&format!("bytes */{size}"));
            response.headers_mut().insert(header::CONTENT_RANGE, range);
            Ok(response)
        }
    }
}

/// More ranges than one were asked for.
struct Several;

/// Reads the header `Range`; what is no range counts as none.
fn parse_range(headers: &HeaderMap) -> Result<Option<FileRange>, Several> {
    let ranges = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().strip_prefix("bytes="));
    let Some(ranges) = ranges else {
        return Ok(None);
    };
    if ranges.contains(',') {
        return Err(Several);
    }
    Ok(parse_one_range(ranges.trim()))
}

fn parse_one_range(range: &str) -> Option<FileRange> {
    let (from, last) = range.split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than any file has is as good as what a number can hold.
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (from, last) {
        ("", last) => Some(FileRange::Last(number(last)?)),
        (from, "") => Some(FileRange::From(number(from)?, None)),
        (from, last) => {
            let (from, last) = (number(from)?, number(last)?);
            (from <= last).then_some(FileRange::From(from, Some(last)))
        }
    }
}

fn respond(download: Download) -> Response<Body> {
    let Download {
        size,
        content_type,
        sha256_base64,
        range,
        body,
    } = download;
    let body = body.map_or_else(|| whole(""), streamed_body);
    let mut response = Response::new(body);
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    if let Some(content_type) = content_type {
        // Actions may have stored what is no header.
        if let Ok(content_type) = HeaderValue::from_str(&content_type) {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
    }
    match range {
        Some(range) => {
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            headers.insert(header::CONTENT_RANGE, header_value(&text));
        }
        None => {
            let text = format!("{DIGEST_PREFIX}{sha256_base64}");
            headers.insert(DIGEST, header_value(&text));
        }
    }
    response
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("invariant: digits and base64 are header text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::RANGE,
                HeaderValue::from_str(text).expect("a header"),
            );
            parse_range(&headers).map_err(|Several| "several")
        };
        for (text, expected) in [
            ("bytes=0-99", Ok(Some(FileRange::From(0, Some(99))))),
            ("bytes=5-", Ok(Some(FileRange::From(5, None)))),
            ("bytes=-500", Ok(Some(FileRange::Last(500)))),
            ("bytes=0-0", Ok(Some(FileRange::From(0, Some(0))))),
            (
                "bytes=1-99999999999999999999999",
                Ok(Some(FileRange::From(1, Some(u64::MAX)))),
            ),
            ("bytes=0-1,5-6", Err("several")),
            ("bytes=9-3", Ok(None)),
            ("bytes=-", Ok(None)),
            ("bytes=a-b", Ok(None)),
            ("bytes=+1-2", Ok(None)),
            ("lines=1-2", Ok(None)),
            ("", Ok(None)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn digests() {
        let parse = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DIGEST, HeaderValue::from_static(text));
            digest(&headers).map_err(|error| error.code)
        };
        assert_eq!(parse("sha-256=abc="), Ok(Some("abc=".to_owned())));
        assert_eq!(parse("SHA-256=abc="), Ok(Some("abc=".to_owned())));
        assert_eq!(parse("md5=abc="), Err("InvalidDigestHeader".into()));
        assert_eq!(digest(&HeaderMap::new()), Ok(None));
    }
}
