//! The answer to a function call: always 200, success or error inside.

use http::Response;

use hull_functions::{FunctionResult, LogLine};
use hull_value::json::{self, Format};

use crate::http_error::{Body, json_bytes_response};
use crate::limits::ERROR_MESSAGE_LEN_MAX;

/// How results are shown to this caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presentation {
    pub format: Format,
    /// Hides error texts and log lines.
    pub redact: bool,
}

/// Builds the response around one result.
pub(crate) fn response(
    result: &FunctionResult,
    log_lines: &[LogLine],
    request_id: &str,
    presentation: Presentation,
) -> Response<Body> {
    let mut body = Vec::with_capacity(capacity(result));
    write(result, log_lines, request_id, presentation, &mut body);
    json_bytes_response(body)
}

/// Appends `{"status":…}`.
pub(crate) fn write(
    result: &FunctionResult,
    log_lines: &[LogLine],
    request_id: &str,
    presentation: Presentation,
    body: &mut Vec<u8>,
) {
    match result {
        Ok(value) => {
            body.extend_from_slice(br#"{"status":"success","value":"#);
            presentation.format.encode(value.as_ref(), body);
        }
        Err(error) => {
            body.extend_from_slice(br#"{"status":"error","errorMessage":"#);
            json::encode_string(
                &error_text(&error.message, request_id, presentation.redact),
                body,
            );
            if let Some(data) = &error.data {
                body.extend_from_slice(br#","errorData":"#);
                presentation.format.encode(data.as_ref(), body);
            }
        }
    }
    if !presentation.redact && !log_lines.is_empty() {
        body.extend_from_slice(br#","logLines":"#);
        let mut separator = b'[';
        for line in log_lines {
            body.push(separator);
            separator = b',';
            json::encode_string(&line.to_client_string(), body);
        }
        body.push(b']');
    }
    body.push(b'}');
}

/// Returns the text clients see for a failed function.
pub(crate) fn error_text(message: &str, request_id: &str, redact: bool) -> String {
    if redact {
        return format!("[Request ID: {request_id}] Server Error");
    }
    let mut end = message.len().min(ERROR_MESSAGE_LEN_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!(
        "[Request ID: {request_id}] Server Error\n{}",
        &message[..end]
    )
}

fn capacity(result: &FunctionResult) -> usize {
    match result {
        Ok(value) => value.as_bytes().len() * 2 + 64,
        Err(error) => error.message.len() + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hull_functions::FunctionError;
    use hull_value::{PackedValue, Value};

    fn check(result: FunctionResult, format: Format, redact: bool, expected: &str) {
        let mut body = Vec::new();
        write(
            &result,
            &[],
            "ab12",
            Presentation { format, redact },
            &mut body,
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    fn packed(value: Value) -> PackedValue {
        PackedValue::pack(&value)
    }

    #[test]
    fn successes_in_each_format() {
        let big = || Ok(packed(Value::Int64(7)));
        check(
            big(),
            Format::Encoded,
            false,
            r#"{"status":"success","value":{"$integer":"BwAAAAAAAAA="}}"#,
        );
        check(
            big(),
            Format::Clean,
            false,
            r#"{"status":"success","value":"7"}"#,
        );
        check(
            Ok(packed(Value::Float64(2.0))),
            Format::Clean,
            false,
            r#"{"status":"success","value":2.0}"#,
        );
    }

    #[test]
    fn errors_with_and_without_redaction() {
        let error = || {
            let data = Some(packed(Value::Int64(7)));
            Err(FunctionError {
                message: "Uncaught \"x\"\n".into(),
                data,
            })
        };
        check(
            error(),
            Format::Clean,
            false,
            r#"{"status":"error","errorMessage":"[Request ID: ab12] Server Error\nUncaught \"x\"\n","errorData":"7"}"#,
        );
        check(
            error(),
            Format::Clean,
            true,
            r#"{"status":"error","errorMessage":"[Request ID: ab12] Server Error","errorData":"7"}"#,
        );
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let text = error_text(&"é".repeat(40_000), "i", false);
        assert_eq!(
            text.len(),
            "[Request ID: i] Server Error\n".len() + ERROR_MESSAGE_LEN_MAX
        );
    }
}
