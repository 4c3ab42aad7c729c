//! What two transactions at the same time may and may not do.

use hull_engine::{CommitError, Transaction};
use hull_store::Order;

use crate::fixture::{Db, NOW, ROOT, get, insert, int, object, patch};
use crate::model::Scan;

/// Two documents with `a` 1 and 5, and a table `log` for blind writes.
struct Pair {
    db: Db,
    one: String,
    five: String,
}

impl Pair {
    fn new() -> Pair {
        let db = Db::with_items();
        db.run(|t| t.create_table(ROOT, "log", None).unwrap());
        let ((one, five), _) = db.run(|t| (insert(t, 1, 1), insert(t, 5, 5)));
        Pair { db, one, five }
    }

    /// Whether a transaction that did `first` and then wrote something else
    /// conflicts with `second`, committed meanwhile.
    fn conflicts(
        &self,
        first: impl FnOnce(&mut Transaction),
        second: impl FnOnce(&mut Transaction),
    ) -> bool {
        let mut transaction = self.db.begin();
        first(&mut transaction);
        transaction
            .insert_document(ROOT, "log", object([]))
            .unwrap();
        self.db.run(second);
        match self.db.engine.commit_and_wait(transaction, NOW) {
            Ok(_) => false,
            Err(CommitError::Conflict(_)) => true,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn writes_of_one_document_conflict_and_say_who() {
    let pair = Pair::new();
    let mut first = pair.db.begin();
    patch(&mut first, &pair.one, "b", Some(int(7))).unwrap();
    let mut second = pair.db.begin();
    patch(&mut second, &pair.one, "b", Some(int(8))).unwrap();
    let source = Some("writer:other".into());
    let engine = &pair.db.engine;
    engine
        .commit(second, NOW, source, Box::new(|_| {}))
        .unwrap();
    let Err(CommitError::Conflict(conflict)) = engine.commit_and_wait(first, NOW) else {
        panic!("a write was lost");
    };
    assert_eq!(conflict.table.as_deref(), Some("items"));
    assert_eq!(conflict.document_id.as_deref(), Some(pair.one.as_str()));
    assert_eq!(conflict.source.as_deref(), Some("writer:other"));
    assert!(!conflict.reads.is_empty());
}

#[test]
fn different_documents_do_not_conflict() {
    let pair = Pair::new();
    assert!(!pair.conflicts(
        |t| drop(patch(t, &pair.one, "b", Some(int(7))).unwrap()),
        |t| drop(patch(t, &pair.five, "b", Some(int(7))).unwrap()),
    ));
    assert!(!pair.conflicts(|t| drop(insert(t, 1, 1)), |t| drop(insert(t, 1, 1))));
}

#[test]
fn a_row_that_was_absent_is_a_dependency() {
    let pair = Pair::new();
    let Pair { db, one, .. } = &pair;
    // Only a row of a fixed id can be read before it exists.
    let (tablet, row) = (
        hull_engine::system::SESSION_REQUESTS,
        hull_engine::system::row_id(&[b"r"]),
    );
    let read = |t: &mut Transaction| assert!(t.system_row(tablet, row).unwrap().is_none());
    let value = int(1).pack();
    assert!(pair.conflicts(read, |t| {
        t.put_system_row(tablet, row, Some(value)).unwrap()
    }));
    // A deleted one stays a dependency too.
    db.run(|t| t.delete_document(ROOT, one, None).unwrap());
    let mut reader = db.begin();
    assert_eq!(get(&mut reader, one), None);
    let table = db.table("items");
    let id = hull_value::DocumentId::parse(one).unwrap().internal;
    let space = hull_engine::KeySpace::Tablet(table.tablet);
    assert!(reader.reads().contains(space, &id.0));
}

#[test]
fn a_table_name_that_was_absent_is_a_dependency() {
    let pair = Pair::new();
    let ask = |t: &mut Transaction| assert!(t.table(ROOT, "later").is_none());
    assert!(!pair.conflicts(ask, |t| drop(
        t.create_table(ROOT, "another", None).unwrap()
    )));
    assert!(pair.conflicts(ask, |t| drop(t.create_table(ROOT, "later", None).unwrap())));
}

#[test]
fn a_phantom_in_a_range_conflicts_and_one_outside_does_not() {
    let scan_fives = |t: &mut Transaction| assert_eq!(Scan::equal(5).run(t).len(), 1);
    let conflicts = |second: &dyn Fn(&Pair, &mut Transaction)| {
        let pair = Pair::new();
        pair.conflicts(scan_fives, |t| second(&pair, t))
    };
    assert!(conflicts(&|_, t| drop(insert(t, 5, 9))));
    assert!(!conflicts(&|_, t| drop(insert(t, 4, 9))));
    // Into the range, out of it, within it.
    assert!(conflicts(&|p, t| drop(patch(t, &p.one, "a", Some(int(5))))));
    assert!(conflicts(&|p, t| drop(patch(t, &p.five, "a", None))));
    assert!(conflicts(&|p, t| drop(patch(
        t,
        &p.five,
        "c",
        Some(int(0))
    ))));
    assert!(conflicts(&|p, t| drop(
        t.delete_document(ROOT, &p.five, None)
    )));
    assert!(!conflicts(&|p, t| drop(
        t.delete_document(ROOT, &p.one, None)
    )));
}

#[test]
fn rows_beyond_the_limit_of_a_scan_are_no_dependency() {
    let first_row = |order| {
        move |t: &mut Transaction| {
            let scan = Scan::all("by_a", order).limited(1);
            assert_eq!(scan.run(t).len(), 1);
        }
    };
    let insert_of = |a| move |t: &mut Transaction| drop(insert(t, a, 0));
    assert!(!Pair::new().conflicts(first_row(Order::Asc), insert_of(2)));
    assert!(Pair::new().conflicts(first_row(Order::Asc), insert_of(0)));
    assert!(!Pair::new().conflicts(first_row(Order::Desc), insert_of(4)));
    assert!(Pair::new().conflicts(first_row(Order::Desc), insert_of(6)));
}

#[test]
fn a_patch_that_changes_nothing_writes_nothing() {
    let pair = Pair::new();
    let before = pair.db.engine.latest();
    let mut transaction = pair.db.begin();
    patch(&mut transaction, &pair.one, "b", Some(int(1))).unwrap();
    patch(&mut transaction, &pair.five, "b", Some(int(6))).unwrap();
    patch(&mut transaction, &pair.five, "b", Some(int(5))).unwrap();
    assert!(!transaction.has_writes());
    assert_eq!(pair.db.commit(transaction), before);
    assert_eq!(pair.db.engine.latest(), before);
    let no_op = |t: &mut Transaction| drop(patch(t, &pair.one, "b", Some(int(1))).unwrap());
    let read = |t: &mut Transaction| assert!(get(t, &pair.one).is_some());
    assert!(!pair.conflicts(read, no_op));
    // But it did read.
    assert!(pair.conflicts(no_op, |t| drop(
        patch(t, &pair.one, "b", Some(int(2))).unwrap()
    )));
}

#[test]
fn one_of_two_creations_of_a_table_conflicts() {
    let db = Db::new();
    for names in [["same", "same"], ["this", "that"]] {
        let create = |t: &mut Transaction, name| {
            t.insert_document(ROOT, name, object([("a", int(1))]))
                .unwrap()
        };
        let mut first = db.begin();
        create(&mut first, names[0]);
        db.run(|t| create(t, names[1]));
        // Different names want the same number, so they conflict as well.
        let conflict = db.engine.commit_and_wait(first, NOW);
        assert!(
            matches!(conflict, Err(CommitError::Conflict(_))),
            "{names:?}"
        );
        db.run(|t| create(t, names[0]));
        let tables = names.map(|name| db.table(name));
        assert_eq!(tables[0].number == tables[1].number, names[0] == names[1]);
        let expected = if names[0] == names[1] { 2 } else { 1 };
        for name in names {
            let count = db.begin().count_documents(ROOT, name).unwrap();
            assert_eq!(count, expected, "{name}");
        }
    }
}

#[test]
fn an_insert_conflicts_with_a_new_index_and_with_the_end_of_its_table() {
    let schema = hull_value::Schema::parse(
        r#"{"tables":[{"tableName":"items","documentType":null,"indexes":[{"indexDescriptor":"by_c","fields":["c"]}]}]}"#,
    )
    .unwrap();
    let insert_one = |t: &mut Transaction| drop(insert(t, 1, 1));
    assert!(Pair::new().conflicts(insert_one, |t| {
        t.prepare_indexes(ROOT, &schema).unwrap();
    }));
    assert!(Pair::new().conflicts(insert_one, |t| {
        let table = t.table(ROOT, "items").unwrap();
        t.delete_table(&table).unwrap();
    }));
}

#[test]
fn a_commit_beside_the_lane_is_refused_only_where_the_holder_has_read() {
    let pair = Pair::new();
    let engine = &pair.db.engine;
    let mut next = 100;
    let mut change = |id: &str| {
        next += 1;
        let mut transaction = pair.db.begin();
        patch(&mut transaction, id, "b", Some(int(next))).unwrap();
        engine.try_commit(transaction, NOW, None, Box::new(|_| {}))
    };
    let mut reader = pair.db.begin();
    get(&mut reader, &pair.one);
    let lane = engine.lane();
    lane.protect(reader.reads());
    let Err(CommitError::Protected(conflict)) = change(&pair.one) else {
        panic!("what the holder has read was changed");
    };
    // The lane can protect what the refused one has read.
    assert!(!conflict.reads.is_empty());
    change(&pair.five).unwrap();
    lane.set_exclusive(true);
    assert!(matches!(change(&pair.five), Err(CommitError::Protected(_))));
    lane.set_exclusive(false);
    drop(lane);
    change(&pair.one).unwrap();
}

#[test]
fn a_conflict_in_an_index_names_the_document() {
    let pair = Pair::new();
    let mut transaction = pair.db.begin();
    assert_eq!(Scan::equal(5).run(&mut transaction).len(), 1);
    transaction
        .insert_document(ROOT, "log", object([]))
        .unwrap();
    pair.db
        .run(|t| drop(patch(t, &pair.one, "a", Some(int(5)))));
    let Err(CommitError::Conflict(conflict)) = pair.db.engine.commit_and_wait(transaction, NOW)
    else {
        panic!("a phantom was missed");
    };
    assert_eq!(conflict.table.as_deref(), Some("items"));
    assert_eq!(conflict.document_id.as_deref(), Some(pair.one.as_str()));
}
