use hull_value::CodedError;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::sources::ModuleSource;

/// User modules one push may hold, shared chunks not counted.
const MODULES_MAX: usize = 4_096;

/// The body of `start_push`, `evaluate_push` and `evaluate_schema`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushRequest {
    #[serde(default)]
    pub(super) dry_run: bool,
    #[serde(default)]
    pub(super) for_codegen: bool,
    pub(super) app_definition: AppDefinition,
    #[serde(default)]
    pub(super) component_definitions: Vec<ComponentDefinition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppDefinition {
    pub(super) definition: Option<PushedModule>,
    /// Definitions that the app's uses.
    #[serde(default)]
    pub(super) dependencies: Vec<String>,
    pub(super) schema: Option<PushedModule>,
    #[serde(alias = "functions", default)]
    pub(super) changed_modules: Vec<PushedModule>,
    #[serde(default)]
    pub(super) unchanged_module_hashes: Vec<UnchangedModule>,
    pub(super) udf_server_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ComponentDefinition {
    pub(super) definition_path: String,
    pub(super) definition: PushedModule,
    #[serde(default)]
    pub(super) dependencies: Vec<String>,
    pub(super) schema: Option<PushedModule>,
    #[serde(default)]
    pub(super) functions: Vec<PushedModule>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushedModule {
    pub(super) path: String,
    pub(super) source: String,
    pub(super) source_map: Option<String>,
    pub(super) environment: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct UnchangedModule {
    pub(super) path: String,
    pub(super) environment: String,
    pub(super) sha256: String,
}

impl PushRequest {
    pub(super) fn parse(json: Json) -> Result<PushRequest, CodedError> {
        let request: PushRequest = serde_json::from_value(json).map_err(|error| {
            CodedError::bad_request(
                "InvalidConfig",
                format!("The push could not be read: {error}"),
            )
        })?;
        for component in &request.component_definitions {
            let node = component
                .functions
                .iter()
                .find(|module| module.environment.as_deref() == Some("node"));
            if let Some(module) = node {
                return Err(CodedError::bad_request(
                    "NodeActionsNotSupported",
                    format!(
                        "{} in the component {} has \"use node\": Node.js actions are not supported in components.",
                        module.path, component.definition_path
                    ),
                ));
            }
        }
        let app = &request.app_definition;
        let paths = app
            .changed_modules
            .iter()
            .map(|module| (&module.path, module.environment.as_deref()))
            .chain(
                app.unchanged_module_hashes
                    .iter()
                    .map(|module| (&module.path, Some(&*module.environment))),
            )
            .chain(
                request
                    .component_definitions
                    .iter()
                    .flat_map(|component| &component.functions)
                    .map(|module| (&module.path, module.environment.as_deref())),
            );
        let mut count = 0;
        for (path, environment) in paths {
            count += usize::from(!is_chunk(path));
            if environment == Some("node") {
                return Err(CodedError::bad_request(
                    "NotImplemented",
                    format!(
                        "Node.js actions are not implemented by this server yet: {path} has \"use node\"."
                    ),
                ));
            }
        }
        if count > MODULES_MAX {
            return Err(CodedError::bad_request(
                "InvalidModules",
                format!("Too many function files ({count} > maximum {MODULES_MAX})"),
            ));
        }
        Ok(request)
    }
}

impl PushedModule {
    pub(super) fn to_source(&self) -> ModuleSource {
        ModuleSource {
            source: self.source.clone(),
            source_map: self.source_map.clone(),
        }
    }
}

/// Whether a module is a chunk that others share, and never called itself.
pub(super) fn is_chunk(path: &str) -> bool {
    path.starts_with("_deps/")
}
