//! From a run to the answers it gives, and to those whom it concerns.

use std::sync::{Arc, Weak};

use hull_engine::{ReadSet, SubscriptionId};
use hull_value::{CodedError, Timestamp};

use crate::identity::IdentityKey;

use super::node::{Answer, Finished, Node, NodeState, Slot};
use super::question::{Asker, Run};
use super::registry::{LiveQueries, lock};
use super::{LiveResult, Waker};

/// What an answer takes besides its result, its reads and its question.
const ANSWER_OVERHEAD_BYTES: usize = 1_024;

/// A run's result on its way into a node.
struct Computed {
    /// Whom the run was thought to be for when it started.
    ran_for: Slot,
    /// Who it was made for.
    key: IdentityKey,
    /// Whom the result is for.
    slot: Slot,
    result: Arc<LiveResult>,
    reads: Arc<ReadSet>,
    ts: Timestamp,
    observed_time: bool,
}

/// What to do once a node holds a result.
struct Settled {
    finished: Finished,
    wakers: Vec<Waker>,
    is_outdated: bool,
}

impl LiveQueries {
    /// Starts the run that `running[ran_for]` waits for.
    pub(super) fn start(
        self: &Arc<Self>,
        node: &Arc<Node>,
        ran_for: Slot,
        asker: Asker,
        ts: Timestamp,
    ) -> Result<(), CodedError> {
        let key = asker.identity.key();
        let (registry, node_run, slot_run) = (self.clone(), node.clone(), ran_for.clone());
        let done = Box::new(move |run| match run {
            Ok(run) => registry.finish(&node_run, slot_run, key, ts, run),
            Err(error) => registry.fail(&node_run, &slot_run, &error),
        });
        let started = self.runner().run(node.question.clone(), asker, ts, done);
        if let Err(error) = &started {
            self.fail(node, &ran_for, error);
        }
        started
    }

    /// Runs an invalidated answer again for its subscribers, at the newest timestamp.
    pub(super) fn rerun(self: &Arc<Self>, node: &Arc<Node>, slot: &Slot) {
        let (asker, ran_for) = {
            let mut state = node.lock();
            let Some(identity) = state.subscriber(slot) else {
                return;
            };
            let ran_for = state.observes_identity.then(|| identity.key());
            if state.running.contains_key(&ran_for) {
                // The run under way finds that it is outdated, and repeats.
                return;
            }
            state.running.insert(ran_for.clone(), Vec::new());
            (Asker::subscriber(identity), ran_for)
        };
        let ts = self.engine().latest();
        // A failure is told to those who watch.
        let _ = self.start(node, ran_for, asker, ts);
    }

    /// Tells those who wait for a run that it failed; subscribers whose answer
    /// is outdated ask again, and are told in turn.
    fn fail(&self, node: &Arc<Node>, ran_for: &Slot, error: &CodedError) {
        tracing::warn!(query = %node.question.path, "a query could not run: {error}");
        let (waiting, wakers) = {
            let mut state = node.lock();
            let waiting = state.running.remove(ran_for).unwrap_or_default();
            let answer = state.answers.get(ran_for);
            let is_outdated = answer.is_none_or(|answer| answer.invalid_from.is_some());
            let wakers = match is_outdated {
                true => state.wakers(ran_for),
                false => Vec::new(),
            };
            (waiting, wakers)
        };
        for sender in waiting {
            // A caller may have gone away meanwhile.
            let _ = sender.send(Finished::Failed(error.clone()));
        }
        for wake in wakers {
            wake();
        }
        self.tidy(node);
    }

    /// Stores what a run gave, tells whom it concerns, and runs again if it is outdated already.
    fn finish(
        self: &Arc<Self>,
        node: &Arc<Node>,
        ran_for: Slot,
        key: IdentityKey,
        ts: Timestamp,
        run: Run,
    ) {
        let computed = Computed {
            ran_for,
            slot: run.observed_identity.then(|| key.clone()),
            key,
            result: Arc::new(run.result),
            reads: Arc::new(run.reads),
            ts,
            observed_time: run.observed_time,
        };
        if computed.result.journal != node.question.journal {
            // The run of a fresh first page also answers for the page it has made.
            let question = node.question.with_journal(&computed.result.journal);
            let page = self.node(question);
            let settled = self.settle(&page, &mut page.lock(), &computed);
            self.follow_up(&page, &computed.slot, settled);
        }
        let (settled, waiting) = {
            let mut state = node.lock();
            let settled = self.settle(node, &mut state, &computed);
            let waiting = state.running.remove(&computed.ran_for);
            (settled, waiting.unwrap_or_default())
        };
        for sender in waiting {
            // A caller may have gone away meanwhile.
            let _ = sender.send(settled.finished.clone());
        }
        self.follow_up(node, &computed.slot, settled);
    }

