//! Small answers: who is there, which version, is this key good.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::admin_key::Operation;
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, json_response, text_response, whole};
use crate::limits::ECHO_BODY_SIZE_MAX;
use crate::request_body::body_too_large;

const RUNNING: &str = "This Convex deployment is running. See https://docs.convex.dev/.";

pub(crate) fn root() -> Response<Body> {
    text_response(StatusCode::OK, RUNNING)
}

pub(crate) fn version() -> Response<Body> {
    text_response(StatusCode::OK, concat!("hull-", env!("CARGO_PKG_VERSION")))
}

/// The bare name: tools compare the whole body with the name they expect.
pub(crate) fn instance_name(gateway: &Gateway) -> Response<Body> {
    text_response(StatusCode::OK, gateway.deployment.name().to_owned())
}

pub(crate) async fn echo(request: ApiRequest) -> Result<Response<Body>, HttpError> {
    let body = request
        .body
        .read(ECHO_BODY_SIZE_MAX, body_too_large)
        .await?;
    Ok(Response::new(whole(body)))
}

pub(crate) fn metrics(gateway: &Gateway) -> Response<Body> {
    let text = gateway.metrics.render(&gateway.deployment.metrics());
    let mut response = Response::new(whole(text));
    let value = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// No operations listed means all of them.
pub(crate) fn check_admin_key(
    gateway: &Gateway,
    query: Option<&str>,
    request: &ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, request)?;
    let admin = gateway.authorizer.require_admin(&identity)?;
    Ok(json_response(&json!({
        "success": true,
        "allowedOps": Operation::allowed_names(admin),
        "isReadOnly": admin.is_read_only,
    })))
}

pub(crate) fn deployment_info() -> Response<Body> {
    json_response(&json!({ "kind": "selfHosted" }))
}

/// There are no accounts here, so there is nothing to opt in to.
pub(crate) fn check_opt_ins() -> Response<Body> {
    json_response(&json!({ "optInsToAccept": [] }))
}
