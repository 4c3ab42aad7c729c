use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use hull_store::{IndexId, TabletId};
use hull_value::{
    FieldPath, IndexSpec, InternalId, PackedValue, Schema, TableKind, TableNames, TableNumber,
    Timestamp,
};

use crate::document;
use crate::staged_validators::StagedValidator;
use crate::system;

/// The table namespace of a component instance; the app is [`Namespace::ROOT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(pub u32);

impl Namespace {
    pub const ROOT: Namespace = Namespace(0);
}

/// What the resident system tables say, as of one timestamp. Immutable once
/// shared; a commit that changes a system row makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    tables: HashMap<TabletId, Arc<TableInfo>>,
    by_name: HashMap<(Namespace, String), TabletId>,
    by_number: HashMap<(Namespace, TableNumber), TabletId>,
    /// Numbers of user tables, deleting ones included.
    user_numbers: HashMap<Namespace, BTreeSet<u32>>,
    schemas: HashMap<Namespace, SchemaPair>,
    staged_validators: HashMap<TabletId, Arc<StagedValidator>>,
    rows: HashMap<TabletId, Arc<Rows>>,
}

/// User tables are numbered from the next one on (data model spec 3.1).
const LAST_SYSTEM_NUMBER: u32 = 10_000;

type Rows = BTreeMap<InternalId, (Timestamp, PackedValue)>;

#[derive(Clone, Debug, PartialEq)]
pub struct TableInfo {
    pub tablet: TabletId,
    pub number: TableNumber,
    pub name: String,
    pub namespace: Namespace,
    pub state: TableState,
    /// In order of their numbers; `by_id` is not among them, it is the tablet itself.
    pub indexes: Vec<Arc<IndexInfo>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableState {
    Active,
    /// Documents and entries are being purged; the name is free again.
    Deleting,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IndexInfo {
    pub index: IndexId,
    pub tablet: TabletId,
    pub name: String,
    pub spec: IndexSpec,
    /// Key fields of a database index, `_creationTime` included, `_id` implied after them.
    pub fields: Vec<FieldPath>,
    pub state: IndexState,
    pub staged: bool,
}

/// Lifecycle of an index (data model spec 4.4). Writes keep an index up to
/// date in every state but `Deleting`; only `Enabled` ones answer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    Backfilling,
    Backfilled,
    Enabled,
    /// Entries are being purged.
    Deleting,
}

#[derive(Clone, Debug, Default)]
struct SchemaPair {
    active: Option<SchemaSlot>,
    pending: Option<SchemaSlot>,
}

/// One stored schema.
#[derive(Clone, Debug)]
pub struct SchemaSlot {
    pub row: InternalId,
    pub state: SchemaState,
    pub schema: Arc<Schema>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    Pending,
    Validated,
    Active,
    Failed {
        error: String,
        table: Option<String>,
    },
    Overwritten,
}

/// A system row that does not have the form this version writes.
#[derive(Debug, thiserror::Error)]
#[error("row {row:?} of system tablet {tablet:?} is not readable: {reason}")]
pub struct CorruptRow {
    tablet: TabletId,
    row: InternalId,
    reason: String,
}

impl Metadata {
    pub fn table(&self, tablet: TabletId) -> Option<&Arc<TableInfo>> {
        self.tables.get(&tablet)
    }

    /// Finds an active table by name. The caller records the dependency.
    pub(crate) fn table_by_name(
        &self,
        namespace: Namespace,
        name: &str,
    ) -> Option<&Arc<TableInfo>> {
        self.by_name
            .get(&(namespace, name.to_owned()))
            .and_then(|tablet| self.tables.get(tablet))
    }

    pub(crate) fn table_by_number(
        &self,
        namespace: Namespace,
        number: TableNumber,
    ) -> Option<&Arc<TableInfo>> {
        self.by_number
            .get(&(namespace, number))
            .and_then(|tablet| self.tables.get(tablet))
    }

    /// Whether writes keep `index` up to date.
    pub(crate) fn maintains(&self, index: &IndexInfo) -> bool {
        self.table(index.tablet).is_some_and(|table| {
            table
                .maintained_indexes()
                .any(|known| known.index == index.index)
        })
    }

    /// All tables of all namespaces, deleting ones included.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableInfo>> {
        self.tables.values()
    }

    pub fn active_schema(&self, namespace: Namespace) -> Option<&SchemaSlot> {
        self.schemas.get(&namespace)?.active.as_ref()
    }

    /// The schema being validated, or validated and waiting for its push to finish.
    pub fn pending_schema(&self, namespace: Namespace) -> Option<&SchemaSlot> {
        self.schemas.get(&namespace)?.pending.as_ref()
    }

