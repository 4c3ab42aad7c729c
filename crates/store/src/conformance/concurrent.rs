//! Readers and the writer at the same time.

use std::thread;

use bytes::Bytes;
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

use super::MakeTestBed;
use crate::{
    CommitRecord, DocumentWrite, IndexId, IndexWrite, Order, Reader, TabletGrowth, TabletId,
};

const TABLET: TabletId = TabletId(1);
const INDEX: IndexId = IndexId(1);
const ACCOUNT_COUNT: u8 = 8;
const COMMIT_COUNT: u64 = 200;

/// Every commit writes its number to all accounts and moves their one index
/// entry each; a snapshot that shows two numbers is torn.
pub fn readers_see_whole_commits_while_others_write(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let mut writer = store.writer().unwrap();
    writer.commit(&[round(1)]).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = store.reader().unwrap();
            scope.spawn(move || read_until_the_end(reader.as_mut()));
        }
        for ts in 2..=COMMIT_COUNT {
            writer.commit(&[round(ts)]).unwrap();
        }
    });
}

fn round(ts: u64) -> CommitRecord {
    let id = |account| InternalId([account; 16]);
    let documents = (0..ACCOUNT_COUNT)
        .map(|account| DocumentWrite {
            tablet: TABLET,
            id: id(account),
            prev_ts: (ts > 1).then(|| Timestamp(ts - 1)),
            value: Some(Bytes::copy_from_slice(&ts.to_be_bytes())),
        })
        .collect();
    let indexes = (0..ACCOUNT_COUNT)
        .flat_map(|account| {
            let entry = |ts: u64, target| IndexWrite {
                index: INDEX,
                key: [&ts.to_be_bytes()[..], &[account]].concat(),
                target,
            };
            [entry(ts - 1, None), entry(ts, Some(id(account)))]
        })
        .collect();
    CommitRecord {
        ts: Timestamp(ts),
        documents,
        indexes,
        growth: Vec::from_iter((ts == 1).then(|| TabletGrowth {
            tablet: TABLET,
            documents: i64::from(ACCOUNT_COUNT),
            bytes: i64::from(ACCOUNT_COUNT) * 8,
        })),
    }
}

fn read_until_the_end(reader: &mut dyn Reader) {
    let everything = Interval {
        start: Vec::new(),
        end: None,
    };
    let mut last_ts = Timestamp(0);
    while last_ts < Timestamp(COMMIT_COUNT) {
        let ts = reader.begin().unwrap();
        assert!(ts >= last_ts);
        let rows = reader
            .scan_index_documents(INDEX, TABLET, &everything, Order::Asc, 100)
            .unwrap();
        assert_eq!(rows.len(), usize::from(ACCOUNT_COUNT));
        for row in rows {
            assert_eq!(row.ts, ts);
            assert_eq!(row.value.as_ref(), ts.0.to_be_bytes());
            assert_eq!(&row.key[..8], ts.0.to_be_bytes());
        }
        let usage = reader.tablet_usage(TABLET).unwrap();
        assert_eq!(usage.documents, u64::from(ACCOUNT_COUNT));
        let log = reader.read_log(Timestamp(ts.0 - 1), 10).unwrap();
        assert_eq!(log.len(), 1, "the snapshot has no later commit");
        reader.end();
        last_ts = ts;
    }
}
