use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hull_engine::{IndexDiff, Namespace, Transaction, system};
use hull_value::{CodedError, InternalId, Schema};
use serde_json::{Map, Value as Json, json};

use super::analyze::Evaluator;
use super::declared_variables;
use super::package::Package;
use super::request::PushRequest;
use super::respond;
use super::staged::{self, StagedComponent, StagedDefinition, StagedPush};
use super::tree;
use crate::clock;
use crate::components::{self, Component, ComponentState};
use crate::deployment::Deployment;
use crate::environment;
use crate::images::UdfConfig;
use crate::modules::{Analysis, StoredModule};
use crate::runner::Runner;
use crate::sources::{self, ModuleSource};

const PUSH_PREFIX: &str = "Hit an error while pushing:\n";

/// Everything evaluation found.
struct Evaluated {
    staged: StagedPush,
    new_sources: Vec<(String, ModuleSource)>,
    /// By the path of the definition.
    schemas: BTreeMap<String, Schema>,
    variables: BTreeMap<String, String>,
}

/// What a push changes of the schemas of components, by their paths.
#[derive(Default)]
pub(super) struct SchemaChange {
    pub(super) component_ids: BTreeMap<String, String>,
    pub(super) schema_rows: BTreeMap<String, Option<InternalId>>,
    pub(super) diffs: BTreeMap<String, IndexDiff>,
}

impl Deployment {
    /// What is deployed, as hashes the CLI compares its bundles with.
    pub async fn config_hashes(&self) -> Result<Json, CodedError> {
        self.transact(|_, transaction| {
            let mut hashes = Vec::new();
            for (_, row) in transaction.system_rows(system::MODULES) {
                let module = StoredModule::from_row(&row)?;
                if module.namespace == Namespace::ROOT.0 {
                    hashes.push(json!({
                        "path": module.path,
                        "hash": module.sha256,
                        "environment": module.environment,
                    }));
                }
            }
            hashes.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
            let version = UdfConfig::read(transaction)?.map(|config| config.server_version);
            Ok(json!({
                "config": { "functions": "convex/" },
                "moduleHashes": hashes,
                "udfServerVersion": version,
                "nodeVersion": Json::Null,
            }))
        })
        .await
    }

    /// Evaluates a push and prepares tables, indexes and schema.
    pub async fn start_push(&self, request: Json) -> Result<Json, CodedError> {
        let request = PushRequest::parse(request).map_err(|error| error.prefixed(PUSH_PREFIX))?;
        let writes = !request.dry_run && !request.for_codegen;
        let evaluated = self.evaluate_request(request).await?;
        let evaluated = Arc::new(evaluated);
        let push_id = clock::random_request_id();
        let change = if writes {
            let (pushed, id) = (evaluated.clone(), push_id.clone());
            let prepared = self
                .transact(move |_, transaction| prepare(transaction, &pushed, &id))
                .await?;
            self.upkeep().wake();
            prepared
        } else {
            let (runner, pushed) = (self.runner().clone(), evaluated.clone());
            self.on_worker(move || {
                let mut transaction = runner.engine.begin(&clock::begin_context())?;
                diff_only(&mut transaction, &pushed)
            })
            .await??
        };
        Ok(response(&evaluated, &push_id, &change))
    }

    /// Tells what a push would change, changing nothing.
    pub async fn evaluate_push(&self, request: Json) -> Result<Json, CodedError> {
        let request = PushRequest::parse(request).map_err(|error| error.prefixed(PUSH_PREFIX))?;
        let evaluated = self.evaluate_request(request).await?;
        let runner = self.runner().clone();
        let change = self
            .on_worker(move || {
                let mut transaction = runner.engine.begin(&clock::begin_context())?;
                diff_only(&mut transaction, &evaluated)
            })
            .await??;
        Ok(json!({ "schemaChange": respond::schema_change(&change) }))
    }

    /// Tells what a push of the schema would have to check and build, changing nothing.
    pub async fn evaluate_schema(&self, request: Json) -> Result<Json, CodedError> {
        let request = PushRequest::parse(request).map_err(|error| error.prefixed(PUSH_PREFIX))?;
        let upkeep = self.upkeep().clone();
        let runner = self.runner().clone();
        self.on_worker(move || {
            let mut transaction = runner.engine.begin(&clock::begin_context())?;
            let variables = all_variables(&runner, &mut transaction)?;
            let evaluator = evaluator(&runner, &mut transaction, &request, Arc::new(variables))?;
            let evaluation =
                evaluate_schemas(&evaluator, &mut transaction, &request, &upkeep.progress);
            evaluation.map_err(|error| error.prefixed(PUSH_PREFIX))
        })
        .await?
    }

