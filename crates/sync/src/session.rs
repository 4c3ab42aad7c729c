use std::time::Duration;

use hull_value::{CodedError, Timestamp};
use uuid::Uuid;

use crate::{
    client_version::ClientVersion,
    close::{self, Close},
    effect::{ActionOutcome, Effect, MutationOutcome, UpdateResult, VerifiedIdentity},
    frame::{Frame, FrameKind},
    json_text,
    limits::{FATAL_ERROR_BYTES_MAX, TRANSITION_CHUNK_BYTES},
    messages::{self, RequestId, StateVersion},
    now::Now,
};

mod auth;
mod authenticate;
mod inbox;
mod incoming;
mod liveness;
mod outbox;
mod query_set;
mod requests;
mod respond;
mod update;

use auth::Auth;
use inbox::Inbox;
use liveness::Liveness;
use outbox::Outbox;
use query_set::QuerySet;
use requests::Requests;
use update::Updates;

/// What a session has to know from the start.
#[derive(Clone, Debug)]
pub struct SessionConfig<I> {
    pub client: ClientVersion,
    /// The identity of a client without a token.
    pub anonymous: I,
    /// The latest committed timestamp when the socket was opened. A client that has seen a later one
    /// is sent away: data was lost.
    pub latest_ts: Timestamp,
    /// Whether clients see nothing of an error but its request id.
    pub redact_errors: bool,
    /// Size at which transitions are split, [`TRANSITION_CHUNK_BYTES`] outside of tests.
    pub transition_chunk_bytes: usize,
}

impl<I> SessionConfig<I> {
    pub fn new(client: ClientVersion, anonymous: I, latest_ts: Timestamp) -> Self {
        Self {
            client,
            anonymous,
            latest_ts,
            redact_errors: false,
            transition_chunk_bytes: TRANSITION_CHUNK_BYTES,
        }
    }
}

/// One connection of a client, from accept to close.
///
/// `I` is the identity under which functions run; a session only passes it on.
///
/// Each method takes an input and appends what has to be done to `out`. A message is fully handled,
/// token verification included, before the next; what arrives meanwhile waits in a bounded queue.
///
/// **When transitions are held back.** A transition that shows a mutation's writes should not reach
/// its author before the mutation's response: the optimistic update would flicker on top of the real
/// result. So while a mutation of this connection runs, no update is started and no computed one is
/// sent, but for at most 100 ms from its start, and again for at most 100 ms from the moment the
/// runner reports that it is about to commit ([`Session::mutation_committing`]). A computed update at
/// a timestamp that was committed before the mutation started is sent at once. When a mutation
/// ends, its response goes out first, then the update that was held, then the next update starts,
/// and only then the next mutation. So neither a slow mutation nor a stream of quick ones can starve
/// live queries; only a slow mutation whose runner does not report the commit can still flicker.
pub struct Session<I> {
    config: SessionConfig<I>,
    connected: Option<Connected>,
    /// Version of the last transition sent.
    current: StateVersion,
    /// Versions that the messages handled so far ask for.
    received: Received,
    auth: Auth<I>,
    queries: QuerySet,
    requests: Requests<I>,
    updates: Updates,
    inbox: Inbox,
    outbox: Outbox,
    liveness: Liveness,
    is_closed: bool,
}

