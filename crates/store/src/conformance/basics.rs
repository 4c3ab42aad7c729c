//! The rules, one by one.

use std::thread;

use bytes::Bytes;
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};

use super::MakeTestBed;
use crate::{
    CommitRecord, DocumentWrite, IndexId, IndexWrite, LogRetention, Order, Reader, StoreError,
    TabletGrowth, TabletId, TabletUsage, TrimStep,
};

const TABLET: TabletId = TabletId(1);
const INDEX: IndexId = IndexId(2);

/// One document with one index entry.
pub(super) fn record(ts: u64, id: u8, key: &[u8], value: &[u8]) -> CommitRecord {
    CommitRecord {
        ts: Timestamp(ts),
        documents: vec![DocumentWrite {
            tablet: TABLET,
            id: InternalId([id; 16]),
            prev_ts: None,
            value: Some(Bytes::copy_from_slice(value)),
        }],
        indexes: vec![IndexWrite {
            index: INDEX,
            key: key.to_vec(),
            target: Some(InternalId([id; 16])),
        }],
        growth: vec![TabletGrowth {
            tablet: TABLET,
            documents: 1,
            bytes: value.len() as i64,
        }],
    }
}

fn interval(start: &[u8], end: Option<&[u8]>) -> Interval {
    Interval {
        start: start.to_vec(),
        end: end.map(<[u8]>::to_vec),
    }
}

pub fn an_empty_store_is_at_timestamp_zero(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.begin(), Ok(Timestamp(0)));
    assert_eq!(reader.get(TABLET, InternalId([0; 16])), Ok(None));
    assert_eq!(reader.read_log(Timestamp(0), 10), Ok(Vec::new()));
    assert_eq!(reader.global("x"), Ok(None));
    assert_eq!(reader.tablet_usage(TABLET), Ok(TabletUsage::default()));
    assert_eq!(reader.log_start(), Ok(Timestamp(0)));
    // An empty batch changes nothing.
    store.writer().unwrap().commit(&[]).unwrap();
    assert_eq!(reader.begin(), Ok(Timestamp(0)));
}

pub fn reads_need_a_snapshot(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let mut reader = store.reader().unwrap();
    let check = |reader: &mut dyn Reader| {
        let everything = interval(b"", None);
        let is_refused = |error| matches!(error, StoreError::NoSnapshot { .. });
        assert!(is_refused(
            reader.get(TABLET, InternalId([0; 16])).unwrap_err()
        ));
        assert!(is_refused(
            reader
                .scan_index(INDEX, &everything, Order::Asc, 1)
                .unwrap_err()
        ));
        assert!(is_refused(
            reader
                .scan_index_documents(INDEX, TABLET, &everything, Order::Asc, 1)
                .unwrap_err()
        ));
        assert!(is_refused(
            reader
                .scan_tablet(TABLET, &everything, Order::Asc, 1)
                .unwrap_err()
        ));
        assert!(is_refused(reader.read_log(Timestamp(0), 1).unwrap_err()));
        assert!(is_refused(reader.global("x").unwrap_err()));
    };
    check(reader.as_mut());
    reader.begin().unwrap();
    assert_eq!(reader.global("x"), Ok(None));
    reader.end();
    reader.end();
    check(reader.as_mut());
}

pub fn there_is_one_writer_at_a_time(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let writer = store.writer().unwrap();
    assert_eq!(store.writer().err(), Some(StoreError::WriterTaken));
    drop(writer);
    let mut writer = store.writer().unwrap();
    writer.commit(&[record(1, 1, b"", b"")]).unwrap();
}

pub fn timestamps_must_increase(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let refused = |ts, newest| {
        Err(StoreError::TimestampNotIncreasing {
            ts: Timestamp(ts),
            newest: Timestamp(newest),
        })
    };
    {
        let store = bed.open();
        let mut writer = store.writer().unwrap();
        assert_eq!(writer.commit(&[record(0, 1, b"", b"")]), refused(0, 0));
        writer.commit(&[record(5, 1, b"", b"")]).unwrap();
        assert_eq!(writer.commit(&[record(5, 2, b"", b"")]), refused(5, 5));
        assert_eq!(
            writer.commit(&[record(7, 2, b"", b""), record(6, 3, b"", b"")]),
            refused(6, 7)
        );
        assert!(matches!(
            writer.commit(&[record(u64::MAX, 2, b"", b"")]),
            Err(StoreError::InvalidWrite { .. })
        ));
        writer.commit(&[record(6, 2, b"", b"")]).unwrap();
    }
    let store = bed.open();
    let mut writer = store.writer().unwrap();
    assert_eq!(writer.commit(&[record(6, 3, b"", b"")]), refused(6, 6));
}

