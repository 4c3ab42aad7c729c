//! A map that remembers older values for the snapshots that can still see them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeBounds;

/// The number of a transaction in the order they were written; 0 is before all.
pub(super) type Sequence = u64;

/// An ordered map whose every value is a chain of versions.
#[derive(Debug)]
pub(super) struct Versioned<K, V> {
    chains: BTreeMap<K, Vec<Version<V>>>,
    /// Keys that got a new version, in sequence order: once nobody looks
    /// below that sequence, what came before it in the chain can go.
    superseded: VecDeque<(Sequence, K)>,
}

#[derive(Debug)]
struct Version<V> {
    since: Sequence,
    /// `None` says that the key is absent from `since` on.
    value: Option<V>,
}

impl<K: Ord + Clone, V> Default for Versioned<K, V> {
    fn default() -> Self {
        Self {
            chains: BTreeMap::new(),
            superseded: VecDeque::new(),
        }
    }
}

impl<K: Ord + Clone, V> Versioned<K, V> {
    pub(super) fn put(&mut self, key: K, value: Option<V>, since: Sequence) {
        let chain = self.chains.entry(key.clone()).or_default();
        match chain.last_mut() {
            Some(last) if last.since == since => last.value = value,
            _ => chain.push(Version { since, value }),
        }
        self.superseded.push_back((since, key));
    }

    pub(super) fn get<Q>(&self, key: &Q, at: Sequence) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        visible(self.chains.get(key)?, at)
    }

    pub(super) fn range(
        &self,
        bounds: impl RangeBounds<K>,
        at: Sequence,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.chains
            .range(bounds)
            .filter_map(move |(key, chain)| Some((key, visible(chain, at)?)))
    }

    /// Drops what no snapshot at `oldest` or later can see.
    pub(super) fn sweep(&mut self, oldest: Sequence) {
        while let Some((since, key)) = self.superseded.pop_front() {
            if since > oldest {
                self.superseded.push_front((since, key));
                break;
            }
            let Some(chain) = self.chains.get_mut(&key) else {
                continue;
            };
            let first_kept = chain
                .iter()
                .position(|version| version.since >= since)
                .unwrap_or(chain.len());
            chain.drain(..first_kept);
            if let [only] = chain.as_slice()
                && only.value.is_none()
                && only.since <= oldest
            {
                self.chains.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn version_count(&self) -> usize {
        self.chains.values().map(Vec::len).sum()
    }
}

fn visible<V>(chain: &[Version<V>], at: Sequence) -> Option<&V> {
    chain
        .iter()
        .rev()
        .find(|version| version.since <= at)?
        .value
        .as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_seen_until_swept_and_tombstones_vanish() {
        let mut map = Versioned::default();
        map.put("a", Some(1), 1);
        map.put("a", Some(2), 2);
        map.put("a", None, 3);
        assert_eq!(
            [0, 1, 2, 3].map(|at| map.get("a", at).copied()),
            [None, Some(1), Some(2), None]
        );
        map.sweep(2);
        assert_eq!(map.get("a", 2), Some(&2));
        assert_eq!(map.version_count(), 2);
        map.sweep(3);
        assert_eq!(map.version_count(), 0);
    }
}
