//! Live queries: one execution and one result for everybody who asks the same.
//!
//! A *node* is a question: component, function, visibility, arguments and
//! journal. It holds the answer that serves everyone and, once a run has looked
//! at the caller's identity, one answer per identity. A commit invalidates
//! nodes through the engine's read sets; nodes that somebody subscribes to are
//! re-run at once, and their subscribers are woken only if the answer changed
//! (data model spec 6.6, 6.7).
//!
//! Lock order: the map of nodes, then one node, then the owners, then the
//! engine's own. None is held across a run.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures::future::try_join_all;
use hashbrown::HashMap;
use hull_engine::{Engine, InvalidationListener, ReadSet, SubscriptionId};
use hull_store::StoreError;
use hull_value::{CodedError, Timestamp};
use tokio::sync::oneshot;

use crate::call::FunctionResult;
use crate::clock;
use crate::identity::Identity;
use crate::logs::LogLine;

/// Called when the answer to a subscribed query may have changed: cheap, from any thread, any number of times.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// How old a result that looked at the clock may be for a newcomer.
const OBSERVED_TIME_AGE_MAX_MS: f64 = 17_000.0;
/// Memory for results that nobody subscribes to.
const CACHE_BYTES_MAX: usize = 64 << 20;
/// Times an evaluation moves on to a newer timestamp before it runs queries at its own.
const MOVE_ON_MAX: usize = 3;

/// A question to subscribe to.
#[derive(Clone, Debug)]
pub struct LiveQueryRequest {
    pub path: String,
    pub component_path: Option<String>,
    /// JSON text of the arguments, as in [`FunctionCall`](crate::FunctionCall).
    pub args_json: String,
    pub identity: Identity,
    pub journal: Option<String>,
}

/// The answer to a live query. Shared by everyone it is right for.
pub struct LiveResult {
    pub result: FunctionResult,
    pub log_lines: Vec<LogLine>,
    pub journal: Option<String>,
    attachment: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// Results of several live queries, all of one timestamp.
pub struct Evaluation {
    pub ts: Timestamp,
    /// In the order of the queries; an unchanged answer is the same `Arc` as before.
    pub results: Vec<Arc<LiveResult>>,
}

/// A subscription. Dropping it ends it.
pub struct LiveQuery {
    registry: Arc<LiveQueries>,
    identity: Identity,
    waker: Waker,
    place: Mutex<Place>,
}

struct Place {
    node: Arc<Node>,
    subscriber: u64,
}

/// What makes two questions the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) component_path: String,
    /// Canonical if it can be parsed, else as given.
    pub(crate) path: String,
    pub(crate) args_json: String,
    pub(crate) journal: Option<String>,
    /// Whether internal functions may be called.
    pub(crate) is_admin: bool,
}

/// What one run of a question gave.
pub(crate) struct Run {
    pub(crate) result: LiveResult,
    pub(crate) reads: ReadSet,
    pub(crate) observed_identity: bool,
    pub(crate) observed_time: bool,
    /// Errors are for those who wait for the run, not for later callers.
    pub(crate) is_shareable: bool,
}

/// A run's result on its way into a node.
struct Computed {
    result: Arc<LiveResult>,
    reads: Arc<ReadSet>,
    ts: Timestamp,
    observed_time: bool,
    is_shareable: bool,
}

struct Stored {
    is_changed: bool,
    is_outdated: bool,
}

/// Runs questions; implemented by the runner.
pub(crate) trait QuestionRunner: Send + Sync {
    /// Runs a question at exactly `ts` on a worker and hands over what it gave.
    fn run(
        &self,
        question: Arc<Question>,
        identity: Identity,
        ts: Timestamp,
        done: Box<dyn FnOnce(Result<Run, CodedError>) + Send>,
    ) -> Result<(), CodedError>;
    /// Reports that an answer was served without a run.
    fn served_from_cache(&self, question: &Question, identity: &Identity, result: &LiveResult);
}

/// Which answer an engine subscription belongs to.
type Owners = HashMap<SubscriptionId, (Weak<Node>, Option<Identity>)>;

