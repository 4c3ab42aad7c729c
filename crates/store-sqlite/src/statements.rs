//! The closed set of statements.
//!
//! Every scan steps a cursor of the primary key and stops at its LIMIT; none
//! sorts or reads further than it returns (a test asks SQLite for its plan).

use hull_store::Order;
use hull_value::keys::Interval;

pub(crate) const BEGIN_READ: &str = "BEGIN";
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";

pub(crate) const NEWEST_TS: &str = "SELECT max(ts) FROM log";
pub(crate) const GET: &str = "SELECT ts, value FROM documents WHERE tablet = ?1 AND id = ?2";
pub(crate) const NEWEST_LOG: &str = "SELECT start, entry FROM log ORDER BY ts DESC LIMIT 1";
pub(crate) const OLDEST_LOG: &str = "SELECT ts, start FROM log WHERE ts < ?1 ORDER BY ts LIMIT ?2";
pub(crate) const PAGES_IN_USE: &str =
    "SELECT p.page_count - f.freelist_count FROM pragma_page_count p, pragma_freelist_count f";
pub(crate) const READ_LOG: &str = "SELECT ts, entry FROM log WHERE ts > ?1 ORDER BY ts LIMIT ?2";
pub(crate) const TABLET_USAGE: &str = "SELECT documents, bytes FROM tablets WHERE tablet = ?1";
pub(crate) const GLOBAL: &str = "SELECT value FROM globals WHERE key = ?1";

// An update stays in its row, so that the index is not written.
pub(crate) const PUT_DOCUMENT: &str = "INSERT INTO documents(tablet, id, ts, value) VALUES(?1, ?2, ?3, ?4) \
     ON CONFLICT(tablet, id) DO UPDATE SET ts = excluded.ts, value = excluded.value";
pub(crate) const DELETE_DOCUMENT: &str = "DELETE FROM documents WHERE tablet = ?1 AND id = ?2";
// REPLACE on a WITHOUT ROWID table with no other index overwrites in place,
// without looking first.
pub(crate) const PUT_ENTRY: &str =
    "REPLACE INTO index_entries(index_id, key, id) VALUES(?1, ?2, ?3)";
pub(crate) const DELETE_ENTRY: &str = "DELETE FROM index_entries WHERE index_id = ?1 AND key = ?2";
pub(crate) const PUT_LOG: &str = "INSERT INTO log(ts, start, entry) VALUES(?1, ?2, ?3)";
pub(crate) const GROW_TABLET: &str = "INSERT INTO tablets(tablet, documents, bytes) VALUES(?1, ?2, ?3) \
     ON CONFLICT(tablet) DO UPDATE SET \
     documents = documents + excluded.documents, bytes = bytes + excluded.bytes";
pub(crate) const PUT_GLOBAL: &str = "REPLACE INTO globals(key, value) VALUES(?1, ?2)";

// Sweeps: the first key to stay, then everything below it.
pub(crate) const ENTRY_AFTER: &str =
    "SELECT key FROM index_entries WHERE index_id = ?1 ORDER BY key LIMIT 1 OFFSET ?2";
pub(crate) const DELETE_ENTRIES_BELOW: &str =
    "DELETE FROM index_entries WHERE index_id = ?1 AND key < ?2";
pub(crate) const DELETE_ENTRIES: &str = "DELETE FROM index_entries WHERE index_id = ?1";
pub(crate) const DOCUMENT_AFTER: &str =
    "SELECT id FROM documents WHERE tablet = ?1 ORDER BY id LIMIT 1 OFFSET ?2";
pub(crate) const USAGE_BELOW: &str =
    "SELECT count(*), coalesce(sum(length(value)), 0) FROM documents WHERE tablet = ?1 AND id < ?2";
pub(crate) const DELETE_DOCUMENTS_BELOW: &str =
    "DELETE FROM documents WHERE tablet = ?1 AND id < ?2";
pub(crate) const DELETE_DOCUMENTS: &str = "DELETE FROM documents WHERE tablet = ?1";
pub(crate) const FORGET_TABLET: &str = "DELETE FROM tablets WHERE tablet = ?1";
pub(crate) const DELETE_LOG_BELOW: &str = "DELETE FROM log WHERE ts < ?1";

/// The four forms of a scan. Parameters: ?1 tree, ?2 start, ?3 limit, then
/// those of the form's own, and last the end if there is one.
pub(crate) struct Scan {
    ascending: &'static str,
    ascending_bounded: &'static str,
    descending: &'static str,
    descending_bounded: &'static str,
}

impl Scan {
    pub(crate) fn sql(&self, interval: &Interval, order: Order) -> &'static str {
        match (order, &interval.end) {
            (Order::Asc, None) => self.ascending,
            (Order::Asc, Some(_)) => self.ascending_bounded,
            (Order::Desc, None) => self.descending,
            (Order::Desc, Some(_)) => self.descending_bounded,
        }
    }

    #[cfg(test)]
    fn all(&self) -> [&'static str; 4] {
        [
            self.ascending,
            self.ascending_bounded,
            self.descending,
            self.descending_bounded,
        ]
    }
}

macro_rules! scan {
    ($head:literal, key $key:literal, end $end:literal) => {
        Scan {
            ascending: concat!($head, " ORDER BY ", $key, " LIMIT ?3"),
            ascending_bounded: concat!(
                $head,
                " AND ",
                $key,
                " < ",
                $end,
                " ORDER BY ",
                $key,
                " LIMIT ?3"
            ),
            descending: concat!($head, " ORDER BY ", $key, " DESC LIMIT ?3"),
            descending_bounded: concat!(
                $head,
                " AND ",
                $key,
                " < ",
                $end,
                " ORDER BY ",
                $key,
                " DESC LIMIT ?3"
            ),
        }
    };
}

pub(crate) const SCAN_INDEX: Scan = scan!(
    "SELECT key, id FROM index_entries WHERE index_id = ?1 AND key >= ?2",
    key "key", end "?4"
);
// The left join keeps entries without a document, which are an error.
pub(crate) const SCAN_INDEX_DOCUMENTS: Scan = scan!(
    "SELECT e.key, e.id, d.ts, d.value FROM index_entries e \
     LEFT JOIN documents d ON d.tablet = ?4 AND d.id = e.id \
     WHERE e.index_id = ?1 AND e.key >= ?2",
    key "e.key", end "?5"
);
pub(crate) const SCAN_TABLET: Scan = scan!(
    "SELECT id, ts, value FROM documents WHERE tablet = ?1 AND id >= ?2",
    key "id", end "?4"
);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn every_scan_is_a_search_of_the_primary_key() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("data");
        crate::format::create(&path).unwrap();
        let connection = rusqlite::Connection::open(path).unwrap();
        let scans = [SCAN_INDEX, SCAN_INDEX_DOCUMENTS, SCAN_TABLET];
        let others = [
            NEWEST_TS,
            GET,
            READ_LOG,
            ENTRY_AFTER,
            DOCUMENT_AFTER,
            OLDEST_LOG,
            TABLET_USAGE,
            USAGE_BELOW,
        ];
        for sql in scans.iter().flat_map(Scan::all).chain(others) {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get(3).unwrap();
                assert!(step.starts_with("SEARCH"), "{sql}: {step}");
            }
        }
    }
}
