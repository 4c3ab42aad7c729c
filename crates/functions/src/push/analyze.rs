//! Evaluating what was pushed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hull_js::{
    Args, Environment, Host, HostError, ImageSpec, Inspection, JsError, LogLine, Reply, SourceMaps,
};
use hull_value::{CodedError, Schema};
use serde_json::{Value as Json, json};

use super::package::Package;
use super::request::{PushedModule, is_chunk};
use crate::crons;
use crate::environment;
use crate::images::UdfConfig;
use crate::modules::Analysis;

/// What evaluation needs of the deployment.
#[derive(Clone)]
pub(super) struct Evaluator {
    pub(super) js: hull_js::Engine,
    pub(super) config: UdfConfig,
    pub(super) variables: Arc<HashMap<String, String>>,
}

/// Modules that are not functions.
const AUTH_CONFIG: &str = "auth.config.js";

impl Evaluator {
    /// For components: what they are given is not known when they are analysed.
    pub(super) fn without_variables(&self) -> Evaluator {
        let mut variables = HashMap::new();
        for name in environment::BUILT_IN {
            if let Some(value) = self.variables.get(name) {
                variables.insert(name.to_owned(), value.clone());
            }
        }
        Evaluator {
            variables: Arc::new(variables),
            ..self.clone()
        }
    }

    /// Analyses one module; `None` for chunks and the auth configuration.
    pub(super) fn analyze(
        &self,
        package: &Arc<Package>,
        path: &str,
    ) -> Result<Option<Analysis>, CodedError> {
        if is_chunk(path) || path == AUTH_CONFIG {
            return Ok(None);
        }
        let spec = self.spec(package, path, Environment::Analysis);
        let functions = self.inspect(&spec, Inspection::Functions)?;
        let mut analysis: Analysis = serde_json::from_value(
            json!({ "functions": functions["functions"] }),
        )
        .map_err(|error| {
            CodedError::internal(format!("the analysis of {path} is not readable: {error}"))
        })?;
        if path == "http.js" {
            analysis.http_routes = Some(self.inspect(&spec, Inspection::HttpRoutes)?);
        }
        if path == "crons.js" {
            let specs = self.inspect(&spec, Inspection::Crons)?;
            crons::parse_specs(&specs)?;
            analysis.cron_specs = Some(specs);
        }
        Ok(Some(analysis))
    }

    /// Evaluates `auth.config.js`, if there is one, to its list of providers.
    pub(super) fn auth_providers(&self, package: &Arc<Package>) -> Result<Vec<Json>, CodedError> {
        if !package.modules.contains_key(AUTH_CONFIG) {
            return Ok(Vec::new());
        }
        let spec = self.spec(package, AUTH_CONFIG, Environment::AuthConfig);
        let report = self
            .run(&spec, Inspection::AuthConfig)
            .map_err(|error| match error {
                JsError::Thrown(exception) => match &exception.check {
                    Some(check) => CodedError::bad_request(check.code.clone(), &*check.message),
                    None => CodedError::bad_request(
                        "InvalidAuthConfig",
                        format!(
                            "The pushed auth config is invalid: {}",
                            hull_js::render(&exception, &**package)
                        ),
                    ),
                },
                error => CodedError::bad_request(
                    "InvalidAuthConfig",
                    format!("The pushed auth config is invalid: {error}"),
                ),
            })?;
        let config: Json = serde_json::from_str(&report).map_err(|error| {
            CodedError::internal(format!("the auth config is not readable: {error}"))
        })?;
        Ok(config["providers"].as_array().cloned().unwrap_or_default())
    }

    /// Evaluates `schema.js`.
    pub(super) fn schema(&self, module: &PushedModule) -> Result<Schema, CodedError> {
        const PREFIX: &str = "Hit an error while evaluating your schema:\n";
        let (spec, maps) = self.single(module, Environment::Schema);
        let report = self
            .run(&spec, Inspection::Schema)
            .map_err(|error| coded(error, "InvalidSchema", &*maps).prefixed(PREFIX))?;
        Schema::parse(&report).map_err(|error| error.prefixed(PREFIX))
    }

    /// Evaluates a definition; without one the app is plain. `known` are the
    /// definitions that it may use, by their paths.
    pub(super) fn definition(
        &self,
        path: &str,
        module: Option<&PushedModule>,
        known: &BTreeMap<String, Json>,
    ) -> Result<Json, CodedError> {
        let Some(module) = module else {
            return Ok(json!({
                "path": "",
                "definitionType": { "type": "app" },
                "childComponents": [],
                "httpMounts": {},
                "exports": { "type": "branch", "branch": [] },
            }));
        };
        let environment = match path {
            "" => Environment::Definition,
            _ => Environment::ComponentDefinition,
        };
        let (mut spec, maps) = self.single(module, environment);
        let (js, alone) = (self.js.clone(), spec.modules.clone());
        let used: HashMap<String, (String, Json)> = known
            .iter()
            .map(|(path, used)| (import_path(path), (path.clone(), used.clone())))
            .collect();
        spec.modules = Arc::new(move |import: &str| match used.get(import) {
            None => alone(import),
            Some((path, used)) => {
                let name = used["name"].as_str().unwrap_or_default();
                js.compile_component_dependency(import, &used.to_string(), path, name)
                    .ok()
            }
        });
        let report = self
            .run(&spec, Inspection::Definition)
            .map_err(|error| coded(error, "InvalidConvexConfig", &*maps))?;
        let mut definition: Json = serde_json::from_str(&report).map_err(|error| {
            CodedError::internal(format!("the app definition is not readable: {error}"))
        })?;
        definition["path"] = json!(path);
        Ok(definition)
    }

