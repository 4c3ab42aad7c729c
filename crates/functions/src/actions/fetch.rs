//! `fetch`: requests of actions to the world (function runtime spec 5).

use std::error::Error;

use hull_js::ops::{OpError, OpValue};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Body, Client, Method};
use tokio::sync::mpsc;

use super::host::plain_error;
use super::streams::Streams;
use crate::http_action::Chunk;

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 20;
const USER_AGENT: &str = "Convex/1.0";

/// Clients with the two ways to take redirects; they share nothing but are cheap.
pub(super) struct HttpClient {
    following: Client,
    standing: Client,
}

impl HttpClient {
    pub(super) fn new() -> reqwest::Result<HttpClient> {
        // Another client in this process may have chosen one: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |policy: Policy| Client::builder().redirect(policy).build();
        Ok(HttpClient {
            following: client(Policy::custom(follow))?,
            standing: client(Policy::none())?,
        })
    }

    pub(super) async fn fetch(
        &self,
        streams: &Streams,
        args: Vec<OpValue>,
    ) -> Result<OpValue, OpError> {
        let [
            OpValue::String(method),
            OpValue::String(url),
            OpValue::List(headers),
            OpValue::String(redirect),
            bytes,
            stream,
        ] = &args[..]
        else {
            return Err(plain_error("fetch: unexpected arguments"));
        };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| plain_error(format!("fetch: invalid method {method}")))?;
        let client = match &**redirect {
            "follow" => &self.following,
            _ => &self.standing,
        };
        let mut request = client.request(method, url).headers(header_map(headers)?);
        match (bytes, stream) {
            (OpValue::Bytes(bytes), _) => request = request.body(bytes.clone()),
            (_, OpValue::Number(stream)) => {
                let chunks = streams.take_outgoing(*stream as u64)?;
                request = request.body(Body::wrap_stream(received(chunks)));
            }
            _ => {}
        }
        let response = request
            .send()
            .await
            .map_err(|error| plain_error(error_text(&error)))?;
        let is_redirect = response.status().is_redirection();
        if redirect == "error" && is_redirect && response.headers().contains_key(LOCATION) {
            return Err(plain_error("fetch attempted redirect"));
        }
        head(streams, response, url)
    }
}

/// Follows a redirect, unless there were too many.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("fetch too many redirects")
    } else {
        attempt.follow()
    }
}

fn received(mut chunks: mpsc::Receiver<Chunk>) -> impl futures::Stream<Item = Chunk> {
    futures::stream::poll_fn(move |context| chunks.poll_recv(context))
}

fn header_map(pairs: &[OpValue]) -> Result<HeaderMap, OpError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        reqwest::header::USER_AGENT,
        HeaderValue::from_static(USER_AGENT),
    );
    let mut has_own_agent = false;
    for pair in pairs {
        let OpValue::List(pair) = pair else { continue };
        let [OpValue::String(name), OpValue::String(value)] = &pair[..] else {
            continue;
        };
        let invalid = || plain_error(format!("fetch: invalid header {name}"));
        let header: HeaderName = name.parse().map_err(|_| invalid())?;
        // Header values are bytes, which JavaScript holds as Latin-1.
        let bytes: Option<Vec<u8>> = value
            .chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect();
        let value = HeaderValue::from_bytes(&bytes.ok_or_else(invalid)?).map_err(|_| invalid())?;
        if header == reqwest::header::USER_AGENT && !std::mem::replace(&mut has_own_agent, true) {
            headers.insert(header, value);
        } else {
            headers.append(header, value);
        }
    }
    Ok(headers)
}

/// What the script makes a `Response` of.
fn head(
    streams: &Streams,
    response: reqwest::Response,
    asked_url: &str,
) -> Result<OpValue, OpError> {
    let text = |text: &str| OpValue::String(text.to_owned());
    let status = response.status();
    let url = response.url().to_string();
    let headers = response.headers().iter().map(|(name, value)| {
        let value: String = value
            .as_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .collect();
        OpValue::List(vec![text(name.as_str()), OpValue::String(value)])
    });
    let headers = OpValue::List(headers.collect());
    let is_redirected = url != asked_url;
    let has_body = !matches!(status.as_u16(), 101 | 204 | 205 | 304);
    let stream = match has_body {
        true => streams.add_response(response)?,
        false => OpValue::Null,
    };
    Ok(OpValue::List(vec![
        OpValue::Number(f64::from(status.as_u16())),
        text(status.canonical_reason().unwrap_or_default()),
        OpValue::String(url),
        OpValue::Bool(is_redirected),
        headers,
        stream,
    ]))
}

/// An error with what caused it: the outermost text alone says little.
pub(super) fn error_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
