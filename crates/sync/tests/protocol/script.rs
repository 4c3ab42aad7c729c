//! A session under a script: inputs are method calls, effects come back as lines of text.
//!
//! Frames are printed as `S {json}`. Time only passes by [`Script::wait`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hull_sync::{
    ActionOutcome, ClientVersion, Completed, Effect, FrameKind, FunctionFailure, FunctionRequestId,
    MutationOutcome, Now, QueryId, QueryResult, RequestId, Session, SessionConfig, UpdateResult,
    VerifiedIdentity,
};
use hull_value::{CodedError, Timestamp};

pub(crate) const SESSION: &str = "876417d6-1b35-460d-bb3e-153308272b9b";
pub(crate) const START_NS: u64 = 1_700_000_000_000_000_000;

pub(crate) struct Script {
    pub(crate) session: Session<&'static str>,
    pub(crate) now: Now,
    unwritten: Vec<FrameKind>,
    /// Frames count as written at once.
    pub(crate) reads: bool,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut SessionConfig<&'static str>)) -> Self {
        let client = ClientVersion::from_header("npm-1.48.0").unwrap();
        let mut config = SessionConfig::new(client, "anonymous", Timestamp(1000));
        change(&mut config);
        let now = Now {
            elapsed: Duration::from_secs(1),
            unix_ns: START_NS,
        };
        Self {
            session: Session::new(config, now),
            now,
            unwritten: Vec::new(),
            reads: true,
        }
    }

    /// A session after `Connect`.
    pub(crate) fn connected() -> Self {
        let mut script = Self::new();
        script.connect();
        script
    }

    pub(crate) fn connect(&mut self) {
        let text = format!(r#"{{"type":"Connect","sessionId":"{SESSION}","connectionCount":0}}"#);
        assert_eq!(self.client(&text), "");
    }

    pub(crate) fn client(&mut self, text: &str) -> String {
        self.input(|session, now, out| session.handle_frame(text, now, out))
    }

    pub(crate) fn modify(&mut self, base: u32, modifications: &str) -> String {
        let new = base + 1;
        self.client(&format!(
            r#"{{"type":"ModifyQuerySet","baseVersion":{base},"newVersion":{new},"modifications":[{modifications}]}}"#
        ))
    }

    pub(crate) fn call(&mut self, kind: &str, request: u32, path: &str) -> String {
        self.client(&format!(
            r#"{{"type":"{kind}","requestId":{request},"udfPath":"{path}","args":[{{}}]}}"#
        ))
    }

    pub(crate) fn authenticate(&mut self, base: u32, token: &str) -> String {
        self.client(&format!(
            r#"{{"type":"Authenticate","baseVersion":{base},"tokenType":{token}}}"#
        ))
    }

    pub(crate) fn verified(&mut self, identity: &'static str) -> String {
        self.verified_as(VerifiedIdentity {
            identity,
            is_admin: identity.starts_with("admin"),
            expires_at_ns: None,
        })
    }

    pub(crate) fn verified_as(&mut self, identity: VerifiedIdentity<&'static str>) -> String {
        self.input(|session, now, out| session.token_verified(Ok(identity), now, out))
    }

    pub(crate) fn rejected(&mut self, error: CodedError) -> String {
        self.input(|session, now, out| session.token_verified(Err(error), now, out))
    }

    pub(crate) fn computed(&mut self, ts: u64, results: &[(u32, &str)]) -> String {
        let results = results.iter().map(|(id, value)| (*id, result(value)));
        self.computed_with(ts, results.collect(), &[])
    }

    pub(crate) fn computed_with(
        &mut self,
        ts: u64,
        results: Vec<(u32, Arc<QueryResult>)>,
        deferred: &[u32],
    ) -> String {
        let update = UpdateResult {
            ts: Timestamp(ts),
            results: results
                .into_iter()
                .map(|(id, result)| (QueryId(id), result))
                .collect(),
            deferred: deferred.iter().copied().map(QueryId).collect(),
        };
        self.input(|session, now, out| session.update_computed(update, now, out))
    }

    pub(crate) fn committed(&mut self, request: u32, ts: u64, value: &'static str) -> String {
        let outcome = MutationOutcome::Committed {
            ts: Timestamp(ts),
            value: Bytes::from_static(value.as_bytes()),
            log_lines: vec!["[LOG] 'hi'".to_owned()],
        };
        self.mutation(request, outcome)
    }

    pub(crate) fn mutation(&mut self, request: u32, outcome: MutationOutcome) -> String {
        self.input(|session, now, out| session.mutation_done(RequestId(request), outcome, now, out))
    }

    pub(crate) fn action(&mut self, request: u32, value: &'static str) -> String {
        let completed = Completed {
            result: Ok(Bytes::from_static(value.as_bytes())),
            log_lines: Vec::new(),
        };
        self.action_outcome(request, ActionOutcome::Completed(completed))
    }

    pub(crate) fn action_outcome(&mut self, request: u32, outcome: ActionOutcome) -> String {
        self.input(|session, now, out| session.action_done(RequestId(request), outcome, now, out))
    }

    pub(crate) fn invalidated(&mut self) -> String {
        self.input(Session::queries_invalidated)
    }

    /// Lets time pass and ticks once at the end.
    pub(crate) fn wait(&mut self, time: Duration) -> String {
        self.now.elapsed += time;
        self.now.unix_ns += u64::try_from(time.as_nanos()).unwrap();
        self.input(Session::tick)
    }

    /// Lets the client read one frame that waits.
    pub(crate) fn read_one(&mut self) -> String {
        let kind = self.unwritten.remove(0);
        self.input(|session, now, out| session.frame_written(kind, now, out))
    }

    pub(crate) fn input(
        &mut self,
        input: impl FnOnce(&mut Session<&'static str>, Now, &mut Vec<Effect<&'static str>>),
    ) -> String {
        let mut effects = Vec::new();
        input(&mut self.session, self.now, &mut effects);
        let mut lines = String::new();
        let mut position = 0;
        while position < effects.len() {
            lines.push_str(&print(&effects[position]));
            lines.push('\n');
            if let Effect::Send(frame) = &effects[position] {
                let kind = frame.kind;
                match self.reads {
                    true => self.session.frame_written(kind, self.now, &mut effects),
                    false => self.unwritten.push(kind),
                }
            }
            position += 1;
        }
        lines
    }
}

