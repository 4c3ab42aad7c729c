//! Random operations against the model, with snapshots kept open across them.

use std::collections::BTreeMap;

use bytes::Bytes;
use hull_value::keys::Interval;
use hull_value::{InternalId, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::MakeTestBed;
use super::model::Model;
use crate::{
    CommitRecord, DocumentWrite, IndexId, IndexWrite, LogRetention, Order, Reader, StoreError,
    TabletGrowth, TabletId, TrimStep,
};

const SNAPSHOT_COUNT: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    Commit(Vec<Record>),
    WriteEntries(Entries),
    SetGlobal(String, Vec<u8>),
    DeleteIndex(IndexId, usize),
    DeleteTablet(TabletId, usize),
    /// Before a timestamp this far below the newest, or past so many bytes.
    TrimLog(u64, u64, TrimStep),
    Checkpoint,
    Begin(usize),
    Read(usize, Read),
    Reopen,
}

#[derive(Clone, Debug)]
struct Record {
    ts_step: u64,
    documents: BTreeMap<(TabletId, InternalId), Option<Bytes>>,
    entries: Entries,
}

type Entries = BTreeMap<(IndexId, Vec<u8>), Option<InternalId>>;

#[derive(Clone, Debug)]
struct Read {
    tablet: TabletId,
    index: IndexId,
    id: InternalId,
    interval: Interval,
    order: Order,
    limit: usize,
    global: String,
}

/// Applies random operations and compares every kind of read, in snapshots
/// that are old and new.
pub fn random_operations_match_a_model(make_bed: MakeTestBed<'_>) {
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&vec(operation(), 1..40), |operations| {
            check(make_bed, operations)
        })
        .unwrap();
}

/// A reader and what it must see.
type Snapshot = (Box<dyn Reader>, Model);

fn check(make_bed: MakeTestBed<'_>, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let mut bed = make_bed();
    let mut store = bed.open();
    let mut writer = store.writer().unwrap();
    let mut model = Model::default();
    let mut snapshots: [Option<Snapshot>; SNAPSHOT_COUNT] = [None, None];
    for operation in operations {
        match operation {
            Operation::Commit(records) => {
                let batch = build_batch(&mut model, records);
                writer.commit(&batch).unwrap();
            }
            Operation::WriteEntries(entries) => {
                let writes = entry_writes(entries);
                writer.write_index_entries(&writes).unwrap();
                model.write_entries(&writes);
            }
            Operation::SetGlobal(key, value) => {
                writer.set_global(&key, &value).unwrap();
                model.globals.insert(key, value);
            }
            Operation::DeleteIndex(index, rows_max) => {
                let is_done = writer.delete_index(index, rows_max).unwrap();
                prop_assert_eq!(is_done, model.delete_index(index, rows_max));
            }
            Operation::DeleteTablet(tablet, rows_max) => {
                let is_done = writer.delete_tablet(tablet, rows_max).unwrap();
                prop_assert_eq!(is_done, model.delete_tablet(tablet, rows_max));
            }
            Operation::TrimLog(age, bytes_max, step) => {
                let keep = LogRetention {
                    before: Timestamp((model.newest_ts().0 + 2).saturating_sub(age)),
                    bytes_max,
                };
                let is_done = writer.trim_log(keep, step).unwrap();
                prop_assert_eq!(is_done, model.trim_log(keep, step));
            }
            Operation::Checkpoint => writer.checkpoint_if_needed(),
            Operation::Begin(slot) => {
                let mut reader = match snapshots[slot].take() {
                    Some((reader, _)) => reader,
                    None => store.reader().unwrap(),
                };
                prop_assert_eq!(reader.begin().unwrap(), model.newest_ts());
                snapshots[slot] = Some((reader, model.clone()));
            }
            Operation::Read(slot, read) => {
                if let Some((reader, seen)) = &mut snapshots[slot] {
                    check_reads(reader.as_mut(), seen, &read)?;
                }
            }
            Operation::Reopen => {
                snapshots = [None, None];
                drop(writer);
                drop(store);
                store = bed.open();
                writer = store.writer().unwrap();
            }
        }
    }
    prop_assert_eq!(writer.usage().unwrap().log_bytes, model.log_bytes());
    let mut reader = store.reader().unwrap();
    prop_assert_eq!(reader.begin().unwrap(), model.newest_ts());
    for tablet in 0..3 {
        let everything = Read {
            tablet: TabletId(tablet),
            index: IndexId(tablet),
            id: id(0),
            interval: Interval {
                start: Vec::new(),
                end: None,
            },
            order: Order::Asc,
            limit: usize::MAX,
            global: "a".to_owned(),
        };
        check_reads(reader.as_mut(), &model, &everything)?;
    }
    Ok(())
}

fn check_reads(reader: &mut dyn Reader, model: &Model, read: &Read) -> Result<(), TestCaseError> {
    let Read {
        tablet,
        index,
        id,
        interval,
        order,
        limit,
        global,
    } = read;
    let (tablet, index, order, limit) = (*tablet, *index, *order, *limit);
    prop_assert_eq!(
        reader.get(tablet, *id).unwrap(),
        model.documents.get(&(tablet, *id)).cloned()
    );
    prop_assert_eq!(
        reader.scan_index(index, interval, order, limit).unwrap(),
        model.scan_index(index, interval, order, limit)
    );
    let found = reader.scan_index_documents(index, tablet, interval, order, limit);
    match model.scan_index_documents(index, tablet, interval, order, limit) {
        Some(expected) => prop_assert_eq!(found, Ok(expected)),
        None => {
            let is_corrupt = matches!(found, Err(StoreError::Corrupt { .. }));
            prop_assert!(is_corrupt, "an entry without its document: {:?}", found);
        }
    }
    prop_assert_eq!(
        reader.scan_tablet(tablet, interval, order, limit).unwrap(),
        model.scan_tablet(tablet, interval, order, limit)
    );
    prop_assert_eq!(
        reader.tablet_usage(tablet).unwrap(),
        model.tablet_usage(tablet)
    );
    prop_assert_eq!(reader.log_start().unwrap(), model.log_start);
    for after in [0, 5, model.newest_ts().0.saturating_sub(3), u64::MAX] {
        prop_assert_eq!(
            reader.read_log(Timestamp(after), limit).unwrap(),
            model.read_log(Timestamp(after), limit)
        );
    }
    prop_assert_eq!(
        reader.global(global).unwrap(),
        model.globals.get(global).cloned()
    );
    Ok(())
}

