//! How one function names another (function runtime spec 3.9).

use hull_engine::{Transaction, system};
use hull_sync::UdfPath;
use hull_value::{CodedError, DocumentId, InternalId, TableNumber};

use super::{Component, find, find_by_namespace};
use crate::modules::{Function, ModuleCache, StoredModule};

/// Table number in the ids of function handles (data model spec 3.4).
const HANDLES_TABLE: TableNumber = TableNumber(545);
const HANDLE_SCHEME: &str = "function://";

/// A function as a call names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A handle, which is good in every component.
    Handle(String),
    /// A path in the caller's own component.
    Name(String),
    /// `_reference/childComponent/…`, without the first part.
    Child(String),
}

/// The function that an address leads to; whether it exists is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) component: Component,
    pub(crate) path: UdfPath,
}

fn invalid(message: impl Into<String>) -> CodedError {
    CodedError::bad_request("InvalidReference", message.into())
}

fn handle_not_found() -> CodedError {
    CodedError::bad_request("FunctionHandleNotFound", "Function handle not found")
}

impl Address {
    /// Reads the three ways to name a function; of several, the first counts.
    pub(crate) fn parse(
        function_handle: Option<&str>,
        name: Option<&str>,
        reference: Option<&str>,
    ) -> Result<Address, CodedError> {
        match (function_handle, name, reference) {
            (Some(handle), ..) => Ok(Address::Handle(handle.to_owned())),
            (None, Some(name), _) => Ok(Address::Name(name.to_owned())),
            (None, None, Some(reference)) => {
                let parts = reference
                    .strip_prefix("_reference/")
                    .and_then(|rest| rest.split_once('/'));
                match parts {
                    Some(("function", path)) => Ok(Address::Name(path.to_owned())),
                    Some(("childComponent", rest)) => Ok(Address::Child(rest.to_owned())),
                    // What an argument of old definitions may hold is a value.
                    Some(("componentArgument", name)) => Err(invalid(format!(
                        "The component argument \"{name}\" is not a function"
                    ))),
                    _ => Err(invalid(format!("Invalid reference {reference}"))),
                }
            }
            (None, None, None) => Err(CodedError::bad_request(
                "InvalidArgument",
                "Missing required argument 'name'",
            )),
        }
    }

    /// Finds what the address means to `caller`.
    pub(crate) fn resolve(
        &self,
        transaction: &mut Transaction,
        modules: &ModuleCache,
        caller: &Component,
    ) -> Result<Target, CodedError> {
        match self {
            Address::Name(path) => Ok(Target {
                component: caller.clone(),
                path: parse_path(path)?,
            }),
            Address::Handle(handle) => from_handle(transaction, modules, handle),
            Address::Child(rest) => {
                let (name, parts) = rest.split_once('/').unwrap_or((rest, ""));
                let Some(component) = find(transaction, &caller.child_path(name))? else {
                    return Err(invalid(format!("Child component {name} not found")));
                };
                let parts: Vec<&str> = parts.split('/').collect();
                let target = exported(transaction, modules, &component, &parts)?;
                target.ok_or_else(|| {
                    invalid(format!(
                        "Child component {name} does not export [{}]",
                        parts.join(", ")
                    ))
                })
            }
        }
    }
}

fn parse_path(path: &str) -> Result<UdfPath, CodedError> {
    path.parse().map_err(|_| {
        CodedError::bad_request(
            "InvalidFunctionPath",
            format!("{path} is not a valid path to a Convex function."),
        )
    })
}

/// A public function of a component by the parts of its path.
fn exported(
    transaction: &mut Transaction,
    modules: &ModuleCache,
    component: &Component,
    parts: &[&str],
) -> Result<Option<Target>, CodedError> {
    let Some((function, module)) = parts.split_last() else {
        return Ok(None);
    };
    // One part is a module, its default export meant.
    let path = match module {
        [] => format!("{function}.js:default"),
        module => format!("{}.js:{function}", module.join("/")),
    };
    let Ok(path) = path.parse::<UdfPath>() else {
        return Ok(None);
    };
    let found = function_at(transaction, modules, component, &path)?;
    Ok(found.filter(|function| function.is_public).map(|_| Target {
        component: component.clone(),
        path,
    }))
}

