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
use super::staged::{self, StagedPush};
use crate::clock;
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
    schema: Option<Schema>,
    variables: BTreeMap<String, String>,
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
        let (diff, schema_row) = if writes {
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
                diff_only(&mut transaction, pushed.schema.as_ref()).map(|diff| (diff, None))
            })
            .await??
        };
        Ok(response(&evaluated, &push_id, schema_row, &diff))
    }

    /// Tells what a push would change, changing nothing.
    pub async fn evaluate_push(&self, request: Json) -> Result<Json, CodedError> {
        let request = PushRequest::parse(request).map_err(|error| error.prefixed(PUSH_PREFIX))?;
        let evaluated = self.evaluate_request(request).await?;
        let runner = self.runner().clone();
        let diff = self
            .on_worker(move || {
                let mut transaction = runner.engine.begin(&clock::begin_context())?;
                diff_only(&mut transaction, evaluated.schema.as_ref())
            })
            .await??;
        Ok(json!({ "schemaChange": respond::schema_change(None, &diff) }))
    }

    /// Tells what a push of the schema would have to check and build, changing nothing.
    pub async fn evaluate_schema(&self, request: Json) -> Result<Json, CodedError> {
        let request = PushRequest::parse(request).map_err(|error| error.prefixed(PUSH_PREFIX))?;
        let upkeep = self.upkeep().clone();
        let runner = self.runner().clone();
        self.on_worker(move || {
            let mut transaction = runner.engine.begin(&clock::begin_context())?;
            let module = request.app_definition.schema.as_ref();
            let schema = match module {
                Some(module) => {
                    let variables = Arc::default();
                    let evaluator = evaluator(&runner, &mut transaction, &request, variables)?;
                    evaluator
                        .schema(module)
                        .map_err(|error| error.prefixed(PUSH_PREFIX))?
                }
                None => Schema::default(),
            };
            let prediction = transaction.predict_schema(Namespace::ROOT, &schema)?;
            let evaluation = respond::schema_evaluation(&schema, &prediction, &upkeep.progress);
            Ok(json!({
                "componentSchemaEvaluations": { "": evaluation },
                "newComponentDefinitions": [],
            }))
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
    let app = &request.app_definition;
    let mut transaction = runner.engine.begin(&clock::begin_context())?;
    let user_variables: BTreeMap<String, String> = environment::read_all(&mut transaction)
        .into_iter()
        .map(|variable| (variable.name, variable.value))
        .collect();
    let built_in = runner.built_in_variables(&mut transaction)?;
    let mut variables: HashMap<String, String> = user_variables.clone().into_iter().collect();
    variables.insert("CONVEX_CLOUD_URL".to_owned(), built_in.cloud_url);
    variables.insert("CONVEX_SITE_URL".to_owned(), built_in.site_url);
    let package = Arc::new(Package::collect(
        &mut transaction,
        app,
        runner.images.sources().clone(),
    )?);
    let evaluator = evaluator(runner, &mut transaction, request, Arc::new(variables))?;
    drop(transaction);
    let config = evaluator.config.clone();
    let mut modules = Vec::new();
    let mut new_sources = Vec::new();
    for (path, module) in &package.modules {
        let unchanged = module
            .deployed
            .as_ref()
            .filter(|deployed| deployed.graph_hash == module.graph_hash);
        let analysis: Option<Analysis> = match unchanged {
            Some(deployed) => deployed.analysis.clone(),
            None => evaluator.analyze(&package, path)?,
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
    let auth_providers = evaluator.auth_providers(&package)?;
    let schema = app
        .schema
        .as_ref()
        .map(|module| evaluator.schema(module))
        .transpose()?;
    let definition = evaluator.definition(app.definition.as_ref())?;
    declared_variables::check_declarations(&definition)?;
    let staged = StagedPush {
        modules,
        server_version: config.server_version,
        import_seed: hex::encode(config.import_seed),
        import_time_ns: config.import_time_ns,
        auth_providers,
        definition,
        schema: schema.as_ref().map(|schema| schema.to_json().to_string()),
        schema_row: None,
    };
    Ok(Evaluated {
        staged,
        new_sources,
        schema,
        variables: user_variables,
    })
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

/// Stores sources and staging record, makes tables and indexes, submits the schema.
fn prepare(
    transaction: &mut Transaction,
    evaluated: &Evaluated,
    push_id: &str,
) -> Result<(IndexDiff, Option<InternalId>), CodedError> {
    for (sha256, source) in &evaluated.new_sources {
        transaction.put_system_row(
            system::MODULE_SOURCES,
            sources::row_id(sha256),
            Some(source.to_row()),
        )?;
    }
    let empty = Schema::default();
    let schema = evaluated.schema.as_ref().unwrap_or(&empty);
    let diff = transaction.prepare_indexes(Namespace::ROOT, schema)?;
    let row = evaluated
        .schema
        .as_ref()
        .map(|schema| transaction.submit_schema(Namespace::ROOT, schema))
        .transpose()?;
    let mut staged = evaluated.staged.clone();
    staged.schema_row = row.map(respond::schema_id);
    staged::put(transaction, push_id, &staged, clock::now())?;
    Ok((diff, row))
}

fn diff_only(
    transaction: &mut Transaction,
    schema: Option<&Schema>,
) -> Result<IndexDiff, CodedError> {
    Ok(transaction.diff_indexes(Namespace::ROOT, schema.unwrap_or(&Schema::default())))
}

fn response(
    evaluated: &Evaluated,
    push_id: &str,
    schema_row: Option<InternalId>,
    diff: &IndexDiff,
) -> Json {
    let staged = &evaluated.staged;
    let mut functions = Map::new();
    let mut http_routes = None;
    for module in &staged.modules {
        if let Some(analysis) = &module.analysis {
            if module.path == "http.js" {
                http_routes = analysis.http_routes.clone();
            }
            functions.insert(module.path.clone(), json!(analysis));
        }
    }
    let seed = hex::decode(&staged.import_seed).unwrap_or_default();
    let config = json!({
        "serverVersion": staged.server_version,
        "importPhaseRngSeed": { "$bytes": base64(&seed) },
        "importPhaseUnixTimestamp": { "$integer": base64(&staged.import_time_ns.to_le_bytes()) },
    });
    let schema = staged
        .schema
        .as_ref()
        .and_then(|text| serde_json::from_str::<Json>(text).ok());
    json!({
        "environmentVariables": evaluated.variables,
        "externalDepsId": Json::Null,
        "componentDefinitionPackages": { "": { "pushId": push_id } },
        "appAuth": staged.auth_providers,
        "analysis": {
            "": {
                "definition": respond::definition(staged.definition.clone()),
                "schema": schema,
                "functions": functions,
                "udfConfig": config,
            },
        },
        "app": {
            "definitionPath": "",
            "componentPath": "",
            "args": {},
            "env": {},
            "childComponents": {},
            "httpRoutes": { "httpModuleRoutes": respond::routes(http_routes.as_ref()), "mounts": [] },
            "exports": {},
        },
        "schemaChange": respond::schema_change(schema_row, diff),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
