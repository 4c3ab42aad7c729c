//! Reading request bodies within limits.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use crate::http_error::HttpError;
use crate::limits::{BODY_DISCARDED_MAX, BODY_IDLE_TIMEOUT};

/// A body still on the wire, or one that is already here (tests, internal calls).
pub enum RequestBody {
    Stream(Incoming),
    Whole(Bytes),
}

impl RequestBody {
    /// Reads everything; a body that is announced or turns out to be longer than
    /// `size_max` bytes is refused with `too_large`.
    pub async fn read(
        self,
        size_max: usize,
        too_large: fn() -> HttpError,
    ) -> Result<Bytes, HttpError> {
        let mut stream = match self {
            RequestBody::Whole(bytes) if bytes.len() > size_max => return Err(too_large()),
            RequestBody::Whole(bytes) => return Ok(bytes),
            RequestBody::Stream(stream) => stream,
        };
        if stream.size_hint().lower() > size_max as u64 {
            discard(stream).await;
            return Err(too_large());
        }
        // Most bodies are one piece, which then needs no copy.
        let first = match next_piece(&mut stream).await? {
            Some(piece) => piece,
            None => return Ok(Bytes::new()),
        };
        if first.len() > size_max {
            discard(stream).await;
            return Err(too_large());
        }
        if stream.is_end_stream() {
            return Ok(first);
        }
        let mut body = BytesMut::from(first);
        while let Some(piece) = next_piece(&mut stream).await? {
            if body.len() + piece.len() > size_max {
                drop(body);
                discard(stream).await;
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

impl RequestBody {
    /// Returns the next piece, `None` at the end.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        match self {
            RequestBody::Stream(stream) => next_piece(stream).await,
            RequestBody::Whole(bytes) if bytes.is_empty() => Ok(None),
            RequestBody::Whole(bytes) => Ok(Some(std::mem::take(bytes))),
        }
    }
}

/// Reads on for a while without keeping anything: most clients look for the
/// answer only when they have sent everything, and would see a broken
/// connection instead of the refusal.
async fn discard(mut stream: Incoming) {
    if stream.size_hint().lower() > BODY_DISCARDED_MAX as u64 {
        return;
    }
    let mut discarded = 0;
    while discarded < BODY_DISCARDED_MAX {
        match next_piece(&mut stream).await {
            Ok(Some(piece)) => discarded += piece.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// Returns the next piece of data; a sender that stands still is given up.
async fn next_piece(stream: &mut Incoming) -> Result<Option<Bytes>, HttpError> {
    loop {
        let frame = tokio::time::timeout(BODY_IDLE_TIMEOUT, stream.frame())
            .await
            .map_err(|_| HttpError::timeout("The request body did not arrive in time"))?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => {
                let message = format!("Failed to read the request body: {error}");
                return Err(HttpError::bad_request("BadRequestBody", message));
            }
        }
    }
}

/// Refuses a body that is not declared to be JSON.
pub(crate) fn check_json_content_type(headers: &HeaderMap) -> Result<(), HttpError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if content_type.is_some_and(is_json) {
        return Ok(());
    }
    let message = "Expected request with `Content-Type: application/json`";
    Err(HttpError::bad_request("BadJsonBody", message))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return true;
    }
    let essence = essence.to_ascii_lowercase();
    essence.starts_with("application/") && essence.ends_with("+json")
}

/// The answer to a JSON body over its limit.
pub(crate) fn json_too_large() -> HttpError {
    HttpError::bad_request(
        "BadJsonBody",
        "Failed to buffer the request body: length limit exceeded",
    )
}

/// The answer to any other body over its limit.
pub(crate) fn body_too_large() -> HttpError {
    HttpError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "BodyTooLarge".into(),
        message: "The request body is too large".to_owned(),
    }
}

/// Undoes `Content-Encoding`. CPU-bound: not for the async workers when bodies are large.
pub(crate) fn decompress(
    headers: &HeaderMap,
    body: Bytes,
    size_max: usize,
) -> Result<Bytes, HttpError> {
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes());
    match encoding
        .map(|encoding| encoding.to_ascii_lowercase())
        .as_deref()
    {
        None | Some(b"" | b"identity") => Ok(body),
        Some(b"br") => read_limited(
            brotli_decompressor::Decompressor::new(&body[..], 64 * 1024),
            size_max,
        ),
        Some(b"gzip" | b"x-gzip") => {
            read_limited(flate2::read::MultiGzDecoder::new(&body[..]), size_max)
        }
        Some(b"deflate") => {
            // The name means zlib; some senders leave its two-byte header out.
            match read_limited(flate2::read::ZlibDecoder::new(&body[..]), size_max) {
                Err(error) if error.code == "BadContentEncoding" => {
                    read_limited(flate2::read::DeflateDecoder::new(&body[..]), size_max)
                }
                result => result,
            }
        }
        Some(b"zstd") => match ruzstd::decoding::StreamingDecoder::new(&body[..]) {
            Ok(decoder) => read_limited(decoder, size_max),
            Err(error) => Err(bad_encoding(&error)),
        },
        Some(other) => {
            let name = String::from_utf8_lossy(other);
            Err(HttpError {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                code: "UnsupportedContentEncoding".into(),
                message: format!("Content-Encoding '{name}' is not one of br, gzip, deflate, zstd"),
            })
        }
    }
}

fn read_limited(reader: impl Read, size_max: usize) -> Result<Bytes, HttpError> {
    let mut out = Vec::new();
    reader
        .take(size_max as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| bad_encoding(&error))?;
    if out.len() > size_max {
        return Err(json_too_large());
    }
    Ok(out.into())
}

fn bad_encoding(error: &dyn std::fmt::Display) -> HttpError {
    HttpError::bad_request(
        "BadContentEncoding",
        format!("Failed to decompress the request body: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(encoding: &str, body: &[u8], size_max: usize, expected: Result<&[u8], &str>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        let result = decompress(&headers, Bytes::copy_from_slice(body), size_max);
        let result = result
            .as_ref()
            .map(|bytes| &bytes[..])
            .map_err(|error| error.code.as_ref());
        assert_eq!(result, expected, "{encoding}");
    }

    #[test]
    fn encodings_and_the_limit_after_decompression() {
        let plain = vec![b'x'; 5000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain).unwrap();
        let zlib = zlib.finish().unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(
            &plain[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        // A brotli stream: "hello" stored uncompressed, then an empty last block.
        let brotli = [0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];
        check("br", &brotli, 5, Ok(b"hello"));
        check("br", &brotli, 4, Err("BadJsonBody"));
        for (name, body) in [
            ("gzip", &gzip),
            ("deflate", &zlib),
            ("zstd", &zstd),
            ("GZIP", &gzip),
        ] {
            check(name, body, 5000, Ok(&plain));
            check(name, body, 4999, Err("BadJsonBody"));
            check(name, b"garbage!", 5000, Err("BadContentEncoding"));
        }
        check("deflate", &zlib[2..zlib.len() - 4], 5000, Ok(&plain));
        check("identity", &plain, 1, Ok(&plain));
        check("lzma", &plain, 5000, Err("UnsupportedContentEncoding"));
    }

    #[test]
    fn content_types() {
        let check = |value: Option<&str>, expected: bool| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            }
            assert_eq!(
                check_json_content_type(&headers).is_ok(),
                expected,
                "{value:?}"
            );
        };
        check(None, false);
        check(Some("application/json"), true);
        check(Some("Application/JSON; charset=utf-8"), true);
        check(Some("application/vnd.api+json"), true);
        check(Some("text/plain"), false);
        check(Some("text/x+json"), false);
    }
}
