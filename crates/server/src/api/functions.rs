//! Calling functions: `/api/query` and its relatives.

mod body;

use std::sync::Arc;

use http::Response;

use hull_functions::{
    Caller, FunctionCall, FunctionOutcome, Identity, MutationOutcome, RequestOrigin,
};
use hull_sync::UdfPath;
use hull_value::json::Format;
use hull_value::{CodedError, Timestamp};

use crate::api::json_body;
use crate::client_version;
use crate::envelope::{self, Presentation};
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, json_bytes_response, json_response};
use crate::limits::{FUNCTION_BODY_SIZE_MAX, QUERY_BATCH_LEN_MAX};
use crate::origin;
use crate::query_string;
use crate::request_id;

use body::{BatchBody, CallBody, RunBody};

/// What an endpoint lets be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Query,
    Mutation,
    Action,
    /// A public function of any type.
    Any,
    /// A function of any type and visibility, in any component.
    AnyByAdmin,
}

impl CallKind {
    fn operation_name(self) -> &'static str {
        match self {
            CallKind::Query => "query",
            CallKind::Mutation => "mutation",
            CallKind::Action => "action",
            CallKind::Any | CallKind::AnyByAdmin => "function",
        }
    }
}

/// `POST /api/query`, `/api/mutation`, `/api/action`, `/api/function`.
pub(crate) async fn call(
    gateway: &Arc<Gateway>,
    kind: CallKind,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    if kind == CallKind::AnyByAdmin {
        gateway.authorizer.require_admin(&identity)?;
    }
    let (head, body) = json_body::read(request, FUNCTION_BODY_SIZE_MAX).await?;
    let body: CallBody<'_> = json_body::parse(&body)?;
    let context = CallContext::new(&head, body.format.as_deref(), identity)?;
    let mut call = context.call(kind, &body.path, body.args_text()?)?;
    if kind == CallKind::AnyByAdmin {
        call.component_path = body.component_path.map(|path| path.into_owned());
    }
    execute(gateway, kind, call, context.format).await
}

/// `GET /api/query?path=&args=&format=`.
pub(crate) async fn query_with_get(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    let path = query_string::required(query, "path")?;
    let args = query_string::required(query, "args")?;
    let format = query_string::parameter(query, "format");
    body::check_args_text(&args)?;
    let context = CallContext::new(&request.head, format.as_deref(), identity)?;
    let call = context.call(CallKind::Query, &path, args.into_owned())?;
    execute(gateway, CallKind::Query, call, context.format).await
}

/// `POST /api/run/{module/path}/{function}`.
pub(crate) async fn run(
    gateway: &Arc<Gateway>,
    function: &str,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    let path = body::path_of_segments(function)?;
    let (head, body) = json_body::read(request, FUNCTION_BODY_SIZE_MAX).await?;
    let body: RunBody<'_> = json_body::parse(&body)?;
    let format = body.format.as_deref().unwrap_or("json");
    let context = CallContext::new(&head, Some(format), identity)?;
    let call = context.call(CallKind::Any, &path, body.args_text()?)?;
    execute(gateway, CallKind::Any, call, context.format).await
}

/// `POST /api/query_ts`.
pub(crate) fn query_ts(gateway: &Gateway) -> Response<Body> {
    json_response(&serde_json::json!({ "ts": gateway.deployment.latest_ts().to_base64() }))
}

/// `POST /api/query_at_ts`.
pub(crate) async fn query_at_ts(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    let (head, body) = json_body::read(request, FUNCTION_BODY_SIZE_MAX).await?;
    let body: CallBody<'_> = json_body::parse(&body)?;
    let ts = body
        .ts
        .as_deref()
        .and_then(Timestamp::from_base64)
        .ok_or_else(|| {
            HttpError::bad_request(
                "BadJsonBody",
                "`ts` must be the base64 text that /api/query_ts returned",
            )
        })?;
    let context = CallContext::new(&head, body.format.as_deref(), identity)?;
    let call = context.call(CallKind::Query, &body.path, body.args_text()?)?;
    let request_id = call.request_id.clone();
    let outcome = gateway.deployment.query_at(call, ts).await?;
    Ok(respond(gateway, &outcome, &request_id, context.format))
}

