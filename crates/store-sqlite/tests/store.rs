//! The shared suite on real files, and what is particular to files.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use hull_store::conformance::TestBed;
use hull_store::{
    CommitRecord, DocumentWrite, IndexId, IndexWrite, Order, Store, StoreError, TabletGrowth,
    TabletId, TabletUsage, Writer,
};
use hull_store_sqlite::{OpenError, SqliteOptions, SqliteStore};
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};
use tempfile::TempDir;

struct Bed {
    directory: TempDir,
    options: SqliteOptions,
}

impl Bed {
    fn new(options: SqliteOptions) -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            options,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory
            .path()
            .join("deployment")
            .join("data.sqlite3")
    }

    fn open_sqlite(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), self.options.clone()).unwrap()
    }
}

impl TestBed for Bed {
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(self.open_sqlite())
    }
}

mod with_default_options {
    use super::*;

    hull_store::conformance_tests!(|| Box::new(Bed::new(SqliteOptions::default())));
}

/// Everything at its tightest: caches smaller than a transaction, mapped
/// reads, checkpoints and restarts with nearly every commit.
mod with_tight_options {
    use super::*;

    fn options() -> SqliteOptions {
        SqliteOptions {
            wal_limit_bytes: 32 * 1024,
            checkpoint_interval_bytes: 4 * 1024,
            writer_cache_bytes: 16 * 1024,
            reader_cache_bytes: 16 * 1024,
            reader_map_bytes: 1024 * 1024,
            file_limit_bytes: None,
        }
    }

    hull_store::conformance_tests!(|| Box::new(Bed::new(options())));
}

/// A commit of one document of `len` bytes, new each time.
fn record(ts: u64, len: usize) -> CommitRecord {
    let mut id = InternalId([0; 16]);
    // Spread over the tree, as random ids are.
    id.0[..8].copy_from_slice(&ts.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    id.0[8..].copy_from_slice(&ts.to_le_bytes());
    CommitRecord {
        ts: Timestamp(ts),
        documents: vec![DocumentWrite {
            tablet: TabletId(1),
            id,
            prev_ts: None,
            value: Some(Bytes::from(vec![ts as u8; len])),
        }],
        indexes: vec![IndexWrite {
            index: IndexId(1),
            key: ts.to_be_bytes().to_vec(),
            target: Some(id),
        }],
        growth: vec![TabletGrowth {
            tablet: TabletId(1),
            documents: 1,
            bytes: len as i64,
        }],
    }
}

fn commit(writer: &mut dyn Writer, ts: u64, len: usize) -> Result<(), StoreError> {
    writer.commit(&[record(ts, len)])
}

fn wal_len(path: &Path) -> u64 {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    fs::metadata(PathBuf::from(wal)).map_or(0, |metadata| metadata.len())
}

#[test]
fn the_write_ahead_log_is_bounded_under_constant_short_reads() {
    let limit = 256 * 1024;
    let bed = Bed::new(SqliteOptions {
        wal_limit_bytes: limit,
        checkpoint_interval_bytes: 64 * 1024,
        ..SqliteOptions::default()
    });
    let store = bed.open_sqlite();
    let mut writer = store.writer().unwrap();
    let is_done = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        // The snapshots of these overlap: there is always one.
        for _ in 0..3 {
            let mut reader = store.reader().unwrap();
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    reader.begin().unwrap();
                    reader.read_log(Timestamp(0), 3).unwrap();
                    reader.end();
                }
            });
        }
        let mut longest = 0;
        for ts in 1..=600 {
            commit(writer.as_mut(), ts, 5_000).unwrap();
            longest = longest.max(wal_len(&bed.path()));
        }
        is_done.store(true, Ordering::Relaxed);
        longest
    });
    // Without a restart it would be about 15 MB. Commits wait at four times
    // the limit, and one commit more may be under way.
    assert!(longest > limit / 2, "{longest}");
    assert!(longest < limit * 5, "{longest}");
}

#[test]
fn a_snapshot_held_for_long_neither_blocks_commits_for_ever_nor_changes() {
    let bed = Bed::new(SqliteOptions {
        wal_limit_bytes: 32 * 1024,
        checkpoint_interval_bytes: 8 * 1024,
        ..SqliteOptions::default()
    });
    let store = bed.open_sqlite();
    let mut writer = store.writer().unwrap();
    commit(writer.as_mut(), 1, 10).unwrap();
    let mut old = store.reader().unwrap();
    assert_eq!(old.begin(), Ok(Timestamp(1)));
    for ts in 2..12 {
        commit(writer.as_mut(), ts, 8_000).unwrap();
        // The same thread gets another snapshot although the gate may be closed.
        let mut new = store.reader().unwrap();
        assert_eq!(new.begin(), Ok(Timestamp(ts)));
    }
    assert_eq!(old.read_log(Timestamp(0), 10).unwrap().len(), 1);
}

