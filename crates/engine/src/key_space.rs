use hull_store::{IndexId, TabletId};

/// One ordered space of keys that reads and writes are recorded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySpace {
    /// The documents of a tablet by internal id (16 bytes): the `by_id` index.
    Tablet(TabletId),
    /// The entries of an index, stored or (for system tables) computed.
    Index(IndexId),
}
