//! Kills a process in the middle of its commits, again and again on one file,
//! and checks what is left. Run as `kill`: the test. Run with a path as the
//! only argument: the process that commits until it is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use hull_store::{
    CommitRecord, DocumentWrite, IndexId, IndexWrite, Order, Store, TabletGrowth, TabletId,
};
use hull_store_sqlite::{SqliteOptions, SqliteStore};
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

const TABLET: TabletId = TabletId(1);
const INDEX: IndexId = IndexId(1);
const DOCUMENT_COUNT: u64 = 50;
const BATCH_LEN: u64 = 8;
/// Lines read before each kill; a spread over young and old logs.
const ACKNOWLEDGED_BEFORE_KILL: [usize; 8] = [0, 1, 2, 5, 20, 60, 100, 3];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [path] if Path::new(path).is_absolute() => commit_until_killed(Path::new(path)),
        // Test runners pass options like --quiet, and names to select.
        _ => {
            acknowledged_commits_survive_kills();
            println!("acknowledged_commits_survive_kills ... ok");
        }
    }
}

fn options() -> SqliteOptions {
    SqliteOptions {
        // Small, so that the kills hit checkpoints and restarts too.
        wal_limit_bytes: 512 * 1024,
        checkpoint_interval_bytes: 128 * 1024,
        ..SqliteOptions::default()
    }
}

fn acknowledged_commits_survive_kills() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("new").join("data.sqlite3");
    let mut newest_before = 0;
    for line_count in ACKNOWLEDGED_BEFORE_KILL {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = newest_before;
        for line in lines.by_ref().take(line_count) {
            acknowledged = line.unwrap().parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Written before the kill and still in the pipe.
        for line in lines {
            acknowledged = line.unwrap().parse().unwrap();
        }
        newest_before = check(&path, acknowledged);
    }
}

/// Commits for ever, saying the timestamp of each batch once it is durable.
fn commit_until_killed(path: &Path) {
    let store = SqliteStore::open(path, options()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut reader = store.reader().unwrap();
    let mut ts = reader.begin().unwrap().0;
    reader.end();
    let mut stdout = std::io::stdout().lock();
    loop {
        let batch: Vec<_> = (1..=BATCH_LEN).map(|n| record(ts + n)).collect();
        writer.commit(&batch).unwrap();
        ts += BATCH_LEN;
        // One write call: a pipe takes such a short line whole.
        stdout.write_all(format!("{ts}\n").as_bytes()).unwrap();
        stdout.flush().unwrap();
    }
}

/// Commit `ts` writes its number to one document, in turn, and moves its entry.
fn record(ts: u64) -> CommitRecord {
    let document = ts % DOCUMENT_COUNT;
    let id = InternalId([document as u8; 16]);
    let prev_ts = ts
        .checked_sub(DOCUMENT_COUNT)
        .filter(|prev_ts| *prev_ts > 0);
    let entry = |ts: u64, target| IndexWrite {
        index: INDEX,
        key: ts.to_be_bytes().to_vec(),
        target,
    };
    let len = |ts: u64| ts.to_be_bytes().len() as i64 * 100;
    let growth = prev_ts.is_none().then(|| TabletGrowth {
        tablet: TABLET,
        documents: 1,
        bytes: len(ts),
    });
    let mut indexes = vec![entry(ts, Some(id))];
    indexes.extend(prev_ts.map(|prev_ts| entry(prev_ts, None)));
    CommitRecord {
        ts: Timestamp(ts),
        documents: vec![DocumentWrite {
            tablet: TABLET,
            id,
            prev_ts: prev_ts.map(Timestamp),
            value: Some(Bytes::from(ts.to_be_bytes().repeat(100))),
        }],
        indexes,
        growth: growth.into_iter().collect(),
    }
}

/// Checks that the file holds exactly the commits up to some whole batch, all
/// acknowledged ones among them. Returns the newest.
fn check(path: &Path, acknowledged: u64) -> u64 {
    let store = SqliteStore::open(path, options()).unwrap();
    let mut reader = store.reader().unwrap();
    let newest = reader.begin().unwrap().0;
    assert!(newest >= acknowledged, "lost {acknowledged}: at {newest}");
    assert_eq!(newest % BATCH_LEN, 0, "half a batch");

    let usage = reader.tablet_usage(TABLET).unwrap();
    assert_eq!(usage.documents, newest.min(DOCUMENT_COUNT));
    assert_eq!(usage.bytes, usage.documents * 800);
    let log = reader.read_log(Timestamp(0), usize::MAX).unwrap();
    assert_eq!(log.len() as u64, newest);
    for (entry, ts) in log.iter().zip(1..) {
        assert_eq!(entry.ts, Timestamp(ts));
        assert_eq!(entry.documents, record(ts).documents);
    }

    let everything = Interval {
        start: Vec::new(),
        end: None,
    };
    let rows = reader
        .scan_index_documents(INDEX, TABLET, &everything, Order::Asc, usize::MAX)
        .unwrap();
    let oldest = newest.saturating_sub(DOCUMENT_COUNT) + 1;
    assert_eq!(rows.len() as u64, newest.min(DOCUMENT_COUNT));
    for (row, ts) in rows.iter().zip(oldest..) {
        assert_eq!(row.ts, Timestamp(ts));
        assert_eq!(Some(&row.value), record(ts).documents[0].value.as_ref());
    }
    newest
}
