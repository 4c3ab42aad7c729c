//! What started pushes leave on the server until they are finished, and for a
//! while after: an answer to repeat, and the sources that nobody needs any more.
//!
//! A source is deleted only when neither a deployed module nor a row here names
//! it. A finished push names what it superseded, so that calls which began
//! before it can still build their image.

use std::collections::{BTreeMap, BTreeSet};

use hull_engine::{BeginContext, CommitError, Engine, Namespace, Transaction, document, system};
use hull_value::{CodedError, InternalId, PackedValue, Timestamp, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::components::Installed;
use crate::modules::StoredModule;
use crate::sources;

/// How long a push can be finished after its start, and its answer be repeated after its end.
const KEPT_NS: u64 = 3_600_000_000_000;
/// Sources deleted in one transaction.
const SOURCES_PER_STEP: usize = 64;

/// What `finish_push` needs of an evaluated push; kept on the server so that
/// nothing the client echoes has to be trusted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StagedPush {
    pub(super) server_version: String,
    pub(super) import_seed: String,
    pub(super) import_time_ns: i64,
    pub(super) auth_providers: Vec<Json>,
    /// By path, `""` is the app's.
    pub(super) definitions: BTreeMap<String, StagedDefinition>,
    /// The app first, parents before their children.
    pub(super) components: Vec<StagedComponent>,
}

/// What all components of one definition share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StagedDefinition {
    /// In no namespace yet.
    pub(super) modules: Vec<StoredModule>,
    pub(super) definition: Json,
    /// The schema in stored form, `None` without a schema file.
    pub(super) schema: Option<String>,
}

/// One component of the app, or the app itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StagedComponent {
    pub(super) path: String,
    pub(super) definition_path: String,
    /// `None` is the app.
    pub(super) installed: Option<Installed>,
    pub(super) namespace: u32,
    pub(super) schema_row: Option<String>,
}

impl StagedPush {
    /// The modules of all definitions.
    pub(super) fn modules(&self) -> impl Iterator<Item = &StoredModule> {
        self.definitions
            .values()
            .flat_map(|definition| &definition.modules)
    }
}

impl StagedComponent {
    pub(super) fn namespace(&self) -> Namespace {
        Namespace(self.namespace)
    }
}

/// A push that the server still knows.
pub(super) enum KnownPush {
    Started(StagedPush),
    Finished(Json),
}

/// A row of `STAGED_PUSHES`.
struct Head {
    /// When the push was started or finished.
    at: Timestamp,
    /// Content addresses that must not be deleted meanwhile.
    sources: BTreeSet<String>,
    /// What `finish_push` answered.
    response: Option<Json>,
}

fn row_id(push_id: &str) -> InternalId {
    system::row_id(&[b"staged push", push_id.as_bytes()])
}

/// Keeps a started push.
pub(super) fn put(
    transaction: &mut Transaction,
    push_id: &str,
    staged: &StagedPush,
    now: Timestamp,
) -> Result<(), CodedError> {
    let id = row_id(push_id);
    let head = Head {
        at: now,
        sources: staged
            .modules()
            .map(|module| module.sha256.clone())
            .collect(),
        response: None,
    };
    transaction.put_system_row(system::STAGED_PUSHES, id, Some(head.to_row()))?;
    let text =
        serde_json::to_string(staged).map_err(|error| CodedError::internal(error.to_string()))?;
    let body = document::row([("push", Value::String(text))]);
    transaction.put_system_row(system::MODULE_SOURCES, id, Some(body))
}

/// Reads a push, `None` when it is not known (any more).
pub(super) fn get(
    transaction: &mut Transaction,
    push_id: &str,
) -> Result<Option<KnownPush>, CodedError> {
    let id = row_id(push_id);
    let Some(head) = transaction.system_row(system::STAGED_PUSHES, id)? else {
        return Ok(None);
    };
    if let Some(response) = Head::from_row(&head)?.response {
        return Ok(Some(KnownPush::Finished(response)));
    }
    let body = transaction.system_row(system::MODULE_SOURCES, id)?;
    let staged = body
        .as_ref()
        .and_then(|body| document::text(body.as_ref(), "push"))
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| CodedError::internal("a staged push is not readable"))?;
    Ok(Some(KnownPush::Started(staged)))
}

