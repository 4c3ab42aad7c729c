//! Pushing code: `get_config_hashes` and `deploy2/*`.
//!
//! The key is checked where the protocol puts it, in the body; a request without
//! one there is judged by its header.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::Value as Json;

use hull_functions::Identity;

use crate::admin_key::Operation;
use crate::endpoint::Endpoint;
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, json_response};
use crate::limits::{PUSH_BODY_SIZE_MAX, SCHEMA_WAIT_DEFAULT, SCHEMA_WAIT_MAX};
use crate::query_string;
use crate::request_body::{check_json_content_type, decompress, json_too_large};

use super::json_body;

/// Answers one push endpoint.
pub(crate) async fn respond(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint<'_>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let mut body = read_body(gateway, query, request, Operation::Deploy).await?;
    let deployment = &gateway.deployment;
    let answer = match endpoint {
        Endpoint::ConfigHashes => deployment.config_hashes().await?,
        Endpoint::StartPush => deployment.start_push(body).await?,
        Endpoint::EvaluatePush => deployment.evaluate_push(body).await?,
        Endpoint::EvaluateSchema => deployment.evaluate_schema(body).await?,
        Endpoint::WaitForSchema => {
            let timeout = match body["timeoutMs"].as_u64() {
                Some(ms) => Duration::from_millis(ms).min(SCHEMA_WAIT_MAX),
                None => SCHEMA_WAIT_DEFAULT,
            };
            let is_dry_run = body["dryRun"].as_bool().unwrap_or(false);
            deployment
                .wait_for_schema(body["schemaChange"].take(), timeout, is_dry_run)
                .await?
        }
        Endpoint::FinishPush => {
            let is_dry_run = body["dryRun"].as_bool().unwrap_or(false);
            let message = body["message"].as_str().map(str::to_owned);
            deployment
                .finish_push(body["startPush"].take(), is_dry_run, message)
                .await?
        }
        // The times a client measured; it parses the answer and ignores it.
        Endpoint::ReportPushCompleted => Json::Null,
        other => {
            return Err(HttpError::bad_request(
                "NotImplemented",
                format!("{other:?} is no push endpoint"),
            ));
        }
    };
    Ok(json_response(&answer))
}

/// Reads a JSON body, compressed or not, that carries its own admin key.
pub(crate) async fn read_body(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
    operation: Operation,
) -> Result<Json, HttpError> {
    let ApiRequest { head, body } = request;
    check_json_content_type(&head.headers)?;
    let body = body.read(PUSH_BODY_SIZE_MAX, json_too_large).await?;
    let headers = head.headers.clone();
    // Megabytes of source text: not on a thread that serves other connections.
    let parse = move || json_body::parse::<Json>(&decompress(&headers, body, PUSH_BODY_SIZE_MAX)?);
    let parsed = tokio::task::spawn_blocking(parse).await;
    let body = parsed.map_err(|error| {
        HttpError::from(hull_value::CodedError::internal(format!(
            "reading a push body failed: {error}"
        )))
    })??;
    let identity = match body["adminKey"].as_str() {
        Some(key) => Identity::Admin(gateway.authorizer.admin(key)?),
        None => {
            let query_key = query_string::parameter(query, "adminKey");
            gateway
                .authorizer
                .identity(&head.headers, query_key.as_deref())?
        }
    };
    gateway.authorizer.require(&identity, operation)?;
    Ok(body)
}