#[test]
fn a_clean_close_leaves_one_data_file() {
    let bed = Bed::new(SqliteOptions::default());
    let store = bed.open_sqlite();
    let mut writer = store.writer().unwrap();
    commit(writer.as_mut(), 1, 10).unwrap();
    // The writer outlives the store and still works.
    drop(store);
    commit(writer.as_mut(), 2, 10).unwrap();
    drop(writer);
    let names: Vec<_> = contents(bed.path().parent().unwrap()).into_keys().collect();
    assert_eq!(names, ["data.sqlite3", "data.sqlite3.lock"]);
    let store = bed.open_sqlite();
    assert_eq!(store.reader().unwrap().begin(), Ok(Timestamp(2)));
}

#[test]
fn a_full_disk_refuses_the_commit_and_later_ones_that_fit_succeed() {
    let bed = Bed::new(SqliteOptions {
        file_limit_bytes: Some(200 * 1024),
        ..SqliteOptions::default()
    });
    let store = bed.open_sqlite();
    let mut writer = store.writer().unwrap();
    commit(writer.as_mut(), 1, 50_000).unwrap();
    let refused = commit(writer.as_mut(), 2, 500_000);
    assert_eq!(refused, Err(StoreError::DiskFull));
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.begin(), Ok(Timestamp(1)));
    // The timestamp was not used up.
    commit(writer.as_mut(), 2, 10).unwrap();
    assert_eq!(reader.begin(), Ok(Timestamp(2)));
}

#[test]
fn any_cut_of_the_write_ahead_log_leaves_a_prefix_of_the_commits() {
    let bed = Bed::new(SqliteOptions::default());
    let store = bed.open_sqlite();
    let mut writer = store.writer().unwrap();
    // Where the log ended after each commit.
    let mut ends = vec![0];
    for ts in 1..=6 {
        commit(writer.as_mut(), ts, 700 * ts as usize).unwrap();
        ends.push(wal_len(&bed.path()));
    }
    let files = contents(bed.path().parent().unwrap());
    let wal = &files["data.sqlite3-wal"];
    let step = 1_031;
    for cut in (0..=wal.len()).step_by(step) {
        let image = TempDir::new().unwrap();
        let path = image.path().join("data.sqlite3");
        fs::write(&path, &files["data.sqlite3"]).unwrap();
        fs::write(image.path().join("data.sqlite3-wal"), &wal[..cut]).unwrap();
        let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        let mut reader = store.reader().unwrap();
        let newest = reader.begin().unwrap().0;
        let whole = ends.iter().rposition(|end| *end <= cut as u64).unwrap() as u64;
        assert_eq!(newest, whole, "cut at {cut}");
        let log = reader.read_log(Timestamp(0), 100).unwrap();
        let expected = (1..=newest).map(|ts| record(ts, 700 * ts as usize).documents);
        assert!(log.into_iter().map(|entry| entry.documents).eq(expected));
    }
}

#[test]
fn a_second_open_is_refused_until_the_last_handle_is_gone() {
    let bed = Bed::new(SqliteOptions::default());
    let store = bed.open_sqlite();
    let reader = store.reader().unwrap();
    let open = || SqliteStore::open(&bed.path(), SqliteOptions::default());
    let error = open().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is already in use by another process (pid {})",
            bed.path().display(),
            std::process::id()
        )
    );
    drop(store);
    assert!(matches!(open(), Err(OpenError::InUse { .. })));
    drop(reader);
    open().unwrap();
}

/// Names and bytes of all files in a directory.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Opens what `prepare` puts at the path, and expects a refusal with this text
/// that changes no byte and adds no file.
fn check_refused(name: &str, expected: &str, prepare: impl FnOnce(&Path)) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    prepare(&path);
    let before = contents(directory.path());
    let error = SqliteStore::open(&path, SqliteOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(expected), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert_eq!(contents(directory.path()), before);
}

fn foreign_database(path: &Path, mode: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))
        .unwrap();
    connection
        .execute_batch(
            "CREATE TABLE documents(id BLOB, ts INTEGER); INSERT INTO documents VALUES(x'01', 2)",
        )
        .unwrap();
}

/// A closed data file of ours with some commits.
fn own_file(path: &Path) {
    let store = SqliteStore::open(path, SqliteOptions::default()).unwrap();
    let mut writer = store.writer().unwrap();
    for ts in 1..20 {
        commit(writer.as_mut(), ts, 2_000).unwrap();
    }
    drop((store, writer));
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    fs::remove_file(lock).unwrap();
}

/// Overwrites bytes of a closed data file.
fn patch(path: &Path, offset: usize, bytes: &[u8]) {
    let mut file = fs::read(path).unwrap();
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    fs::write(path, file).unwrap();
}