    /// What [`pending_schema`](Self::pending_schema) gives, for all namespaces.
    pub(crate) fn pending_schemas(&self) -> impl Iterator<Item = (Namespace, &SchemaSlot)> {
        self.schemas
            .iter()
            .filter_map(|(namespace, pair)| Some((*namespace, pair.pending.as_ref()?)))
    }

    /// The validator staged for a table.
    pub fn staged_validator(&self, tablet: TabletId) -> Option<&Arc<StagedValidator>> {
        self.staged_validators.get(&tablet)
    }

    pub(crate) fn staged_validators(&self) -> impl Iterator<Item = &Arc<StagedValidator>> {
        self.staged_validators.values()
    }

    /// Rows of schemas that failed or were overwritten, and since when.
    pub(crate) fn dead_schemas(&self) -> impl Iterator<Item = (InternalId, Timestamp)> {
        self.rows
            .get(&system::SCHEMAS)
            .into_iter()
            .flat_map(|rows| rows.iter())
            .filter(|(_, (_, row))| !is_live_schema(row.as_ref()))
            .map(|(id, (ts, _))| (*id, *ts))
    }

    pub(crate) fn row(
        &self,
        tablet: TabletId,
        id: InternalId,
    ) -> Option<&(Timestamp, PackedValue)> {
        self.rows.get(&tablet)?.get(&id)
    }

    pub(crate) fn rows(
        &self,
        tablet: TabletId,
    ) -> impl Iterator<Item = (InternalId, &PackedValue)> {
        self.rows
            .get(&tablet)
            .into_iter()
            .flat_map(|rows| rows.iter().map(|(id, (_, value))| (*id, value)))
    }

    /// The first row at or after the smallest id that begins with `prefix`.
    pub(crate) fn first_row_from(
        &self,
        tablet: TabletId,
        prefix: &[u8],
    ) -> Option<(InternalId, &PackedValue)> {
        let mut from = InternalId([0; 16]);
        let length = prefix.len().min(from.0.len());
        from.0[..length].copy_from_slice(&prefix[..length]);
        let (id, (_, row)) = self.rows.get(&tablet)?.range(from..).next()?;
        Some((*id, row))
    }

    /// Largest physical number in use, for numbering new tablets and indexes.
    pub(crate) fn last_number(&self) -> u32 {
        self.tables
            .values()
            .flat_map(|table| {
                std::iter::once(table.tablet.0)
                    .chain(table.indexes.iter().map(|index| index.index.0))
            })
            .max()
            .unwrap_or(0)
            .max(system::FIRST_DYNAMIC_NUMBER)
    }

    /// Smallest free user table number of a namespace (data model spec 3.1).
    pub(crate) fn next_table_number(&self, namespace: Namespace) -> TableNumber {
        let Some(taken) = self.user_numbers.get(&namespace) else {
            return TableNumber(LAST_SYSTEM_NUMBER + 1);
        };
        let without_gaps = LAST_SYSTEM_NUMBER + taken.len() as u32;
        if taken.last() == Some(&without_gaps) {
            return TableNumber(without_gaps + 1);
        }
        let expected = LAST_SYSTEM_NUMBER + 1..;
        let gap = taken
            .iter()
            .zip(expected)
            .find(|(taken, next)| *taken != next);
        TableNumber(gap.map_or(without_gaps + 1, |(_, next)| next))
    }

    pub(crate) fn user_tables_count(&self) -> usize {
        self.user_numbers.values().map(BTreeSet::len).sum()
    }

