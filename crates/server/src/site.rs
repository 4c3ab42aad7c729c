//! HTTP actions: the site port, and `/http/` on the API port (client protocol spec 6).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hull_functions::http_action::{BodyCut, CHUNKS_MAX};
use hull_functions::{HttpOutcome, HttpRequest, HttpResponse, Identity};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::mpsc;

use crate::envelope;
use crate::gateway::Gateway;
use crate::http_error::{Body, HttpError, empty_response, json_response, text_response};
use crate::limits::REQUEST_TIMEOUT;
use crate::origin;
use crate::request_body::RequestBody;
use crate::request_id;

const NOT_ENABLED: &str = "This Convex deployment does not have HTTP actions enabled.";
const NO_ROUTE: &str = "No matching routes found";

/// Answers a request for an HTTP action with this path.
pub(crate) async fn respond(
    gateway: &Gateway,
    path: &str,
    query: Option<&str>,
    head: Parts,
    body: RequestBody,
) -> Response<Body> {
    let has_body = match head.method {
        Method::POST | Method::PUT | Method::DELETE | Method::PATCH => true,
        Method::GET | Method::HEAD | Method::OPTIONS => false,
        _ => return empty_response(StatusCode::METHOD_NOT_ALLOWED),
    };
    let request_id = request_id::of_request(&head.headers);
    let origin = origin::of_request(&head);
    let (identity, identity_error) = match gateway.authorizer.identity(&head.headers, None) {
        Ok(identity) => (identity, None),
        // Credentials may be meant for the action itself.
        Err(error) => (Identity::Anonymous, Some(error.message)),
    };
    let request = HttpRequest {
        method: head.method.as_str().to_owned(),
        url: url(&head.headers, path, query),
        path: path.to_owned(),
        headers: latin1_pairs(&head.headers),
        body: has_body.then(|| forward(body)),
        identity,
        identity_error,
        request_id: request_id.clone(),
        origin,
    };
    let answer = gateway.deployment.http_action(request);
    let outcome = match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => return HttpError::from(error).into_response(),
        Err(_) => {
            let error = "The request took longer than 300 seconds";
            return HttpError::timeout(error).into_response();
        }
    };
    match outcome {
        HttpOutcome::NotEnabled => text_response(StatusCode::NOT_FOUND, NOT_ENABLED),
        HttpOutcome::NoRoute => text_response(StatusCode::NOT_FOUND, NO_ROUTE),
        HttpOutcome::Response(response) => streamed(response),
        HttpOutcome::Failed(error) => {
            let redact = gateway.deployment.config().redact_logs_to_client;
            let code = envelope::error_text(&error.message, &request_id, redact);
            let mut body = json!({ "code": code.replacen('\n', ": ", 1).trim_end() });
            if !redact {
                body["trace"] = json!(error.message);
                if let Some(data) = &error.data {
                    let text = hull_value::json::to_string(data.as_ref());
                    body["data"] = serde_json::from_str(&text).unwrap_or_default();
                }
            }
            let mut response = json_response(&body);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The URL as the action sees it.
fn url(headers: &HeaderMap, path: &str, query: Option<&str>) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let proto = HeaderName::from_static("x-forwarded-proto");
    let forwarded = || {
        let mut parts = text(header::FORWARDED)?.split([';', ',']);
        parts.find_map(|part| part.trim().strip_prefix("proto="))
    };
    let scheme = text(proto).or_else(forwarded).unwrap_or("http");
    let scheme = if scheme.eq_ignore_ascii_case("https") {
        "https"
    } else {
        "http"
    };
    let host = text(header::HOST).unwrap_or("localhost");
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{host}{path}{query}")
}

fn latin1_pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter().map(|(name, value)| {
        let value = value.as_bytes().iter().map(|byte| char::from(*byte));
        (name.as_str().to_owned(), value.collect())
    });
    pairs.collect()
}

/// Reads a body as fast as the action takes it.
pub(crate) fn forward(mut body: RequestBody) -> mpsc::Receiver<hull_functions::http_action::Chunk> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::spawn(async move {
        loop {
            let chunk = match body.next_piece().await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => return,
                Err(error) => Err(error.message.into()),
            };
            let is_last = chunk.is_err();
            // An action that does not want it has ended.
            if sender.send(chunk).await.is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

fn streamed(response: HttpResponse) -> Response<Body> {
    let mut headers = HeaderMap::new();
    for (name, value) in &response.headers {
        let bytes: Option<Vec<u8>> = value
            .chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        if let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) {
            headers.append(name, value);
        }
    }
    // How the response travels is between us and the client.
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
    let status = StatusCode::from_u16(response.status);
    let mut streamed = Response::new(Body::Right(ResponseStream::Action(response)));
    *streamed.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *streamed.headers_mut() = headers;
    streamed
}

/// The body of a response that is still being made.
#[derive(Debug)]
pub enum ResponseStream {
    /// Of an HTTP action; the whole of it, as dropping it tells the action.
    Action(HttpResponse),
    File(mpsc::Receiver<Result<Bytes, BodyCut>>),
}

impl hyper::body::Body for ResponseStream {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let body = match &mut *self {
            ResponseStream::Action(response) => &mut response.body,
            ResponseStream::File(body) => body,
        };
        let chunk = body.poll_recv(context);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
