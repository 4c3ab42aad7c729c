//! One connection, from upgrade to close.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use futures::FutureExt;
use tokio::time::Instant;

use hull_functions::{Identity, RequestOrigin, SessionRequest, Waker};
use hull_sync::{
    ClientVersion, Close, Effect, FunctionRequest, Now, Session, SessionConfig, UpdateRequest,
};
use hull_value::CodedError;

use crate::gateway::Gateway;
use crate::shutdown::ShutdownGuard;
use crate::ws::{Frame, Message, SocketError, WebSocket};

use super::convert;
use super::event::{Event, Sent, Sources};
use super::subscriptions::Subscriptions;

pub(super) struct Connection {
    gateway: Arc<Gateway>,
    /// Who the other end is, as functions are told.
    origin: Arc<RequestOrigin>,
    session: Session<Identity>,
    sources: Sources,
    /// `None` while an update computes them.
    subscriptions: Option<Subscriptions>,
    waker: Waker,
    /// Effects to carry out, in order.
    effects: VecDeque<Effect<Identity>>,
    opened: Instant,
    is_ping_queued: bool,
}

/// How a connection ends.
enum End {
    /// The server closes, after what is queued.
    Close(Close),
    /// The client closed, or broke the protocol: this frame is the answer.
    Answer(Frame),
    /// Nobody is there any more.
    Lost,
}