pub(crate) fn add(query: u32, path: &str) -> String {
    format!(r#"{{"type":"Add","queryId":{query},"udfPath":"{path}","args":[{{}}]}}"#)
}

pub(crate) fn remove(query: u32) -> String {
    format!(r#"{{"type":"Remove","queryId":{query}}}"#)
}

pub(crate) fn result(value: &str) -> Arc<QueryResult> {
    result_with(value, None)
}

pub(crate) fn result_with(value: &str, journal: Option<&str>) -> Arc<QueryResult> {
    let write = |out: &mut Vec<u8>| out.extend_from_slice(value.as_bytes());
    Arc::new(QueryResult::updated(write, &[], journal.map(Into::into)))
}

pub(crate) fn failure(message: &str, data: Option<&'static str>) -> FunctionFailure {
    FunctionFailure {
        request_id: FunctionRequestId::new("0123456789abcdef"),
        message: Some(message.to_owned()),
        data: data.map(|data| Bytes::from_static(data.as_bytes())),
    }
}

fn print(effect: &Effect<&'static str>) -> String {
    match effect {
        Effect::Send(frame) => {
            let text = String::from_utf8(frame.to_bytes().to_vec()).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).expect("a frame is JSON");
            format!("S {text}")
        }
        Effect::WebSocketPing => "WebSocketPing".to_owned(),
        Effect::VerifyToken(token) => format!("VerifyToken {token:?}"),
        Effect::Update(update) => {
            let mut line = format!("Update {} ts>={}", update.identity, update.at_least);
            for query in &update.unsubscribe {
                line.push_str(&format!(" -{}", query.0));
            }
            for subscription in &update.subscribe {
                let request = &subscription.request;
                line.push_str(&format!(" +{} {}", subscription.query_id.0, request.path));
                if let Some(component) = &request.component_path {
                    line.push_str(&format!(" in {component}"));
                }
                if let Some(journal) = &subscription.journal {
                    line.push_str(&format!(" journal {journal}"));
                }
            }
            line
        }
        Effect::StartMutation(call) => format!(
            "StartMutation {} {} {}",
            call.request_id.0, call.path, call.identity
        ),
        Effect::StartAction(call) => format!(
            "StartAction {} {} {}",
            call.request_id.0, call.path, call.identity
        ),
        Effect::Close(close) => match close.code {
            Some(code) => format!("Close {code} {} ({})", close.reason, close.detail),
            None => format!("Close ({})", close.detail),
        },
    }
}
