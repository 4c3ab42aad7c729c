//! Random interleavings of everything that can happen to a session, against a client and a runner
//! that check each promise of the protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hull_sync::{
    ActionOutcome, ClientVersion, Completed, Effect, FrameKind, MutationOutcome, Now, QueryId,
    QueryResult, RequestId, Session, SessionConfig, UpdateResult, VerifiedIdentity, limits,
};
use hull_value::{CodedError, Timestamp};
use proptest::prelude::*;

use crate::{
    model_client::Client,
    script::{SESSION, START_NS, failure},
};

#[derive(Clone, Debug)]
enum Step {
    Add { path: u8 },
    Remove { choice: usize },
    Batch { adds: u8, removes: u8 },
    Authenticate { kind: u8 },
    Mutation { path: u8 },
    Action { path: u8 },
    Event,
    Verified { accept: bool },
    Computed { ahead: u64, defer: bool },
    MutationDone { commits: bool },
    Committing,
    ActionDone { choice: usize, works: bool },
    Write { value: u8 },
    Written { count: u8 },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5_u8).prop_map(|path| Step::Add { path }),
        2 => any::<usize>().prop_map(|choice| Step::Remove { choice }),
        1 => (0..4_u8, 0..3_u8).prop_map(|(adds, removes)| Step::Batch { adds, removes }),
        1 => (0..3_u8).prop_map(|kind| Step::Authenticate { kind }),
        4 => (0..5_u8).prop_map(|path| Step::Mutation { path }),
        2 => (0..5_u8).prop_map(|path| Step::Action { path }),
        1 => Just(Step::Event),
        4 => prop::bool::weighted(0.97).prop_map(|accept| Step::Verified { accept }),
        8 => (0..3_u64, prop::bool::weighted(0.1)).prop_map(|(ahead, defer)| Step::Computed { ahead, defer }),
        6 => prop::bool::weighted(0.7).prop_map(|commits| Step::MutationDone { commits }),
        1 => Just(Step::Committing),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(choice, works)| Step::ActionDone { choice, works }),
        3 => (0..4_u8).prop_map(|value| Step::Write { value }),
        6 => (1..5_u8).prop_map(|count| Step::Written { count }),
        4 => prop_oneof![Just(1_u64), Just(50), Just(200), Just(3000), Just(14_000)].prop_map(|ms| Step::Wait { ms }),
    ]
}

/// Paths that run, one of the system and one that is none.
const PATHS: [&str; 5] = ["a:b", "c", "d/e:f", "_system/x:y", "not-a-path"];

struct World {
    session: Session<u32>,
    now: Now,
    /// `None` when nonsense is sent that no client could make sense of the answers to.
    client: Option<Client>,
    /// Latest commit of the whole deployment, and what it holds.
    ts: u64,
    value: u8,
    subscribed: BTreeSet<QueryId>,
    deferred: BTreeSet<QueryId>,
    update: Option<(Timestamp, BTreeSet<QueryId>)>,
    verifying: bool,
    mutation: Option<RequestId>,
    actions: Vec<RequestId>,
    started: Vec<RequestId>,
    unwritten: Vec<FrameKind>,
    closed: Option<String>,
    identity: u32,
}

impl World {
    fn new() -> Self {
        let config = SessionConfig::new(ClientVersion::unknown(), 0, Timestamp(1));
        let now = Now {
            elapsed: Duration::ZERO,
            unix_ns: START_NS,
        };
        let mut world = Self {
            session: Session::new(config, now),
            now,
            client: Some(Client::default()),
            ts: 1,
            value: 0,
            subscribed: BTreeSet::new(),
            deferred: BTreeSet::new(),
            update: None,
            verifying: false,
            mutation: None,
            actions: Vec::new(),
            started: Vec::new(),
            unwritten: Vec::new(),
            closed: None,
            identity: 0,
        };
        let connect = format!(
            r#"{{"type":"Connect","sessionId":"{SESSION}","connectionCount":0,"clientTs":5}}"#
        );
        world.frame(&connect);
        world
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a client that makes sense")
    }

    fn frame(&mut self, text: &str) {
        if self.session.accepts_frames() {
            self.input(|session, now, out| session.handle_frame(text, now, out));
        }
    }

    fn input(&mut self, input: impl FnOnce(&mut Session<u32>, Now, &mut Vec<Effect<u32>>)) {
        let mut effects = Vec::new();
        input(&mut self.session, self.now, &mut effects);
        for effect in effects {
            assert!(self.closed.is_none(), "nothing follows a close");
            self.take(effect);
        }
        let transitions = |kinds: &[FrameKind]| {
            kinds
                .iter()
                .filter(|&&kind| kind == FrameKind::Transition)
                .count()
        };
        assert!(transitions(&self.unwritten) <= limits::TRANSITIONS_WAITING_MAX);
    }

