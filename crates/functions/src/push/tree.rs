//! From definitions to the tree of components that an app consists of
//! (function runtime spec 1.8, deploy spec 8).

use std::collections::{BTreeMap, BTreeSet};

use hull_value::{CodedError, PackedValue, Value};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::declared_variables::{self, Declared, NoTables};
use super::respond;
use super::staged::{StagedComponent, StagedDefinition};
use crate::components::{ArgumentValue, Binding, Installed};
use crate::modules::{Analysis, StoredModule};

/// Instances one app may consist of: definitions that use each other several
/// times over would multiply without end.
const COMPONENTS_MAX: usize = 512;

#[derive(Deserialize)]
struct Child {
    name: String,
    path: String,
    #[serde(default)]
    args: Vec<(String, ArgumentValue)>,
    env: Option<Vec<(String, Binding)>>,
}

fn mismatch(message: String) -> CodedError {
    CodedError::bad_request("TypecheckError", message)
}

/// How a definition is called in messages.
fn display(definition_path: &str) -> &str {
    if definition_path.is_empty() {
        "the app"
    } else {
        definition_path
    }
}

/// Definition paths in the order of evaluation: each after those it uses.
pub(super) fn order(dependencies: &BTreeMap<&str, &[String]>) -> Result<Vec<String>, CodedError> {
    fn visit(
        path: &str,
        dependencies: &BTreeMap<&str, &[String]>,
        open: &mut BTreeSet<String>,
        ordered: &mut Vec<String>,
    ) -> Result<(), CodedError> {
        if ordered.iter().any(|known| known == path) {
            return Ok(());
        }
        if !open.insert(path.to_owned()) {
            return Err(CodedError::bad_request(
                "CyclicImport",
                "Found cyclic definition dependency",
            ));
        }
        let Some(used) = dependencies.get(path) else {
            return Err(CodedError::bad_request(
                "InvalidConvexConfig",
                format!("The component definition {path} is used but was not pushed."),
            ));
        };
        for path in *used {
            visit(path, dependencies, open, ordered)?;
        }
        open.remove(path);
        ordered.push(path.to_owned());
        Ok(())
    }
    let mut ordered = Vec::new();
    for path in dependencies.keys() {
        visit(path, dependencies, &mut BTreeSet::new(), &mut ordered)?;
    }
    Ok(ordered)
}

/// Unfolds the tree, parents before their children.
pub(super) fn build(
    definitions: &BTreeMap<String, StagedDefinition>,
) -> Result<Vec<StagedComponent>, CodedError> {
    let app = StagedComponent {
        path: String::new(),
        definition_path: String::new(),
        installed: None,
        namespace: 0,
        schema_row: None,
    };
    let mut components = vec![app];
    let mut next = 0;
    while let Some(parent) = components.get(next) {
        let children = children(definitions, parent)?;
        components.extend(children);
        if components.len() > COMPONENTS_MAX {
            return Err(mismatch(format!(
                "The app has too many components (limit: {COMPONENTS_MAX})"
            )));
        }
        next += 1;
    }
    Ok(components)
}

fn children(
    definitions: &BTreeMap<String, StagedDefinition>,
    parent: &StagedComponent,
) -> Result<Vec<StagedComponent>, CodedError> {
    let Some(definition) = definitions.get(&parent.definition_path) else {
        return Err(mismatch(format!(
            "There is no component definition {}",
            parent.definition_path
        )));
    };
    let who = display(&parent.definition_path);
    // Old definitions may leave the list out.
    let children = definition.definition["childComponents"].as_array();
    let children: Vec<Child> = children
        .into_iter()
        .flatten()
        .map(Child::deserialize)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            CodedError::bad_request(
                "InvalidDefinition",
                format!("The components that {who} uses are not readable: {error}"),
            )
        })?;
    let mounts = mounts(who, definition)?;
    let of_parent = declared_variables::declared(&definition.definition)?;
    let mut names = BTreeSet::new();
    let mut components = Vec::new();
    for child in children {
        let name = &child.name;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(mismatch(format!(
                "\"{name}\" is not a name for a component: use letters, digits and underscores"
            )));
        }
        if !names.insert(name.clone()) {
            return Err(mismatch(format!(
                "{who} uses two components of the name \"{name}\": give one another name, with `use(definition, {{ name }})`"
            )));
        }
        let Some(used) = definitions.get(&child.path) else {
            return Err(mismatch(format!(
                "The definition {} of the component \"{name}\" was not pushed",
                child.path
            )));
        };
        let env = child.env.unwrap_or_default();
        let declared = declared_variables::declared(&used.definition)?;
        check_bindings(name, &env, &declared, &of_parent)?;
        let mount = mounts.get(name).map(|prefix| prefix.trim_end_matches('/'));
        // What is in a component that is not mounted cannot be reached either.
        let http_prefix = match (&parent.installed, mount) {
            (None, Some(mount)) => Some(mount.to_owned()),
            (Some(parent), Some(mount)) => {
                let above = parent.http_prefix.as_deref();
                above.map(|above| format!("{above}{mount}"))
            }
            (_, None) => None,
        };
        components.push(StagedComponent {
            path: match parent.path.as_str() {
                "" => name.clone(),
                path => format!("{path}/{name}"),
            },
            definition_path: child.path.clone(),
            installed: Some(Installed {
                definition_path: child.path,
                env,
                args: child.args,
                http_prefix,
            }),
            namespace: 0,
            schema_row: None,
        });
    }
    Ok(components)
}

