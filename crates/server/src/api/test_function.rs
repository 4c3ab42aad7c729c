//! `POST /api/run_test_function`: a query written on the spot.

use std::borrow::Cow;
use std::sync::Arc;

use http::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use hull_functions::{Caller, FunctionCall, Identity};
use hull_value::json::Format;

use crate::admin_key::Operation;
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError};
use crate::limits::FUNCTION_BODY_SIZE_MAX;
use crate::request_id;

use super::{functions, json_body};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestBody<'a> {
    admin_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    args: &'a RawValue,
    #[serde(borrow)]
    bundle: Bundle<'a>,
    format: Option<Cow<'a, str>>,
    component_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
}

pub(crate) async fn run(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let from_header = gateway.identity(query, &request);
    let (head, body) = json_body::read(request, FUNCTION_BODY_SIZE_MAX).await?;
    let body: TestBody<'_> = json_body::parse(&body)?;
    let identity = match &body.admin_key {
        Some(key) => Identity::Admin(gateway.authorizer.admin(key)?),
        None => from_header?,
    };
    gateway
        .authorizer
        .require(&identity, Operation::RunTestQuery)?;
    if body.component_id.is_some() {
        let message =
            "POST /api/run_test_function inside a component is not implemented by this server yet";
        return Err(HttpError::bad_request("NotImplemented", message));
    }
    let format = body
        .format
        .as_deref()
        .map_or(Ok(Format::Clean), Format::parse)?;
    let call = FunctionCall {
        path: body.bundle.path.into_owned(),
        component_path: None,
        args_json: body.args.get().to_owned(),
        identity,
        caller: Caller::Tester,
        request_id: request_id::of_request(&head.headers),
        journal: None,
    };
    let request_id = call.request_id.clone();
    let outcome = gateway
        .deployment
        .run_test_query(&body.bundle.source, call)
        .await?;
    Ok(functions::present(gateway, &outcome, &request_id, format))
}