pub fn a_refused_batch_leaves_nothing(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let mut writer = store.writer().unwrap();
    writer
        .commit(&[record(2, 1, b"a", b"x"), record(2, 2, b"b", b"y")])
        .unwrap_err();
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.begin(), Ok(Timestamp(0)));
    assert_eq!(reader.get(TABLET, InternalId([1; 16])), Ok(None));
}

pub fn the_newest_log_entry_outlives_trimming(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    {
        let store = bed.open();
        let mut writer = store.writer().unwrap();
        let empty = |ts| CommitRecord {
            ts: Timestamp(ts),
            documents: Vec::new(),
            indexes: Vec::new(),
            growth: Vec::new(),
        };
        writer.commit(&[empty(1), empty(2), empty(3)]).unwrap();
        let everything = LogRetention {
            before: Timestamp(100),
            bytes_max: u64::MAX,
        };
        let one = TrimStep {
            entries_max: 1,
            bytes_max: u64::MAX,
        };
        assert_eq!(writer.trim_log(everything, one), Ok(false));
        assert_eq!(writer.trim_log(everything, one), Ok(true));
        assert_eq!(writer.trim_log(everything, one), Ok(true));
    }
    let store = bed.open();
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.begin(), Ok(Timestamp(3)));
    assert_eq!(reader.read_log(Timestamp(0), 10).unwrap().len(), 1);
    assert_eq!(reader.log_start(), Ok(Timestamp(2)));
}

pub fn bounds_are_half_open_and_limits_exact(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let mut writer = store.writer().unwrap();
    let keys: [&[u8]; 5] = [b"", b"a", b"a\0", b"b", b"\xff\xff"];
    let batch: Vec<_> = (1..)
        .zip(keys)
        .map(|(n, key)| record(u64::from(n), n, key, &[n]))
        .collect();
    writer.commit(&batch).unwrap();
    let mut reader = store.reader().unwrap();
    reader.begin().unwrap();
    let mut check = |start: &[u8], end: Option<&[u8]>, order, limit, expected: &[u8]| {
        let interval = interval(start, end);
        let rows = reader.scan_index(INDEX, &interval, order, limit).unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row.id.0[0]).collect();
        assert_eq!(ids, expected, "{interval:?} {order:?} {limit}");
    };
    check(b"", None, Order::Asc, 9, &[1, 2, 3, 4, 5]);
    check(b"", None, Order::Desc, 2, &[5, 4]);
    check(b"a", Some(b"b"), Order::Asc, 9, &[2, 3]);
    check(b"a", Some(b"b"), Order::Desc, 9, &[3, 2]);
    check(b"a", Some(b"a\0"), Order::Asc, 9, &[2]);
    check(b"a\0\0", Some(b"b\0"), Order::Asc, 9, &[4]);
    check(b"b", Some(b"a"), Order::Asc, 9, &[]);
    check(b"a", Some(b"a"), Order::Desc, 9, &[]);
    check(b"", None, Order::Asc, 0, &[]);
    check(b"\xff\xff\0", None, Order::Asc, 9, &[]);
}

pub fn large_values_and_keys_come_back_whole(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let value: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let key = vec![0xab; 20_000];
    bed.open()
        .writer()
        .unwrap()
        .commit(&[record(1, 1, &key, &value)])
        .unwrap();
    let store = bed.open();
    let mut reader = store.reader().unwrap();
    reader.begin().unwrap();
    let rows = reader
        .scan_index_documents(INDEX, TABLET, &interval(b"\xab", None), Order::Desc, 1)
        .unwrap();
    assert_eq!(rows[0].key, key);
    assert_eq!(rows[0].value, value);
    let entry = &reader.read_log(Timestamp(0), 1).unwrap()[0];
    assert_eq!(entry.documents, record(1, 1, &key, &value).documents);
}

pub fn handles_work_on_other_threads(make_bed: MakeTestBed<'_>) {
    let mut bed = make_bed();
    let store = bed.open();
    let mut reader = store.reader().unwrap();
    let mut writer = store.writer().unwrap();
    reader.begin().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.commit(&[record(1, 1, b"", b"")]).unwrap();
            // The snapshot began before, on the other thread.
            assert_eq!(reader.get(TABLET, InternalId([1; 16])), Ok(None));
            assert_eq!(reader.begin(), Ok(Timestamp(1)));
        });
        scope.spawn(|| store.reader().unwrap().begin().unwrap());
    });
}