/// Prefixes by the names of the children mounted there.
fn mounts(
    who: &str,
    definition: &StagedDefinition,
) -> Result<BTreeMap<String, String>, CodedError> {
    let http = definition
        .modules
        .iter()
        .find(|module| module.path == "http.js");
    let routes = http.and_then(|module| module.analysis.as_ref()?.http_routes.as_ref());
    let own_paths: BTreeSet<&str> = routes
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|route| route["route"]["path"].as_str())
        .collect();
    let mut mounts = BTreeMap::new();
    let declared = definition.definition["httpMounts"].as_object();
    for (prefix, reference) in declared.into_iter().flatten() {
        let is_path = prefix.starts_with('/') && prefix.ends_with('/');
        if !is_path || prefix.contains(['*', '?', '#']) {
            return Err(mismatch(format!(
                "\"{prefix}\" is not a prefix for HTTP actions: it must be a path between slashes"
            )));
        }
        if own_paths.contains(format!("{prefix}*").as_str()) {
            return Err(mismatch(format!(
                "The prefix \"{prefix}\" in {who} is taken by a component and by a route of its own http.js"
            )));
        }
        let name = reference
            .as_str()
            .and_then(|reference| reference.strip_prefix("_reference/childComponent/"));
        if let Some(name) = name {
            mounts.insert(name.to_owned(), prefix.clone());
        }
    }
    Ok(mounts)
}