    /// Applies the write of one row of a resident system table.
    pub(crate) fn apply(
        &mut self,
        tablet: TabletId,
        id: InternalId,
        new: Option<(Timestamp, PackedValue)>,
    ) -> Result<(), CorruptRow> {
        debug_assert!(
            system::is_resident(tablet),
            "invariant: only resident tablets are kept"
        );
        let old = self.row(tablet, id).map(|(_, value)| value.clone());
        let corrupt = |reason: String| CorruptRow {
            tablet,
            row: id,
            reason,
        };
        match tablet {
            system::TABLES => {
                let mut indexes = Vec::new();
                if let Some(old) = &old {
                    let table = parse_table(old.as_ref()).map_err(corrupt)?;
                    if let Some(known) = self.tables.remove(&table.tablet) {
                        indexes.clone_from(&known.indexes);
                    }
                    if let Some(numbers) = self.user_numbers.get_mut(&table.namespace) {
                        numbers.remove(&table.number.0);
                    }
                    if table.state == TableState::Active {
                        self.by_name.remove(&(table.namespace, table.name.clone()));
                        self.by_number.remove(&(table.namespace, table.number));
                    }
                }
                if let Some((_, new)) = &new {
                    let mut table = parse_table(new.as_ref()).map_err(corrupt)?;
                    table.indexes = indexes;
                    if table.state == TableState::Active {
                        self.by_name
                            .insert((table.namespace, table.name.clone()), table.tablet);
                        self.by_number
                            .insert((table.namespace, table.number), table.tablet);
                    }
                    if table.number.0 > LAST_SYSTEM_NUMBER {
                        let numbers = self.user_numbers.entry(table.namespace).or_default();
                        numbers.insert(table.number.0);
                    }
                    self.tables.insert(table.tablet, Arc::new(table));
                }
            }
            system::INDEXES => {
                if let Some(old) = &old {
                    let index = parse_index(old.as_ref()).map_err(corrupt)?;
                    self.edit_indexes(index.tablet, |indexes| {
                        indexes.retain(|known| known.index != index.index)
                    });
                }
                if let Some((_, new)) = &new {
                    let index = Arc::new(parse_index(new.as_ref()).map_err(corrupt)?);
                    self.edit_indexes(index.tablet, |indexes| {
                        indexes.push(index.clone());
                        indexes.sort_by_key(|index| index.index);
                    });
                }
            }
            system::SCHEMAS => {
                if let Some(old) = &old {
                    let (namespace, _, state) = parse_schema_row(old.as_ref()).map_err(corrupt)?;
                    let pair = self.schemas.entry(namespace).or_default();
                    match state {
                        SchemaState::Active => {
                            pair.active = pair.active.take().filter(|slot| slot.row != id)
                        }
                        _ => pair.pending = pair.pending.take().filter(|slot| slot.row != id),
                    }
                }
                if let Some((_, new)) = &new {
                    let (namespace, text, state) =
                        parse_schema_row(new.as_ref()).map_err(corrupt)?;
                    let live = matches!(
                        state,
                        SchemaState::Active | SchemaState::Pending | SchemaState::Validated
                    );
                    if live {
                        let schema =
                            Schema::parse_stored(&text).map_err(|error| corrupt(error.message))?;
                        let slot = SchemaSlot {
                            row: id,
                            state: state.clone(),
                            schema: Arc::new(schema),
                        };
                        let pair = self.schemas.entry(namespace).or_default();
                        if state == SchemaState::Active {
                            pair.active = Some(slot);
                        } else {
                            pair.pending = Some(slot);
                        }
                    }
                }
            }
            system::STAGED_VALIDATORS => {
                if old.is_some() {
                    self.staged_validators.retain(|_, known| known.row != id);
                }
                if let Some((_, new)) = &new {
                    let staged = StagedValidator::parse(id, new.as_ref()).map_err(corrupt)?;
                    self.staged_validators
                        .insert(staged.tablet, Arc::new(staged));
                }
            }
            _ => {}
        }
        let rows = Arc::make_mut(self.rows.entry(tablet).or_default());
        match new {
            Some(row) => rows.insert(id, row),
            None => rows.remove(&id),
        };
        Ok(())
    }

    fn edit_indexes(&mut self, tablet: TabletId, edit: impl FnOnce(&mut Vec<Arc<IndexInfo>>)) {
        if let Some(table) = self.tables.get_mut(&tablet) {
            edit(&mut Arc::make_mut(table).indexes);
        }
    }
}

impl TableInfo {
    /// Finds an index by name: the one that serves reads first, else a pending one.
    pub fn index(&self, name: &str) -> Option<&Arc<IndexInfo>> {
        let named = || {
            self.indexes
                .iter()
                .filter(|index| index.name == name && index.state != IndexState::Deleting)
        };
        named()
            .find(|index| index.state == IndexState::Enabled)
            .or_else(|| named().next())
    }

    /// Indexes that every write must keep up to date.
    pub(crate) fn maintained_indexes(&self) -> impl Iterator<Item = &Arc<IndexInfo>> {
        self.indexes.iter().filter(|index| {
            index.state != IndexState::Deleting && matches!(index.spec, IndexSpec::Database { .. })
        })
    }
}

/// Names of the tables of one namespace, for checking `v.id(...)`.
pub(crate) struct NamespaceNames<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) namespace: Namespace,
}