    async fn evaluate_request(&self, request: PushRequest) -> Result<Evaluated, CodedError> {
        let runner = self.runner().clone();
        self.on_worker(move || evaluate(&runner, &request))
            .await?
            .map_err(|error| {
                // Conflicts are between pushes, not in what was pushed.
                if error.class == hull_value::ErrorClass::BadRequest {
                    error.prefixed(PUSH_PREFIX)
                } else {
                    error
                }
            })
    }
}

fn evaluate(runner: &Runner, request: &PushRequest) -> Result<Evaluated, CodedError> {
    let mut transaction = runner.engine.begin(&clock::begin_context())?;
    let user_variables: BTreeMap<String, String> = environment::read_all(&mut transaction)
        .into_iter()
        .map(|variable| (variable.name, variable.value))
        .collect();
    let variables = all_variables(runner, &mut transaction)?;
    let evaluator = evaluator(runner, &mut transaction, request, Arc::new(variables))?;
    let app = &request.app_definition;
    let sources = runner.images.sources();
    let mut packages = BTreeMap::new();
    let package = Package::collect(
        &mut transaction,
        Some(Namespace::ROOT),
        &app.changed_modules,
        &app.unchanged_module_hashes,
        sources.clone(),
    )?;
    packages.insert("", Arc::new(package));
    let deployed = components::read_all(&mut transaction)?;
    for definition in &request.component_definitions {
        let path = definition.definition_path.as_str();
        // Any component of this definition has its modules.
        let known = deployed
            .iter()
            .find(|stored| stored.component.definition_path() == path);
        let package = Package::collect(
            &mut transaction,
            known.map(|stored| stored.component.namespace),
            &definition.functions,
            &[],
            sources.clone(),
        )?;
        packages.insert(path, Arc::new(package));
    }
    drop(transaction);
    let in_components = evaluator.without_variables();
    let mut definitions = BTreeMap::new();
    let mut new_sources = Vec::new();
    for (path, package) in &packages {
        let evaluator = if path.is_empty() {
            &evaluator
        } else {
            &in_components
        };
        let modules = analyze(evaluator, package, &mut new_sources)?;
        tree::check_cron_targets(&modules)?;
        definitions.insert(
            (*path).to_owned(),
            StagedDefinition {
                modules,
                definition: Json::Null,
                schema: None,
            },
        );
    }
    let auth_providers = match packages.get("") {
        Some(package) => evaluator.auth_providers(package)?,
        None => Vec::new(),
    };
    let schemas = schemas(&evaluator, request)?;
    for (path, definition) in evaluate_definitions(&evaluator, request)? {
        declared_variables::check_declarations(&definition)?;
        if let Some(staged) = definitions.get_mut(&path) {
            let schema = schemas.get(&path);
            staged.schema = schema.map(|schema| schema.to_json().to_string());
            staged.definition = definition;
        }
    }
    let components = tree::build(&definitions)?;
    let config = evaluator.config;
    let staged = StagedPush {
        server_version: config.server_version,
        import_seed: hex::encode(config.import_seed),
        import_time_ns: config.import_time_ns,
        auth_providers,
        definitions,
        components,
    };
    Ok(Evaluated {
        staged,
        new_sources,
        schemas,
        variables: user_variables,
    })
}

/// Analyses the modules of one definition, as far as they are not deployed just so.
fn analyze(
    evaluator: &Evaluator,
    package: &Arc<Package>,
    new_sources: &mut Vec<(String, ModuleSource)>,
) -> Result<Vec<StoredModule>, CodedError> {
    let mut modules = Vec::new();
    for (path, module) in &package.modules {
        let unchanged = module
            .deployed
            .as_ref()
            .filter(|deployed| deployed.graph_hash == module.graph_hash);
        let analysis: Option<Analysis> = match unchanged {
            Some(deployed) => deployed.analysis.clone(),
            None => evaluator.analyze(package, path)?,
        };
        if let Some(source) = &module.source {
            new_sources.push((module.sha256.clone(), source.clone()));
        }
        modules.push(StoredModule {
            namespace: Namespace::ROOT.0,
            path: path.clone(),
            environment: module.environment.clone(),
            sha256: module.sha256.clone(),
            graph_hash: module.graph_hash.clone(),
            mentions: module.mentions.clone(),
            analysis,
        });
    }
    Ok(modules)
}