/// Checks what a component is given against what it declares.
fn check_bindings(
    name: &str,
    bindings: &[(String, Binding)],
    declared: &[Declared<'_>],
    of_parent: &[Declared<'_>],
) -> Result<(), CodedError> {
    for (variable, binding) in bindings {
        let Some(wanted) = declared.iter().find(|one| one.name == variable) else {
            return Err(mismatch(format!(
                "The component \"{name}\" is given the environment variable {variable}, which it does not declare"
            )));
        };
        match binding {
            Binding::Value { value } => {
                let value = PackedValue::pack(&Value::String(value.clone()));
                if let Err(error) = wanted.validator.check(value.as_ref(), &NoTables) {
                    return Err(mismatch(format!(
                        "The environment variable {variable} of the component \"{name}\" is not what it declares: {error}"
                    )));
                }
            }
            Binding::EnvVar { name: source } => {
                let Some(given) = of_parent.iter().find(|one| one.name == source) else {
                    return Err(mismatch(format!(
                        "The environment variable {variable} of the component \"{name}\" is bound to {source}, which is not declared"
                    )));
                };
                if given.is_optional && !wanted.is_optional {
                    return Err(mismatch(format!(
                        "The component \"{name}\" requires the environment variable {variable}, but {source} is optional"
                    )));
                }
                if !given.validator.is_subset_of(&wanted.validator) {
                    return Err(mismatch(format!(
                        "The environment variable {variable} of the component \"{name}\" is `{}`, but {source} is `{}`",
                        wanted.validator, given.validator
                    )));
                }
            }
        }
    }
    let is_bound = |one: &&Declared<'_>| bindings.iter().any(|(variable, _)| variable == one.name);
    let missing: Vec<&str> = declared
        .iter()
        .filter(|one| !one.is_optional && !is_bound(one))
        .map(|one| one.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(mismatch(format!(
        "The component \"{name}\" is not given environment variables that it requires: {}",
        missing.join(", ")
    )))
}

/// The public functions of a component as the CLI wants them: a tree by path.
pub(super) fn exports(modules: &[StoredModule]) -> Json {
    let mut root = Branch::default();
    for module in modules {
        let functions = module.analysis.iter().flat_map(|a| a.functions.iter());
        for function in functions {
            let kind = function
                .visibility
                .as_ref()
                .map(|visibility| visibility.kind.as_str());
            if kind == Some("internal") {
                continue;
            }
            let path = module.path.strip_suffix(".js").unwrap_or(&module.path);
            let mut branch = &mut root;
            for part in path.split('/') {
                branch = branch.branches.entry(part.to_owned()).or_default();
            }
            let reference = format!("_reference/function/{path}:{}", function.name);
            branch.leaves.insert(function.name.clone(), reference);
        }
    }
    root.to_json()
}

#[derive(Default)]
struct Branch {
    branches: BTreeMap<String, Branch>,
    leaves: BTreeMap<String, String>,
}

impl Branch {
    fn to_json(&self) -> Json {
        let branches = self
            .branches
            .iter()
            .map(|(name, branch)| json!([name, branch.to_json()]));
        let leaves = self
            .leaves
            .iter()
            .map(|(name, reference)| json!([name, { "type": "leaf", "leaf": reference }]));
        json!({ "type": "branch", "branch": branches.chain(leaves).collect::<Vec<_>>() })
    }
}

/// The tree as `start_push` shows it.
pub(super) fn to_json(
    components: &[StagedComponent],
    definitions: &BTreeMap<String, StagedDefinition>,
    path: &str,
) -> Json {
    let Some(component) = components.iter().find(|one| one.path == path) else {
        return Json::Null;
    };
    let definition = definitions.get(&component.definition_path);
    let modules = definition.map_or(&[][..], |definition| &definition.modules);
    let http = modules.iter().find(|module| module.path == "http.js");
    let routes = http.and_then(|module| module.analysis.as_ref()?.http_routes.as_ref());
    let mounts: Vec<&String> = definition
        .and_then(|definition| definition.definition["httpMounts"].as_object())
        .map(|mounts| mounts.keys().collect())
        .unwrap_or_default();
    let is_child = |one: &&StagedComponent| match one.path.rsplit_once('/') {
        Some((parent, _)) => parent == path,
        None => path.is_empty() && !one.path.is_empty(),
    };
    let children: serde_json::Map<String, Json> = components
        .iter()
        .filter(is_child)
        .map(|child| {
            let name = child.path.rsplit('/').next().unwrap_or_default();
            (
                name.to_owned(),
                to_json(components, definitions, &child.path),
            )
        })
        .collect();
    json!({
        "definitionPath": component.definition_path,
        "componentPath": path,
        "args": {},
        "env": component.installed.as_ref().map_or_else(
            || json!({}),
            |installed| {
                let env: serde_json::Map<String, Json> = installed
                    .env
                    .iter()
                    .map(|(name, binding)| (name.clone(), json!(binding)))
                    .collect();
                Json::Object(env)
            },
        ),
        "childComponents": children,
        "httpRoutes": { "httpModuleRoutes": respond::routes(routes), "mounts": mounts },
        "exports": {},
    })
}

/// Checks that cron jobs run what can be scheduled (function runtime spec 1.5).
pub(super) fn check_cron_targets(modules: &[StoredModule]) -> Result<(), CodedError> {
    let analysis_of = |path: &str| {
        let module = modules.iter().find(|module| module.path == path);
        module.and_then(|module| module.analysis.as_ref())
    };
    let specs = analysis_of("crons.js").and_then(|analysis| analysis.cron_specs.as_ref());
    for spec in specs.and_then(Json::as_array).into_iter().flatten() {
        let (identifier, path) = (&spec["identifier"], &spec["spec"]["udfPath"]);
        let (identifier, path) = (
            identifier.as_str().unwrap_or_default(),
            path.as_str().unwrap_or_default(),
        );
        let (module, name) = path.split_once(':').unwrap_or((path, "default"));
        let find = |analysis: &Analysis| {
            let mut functions = analysis.functions.iter();
            functions
                .find(|function| function.name == name)
                .map(|function| function.udf_type)
        };
        use crate::modules::UdfType;
        let problem = match analysis_of(module).and_then(find) {
            Some(UdfType::Mutation | UdfType::Action) => continue,
            Some(_) => format!(
                "The cron job '{identifier}' schedules a query function, only actions and mutations can be scheduled: {path}"
            ),
            None => format!(
                "The cron job '{identifier}' schedules a function that does not exist: {path}"
            ),
        };
        return Err(CodedError::bad_request("InvalidCron", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
