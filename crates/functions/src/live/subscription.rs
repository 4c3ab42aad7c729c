use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::identity::Identity;

use super::node::Node;
use super::question::{Asker, Question};
use super::registry::LiveQueries;
use super::{LiveResult, Waker};

/// A subscription. Dropping it ends it.
pub struct LiveQuery {
    registry: Arc<LiveQueries>,
    identity: Identity,
    waker: Waker,
    number: u64,
    /// The node whose audience this belongs to.
    node: Mutex<Arc<Node>>,
    /// Until it has had its first answer.
    is_new: AtomicBool,
}

impl LiveQueries {
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        question: Question,
        identity: Identity,
        waker: Waker,
    ) -> LiveQuery {
        let number = self.next_subscriber();
        let node = self.join(question, &identity, number, &waker);
        LiveQuery {
            registry: self.clone(),
            identity,
            waker,
            number,
            node: Mutex::new(node),
            is_new: AtomicBool::new(true),
        }
    }
}

impl LiveQuery {
    pub(super) fn node(&self) -> Arc<Node> {
        self.lock_node().clone()
    }

    pub(super) fn asker(&self) -> Asker {
        Asker::subscriber(self.identity.clone())
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    /// Asks for another evaluation.
    pub(super) fn wake(&self) {
        (self.waker)();
    }

    /// Takes note of an answer. A page that has been read belongs to its journal
    /// from then on: its re-runs are another question than a fresh first page
    /// (data model spec 6.7).
    pub(super) fn answered(&self, result: &LiveResult) {
        self.is_new.store(false, Ordering::Relaxed);
        let mut place = self.lock_node();
        if result.journal == place.question.journal {
            return;
        }
        let question = place.question.with_journal(&result.journal);
        let node = self
            .registry
            .join(question, &self.identity, self.number, &self.waker);
        let is_current = {
            let state = node.lock();
            let slots = [Some(self.identity.key()), None];
            let mut answers = slots.iter().filter_map(|slot| state.answers.get(slot));
            answers.next().is_some_and(|answer| {
                answer.invalid_from.is_none() && answer.result.same_content(result)
            })
        };
        if !is_current {
            // It changed before this belonged to the audience: ask again.
            self.wake();
        }
        let left = std::mem::replace(&mut *place, node);
        drop(place);
        self.registry.leave(&left, &self.identity, self.number);
    }

    fn lock_node(&self) -> MutexGuard<'_, Arc<Node>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LiveQuery {
    fn drop(&mut self) {
        let node = self.node();
        self.registry.leave(&node, &self.identity, self.number);
    }
}