impl TableNames for NamespaceNames<'_> {
    fn name_of(&self, number: TableNumber) -> Option<TableKind<'_>> {
        let table = self.metadata.table_by_number(self.namespace, number)?;
        Some(match table.number {
            system::STORAGE_TABLE => TableKind::User("_storage"),
            system::SCHEDULED_FUNCTIONS_TABLE => TableKind::User("_scheduled_functions"),
            _ if table.name.starts_with('_') => TableKind::System,
            _ => TableKind::User(&table.name),
        })
    }
}

fn required<T>(value: Option<T>, field: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("field {field} is missing or of another type"))
}

fn number(row: hull_value::ValueRef<'_>, field: &str) -> Result<u32, String> {
    required(
        document::int(row, field).and_then(|n| u32::try_from(n).ok()),
        field,
    )
}

fn parse_table(row: hull_value::ValueRef<'_>) -> Result<TableInfo, String> {
    Ok(TableInfo {
        tablet: TabletId(number(row, "tablet")?),
        number: TableNumber(number(row, "number")?),
        name: required(document::text(row, "name"), "name")?.to_owned(),
        namespace: Namespace(number(row, "namespace")?),
        state: match required(document::text(row, "state"), "state")? {
            "active" => TableState::Active,
            "deleting" => TableState::Deleting,
            other => return Err(format!("unknown table state {other}")),
        },
        indexes: Vec::new(),
    })
}

fn parse_index(row: hull_value::ValueRef<'_>) -> Result<IndexInfo, String> {
    let spec_json = required(document::text(row, "spec"), "spec")?;
    let spec = parse_spec(spec_json)?;
    let fields = spec.key_fields();
    Ok(IndexInfo {
        index: IndexId(number(row, "index")?),
        tablet: TabletId(number(row, "tablet")?),
        name: required(document::text(row, "name"), "name")?.to_owned(),
        spec,
        fields,
        state: match required(document::text(row, "state"), "state")? {
            "backfilling" => IndexState::Backfilling,
            "backfilled" => IndexState::Backfilled,
            "enabled" => IndexState::Enabled,
            "deleting" => IndexState::Deleting,
            other => return Err(format!("unknown index state {other}")),
        },
        staged: document::boolean(row, "staged").unwrap_or(false),
    })
}

/// Reads what [`IndexSpec::to_config_json`] wrote.
fn parse_spec(text: &str) -> Result<IndexSpec, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let path = |value: &serde_json::Value| -> Result<FieldPath, String> {
        required(value.as_str(), "spec")?
            .parse()
            .map_err(|error: hull_value::CodedError| error.message)
    };
    let paths = |field: &str| -> Result<Vec<FieldPath>, String> {
        required(json[field].as_array(), field)?
            .iter()
            .map(path)
            .collect()
    };
    match json["type"].as_str() {
        Some("database") => {
            let mut fields = paths("fields")?;
            // The stored form ends in the implied creation time.
            fields.pop();
            Ok(IndexSpec::Database { fields })
        }
        Some("search") => Ok(IndexSpec::Search {
            search_field: path(&json["searchField"])?,
            filter_fields: paths("filterFields")?,
        }),
        Some("vector") => Ok(IndexSpec::Vector {
            vector_field: path(&json["vectorField"])?,
            dimensions: required(
                json["dimensions"]
                    .as_u64()
                    .and_then(|n| u32::try_from(n).ok()),
                "dimensions",
            )?,
            filter_fields: paths("filterFields")?,
        }),
        _ => Err("unknown kind of index".to_owned()),
    }
}

fn parse_schema_row(
    row: hull_value::ValueRef<'_>,
) -> Result<(Namespace, String, SchemaState), String> {
    let namespace = Namespace(number(row, "namespace")?);
    let state = match required(document::text(row, "state"), "state")? {
        "pending" => SchemaState::Pending,
        "validated" => SchemaState::Validated,
        "active" => SchemaState::Active,
        "overwritten" => SchemaState::Overwritten,
        "failed" => SchemaState::Failed {
            error: required(document::text(row, "error"), "error")?.to_owned(),
            table: document::text(row, "table").map(str::to_owned),
        },
        other => return Err(format!("unknown schema state {other}")),
    };
    let text = required(document::text(row, "schema"), "schema")?.to_owned();
    Ok((namespace, text, state))
}

/// Whether writes or pushes have to look at a stored schema.
pub(crate) fn is_live_schema(row: hull_value::ValueRef<'_>) -> bool {
    !matches!(document::text(row, "state"), Some("failed" | "overwritten"))
}

impl SchemaState {
    /// Reads the state of a stored schema row.
    pub(crate) fn of_row(row: hull_value::ValueRef<'_>) -> Option<SchemaState> {
        parse_schema_row(row).ok().map(|(_, _, state)| state)
    }
}
