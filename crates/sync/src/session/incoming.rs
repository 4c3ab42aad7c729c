//! Messages from the client, one at a time and in order.

use std::sync::Arc;

use hull_value::Timestamp;
use uuid::Uuid;

use super::{Connected, Session, query_set::Overflow, requests::QueuedMutation};
use crate::{
    access::{self, FunctionKind},
    close::{self, Close},
    effect::{Completed, Effect, FunctionRequest},
    function_request_id::FunctionRequestId,
    limits::QUERIES_MAX,
    messages::{ClientMessage, Modification, RequestId},
    now::Now,
    query_result::FunctionFailure,
};

/// A mutation or action as it came.
struct Call {
    kind: FunctionKind,
    request_id: RequestId,
    udf_path: String,
    component_path: Option<String>,
    args: Arc<str>,
}

impl<I: Clone> Session<I> {
    /// Handles waiting frames until one has to wait itself.
    pub(super) fn drain_inbox(&mut self, now: Now, out: &mut Vec<Effect<I>>) {
        while self.auth.verifying().is_none()
            && let Some(text) = self.inbox.pop_front()
        {
            self.handle_text(&text, now, out);
        }
    }

    pub(super) fn handle_text(&mut self, text: &str, now: Now, out: &mut Vec<Effect<I>>) {
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(error) => return self.fail(&error.to_string(), out),
        };
        let is_connect = matches!(message, ClientMessage::Connect { .. });
        let is_event = matches!(message, ClientMessage::Event);
        if !is_event && is_connect == self.connected.is_some() {
            let expected = match is_connect {
                true => "Connect may only be the first message",
                false => "the first message must be Connect",
            };
            return self.fail(expected, out);
        }
        let is_call = matches!(
            message,
            ClientMessage::Mutation { .. } | ClientMessage::Action { .. }
        );
        if is_call && !self.require_standing(now, out) {
            if !self.is_closed {
                self.inbox.push_front(text.to_owned());
            }
            return;
        }
        self.handle_message(message, now, out);
    }

    fn handle_message(&mut self, message: ClientMessage, now: Now, out: &mut Vec<Effect<I>>) {
        match message {
            ClientMessage::Connect {
                session_id,
                max_observed_timestamp,
                client_ts_ms,
                ..
            } => {
                let skew = client_ts_ms.map(|client| client.saturating_sub(now.unix_ms()));
                self.connect(session_id, max_observed_timestamp, skew, out);
            }
            ClientMessage::Authenticate {
                base_version,
                token,
            } => {
                self.authenticate(base_version, token, now, out);
            }
            ClientMessage::ModifyQuerySet {
                base_version,
                new_version,
                modifications,
            } => self.modify_query_set(base_version, new_version, modifications, out),
            ClientMessage::Mutation {
                request_id,
                udf_path,
                component_path,
                args,
            } => {
                let kind = FunctionKind::Mutation;
                self.queue_mutation(
                    Call {
                        kind,
                        request_id,
                        udf_path,
                        component_path,
                        args,
                    },
                    out,
                );
            }
            ClientMessage::Action {
                request_id,
                udf_path,
                component_path,
                args,
            } => {
                let kind = FunctionKind::Action;
                self.start_action(
                    Call {
                        kind,
                        request_id,
                        udf_path,
                        component_path,
                        args,
                    },
                    now,
                    out,
                );
            }
            ClientMessage::Event => {}
        }
    }

    fn connect(
        &mut self,
        session_id: Uuid,
        max_observed: Option<Timestamp>,
        clock_skew_ms: Option<i64>,
        out: &mut Vec<Effect<I>>,
    ) {
        if let Some(observed) = max_observed.filter(|&ts| ts > self.config.latest_ts) {
            let latest = self.config.latest_ts;
            let detail =
                format!("client has observed timestamp {observed}, the latest is {latest}");
            return self.close(Close::internal(detail), out);
        }
        self.connected = Some(Connected {
            session_id,
            clock_skew_ms,
        });
    }

    fn modify_query_set(
        &mut self,
        base_version: u32,
        new_version: u32,
        modifications: Vec<Modification>,
        out: &mut Vec<Effect<I>>,
    ) {
        let current = self.received.query_set;
        if base_version != current {
            let error = format!(
                "Base version {base_version} passed up doesn't match the current version {current}"
            );
            return self.fail(&error, out);
        }
        if new_version <= base_version {
            let error = format!(
                "New version {new_version} is not greater than base version {base_version}"
            );
            return self.fail(&error, out);
        }
        if let Err(overflow) = self.queries.push(modifications) {
            return self.refuse_queries(&overflow, out);
        }
        self.received.query_set = new_version;
    }

    pub(super) fn refuse_queries(&mut self, overflow: &Overflow, out: &mut Vec<Effect<I>>) {
        match overflow {
            Overflow::Pending => {
                let reason = close::TOO_MANY_CONCURRENT_REQUESTS;
                let detail = "too many query set modifications wait, or too large ones";
                self.close(
                    Close::with_code(close::TRY_AGAIN_LATER, reason, detail),
                    out,
                );
            }
            Overflow::Queries => {
                let error = format!("Too many queries on one connection (maximum {QUERIES_MAX})");
                self.fail(&error, out);
            }
        }
    }

    fn queue_mutation(&mut self, call: Call, out: &mut Vec<Effect<I>>) {
        if !self.requests.takes_mutation() {
            let reason = close::TOO_MANY_CONCURRENT_MUTATIONS;
            let detail = "too many mutations wait, or too large ones";
            return self.close(
                Close::with_code(close::TRY_AGAIN_LATER, reason, detail),
                out,
            );
        }
        let request_id = call.request_id;
        self.requests.queue(match self.prepare(call) {
            Ok(request) => QueuedMutation::Run(request),
            Err(refusal) => QueuedMutation::Refused(request_id, refusal),
        });
    }

    fn start_action(&mut self, call: Call, now: Now, out: &mut Vec<Effect<I>>) {
        let request_id = call.request_id;
        if !self
            .requests
            .start_action(request_id, self.outbox.action_responses())
        {
            let reason = close::TOO_MANY_INFLIGHT_ACTIONS;
            let detail = "too many actions in flight";
            return self.close(
                Close::with_code(close::TRY_AGAIN_LATER, reason, detail),
                out,
            );
        }
        match self.prepare(call) {
            Ok(request) => out.push(Effect::StartAction(request)),
            Err(refusal) => self.answer_action(request_id, &refusal, now, out),
        }
    }

    /// Returns the request to run, or the answer if it cannot be one.
    fn prepare(&self, call: Call) -> Result<FunctionRequest<I>, Completed> {
        let session_id = self
            .session_id()
            .expect("invariant: calls are handled after Connect");
        let function_request_id = FunctionRequestId::for_request(session_id, call.request_id);
        let component_path = access::component(call.component_path);
        let component = component_path.as_deref();
        let path = access::parse_path(&call.udf_path, component).and_then(|path| {
            access::check(call.kind, &path, component, self.auth.is_admin()).map(|()| path)
        });
        match path {
            Ok(path) => Ok(FunctionRequest {
                session_id,
                request_id: call.request_id,
                function_request_id,
                path,
                component_path,
                args: call.args,
                identity: self.auth.identity(),
            }),
            Err(message) => Err(Completed {
                result: Err(FunctionFailure {
                    request_id: function_request_id,
                    message: (!self.config.redact_errors).then_some(message),
                    data: None,
                }),
                log_lines: Vec::new(),
            }),
        }
    }
}