/// All live queries and cached results of a deployment.
pub(crate) struct LiveQueries {
    engine: OnceLock<Arc<Engine>>,
    runner: OnceLock<Arc<dyn QuestionRunner>>,
    nodes: Mutex<HashMap<Arc<Question>, Arc<Node>>>,
    /// Which answer an engine subscription belongs to.
    owners: Mutex<Owners>,
    /// Answers to re-run once the commit that invalidated them is published.
    dirty: Mutex<Vec<(Arc<Node>, Option<Identity>)>>,
    next_subscriber: AtomicU64,
    cached_bytes: AtomicU64,
    clock_hand: AtomicU64,
    on_storage_failure: Box<dyn Fn(&StoreError) + Send + Sync>,
}

struct Node {
    question: Arc<Question>,
    state: Mutex<NodeState>,
}

#[derive(Default)]
struct NodeState {
    /// The answer for everybody under `None`, answers for one identity under it.
    answers: HashMap<Option<Identity>, Answer>,
    /// Runs under way, by whom they are for (`None` while identity was not observed so far).
    running: HashMap<Option<Identity>, Vec<oneshot::Sender<()>>>,
    subscribers: HashMap<u64, (Identity, Waker)>,
    /// Whether the last run looked at the identity.
    observes_identity: bool,
    last_used: u64,
}

struct Answer {
    result: Arc<LiveResult>,
    /// Right from here on …
    from: Timestamp,
    /// … until before this.
    invalid_from: Option<Timestamp>,
    subscription: Option<SubscriptionId>,
    observed_time: bool,
    computed_ms: f64,
    is_shareable: bool,
    size_bytes: usize,
}

impl LiveResult {
    pub(crate) fn new(
        result: FunctionResult,
        log_lines: Vec<LogLine>,
        journal: Option<String>,
    ) -> LiveResult {
        LiveResult {
            result,
            log_lines,
            journal,
            attachment: OnceLock::new(),
        }
    }

    /// Returns what `build` makes of this result, made once and shared from then on.
    pub fn attachment<T: Send + Sync + 'static>(
        &self,
        build: impl FnOnce(&LiveResult) -> T,
    ) -> Arc<T> {
        let shared = self.attachment.get_or_init(|| Arc::new(build(self)));
        shared
            .clone()
            .downcast::<T>()
            .unwrap_or_else(|_| unreachable!("invariant: one type of attachment is used"))
    }

    fn same_content(&self, other: &LiveResult) -> bool {
        let texts = |lines: &[LogLine]| {
            lines
                .iter()
                .map(|line| (line.level, line.messages.clone()))
                .collect::<Vec<_>>()
        };
        self.result == other.result
            && self.journal == other.journal
            && self.log_lines.len() == other.log_lines.len()
            && texts(&self.log_lines) == texts(&other.log_lines)
    }

    fn size_bytes(&self) -> usize {
        let result = match &self.result {
            Ok(value) => value.as_bytes().len(),
            Err(error) => error.message.len(),
        };
        let lines: usize = self
            .log_lines
            .iter()
            .flat_map(|line| &line.messages)
            .map(String::len)
            .sum();
        // The attachment holds the encoded form of the same size.
        256 + 2 * result + lines
    }
}

impl Answer {
    fn is_right_at(&self, ts: Timestamp) -> bool {
        self.from <= ts && self.invalid_from.is_none_or(|invalid| ts < invalid)
    }

    fn is_fresh_for_newcomers(&self, now_ms: f64) -> bool {
        self.is_shareable
            && (!self.observed_time || now_ms - self.computed_ms <= OBSERVED_TIME_AGE_MAX_MS)
    }
}

impl Node {
    fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    /// The answer for `identity` at `ts`: an identity's own one first, unless only
    /// the one for everybody is right. If none is, the one that may be ahead of `ts`.
    fn answer_for(&self, identity: &Identity, ts: Timestamp) -> Option<&Answer> {
        let own = self.answers.get(&Some(identity.clone()));
        let shared = self.answers.get(&None);
        [own, shared]
            .into_iter()
            .flatten()
            .find(|answer| answer.is_right_at(ts))
            .or(own)
            .or(shared)
    }
}

impl LiveQueries {
    pub(crate) fn new(
        on_storage_failure: Box<dyn Fn(&StoreError) + Send + Sync>,
    ) -> Arc<LiveQueries> {
        Arc::new(LiveQueries {
            engine: OnceLock::new(),
            runner: OnceLock::new(),
            nodes: Mutex::default(),
            owners: Mutex::default(),
            dirty: Mutex::default(),
            next_subscriber: AtomicU64::new(1),
            cached_bytes: AtomicU64::new(0),
            clock_hand: AtomicU64::new(0),
            on_storage_failure,
        })
    }

