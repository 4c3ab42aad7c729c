use std::collections::{BTreeMap, BTreeSet};

use hull_engine::{IndexDiff, Namespace, Transaction, document, system};
use hull_value::{CodedError, InternalId, Schema, Value};
use serde_json::{Map, Value as Json, json};

use super::declared_variables;
use super::request::is_chunk;
use super::respond;
use super::staged::{self, KnownPush, StagedComponent, StagedDefinition, StagedPush};
use crate::clock;
use crate::components::{self, Component, ComponentState};
use crate::crons::{self, CronSpec};
use crate::deployment::Deployment;
use crate::environment;
use crate::images::UdfConfig;
use crate::modules::StoredModule;
use crate::sources;

/// Attempts before a push gives way to others.
const ATTEMPTS_MAX: usize = 8;

impl Deployment {
    /// Switches to the code, schema and indexes of a started push, in one commit.
    /// Asked again, for instance because the answer was lost, it repeats its answer.
    pub async fn finish_push(
        &self,
        start_push: Json,
        dry_run: bool,
        _message: Option<String>,
    ) -> Result<Json, CodedError> {
        if dry_run {
            return Ok(json!({
                "authDiff": { "added": [], "removed": [] },
                "definitionDiffs": {},
                "componentDiffs": {},
            }));
        }
        let Some(push_id) = start_push["componentDefinitionPackages"][""]["pushId"]
            .as_str()
            .map(str::to_owned)
        else {
            return Err(CodedError::bad_request(
                "InvalidConfig",
                "`startPush` is not an answer of start_push.",
            ));
        };
        let variables: BTreeMap<String, String> =
            serde_json::from_value(start_push["environmentVariables"].clone()).unwrap_or_default();
        let response = self
            .transact_or(ATTEMPTS_MAX, concurrent_push(), move |_, transaction| {
                finish(transaction, &push_id, &variables)
            })
            .await?;
        self.upkeep().wake();
        Ok(response)
    }
}

fn finish(
    transaction: &mut Transaction,
    push_id: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Json, CodedError> {
    let staged = match staged::get(transaction, push_id)? {
        Some(KnownPush::Started(staged)) => staged,
        Some(KnownPush::Finished(response)) => return Ok(response),
        None => return Err(concurrent_push()),
    };
    let current: BTreeMap<String, String> = environment::read_all(transaction)
        .into_iter()
        .map(|variable| (variable.name, variable.value))
        .collect();
    if current != *variables {
        return Err(CodedError::bad_request(
            "RaceDetected",
            "Environment variables have changed during push",
        ));
    }
    if let Some(app) = staged.definitions.get("") {
        declared_variables::check_values(&app.definition, &current)?;
    }
    let config_diff = replace_config(transaction, &staged)?;
    let auth_diff = replace_auth(transaction, &staged.auth_providers)?;
    replace_definitions(transaction, &staged)?;
    let mut outdated = BTreeSet::new();
    let mut diffs = Map::new();
    for component in &staged.components {
        let definition = staged
            .definitions
            .get(&component.definition_path)
            .ok_or_else(|| CodedError::internal("a staged component has no definition"))?;
        let diff_type = mount(transaction, component)?;
        let namespace = component.namespace();
        let module_diff =
            replace_modules(transaction, namespace, &definition.modules, &mut outdated)?;
        let (index_diff, schema_diff) = switch_schema(transaction, component, definition)?;
        let specs = cron_specs(&definition.modules)?;
        let cron_diff = crons::replace(transaction, namespace, &specs)?;
        let is_app = component.installed.is_none();
        let config_diff = if is_app { &config_diff } else { &Json::Null };
        diffs.insert(
            component.path.clone(),
            json!({
                "diffType": { "type": diff_type },
                "moduleDiff": module_diff,
                "udfConfigDiff": config_diff,
                "cronDiff": cron_diff,
                "indexDiff": respond::index_diff(&index_diff),
                "schemaDiff": schema_diff,
            }),
        );
    }
    for stored in components::read_all(transaction)? {
        let component = stored.component;
        let is_wanted = diffs.contains_key(&component.path);
        if stored.state != ComponentState::Active || is_wanted {
            continue;
        }
        components::put(transaction, &component, ComponentState::Unmounted)?;
        let namespace = component.namespace;
        let module_diff = replace_modules(transaction, namespace, &[], &mut outdated)?;
        let cron_diff = crons::replace(transaction, namespace, &[])?;
        diffs.insert(
            component.path,
            json!({
                "diffType": { "type": "unmount" },
                "moduleDiff": module_diff,
                "udfConfigDiff": Json::Null,
                "cronDiff": cron_diff,
                "indexDiff": respond::index_diff(&IndexDiff::default()),
                "schemaDiff": Json::Null,
            }),
        );
    }
    for module in staged.modules() {
        outdated.remove(&module.sha256);
    }
    let response = json!({
        "authDiff": auth_diff,
        "definitionDiffs": {},
        "componentDiffs": diffs,
    });
    staged::finish(transaction, push_id, outdated, &response, clock::now())?;
    Ok(response)
}

/// Makes a component active, with what the push gives it; tells what that means for it.
fn mount(
    transaction: &mut Transaction,
    staged: &StagedComponent,
) -> Result<&'static str, CodedError> {
    let Some(installed) = &staged.installed else {
        return Ok("modify");
    };
    let before = components::read(transaction, &staged.path)?.map(|stored| stored.state);
    let component =
        Component::installed(staged.namespace(), staged.path.clone(), installed.clone());
    components::put(transaction, &component, ComponentState::Active)?;
    Ok(match before {
        Some(ComponentState::Active) => "modify",
        Some(ComponentState::Unmounted) => "remount",
        Some(ComponentState::Pending) | None => "create",
    })
}

