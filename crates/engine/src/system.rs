//! The tables Hull keeps its own state in, with their fixed numbers.
//!
//! They are ordinary tablets: transactional, logged, and read through read sets
//! like user tables, so that a push or a changed environment variable
//! invalidates exactly the queries concerned. Small ones are *resident*: all
//! their rows live in memory, versioned with the commits that changed them.

use hull_store::{IndexId, TabletId};
use hull_value::{InternalId, TableNumber, ValueRef};
use sha2::{Digest, Sha256};

use crate::document;
use crate::key_space::KeySpace;
use crate::metadata::{Namespace, is_live_schema};

/// Tables: `{name, number, tablet, state, namespace}`.
pub const TABLES: TabletId = TabletId(1);
/// Indexes: `{tablet, index, name, spec, state, staged}`.
pub const INDEXES: TabletId = TabletId(2);
/// Schemas: `{namespace, state, error?, table?, schema}`.
pub const SCHEMAS: TabletId = TabletId(3);
/// One row per socket mutation that succeeded (client protocol spec 1.8). Not resident.
pub const SESSION_REQUESTS: TabletId = TabletId(4);
/// Environment variables: `{name, value}`.
pub const ENVIRONMENT_VARIABLES: TabletId = TabletId(5);
/// Modules: analysis and hashes, without sources.
pub const MODULES: TabletId = TabletId(6);
/// Module sources and source maps, and what pushes have to deploy. Not resident.
pub const MODULE_SOURCES: TabletId = TabletId(7);
/// The function configuration: npm version, import-phase seed and clock.
pub const UDF_CONFIG: TabletId = TabletId(8);
/// Component instances. The app itself has no row.
pub const COMPONENTS: TabletId = TabletId(9);
/// Configured auth providers.
pub const AUTH_PROVIDERS: TabletId = TabletId(10);
/// Single rows of deployment-wide state, canonical URLs for one.
pub const DEPLOYMENT_STATE: TabletId = TabletId(11);
/// Component definitions of the last push.
pub const COMPONENT_DEFINITIONS: TabletId = TabletId(12);
/// Audit events of pushes and settings. Not resident.
pub const AUDIT_LOG: TabletId = TabletId(13);
/// Pushes that were started or finished lately: `{at, sources, response?}`.
pub const STAGED_PUSHES: TabletId = TabletId(14);
/// Staged validators of tables: `{namespace, tablet, validator, state, error?}`.
pub const STAGED_VALIDATORS: TabletId = TabletId(15);
/// Walks over documents that go on after a restart: `{kind, owner, tablet, after, documents, tablesDone}`.
pub const WALKS: TabletId = TabletId(16);
/// Functions to run later: `{namespace, path, args, stage, due, systemErrors, cron?}`. Not resident.
pub const SCHEDULED_JOBS: TabletId = TabletId(17);
/// Cron jobs: `{namespace, name, spec}`.
pub const CRON_JOBS: TabletId = TabletId(18);
/// The last runs of cron jobs. Not resident.
pub const CRON_JOB_LOGS: TabletId = TabletId(19);
/// Files by UUID: `{namespace, document, key}`; and their UUIDs by document. Not resident.
pub const STORED_FILES: TabletId = TabletId(20);
/// Files whose bytes are still to be removed, in order of deletion: `{key}`. Not resident.
pub const DELETED_FILES: TabletId = TabletId(21);

/// Tablets and stored indexes made at run time are numbered from here.
pub const FIRST_DYNAMIC_NUMBER: u32 = 1_000;

/// System tablets whose rows are kept in memory.
pub const RESIDENT: [TabletId; 14] = [
    TABLES,
    INDEXES,
    SCHEMAS,
    ENVIRONMENT_VARIABLES,
    MODULES,
    UDF_CONFIG,
    COMPONENTS,
    AUTH_PROVIDERS,
    DEPLOYMENT_STATE,
    COMPONENT_DEFINITIONS,
    STAGED_PUSHES,
    STAGED_VALIDATORS,
    WALKS,
    CRON_JOBS,
];

/// Table numbers of system tables that user code can see ids of (data model spec 3.4).
pub const STORAGE_TABLE: TableNumber = TableNumber(540);
pub const SCHEDULED_FUNCTIONS_TABLE: TableNumber = TableNumber(539);

/// Computed key spaces over resident rows; they have no entries in the store.
pub const TABLES_BY_NAME: IndexId = IndexId(1);
pub const TABLES_BY_NUMBER: IndexId = IndexId(2);
pub const INDEXES_BY_TABLET: IndexId = IndexId(3);
pub const SCHEMAS_BY_NAMESPACE: IndexId = IndexId(4);

/// A stored index: session records by the time of their commit, then id.
pub const SESSION_REQUESTS_BY_TIME: IndexId = IndexId(5);

/// A stored index: scheduled jobs by the time at which they are due, then id.
pub const SCHEDULED_JOBS_BY_TIME: IndexId = IndexId(6);

/// Whether rows of `tablet` live in memory.
pub fn is_resident(tablet: TabletId) -> bool {
    RESIDENT.contains(&tablet)
}

/// Returns the id of the row that is found by `parts` instead of by an index:
/// absent or present, it is one point read.
pub fn row_id(parts: &[&[u8]]) -> InternalId {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    InternalId(id)
}

/// Returns the row id of a table or index by its physical number.
pub(crate) fn numbered_row_id(number: u32) -> InternalId {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    InternalId(id)
}

pub(crate) fn table_name_key(namespace: Namespace, name: &str) -> Vec<u8> {
    [&namespace.0.to_be_bytes()[..], name.as_bytes(), &[0]].concat()
}

pub(crate) fn table_number_key(namespace: Namespace, number: TableNumber) -> Vec<u8> {
    [namespace.0.to_be_bytes(), number.0.to_be_bytes()].concat()
}

pub(crate) fn index_key(tablet: TabletId, name: &str) -> Vec<u8> {
    [&tablet.0.to_be_bytes()[..], name.as_bytes(), &[0]].concat()
}

pub(crate) fn schema_key(namespace: Namespace) -> Vec<u8> {
    namespace.0.to_be_bytes().to_vec()
}

/// Returns the computed keys a row of a system table is found under.
pub(crate) fn computed_keys(tablet: TabletId, row: ValueRef<'_>) -> Vec<(KeySpace, Vec<u8>)> {
    let number = |field: &str| {
        document::int(row, field)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
    };
    let text = |field: &str| document::text(row, field).unwrap_or_default().to_owned();
    match tablet {
        TABLES => {
            let namespace = Namespace(number("namespace"));
            vec![
                (
                    KeySpace::Index(TABLES_BY_NAME),
                    table_name_key(namespace, &text("name")),
                ),
                (
                    KeySpace::Index(TABLES_BY_NUMBER),
                    table_number_key(namespace, TableNumber(number("number"))),
                ),
            ]
        }
        INDEXES => vec![(
            KeySpace::Index(INDEXES_BY_TABLET),
            index_key(TabletId(number("tablet")), &text("name")),
        )],
        // What is dead concerns nobody: forgetting it must not disturb writers.
        SCHEMAS if is_live_schema(row) => {
            vec![(
                KeySpace::Index(SCHEMAS_BY_NAMESPACE),
                schema_key(Namespace(number("namespace"))),
            )]
        }
        // Whoever depends on the schemas depends on what they stage.
        STAGED_VALIDATORS => vec![(
            KeySpace::Index(SCHEMAS_BY_NAMESPACE),
            schema_key(Namespace(number("namespace"))),
        )],
        _ => Vec::new(),
    }
}