    /// Connects what can only be made after this. Called once.
    pub(crate) fn connect(&self, engine: Arc<Engine>, runner: Arc<dyn QuestionRunner>) {
        let first = self.engine.set(engine).is_ok() && self.runner.set(runner).is_ok();
        debug_assert!(first, "invariant: connected once");
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        question: Question,
        identity: Identity,
        waker: Waker,
    ) -> LiveQuery {
        let node = self.node(question);
        let subscriber = self.next_subscriber.fetch_add(1, Ordering::Relaxed);
        node.lock()
            .subscribers
            .insert(subscriber, (identity.clone(), waker.clone()));
        LiveQuery {
            registry: self.clone(),
            identity,
            waker,
            place: Mutex::new(Place { node, subscriber }),
        }
    }

    /// Answers all queries as of one timestamp, not before `at_least` (which must be published).
    pub(crate) async fn evaluate(
        self: &Arc<Self>,
        queries: &[&LiveQuery],
        at_least: Timestamp,
    ) -> Result<Evaluation, CodedError> {
        let mut moves = 0;
        loop {
            let ts = self.engine().latest();
            if ts < at_least {
                return Err(CodedError::internal(
                    "evaluation was asked for an unpublished timestamp",
                ));
            }
            let answers = queries.iter().map(|query| {
                let node = query.node();
                let identity = query.identity.clone();
                async move {
                    self.answer(&node, &identity, ts, Newcomer::No, moves >= MOVE_ON_MAX)
                        .await
                }
            });
            let answers: Vec<Option<Arc<LiveResult>>> = try_join_all(answers).await?;
            let Some(results) = answers.into_iter().collect::<Option<Vec<_>>>() else {
                moves += 1;
                continue;
            };
            for (query, result) in queries.iter().zip(&results) {
                query.follow_journal(result);
            }
            return Ok(Evaluation { ts, results });
        }
    }

