use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use hull_store::{IndexId, Order, TabletId};
use hull_value::{InternalId, PackedValue, Timestamp, keys::Interval};

use crate::key_space::KeySpace;
use crate::layer::{ChangesInOrder, Layer, documents_in, entries_in};
use crate::limits;
use crate::metadata::Metadata;
use crate::snapshot::ScanTarget;
use crate::system;

/// Everything one commit changed, with old and new values.
#[derive(Debug)]
pub(crate) struct CommitChanges {
    pub(crate) ts: Timestamp,
    /// Memory that all this takes.
    pub(crate) size_bytes: usize,
    pub(crate) documents: Vec<DocumentChange>,
    /// Index entries that appeared or vanished.
    pub(crate) entries: Vec<EntryChange>,
    /// Every key, old and new, of every index of every changed document, also
    /// where the key did not change: the document behind it did.
    pub(crate) touched: Vec<(KeySpace, Arc<[u8]>)>,
    /// What the mutation was called, for conflict messages.
    pub(crate) source: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(crate) struct DocumentChange {
    pub(crate) tablet: TabletId,
    pub(crate) id: InternalId,
    pub(crate) old: Option<(Timestamp, PackedValue)>,
    pub(crate) new: Option<PackedValue>,
}

impl DocumentChange {
    /// By how many documents the tablet grows.
    pub(crate) fn growth(&self) -> i64 {
        i64::from(self.new.is_some()) - i64::from(self.old.is_some())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct EntryChange {
    pub(crate) index: IndexId,
    pub(crate) key: Arc<[u8]>,
    pub(crate) old: Option<InternalId>,
    pub(crate) new: Option<InternalId>,
}

impl CommitChanges {
    /// Whether tables, indexes or schemas are others than before.
    pub(crate) fn changes_metadata(&self) -> bool {
        self.documents.iter().any(|change| {
            matches!(
                change.tablet,
                system::TABLES | system::INDEXES | system::SCHEMAS
            )
        })
    }
}

/// The commits of the last seconds, in memory: what turns a store snapshot of
/// any age into a snapshot of exactly the wished timestamp.
#[derive(Debug)]
pub(crate) struct Window {
    commits: VecDeque<Arc<CommitChanges>>,
    size_bytes: usize,
    /// Everything after this timestamp is in `commits`.
    complete_after: Timestamp,
    /// The newest timestamp that a commit was given: none is given twice.
    last_given: Timestamp,
    /// What commits that were not stored had been given, in spans open at their
    /// beginning, oldest first.
    aborted: VecDeque<(Timestamp, Timestamp)>,
    /// Metadata by the timestamp from which on it holds, oldest first; never empty.
    metadata: VecDeque<(Timestamp, Arc<Metadata>)>,
}

impl Window {
    pub(crate) fn new(ts: Timestamp, metadata: Arc<Metadata>) -> Window {
        Window {
            commits: VecDeque::new(),
            size_bytes: 0,
            complete_after: ts,
            last_given: ts,
            aborted: VecDeque::new(),
            metadata: VecDeque::from([(ts, metadata)]),
        }
    }

    pub(crate) fn push(&mut self, commit: Arc<CommitChanges>, metadata: Option<Arc<Metadata>>) {
        assert!(
            self.tip() < commit.ts,
            "invariant: commits come in order of their timestamps"
        );
        self.size_bytes += commit.size_bytes;
        self.last_given = commit.ts;
        if let Some(metadata) = metadata {
            self.metadata.push_back((commit.ts, metadata));
        }
        self.commits.push_back(commit);
    }

    /// Timestamp of the newest commit, durable or not.
    pub(crate) fn tip(&self) -> Timestamp {
        self.commits
            .back()
            .map_or(self.complete_after, |commit| commit.ts)
    }

    /// Returns the timestamp for a commit at `now`.
    pub(crate) fn next_ts(&self, now: Timestamp) -> Timestamp {
        Timestamp((self.last_given.0 + 1).max(now.0))
    }

    /// Takes back every commit after `ts`: the store has refused them. What has
    /// seen one of them is neither right nor can it be committed.
    pub(crate) fn abort_after(&mut self, ts: Timestamp) {
        let kept = self.commits.partition_point(|commit| commit.ts <= ts);
        for commit in self.commits.drain(kept..) {
            self.size_bytes -= commit.size_bytes;
        }
        while self.metadata.len() > 1 && self.metadata.back().is_some_and(|(from, _)| *from > ts) {
            self.metadata.pop_back();
        }
        match self.aborted.back_mut() {
            Some((from, until)) if *from == ts => *until = self.last_given,
            _ if self.last_given > ts => self.aborted.push_back((ts, self.last_given)),
            _ => {}
        }
    }

    /// Whether what is as of `ts` has seen a commit that was taken back.
    pub(crate) fn is_aborted(&self, ts: Timestamp) -> bool {
        let next = self.aborted.partition_point(|(_, until)| *until < ts);
        self.aborted.get(next).is_some_and(|(from, _)| *from < ts)
    }

    /// Whether every commit after `ts` is still here.
    pub(crate) fn covers(&self, ts: Timestamp) -> bool {
        ts >= self.complete_after
    }

    pub(crate) fn metadata_at(&self, ts: Timestamp) -> Option<&Arc<Metadata>> {
        self.metadata
            .iter()
            .rev()
            .find(|(from, _)| *from <= ts)
            .map(|(_, metadata)| metadata)
    }

    /// Metadata at `published`, which may have been read a while ago: what has
    /// been trimmed since, the oldest snapshot there can be stands for.
    pub(crate) fn published_metadata(&self, published: Timestamp) -> &Arc<Metadata> {
        self.metadata_at(published).unwrap_or_else(|| {
            &self
                .metadata
                .front()
                .expect("invariant: the window always holds the tip's metadata")
                .1
        })
    }

    /// Whether a snapshot from before `ts` can still be asked for.
    pub(crate) fn reaches_before(&self, ts: Timestamp) -> bool {
        self.complete_after < ts
    }

    pub(crate) fn tip_metadata(&self) -> &Arc<Metadata> {
        &self
            .metadata
            .back()
            .expect("invariant: the window always holds the tip's metadata")
            .1
    }

    /// Commits in `(after, until]`, oldest first.
    pub(crate) fn between(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl DoubleEndedIterator<Item = &Arc<CommitChanges>> {
        let start = self.commits.partition_point(|commit| commit.ts <= after);
        let end = self
            .commits
            .partition_point(|commit| commit.ts <= until)
            .max(start);
        self.commits.range(start..end)
    }

    /// Forgets published commits that are older than the window or over its memory bound.
    pub(crate) fn trim(&mut self, published: Timestamp, now: Timestamp) {
        let oldest_wanted = Timestamp(now.0.saturating_sub(limits::WINDOW_AGE_NANOS));
        while let Some(first) = self.commits.front()
            && first.ts <= published
            && (first.ts < oldest_wanted || self.size_bytes > limits::WINDOW_BYTES_MAX)
        {
            self.complete_after = first.ts;
            self.size_bytes -= first.size_bytes;
            self.commits.pop_front();
        }
        while self
            .aborted
            .front()
            .is_some_and(|(_, until)| until.0.saturating_add(limits::ABORTED_AGE_NANOS) < now.0)
        {
            self.aborted.pop_front();
        }
        while self.metadata.len() > 1 && self.metadata[1].0 <= self.complete_after {
            self.metadata.pop_front();
        }
        if self.commits.is_empty() && self.commits.capacity() > 64 {
            self.commits.shrink_to(16);
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// The difference between a store snapshot and the wished timestamp.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    documents: BTreeMap<(TabletId, InternalId), Option<(Timestamp, PackedValue)>>,
    entries: HashMap<IndexId, BTreeMap<Arc<[u8]>, Option<InternalId>>>,
    /// By how many documents each tablet grows.
    pub(crate) growth: HashMap<TabletId, i64>,
}

impl Overlay {
    /// Builds what has to be laid over the store's state at `stored` to see the
    /// state at `wished`; `commits` are those between the two, oldest first.
    pub(crate) fn build(
        commits: &[Arc<CommitChanges>],
        stored: Timestamp,
        wished: Timestamp,
    ) -> Overlay {
        let mut overlay = Overlay::default();
        if wished >= stored {
            for commit in commits {
                for change in &commit.documents {
                    let new = change.new.clone().map(|value| (commit.ts, value));
                    overlay.grow(change.tablet, change.growth());
                    overlay.documents.insert((change.tablet, change.id), new);
                }
                for entry in &commit.entries {
                    overlay
                        .entries
                        .entry(entry.index)
                        .or_default()
                        .insert(entry.key.clone(), entry.new);
                }
            }
        } else {
            for commit in commits.iter().rev() {
                for change in &commit.documents {
                    overlay.grow(change.tablet, -change.growth());
                    overlay
                        .documents
                        .insert((change.tablet, change.id), change.old.clone());
                }
                for entry in &commit.entries {
                    overlay
                        .entries
                        .entry(entry.index)
                        .or_default()
                        .insert(entry.key.clone(), entry.old);
                }
            }
        }
        overlay
    }

    fn grow(&mut self, tablet: TabletId, documents: i64) {
        if documents != 0 {
            *self.growth.entry(tablet).or_default() += documents;
        }
    }
}

impl Layer for Overlay {
    fn changes<'a>(
        &'a self,
        target: ScanTarget<'_>,
        interval: &Interval,
        order: Order,
    ) -> ChangesInOrder<'a> {
        match target {
            ScanTarget::Tablet(tablet) => {
                documents_in(&self.documents, tablet, interval, order, Option::is_some)
            }
            ScanTarget::Index(index) => entries_in(self.entries.get(&index.index), interval, order),
        }
    }

    fn document(
        &self,
        tablet: TabletId,
        id: InternalId,
    ) -> Option<Option<(Timestamp, PackedValue)>> {
        self.documents.get(&(tablet, id)).cloned()
    }
}
