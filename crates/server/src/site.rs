//! HTTP actions: the site port, and `/http/` on the API port.

use http::{Response, StatusCode};

use crate::gateway::Gateway;
use crate::http_error::{Body, HttpError, text_response};

const NOT_ENABLED: &str = "This Convex deployment does not have HTTP actions enabled.";

/// Answers a request for an HTTP action. They are not built yet: a deployment
/// without an `http.js` answers as it always will, another says what is missing.
pub(crate) async fn respond(gateway: &Gateway, path: &str) -> Response<Body> {
    match has_http_module(gateway).await {
        Ok(false) => text_response(StatusCode::NOT_FOUND, NOT_ENABLED),
        Ok(true) => HttpError {
            status: StatusCode::NOT_IMPLEMENTED,
            code: "NotImplemented".into(),
            message: format!(
                "HTTP actions are not implemented by this server yet (requested {path})"
            ),
        }
        .into_response(),
        Err(error) => error.into_response(),
    }
}

async fn has_http_module(gateway: &Gateway) -> Result<bool, HttpError> {
    let hashes = gateway.deployment.config_hashes().await?;
    let modules = hashes["moduleHashes"].as_array();
    Ok(modules.is_some_and(|modules| modules.iter().any(|module| module["path"] == "http.js")))
}
