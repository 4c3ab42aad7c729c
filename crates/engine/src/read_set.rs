use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use hull_store::TabletId;
use hull_value::{InternalId, keys::Interval};

use crate::key_space::KeySpace;

/// Everything a transaction read: single documents and intervals of keys.
///
/// Too small a set is the worst bug there is (a lost update, a stale screen);
/// too large a one only costs work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSet {
    points: HashSet<(TabletId, InternalId)>,
    intervals: HashMap<KeySpace, IntervalSet>,
}

/// Disjoint half-open intervals of byte strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalSet {
    /// Start to end (`None` = unbounded); neighbours that touch are merged.
    by_start: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl ReadSet {
    /// Records a read of one document, found or not.
    pub fn add_point(&mut self, tablet: TabletId, id: InternalId) {
        self.points.insert((tablet, id));
    }

    /// Records that every key of `interval` was seen, present or absent.
    pub fn add_interval(&mut self, space: KeySpace, interval: Interval) {
        self.intervals.entry(space).or_default().add(interval);
    }

    /// Whether a write to `key` could have changed what was read.
    pub fn contains(&self, space: KeySpace, key: &[u8]) -> bool {
        if let KeySpace::Tablet(tablet) = space
            && let Ok(id) = <[u8; 16]>::try_from(key)
            && self.points.contains(&(tablet, InternalId(id)))
        {
            return true;
        }
        self.intervals
            .get(&space)
            .is_some_and(|set| set.contains(key))
    }

    /// Adds everything `other` holds.
    pub fn merge(&mut self, other: &ReadSet) {
        self.points.extend(other.points.iter().copied());
        for (space, set) in &other.intervals {
            let mine = self.intervals.entry(*space).or_default();
            for (start, end) in &set.by_start {
                mine.add(Interval {
                    start: start.clone(),
                    end: end.clone(),
                });
            }
        }
    }

    /// Number of distinct points and intervals: what the limit on reads counts.
    pub fn len(&self) -> usize {
        self.points.len() + self.intervals.values().map(IntervalSet::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.intervals.values().all(|set| set.len() == 0)
    }

    pub fn points(&self) -> impl Iterator<Item = (TabletId, InternalId)> + '_ {
        self.points.iter().copied()
    }

    pub fn intervals(&self) -> impl Iterator<Item = (KeySpace, &[u8], Option<&[u8]>)> + '_ {
        self.intervals.iter().flat_map(|(space, set)| {
            set.by_start
                .iter()
                .map(|(start, end)| (*space, start.as_slice(), end.as_deref()))
        })
    }

    /// Bytes of memory held while subscribed to, the entries in the index of
    /// subscriptions included: for the accounting of caches.
    pub fn subscribed_size_bytes(&self) -> usize {
        // Keys, hash table slots and the list of owners here and there.
        const POINT: usize = 32 + 96;
        // A node of either tree, and the keys once here and twice there.
        const INTERVAL: usize = 64 + 160;
        let keys =
            |start: &[u8], end: Option<&[u8]>| 2 * start.len() + 3 * end.map_or(0, <[u8]>::len);
        let intervals = self
            .intervals()
            .map(|(_, start, end)| INTERVAL + keys(start, end));
        self.points.len() * POINT + self.intervals.len() * 64 + intervals.sum::<usize>()
    }
}

impl IntervalSet {
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.by_start
            .range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key)))
            .next_back()
            .is_some_and(|(_, end)| end.as_deref().is_none_or(|end| key < end))
    }

    /// Adds an interval, merging it with those it overlaps or touches.
    pub fn add(&mut self, interval: Interval) {
        let Interval { mut start, mut end } = interval;
        if end.as_ref().is_some_and(|end| *end <= start) {
            return;
        }
        if self.extend_in_place(&start, &mut end) {
            return;
        }
        if let Some((before_start, before_end)) = self
            .by_start
            .range::<[u8], _>((
                std::ops::Bound::Unbounded,
                std::ops::Bound::Included(start.as_slice()),
            ))
            .next_back()
        {
            match before_end {
                None => return,
                Some(before_end) if *before_end >= start => {
                    if end.as_ref().is_some_and(|end| before_end >= end) {
                        return;
                    }
                    start = before_start.clone();
                }
                Some(_) => {}
            }
        }
        loop {
            let next = self
                .by_start
                .range::<[u8], _>((
                    std::ops::Bound::Included(start.as_slice()),
                    std::ops::Bound::Unbounded,
                ))
                .next()
                .filter(|(next, _)| end.as_ref().is_none_or(|end| *next <= end))
                .map(|(next, next_end)| (next.clone(), next_end.clone()));
            let Some((next_start, next_end)) = next else {
                break;
            };
            self.by_start.remove(&next_start);
            end = match (end, next_end) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
        }
        self.by_start.insert(start, end);
    }

    /// Adds an interval that reaches no later one, which is how a scan grows:
    /// without a copy of its start. `false` if there is one to merge with.
    fn extend_in_place(&mut self, start: &[u8], end: &mut Option<Vec<u8>>) -> bool {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let reaches_next = self
            .by_start
            .range::<[u8], _>((Excluded(start), Unbounded))
            .next()
            .is_some_and(|(next, _)| end.as_ref().is_none_or(|end| next <= end));
        if reaches_next {
            return false;
        }
        let before = self
            .by_start
            .range_mut::<[u8], _>((Unbounded, Included(start)))
            .next_back();
        match before {
            Some((_, None)) => {}
            Some((_, before_end @ Some(_))) if before_end.as_deref() >= Some(start) => {
                if end.is_none() || before_end.as_ref() < end.as_ref() {
                    *before_end = end.take();
                }
            }
            _ => {
                self.by_start.insert(start.to_vec(), end.take());
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn interval_set_equals_union(pairs in prop::collection::vec((0u8..40, 0u8..40, prop::bool::weighted(0.05)), 0..30)) {
            let mut set = IntervalSet::default();
            for (start, end, unbounded) in &pairs {
                set.add(Interval { start: vec![*start], end: (!unbounded).then(|| vec![*end]) });
            }
            for key in 0u8..=41 {
                let expected = pairs.iter().any(|(start, end, unbounded)| *start <= key && (*unbounded || key < *end));
                prop_assert_eq!(set.contains(&[key]), expected, "key {}", key);
            }
            let flat: Vec<_> = set.by_start.iter().collect();
            for pair in flat.windows(2) {
                prop_assert!(pair[0].1.as_ref().is_some_and(|end| end < pair[1].0), "not disjoint: {:?}", flat);
            }
        }
    }
}
