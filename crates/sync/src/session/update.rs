//! Transitions: when one is due, starting its computation, sending it.

use std::{collections::BTreeMap, time::Duration};

use hull_value::Timestamp;

use super::{
    Received, Session,
    auth::{Purpose, Standing},
    query_set::{BatchChanges, Caller},
};
use crate::{
    chunks,
    close::Close,
    effect::{Effect, UpdateRequest, UpdateResult},
    frame::{Frame, FrameKind},
    limits::DEFERRED_RETRY,
    messages::{self, QueryId, StateModification, StateVersion, TransitionHeader},
    now::Now,
};

/// What asks for the next transition, and the one that is being computed.
#[derive(Default)]
pub(super) struct Updates {
    /// A query may have changed since the last update started.
    is_dirty: bool,
    /// A response was sent: a transition at or past this timestamp has to follow.
    owed: Option<Timestamp>,
    /// Highest commit timestamp among the responses sent.
    last_commit: Timestamp,
    /// Some queries were left out; try again at this time.
    retry_at: Option<Duration>,
    in_flight: Option<InFlight>,
    /// Identity version that the subscriptions were made under.
    subscribed_identity: u32,
}

/// The one update under way, with the versions that the client will reach by it.
struct InFlight {
    target: Received,
    changes: BatchChanges,
    at_least: Timestamp,
    /// Computed, but held back while a mutation runs.
    computed: Option<UpdateResult>,
}

impl Updates {
    pub(super) fn invalidate(&mut self) {
        self.is_dirty = true;
    }

    pub(super) fn owe(&mut self, ts: Timestamp) {
        self.owed = self.owed.max(Some(ts));
        self.last_commit = self.last_commit.max(ts);
    }

    pub(super) fn last_commit(&self) -> Timestamp {
        self.last_commit
    }

    fn computed_ts(&self) -> Option<Timestamp> {
        Some(self.in_flight.as_ref()?.computed.as_ref()?.ts)
    }

    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    pub(super) fn retry_if_due(&mut self, now: Now) {
        if self
            .retry_at
            .is_some_and(|retry_at| now.elapsed >= retry_at)
        {
            self.retry_at = None;
            self.is_dirty = true;
        }
    }
}

impl<I: Clone> Session<I> {
    /// Sends the computed update and starts the next one, as far as both may happen now.
    pub(super) fn advance_update(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        if self.is_closed || self.connected.is_none() {
            return;
        }
        let computed_ts = self.updates.computed_ts();
        if computed_ts.is_some_and(|ts| self.requests.lets_pass(ts, now))
            && let Some(update) = self.updates.in_flight.take()
        {
            self.finish_update(update, now, out);
        }
        let is_held = self.requests.hold_until(now).is_some();
        if !self.is_closed
            && !is_held
            && self.update_may_start(now)
            && self.require_standing(now, out)
        {
            self.start_update(out);
        }
    }

    fn update_may_start(&self, now: Now) -> bool {
        if self.updates.in_flight.is_some() || !self.outbox.takes_transition() {
            return false;
        }
        // A client that just sent its next token is not told that the last one has expired.
        let waits_for_token =
            self.auth
                .verifying()
                .is_some_and(|verifying| match verifying.purpose {
                    Purpose::Revalidate => true,
                    Purpose::Update { .. } => self.auth.standing(now) != Standing::Good,
                });
        !waits_for_token && self.update_is_due()
    }

    fn update_is_due(&self) -> bool {
        let updates = &self.updates;
        updates.is_dirty
            || updates.owed.is_some()
            || self.queries.has_pending()
            || self.received.query_set != self.current.query_set
            || self.received.identity != self.current.identity
    }

    fn start_update(&mut self, out: &mut Vec<Effect<I>>) {
        let caller = Caller {
            session_id: self
                .session_id()
                .expect("invariant: updates start after Connect"),
            is_admin: self.auth.is_admin(),
            redact_errors: self.config.redact_errors,
            identity_changed: self.received.identity != self.updates.subscribed_identity,
        };
        let batch = match self.queries.begin_update(&caller) {
            Ok(Ok(batch)) => batch,
            Ok(Err(overflow)) => return self.refuse_queries(&overflow, out),
            Err(detail) => return self.close(Close::internal(detail), out),
        };
        let at_least = self
            .updates
            .owed
            .unwrap_or(Timestamp(0))
            .max(self.current.ts);
        self.updates.is_dirty = false;
        self.updates.retry_at = None;
        self.updates.subscribed_identity = self.received.identity;
        self.updates.in_flight = Some(InFlight {
            target: self.received,
            changes: batch.changes,
            at_least,
            computed: None,
        });
        out.push(Effect::Update(UpdateRequest {
            identity: self.auth.identity(),
            unsubscribe: batch.unsubscribe,
            subscribe: batch.subscribe,
            at_least,
        }));
    }

    /// Keeps the result until it may be sent.
    pub(super) fn take_update(&mut self, result: UpdateResult, out: &mut Vec<Effect<I>>) {
        let detail = match &mut self.updates.in_flight {
            Some(update) if update.computed.is_none() && result.ts >= update.at_least => {
                update.computed = Some(result);
                return;
            }
            Some(update) if update.computed.is_none() => {
                format!(
                    "an update at {} was to be at {} or later",
                    result.ts, update.at_least
                )
            }
            _ => "an update was computed that nobody asked for".to_owned(),
        };
        self.close(Close::internal(detail), out);
    }

    fn finish_update(&mut self, update: InFlight, now: Now, out: &mut Vec<Effect<I>>) {
        let Some(result) = update.computed else {
            return;
        };
        let ts = result.ts;
        if !result.deferred.is_empty() {
            self.updates.retry_at = Some(now.elapsed + DEFERRED_RETRY);
        }
        let modifications = match self.queries.finish_update(update.changes, result) {
            Ok(modifications) => modifications,
            Err(detail) => return self.close(Close::internal(detail), out),
        };
        let end = StateVersion {
            query_set: update.target.query_set,
            identity: update.target.identity,
            ts,
        };
        let pays = self.updates.owed.is_some_and(|owed| owed <= ts);
        if pays {
            self.updates.owed = None;
        }
        let same_versions =
            (end.query_set, end.identity) == (self.current.query_set, self.current.identity);
        if modifications.is_empty() && same_versions && !pays {
            // Nobody would notice: thousands of sessions are spared a write.
            return;
        }
        self.send_transition(end, &modifications, now, out);
    }

    fn send_transition(
        &mut self,
        end: StateVersion,
        modifications: &BTreeMap<QueryId, StateModification>,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        assert!(
            end.ts >= self.current.ts,
            "invariant: an update starts at the last transition's ts"
        );
        let skew = self.connected.and_then(|connected| connected.clock_skew_ms);
        let header = TransitionHeader {
            start: self.current,
            end,
            clocks: skew.map(|skew_ms| (skew_ms, now.unix_ns_signed())),
        };
        self.current = end;
        let ordered = || {
            modifications
                .iter()
                .map(|(id, modification)| (*id, modification))
        };
        let frame = Frame {
            kind: FrameKind::Transition,
            parts: messages::transition_parts(&header, ordered()),
        };
        let chunk_bytes = self.config.transition_chunk_bytes;
        if frame.size_bytes() <= chunk_bytes || !self.config.client.supports_transition_chunks() {
            return self.send(frame, now, out);
        }
        for chunk in chunks::transition_chunks(&header, ordered(), chunk_bytes) {
            self.send(chunk, now, out);
        }
    }
}