/// The schemas of all definitions that have one.
fn schemas(
    evaluator: &Evaluator,
    request: &PushRequest,
) -> Result<BTreeMap<String, Schema>, CodedError> {
    let of_components = request
        .component_definitions
        .iter()
        .map(|definition| (definition.definition_path.as_str(), &definition.schema));
    let mut schemas = BTreeMap::new();
    for (path, module) in of_components.chain([("", &request.app_definition.schema)]) {
        if let Some(module) = module {
            let schema = evaluator.schema(module).map_err(|error| match path {
                "" => error,
                // Whatever is wrong with it (deploy spec 6.5).
                path => CodedError::bad_request(
                    "InvalidSchema",
                    format!("In the component {path}: {}", error.message),
                ),
            })?;
            schemas.insert(path.to_owned(), schema);
        }
    }
    Ok(schemas)
}

/// Evaluates all definitions, each after those it uses.
fn evaluate_definitions(
    evaluator: &Evaluator,
    request: &PushRequest,
) -> Result<BTreeMap<String, Json>, CodedError> {
    let app = &request.app_definition;
    let mut modules = BTreeMap::from([("", app.definition.as_ref())]);
    let mut dependencies: BTreeMap<&str, &[String]> = BTreeMap::from([("", &app.dependencies[..])]);
    for definition in &request.component_definitions {
        let path = definition.definition_path.as_str();
        modules.insert(path, Some(&definition.definition));
        dependencies.insert(path, &definition.dependencies);
    }
    let mut known = BTreeMap::new();
    for path in tree::order(&dependencies)? {
        let module = modules.get(path.as_str()).copied().flatten();
        let definition = evaluator.definition(&path, module, &known)?;
        known.insert(path, definition);
    }
    Ok(known)
}

/// The variables of the app's functions, those of the server included.
fn all_variables(
    runner: &Runner,
    transaction: &mut Transaction,
) -> Result<HashMap<String, String>, CodedError> {
    let built_in = runner.built_in_variables(transaction)?;
    Component::root().read_variables(transaction, &built_in)
}

/// Tells of each component what its schema would have checked and built.
fn evaluate_schemas(
    evaluator: &Evaluator,
    transaction: &mut Transaction,
    request: &PushRequest,
    upkeep: &hull_engine::Upkeep,
) -> Result<Json, CodedError> {
    let schemas = schemas(evaluator, request)?;
    let definitions = evaluate_definitions(evaluator, request)?
        .into_iter()
        .map(|(path, definition)| {
            let staged = StagedDefinition {
                modules: Vec::new(),
                definition,
                schema: None,
            };
            (path, staged)
        })
        .collect();
    let deployed = components::read_all(transaction)?;
    let is_new = |path: &&str| {
        let mut known = deployed.iter();
        !path.is_empty() && !known.any(|known| known.component.definition_path() == *path)
    };
    let mut evaluations = Map::new();
    for component in tree::build(&definitions)? {
        let namespace = known_namespace(transaction, &component.path)?;
        let empty = Schema::default();
        let schema = schemas.get(&component.definition_path).unwrap_or(&empty);
        let prediction = transaction.predict_schema(namespace, schema)?;
        let mut evaluation = respond::schema_evaluation(schema, &prediction, upkeep);
        evaluation["definitionPath"] = json!(component.definition_path);
        evaluations.insert(component.path, evaluation);
    }
    let paths = definitions.keys().map(String::as_str);
    Ok(json!({
        "componentSchemaEvaluations": evaluations,
        "newComponentDefinitions": paths.filter(is_new).collect::<Vec<_>>(),
    }))
}

/// The namespace of a component, and one without tables when it has none yet.
fn known_namespace(transaction: &mut Transaction, path: &str) -> Result<Namespace, CodedError> {
    if path.is_empty() {
        return Ok(Namespace::ROOT);
    }
    let stored = components::read(transaction, path)?;
    Ok(stored.map_or(Namespace(u32::MAX), |stored| stored.component.namespace))
}

/// The configuration of the functions stays while the npm version does (deploy spec 6.5).
fn evaluator(
    runner: &Runner,
    transaction: &mut Transaction,
    request: &PushRequest,
    variables: Arc<HashMap<String, String>>,
) -> Result<Evaluator, CodedError> {
    let version = &request.app_definition.udf_server_version;
    let config = match UdfConfig::read(transaction)? {
        Some(config) if config.server_version == *version => config,
        _ => UdfConfig {
            server_version: version.clone(),
            import_seed: clock::random_seed(),
            import_time_ns: i64::try_from(clock::now().0).unwrap_or(i64::MAX),
        },
    };
    Ok(Evaluator {
        js: runner.images.js().clone(),
        config,
        variables,
    })
}