    /// Answers one question for a caller who does not subscribe.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        question: Question,
        identity: &Identity,
    ) -> Result<(Arc<LiveResult>, Timestamp), CodedError> {
        let node = self.node(question);
        let mut moves = 0;
        loop {
            let ts = self.engine().latest();
            let answer = self
                .answer(&node, identity, ts, Newcomer::Yes, moves >= MOVE_ON_MAX)
                .await;
            match answer {
                Ok(Some(result)) => {
                    self.trim_cache();
                    return Ok((result, ts));
                }
                Ok(None) => moves += 1,
                Err(error) => {
                    // A node without an answer is not counted by the cache's limit.
                    self.forget(&node);
                    return Err(error);
                }
            }
        }
    }

    pub(crate) fn nodes_count(&self) -> usize {
        self.lock_nodes().len()
    }

    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached_bytes.load(Ordering::Relaxed)
    }

    /// Returns the right answer at `ts`, running the question if need be. `None`:
    /// the node has moved past `ts`, so the caller should move on as well;
    /// with `exactly` it is run at `ts` for this caller alone.
    async fn answer(
        self: &Arc<Self>,
        node: &Arc<Node>,
        identity: &Identity,
        ts: Timestamp,
        newcomer: Newcomer,
        exactly: bool,
    ) -> Result<Option<Arc<LiveResult>>, CodedError> {
        // A caller that has waited for a run gets that run's answer even if it
        // is not shareable with later ones.
        let mut newcomer = newcomer;
        loop {
            let wait = {
                let mut state = node.lock();
                state.last_used = self.clock_hand.fetch_add(1, Ordering::Relaxed);
                let mut is_ahead = false;
                if let Some(answer) = state.answer_for(identity, ts) {
                    let is_usable = match newcomer {
                        Newcomer::No => true,
                        Newcomer::Yes => answer.is_fresh_for_newcomers(clock::now_ms()),
                    };
                    if answer.is_right_at(ts) && is_usable {
                        let result = answer.result.clone();
                        let was_cached = matches!(newcomer, Newcomer::Yes);
                        drop(state);
                        if was_cached {
                            self.runner()
                                .served_from_cache(&node.question, identity, &result);
                        }
                        return Ok(Some(result));
                    }
                    is_ahead = answer.from > ts;
                }
                if is_ahead && !exactly {
                    return Ok(None);
                }
                if is_ahead {
                    None
                } else {
                    let runs_for = state.observes_identity.then(|| identity.clone());
                    let (sender, receiver) = oneshot::channel();
                    let is_running = state.running.contains_key(&runs_for);
                    state
                        .running
                        .entry(runs_for.clone())
                        .or_default()
                        .push(sender);
                    drop(state);
                    if !is_running {
                        self.start(node.clone(), runs_for, identity.clone(), ts)?;
                    }
                    Some(receiver)
                }
            };
            match wait {
                Some(finished) => {
                    if finished.await.is_err() {
                        return Err(CodedError::internal("a query run ended without a result"));
                    }
                    newcomer = Newcomer::No;
                }
                None => return self.run_alone(node, identity, ts).await.map(Some),
            }
        }
    }

    /// Runs a question at an older timestamp than the node's answer, for one caller.
    async fn run_alone(
        &self,
        node: &Arc<Node>,
        identity: &Identity,
        ts: Timestamp,
    ) -> Result<Arc<LiveResult>, CodedError> {
        let (sender, receiver) = oneshot::channel();
        self.runner().run(
            node.question.clone(),
            identity.clone(),
            ts,
            Box::new(move |run| {
                // The caller may have gone away meanwhile.
                let _ = sender.send(run);
            }),
        )?;
        let run = receiver
            .await
            .map_err(|_| CodedError::internal("a query run ended without a result"))??;
        Ok(Arc::new(run.result))
    }

    /// Starts the run that `running[runs_for]` waits for.
    fn start(
        self: &Arc<Self>,
        node: Arc<Node>,
        runs_for: Option<Identity>,
        identity: Identity,
        ts: Timestamp,
    ) -> Result<(), CodedError> {
        let registry = self.clone();
        let (for_done, for_failed) = (node.clone(), runs_for.clone());
        let result = self.runner().run(
            node.question.clone(),
            identity.clone(),
            ts,
            Box::new(move |run| registry.finish(&for_done, runs_for, &identity, ts, run)),
        );
        if result.is_err() {
            node.lock().running.remove(&for_failed);
        }
        result
    }

    /// Stores what a run gave, wakes whom it concerns, and runs again if it is outdated already.
    fn finish(
        self: &Arc<Self>,
        node: &Arc<Node>,
        ran_for: Option<Identity>,
        identity: &Identity,
        ts: Timestamp,
        run: Result<Run, CodedError>,
    ) {
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                // Dropping the senders tells those who wait; live subscribers try again when woken.
                tracing::warn!(query = %node.question.path, "a query could not run: {error}");
                let wakers: Vec<Waker> = {
                    let mut state = node.lock();
                    state.running.remove(&ran_for);
                    state
                        .subscribers
                        .values()
                        .map(|(_, waker)| waker.clone())
                        .collect()
                };
                for wake in wakers {
                    wake();
                }
                return;
            }
        };
        let slot = run.observed_identity.then(|| identity.clone());
        let computed = Computed {
            result: Arc::new(run.result),
            reads: Arc::new(run.reads),
            ts,
            observed_time: run.observed_time,
            is_shareable: run.is_shareable,
        };
        if computed.result.journal != node.question.journal {
            // The run of a fresh first page also answers for the page it has made.
            let mut question = (*node.question).clone();
            question.journal.clone_from(&computed.result.journal);
            self.store(&self.node(question), &slot, &computed);
        }
        let stored = self.store(node, &slot, &computed);
        let (waiting, wakers, rerun) = {
            let mut state = node.lock();
            state.observes_identity = run.observed_identity;
            let waiting = state.running.remove(&ran_for).unwrap_or_default();
            let mut concerns = concerned(&state, &slot);
            let rerun = stored.is_outdated && !concerns.is_empty();
            if !stored.is_changed {
                concerns.clear();
            }
            if run.observed_identity
                && let Some(former) = state.answers.remove(&None)
            {
                // What was right for everybody so far is not any more: all ask for themselves.
                self.release(Some(former));
                concerns = concerned(&state, &None);
            }
            if !run.observed_identity {
                // It did not look at who asks this time, so the former answer of its own is over.
                let own = Some(identity.clone());
                if state.answers.get(&own).is_some_and(|own| own.from <= ts) {
                    let former = state.answers.remove(&own);
                    self.release(former);
                }
            }
            (waiting, concerns, rerun)
        };
        for sender in waiting {
            // A caller may have gone away meanwhile.
            let _ = sender.send(());
        }
        for wake in wakers {
            wake();
        }
        if rerun {
            self.rerun(node, slot);
        }
    }

    /// Keeps an answer and registers what it depends on. One step under the
    /// node's lock, so that an invalidation finds the answer it belongs to.
    fn store(&self, node: &Arc<Node>, slot: &Option<Identity>, computed: &Computed) -> Stored {
        let mut state = node.lock();
        if let Some(newer) = state.answers.get(slot)
            && newer.from > computed.ts
        {
            return Stored {
                is_changed: false,
                is_outdated: false,
            };
        }
        let (subscription, invalid_from) = {
            let mut owners = self.lock_owners();
            match self.engine().subscribe(computed.reads.clone(), computed.ts) {
                Ok(subscription) => {
                    owners.insert(subscription, (Arc::downgrade(node), slot.clone()));
                    (Some(subscription), None)
                }
                Err(invalid_from) => (None, Some(invalid_from)),
            }
        };
        let mut result = computed.result.clone();
        let mut is_changed = true;
        let old = state.answers.remove(slot);
        if let Some(old) = &old
            && old.result.same_content(&result)
        {
            result = old.result.clone();
            is_changed = false;
        }
        self.release(old);
        let size_bytes = result.size_bytes();
        self.cached_bytes
            .fetch_add(size_bytes as u64, Ordering::Relaxed);
        state.answers.insert(
            slot.clone(),
            Answer {
                result,
                from: computed.ts,
                invalid_from,
                subscription,
                observed_time: computed.observed_time,
                computed_ms: clock::now_ms(),
                is_shareable: computed.is_shareable,
                size_bytes,
            },
        );
        Stored {
            is_changed,
            is_outdated: invalid_from.is_some(),
        }
    }

    /// Gives back what an answer holds outside of its node.
    fn release(&self, answer: Option<Answer>) {
        let Some(answer) = answer else { return };
        self.cached_bytes
            .fetch_sub(answer.size_bytes as u64, Ordering::Relaxed);
        if let Some(subscription) = answer.subscription {
            self.engine().unsubscribe(subscription);
            self.lock_owners().remove(&subscription);
        }
    }

    /// Runs an invalidated answer again for its subscribers, at the newest timestamp.
    fn rerun(self: &Arc<Self>, node: &Arc<Node>, slot: Option<Identity>) {
        let (identity, runs_for) = {
            let mut state = node.lock();
            let Some(identity) = slot
                .clone()
                .or_else(|| state.subscribers.values().next().map(|(id, _)| id.clone()))
            else {
                return;
            };
            let runs_for = state.observes_identity.then(|| identity.clone());
            if state.running.contains_key(&runs_for) {
                // The run under way finds that it is outdated, and repeats.
                return;
            }
            state.running.insert(runs_for.clone(), Vec::new());
            drop(state);
            (identity, runs_for)
        };
        let ts = self.engine().latest();
        if let Err(error) = self.start(node.clone(), runs_for, identity, ts) {
            tracing::warn!(query = %node.question.path, "a live query could not be run again: {error}");
            for wake in concerned(&node.lock(), &slot) {
                wake();
            }
        }
    }

    fn node(self: &Arc<Self>, question: Question) -> Arc<Node> {
        let mut nodes = self.lock_nodes();
        if let Some(node) = nodes.get(&question) {
            return node.clone();
        }
        let question = Arc::new(question);
        let node = Arc::new(Node {
            question: question.clone(),
            state: Mutex::default(),
        });
        nodes.insert(question, node.clone());
        node
    }

    /// Drops the results nobody subscribes to that were not used for the longest time.
    fn trim_cache(&self) {
        if self.cached_bytes.load(Ordering::Relaxed) <= CACHE_BYTES_MAX as u64 {
            return;
        }
        let mut idle: Vec<(u64, Arc<Node>)> = {
            let nodes = self.lock_nodes();
            nodes
                .values()
                .filter_map(|node| {
                    let state = node.lock();
                    state
                        .subscribers
                        .is_empty()
                        .then_some((state.last_used, node.clone()))
                })
                .collect()
        };
        idle.sort_unstable_by_key(|(last_used, _)| *last_used);
        // A good part at once, so that this scan is rare.
        for (_, node) in idle {
            if self.cached_bytes.load(Ordering::Relaxed) <= (CACHE_BYTES_MAX / 4 * 3) as u64 {
                break;
            }
            self.forget(&node);
        }
    }

    /// Removes a node unless somebody subscribes to it or waits for it.
    fn forget(&self, node: &Arc<Node>) {
        let answers = {
            let mut nodes = self.lock_nodes();
            let mut state = node.lock();
            if !state.subscribers.is_empty() || !state.running.is_empty() {
                return;
            }
            nodes.remove(&node.question);
            std::mem::take(&mut state.answers)
        };
        for answer in answers.into_values() {
            self.release(Some(answer));
        }
    }

    fn leave(&self, node: &Arc<Node>, subscriber: u64) {
        let is_dead = {
            let mut state = node.lock();
            state.subscribers.remove(&subscriber);
            state.subscribers.is_empty()
                && state
                    .answers
                    .values()
                    .all(|answer| answer.invalid_from.is_some())
        };
        if is_dead {
            self.forget(node);
        }
        self.trim_cache();
    }

    fn engine(&self) -> &Arc<Engine> {
        self.engine
            .get()
            .expect("invariant: connected before the first question")
    }

    fn runner(&self) -> &Arc<dyn QuestionRunner> {
        self.runner
            .get()
            .expect("invariant: connected before the first question")
    }

    fn lock_nodes(&self) -> MutexGuard<'_, HashMap<Arc<Question>, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Newcomer {
    Yes,
    No,
}

