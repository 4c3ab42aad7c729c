//! Component instances: which there are, what their functions may read, and how
//! one refers to functions of another (function runtime spec 9, deploy spec 8).
//!
//! An instance is a row of `COMPONENTS`, found by its path. It keeps its
//! namespace for good: a component that is no longer in the app's definition is
//! *unmounted*, its data waits for it to come back.

mod address;
mod routes;

use std::collections::HashMap;

use hull_engine::{Namespace, Transaction, document, system};
use hull_value::{CodedError, DocumentId, InternalId, PackedValue, TableNumber, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(crate) use address::{Address, Target, handle};
pub(crate) use routes::{Route, route};

use crate::environment;
use crate::images::BuiltInVariables;

/// Table number shown in the ids of components (data model spec 3.4).
const COMPONENTS_TABLE: TableNumber = TableNumber(544);

/// The component a function runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) namespace: Namespace,
    /// Names joined by `/`; `""` is the app.
    pub(crate) path: String,
    /// `None` is the app.
    installed: Option<Installed>,
}

/// How its parent installs a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Installed {
    pub(crate) definition_path: String,
    /// Values of the variables that the component declares.
    pub(crate) env: Vec<(String, Binding)>,
    /// Arguments of old definitions: JSON texts by name.
    #[serde(default)]
    pub(crate) args: Vec<(String, ArgumentValue)>,
    /// Where its HTTP actions are served, without a slash at the end.
    pub(crate) http_prefix: Option<String>,
}

