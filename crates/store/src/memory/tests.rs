use std::thread;

use bytes::Bytes;
use hull_value::{InternalId, Timestamp};

use super::*;
use crate::conformance::TestBed;
use crate::{CommitRecord, DocumentWrite, TabletGrowth, TabletId};

/// Reopening is a crash: nothing but what is durable may be needed.
#[derive(Default)]
struct Bed(MemoryStore);

impl TestBed for Bed {
    fn open(&mut self) -> Box<dyn Store> {
        self.0 = self.0.crash(Survivors::Durable);
        Box::new(self.0.clone())
    }
}

crate::conformance_tests!(|| Box::new(Bed::default()));

fn record(ts: u64) -> CommitRecord {
    CommitRecord {
        ts: Timestamp(ts),
        documents: vec![DocumentWrite {
            tablet: TabletId(1),
            id: InternalId([1; 16]),
            prev_ts: (ts > 1).then(|| Timestamp(ts - 1)),
            value: Some(Bytes::from(ts.to_string())),
        }],
        indexes: Vec::new(),
        growth: vec![TabletGrowth {
            tablet: TabletId(1),
            documents: i64::from(ts == 1),
            bytes: ts.to_string().len() as i64 - i64::from(ts > 1),
        }]
        .into_iter()
        .filter(|growth| growth.bytes != 0)
        .collect(),
    }
}

fn newest(store: &MemoryStore) -> u64 {
    store.reader().unwrap().begin().unwrap().0
}

#[test]
fn an_unsynced_commit_is_invisible_and_a_crash_decides() {
    for (survivors, expected) in [(Survivors::Durable, 1), (Survivors::Written, 2)] {
        let store = MemoryStore::new();
        let mut writer = store.writer().unwrap();
        writer.commit(&[record(1)]).unwrap();
        store.hold_sync();
        thread::scope(|scope| {
            let commit = scope.spawn(|| writer.commit(&[record(2)]));
            store.wait_until_held();
            assert_eq!(newest(&store), 1);
            let image = store.crash(survivors);
            assert_eq!(newest(&image), expected);
            assert!(commit.join().unwrap().unwrap_err().is_fatal());
        });
        assert!(store.reader().is_err());
    }
}

#[test]
fn a_released_commit_is_durable() {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    store.hold_sync();
    thread::scope(|scope| {
        let commit = scope.spawn(|| writer.commit(&[record(1)]));
        store.wait_until_held();
        store.release_sync();
        commit.join().unwrap().unwrap();
    });
    assert_eq!(newest(&store.crash(Survivors::Durable)), 1);
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    store.inject(Fault::SyncFails, 1);
    writer.commit(&[record(1)]).unwrap();
    let unknown = writer.commit(&[record(2)]).unwrap_err();
    assert!(matches!(unknown, StoreError::OutcomeUnknown { .. }));
    assert_eq!(writer.set_global("a", b"").unwrap_err(), unknown);
    assert_eq!(newest(&store), 1);
    assert_eq!(newest(&store.crash(Survivors::Written)), 2);
}

#[test]
fn a_full_disk_refuses_one_write_whole() {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    store.inject(Fault::DiskFull, 1);
    writer.commit(&[record(1)]).unwrap();
    assert_eq!(writer.commit(&[record(2)]), Err(StoreError::DiskFull));
    writer.commit(&[record(2)]).unwrap();
    assert_eq!(newest(&store.crash(Survivors::Durable)), 2);
}

#[test]
fn a_failed_read_is_an_error_once() {
    let store = MemoryStore::new();
    let mut reader = store.reader().unwrap();
    store.inject(Fault::ReadFails, 1);
    reader.begin().unwrap();
    assert!(reader.global("a").unwrap_err().is_retryable());
    assert_eq!(reader.global("a"), Ok(None));
}

#[test]
fn a_wrong_former_revision_is_refused() {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    assert!(matches!(
        writer.commit(&[record(2)]),
        Err(StoreError::InvalidWrite { .. })
    ));
    // Within a batch, the former record counts.
    writer.commit(&[record(1), record(2)]).unwrap();
}
