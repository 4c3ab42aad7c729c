//! Intervals of byte strings that can be stabbed with a key.
//!
//! A treap ordered by (start, owner), each node also knowing the largest end
//! below it: adding and removing are O(log n), a stab is O(log n + hits).

use std::cmp::Ordering;

/// `None` is "no end": larger than every key.
type End = Option<Box<[u8]>>;

struct Node {
    start: Box<[u8]>,
    end: End,
    owner: u64,
    priority: u64,
    max_end: End,
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
}

#[derive(Default)]
pub(crate) struct IntervalTree {
    root: Option<Box<Node>>,
    len: usize,
    /// State of the xorshift that balances the treap; the shape never shows outside.
    state: u64,
}

impl IntervalTree {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an interval for `owner`. The same (start, owner) may not be added twice.
    pub(crate) fn insert(&mut self, start: &[u8], end: Option<&[u8]>, owner: u64) {
        let priority = self.next_priority();
        let end: End = end.map(Into::into);
        let node = Box::new(Node {
            start: start.into(),
            max_end: end.clone(),
            end,
            owner,
            priority,
            left: None,
            right: None,
        });
        self.root = Some(insert(self.root.take(), node));
        self.len += 1;
    }

    /// Removes what was added with the same start and owner.
    pub(crate) fn remove(&mut self, start: &[u8], owner: u64) {
        let (root, removed) = remove(self.root.take(), start, owner);
        self.root = root;
        self.len -= usize::from(removed);
    }

    /// Calls `hit` with the owner of each interval that contains `key`.
    pub(crate) fn stab(&self, key: &[u8], hit: &mut impl FnMut(u64)) {
        stab(self.root.as_deref(), key, hit);
    }

    fn next_priority(&mut self) -> u64 {
        let mut x = self.state ^ 0x9e37_79b9_7f4a_7c15;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.state = x;
        x
    }
}

impl Node {
    fn update(&mut self) {
        let mut max = &self.end;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if ends_later(&child.max_end, max) {
                max = &child.max_end;
            }
        }
        self.max_end = max.clone();
    }

    fn order(&self, start: &[u8], owner: u64) -> Ordering {
        start.cmp(&self.start).then(owner.cmp(&self.owner))
    }
}

fn ends_later(a: &End, b: &End) -> bool {
    match (a, b) {
        (None, None) => false,
        (None, Some(_)) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => a > b,
    }
}

fn insert(tree: Option<Box<Node>>, node: Box<Node>) -> Box<Node> {
    let Some(mut root) = tree else { return node };
    if root.order(&node.start, node.owner) == Ordering::Less {
        let left = insert(root.left.take(), node);
        if left.priority > root.priority {
            return rotate_right(root, left);
        }
        root.left = Some(left);
    } else {
        let right = insert(root.right.take(), node);
        if right.priority > root.priority {
            return rotate_left(root, right);
        }
        root.right = Some(right);
    }
    root.update();
    root
}

fn rotate_right(mut root: Box<Node>, mut left: Box<Node>) -> Box<Node> {
    root.left = left.right.take();
    root.update();
    left.right = Some(root);
    left.update();
    left
}

fn rotate_left(mut root: Box<Node>, mut right: Box<Node>) -> Box<Node> {
    root.right = right.left.take();
    root.update();
    right.left = Some(root);
    right.update();
    right
}

fn remove(tree: Option<Box<Node>>, start: &[u8], owner: u64) -> (Option<Box<Node>>, bool) {
    let Some(mut root) = tree else {
        return (None, false);
    };
    let removed;
    match root.order(start, owner) {
        Ordering::Less => (root.left, removed) = remove(root.left.take(), start, owner),
        Ordering::Greater => (root.right, removed) = remove(root.right.take(), start, owner),
        Ordering::Equal => return (merge(root.left.take(), root.right.take()), true),
    }
    root.update();
    (Some(root), removed)
}

fn merge(left: Option<Box<Node>>, right: Option<Box<Node>>) -> Option<Box<Node>> {
    match (left, right) {
        (None, tree) | (tree, None) => tree,
        (Some(mut left), Some(mut right)) => Some(if left.priority > right.priority {
            left.right = merge(left.right.take(), Some(right));
            left.update();
            left
        } else {
            right.left = merge(Some(left), right.left.take());
            right.update();
            right
        }),
    }
}

fn stab(node: Option<&Node>, key: &[u8], hit: &mut impl FnMut(u64)) {
    let Some(node) = node else { return };
    if node.max_end.as_deref().is_some_and(|end| end <= key) {
        return;
    }
    stab(node.left.as_deref(), key, hit);
    if *node.start <= *key {
        if node.end.as_deref().is_none_or(|end| key < end) {
            hit(node.owner);
        }
        stab(node.right.as_deref(), key, hit);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stab_equals_scan(
            intervals in prop::collection::vec((0u8..60, 0u8..70, prop::bool::weighted(0.1)), 0..60),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut tree = IntervalTree::default();
            let mut model: Vec<Option<(u8, Option<u8>)>> = Vec::new();
            for (owner, (start, end, unbounded)) in intervals.iter().enumerate() {
                let end = (!unbounded).then_some(*end);
                tree.insert(&[*start], end.as_ref().map(std::slice::from_ref), owner as u64);
                model.push(Some((*start, end)));
            }
            let removed = if model.is_empty() { &[] } else { removed.as_slice() };
            for index in removed {
                let owner = index.index(model.len());
                if let Some((start, _)) = model[owner].take() {
                    tree.remove(&[start], owner as u64);
                }
            }
            prop_assert_eq!(tree.len(), model.iter().flatten().count());
            for key in 0u8..80 {
                let mut hits = Vec::new();
                tree.stab(&[key], &mut |owner| hits.push(owner));
                hits.sort_unstable();
                let expected: Vec<u64> = model
                    .iter()
                    .enumerate()
                    .filter(|(_, interval)| {
                        interval.is_some_and(|(start, end)| start <= key && end.is_none_or(|end| key < end))
                    })
                    .map(|(owner, _)| owner as u64)
                    .collect();
                prop_assert_eq!(hits, expected);
            }
        }
    }
}