/// Turns the plan into records that keep the committer's promises, and commits
/// them to the model.
fn build_batch(model: &mut Model, records: Vec<Record>) -> Vec<CommitRecord> {
    records
        .into_iter()
        .map(|record| {
            let documents = record.documents.into_iter();
            let mut record = CommitRecord {
                ts: Timestamp(model.newest_ts().0 + record.ts_step),
                documents: documents
                    .map(|((tablet, id), value)| DocumentWrite {
                        tablet,
                        id,
                        prev_ts: model.documents.get(&(tablet, id)).map(|(ts, _)| *ts),
                        value,
                    })
                    .collect(),
                indexes: entry_writes(record.entries),
                growth: Vec::new(),
            };
            let before = model.clone();
            model.commit(&record);
            record.growth = growth(&before, model);
            record
        })
        .collect()
}

fn growth(before: &Model, after: &Model) -> Vec<TabletGrowth> {
    [0, 1, 2, u32::MAX]
        .map(TabletId)
        .into_iter()
        .filter_map(|tablet| {
            let (old, new) = (before.tablet_usage(tablet), after.tablet_usage(tablet));
            (old != new).then(|| TabletGrowth {
                tablet,
                documents: new.documents as i64 - old.documents as i64,
                bytes: new.bytes as i64 - old.bytes as i64,
            })
        })
        .collect()
}

fn entry_writes(entries: Entries) -> Vec<IndexWrite> {
    entries
        .into_iter()
        .map(|((index, key), target)| IndexWrite { index, key, target })
        .collect()
}

fn operation() -> impl Strategy<Value = Operation> {
    let slot = 0..SNAPSHOT_COUNT;
    prop_oneof![
        8 => vec(record(), 0..4).prop_map(Operation::Commit),
        2 => entries().prop_map(Operation::WriteEntries),
        1 => (global(), vec(any::<u8>(), 0..4)).prop_map(|(k, v)| Operation::SetGlobal(k, v)),
        1 => (index(), 0..4_usize).prop_map(|(index, n)| Operation::DeleteIndex(index, n)),
        1 => (tablet(), 0..4_usize).prop_map(|(tablet, n)| Operation::DeleteTablet(tablet, n)),
        1 => (0..20_u64, bytes_max(), 0..4_usize, bytes_max()).prop_map(
            |(age, bytes, entries_max, bytes_max)| {
                Operation::TrimLog(age, bytes, TrimStep { entries_max, bytes_max })
            }
        ),
        1 => Just(Operation::Checkpoint),
        4 => slot.clone().prop_map(Operation::Begin),
        8 => (slot, read()).prop_map(|(slot, read)| Operation::Read(slot, read)),
        1 => Just(Operation::Reopen),
    ]
}

fn bytes_max() -> impl Strategy<Value = u64> {
    prop_oneof![Just(u64::MAX), 0..600_u64]
}

fn record() -> impl Strategy<Value = Record> {
    let documents = btree_map((tablet(), any_id()), option::weighted(0.7, value()), 0..4);
    (1..4_u64, documents, entries()).prop_map(|(ts_step, documents, entries)| Record {
        ts_step,
        documents,
        entries,
    })
}

fn read() -> impl Strategy<Value = Read> {
    let order = prop_oneof![Just(Order::Asc), Just(Order::Desc)];
    let limit = prop_oneof![0..5_usize, Just(usize::MAX)];
    (
        tablet(),
        index(),
        any_id(),
        interval(),
        order,
        limit,
        global(),
    )
        .prop_map(|(tablet, index, id, interval, order, limit, global)| Read {
            tablet,
            index,
            id,
            interval,
            order,
            limit,
            global,
        })
}

fn entries() -> impl Strategy<Value = Entries> {
    btree_map((index(), key()), option::weighted(0.7, any_id()), 0..5)
}

/// Ends before, at and after the start: an empty interval is allowed.
fn interval() -> impl Strategy<Value = Interval> {
    (key(), option::weighted(0.7, key())).prop_map(|(start, end)| Interval { start, end })
}

/// Short keys of few bytes, so that prefixes and neighbours are frequent.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0), Just(1), Just(0xfe), Just(0xff)], 0..4)
}

/// Mostly small; sometimes longer than a page.
fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..20).prop_map(Bytes::from),
        1 => (0..20_000_usize).prop_map(|len| Bytes::from(vec![7; len])),
    ]
}

fn tablet() -> impl Strategy<Value = TabletId> {
    prop_oneof![(0..3_u32).prop_map(TabletId), Just(TabletId(u32::MAX))]
}

fn index() -> impl Strategy<Value = IndexId> {
    prop_oneof![(0..3_u32).prop_map(IndexId), Just(IndexId(u32::MAX))]
}

fn any_id() -> impl Strategy<Value = InternalId> {
    prop_oneof![Just(0), Just(1), Just(0xfe), Just(0xff)].prop_map(id)
}

fn id(byte: u8) -> InternalId {
    InternalId([byte; 16])
}

fn global() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just(String::new())]
}