fn function_at(
    transaction: &mut Transaction,
    modules: &ModuleCache,
    component: &Component,
    path: &UdfPath,
) -> Result<Option<std::sync::Arc<Function>>, CodedError> {
    let module = modules.load(transaction, component.namespace, path.module())?;
    Ok(module.and_then(|module| module.function(path.function()).cloned()))
}

/// Half of a handle's id leads to the module, the other to the function in it:
/// the handle of a function is the same whenever the function is there.
fn halves(module: InternalId, function: &str) -> InternalId {
    let function = system::row_id(&[b"function", function.as_bytes()]);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&module.0[..8]);
    id[8..].copy_from_slice(&function.0[..8]);
    InternalId(id)
}

/// The handle of a function, which must exist.
pub(crate) fn handle(
    transaction: &mut Transaction,
    modules: &ModuleCache,
    target: &Target,
) -> Result<String, CodedError> {
    let path = &target.path;
    if function_at(transaction, modules, &target.component, path)?.is_none() {
        return Err(CodedError::bad_request(
            "FunctionNotFound",
            format!(
                "Could not find function for '{}'{}. Did you forget to run `npx convex dev` or `npx convex deploy`?",
                path.shortest(),
                target.component.suffix()
            ),
        ));
    }
    let module = StoredModule::row_id(target.component.namespace, path.module());
    let id = DocumentId::new(HANDLES_TABLE, halves(module, path.function()));
    Ok(format!("{HANDLE_SCHEME}{id}#{}", path.stripped()))
}

fn from_handle(
    transaction: &mut Transaction,
    modules: &ModuleCache,
    handle: &str,
) -> Result<Target, CodedError> {
    let id = handle
        .strip_prefix(HANDLE_SCHEME)
        .map(|rest| rest.split_once('#').map_or(rest, |(id, _)| id))
        .and_then(|id| DocumentId::parse(id).ok())
        .filter(|id| id.table == HANDLES_TABLE);
    let Some(id) = id else {
        return Err(CodedError::bad_request(
            "InvalidFunctionHandle",
            format!("Invalid function handle: {handle}"),
        ));
    };
    let row = transaction.system_row_by_prefix(system::MODULES, &id.internal.0[..8]);
    let Some((module_row, row)) = row else {
        return Err(handle_not_found());
    };
    let stored = StoredModule::from_row(&row)?;
    let namespace = hull_engine::Namespace(stored.namespace);
    let component = find_by_namespace(transaction, namespace)?.ok_or_else(handle_not_found)?;
    let module = modules
        .load(transaction, namespace, &stored.path)?
        .ok_or_else(handle_not_found)?;
    let function = module
        .function_names()
        .find(|name| halves(module_row, name) == id.internal)
        .ok_or_else(handle_not_found)?;
    Ok(Target {
        component,
        path: parse_path(&format!("{}:{function}", stored.path))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_names_counts() {
        let cases = [
            (
                (
                    Some("function://x"),
                    Some("a:b"),
                    Some("_reference/function/c:d"),
                ),
                Ok(Address::Handle("function://x".to_owned())),
            ),
            (
                (None, Some("a:b"), Some("_reference/function/c:d")),
                Ok(Address::Name("a:b".to_owned())),
            ),
            (
                (None, None, Some("_reference/function/c:d")),
                Ok(Address::Name("c:d".to_owned())),
            ),
            (
                (None, None, Some("_reference/childComponent/x/lib/f")),
                Ok(Address::Child("x/lib/f".to_owned())),
            ),
            (
                (None, None, Some("_reference/other/x")),
                Err("Invalid reference _reference/other/x"),
            ),
            (
                (None, None, Some("_reference/componentArgument/x")),
                Err("The component argument \"x\" is not a function"),
            ),
            ((None, None, None), Err("Missing required argument 'name'")),
        ];
        for ((handle, name, reference), expected) in cases {
            let found = Address::parse(handle, name, reference);
            assert_eq!(
                found.map_err(|error| error.message),
                expected.map_err(str::to_owned)
            );
        }
    }

    #[test]
    fn handles_differ_by_module_and_function() {
        let module = |path| StoredModule::row_id(hull_engine::Namespace(3), path);
        let id = halves(module("a.js"), "f");
        assert_eq!(id, halves(module("a.js"), "f"));
        assert_ne!(id, halves(module("b.js"), "f"));
        assert_ne!(id, halves(module("a.js"), "g"));
        assert_eq!(id.0[..8], module("a.js").0[..8]);
    }
}
