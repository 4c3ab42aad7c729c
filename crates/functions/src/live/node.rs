//! One question, what is known of it, and who waits for what.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use hull_engine::SubscriptionId;
use hull_value::{CodedError, Timestamp};
use tokio::sync::oneshot;

use crate::identity::{Identity, IdentityKey};

use super::idle::Ticket;
use super::question::Question;
use super::{LiveResult, Waker};

/// How old a result that looked at the clock may be for a newcomer.
pub(super) const OBSERVED_TIME_AGE_MAX_MS: f64 = 17_000.0;

/// Whom an answer is for: everybody (`None`) or one identity.
pub(super) type Slot = Option<IdentityKey>;

pub(super) struct Node {
    pub(super) question: Arc<Question>,
    state: Mutex<NodeState>,
}

#[derive(Default)]
pub(super) struct NodeState {
    pub(super) answers: HashMap<Slot, Answer>,
    /// Runs under way with those who wait for them, by whom they are for (`None`
    /// while identity was not observed so far).
    pub(super) running: HashMap<Slot, Vec<oneshot::Sender<Finished>>>,
    /// Never an empty audience.
    pub(super) audiences: HashMap<IdentityKey, Audience>,
    /// Whether the last run looked at the identity.
    pub(super) observes_identity: bool,
}

/// The subscribers of one identity.
pub(super) struct Audience {
    /// One of those with this key.
    pub(super) identity: Identity,
    pub(super) wakers: HashMap<u64, Waker>,
}

pub(super) struct Answer {
    pub(super) result: Arc<LiveResult>,
    /// Right from here on …
    pub(super) from: Timestamp,
    /// … until before this.
    pub(super) invalid_from: Option<Timestamp>,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) observed_time: bool,
    pub(super) computed_ms: f64,
    pub(super) size_bytes: usize,
    /// Its place in the cache while nobody subscribes to it.
    pub(super) idle: Option<Ticket>,
    /// Whether it was used since it came to that place.
    pub(super) is_used: bool,
}

/// What those who waited for a run are told.
#[derive(Clone)]
pub(super) enum Finished {
    Answer {
        slot: Slot,
        result: Arc<LiveResult>,
        from: Timestamp,
        invalid_from: Option<Timestamp>,
    },
    /// A newer answer is known already.
    Superseded,
    Failed(CodedError),
}

/// What a node knows about a timestamp.
pub(super) enum Known {
    Right(Arc<LiveResult>),
    /// Only an answer that is right from here on.
    Ahead(Timestamp),
    Nothing,
}

impl Node {
    pub(super) fn new(question: Arc<Question>) -> Node {
        Node {
            question,
            state: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn is_right_at(&self, ts: Timestamp) -> bool {
        self.from <= ts && self.invalid_from.is_none_or(|invalid| ts < invalid)
    }

    /// Whether somebody who did not wait for the run may get it (data model
    /// spec 6.7): not an error, and not an old reading of the clock.
    fn is_for_newcomers(&self, now_ms: f64) -> bool {
        self.result.result.is_ok()
            && (!self.observed_time || now_ms - self.computed_ms <= OBSERVED_TIME_AGE_MAX_MS)
    }

    /// Whether it could serve anybody who asks from now on.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.result.result.is_ok() && self.invalid_from.is_none()
    }
}

impl NodeState {
    /// Looks for the answer to `key` at `ts`: the identity's own or the one for
    /// everybody. `newcomer_ms` is the time for somebody who subscribes only now.
    pub(super) fn look_up(
        &mut self,
        key: &IdentityKey,
        ts: Timestamp,
        newcomer_ms: Option<f64>,
    ) -> Known {
        let mut ahead = None;
        for slot in [Some(key.clone()), None] {
            let Some(answer) = self.answers.get_mut(&slot) else {
                continue;
            };
            if answer.is_right_at(ts) {
                if newcomer_ms.is_none_or(|now_ms| answer.is_for_newcomers(now_ms)) {
                    answer.is_used = true;
                    return Known::Right(answer.result.clone());
                }
            } else if answer.from > ts {
                ahead = ahead.max(Some(answer.from));
            }
        }
        ahead.map_or(Known::Nothing, Known::Ahead)
    }

    /// Whether the answer in `slot` is for any subscriber.
    pub(super) fn is_watched(&self, slot: &Slot) -> bool {
        match slot {
            None => !self.audiences.is_empty(),
            Some(key) => self.audiences.contains_key(key),
        }
    }

    /// The wakers of the subscribers that the answer in `slot` is for.
    pub(super) fn wakers(&self, slot: &Slot) -> Vec<Waker> {
        let audiences: Vec<&Audience> = match slot {
            None => self.audiences.values().collect(),
            Some(key) => self.audiences.get(key).into_iter().collect(),
        };
        let wakers = audiences.into_iter().flat_map(|one| one.wakers.values());
        wakers.cloned().collect()
    }

    /// Somebody to run the question for when the answer in `slot` is outdated.
    pub(super) fn subscriber(&self, slot: &Slot) -> Option<Identity> {
        let audience = match slot {
            None => self.audiences.values().next(),
            Some(key) => self.audiences.get(key),
        };
        audience.map(|audience| audience.identity.clone())
    }

    /// Whether nothing is lost without this node.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.running.is_empty() && self.audiences.is_empty()
    }
}
