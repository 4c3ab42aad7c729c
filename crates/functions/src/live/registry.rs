//! What there is: nodes, their audiences and answers, and what all of it takes.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use hashbrown::HashMap;
use hull_engine::{Engine, SubscriptionId};
use hull_value::Timestamp;

use crate::identity::Identity;

use super::Waker;
use super::idle::IdleAnswers;
use super::node::{Answer, Audience, Node, NodeState, Slot};
use super::question::{Question, QuestionRunner};

/// All live queries and cached results of a deployment.
pub(crate) struct LiveQueries {
    engine: OnceLock<Arc<Engine>>,
    runner: OnceLock<Arc<dyn QuestionRunner>>,
    nodes: Mutex<HashMap<Arc<Question>, Arc<Node>>>,
    /// Which answer an engine subscription belongs to.
    pub(super) owners: Mutex<HashMap<SubscriptionId, (Weak<Node>, Slot)>>,
    /// Answers to re-run once the commit that invalidated them is published.
    outdated: Mutex<Vec<(Arc<Node>, Slot)>>,
    idle: IdleAnswers,
    /// Memory of answers that somebody subscribes to.
    watched_bytes: AtomicUsize,
    subscribers: AtomicU64,
}

impl LiveQueries {
    pub(crate) fn new() -> Arc<LiveQueries> {
        Arc::new(LiveQueries {
            engine: OnceLock::new(),
            runner: OnceLock::new(),
            nodes: Mutex::default(),
            owners: Mutex::default(),
            outdated: Mutex::default(),
            idle: IdleAnswers::default(),
            watched_bytes: AtomicUsize::new(0),
            subscribers: AtomicU64::new(0),
        })
    }

    /// Connects what can only be made after this. Called once.
    pub(crate) fn connect(&self, engine: Arc<Engine>, runner: Arc<dyn QuestionRunner>) {
        let first = self.engine.set(engine).is_ok() && self.runner.set(runner).is_ok();
        debug_assert!(first, "invariant: connected once");
    }

    pub(crate) fn nodes_count(&self) -> usize {
        self.lock_nodes().len()
    }

    /// Memory of answers that somebody subscribes to.
    pub(crate) fn watched_bytes(&self) -> usize {
        self.watched_bytes.load(Ordering::Relaxed)
    }

