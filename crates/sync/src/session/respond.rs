//! Starting mutations and answering mutations and actions.

use hull_value::{CodedError, ErrorClass, Timestamp};

use super::Session;
use crate::{
    close::Close,
    effect::{ActionOutcome, Completed, Effect, MutationOutcome},
    function_request_id::FunctionRequestId,
    messages::{self, RequestId},
    now::Now,
    query_result::FunctionFailure,
};

impl<I: Clone> Session<I> {
    /// Starts the next mutation, unless one is running or the client does not read its responses.
    pub(super) fn start_mutation(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        if self.is_closed || !self.outbox.takes_mutation() {
            return;
        }
        let started_after = self.updates.last_commit().max(self.current.ts);
        if let Some(request) = self.requests.start_next(started_after, now) {
            out.push(Effect::StartMutation(request));
        }
    }

    /// Answers mutations at the head of the queue that do not run.
    pub(super) fn answer_refused_mutations(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        while !self.is_closed
            && self.outbox.takes_mutation()
            && let Some((request, completed)) = self.requests.pop_refused()
        {
            self.answer_mutation(request, None, &completed, now, out);
        }
    }

    pub(super) fn finish_mutation(
        &mut self,
        request: RequestId,
        outcome: MutationOutcome,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        if !self.requests.finish_mutation(request) {
            let detail = format!("mutation {} is done but was not running", request.0);
            return self.close(Close::internal(detail), out);
        }
        let (ts, completed) = match outcome {
            MutationOutcome::Committed {
                ts,
                value,
                log_lines,
            } => (
                Some(ts),
                Completed {
                    result: Ok(value),
                    log_lines,
                },
            ),
            MutationOutcome::Failed { failure, log_lines } => (
                None,
                Completed {
                    result: Err(failure),
                    log_lines,
                },
            ),
            MutationOutcome::Error(error) => match self.answer_to_error(request, &error) {
                Some(completed) => (None, completed),
                None => return self.close_with_error(&error, out),
            },
        };
        self.answer_mutation(request, ts, &completed, now, out);
    }

    pub(super) fn finish_action(
        &mut self,
        request: RequestId,
        outcome: ActionOutcome,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        if !self.requests.is_action(request) {
            let detail = format!("action {} is done but was not running", request.0);
            return self.close(Close::internal(detail), out);
        }
        let completed = match outcome {
            ActionOutcome::Completed(completed) => completed,
            ActionOutcome::Error(error) => match self.answer_to_error(request, &error) {
                Some(completed) => completed,
                None => return self.close_with_error(&error, out),
            },
        };
        self.answer_action(request, &completed, now, out);
    }

    /// Sends a mutation's response. A transition at or past its commit is owed from now on; after a
    /// failure any transition, which is what ends the wait of the Rust and Python clients.
    fn answer_mutation(
        &mut self,
        request: RequestId,
        ts: Option<Timestamp>,
        completed: &Completed,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        self.send(
            messages::mutation_response(request, ts, completed),
            now,
            out,
        );
        self.updates.owe(ts.unwrap_or(Timestamp(0)));
    }

    pub(super) fn answer_action(
        &mut self,
        request: RequestId,
        completed: &Completed,
        now: Now,
        out: &mut Vec<Effect<I>>,
    ) {
        self.requests.finish_action(request);
        self.send(messages::action_response(request, completed), now, out);
        self.updates.owe(Timestamp(0));
    }

    /// Returns the answer to an error that a replay would meet again. Anything else ends the
    /// connection, and the client replays.
    fn answer_to_error(&self, request: RequestId, error: &CodedError) -> Option<Completed> {
        let is_deterministic = match error.class {
            ErrorClass::BadRequest
            | ErrorClass::PaginationLimit
            | ErrorClass::Unauthenticated
            | ErrorClass::Forbidden
            | ErrorClass::NotFound
            | ErrorClass::Conflict => true,
            ErrorClass::ClientDisconnect
            | ErrorClass::RateLimited
            | ErrorClass::Occ
            | ErrorClass::Overloaded
            | ErrorClass::OutOfRetention
            | ErrorClass::FeatureUnavailable
            | ErrorClass::RejectedBeforeExecution
            | ErrorClass::Internal => false,
        };
        let session_id = self.session_id().filter(|_| is_deterministic)?;
        let mut data = None;
        if let Some(packed) = &error.data {
            let mut encoded = Vec::new();
            hull_value::json::encode(packed.as_ref(), &mut encoded);
            data = Some(encoded.into());
        }
        Some(Completed {
            result: Err(FunctionFailure {
                request_id: FunctionRequestId::for_request(session_id, request),
                message: (!self.config.redact_errors).then(|| error.message.clone()),
                data,
            }),
            log_lines: Vec::new(),
        })
    }
}