    fn follow_up(self: &Arc<Self>, node: &Arc<Node>, slot: &Slot, settled: Settled) {
        for wake in settled.wakers {
            wake();
        }
        if settled.is_outdated {
            self.rerun(node, slot);
        }
        self.tidy(node);
    }

    /// Makes a result the answer of a node. Whoever may see another content than
    /// before is woken: from the moment they first ask, nobody looks by himself.
    fn settle(&self, node: &Arc<Node>, state: &mut NodeState, computed: &Computed) -> Settled {
        let slot = &computed.slot;
        state.observes_identity = slot.is_some();
        let known = state.answers.get(slot);
        if known.is_some_and(|known| known.from > computed.ts) {
            return Settled {
                finished: Finished::Superseded,
                wakers: Vec::new(),
                is_outdated: false,
            };
        }
        let mut result = computed.result.clone();
        let mut wakers = match known.or_else(|| state.answers.get(&None)) {
            // Whoever has no answer yet is asking, or about to.
            None => Vec::new(),
            Some(seen) if seen.result.same_content(&result) => {
                result = seen.result.clone();
                Vec::new()
            }
            Some(_) => state.wakers(slot),
        };
        wakers.extend(match slot {
            Some(_) => self.end_shared(state, computed),
            None => self.end_own(state, computed, &result),
        });
        let (subscription, invalid_from) = match self.register(node, computed) {
            Ok(subscription) => (Some(subscription), None),
            Err(invalid_from) => (None, Some(invalid_from)),
        };
        let size_bytes = ANSWER_OVERHEAD_BYTES
            + result.size_bytes()
            + computed.reads.subscribed_size_bytes()
            + node.question.size_bytes();
        let answer = Answer {
            result: result.clone(),
            from: computed.ts,
            invalid_from,
            subscription,
            observed_time: computed.observed_time,
            computed_ms: self.runner().now_ms(),
            size_bytes,
            idle: None,
            is_used: false,
        };
        self.keep(node, state, slot.clone(), answer);
        Settled {
            finished: Finished::Answer {
                slot: slot.clone(),
                result,
                from: computed.ts,
                invalid_from,
            },
            wakers,
            is_outdated: invalid_from.is_some() && state.is_watched(slot),
        }
    }

    /// A run looked at who asks: what was right for everybody is not any more,
    /// and those who relied on this run to be for them as well are left without.
    /// Returns the wakers of all these: they must ask for themselves.
    fn end_shared(&self, state: &mut NodeState, computed: &Computed) -> Vec<Waker> {
        let shared = state.answers.get(&None);
        if shared.is_some_and(|shared| shared.from <= computed.ts) {
            let shared = state.answers.remove(&None);
            self.release(shared);
            return state.wakers(&None);
        }
        if computed.ran_for.is_some() {
            return Vec::new();
        }
        let outdated = state.answers.iter();
        let outdated = outdated.filter(|(_, answer)| answer.invalid_from.is_some());
        outdated.flat_map(|(slot, _)| state.wakers(slot)).collect()
    }

    /// A run did not look at who asks: its answer takes the place of the asker's
    /// own and of all that are outdated. Returns the wakers of those who saw another.
    fn end_own(
        &self,
        state: &mut NodeState,
        computed: &Computed,
        result: &LiveResult,
    ) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let is_over = |slot: &Slot, answer: &Answer| {
            let is_own = slot.as_ref() == Some(&computed.key);
            slot.is_some()
                && answer.from <= computed.ts
                && (is_own || answer.invalid_from.is_some())
        };
        let over = state.answers.iter();
        let over: Vec<Slot> = over
            .filter(|(slot, answer)| is_over(slot, answer))
            .map(|(slot, _)| slot.clone())
            .collect();
        for slot in over {
            let answer = state.answers.remove(&slot);
            let differs = answer
                .as_ref()
                .is_some_and(|answer| !answer.result.same_content(result));
            if differs {
                wakers.extend(state.wakers(&slot));
            }
            self.release(answer);
        }
        wakers
    }

    /// Registers what a result depends on. The owner is known before the engine
    /// can report a hit, and the caller holds the node's lock until the answer is
    /// in it, so that an invalidation finds the answer it belongs to.
    fn register(&self, node: &Arc<Node>, computed: &Computed) -> Result<SubscriptionId, Timestamp> {
        let mut owners = lock(&self.owners);
        let subscription = self
            .engine()
            .subscribe(computed.reads.clone(), computed.ts)?;
        let node: Weak<Node> = Arc::downgrade(node);
        owners.insert(subscription, (node, computed.slot.clone()));
        Ok(subscription)
    }
}