#[test]
fn other_sqlite_databases_are_refused_untouched() {
    for mode in ["DELETE", "WAL"] {
        let expected = "not a Hull data file (it is the SQLite database of another program), so it was left untouched";
        check_refused("data.sqlite3", expected, |path| {
            foreign_database(path, mode)
        });
        check_refused(
            "convex_local_backend.sqlite3",
            "looks like the database of the original Convex backend",
            |path| foreign_database(path, mode),
        );
    }
}

#[test]
fn garbage_is_refused_untouched() {
    let expected = "it is not even an SQLite database";
    check_refused("data", expected, |path| {
        fs::write(path, b"garbage").unwrap()
    });
    check_refused("data", expected, |path| {
        fs::write(path, [7; 9_000]).unwrap()
    });
    check_refused("data", "it is empty", |path| fs::write(path, b"").unwrap());
}

#[test]
fn a_directory_is_refused() {
    let directory = TempDir::new().unwrap();
    let error = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap_err();
    assert!(error.to_string().contains("not a regular file"));
}

#[test]
fn a_newer_format_is_refused_untouched() {
    check_refused(
        "data",
        "newer version of Hull (file format 4, this version reads up to 3)",
        |path| {
            own_file(path);
            patch(path, 60, &4_u32.to_be_bytes());
        },
    );
}

#[test]
fn a_file_of_format_1_is_upgraded() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data");
    own_file(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE old(
               tablet INTEGER NOT NULL, id BLOB NOT NULL, ts INTEGER NOT NULL, value BLOB NOT NULL,
               PRIMARY KEY(tablet, id)
             ) WITHOUT ROWID, STRICT;
             INSERT INTO old SELECT tablet, id, ts, value FROM documents;
             DROP TABLE documents;
             ALTER TABLE old RENAME TO documents;
             CREATE TABLE old(ts INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
             INSERT INTO old SELECT ts, entry FROM log;
             DROP TABLE log;
             ALTER TABLE old RENAME TO log;
             DROP TABLE tablets;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    for _ in 0..2 {
        let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        let mut reader = store.reader().unwrap();
        reader.begin().unwrap();
        let everything = Interval {
            start: Vec::new(),
            end: None,
        };
        let rows = reader
            .scan_index_documents(IndexId(1), TabletId(1), &everything, Order::Asc, 100)
            .unwrap();
        let expected = (1..20).map(|ts| {
            let write = record(ts, 2_000).documents.remove(0);
            (write.id, Timestamp(ts), write.value.unwrap())
        });
        assert!(
            rows.into_iter()
                .map(|row| (row.id, row.ts, row.value))
                .eq(expected)
        );
        let log = reader.read_log(Timestamp(0), 100).unwrap();
        assert!(
            log.into_iter()
                .map(|entry| entry.documents)
                .eq((1..20).map(|ts| record(ts, 2_000).documents))
        );
        let usage = store.writer().unwrap().usage().unwrap();
        assert!((38_000..40_000).contains(&usage.log_bytes), "{usage:?}");
        let usage = TabletUsage {
            documents: 19,
            bytes: 38_000,
        };
        assert_eq!(reader.tablet_usage(TabletId(1)), Ok(usage));
    }
}

#[test]
fn a_truncated_file_is_refused_untouched() {
    for keep in [5_000, 4_096 * 3, 50] {
        let expected = if keep < 100 {
            "not a Hull"
        } else {
            "truncated to"
        };
        check_refused("data", expected, |path| {
            own_file(path);
            let file = fs::read(path).unwrap();
            fs::write(path, &file[..keep]).unwrap();
        });
    }
}

#[test]
fn a_log_without_its_file_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data");
    fs::write(directory.path().join("data-wal"), b"left over").unwrap();
    let error = SqliteStore::open(&path, SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(contents(directory.path()).len(), 1);
}

#[test]
fn damage_inside_the_file_is_an_error_when_it_is_read() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data");
    own_file(&path);
    let len = fs::metadata(&path).unwrap().len() as usize;
    for page in 5..len / 4_096 {
        patch(&path, page * 4_096, &[0xee; 64]);
    }
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    let mut reader = store.reader().unwrap();
    let error = reader
        .begin()
        .and_then(|_| reader.read_log(Timestamp(0), 100))
        .unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_creation_that_was_cut_off_is_started_over() {
    let bed = Bed::new(SqliteOptions::default());
    fs::create_dir(bed.path().parent().unwrap()).unwrap();
    let draft = bed.path().with_file_name("data.sqlite3.new");
    fs::write(&draft, b"half a file").unwrap();
    let store = bed.open_sqlite();
    commit(store.writer().unwrap().as_mut(), 1, 10).unwrap();
    assert!(!draft.exists());
}
