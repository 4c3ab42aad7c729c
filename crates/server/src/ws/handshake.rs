//! The upgrade request and its answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha1::{Digest, Sha1};

const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that is not a WebSocket upgrade this server can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("Request method must be `GET`")]
    Method,
    #[error("Connection header did not include 'upgrade'")]
    Connection,
    #[error("`Upgrade` header did not include 'websocket'")]
    Upgrade,
    #[error("`Sec-WebSocket-Version` header did not include '13'")]
    Version,
    #[error("`Sec-WebSocket-Key` header missing")]
    Key,
}

/// Checks an upgrade request and builds the response that accepts it.
pub fn accept_response<B: Default>(
    method: &Method,
    headers: &HeaderMap,
) -> Result<http::Response<B>, HandshakeError> {
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(HandshakeError::Connection);
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err(HandshakeError::Upgrade);
    }
    if !has_token(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(HandshakeError::Version);
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or(HandshakeError::Key)?;
    let accept = HeaderValue::from_str(&accept_of(key.as_bytes()))
        .expect("invariant: base64 is valid in a header");

    let mut response = http::Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn accept_of(key: &[u8]) -> String {
    STANDARD.encode(
        Sha1::new()
            .chain_update(key)
            .chain_update(ACCEPT_GUID)
            .finalize(),
    )
}

/// Whether any header of this name lists the token; these lists ignore case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_of_the_rfc_example() {
        assert_eq!(
            accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn each_missing_header_is_named() {
        let full = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let check = |method: Method, without: &str, expected: Result<u16, HandshakeError>| {
            let mut headers = HeaderMap::new();
            for (name, value) in full.iter().filter(|(name, _)| *name != without) {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let result = accept_response::<()>(&method, &headers);
            assert_eq!(result.map(|response| response.status().as_u16()), expected);
        };
        check(Method::GET, "", Ok(101));
        check(Method::POST, "", Err(HandshakeError::Method));
        check(Method::GET, "connection", Err(HandshakeError::Connection));
        check(Method::GET, "upgrade", Err(HandshakeError::Upgrade));
        check(
            Method::GET,
            "sec-websocket-version",
            Err(HandshakeError::Version),
        );
        check(Method::GET, "sec-websocket-key", Err(HandshakeError::Key));
    }
}
