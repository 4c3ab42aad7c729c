//! Settings of a deployment: environment variables and canonical URLs.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use hull_functions::{CanonicalUrlKind, EnvironmentChange};

use crate::admin_key::Operation;
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, empty_response, json_response};
use crate::limits::OTHER_BODY_SIZE_MAX;

use super::json_body;

#[derive(Deserialize)]
struct EnvironmentBody {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    name: String,
    /// Absent or null removes the variable.
    value: Option<String>,
}

/// `POST /api/update_environment_variables`.
pub(crate) async fn update_environment_variables(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    gateway
        .authorizer
        .require(&identity, Operation::WriteEnvironmentVariables)?;
    let (_, body) = json_body::read(request, OTHER_BODY_SIZE_MAX).await?;
    let body: EnvironmentBody = json_body::parse(&body)?;
    let change = |change: Change| EnvironmentChange {
        name: change.name,
        value: change.value,
    };
    let changes = body.changes.into_iter().map(change).collect();
    gateway
        .deployment
        .update_environment_variables(changes)
        .await?;
    Ok(empty_response(StatusCode::OK))
}

/// `GET /api/v1/get_canonical_urls`.
pub(crate) async fn get_canonical_urls(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    gateway.authorizer.require_admin(&identity)?;
    let urls = gateway.deployment.canonical_urls().await?;
    Ok(json_response(
        &json!({ "convexCloudUrl": urls.cloud, "convexSiteUrl": urls.site }),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CanonicalUrlBody {
    request_destination: Destination,
    /// Absent goes back to the configured origin.
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Destination {
    ConvexCloud,
    ConvexSite,
}

/// `POST /api/v1/update_canonical_url`.
pub(crate) async fn update_canonical_url(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    gateway
        .authorizer
        .require(&identity, Operation::WriteEnvironmentVariables)?;
    let (_, body) = json_body::read(request, OTHER_BODY_SIZE_MAX).await?;
    let body: CanonicalUrlBody = json_body::parse(&body)?;
    let kind = match body.request_destination {
        Destination::ConvexCloud => CanonicalUrlKind::Cloud,
        Destination::ConvexSite => CanonicalUrlKind::Site,
    };
    gateway.deployment.set_canonical_url(kind, body.url).await?;
    Ok(empty_response(StatusCode::OK))
}
