//! The cache: answers that nobody subscribes to, the least recently used first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::node::{Node, Slot};

/// Memory for answers that nobody subscribes to.
const BYTES_MAX: usize = 64 << 20;
/// How long an answer is kept without being used: it is cheap to run again, and
/// memory is to go back after load.
const UNUSED_MS_MAX: f64 = 45_000.0;

/// Names the stay of one answer among the idle ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// An answer in the cache.
pub(super) struct IdleAnswer {
    pub(super) node: Arc<Node>,
    pub(super) slot: Slot,
    size_bytes: usize,
    since_ms: f64,
}

/// In the order in which they came. A use only marks an answer (in its node);
/// one that is due and was used meanwhile goes to the end instead, so that each
/// step of trimming is paid for by a use or an answer that goes.
#[derive(Default)]
pub(super) struct IdleAnswers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    order: BTreeMap<Ticket, IdleAnswer>,
    size_bytes: usize,
    last_ticket: u64,
}

impl IdleAnswers {
    pub(super) fn enter(
        &self,
        node: Arc<Node>,
        slot: Slot,
        size_bytes: usize,
        now_ms: f64,
    ) -> Ticket {
        let mut state = self.lock();
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        state.size_bytes += size_bytes;
        let answer = IdleAnswer {
            node,
            slot,
            size_bytes,
            since_ms: now_ms,
        };
        state.order.insert(ticket, answer);
        ticket
    }

    /// Ends a stay; nothing happens if it has ended.
    pub(super) fn leave(&self, ticket: Ticket) {
        let mut state = self.lock();
        if let Some(answer) = state.order.remove(&ticket) {
            state.size_bytes -= answer.size_bytes;
        }
    }

    /// Takes the oldest answer if it is due: there is too much, or it has been here too long.
    pub(super) fn take_due(&self, now_ms: f64) -> Option<(Ticket, IdleAnswer)> {
        let mut state = self.lock();
        let is_full = state.size_bytes > BYTES_MAX;
        let oldest = state.order.first_entry()?;
        if !is_full && now_ms - oldest.get().since_ms <= UNUSED_MS_MAX {
            return None;
        }
        let (ticket, answer) = oldest.remove_entry();
        state.size_bytes -= answer.size_bytes;
        Some((ticket, answer))
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.lock().size_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
