use std::sync::Arc;

use hashbrown::HashMap;
use hull_store::TabletId;
use hull_value::{InternalId, Timestamp};

use crate::interval_tree::IntervalTree;
use crate::key_space::KeySpace;
use crate::read_set::ReadSet;
use crate::window::CommitChanges;

/// Names one registered read set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// Which read sets a commit concerns: a hash probe per point, a stab per key.
#[derive(Default)]
pub(crate) struct Subscriptions {
    points: HashMap<(TabletId, InternalId), Vec<u64>>,
    intervals: HashMap<KeySpace, IntervalTree>,
    read_sets: HashMap<u64, Arc<ReadSet>>,
    last_id: u64,
    /// Every commit up to here has been stabbed.
    pub(crate) processed: Timestamp,
}

impl Subscriptions {
    /// Starts where every commit up to `processed` is over.
    pub(crate) fn new(processed: Timestamp) -> Subscriptions {
        Subscriptions {
            processed,
            ..Subscriptions::default()
        }
    }

    pub(crate) fn add(&mut self, read_set: Arc<ReadSet>) -> SubscriptionId {
        self.last_id += 1;
        let id = self.last_id;
        for point in read_set.points() {
            self.points.entry(point).or_default().push(id);
        }
        for (space, start, end) in read_set.intervals() {
            self.intervals
                .entry(space)
                .or_default()
                .insert(start, end, id);
        }
        self.read_sets.insert(id, read_set);
        SubscriptionId(id)
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) {
        let Some(read_set) = self.read_sets.remove(&id.0) else {
            return;
        };
        for point in read_set.points() {
            if let Some(owners) = self.points.get_mut(&point) {
                owners.retain(|owner| *owner != id.0);
                if owners.is_empty() {
                    self.points.remove(&point);
                }
            }
        }
        for (space, start, _) in read_set.intervals() {
            if let Some(tree) = self.intervals.get_mut(&space) {
                tree.remove(start, id.0);
                if tree.len() == 0 {
                    self.intervals.remove(&space);
                }
            }
        }
    }

    /// Finds and removes every subscription that `commit` concerns.
    pub(crate) fn process(&mut self, commit: &CommitChanges) -> Vec<SubscriptionId> {
        let mut hits = Vec::new();
        for (space, key) in &commit.touched {
            if let KeySpace::Tablet(tablet) = space
                && let Ok(id) = <[u8; 16]>::try_from(&**key)
                && let Some(owners) = self.points.get(&(*tablet, InternalId(id)))
            {
                hits.extend_from_slice(owners);
            }
            if let Some(tree) = self.intervals.get(space) {
                tree.stab(key, &mut |owner| hits.push(owner));
            }
        }
        self.processed = commit.ts;
        hits.sort_unstable();
        hits.dedup();
        let hits: Vec<SubscriptionId> = hits.into_iter().map(SubscriptionId).collect();
        for id in &hits {
            self.remove(*id);
        }
        hits
    }

    pub(crate) fn len(&self) -> usize {
        self.read_sets.len()
    }
}