/// Stores sources and staging record, makes tables and indexes, submits the schemas.
fn prepare(
    transaction: &mut Transaction,
    evaluated: &Evaluated,
    push_id: &str,
) -> Result<SchemaChange, CodedError> {
    for (sha256, source) in &evaluated.new_sources {
        transaction.put_system_row(
            system::MODULE_SOURCES,
            sources::row_id(sha256),
            Some(source.to_row()),
        )?;
    }
    let empty = Schema::default();
    let mut staged = evaluated.staged.clone();
    let mut change = SchemaChange::default();
    for component in &mut staged.components {
        let namespace = allocate(transaction, component, &mut change)?;
        component.namespace = namespace.0;
        let schema = evaluated.schemas.get(&component.definition_path);
        let diff = transaction.prepare_indexes(namespace, schema.unwrap_or(&empty))?;
        let row = schema
            .map(|schema| transaction.submit_schema(namespace, schema))
            .transpose()?;
        component.schema_row = row.map(respond::schema_id);
        change.schema_rows.insert(component.path.clone(), row);
        change.diffs.insert(component.path.clone(), diff);
    }
    staged::put(transaction, push_id, &staged, clock::now())?;
    Ok(change)
}

/// Finds the namespace of a component; a new one gets the next and a row of its own.
fn allocate(
    transaction: &mut Transaction,
    staged: &StagedComponent,
    change: &mut SchemaChange,
) -> Result<Namespace, CodedError> {
    let Some(installed) = &staged.installed else {
        return Ok(Namespace::ROOT);
    };
    let component = match components::read(transaction, &staged.path)? {
        Some(stored) => stored.component,
        None => {
            let all = components::read_all(transaction)?;
            let last = all.iter().map(|stored| stored.component.namespace.0).max();
            let namespace = Namespace(last.unwrap_or(0) + 1);
            let component = Component::installed(namespace, staged.path.clone(), installed.clone());
            components::put(transaction, &component, ComponentState::Pending)?;
            component
        }
    };
    transaction.create_virtual_tables(component.namespace)?;
    let id = component.id().to_string();
    change.component_ids.insert(staged.path.clone(), id);
    Ok(component.namespace)
}

fn diff_only(
    transaction: &mut Transaction,
    evaluated: &Evaluated,
) -> Result<SchemaChange, CodedError> {
    let empty = Schema::default();
    let mut change = SchemaChange::default();
    for component in &evaluated.staged.components {
        let namespace = known_namespace(transaction, &component.path)?;
        let schema = evaluated.schemas.get(&component.definition_path);
        let diff = transaction.diff_indexes(namespace, schema.unwrap_or(&empty));
        change.schema_rows.insert(component.path.clone(), None);
        change.diffs.insert(component.path.clone(), diff);
    }
    Ok(change)
}

fn response(evaluated: &Evaluated, push_id: &str, change: &SchemaChange) -> Json {
    let staged = &evaluated.staged;
    let seed = hex::decode(&staged.import_seed).unwrap_or_default();
    let config = json!({
        "serverVersion": staged.server_version,
        "importPhaseRngSeed": { "$bytes": base64(&seed) },
        "importPhaseUnixTimestamp": { "$integer": base64(&staged.import_time_ns.to_le_bytes()) },
    });
    let (mut analysis, mut packages) = (Map::new(), Map::new());
    for (path, definition) in &staged.definitions {
        packages.insert(path.clone(), json!({ "pushId": push_id }));
        let analyzed = definition.modules.iter().filter_map(|module| {
            let analysis = module.analysis.as_ref()?;
            Some((module.path.clone(), json!(analysis)))
        });
        let schema = definition.schema.as_ref();
        let schema = schema.and_then(|text| serde_json::from_str::<Json>(text).ok());
        let mut shown = respond::definition(definition.definition.clone());
        if !path.is_empty() {
            shown["exports"] = tree::exports(&definition.modules);
        }
        analysis.insert(
            path.clone(),
            json!({
                "definition": shown,
                "schema": schema,
                "functions": analyzed.collect::<Map<_, _>>(),
                "udfConfig": config,
            }),
        );
    }
    json!({
        "environmentVariables": evaluated.variables,
        "externalDepsId": Json::Null,
        "componentDefinitionPackages": packages,
        "appAuth": staged.auth_providers,
        "analysis": analysis,
        "app": tree::to_json(&staged.components, &staged.definitions, ""),
        "schemaChange": respond::schema_change(change),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
