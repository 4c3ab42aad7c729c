//! The settings of a data file.

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How much memory and disk a [`SqliteStore`](crate::SqliteStore) may use.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The length of the write-ahead log past which new snapshots are held
    /// back for the few milliseconds that it takes to start the log again.
    /// Commits wait for that at four times this length. Default 64 MiB.
    pub wal_limit_bytes: u64,
    /// How much the write-ahead log grows between checkpoints, which copy its
    /// pages to the main file. Longer saves work where the same pages change
    /// again and again; shorter makes recovery after a crash quicker.
    /// Default 8 MiB.
    pub checkpoint_interval_bytes: u64,
    /// The page cache of the writer. It survives from commit to commit, so it
    /// should hold the inner pages of the trees. Default 4 MiB.
    pub writer_cache_bytes: u64,
    /// The page cache of each reader. A commit by the writer empties it, so it
    /// only has to serve one snapshot; behind it is the system's file cache.
    /// Taken as it fills. Default 8 MiB: with 1 MiB, a query of 100 documents
    /// read 8.7 pages per document from the file again and again.
    pub reader_cache_bytes: u64,
    /// How much of the main file each reader maps into memory instead of
    /// copying pages out of it. Mapped pages count as resident memory of the
    /// process once touched, in each reader anew; in exchange, random reads of
    /// data larger than the cache take less than half the time (see the
    /// example `measure`). Default 0: off.
    pub reader_map_bytes: u64,
    /// The size that the main file may not exceed; commits past it fail with
    /// [`hull_store::StoreError::DiskFull`]. Default `None`: the disk's.
    pub file_limit_bytes: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            wal_limit_bytes: 64 * MIB,
            checkpoint_interval_bytes: 8 * MIB,
            writer_cache_bytes: 4 * MIB,
            reader_cache_bytes: 8 * MIB,
            reader_map_bytes: 0,
            file_limit_bytes: None,
        }
    }
}