/// Wakers of the subscribers that an answer is for.
fn concerned(state: &NodeState, slot: &Option<Identity>) -> Vec<Waker> {
    state
        .subscribers
        .values()
        .filter(|(identity, _)| slot.as_ref().is_none_or(|slot| slot == identity))
        .map(|(_, waker)| waker.clone())
        .collect()
}

/// The engine's listener: forwards to the registry, which is made before the engine.
pub(crate) struct Invalidations {
    pub(crate) live: Arc<LiveQueries>,
    /// Told when tables, indexes or schemas have changed.
    pub(crate) metadata_changed: Arc<tokio::sync::Notify>,
}

impl InvalidationListener for Invalidations {
    fn invalidated(&self, hits: &[(SubscriptionId, Timestamp)]) {
        for (subscription, ts) in hits {
            let owner = self.live.lock_owners().remove(subscription);
            let Some((node, slot)) = owner else { continue };
            let Some(node) = node.upgrade() else { continue };
            let mut state = node.lock();
            let Some(answer) = state.answers.get_mut(&slot) else {
                continue;
            };
            if answer.subscription == Some(*subscription) {
                answer.subscription = None;
                answer.invalid_from = Some(*ts);
            }
            let is_watched = !concerned(&state, &slot).is_empty();
            drop(state);
            if is_watched {
                self.live
                    .dirty
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((node, slot));
            } else {
                self.live.forget(&node);
            }
        }
    }

