//! Prints what the store costs on this machine:
//! `cargo run --release -p hull-store-sqlite --example measure [directory]`.
//!
//! 200,000 documents of 300 bytes with two index entries each, as in the
//! design's table of budgets.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program to look at"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hull_store::{
    CommitRecord, DocumentWrite, IndexId, IndexWrite, Order, Reader, Store, TabletGrowth, TabletId,
    Writer,
};
use hull_store_sqlite::{SqliteOptions, SqliteStore};
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

const TABLET: TabletId = TabletId(1);
const BY_TIME: IndexId = IndexId(1);
const BY_NUMBER: IndexId = IndexId(2);
const DOCUMENT_COUNT: u64 = 200_000;
const VALUE_LEN: usize = 300;
const GROUP_LEN: u64 = 64;
const ROUNDS: u64 = 400;

fn main() {
    let directory = tempfile::TempDir::new().unwrap();
    let directory = std::env::args()
        .nth(1)
        .map_or_else(|| directory.path().to_owned(), PathBuf::from);
    let path = directory.join("measure.sqlite3");
    let mut options = SqliteOptions::default();
    if let Ok(mib) = std::env::var("MAP_MIB") {
        options.reader_map_bytes = mib.parse::<u64>().unwrap() << 20;
    }
    let started = Instant::now();
    let store = SqliteStore::open(&path, options.clone()).unwrap();
    println!("open, new file: {:?}", started.elapsed());
    let mut writer = store.writer().unwrap();

    let started = Instant::now();
    for group in 0..DOCUMENT_COUNT / 1_000 {
        let inserts: Vec<_> = (0..1_000).map(|n| insert(group * 1_000 + n)).collect();
        writer.commit(&inserts).unwrap();
    }
    println!("load: {:?}", started.elapsed());
    print_memory("after load");

    let mut times = Vec::new();
    let mut ts = DOCUMENT_COUNT;
    for _ in 0..ROUNDS {
        let batch: Vec<_> = (1..=GROUP_LEN).map(|n| insert(ts + n - 1)).collect();
        ts += GROUP_LEN;
        times.push(time(|| writer.commit(&batch).unwrap()));
    }
    report("group of 64 inserts", &mut times);
    for _ in 0..ROUNDS {
        let batch: Vec<_> = (1..=GROUP_LEN).map(|n| update(ts + n)).collect();
        ts += GROUP_LEN;
        times.push(time(|| writer.commit(&batch).unwrap()));
    }
    report("group of 64 updates (no key changed)", &mut times);

    let mut reader = store.reader().unwrap();
    measure_reads(reader.as_mut(), "quiet");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| commit_until(writer.as_mut(), ts, &is_done));
        measure_reads(reader.as_mut(), "while writing");
        is_done.store(true, Ordering::Relaxed);
    });
    thread::scope(|scope| {
        let mut other = store.reader().unwrap();
        scope.spawn(move || measure_reads(other.as_mut(), "two readers, a"));
        measure_reads(reader.as_mut(), "two readers, b");
    });
    print_memory("with 1 writer, 1 reader");
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let mut reader = store.reader().unwrap();
            measure_scan(reader.as_mut(), 200);
            reader
        })
        .collect();
    print_memory("with 8 more readers, used");

    drop((reader, readers, writer));
    let started = Instant::now();
    drop(store);
    println!("close: {:?}", started.elapsed());
    let started = Instant::now();
    let store = SqliteStore::open(&path, options).unwrap();
    store.reader().unwrap().begin().unwrap();
    println!("open and first read: {:?}", started.elapsed());
}

fn measure_reads(reader: &mut dyn Reader, label: &str) {
    let mut begins: Vec<_> = (0..20_000)
        .map(|_| {
            time(|| {
                reader.begin().unwrap();
                reader.end();
            })
        })
        .collect();
    report(&format!("{label}: begin and end"), &mut begins);
    reader.begin().unwrap();
    let mut gets: Vec<_> = (0..100_000)
        .map(|n| {
            let id = id(n * 7_919 % DOCUMENT_COUNT);
            time(|| assert!(reader.get(TABLET, id).unwrap().is_some()))
        })
        .collect();
    reader.end();
    report(&format!("{label}: point read"), &mut gets);
    let mut alone: Vec<_> = (0..20_000)
        .map(|n| {
            let id = id(n * 7_919 % DOCUMENT_COUNT);
            time(|| {
                reader.begin().unwrap();
                assert!(reader.get(TABLET, id).unwrap().is_some());
                reader.end();
            })
        })
        .collect();
    report(&format!("{label}: begin, point read, end"), &mut alone);
    report(
        &format!("{label}: begin, 100-row scan with documents, end"),
        &mut measure_scan(reader, 2_000),
    );
}

fn measure_scan(reader: &mut dyn Reader, rounds: u64) -> Vec<Duration> {
    (0..rounds)
        .map(|n| {
            let start = n * 104_729 % (DOCUMENT_COUNT - 100);
            let interval = Interval {
                start: start.to_be_bytes().to_vec(),
                end: None,
            };
            time(|| {
                reader.begin().unwrap();
                let rows = reader
                    .scan_index_documents(BY_TIME, TABLET, &interval, Order::Asc, 100)
                    .unwrap();
                reader.end();
                assert_eq!(rows.len(), 100);
            })
        })
        .collect()
}

fn commit_until(writer: &mut dyn Writer, mut ts: u64, is_done: &AtomicBool) {
    while !is_done.load(Ordering::Relaxed) {
        let batch: Vec<_> = (1..=GROUP_LEN).map(|n| update(ts + n)).collect();
        ts += GROUP_LEN;
        writer.commit(&batch).unwrap();
    }
}

/// Document `n`, committed at `n + 1`.
fn insert(n: u64) -> CommitRecord {
    let entry = |index, key: &[u8]| IndexWrite {
        index,
        key: key.to_vec(),
        target: Some(id(n)),
    };
    CommitRecord {
        ts: Timestamp(n + 1),
        documents: vec![write(n, None)],
        indexes: vec![
            entry(BY_TIME, &n.to_be_bytes()),
            entry(BY_NUMBER, &[mix(n).to_be_bytes(), n.to_be_bytes()].concat()),
        ],
        growth: vec![TabletGrowth {
            tablet: TABLET,
            documents: 1,
            bytes: VALUE_LEN as i64,
        }],
    }
}

fn update(ts: u64) -> CommitRecord {
    let n = mix(ts) % DOCUMENT_COUNT;
    CommitRecord {
        ts: Timestamp(ts),
        documents: vec![write(n, Some(Timestamp(n + 1)))],
        indexes: Vec::new(),
        growth: Vec::new(),
    }
}

fn write(n: u64, prev_ts: Option<Timestamp>) -> DocumentWrite {
    DocumentWrite {
        tablet: TABLET,
        id: id(n),
        prev_ts,
        value: Some(Bytes::from(vec![n as u8; VALUE_LEN])),
    }
}

fn id(n: u64) -> InternalId {
    let mut id = InternalId([0; 16]);
    id.0[..8].copy_from_slice(&mix(n).to_le_bytes());
    id.0[8..].copy_from_slice(&n.to_le_bytes());
    id
}

/// Spreads numbers as random ids are spread (the finalizer of splitmix64).
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn time(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn report(label: &str, times: &mut Vec<Duration>) {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{label}: p50 {p50:?}, p99 {p99:?}");
    times.clear();
}

fn print_memory(label: &str) {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let line = |name| status.lines().find(|line| line.starts_with(name));
        println!("{label}: {:?} {:?}", line("VmRSS"), line("RssFile"));
    }
}