    fn take(&mut self, effect: Effect<u32>) {
        match effect {
            Effect::Send(frame) => {
                self.unwritten.push(frame.kind);
                if let Some(client) = &mut self.client {
                    client.receive(&frame.to_bytes());
                }
            }
            Effect::WebSocketPing => {}
            Effect::VerifyToken(_) => {
                assert!(!self.verifying, "one verification at a time");
                self.verifying = true;
            }
            Effect::Update(update) => {
                assert!(self.update.is_none(), "one update at a time");
                assert!(update.at_least.0 <= self.ts, "a timestamp that exists");
                for query in update.unsubscribe {
                    assert!(
                        self.subscribed.remove(&query),
                        "unsubscribed something unknown"
                    );
                    self.deferred.remove(&query);
                }
                let wanted: BTreeSet<_> = update.subscribe.iter().map(|s| s.query_id).collect();
                assert_eq!(wanted.len(), update.subscribe.len());
                self.subscribed.extend(&wanted);
                assert!(self.subscribed.len() <= limits::QUERIES_MAX);
                self.update = Some((update.at_least, wanted));
            }
            Effect::StartMutation(request) => {
                assert_eq!(self.mutation, None, "one mutation at a time");
                self.mutation = Some(request.request_id);
                self.started.push(request.request_id);
            }
            Effect::StartAction(request) => {
                let is_admin = request.identity != 0 && request.identity % 2 == 0;
                assert!(is_admin || !request.path.is_system());
                self.actions.push(request.request_id);
            }
            Effect::Close(close) => self.closed = Some(format!("{close:?}")),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Add { path } => {
                let text = self.client().modify(&[PATHS[usize::from(path)]], &[]);
                self.frame(&text);
            }
            Step::Remove { choice } => {
                let text = self.client().modify(&[], &[choice]);
                self.frame(&text);
            }
            Step::Batch { adds, removes } => {
                let adds = &PATHS[..usize::from(adds)];
                let removes: Vec<usize> = (0..usize::from(removes)).collect();
                let text = self.client().modify(adds, &removes);
                self.frame(&text);
            }
            Step::Authenticate { kind } => {
                let text = self.client().authenticate(kind);
                self.frame(&text);
            }
            Step::Mutation { path } => {
                let text = self.client().call("Mutation", PATHS[usize::from(path)]);
                self.frame(&text);
            }
            Step::Action { path } => {
                let text = self.client().call("Action", PATHS[usize::from(path)]);
                self.frame(&text);
            }
            Step::Event => self.frame(r#"{"type":"Event","eventType":"x","event":[1]}"#),
            Step::Verified { accept } => self.verified(accept),
            Step::Computed { ahead, defer } => self.computed(ahead, defer),
            Step::MutationDone { commits } => self.mutation_done(commits),
            Step::Committing => {
                if let Some(request) = self.mutation {
                    self.session.mutation_committing(request, self.now);
                }
            }
            Step::ActionDone { choice, works } => self.action_done(choice, works),
            Step::Write { value } => {
                self.ts += 1;
                self.value = value;
                self.input(Session::queries_invalidated);
            }
            Step::Written { count } => {
                for _ in 0..count {
                    self.written();
                }
            }
            Step::Wait { ms } => {
                self.now.elapsed += Duration::from_millis(ms);
                self.now.unix_ns += ms * 1_000_000;
                self.session.peer_alive(self.now);
                self.input(Session::tick);
                assert!(
                    self.session.next_deadline(self.now) > self.now.elapsed,
                    "a tick does what is due"
                );
            }
        }
    }

    fn verified(&mut self, accept: bool) {
        if !std::mem::take(&mut self.verifying) {
            return;
        }
        self.identity += 1;
        let identity = self.identity;
        let result = match accept {
            true => Ok(VerifiedIdentity {
                identity,
                is_admin: identity.is_multiple_of(2),
                expires_at_ns: None,
            }),
            false => Err(CodedError::unauthenticated("Unauthenticated", "bad token")),
        };
        self.input(|session, now, out| session.token_verified(result, now, out));
    }

    fn computed(&mut self, ahead: u64, defer: bool) {
        let Some((at_least, wanted)) = self.update.take() else {
            return;
        };
        self.ts += ahead;
        let ts = Timestamp(self.ts);
        assert!(ts >= at_least);
        let mut results = Vec::new();
        for query in self.subscribed.clone() {
            let is_new = wanted.contains(&query) || self.deferred.contains(&query);
            if is_new && defer {
                self.deferred.insert(query);
            } else if is_new || query.0.is_multiple_of(2) {
                // Queries of odd number never change after their first run.
                self.deferred.remove(&query);
                results.push((query, self.result(query)));
            }
        }
        let deferred = self.deferred.clone();
        let update = UpdateResult {
            ts,
            results,
            deferred,
        };
        self.input(|session, now, out| session.update_computed(update, now, out));
    }

    fn result(&self, query: QueryId) -> Arc<QueryResult> {
        let value = if query.0.is_multiple_of(2) {
            self.value
        } else {
            0
        };
        if value == 3 {
            return Arc::new(QueryResult::failed(&failure("boom", None), &[], None));
        }
        let write = |out: &mut Vec<u8>| out.extend_from_slice(format!("{value}.0").as_bytes());
        Arc::new(QueryResult::updated(write, &[], None))
    }

    fn mutation_done(&mut self, commits: bool) {
        let Some(request) = self.mutation.take() else {
            return;
        };
        let outcome = if commits {
            self.ts += 1;
            self.value = (self.value + 1) % 4;
            MutationOutcome::Committed {
                ts: Timestamp(self.ts),
                value: Bytes::from_static(b"null"),
                log_lines: Vec::new(),
            }
        } else {
            MutationOutcome::Failed {
                failure: failure("no", Some("1.0")),
                log_lines: Vec::new(),
            }
        };
        self.input(|session, now, out| session.mutation_done(request, outcome, now, out));
        if commits {
            self.input(Session::queries_invalidated);
        }
    }

    fn action_done(&mut self, choice: usize, works: bool) {
        if self.actions.is_empty() {
            return;
        }
        let request = self.actions.remove(choice % self.actions.len());
        let completed = Completed {
            result: match works {
                true => Ok(Bytes::from_static(b"null")),
                false => Err(failure("no", None)),
            },
            log_lines: Vec::new(),
        };
        let outcome = ActionOutcome::Completed(completed);
        self.input(|session, now, out| session.action_done(request, outcome, now, out));
    }

    fn written(&mut self) {
        if !self.unwritten.is_empty() {
            let kind = self.unwritten.remove(0);
            self.input(|session, now, out| session.frame_written(kind, now, out));
        }
    }

    /// Lets everything that is under way come to its end.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            let is_idle = self.update.is_none()
                && !self.verifying
                && self.mutation.is_none()
                && self.actions.is_empty()
                && self.unwritten.is_empty()
                && self.deferred.is_empty();
            if self.closed.is_some() || is_idle {
                return;
            }
            self.verified(true);
            self.written();
            self.computed(0, false);
            self.mutation_done(true);
            self.action_done(0, true);
            if !self.deferred.is_empty() {
                self.step(&Step::Wait { ms: 3000 });
            }
        }
        panic!("the session does not come to rest");
    }
}

