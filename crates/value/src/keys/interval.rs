use super::{end_of_components, successor_of_prefix};

/// A half-open range of keys: `start` inclusive, `end` exclusive, no `end` = unbounded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    pub start: Vec<u8>,
    pub end: Option<Vec<u8>>,
}

impl Interval {
    /// Returns the interval of every key.
    pub fn all() -> Self {
        Self {
            start: Vec::new(),
            end: None,
        }
    }

    /// Returns an interval without keys.
    pub fn empty() -> Self {
        Self {
            start: Vec::new(),
            end: Some(Vec::new()),
        }
    }

    /// Returns the interval of exactly one key.
    pub fn point(key: Vec<u8>) -> Self {
        let mut end = Vec::with_capacity(key.len() + 1);
        end.extend_from_slice(&key);
        end.push(0);
        Self {
            start: key,
            end: Some(end),
        }
    }

    /// Returns the interval of all keys whose first components are exactly `components` (whole encodings).
    pub fn of_components(components: Vec<u8>) -> Self {
        let end = end_of_components(&components);
        Self {
            start: components,
            end: Some(end),
        }
    }

    /// Returns the interval of all byte strings that start with `prefix`; see also [`Interval::of_components`].
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let end = successor_of_prefix(&prefix);
        Self { start: prefix, end }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end.as_deref().is_none_or(|end| key < end)
    }

    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Returns the key if this is the interval of exactly one.
    pub fn as_point(&self) -> Option<&[u8]> {
        let (last, key) = self.end.as_deref()?.split_last()?;
        (*last == 0 && key == self.start).then_some(key)
    }

    /// Tells whether the two have a key in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end =
            |a: &Self, b: &Self| b.end.as_ref().is_none_or(|end| a.start < *end);
        !self.is_empty()
            && !other.is_empty()
            && starts_before_end(self, other)
            && starts_before_end(other, self)
    }

    /// Returns the keys common to both; possibly an empty interval.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let end = match (&self.end, &other.end) {
            (Some(a), Some(b)) => Some(a.min(b).clone()),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        Self {
            start: self.start.clone().max(other.start.clone()),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn intervals() -> impl Strategy<Value = Interval> {
        let key = || prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..3);
        (key(), prop::option::of(key())).prop_map(|(start, end)| Interval { start, end })
    }

    proptest! {
        #[test]
        fn operations_agree_with_membership(
            a in intervals(),
            b in intervals(),
            key in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4),
        ) {
            let both = a.intersect(&b);
            prop_assert_eq!(both.contains(&key), a.contains(&key) && b.contains(&key));
            prop_assert_eq!(a.overlaps(&b), !both.is_empty() && !a.is_empty() && !b.is_empty());
            prop_assert!(!a.is_empty() || !a.contains(&key));
            prop_assert_eq!(Interval::prefix(a.start.clone()).contains(&key), key.starts_with(&a.start));
            prop_assert_eq!(Interval::point(a.start.clone()).contains(&key), key == a.start);
            prop_assert_eq!(a.as_point().is_some(), a == Interval::point(a.start.clone()));
        }
    }

    #[test]
    fn special_intervals() {
        assert!(Interval::all().contains(&[]));
        assert!(Interval::empty().is_empty());
        assert_eq!(Interval::prefix(Vec::new()), Interval::all());
        assert_eq!(Interval::point(vec![7]).as_point(), Some(&[7][..]));
    }
}