fn replace_definitions(
    transaction: &mut Transaction,
    staged: &StagedPush,
) -> Result<(), CodedError> {
    let mut wanted = BTreeSet::new();
    for (path, staged) in &staged.definitions {
        let row = document::row([("definition", Value::String(staged.definition.to_string()))]);
        let id = components::definition_row_id(path);
        transaction.put_system_row(system::COMPONENT_DEFINITIONS, id, Some(row))?;
        wanted.insert(id);
    }
    for (id, _) in transaction.system_rows(system::COMPONENT_DEFINITIONS) {
        if !wanted.contains(&id) {
            transaction.put_system_row(system::COMPONENT_DEFINITIONS, id, None)?;
        }
    }
    Ok(())
}

/// Another push got in the way.
fn concurrent_push() -> CodedError {
    CodedError::bad_request(
        "ConcurrentPush",
        "Are you running multiple `npx convex dev` processes in the same directory?",
    )
}

/// Returns what changed; adds the sources of the modules before to `outdated`.
fn replace_modules(
    transaction: &mut Transaction,
    namespace: Namespace,
    modules: &[StoredModule],
    outdated: &mut BTreeSet<String>,
) -> Result<Json, CodedError> {
    let mut deployed: BTreeMap<String, (InternalId, StoredModule)> = BTreeMap::new();
    for (id, row) in transaction.system_rows(system::MODULES) {
        let module = StoredModule::from_row(&row)?;
        if module.namespace == namespace.0 {
            deployed.insert(module.path.clone(), (id, module));
        }
    }
    let mut added = Vec::new();
    for module in modules {
        if sources::read(transaction, &module.sha256)?.is_none() {
            return Err(concurrent_push());
        }
        // An unchanged row is not a write, and invalidates nothing.
        let id = StoredModule::row_id(namespace, &module.path);
        let row = StoredModule {
            namespace: namespace.0,
            ..module.clone()
        };
        transaction.put_system_row(system::MODULES, id, Some(row.to_row()?))?;
        match deployed.remove(&module.path) {
            Some((_, old)) => {
                outdated.insert(old.sha256);
            }
            None if !is_chunk(&module.path) => added.push(module.path.clone()),
            None => {}
        }
    }
    let mut removed = Vec::new();
    for (path, (id, module)) in deployed {
        transaction.put_system_row(system::MODULES, id, None)?;
        outdated.insert(module.sha256);
        if !is_chunk(&path) {
            removed.push(path);
        }
    }
    Ok(json!({ "added": added, "removed": removed }))
}