fn run(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        if world.closed.is_some() {
            break;
        }
        world.step(step);
    }
    world.finish();
    if let Some(close) = &world.closed {
        assert!(close.contains("bad token"), "{close}");
        return;
    }
    let client = world.client.as_ref().expect("a client that makes sense");
    assert!(world.session.version() == client.version());
    assert!(world.started.is_sorted(), "mutations start in order");
    let expected: BTreeMap<u32, Option<String>> = client
        .queries()
        .iter()
        .map(|(&query, &path)| {
            let runs = world.subscribed.contains(&QueryId(query));
            assert!(runs || path == PATHS[3] || path == PATHS[4]);
            let shown = runs.then(|| {
                let result = world.result(QueryId(query));
                result.value().map_or_else(String::new, |value| {
                    String::from_utf8(value.to_vec()).unwrap()
                })
            });
            (query, shown)
        })
        .collect();
    client.check_at_rest(&expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_interleaving_keeps_the_protocol(steps in prop::collection::vec(step(), 0..80)) {
        run(&steps);
    }

    #[test]
    fn arbitrary_text_never_panics(
        texts in prop::collection::vec(
            prop_oneof![
                ".{0,60}",
                r#"\{"type":"(Connect|Mutation|Action|ModifyQuerySet|Authenticate|Event)"[^\x00]{0,60}\}?"#,
            ],
            1..4,
        ),
    ) {
        let mut world = World::new();
        world.client = None;
        for text in &texts {
            world.frame(text);
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        choice in 0_usize..7, position in any::<prop::sample::Index>(), byte in any::<char>(),
    ) {
        let mut client = Client::default();
        let text = match choice {
            0 => client.modify(&PATHS, &[0, 1]),
            1 => client.authenticate(1),
            2 => client.authenticate(2),
            3 => client.call("Mutation", PATHS[0]),
            4 => client.call("Action", PATHS[1]),
            5 => format!(r#"{{"type":"Connect","sessionId":"{SESSION}","connectionCount":0}}"#),
            _ => r#"{"type":"Event","eventType":"x","event":[1]}"#.to_owned(),
        };
        let mut damaged: Vec<char> = text.chars().collect();
        let at = position.index(damaged.len());
        damaged[at] = byte;
        let mut world = World::new();
        world.client = None;
        world.frame(&damaged.into_iter().collect::<String>());
        world.finish();
    }
}