/// Where the value of a variable comes from, in the form of definitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Binding {
    Value {
        value: String,
    },
    /// A variable of the component that installs.
    EnvVar {
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArgumentValue {
    pub(crate) value: String,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComponentState {
    /// Made by a push that is not finished.
    Pending,
    Active,
    Unmounted,
}

/// A row of `COMPONENTS`.
#[derive(Clone, Debug)]
pub(crate) struct StoredComponent {
    pub(crate) component: Component,
    pub(crate) state: ComponentState,
}

impl Component {
    pub(crate) fn root() -> Component {
        Component {
            namespace: Namespace::ROOT,
            path: String::new(),
            installed: None,
        }
    }

    pub(crate) fn installed(namespace: Namespace, path: String, installed: Installed) -> Component {
        Component {
            namespace,
            path,
            installed: Some(installed),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    /// ` in 'path'` for error texts, nothing in the app.
    pub(crate) fn suffix(&self) -> String {
        if self.is_root() {
            String::new()
        } else {
            format!(" in '{}'", self.path)
        }
    }

    pub(crate) fn child_path(&self, name: &str) -> String {
        if self.is_root() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.path)
        }
    }

    pub(crate) fn id(&self) -> DocumentId {
        DocumentId::new(COMPONENTS_TABLE, row_id(&self.path))
    }

    /// Path of its definition.
    pub(crate) fn definition_path(&self) -> &str {
        self.installed
            .as_ref()
            .map_or("", |installed| &installed.definition_path)
    }

    pub(crate) fn http_prefix(&self) -> Option<&str> {
        self.installed.as_ref()?.http_prefix.as_deref()
    }

    /// The JSON text of an argument, where a definition of old gives any.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        let mut args = self.installed.as_ref()?.args.iter();
        args.find(|(known, _)| known == name)
            .map(|(_, argument)| &*argument.value)
    }

    /// The value of a variable that its functions see, recording the dependency.
    pub(crate) fn read_variable(
        &self,
        transaction: &mut Transaction,
        built_in: &BuiltInVariables,
        name: &str,
    ) -> Result<Option<String>, CodedError> {
        let Some(installed) = &self.installed else {
            return match built_in.get(name) {
                Some(value) => Ok(Some(value.to_owned())),
                None => environment::read(transaction, name),
            };
        };
        match name {
            "CONVEX_CLOUD_URL" => return Ok(Some(built_in.cloud_url.clone())),
            "CONVEX_SITE_URL" => {
                let prefix = installed.http_prefix.as_deref().unwrap_or_default();
                return Ok(Some(format!("{}{prefix}", built_in.site_url)));
            }
            _ => {}
        }
        let binding = installed.env.iter().find(|(bound, _)| bound == name);
        match binding {
            None => Ok(None),
            Some((_, Binding::Value { value })) => Ok(Some(value.clone())),
            Some((_, Binding::EnvVar { name })) => match self.parent(transaction)? {
                Some(parent) => parent.read_variable(transaction, built_in, name),
                None => Ok(None),
            },
        }
    }

    /// All variables that its functions see.
    pub(crate) fn read_variables(
        &self,
        transaction: &mut Transaction,
        built_in: &BuiltInVariables,
    ) -> Result<HashMap<String, String>, CodedError> {
        let mut names: Vec<String> = match &self.installed {
            None => environment::read_all(transaction)
                .into_iter()
                .map(|variable| variable.name)
                .collect(),
            Some(installed) => installed.env.iter().map(|(name, _)| name.clone()).collect(),
        };
        names.extend(environment::BUILT_IN.map(str::to_owned));
        let mut variables = HashMap::new();
        for name in names {
            if let Some(value) = self.read_variable(transaction, built_in, &name)? {
                variables.insert(name, value);
            }
        }
        Ok(variables)
    }

    fn parent(&self, transaction: &mut Transaction) -> Result<Option<Component>, CodedError> {
        let parent = self.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        find(transaction, parent)
    }
}

fn row_id(path: &str) -> InternalId {
    system::row_id(&[b"component", path.as_bytes()])
}

/// Finds a component instance by its path, recording the dependency.
pub(crate) fn find(
    transaction: &mut Transaction,
    path: &str,
) -> Result<Option<Component>, CodedError> {
    if path.is_empty() {
        return Ok(Some(Component::root()));
    }
    let stored = read(transaction, path)?;
    Ok(stored
        .filter(|stored| stored.state == ComponentState::Active)
        .map(|stored| stored.component))
}

/// Finds a component instance by its namespace.
pub(crate) fn find_by_namespace(
    transaction: &mut Transaction,
    namespace: Namespace,
) -> Result<Option<Component>, CodedError> {
    if namespace == Namespace::ROOT {
        return Ok(Some(Component::root()));
    }
    let mut all = read_all(transaction)?.into_iter();
    Ok(all
        .find(|stored| {
            stored.component.namespace == namespace && stored.state == ComponentState::Active
        })
        .map(|stored| stored.component))
}

/// Reads an instance whatever its state is, recording the dependency.
pub(crate) fn read(
    transaction: &mut Transaction,
    path: &str,
) -> Result<Option<StoredComponent>, CodedError> {
    let row = transaction.system_row(system::COMPONENTS, row_id(path))?;
    row.as_ref().map(StoredComponent::from_row).transpose()
}

/// Reads all instances that have ever been, the app not among them, by path.
pub(crate) fn read_all(transaction: &mut Transaction) -> Result<Vec<StoredComponent>, CodedError> {
    let rows = transaction.system_rows(system::COMPONENTS);
    let mut components = rows
        .iter()
        .map(|(_, row)| StoredComponent::from_row(row))
        .collect::<Result<Vec<_>, _>>()?;
    components.sort_by(|a, b| a.component.path.cmp(&b.component.path));
    Ok(components)
}

/// Makes the row of an instance what it is to be.
pub(crate) fn put(
    transaction: &mut Transaction,
    component: &Component,
    state: ComponentState,
) -> Result<(), CodedError> {
    let Some(installed) = &component.installed else {
        return Err(CodedError::internal("the app is no installed component"));
    };
    let text = serde_json::to_string(installed)
        .map_err(|error| CodedError::internal(format!("a component: {error}")))?;
    let row = document::row([
        ("namespace", Value::Int64(component.namespace.0.into())),
        ("path", Value::String(component.path.clone())),
        ("installed", Value::String(text)),
        ("state", Value::String(state.as_str().to_owned())),
    ]);
    transaction.put_system_row(system::COMPONENTS, row_id(&component.path), Some(row))
}

/// Definition of a component as the last push left it; `""` is the app's.
pub(crate) fn read_definition(
    transaction: &mut Transaction,
    definition_path: &str,
) -> Result<Json, CodedError> {
    let id = definition_row_id(definition_path);
    let row = transaction.system_row(system::COMPONENT_DEFINITIONS, id)?;
    let text = row
        .as_ref()
        .and_then(|row| document::text(row.as_ref(), "definition"));
    match text {
        None => Ok(Json::Null),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| CodedError::internal("a component definition is not readable")),
    }
}

/// Row of `COMPONENT_DEFINITIONS` of a definition.
pub(crate) fn definition_row_id(definition_path: &str) -> InternalId {
    system::row_id(&[b"definition", definition_path.as_bytes()])
}

impl ComponentState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ComponentState::Pending => "pending",
            ComponentState::Active => "active",
            ComponentState::Unmounted => "unmounted",
        }
    }
}

impl StoredComponent {
    fn from_row(row: &PackedValue) -> Result<StoredComponent, CodedError> {
        let row = row.as_ref();
        let malformed = || CodedError::internal("the row of a component is not readable");
        let number = document::int(row, "namespace").ok_or_else(malformed)?;
        let installed = document::text(row, "installed").ok_or_else(malformed)?;
        Ok(StoredComponent {
            component: Component {
                namespace: Namespace(u32::try_from(number).map_err(|_| malformed())?),
                path: document::text(row, "path")
                    .ok_or_else(malformed)?
                    .to_owned(),
                installed: Some(serde_json::from_str(installed).map_err(|_| malformed())?),
            },
            state: match document::text(row, "state") {
                Some("pending") => ComponentState::Pending,
                Some("active") => ComponentState::Active,
                Some("unmounted") => ComponentState::Unmounted,
                _ => return Err(malformed()),
            },
        })
    }
}
