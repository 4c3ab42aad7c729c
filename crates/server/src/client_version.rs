//! What the version of an HTTP client decides.

use http::HeaderMap;

use hull_sync::ClientVersion;
use hull_value::CodedError;

/// Reads the `Convex-Client` header, else the version in a socket's path; a client that sends neither is unknown.
pub(crate) fn detect(
    headers: &HeaderMap,
    path_version: Option<&str>,
) -> Result<ClientVersion, CodedError> {
    let header = headers
        .get("convex-client")
        .map(|value| value.to_str().unwrap_or_default());
    ClientVersion::detect(header, path_version)
        .map_err(|error| CodedError::bad_request(ClientVersion::ERROR_CODE, error.to_string()))
}

/// Whether answers are in encoded JSON when the request names no format.
pub(crate) fn expects_encoded_results(client: &ClientVersion) -> bool {
    match client.name.as_str() {
        "npm" | "npm-cli" | "actions" => is_before(client, (1, 4, 1)),
        "python" => is_before(client, (0, 5, 0)),
        _ => false,
    }
}

/// Whether log lines are wanted as objects rather than strings.
pub(crate) fn wants_structured_log_lines(client: &ClientVersion) -> bool {
    matches!(client.name.as_str(), "npm-cli" | "dashboard")
}

fn is_before(client: &ClientVersion, bound: (u64, u64, u64)) -> bool {
    client
        .version
        .is_some_and(|version| (version.major, version.minor, version.patch) < bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features() {
        let client = |text: &str| ClientVersion::from_header(text).unwrap();
        assert!(expects_encoded_results(&client("npm-1.4.0")));
        assert!(!expects_encoded_results(&client("npm-1.4.1")));
        assert!(expects_encoded_results(&client("python-0.4.9")));
        assert!(!expects_encoded_results(&client("curl-0.0.1")));
        assert!(!expects_encoded_results(&ClientVersion::unknown()));
        assert!(wants_structured_log_lines(&client("npm-cli-1.48.0")));
        assert!(wants_structured_log_lines(&client("dashboard-0.0.0")));
        assert!(!wants_structured_log_lines(&client("npm-1.48.0")));
    }

    #[test]
    fn header_wins_and_unreadable_versions_have_the_documented_code() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            detect(&headers, Some("latest")).unwrap_err().code,
            "InvalidClientVersion"
        );
        headers.insert("convex-client", "python-0.8.1".parse().unwrap());
        assert_eq!(detect(&headers, Some("latest")).unwrap().name, "python");
        headers.insert("convex-client", "nonsense".parse().unwrap());
        assert_eq!(detect(&headers, None).unwrap_err().http_status(), 400);
    }
}
