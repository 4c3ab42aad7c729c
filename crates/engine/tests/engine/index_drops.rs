//! What is dropped is gone from the store in the end, and not before the last
//! snapshot that may read it.

use hull_engine::{Transaction, Upkeep, limits::WINDOW_AGE_NANOS};
use hull_store::Order;
use hull_value::Timestamp;

use crate::fixture::{Db, ITEMS, ROOT, SCHEMA, get, insert, patch};
use crate::model::{Scan, State};

const WITHOUT_BY_A: &str = r#"{"tables":[{"tableName":"items","documentType":null,"indexes":[
    {"indexDescriptor":"by_ab","fields":["a","b"]}]}]}"#;

/// Enough rows for more than one step of a purge.
fn filled() -> (Db, State) {
    let db = Db::with_items();
    let (state, _) = db.run(|t| {
        let insert_one = |n: i64| {
            let id = insert(t, n % 6, n % 3);
            let document = get(t, &id).unwrap();
            (id, document)
        };
        (0..1_300).map(insert_one).collect()
    });
    (db, state)
}

/// Lets the time pass that snapshots of the past can be asked for.
fn age(db: &Db) {
    let latest = db.engine.latest();
    db.engine.trim(Timestamp(latest.0 + WINDOW_AGE_NANOS + 1));
}

fn drop_table(transaction: &mut Transaction) {
    let table = transaction.table(ROOT, ITEMS).unwrap();
    transaction.delete_table(&table).unwrap();
}

#[test]
fn a_dropped_index_is_purged() {
    let (db, state) = filled();
    let table = db.table(ITEMS);
    let by_a = table.index("by_a").unwrap().index;
    db.push(WITHOUT_BY_A);
    age(&db);
    db.upkeep(&Upkeep::default());
    assert_eq!(db.stored_entries(by_a), 0);
    let names: Vec<String> = (db.table(ITEMS).indexes.iter())
        .map(|index| index.name.clone())
        .collect();
    assert_eq!(names, ["by_creation_time", "by_ab"]);
    let scan = Scan::all("by_ab", Order::Asc);
    assert_eq!(scan.run(&mut db.begin()), scan.expected(&state));
    // The same name can be built anew.
    db.push(SCHEMA);
    let scan = Scan::all("by_a", Order::Desc);
    assert_eq!(scan.run(&mut db.begin()), scan.expected(&state));
}

#[test]
fn a_dropped_table_is_purged_and_its_name_is_free_at_once() {
    let (db, _) = filled();
    let table = db.table(ITEMS);
    let (id, _) = db.run(|t| {
        drop_table(t);
        insert(t, 3, 3)
    });
    let fresh = db.table(ITEMS);
    assert_ne!(fresh.tablet, table.tablet);
    assert_ne!(fresh.number, table.number);
    assert_eq!(db.begin().count_documents(ROOT, ITEMS).unwrap(), 1);
    age(&db);
    db.upkeep(&Upkeep::default());
    assert_eq!(db.stored_documents(table.tablet), 0);
    for index in &table.indexes {
        assert_eq!(db.stored_entries(index.index), 0, "{}", index.name);
    }
    assert!(db.engine.metadata().table(table.tablet).is_none());
    assert!(get(&mut db.begin(), &id).is_some());
}

#[test]
fn a_snapshot_from_before_the_drop_still_reads_what_was_there() {
    let (db, state) = filled();
    let before = db.engine.latest();
    let upkeep = Upkeep::default();
    db.push(WITHOUT_BY_A);
    // Writes do not maintain the dropped index any more.
    let ids: Vec<&String> = state.keys().take(10).collect();
    db.run(|t| {
        for (n, id) in ids.iter().enumerate() {
            if n % 2 == 0 {
                t.delete_document(ROOT, id, None).unwrap();
            } else {
                patch(t, id, "a", None).unwrap();
            }
        }
        insert(t, 2, 2);
    });
    db.upkeep(&upkeep);
    let check = |when: &str| {
        for index in ["by_a", "by_ab", "by_creation_time", "by_id"] {
            for order in [Order::Asc, Order::Desc] {
                let scan = Scan::all(index, order);
                let rows = scan.run(&mut db.begin_at(before));
                assert_eq!(rows, scan.expected(&state), "{index} {order:?} {when}");
                let scan = scan.limited(7);
                let rows = scan.run(&mut db.begin_at(before));
                assert_eq!(rows, scan.expected(&state), "{index} {order:?} {when}");
            }
        }
    };
    check("after the index was dropped");
    db.run(drop_table);
    db.upkeep(&upkeep);
    check("after the table was dropped");
}
