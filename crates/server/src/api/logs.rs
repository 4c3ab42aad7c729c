//! The log stream: long polls for what is newer than a cursor.

use std::sync::Arc;

use http::Response;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use hull_functions::LogQuery;
use hull_value::CodedError;

use crate::admin_key::Operation;
use crate::client_version;
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, json_response};
use crate::limits::LOG_POLL_TIMEOUT;
use crate::query_string;

/// How a poll shows log lines.
#[derive(Clone, Copy)]
enum Lines {
    Structured,
    Text,
}

/// `GET /api/stream_function_logs`.
pub(crate) async fn function_logs(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let client = client_version::detect(&request.head.headers, None)?;
    let lines = match client_version::wants_structured_log_lines(&client) {
        true => Lines::Structured,
        false => Lines::Text,
    };
    poll(gateway, query, &request, lines).await
}

/// `GET /api/stream_udf_execution`: completions only, which is all the stream holds
/// as long as actions report no progress.
pub(crate) async fn udf_execution(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    poll(gateway, query, &request, Lines::Text).await
}

async fn poll(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: &ApiRequest,
    lines: Lines,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, request)?;
    gateway.authorizer.require(&identity, Operation::ViewLogs)?;
    let cursor = query_string::parsed(query, "cursor")?
        .ok_or_else(|| HttpError::bad_request("BadQueryArgs", "missing field `cursor`"))?;
    let session: Option<Uuid> = query_string::parsed(query, "sessionId")?;
    let counter: Option<u32> = query_string::parsed(query, "clientRequestCounter")?;
    let log_query = LogQuery {
        cursor,
        session_request: session.zip(counter),
    };

    let mut shutdown = gateway.shutdown.guard();
    let page = tokio::select! {
        page = gateway.deployment.logs().poll(log_query, LOG_POLL_TIMEOUT) => page,
        // A 5xx makes clients come back to the next process.
        () = shutdown.requested() => {
            return Err(CodedError::overloaded("ShuttingDown", "The server is shutting down").into());
        }
    };
    let is_structured = matches!(lines, Lines::Structured);
    let entries: Vec<Json> = page
        .entries
        .iter()
        .map(|entry| entry.to_json(is_structured))
        .collect();
    Ok(json_response(
        &json!({ "entries": entries, "newCursor": page.new_cursor }),
    ))
}
