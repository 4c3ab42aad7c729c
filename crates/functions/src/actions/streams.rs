//! The bodies an action sends and receives, chunk by chunk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hull_js::ops::{OpError, OpValue};
use tokio::sync::mpsc;

use super::fetch::error_text;
use super::host::plain_error;
use crate::http_action::Chunk;

/// Chunks of a body that wait to be sent; past this writing waits.
const CHUNKS_MAX: usize = 4;
/// Streams one action may have open at a time.
const STREAMS_MAX: usize = 1_024;

/// The open streams of one action, by their numbers.
#[derive(Default)]
pub(super) struct Streams {
    open: Mutex<HashMap<u64, Stream>>,
    last: AtomicU64,
}

enum Stream {
    /// Written by the action.
    Outgoing(mpsc::Sender<Chunk>),
    /// The other end of it, until a request takes it.
    Unsent(mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>),
    Incoming(Arc<tokio::sync::Mutex<Incoming>>),
}

/// A body that the action reads.
enum Incoming {
    Response(reqwest::Response),
    Request(mpsc::Receiver<Chunk>),
}

impl Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, OpError> {
        match self {
            Incoming::Response(response) => {
                let chunk = response.chunk().await;
                chunk.map_err(|error| plain_error(error_text(&error)))
            }
            Incoming::Request(chunks) => {
                let chunk = chunks.recv().await.transpose();
                chunk.map_err(|error| plain_error(error.to_string()))
            }
        }
    }
}

impl Streams {
    /// Opens a stream that the action writes and a request sends.
    pub(super) fn open(&self) -> Result<OpValue, OpError> {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        let number = self.add(Stream::Unsent(sender, receiver))?;
        Ok(OpValue::Number(number as f64))
    }

    pub(super) fn add_response(&self, response: reqwest::Response) -> Result<OpValue, OpError> {
        self.add_incoming(Incoming::Response(response))
            .map(|number| OpValue::Number(number as f64))
    }

    pub(super) fn add_body(&self, body: mpsc::Receiver<Chunk>) -> Result<u64, OpError> {
        self.add_incoming(Incoming::Request(body))
    }

    fn add_incoming(&self, incoming: Incoming) -> Result<u64, OpError> {
        self.add(Stream::Incoming(Arc::new(tokio::sync::Mutex::new(
            incoming,
        ))))
    }

    fn add(&self, stream: Stream) -> Result<u64, OpError> {
        let mut open = self.lock();
        if open.len() >= STREAMS_MAX {
            return Err(plain_error(format!(
                "Too many open streams (limit: {STREAMS_MAX}): read or cancel the bodies of responses."
            )));
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        open.insert(number, stream);
        Ok(number)
    }

    /// Takes the end that a request sends.
    pub(super) fn take_outgoing(&self, number: u64) -> Result<mpsc::Receiver<Chunk>, OpError> {
        let mut open = self.lock();
        match open.remove(&number) {
            Some(Stream::Unsent(sender, receiver)) => {
                open.insert(number, Stream::Outgoing(sender));
                Ok(receiver)
            }
            Some(other) => {
                open.insert(number, other);
                Err(no_stream())
            }
            None => Err(no_stream()),
        }
    }

    fn sender(&self, number: u64) -> Result<mpsc::Sender<Chunk>, OpError> {
        match self.lock().get(&number) {
            Some(Stream::Outgoing(sender) | Stream::Unsent(sender, _)) => Ok(sender.clone()),
            _ => Err(no_stream()),
        }
    }

    pub(super) async fn write(&self, number: u64, bytes: &[u8]) -> Result<OpValue, OpError> {
        let sender = self.sender(number)?;
        let chunk = Ok(Bytes::copy_from_slice(bytes));
        match sender.send(chunk).await {
            Ok(()) => Ok(OpValue::Undefined),
            Err(_) => Err(plain_error("The request was ended before its body")),
        }
    }

    pub(super) fn close(&self, number: u64) -> Result<OpValue, OpError> {
        self.lock().remove(&number);
        Ok(OpValue::Undefined)
    }

    /// Fails the request whose body this is.
    pub(super) async fn abort(&self, number: u64) -> Result<OpValue, OpError> {
        if let Ok(sender) = self.sender(number) {
            // A request that is over needs no failing.
            let _ = sender.send(Err("the body could not be read".into())).await;
        }
        self.close(number)
    }

    pub(super) async fn read(&self, number: u64) -> Result<OpValue, OpError> {
        let incoming = match self.lock().get(&number) {
            Some(Stream::Incoming(incoming)) => incoming.clone(),
            _ => return Err(no_stream()),
        };
        let chunk = incoming.lock().await.next().await;
        match chunk {
            Ok(Some(bytes)) => Ok(OpValue::Bytes(bytes.to_vec())),
            Ok(None) => {
                self.lock().remove(&number);
                Ok(OpValue::Null)
            }
            Err(error) => {
                self.lock().remove(&number);
                Err(error)
            }
        }
    }

    pub(super) fn cancel(&self, number: u64) -> Result<OpValue, OpError> {
        self.close(number)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Stream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_stream() -> OpError {
    plain_error("There is no such stream")
}