    fn published(&self, _ts: Timestamp) {
        let dirty = std::mem::take(
            &mut *self
                .live
                .dirty
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for (node, slot) in dirty {
            self.live.rerun(&node, slot);
        }
    }

    fn metadata_changed(&self) {
        self.metadata_changed.notify_waiters();
    }

    fn storage_failed(&self, error: &StoreError) {
        (self.live.on_storage_failure)(error);
    }
}

impl LiveQuery {
    fn node(&self) -> Arc<Node> {
        self.place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .node
            .clone()
    }

    /// A page that has been read belongs to its journal from then on: its re-runs
    /// are another question than a fresh first page (data model spec 6.7).
    fn follow_journal(&self, result: &Arc<LiveResult>) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if result.journal == place.node.question.journal {
            return;
        }
        let mut question = (*place.node.question).clone();
        question.journal.clone_from(&result.journal);
        let node = self.registry.node(question);
        let is_answered = {
            let mut state = node.lock();
            state.subscribers.insert(
                place.subscriber,
                (self.identity.clone(), self.waker.clone()),
            );
            let answers = [Some(self.identity.clone()), None];
            answers.iter().any(|slot| {
                let answer = state.answers.get(slot);
                answer.is_some_and(|answer| answer.invalid_from.is_none())
            })
        };
        if !is_answered {
            // The answer stored for it was invalidated before anybody watched: ask again.
            (self.waker)();
        }
        let old = std::mem::replace(&mut place.node, node);
        self.registry.leave(&old, place.subscriber);
    }
}

impl Drop for LiveQuery {
    fn drop(&mut self) {
        let place = self.place.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.registry.leave(&place.node, place.subscriber);
    }
}