/// Notes the end of a push: what it answered, and which sources it superseded.
pub(super) fn finish(
    transaction: &mut Transaction,
    push_id: &str,
    superseded: BTreeSet<String>,
    response: &Json,
    now: Timestamp,
) -> Result<(), CodedError> {
    let id = row_id(push_id);
    let head = Head {
        at: now,
        sources: superseded,
        response: Some(response.clone()),
    };
    transaction.put_system_row(system::STAGED_PUSHES, id, Some(head.to_row()))?;
    transaction.put_system_row(system::MODULE_SOURCES, id, None)
}

/// Forgets one old push, or a part of one that is large; `true` if there may be more to do.
pub(crate) fn expire(engine: &Engine, context: &BeginContext) -> Result<bool, CodedError> {
    let mut transaction = engine.begin(context)?;
    if !expire_one(&mut transaction, context.now)? {
        return Ok(false);
    }
    match engine.commit_and_wait(transaction, context.now) {
        // A push got in between: look again.
        Ok(_) | Err(CommitError::Conflict(_)) => Ok(true),
        Err(error) => Err(CodedError::internal(error.to_string())),
    }
}

fn expire_one(transaction: &mut Transaction, now: Timestamp) -> Result<bool, CodedError> {
    // Also the dependency on pushes that start meanwhile and may name the same sources.
    let mut rows = transaction.system_rows(system::STAGED_PUSHES);
    let old = rows
        .iter()
        .position(|(_, row)| Head::at(row).0.saturating_add(KEPT_NS) < now.0);
    let Some(old) = old else { return Ok(false) };
    let (id, row) = rows.swap_remove(old);
    let mut head = Head::from_row(&row)?;
    let mut named = BTreeSet::new();
    for (_, row) in &rows {
        named.append(&mut Head::from_row(row)?.sources);
    }
    for (_, row) in transaction.system_rows(system::MODULES) {
        named.insert(StoredModule::from_row(&row)?.sha256);
    }
    head.sources.retain(|sha256| !named.contains(sha256));
    for _ in 0..SOURCES_PER_STEP {
        let Some(sha256) = head.sources.pop_first() else {
            break;
        };
        transaction.put_system_row(system::MODULE_SOURCES, sources::row_id(&sha256), None)?;
    }
    if head.sources.is_empty() {
        transaction.put_system_row(system::MODULE_SOURCES, id, None)?;
        transaction.put_system_row(system::STAGED_PUSHES, id, None)?;
    } else {
        transaction.put_system_row(system::STAGED_PUSHES, id, Some(head.to_row()))?;
    }
    Ok(true)
}

impl Head {
    fn to_row(&self) -> PackedValue {
        let sources = self.sources.iter().cloned().map(Value::String).collect();
        let response = self.response.as_ref().map(Json::to_string);
        document::row([
            (
                "at",
                Value::Int64(i64::try_from(self.at.0).unwrap_or(i64::MAX)),
            ),
            ("sources", Value::Array(sources)),
            ("response", response.map_or(Value::Null, Value::String)),
        ])
    }

    fn at(row: &PackedValue) -> Timestamp {
        let at = document::int(row.as_ref(), "at").unwrap_or(0);
        Timestamp(u64::try_from(at).unwrap_or(0))
    }

    fn from_row(row: &PackedValue) -> Result<Head, CodedError> {
        let corrupt = || CodedError::internal("the row of a staged push is not readable");
        let sources = document::field(row.as_ref(), "sources")
            .and_then(|sources| sources.as_array())
            .ok_or_else(corrupt)?;
        let response = document::text(row.as_ref(), "response")
            .map(serde_json::from_str)
            .transpose()
            .map_err(|_| corrupt())?;
        Ok(Head {
            at: Head::at(row),
            sources: sources
                .iter()
                .filter_map(|sha256| sha256.as_str().map(str::to_owned))
                .collect(),
            response,
        })
    }
}

#[cfg(test)]
mod tests;
