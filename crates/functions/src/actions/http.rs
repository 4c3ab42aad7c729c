//! The response of an HTTP action, piece by piece.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hull_js::ops::{OpError, OpValue};
use tokio::sync::{mpsc, oneshot, watch};

use super::host::plain_error;
use crate::http_action::BodyCut;

/// Largest response (function runtime spec 4).
const RESPONSE_SIZE_MAX: usize = 20 << 20;

/// Status and headers.
pub(crate) type Head = (u16, Vec<(String, String)>);

/// The way from an HTTP action to its client.
pub(crate) struct Exchange {
    head: Mutex<Option<oneshot::Sender<Head>>>,
    body: mpsc::Sender<Result<Bytes, BodyCut>>,
    sent_bytes: AtomicUsize,
    is_too_large: AtomicBool,
    aborted: watch::Receiver<bool>,
}

impl Exchange {
    pub(crate) fn new(
        head: oneshot::Sender<Head>,
        body: mpsc::Sender<Result<Bytes, BodyCut>>,
        aborted: watch::Receiver<bool>,
    ) -> Exchange {
        Exchange {
            head: Mutex::new(Some(head)),
            body,
            sent_bytes: AtomicUsize::new(0),
            is_too_large: AtomicBool::new(false),
            aborted,
        }
    }

    /// Whether the response was cut.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_too_large.load(Ordering::Relaxed)
    }

    pub(super) fn send_head(&self, status: f64, pairs: &[OpValue]) -> Result<OpValue, OpError> {
        let headers = pairs.iter().filter_map(|pair| match pair {
            OpValue::List(pair) => match &pair[..] {
                [OpValue::String(name), OpValue::String(value)] => {
                    Some((name.clone(), value.clone()))
                }
                _ => None,
            },
            _ => None,
        });
        let head = self
            .head
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(head) = head {
            // A client that has gone away is noticed with the body.
            let _ = head.send((status as u16, headers.collect()));
        }
        Ok(OpValue::Undefined)
    }

    pub(super) async fn send_body(&self, bytes: &[u8]) -> Result<OpValue, OpError> {
        let sent = self.sent_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let left = RESPONSE_SIZE_MAX.saturating_sub(sent);
        let chunk = Bytes::copy_from_slice(&bytes[..bytes.len().min(left)]);
        if chunk.len() < bytes.len() {
            self.is_too_large.store(true, Ordering::Relaxed);
        }
        if !chunk.is_empty() && self.body.send(Ok(chunk)).await.is_err() {
            return Err(plain_error("The client has gone away"));
        }
        match self.is_too_large() {
            true => Err(plain_error("The response is too large")),
            false => Ok(OpValue::Undefined),
        }
    }

    /// Returns once the client has gone away.
    pub(super) async fn wait_until_aborted(&self) -> Result<OpValue, OpError> {
        let mut aborted = self.aborted.clone();
        // The sender goes only after it has said so.
        let _ = aborted.wait_for(|is_aborted| *is_aborted).await;
        Ok(OpValue::Undefined)
    }
}