/// `POST /api/query_batch`: all at one timestamp.
pub(crate) async fn query_batch(
    gateway: &Arc<Gateway>,
    query: Option<&str>,
    request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let identity = gateway.identity(query, &request)?;
    let (head, body) = json_body::read(request, FUNCTION_BODY_SIZE_MAX).await?;
    let body: BatchBody<'_> = json_body::parse(&body)?;
    if body.queries.len() > QUERY_BATCH_LEN_MAX {
        let message = format!("At most {QUERY_BATCH_LEN_MAX} queries fit in one batch");
        return Err(HttpError::bad_request("TooManyQueries", message));
    }
    let ts = gateway.deployment.latest_ts();
    let mut out = br#"{"results":["#.to_vec();
    for (index, body) in body.queries.iter().enumerate() {
        let context = CallContext::new(&head, body.format.as_deref(), identity.clone())?;
        let call = context.call(CallKind::Query, &body.path, body.args_text()?)?;
        let request_id = call.request_id.clone();
        let outcome = gateway.deployment.query_at(call, ts).await?;
        if index > 0 {
            out.push(b',');
        }
        let presentation = presentation(gateway, context.format);
        envelope::write(
            &outcome.result,
            &outcome.log_lines,
            &request_id,
            presentation,
            &mut out,
        );
    }
    out.extend_from_slice(b"]}");
    Ok(json_bytes_response(out))
}

/// What all calls of one request have in common.
struct CallContext {
    format: Format,
    identity: Identity,
    request_id: String,
    origin: Arc<RequestOrigin>,
}

impl CallContext {
    fn new(
        head: &http::request::Parts,
        format: Option<&str>,
        identity: Identity,
    ) -> Result<CallContext, HttpError> {
        let headers = &head.headers;
        let client = client_version::detect(headers, None)?;
        let format = match format {
            Some(format) => Format::parse(format)?,
            None if client_version::expects_encoded_results(&client) => Format::Encoded,
            None => Format::Clean,
        };
        Ok(CallContext {
            format,
            identity,
            request_id: request_id::of_request(headers),
            origin: origin::of_request(head),
        })
    }

    fn call(
        &self,
        kind: CallKind,
        path: &str,
        args_json: String,
    ) -> Result<FunctionCall, HttpError> {
        check_path(kind, path, &self.identity)?;
        Ok(FunctionCall {
            path: path.to_owned(),
            component_path: None,
            args_json,
            identity: self.identity.clone(),
            caller: Caller::HttpApi,
            request_id: self.request_id.clone(),
            journal: None,
            origin: self.origin.clone(),
        })
    }
}

fn check_path(kind: CallKind, path: &str, identity: &Identity) -> Result<(), HttpError> {
    let parsed: UdfPath = path.parse().map_err(|error| {
        let message = format!("{path} is not a valid path to a Convex function. {error}");
        HttpError::bad_request("BadConvexFunctionIdentifier", message)
    })?;
    if parsed.is_system() && !identity.is_admin() {
        let message = format!("Operation {} not permitted", kind.operation_name());
        return Err(CodedError::forbidden("SystemIdentityRequired", message).into());
    }
    Ok(())
}

async fn execute(
    gateway: &Arc<Gateway>,
    kind: CallKind,
    call: FunctionCall,
    format: Format,
) -> Result<Response<Body>, HttpError> {
    let request_id = call.request_id.clone();
    let deployment = &gateway.deployment;
    let outcome = match kind {
        CallKind::Query => deployment.query(call).await?,
        CallKind::Mutation => {
            let MutationOutcome {
                result, log_lines, ..
            } = deployment.mutation(call, None).await?;
            let presentation = presentation(gateway, format);
            return Ok(envelope::response(
                &result,
                &log_lines,
                &request_id,
                presentation,
            ));
        }
        // These run to their end even when the client goes away.
        CallKind::Action => {
            detached(gateway, |gateway| async move {
                gateway.deployment.action(call).await
            })
            .await?
        }
        CallKind::Any | CallKind::AnyByAdmin => {
            detached(gateway, |gateway| async move {
                gateway.deployment.function(call).await
            })
            .await?
        }
    };
    Ok(respond(gateway, &outcome, &request_id, format))
}

/// Runs a call in a task of its own.
async fn detached<F, R>(gateway: &Arc<Gateway>, run: F) -> Result<FunctionOutcome, CodedError>
where
    F: FnOnce(Arc<Gateway>) -> R,
    R: Future<Output = Result<FunctionOutcome, CodedError>> + Send + 'static,
{
    match tokio::spawn(run(Arc::clone(gateway))).await {
        Ok(result) => result,
        Err(error) => Err(CodedError::internal(format!(
            "a function call's task ended early: {error}"
        ))),
    }
}

fn respond(
    gateway: &Gateway,
    outcome: &FunctionOutcome,
    request_id: &str,
    format: Format,
) -> Response<Body> {
    envelope::response(
        &outcome.result,
        &outcome.log_lines,
        request_id,
        presentation(gateway, format),
    )
}

fn presentation(gateway: &Gateway, format: Format) -> Presentation {
    Presentation {
        format,
        redact: gateway.deployment.config().redact_logs_to_client,
    }
}