/// What the `Connect` message told.
#[derive(Clone, Copy)]
struct Connected {
    session_id: Uuid,
    clock_skew_ms: Option<i64>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Received {
    query_set: u32,
    identity: u32,
}

impl<I: Clone> Session<I> {
    pub fn new(config: SessionConfig<I>, now: Now) -> Self {
        Self {
            auth: Auth::new(config.anonymous.clone(), now),
            config,
            connected: None,
            current: StateVersion::INITIAL,
            received: Received::default(),
            queries: QuerySet::default(),
            requests: Requests::new(),
            updates: Updates::default(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            liveness: Liveness::new(now),
            is_closed: false,
        }
    }

    /// Takes a text frame. Call only while [`Session::accepts_frames`].
    pub fn handle_frame(&mut self, text: &str, now: Now, out: &mut Vec<Effect<I>>) {
        if self.is_closed {
            return;
        }
        self.liveness.received(now);
        if !self.inbox.has_room() {
            let close = Close::with_code(
                close::TRY_AGAIN_LATER,
                close::TOO_MANY_CONCURRENT_REQUESTS,
                "frames pushed past the bound of the inbox",
            );
            return self.close(close, out);
        }
        if self.inbox.is_empty() && self.auth.verifying().is_none() {
            self.handle_text(text, now, out);
        } else {
            self.inbox.push_back(text.to_owned());
        }
        self.settle(now, out);
    }

    /// Takes a binary frame, which the protocol does not have.
    pub fn handle_binary_frame(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        self.liveness.received(now);
        self.fail(
            "Received Invalid JSON on websocket: binary frames are not supported",
            out,
        );
    }

    /// Notes a sign of life that is not a message: a pong or ping frame.
    pub fn peer_alive(&mut self, now: Now) {
        self.liveness.received(now);
    }

    /// Whether the transport may read and hand in another frame. Changes only with an input.
    pub fn accepts_frames(&self) -> bool {
        !self.is_closed && self.inbox.has_room()
    }

    /// Whether the session has closed; nothing has an effect any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns the version of the last transition handed out.
    pub fn version(&self) -> StateVersion {
        self.current
    }

    /// Returns the id of the client's session, once it has told it.
    pub fn session_id(&self) -> Option<Uuid> {
        self.connected.map(|connected| connected.session_id)
    }

    /// Takes the answer to [`Effect::VerifyToken`].
    pub fn token_verified(
        &mut self,
        result: Result<VerifiedIdentity<I>, CodedError>,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        if self.is_closed {
            return;
        }
        self.finish_verification(result, now, out);
        self.settle(now, out);
    }

    /// Notes that the running mutation has executed and is about to commit. Optional, see the type.
    pub fn mutation_committing(&mut self, request: RequestId, now: Now) {
        self.requests.committing(request, now);
    }

    /// Takes the answer to [`Effect::StartMutation`].
    pub fn mutation_done(
        &mut self,
        request: RequestId,
        outcome: MutationOutcome,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        if self.is_closed {
            return;
        }
        self.finish_mutation(request, outcome, now, out);
        self.settle(now, out);
    }

    /// Takes the answer to [`Effect::StartAction`].
    pub fn action_done(
        &mut self,
        request: RequestId,
        outcome: ActionOutcome,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        if self.is_closed {
            return;
        }
        self.finish_action(request, outcome, now, out);
        self.settle(now, out);
    }

    /// Notes that at least one subscribed query has changed, or may have, since the start of the
    /// last update.
    pub fn queries_invalidated(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        self.updates.invalidate();
        self.settle(now, out);
    }

    /// Takes the answer to [`Effect::Update`].
    pub fn update_computed(&mut self, result: UpdateResult, now: Now, out: &mut Vec<Effect<I>>) {
        if self.is_closed {
            return;
        }
        self.take_update(result, out);
        self.settle(now, out);
    }

    /// Takes the answer to [`Effect::Update`] when the server failed: ends the connection.
    pub fn update_failed(&mut self, error: &CodedError, out: &mut Vec<Effect<I>>) {
        self.close_with_error(error, out);
    }

    /// Notes that a frame has left the send queue of the transport.
    pub fn frame_written(&mut self, kind: FrameKind, now: Now, out: &mut Vec<Effect<I>>) {
        self.outbox.written(kind);
        self.settle(now, out);
    }

    /// Does what is due by time. Call at [`Session::next_deadline`] or later; calling often is fine.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        if self.is_closed {
            return;
        }
        if !self.inbox.has_room() {
            // Nothing is read now, so silence proves nothing.
            self.liveness.received(now);
        }
        self.updates.retry_if_due(now);
        let due = self.liveness.tick(now);
        if due.client_is_silent {
            let close = Close::with_code(
                close::NORMAL,
                close::CLIENT_DISCONNECTED,
                "client is silent",
            );
            return self.close(close, out);
        }
        let deadlines = [
            self.requests.mutation_deadline(),
            self.verification_deadline(),
        ];
        if deadlines
            .into_iter()
            .flatten()
            .any(|deadline| now.elapsed >= deadline)
        {
            let detail = "a mutation or token verification took too long";
            let close = Close::with_code(close::TRY_AGAIN_LATER, close::SYSTEM_TIMEOUT, detail);
            return self.close(close, out);
        }
        if due.web_socket_ping {
            out.push(Effect::WebSocketPing);
        }
        // A reader that does not even take what is queued needs no ping behind it.
        if due.ping && self.outbox.is_empty() {
            self.send(messages::ping(), now, out);
        }
        self.settle(now, out);
    }

    /// Returns the next moment ([`Now::elapsed`]) at which [`Session::tick`] has something to do.
    pub fn next_deadline(&self, now: Now) -> Duration {
        let others = [
            self.requests.mutation_deadline(),
            self.verification_deadline(),
            self.updates.retry_at(),
            self.requests.hold_until(now),
        ];
        others
            .into_iter()
            .flatten()
            .fold(self.liveness.next_deadline(), Duration::min)
    }

    /// Sends the client away because the server stops; it comes back in about a second.
    pub fn shutdown(&mut self, out: &mut Vec<Effect<I>>) {
        self.close(Close::internal("server shutdown"), out);
    }

    /// Starts what can start now; the end of every input.
    fn settle(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        self.drain_inbox(now, out);
        self.answer_refused_mutations(now, out);
        self.advance_update(now, out);
        self.start_mutation(now, out);
    }

    fn verification_deadline(&self) -> Option<Duration> {
        Some(self.auth.verifying()?.deadline())
    }

    fn send(&mut self, frame: Frame, now: Now, out: &mut Vec<Effect<I>>) {
        self.liveness.sent(now);
        self.outbox.pushed(frame.kind);
        out.push(Effect::Send(frame));
    }

    /// Ends the connection by a mistake of the client that will not go away by itself.
    fn fail(&mut self, error: &str, out: &mut Vec<Effect<I>>) {
        if self.is_closed {
            return;
        }
        // A parser's text may quote what the client sent, whatever its size.
        let error = json_text::prefix(error, FATAL_ERROR_BYTES_MAX);
        out.push(Effect::Send(messages::fatal_error(error)));
        self.close(Close::silent(error), out);
    }

    /// Ends the connection because of its identity. `AuthError` names the identity of the last
    /// transition *sent*: a client ignores errors about identities it has replaced since.
    fn fail_auth(&mut self, error: &str, update_attempted: bool, out: &mut Vec<Effect<I>>) {
        let frame = messages::auth_error(error, self.current.identity, update_attempted);
        out.push(Effect::Send(frame));
        self.close(Close::silent(error), out);
    }

    fn close_with_error(&mut self, error: &CodedError, out: &mut Vec<Effect<I>>) {
        let (fatal, close) = close::close_for_error(error);
        if self.is_closed {
            return;
        }
        if let Some(text) = fatal {
            out.push(Effect::Send(messages::fatal_error(&text)));
        }
        self.close(close, out);
    }

    fn close(&mut self, close: Close, out: &mut Vec<Effect<I>>) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.auth.end();
        self.queries.clear();
        self.requests.clear();
        self.updates = Updates::default();
        self.inbox.clear();
        out.push(Effect::Close(close));
    }
}
