//! What a connection waits for, polled together.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, Sleep};

use hull_sync::{ActionOutcome, FrameKind, MutationOutcome, RequestId, UpdateResult};
use hull_value::CodedError;

use crate::ws::{Message, SocketError, WebSocket};

use super::invalidation::Invalidation;
use super::subscriptions::Subscriptions;

pub(super) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that happened to a connection.
pub(super) enum Event {
    Received(Vec<Message>),
    SocketFailed(SocketError),
    Written(Vec<Sent>),
    Invalidated,
    Updated(Subscriptions, Result<UpdateResult, CodedError>),
    MutationDone(RequestId, MutationOutcome),
    ActionDone(RequestId, ActionOutcome),
    Deadline,
    Shutdown,
}

/// What a written frame was, as far as anybody counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Frame(FrameKind),
    Ping,
}

/// Everything a connection waits for. Idle, it is a socket, a flag and a timer.
pub(super) struct Sources {
    pub(super) socket: WebSocket<Sent>,
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) update: Option<Task<(Subscriptions, Result<UpdateResult, CodedError>)>>,
    pub(super) mutation: Option<Task<(RequestId, MutationOutcome)>>,
    pub(super) actions: FuturesUnordered<Task<(RequestId, ActionOutcome)>>,
    pub(super) shutdown: Option<Task<()>>,
    timer: Pin<Box<Sleep>>,
}

impl Sources {
    pub(super) fn new(socket: WebSocket<Sent>, shutdown: Task<()>) -> Sources {
        Sources {
            socket,
            invalidation: Arc::default(),
            update: None,
            mutation: None,
            actions: FuturesUnordered::new(),
            shutdown: Some(shutdown),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Asks for [`Event::Deadline`] at `deadline`, or before: a timer that is set
    /// earlier is left alone, because most deadlines only ever move away.
    pub(super) fn wake_by(&mut self, deadline: Instant) {
        if self.timer.is_elapsed() || deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Waits for whatever happens first. Answers to the client come before new requests.
    pub(super) fn poll(&mut self, accepts_messages: bool, cx: &mut Context<'_>) -> Poll<Event> {
        let mut written = Vec::new();
        let flushed = self.socket.poll_flush(cx, &mut written);
        if let Poll::Ready(Err(error)) = flushed {
            return Poll::Ready(Event::SocketFailed(error.into()));
        }
        if !written.is_empty() {
            return Poll::Ready(Event::Written(written));
        }
        if let Some((request, outcome)) = poll_slot(&mut self.mutation, cx) {
            return Poll::Ready(Event::MutationDone(request, outcome));
        }
        if !self.actions.is_empty()
            && let Poll::Ready(Some((request, outcome))) = self.actions.poll_next_unpin(cx)
        {
            return Poll::Ready(Event::ActionDone(request, outcome));
        }
        if let Some((subscriptions, result)) = poll_slot(&mut self.update, cx) {
            return Poll::Ready(Event::Updated(subscriptions, result));
        }
        if self.invalidation.poll(cx).is_ready() {
            return Poll::Ready(Event::Invalidated);
        }
        if accepts_messages {
            let mut messages = Vec::new();
            match self.socket.poll_messages(cx, &mut messages) {
                Poll::Ready(Ok(())) if messages.is_empty() => cx.waker().wake_by_ref(),
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Received(messages)),
                Poll::Ready(Err(error)) if messages.is_empty() => {
                    return Poll::Ready(Event::SocketFailed(error));
                }
                // The error is reported again after these.
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Received(messages)),
                Poll::Pending => {}
            }
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Deadline);
        }
        if poll_slot(&mut self.shutdown, cx).is_some() {
            return Poll::Ready(Event::Shutdown);
        }
        Poll::Pending
    }
}

/// Polls what is in the slot, and empties it when that is done.
fn poll_slot<T>(slot: &mut Option<Task<T>>, cx: &mut Context<'_>) -> Option<T> {
    match slot.as_mut()?.as_mut().poll(cx) {
        Poll::Ready(output) => {
            *slot = None;
            Some(output)
        }
        Poll::Pending => None,
    }
}