    /// Memory of answers that nobody subscribes to.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.idle.size_bytes()
    }

    /// Drops cached answers that were not used for long, and what maps keep of
    /// busier times. To be called every now and then.
    pub(crate) fn give_memory_back(&self) {
        self.trim_cache();
        shrink(&mut self.lock_nodes());
        shrink(&mut lock(&self.owners));
    }

    pub(super) fn next_subscriber(&self) -> u64 {
        self.subscribers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn node(&self, question: Question) -> Arc<Node> {
        node_in(&mut self.lock_nodes(), question)
    }

    /// Adds a subscriber to the audience of a question.
    pub(super) fn join(
        &self,
        question: Question,
        identity: &Identity,
        subscriber: u64,
        waker: &Waker,
    ) -> Arc<Node> {
        let mut nodes = self.lock_nodes();
        let node = node_in(&mut nodes, question);
        // Before the map is let go: an empty node may be taken out of it.
        let mut state = node.lock();
        drop(nodes);
        let key = identity.key();
        let audience = state.audiences.entry(key.clone());
        let audience = audience.or_insert_with(|| Audience {
            identity: identity.clone(),
            wakers: HashMap::new(),
        });
        audience.wakers.insert(subscriber, waker.clone());
        for slot in [Some(key), None] {
            if let Some(answer) = state.answers.get_mut(&slot)
                && let Some(ticket) = answer.idle.take()
            {
                self.idle.leave(ticket);
                self.watched_bytes
                    .fetch_add(answer.size_bytes, Ordering::Relaxed);
            }
        }
        drop(state);
        node
    }

    /// Takes a subscriber out of the audience of a node's question.
    pub(super) fn leave(&self, node: &Arc<Node>, identity: &Identity, subscriber: u64) {
        let key = identity.key();
        {
            let mut state = node.lock();
            if let Some(audience) = state.audiences.get_mut(&key) {
                audience.wakers.remove(&subscriber);
                if !audience.wakers.is_empty() {
                    shrink(&mut audience.wakers);
                    return;
                }
                state.audiences.remove(&key);
                shrink(&mut state.audiences);
            }
            for slot in [Some(key), None] {
                if state.is_watched(&slot) {
                    continue;
                }
                let Some(answer) = state.answers.remove(&slot) else {
                    continue;
                };
                if answer.idle.is_none() {
                    self.watched_bytes
                        .fetch_sub(answer.size_bytes, Ordering::Relaxed);
                    self.keep(node, &mut state, slot, answer);
                } else {
                    state.answers.insert(slot, answer);
                }
            }
        }
        self.tidy(node);
        self.trim_cache();
    }

    /// Puts an answer into a node, unless it is of use to nobody.
    pub(super) fn keep(
        &self,
        node: &Arc<Node>,
        state: &mut NodeState,
        slot: Slot,
        mut answer: Answer,
    ) {
        let former = state.answers.remove(&slot);
        self.release(former);
        if state.is_watched(&slot) {
            self.watched_bytes
                .fetch_add(answer.size_bytes, Ordering::Relaxed);
        } else if answer.is_worth_keeping() {
            let now_ms = self.runner().now_ms();
            let size_bytes = answer.size_bytes;
            let ticket = self
                .idle
                .enter(node.clone(), slot.clone(), size_bytes, now_ms);
            answer.idle = Some(ticket);
            answer.is_used = false;
        } else {
            self.unsubscribe(&answer);
            shrink(&mut state.answers);
            return;
        }
        state.answers.insert(slot, answer);
    }

    /// Gives back what an answer holds outside of its node.
    pub(super) fn release(&self, answer: Option<Answer>) {
        let Some(answer) = answer else { return };
        match answer.idle {
            Some(ticket) => self.idle.leave(ticket),
            None => {
                self.watched_bytes
                    .fetch_sub(answer.size_bytes, Ordering::Relaxed);
            }
        }
        self.unsubscribe(&answer);
    }

    fn unsubscribe(&self, answer: &Answer) {
        if let Some(subscription) = answer.subscription {
            self.engine().unsubscribe(subscription);
            lock(&self.owners).remove(&subscription);
        }
    }

    /// Drops cached answers that are due.
    pub(super) fn trim_cache(&self) {
        let now_ms = self.runner().now_ms();
        while let Some((ticket, due)) = self.idle.take_due(now_ms) {
            let mut state = due.node.lock();
            let Some(answer) = state.answers.get_mut(&due.slot) else {
                continue;
            };
            if answer.idle != Some(ticket) {
                continue;
            }
            if std::mem::take(&mut answer.is_used) {
                let size_bytes = answer.size_bytes;
                let ticket = self
                    .idle
                    .enter(due.node.clone(), due.slot, size_bytes, now_ms);
                answer.idle = Some(ticket);
                continue;
            }
            let answer = state.answers.remove(&due.slot);
            shrink(&mut state.answers);
            self.release(answer);
            drop(state);
            self.tidy(&due.node);
        }
    }

    /// Takes a node out of the map if nothing is lost by it.
    pub(super) fn tidy(&self, node: &Arc<Node>) {
        let mut nodes = self.lock_nodes();
        let is_known = nodes
            .get(&node.question)
            .is_some_and(|known| Arc::ptr_eq(known, node));
        if is_known && node.lock().is_empty() {
            nodes.remove(&node.question);
        }
    }

    /// Ends the validity of an answer that a commit concerns, before the commit is visible.
    pub(super) fn invalidate(&self, subscription: SubscriptionId, ts: Timestamp) {
        let Some((node, slot)) = lock(&self.owners).remove(&subscription) else {
            return;
        };
        let Some(node) = node.upgrade() else { return };
        let is_watched = {
            let mut state = node.lock();
            let is_watched = state.is_watched(&slot);
            let Some(answer) = state.answers.get_mut(&slot) else {
                return;
            };
            if answer.subscription != Some(subscription) {
                return;
            }
            answer.subscription = None;
            answer.invalid_from = Some(ts);
            if !is_watched {
                let answer = state.answers.remove(&slot);
                self.release(answer);
            }
            is_watched
        };
        if is_watched {
            lock(&self.outdated).push((node, slot));
        } else {
            self.tidy(&node);
        }
    }

    /// Runs what has been invalidated again, now that the commits are visible.
    pub(super) fn rerun_outdated(self: &Arc<Self>) {
        let outdated = std::mem::take(&mut *lock(&self.outdated));
        for (node, slot) in outdated {
            self.rerun(&node, &slot);
        }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.engine
            .get()
            .expect("invariant: connected before the first question")
    }

    pub(super) fn runner(&self) -> &Arc<dyn QuestionRunner> {
        self.runner
            .get()
            .expect("invariant: connected before the first question")
    }

    fn lock_nodes(&self) -> MutexGuard<'_, HashMap<Arc<Question>, Arc<Node>>> {
        lock(&self.nodes)
    }
}

fn node_in(nodes: &mut HashMap<Arc<Question>, Arc<Node>>, question: Question) -> Arc<Node> {
    if let Some(node) = nodes.get(&question) {
        return node.clone();
    }
    let question = Arc::new(question);
    let node = Arc::new(Node::new(question.clone()));
    nodes.insert(question, node.clone());
    node
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives memory back when a map has become much emptier. Amortised O(1).
fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 32 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}
