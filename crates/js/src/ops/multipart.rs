//! Decoding of `multipart/form-data` bodies.

use crate::ops::{OpError, OpValue, bytes, string};

/// One form may have this many parts; more is refused rather than held.
const PARTS_MAX: usize = 10_000;

/// `(body, boundary) -> [name, filename | null, content type | null, bytes, …]`, or null for a malformed body.
pub(super) fn parse(args: &[OpValue]) -> Result<OpValue, OpError> {
    let (body, boundary) = (bytes(args, 0)?, string(args, 1)?);
    let delimiter = format!("--{boundary}");
    Ok(parse_parts(body, delimiter.as_bytes()).map_or(OpValue::Null, OpValue::List))
}

fn parse_parts(body: &[u8], delimiter: &[u8]) -> Option<Vec<OpValue>> {
    // Whatever precedes the first delimiter is a preamble without meaning.
    let mut at = find(body, delimiter)? + delimiter.len();
    let mut separator = b"\r\n".to_vec();
    separator.extend_from_slice(delimiter);
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..)?;
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        // Spaces may pad the delimiter's line.
        let padding = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let rest = rest[padding..].strip_prefix(b"\r\n")?;
        let head_len = if rest.starts_with(b"\r\n") {
            0
        } else {
            find(rest, b"\r\n\r\n")? + 2
        };
        let head = Head::parse(&rest[..head_len])?;
        let content = &rest[head_len + 2..];
        let content_len = find(content, &separator)?;
        if parts.len() >= PARTS_MAX * 4 {
            return None;
        }
        parts.push(OpValue::String(head.name));
        parts.push(head.filename.map_or(OpValue::Null, OpValue::String));
        parts.push(head.content_type.map_or(OpValue::Null, OpValue::String));
        parts.push(OpValue::Bytes(content[..content_len].to_vec()));
        at = body.len() - content.len() + content_len + separator.len();
    }
}

/// What the header lines of a part say.
struct Head {
    name: String,
    filename: Option<String>,
    content_type: Option<String>,
}

impl Head {
    fn parse(lines: &[u8]) -> Option<Self> {
        let (mut name, mut filename, mut content_type) = (None, None, None);
        for line in String::from_utf8_lossy(lines)
            .split("\r\n")
            .filter(|line| !line.is_empty())
        {
            let (header, value) = line.split_once(':')?;
            let value = value.trim();
            if header.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.to_owned());
            } else if header.eq_ignore_ascii_case("content-disposition") {
                let parameters = value.strip_prefix("form-data")?;
                name = parameter(parameters, "name");
                filename = parameter(parameters, "filename");
            }
        }
        Some(Self {
            name: name?,
            filename,
            content_type,
        })
    }
}

/// Finds `; key="value"`, with the three escapes browsers write.
fn parameter(parameters: &str, key: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start().strip_prefix(';')?.trim_start();
        let (found, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if found.trim().eq_ignore_ascii_case(key) {
            return Some(
                value
                    .replace("%0A", "\n")
                    .replace("%0D", "\r")
                    .replace("%22", "\""),
            );
        }
        rest = after;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let at = from + haystack.get(from..)?.iter().position(|b| *b == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(body: &[u8]) -> OpValue {
        parse(&[
            OpValue::Bytes(body.to_vec()),
            OpValue::String("B".to_owned()),
        ])
        .expect("arguments are right")
    }

    fn text(text: &str) -> OpValue {
        OpValue::String(text.to_owned())
    }

    #[test]
    fn fields_and_files() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a%22\"\r\n\r\n1\r\n--B\r\n\
            content-disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n\r\n--x\r\n--B--\r\n";
        let expected = vec![
            text("a\""),
            OpValue::Null,
            OpValue::Null,
            OpValue::Bytes(b"1".to_vec()),
            text("f"),
            text("x.txt"),
            text("text/plain"),
            OpValue::Bytes(b"\r\n--x".to_vec()),
        ];
        assert_eq!(run(body), OpValue::List(expected));
        assert_eq!(run(b"--B--\r\n"), OpValue::List(vec![]));
    }

    #[test]
    fn malformed_bodies_are_null() {
        let no_name = b"--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--";
        let unfinished = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        for body in [&b""[..], b"--B", b"--B\r\n", no_name, unfinished] {
            assert_eq!(
                run(body),
                OpValue::Null,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(
            body in proptest::collection::vec(prop_oneof![Just(b'-'), Just(b'B'), Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'"'), any::<u8>()], 0..80)
        ) {
            let mut framed = b"--B\r\n".to_vec();
            framed.extend_from_slice(&body);
            run(&framed);
            run(&body);
        }
    }
}