    fn inspect(&self, spec: &ImageSpec, inspection: Inspection) -> Result<Json, CodedError> {
        let report = self.run(spec, inspection).map_err(|error| {
            let path = &spec.entry;
            let text = match &error {
                JsError::Thrown(exception) | JsError::Compile(exception) => {
                    hull_js::render(exception, &*spec.source_maps)
                }
                other => other.to_string(),
            };
            CodedError::bad_request(
                "InvalidModules",
                format!("Loading the pushed modules encountered the following\n    error:\nFailed to analyze {path}: {text}"),
            )
        })?;
        serde_json::from_str(&report).map_err(|error| {
            CodedError::internal(format!("an inspection is not readable: {error}"))
        })
    }

    fn run(&self, spec: &ImageSpec, inspection: Inspection) -> Result<String, JsError> {
        self.js.inspect(
            spec,
            inspection,
            &mut AnalysisHost {
                variables: self.variables.clone(),
            },
        )
    }

    fn spec(&self, package: &Arc<Package>, path: &str, environment: Environment) -> ImageSpec {
        let (js, modules) = (self.js.clone(), package.clone());
        self.spec_of(
            path,
            environment,
            Arc::new(move |path: &str| modules.compile(&js, path)),
            package.clone(),
        )
    }

    /// A module that may import nothing of the deployment.
    fn single(
        &self,
        module: &PushedModule,
        environment: Environment,
    ) -> (ImageSpec, Arc<dyn SourceMaps>) {
        let maps: Arc<dyn SourceMaps> = Arc::new(OneSource(module.clone()));
        let (js, only) = (self.js.clone(), module.clone());
        let modules = Arc::new(move |path: &str| {
            (path == only.path)
                .then(|| js.compile(path, &only.source).ok())
                .flatten()
        });
        (
            self.spec_of(&module.path, environment, modules, maps.clone()),
            maps,
        )
    }

    fn spec_of(
        &self,
        path: &str,
        environment: Environment,
        modules: Arc<hull_js::ModuleSource>,
        source_maps: Arc<dyn SourceMaps>,
    ) -> ImageSpec {
        let variables = self.variables.clone();
        ImageSpec {
            environment,
            entry: path.to_owned(),
            modules,
            env: Arc::new(move |name| variables.get(name).cloned()),
            source_maps,
            import_seed: self.config.import_seed,
            import_time_ns: u64::try_from(self.config.import_time_ns).unwrap_or(0),
        }
    }
}

/// Path of the module that stands for a definition where others use it.
fn import_path(definition_path: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(definition_path);
    format!("_componentDeps/{encoded}")
}

struct OneSource(PushedModule);

impl SourceMaps for OneSource {
    fn source_map(&self, path: &str) -> Option<Arc<hull_js::SourceMap>> {
        if path != self.0.path {
            return None;
        }
        hull_js::SourceMap::parse(self.0.source_map.as_deref()?).map(Arc::new)
    }
}

/// The host of an evaluation: environment variables and nothing else.
struct AnalysisHost {
    variables: Arc<HashMap<String, String>>,
}

impl Host for AnalysisHost {
    fn syscall(&mut self, name: &str, _: Args<'_>) -> Result<Reply, HostError> {
        Err(HostError::User {
            message: format!("Syscall {name} unsupported at import time"),
            data: None,
        })
    }

    fn async_syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        self.syscall(name, args)
    }

    fn env_var(&mut self, name: &str) -> Result<Option<String>, HostError> {
        Ok(self.variables.get(name).cloned())
    }

    /// Console lines of a successful analysis have nobody to go to.
    fn log(&mut self, _: LogLine) {}
}

fn coded(error: JsError, code: &'static str, maps: &dyn SourceMaps) -> CodedError {
    match error {
        JsError::Thrown(exception) | JsError::Compile(exception) => match exception.check {
            Some(check) => CodedError::bad_request(check.code, check.message),
            None => CodedError::bad_request(code, hull_js::render(&exception, maps)),
        },
        JsError::Internal(message) => CodedError::internal(message),
        other => CodedError::bad_request(code, other.to_string()),
    }
}