fn replace_config(transaction: &mut Transaction, staged: &StagedPush) -> Result<Json, CodedError> {
    let previous = UdfConfig::read(transaction)?.map(|config| config.server_version);
    let seed: [u8; 32] = hex::decode(&staged.import_seed)
        .ok()
        .and_then(|seed| seed.try_into().ok())
        .ok_or_else(|| CodedError::internal("a staged push has no seed"))?;
    let config = UdfConfig {
        server_version: staged.server_version.clone(),
        import_seed: seed,
        import_time_ns: staged.import_time_ns,
    };
    transaction.put_system_row(
        system::UDF_CONFIG,
        UdfConfig::row_id(),
        Some(config.to_row()),
    )?;
    if previous.as_ref() == Some(&staged.server_version) {
        return Ok(Json::Null);
    }
    Ok(json!({
        "previous_version": previous.unwrap_or_default(),
        "next_version": staged.server_version,
    }))
}

fn replace_auth(transaction: &mut Transaction, providers: &[Json]) -> Result<Json, CodedError> {
    let id_of = |text: &str| system::row_id(&[b"auth provider", text.as_bytes()]);
    let wanted: BTreeMap<String, usize> = providers
        .iter()
        .enumerate()
        .map(|(position, provider)| (provider.to_string(), position))
        .collect();
    let mut removed = Vec::new();
    let mut known = BTreeSet::new();
    for (id, row) in transaction.system_rows(system::AUTH_PROVIDERS) {
        let text = document::text(row.as_ref(), "provider")
            .unwrap_or_default()
            .to_owned();
        if !wanted.contains_key(&text) {
            transaction.put_system_row(system::AUTH_PROVIDERS, id, None)?;
            removed.push(text.clone());
        }
        known.insert(text);
    }
    let mut added = Vec::new();
    for (text, position) in wanted {
        let row = document::row([
            ("provider", Value::String(text.clone())),
            ("position", Value::Int64(position as i64)),
        ]);
        transaction.put_system_row(system::AUTH_PROVIDERS, id_of(&text), Some(row))?;
        if !known.contains(&text) {
            added.push(text);
        }
    }
    Ok(json!({ "added": added, "removed": removed }))
}

fn cron_specs(modules: &[StoredModule]) -> Result<Vec<(String, CronSpec)>, CodedError> {
    let module = modules.iter().find(|module| module.path == "crons.js");
    match module.and_then(|module| module.analysis.as_ref()?.cron_specs.as_ref()) {
        Some(specs) => crons::parse_specs(specs),
        None => Ok(Vec::new()),
    }
}

fn switch_schema(
    transaction: &mut Transaction,
    component: &StagedComponent,
    definition: &StagedDefinition,
) -> Result<(IndexDiff, Json), CodedError> {
    let namespace = component.namespace();
    transaction.record_schema_of(namespace);
    let previous = transaction
        .metadata()
        .active_schema(namespace)
        .map(|slot| slot.schema.to_json().to_string());
    let schema = match &definition.schema {
        Some(text) => Schema::parse_stored(text)?,
        None => Schema::default(),
    };
    let row = component.schema_row.as_deref();
    let row = row.and_then(respond::parse_schema_id);
    transaction.activate_schema(namespace, row)?;
    let diff = transaction.finish_indexes(namespace, &schema)?;
    transaction.stage_validators(namespace, &schema)?;
    let diff_json = if previous == definition.schema {
        Json::Null
    } else {
        json!({ "previous_schema": previous, "next_schema": definition.schema })
    };
    Ok((diff, diff_json))
}
