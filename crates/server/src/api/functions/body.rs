//! Bodies of function calls. Arguments stay JSON text: the runner reads them once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http_error::HttpError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallBody<'a> {
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    #[serde(borrow)]
    args: &'a RawValue,
    pub(super) format: Option<Cow<'a, str>>,
    pub(super) component_path: Option<Cow<'a, str>>,
    pub(super) ts: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct RunBody<'a> {
    #[serde(borrow)]
    args: &'a RawValue,
    pub(super) format: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct BatchBody<'a> {
    #[serde(borrow)]
    pub(super) queries: Vec<CallBody<'a>>,
}

impl CallBody<'_> {
    pub(super) fn args_text(&self) -> Result<String, HttpError> {
        args_text(self.args)
    }
}

impl RunBody<'_> {
    pub(super) fn args_text(&self) -> Result<String, HttpError> {
        args_text(self.args)
    }
}

fn args_text(args: &RawValue) -> Result<String, HttpError> {
    check_container(args)?;
    Ok(args.get().to_owned())
}

/// Checks arguments that came as text of their own.
pub(super) fn check_args_text(text: &str) -> Result<(), HttpError> {
    let args: &RawValue = serde_json::from_str(text).map_err(|error| {
        HttpError::bad_request("BadQueryArgs", format!("`args` is not JSON: {error}"))
    })?;
    check_container(args)
}

fn check_container(args: &RawValue) -> Result<(), HttpError> {
    if args.get().starts_with(['{', '[']) {
        return Ok(());
    }
    let message = "`args` must be an object of named arguments or an array of positional arguments";
    Err(HttpError::bad_request("BadJsonBody", message))
}

/// Turns `module/path/function` of a URL into `module/path:function`.
pub(super) fn path_of_segments(segments: &str) -> Result<String, HttpError> {
    let mut decoded = segments
        .split('/')
        .map(decode_segment)
        .collect::<Result<Vec<_>, _>>()?;
    match decoded.pop() {
        Some(function) if !decoded.is_empty() => Ok(format!("{}:{function}", decoded.join("/"))),
        _ => {
            let message =
                "The path must name a module and a function: /api/run/{module}/{function}";
            Err(HttpError::bad_request("MissingIdentifier", message))
        }
    }
}

/// Undoes percent-encoding of one path segment; unlike in a query, `+` stands for itself.
fn decode_segment(segment: &str) -> Result<String, HttpError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let mut decoded = [0];
            let digits = tail.get(..2).ok_or_else(bad_segment)?;
            hex::decode_to_slice(digits, &mut decoded).map_err(|_| bad_segment())?;
            bytes.push(decoded[0]);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| bad_segment())
}

fn bad_segment() -> HttpError {
    HttpError::bad_request("BadPathArgs", "The path is not valid percent-encoded UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segments: &str, expected: Result<&str, &str>) {
        let path = path_of_segments(segments);
        assert_eq!(
            path.as_deref().map_err(|error| error.code.as_ref()),
            expected,
            "{segments}"
        );
    }

    #[test]
    fn run_paths() {
        check("messages/list", Ok("messages:list"));
        check("a/b/c", Ok("a/b:c"));
        check("a%2Fb/c", Ok("a/b:c"));
        check("a+b/c", Ok("a+b:c"));
        check("messages", Err("MissingIdentifier"));
        check("a/%zz", Err("BadPathArgs"));
        check("a/%f", Err("BadPathArgs"));
        check("a/%ff", Err("BadPathArgs"));
    }

    #[test]
    fn bodies() {
        let check = |json: &str, expected: Result<(&str, &str), &str>| {
            let body = crate::api::json_body::parse::<CallBody<'_>>(json.as_bytes());
            let args = body.and_then(|body| Ok((body.path.to_string(), body.args_text()?)));
            let args = args
                .as_ref()
                .map(|(path, args)| (path.as_str(), args.as_str()));
            assert_eq!(
                args.map_err(|error| error.code.as_ref()),
                expected,
                "{json}"
            );
        };
        check(
            r#"{"path":"a:b","args":{"x":1}}"#,
            Ok(("a:b", r#"{"x":1}"#)),
        );
        check(
            r#"{"args": [ {} ], "path":"\u0061:b","more":1}"#,
            Ok(("a:b", "[ {} ]")),
        );
        check(r#"{"path":"a:b","args":7}"#, Err("BadJsonBody"));
        check(r#"{"path":"a:b"}"#, Err("BadJsonBody"));
        check(r#"{"path":7,"args":{}}"#, Err("BadJsonBody"));
        check("[", Err("BadJsonBody"));
        check("", Err("BadJsonBody"));
    }
}
