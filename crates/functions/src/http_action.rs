//! HTTP actions: requests to the router that `http.js` exports (client protocol spec 6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hull_js::{ActionOutcome, HttpCall};
use hull_value::CodedError;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use crate::actions::{Exchange, TaskHost, run_task, unawaited_line};
use crate::call::{Caller, FunctionError, RequestOrigin};
use crate::clock;
use crate::deployment::Deployment;
use crate::execution::CallError;
use crate::functions::Functions;
use crate::identity::Identity;
use crate::logs::LogLine;
use crate::modules::UdfType;
use crate::runner::Logged;

/// How long an HTTP action may take, its response included (function runtime spec 4).
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Chunks of a body on their way from or to the client.
pub const CHUNKS_MAX: usize = 4;

/// A piece of a body, or what kept it from being read.
pub type Chunk = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A request for an HTTP action.
#[derive(Debug)]
pub struct HttpRequest {
    pub method: String,
    /// The full URL, as the action sees it.
    pub url: String,
    /// The path that routes are looked up by.
    pub path: String,
    /// Values in Latin-1.
    pub headers: Vec<(String, String)>,
    pub body: Option<mpsc::Receiver<Chunk>>,
    pub identity: Identity,
    /// Why there is no identity although credentials were sent: functions that
    /// ask for it are told.
    pub identity_error: Option<String>,
    pub request_id: String,
    pub origin: Arc<RequestOrigin>,
}

/// What a request came to.
#[derive(Debug)]
pub enum HttpOutcome {
    /// There is no `http.js`.
    NotEnabled,
    NoRoute,
    Response(HttpResponse),
    /// Before there was a response.
    Failed(FunctionError),
}

/// The response of an HTTP action. Dropping it tells the action that its client
/// has gone away.
#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    /// Values in Latin-1.
    pub headers: Vec<(String, String)>,
    /// Ends with an error where the action failed before its body ended.
    pub body: mpsc::Receiver<Result<Bytes, BodyCut>>,
    _client: Client,
}

/// The action failed in the middle of its response; its log says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the action failed before the end of its response")]
pub struct BodyCut;

/// Says whether the client is there, until it is dropped.
#[derive(Debug)]
struct Client(watch::Sender<bool>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Deployment {
    /// Runs an HTTP action; it runs to its end also when the caller goes away.
    pub async fn http_action(&self, request: HttpRequest) -> Result<HttpOutcome, CodedError> {
        let (gone, aborted) = watch::channel(false);
        let client = Client(gone);
        let (head, mut head_sent) = oneshot::channel();
        let (body, chunks) = mpsc::channel(CHUNKS_MAX);
        let exchange = Exchange::new(head, body.clone(), aborted);
        let functions = self.functions().clone();
        let mut action = tokio::spawn(async move {
            let outcome = functions.run_http_action(request, exchange).await;
            if matches!(outcome, Ok(HttpOutcome::Failed(_)) | Err(_)) {
                // Without a head, or a client, nobody looks.
                let _ = body.send(Err(BodyCut)).await;
            }
            outcome
        });
        // The response begins while the action goes on.
        let ended = tokio::select! {
            Ok((status, headers)) = &mut head_sent => {
                return Ok(HttpOutcome::Response(HttpResponse { status, headers, body: chunks, _client: client }));
            }
            ended = &mut action => ended,
        };
        // Both may have happened at once.
        if let Ok((status, headers)) = head_sent.try_recv() {
            return Ok(HttpOutcome::Response(HttpResponse {
                status,
                headers,
                body: chunks,
                _client: client,
            }));
        }
        ended.unwrap_or_else(|error| {
            Err(CodedError::internal(format!(
                "an HTTP action ended early: {error}"
            )))
        })
    }
}

impl Functions {
    /// Runs an HTTP action to its end. What it returns says why there is no response.
    async fn run_http_action(
        self: Arc<Self>,
        request: HttpRequest,
        exchange: Exchange,
    ) -> Result<HttpOutcome, CodedError> {
        let _place = self.actions.place().await?;
        let started = Instant::now();
        let started_ms = clock::now_ms();
        let runner = self.runner.clone();
        let (method, path) = (request.method.clone(), request.path.clone());
        let prepare = move || runner.prepare_http(&method, &path);
        let (prepared, routed_path) = match self.on_worker(prepare).await? {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return Ok(HttpOutcome::NotEnabled),
            Err(CallError::Function(error)) => return Ok(HttpOutcome::Failed(error)),
            Err(CallError::System(error)) => return Err(error),
        };
        let HttpRequest {
            method,
            url,
            path,
            headers,
            body,
            mut identity,
            mut identity_error,
            request_id,
            origin,
        } = request;
        if !prepared.component.is_root() {
            // Only the app knows who somebody is (function runtime spec 3.6).
            (identity, identity_error) = (Identity::Anonymous, None);
        }
        let host = TaskHost::for_http(
            self.clone(),
            &prepared,
            identity.clone(),
            identity_error,
            &request_id,
            origin,
            exchange,
        );
        let stream = body.map(|body| host.add_body(body)).transpose();
        let stream = stream.map_err(|error| CodedError::internal(error.message))?;
        let request_json = json!({
            "url": url,
            "method": method,
            "headerPairs": headers,
            "streamId": stream,
            "signal": "client",
        });
        let activity = prepared.image.image.http_activity(&HttpCall {
            request_json: &request_json.to_string(),
            path: &routed_path,
            method: &method,
            seed: clock::random_seed(),
            time_ms: started_ms,
            timeout: TIMEOUT,
        });
        let (outcome, mut log_lines) = match activity {
            Ok(activity) => run_task(activity, host, &self.actions, started + TIMEOUT).await?,
            Err(error) => (
                ActionOutcome {
                    result: Err(error),
                    unawaited: Vec::new(),
                },
                prepared.log_lines.clone(),
            ),
        };
        if !outcome.unawaited.is_empty() {
            log_lines.push(unawaited_line(&outcome.unawaited));
        }
        let result = match prepared.describe(outcome.result) {
            Ok(value) => Ok(value),
            Err(CallError::Function(error)) => Err(error),
            Err(CallError::System(error)) => return Err(error),
        };
        self.runner.log(
            format!("{method} {path}"),
            &prepared.component.path,
            UdfType::HttpAction,
            &identity,
            Logged {
                result: &result,
                log_lines: &log_lines,
                usage: Default::default(),
                started_ms,
                execution_time: started.elapsed(),
                user_time: None,
                cached: false,
                request_id,
                caller: Caller::HttpEndpoint,
            },
        );
        Ok(match result {
            // With a head this is never looked at.
            Ok(_) => HttpOutcome::NoRoute,
            Err(error) => HttpOutcome::Failed(error),
        })
    }
}

/// Adds what the log says of a response that was cut.
pub(crate) fn too_large_line() -> LogLine {
    LogLine::system(
        "ERROR",
        "error:httpAction",
        "HttpResponseTooLarge: HTTP actions support responses up to 20 MiB".to_owned(),
        clock::now_ms() as i64,
    )
}
