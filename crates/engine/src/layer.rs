//! Changes that lie over the rows of a store: a transaction's own writes, and
//! the commits between the store's state and a snapshot's.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use hull_store::{Order, TabletId};
use hull_value::{InternalId, PackedValue, Timestamp, keys::Interval};

use crate::snapshot::ScanTarget;

/// A key that a layer says something about: the row is there now, or (`None`) it is not.
pub(crate) type Change<'a> = (&'a [u8], Option<InternalId>);

/// Changes in the order of a scan.
pub(crate) type ChangesInOrder<'a> = Box<dyn Iterator<Item = Change<'a>> + 'a>;

/// Changes laid over a scan, later layers winning over earlier ones.
pub(crate) trait Layer {
    /// What the layer says about the keys of `interval`. Costs O(changes taken),
    /// however many the layer holds.
    fn changes<'a>(
        &'a self,
        target: ScanTarget<'_>,
        interval: &Interval,
        order: Order,
    ) -> ChangesInOrder<'a>;
    /// `Some(None)`: the layer says that the document does not exist.
    fn document(
        &self,
        tablet: TabletId,
        id: InternalId,
    ) -> Option<Option<(Timestamp, PackedValue)>>;
}

/// The changes of two layers in the order of a scan.
pub(crate) struct Changes<'a> {
    /// The later layer last.
    layers: [Peekable<ChangesInOrder<'a>>; 2],
    order: Order,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(layers: [ChangesInOrder<'a>; 2], order: Order) -> Changes<'a> {
        Changes {
            layers: layers.map(Iterator::peekable),
            order,
        }
    }

    /// Takes the next change if it comes before the row with the key `limit`
    /// (`None`: if there is one).
    pub(crate) fn next_before(&mut self, limit: Option<&[u8]>) -> Option<Change<'a>> {
        let next = self.next_key()?;
        let comes_before = limit.is_none_or(|limit| match self.order {
            Order::Asc => next < limit,
            Order::Desc => next > limit,
        });
        if !comes_before {
            return None;
        }
        Some((next, self.next_at(next)?))
    }

    /// Takes what is said about the row with this key, if it is the next.
    pub(crate) fn next_at(&mut self, key: &[u8]) -> Option<Option<InternalId>> {
        let mut change = None;
        for layer in &mut self.layers {
            if let Some((_, later)) = layer.next_if(|(next, _)| *next == key) {
                change = Some(later);
            }
        }
        change
    }

    fn next_key(&mut self) -> Option<&'a [u8]> {
        let [lower, upper] = &mut self.layers;
        match (lower.peek(), upper.peek()) {
            (Some((lower, _)), Some((upper, _))) => Some(match self.order {
                Order::Asc => *lower.min(upper),
                Order::Desc => *lower.max(upper),
            }),
            (lower, upper) => lower.or(upper).map(|(key, _)| *key),
        }
    }
}

/// The changes that a map of index entries holds.
pub(crate) fn entries_in<'a>(
    entries: Option<&'a BTreeMap<Arc<[u8]>, Option<InternalId>>>,
    interval: &Interval,
    order: Order,
) -> ChangesInOrder<'a> {
    let Some(entries) = entries.filter(|_| !interval.is_empty()) else {
        return Box::new(std::iter::empty());
    };
    let end = interval
        .end
        .as_deref()
        .map_or(Bound::Unbounded, Bound::Excluded);
    let range = entries.range::<[u8], _>((Bound::Included(interval.start.as_slice()), end));
    in_order(range.map(|(key, target)| (&**key, *target)), order)
}

/// The changes that a map of documents holds; `exists` tells which of them are there.
pub(crate) fn documents_in<'a, D>(
    documents: &'a BTreeMap<(TabletId, InternalId), D>,
    tablet: TabletId,
    interval: &Interval,
    order: Order,
    exists: impl Fn(&D) -> bool + 'a,
) -> ChangesInOrder<'a> {
    if interval.is_empty() {
        return Box::new(std::iter::empty());
    }
    let start = match id_at(&interval.start) {
        (id, false) => Bound::Included((tablet, id)),
        (id, true) => Bound::Excluded((tablet, id)),
    };
    let end = match interval.end.as_deref().map(id_at) {
        None => Bound::Included((tablet, InternalId([255; 16]))),
        Some((id, false)) => Bound::Excluded((tablet, id)),
        Some((id, true)) => Bound::Included((tablet, id)),
    };
    let changes = documents
        .range((start, end))
        .map(move |((_, id), document)| (id.0.as_slice(), exists(document).then_some(*id)));
    in_order(changes, order)
}

/// The smallest id that is not below `key`, or the id that `key` is just above (`true`).
fn id_at(key: &[u8]) -> (InternalId, bool) {
    let mut id = [0; 16];
    let len = key.len().min(16);
    id[..len].copy_from_slice(&key[..len]);
    (InternalId(id), key.len() > 16)
}

fn in_order<'a>(
    changes: impl DoubleEndedIterator<Item = Change<'a>> + 'a,
    order: Order,
) -> ChangesInOrder<'a> {
    match order {
        Order::Asc => Box::new(changes),
        Order::Desc => Box::new(changes.rev()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> InternalId {
        let mut id = [0; 16];
        id[0] = n / 16;
        id[15] = n % 16;
        InternalId(id)
    }

    /// A bound near the ids of the test: shorter, exact, just after.
    fn bound() -> impl Strategy<Value = Vec<u8>> {
        (0u8..48, 0usize..18).prop_map(|(n, len)| {
            let mut key = id(n).0.to_vec();
            key.push(0);
            key.truncate(len);
            key
        })
    }

    proptest! {
        #[test]
        fn layers_are_merged_like_maps(
            lower in prop::collection::btree_map(0u8..48, any::<bool>(), 0..20),
            upper in prop::collection::btree_map(0u8..48, any::<bool>(), 0..20),
            start in bound(),
            end in prop::option::of(bound()),
            is_ascending in any::<bool>(),
        ) {
            let order = if is_ascending { Order::Asc } else { Order::Desc };
            let interval = Interval { start, end };
            let tablet = TabletId(7);
            let documents = |of: &BTreeMap<u8, bool>, others: bool| {
                let mine = of.iter().map(|(n, exists)| ((tablet, id(*n)), *exists));
                // Neighbours that must not be seen.
                let others = [TabletId(6), TabletId(8)].map(|tablet| ((tablet, id(9)), others));
                mine.chain(others).collect::<BTreeMap<_, _>>()
            };
            let (below, above) = (documents(&lower, true), documents(&upper, false));
            let layer = |of| documents_in(of, tablet, &interval, order, |exists: &bool| *exists);
            let mut changes = Changes::new([layer(&below), layer(&above)], order);
            let mut found = Vec::new();
            while let Some((key, change)) = changes.next_before(None) {
                found.push((key.to_vec(), change));
            }
            let mut merged = lower;
            merged.extend(upper);
            let mut expected: Vec<_> = merged
                .into_iter()
                .map(|(n, exists)| (id(n).0.to_vec(), exists.then_some(id(n))))
                .filter(|(key, _)| interval.contains(key))
                .collect();
            if order == Order::Desc {
                expected.reverse();
            }
            prop_assert_eq!(found, expected);
        }
    }
}