impl Connection {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        client: ClientVersion,
        origin: Arc<RequestOrigin>,
        socket: WebSocket<Sent>,
        mut shutdown: ShutdownGuard,
    ) -> Box<Connection> {
        let opened = Instant::now();
        let mut config =
            SessionConfig::new(client, Identity::Anonymous, gateway.deployment.latest_ts());
        config.redact_errors = gateway.deployment.config().redact_logs_to_client;
        let shutdown = Box::pin(async move { shutdown.requested().await });
        let sources = Sources::new(socket, shutdown);
        Box::new(Connection {
            session: Session::new(config, now(opened)),
            waker: sources.invalidation.waker(),
            sources,
            gateway,
            origin,
            subscriptions: Some(Subscriptions::default()),
            effects: VecDeque::new(),
            opened,
            is_ping_queued: false,
        })
    }

    /// Serves the connection until it ends; returns the socket when there is
    /// something left to tell the client. Boxed, because a future holds what it
    /// owns once per step, and thousands of these lie idle.
    pub(super) async fn run(mut self: Box<Self>) -> Option<WebSocket<Sent>> {
        loop {
            if let Some(end) = self.carry_out_effects() {
                return self.finish(end);
            }
            self.sources
                .wake_by(self.opened + self.session.next_deadline(now(self.opened)));
            let accepts_messages = self.session.accepts_frames();
            let event = poll_fn(|cx| self.sources.poll(accepts_messages, cx)).await;
            if let Some(end) = self.handle(event) {
                return self.finish(end);
            }
        }
    }

    /// Hands an event to the session.
    fn handle(&mut self, event: Event) -> Option<End> {
        let now = now(self.opened);
        let mut out = Vec::new();
        let mut end = None;
        match event {
            Event::Received(messages) => end = self.receive(messages, now, &mut out),
            Event::SocketFailed(SocketError::Protocol(error)) => {
                tracing::debug!("closing a sync socket: {error}");
                end = Some(End::Answer(Frame::close(Some(error.code), error.reason)));
            }
            Event::SocketFailed(SocketError::Io(_) | SocketError::Ended) => end = Some(End::Lost),
            Event::Written(frames) => {
                for sent in frames {
                    match sent {
                        Sent::Frame(kind) => self.session.frame_written(kind, now, &mut out),
                        Sent::Ping => self.is_ping_queued = false,
                    }
                }
            }
            Event::Invalidated => self.session.queries_invalidated(now, &mut out),
            Event::Updated(subscriptions, result) => {
                self.subscriptions = Some(subscriptions);
                match result {
                    Ok(result) => self.session.update_computed(result, now, &mut out),
                    Err(error) => self.session.update_failed(&error, &mut out),
                }
            }
            Event::MutationDone(request, outcome) => {
                self.session.mutation_done(request, outcome, now, &mut out)
            }
            Event::ActionDone(request, outcome) => {
                self.session.action_done(request, outcome, now, &mut out)
            }
            Event::Deadline => self.session.tick(now, &mut out),
            Event::Shutdown => self.session.shutdown(&mut out),
        }
        self.effects.extend(out);
        end
    }

    fn receive(
        &mut self,
        messages: Vec<Message>,
        now: Now,
        out: &mut Vec<Effect<Identity>>,
    ) -> Option<End> {
        let count = messages.len() as u64;
        self.gateway
            .metrics
            .socket_messages_received
            .fetch_add(count, Ordering::Relaxed);
        for message in messages {
            match message {
                Message::Text(text) => self.session.handle_frame(&text, now, out),
                Message::Binary => self.session.handle_binary_frame(now, out),
                Message::Ping(_) | Message::Pong => self.session.peer_alive(now),
                Message::Close(frame) => {
                    let code = frame.map(|frame| frame.code);
                    return Some(End::Answer(Frame::close(code, "")));
                }
            }
        }
        None
    }

    fn carry_out_effects(&mut self) -> Option<End> {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send(frame) => self.send(frame),
                Effect::WebSocketPing => {
                    if !self.is_ping_queued {
                        self.is_ping_queued = true;
                        self.sources.socket.queue(Frame::ping(), Some(Sent::Ping));
                    }
                }
                Effect::VerifyToken(token) => {
                    let verified = convert::verify(&self.gateway.authorizer, &token);
                    let mut out = Vec::new();
                    self.session
                        .token_verified(verified, now(self.opened), &mut out);
                    self.effects.extend(out);
                }
                Effect::Update(request) => self.start_update(request),
                Effect::StartMutation(request) => self.start_mutation(request),
                Effect::StartAction(request) => self.start_action(request),
                Effect::Close(close) => return Some(End::Close(close)),
            }
        }
        // An idle connection keeps no queue.
        self.effects = VecDeque::new();
        None
    }

    fn send(&mut self, frame: hull_sync::Frame) {
        let metrics = &self.gateway.metrics;
        metrics.socket_frames_sent.fetch_add(1, Ordering::Relaxed);
        metrics
            .socket_bytes_sent
            .fetch_add(frame.size_bytes() as u64, Ordering::Relaxed);
        let sent = Sent::Frame(frame.kind);
        self.sources
            .socket
            .queue(Frame::text(frame.parts), Some(sent));
    }

    fn start_update(&mut self, request: UpdateRequest<Identity>) {
        let mut subscriptions = self
            .subscriptions
            .take()
            .expect("invariant: a session has one update outstanding at most");
        let at_least = request.at_least;
        let deployment = Arc::clone(&self.gateway.deployment);
        subscriptions.apply(&deployment, request, &self.waker);
        self.sources.update = Some(Box::pin(async move {
            let result = subscriptions.evaluate(&deployment, at_least).await;
            (subscriptions, result)
        }));
    }

    fn start_mutation(&mut self, request: FunctionRequest<Identity>) {
        let deployment = Arc::clone(&self.gateway.deployment);
        let origin = self.origin.clone();
        self.sources.mutation = Some(Box::pin(async move {
            let call = convert::function_call(&request, &origin);
            let key = SessionRequest {
                session_id: request.session_id,
                request_id: request.request_id.0,
            };
            let outcome = deployment.mutation(call, Some(key)).await;
            let redact = deployment.config().redact_logs_to_client;
            (
                request.request_id,
                convert::mutation_outcome(outcome, request.function_request_id, redact),
            )
        }));
    }

    /// Actions run to their end even when the client goes away.
    fn start_action(&mut self, request: FunctionRequest<Identity>) {
        let deployment = Arc::clone(&self.gateway.deployment);
        let redact = deployment.config().redact_logs_to_client;
        let call = convert::function_call(&request, &self.origin);
        let task = tokio::spawn(async move { deployment.action(call).await });
        let FunctionRequest {
            request_id,
            function_request_id,
            ..
        } = request;
        let outcome = task.map(move |joined| {
            let outcome = joined.unwrap_or_else(|error| {
                Err(CodedError::internal(format!(
                    "an action's task ended early: {error}"
                )))
            });
            (
                request_id,
                convert::action_outcome(outcome, function_request_id, redact),
            )
        });
        self.sources.actions.push(Box::pin(outcome));
    }

    /// Ends live queries and running work now, not when the client has gone, and
    /// queues the frame that says goodbye.
    fn finish(self: Box<Self>, end: End) -> Option<WebSocket<Sent>> {
        let frame = match end {
            End::Lost => return None,
            End::Answer(frame) => frame,
            End::Close(close) => {
                tracing::debug!(code = close.code, "closing a sync socket: {}", close.detail);
                Frame::close(close.code, &close.reason)
            }
        };
        let Sources { mut socket, .. } = self.sources;
        socket.queue(frame, None);
        Some(socket)
    }
}

/// Reads both clocks.
fn now(opened: Instant) -> Now {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        elapsed: opened.elapsed(),
        unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
    }
}
