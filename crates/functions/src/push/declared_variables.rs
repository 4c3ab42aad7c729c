//! Environment variables that the app's definition declares (deploy spec 6.5, 6.7).

use std::collections::BTreeMap;

use hull_value::{CodedError, PackedValue, TableKind, TableNames, TableNumber, Validator, Value};
use serde_json::Value as Json;

pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) validator: Validator,
    pub(super) is_optional: bool,
}

/// Checks that only text is declared: the values of variables are nothing else.
pub(super) fn check_declarations(definition: &Json) -> Result<(), CodedError> {
    declared(definition).map(drop)
}

/// Checks that what is declared is set, and to what is declared.
pub(super) fn check_values(
    definition: &Json,
    values: &BTreeMap<String, String>,
) -> Result<(), CodedError> {
    let declared = declared(definition)?;
    let is_missing = |one: &&Declared<'_>| !one.is_optional && !values.contains_key(one.name);
    let missing: Vec<&str> = declared
        .iter()
        .filter(is_missing)
        .map(|one| one.name)
        .collect();
    if !missing.is_empty() {
        return Err(CodedError::bad_request(
            "MissingEnvironmentVariables",
            format!(
                "Required environment variables are not set: {}. Set them in the Convex dashboard or CLI before pushing.",
                missing.join(", ")
            ),
        ));
    }
    for one in &declared {
        let Some(value) = values.get(one.name) else {
            continue;
        };
        let value = PackedValue::pack(&Value::String(value.clone()));
        if let Err(error) = one.validator.check(value.as_ref(), &NoTables) {
            return Err(CodedError::bad_request(
                "InvalidEnvironmentVariable",
                format!(
                    "The environment variable {} is not what the app declares: {error}",
                    one.name
                ),
            ));
        }
    }
    Ok(())
}

pub(super) fn declared(definition: &Json) -> Result<Vec<Declared<'_>>, CodedError> {
    let declarations = definition["envVars"].as_array().into_iter().flatten();
    declarations
        .map(|declaration| {
            let invalid = |name: &str, reason: String| {
                CodedError::bad_request(
                    "InvalidEnvVarDeclaration",
                    format!("The declaration of the environment variable \"{name}\" is invalid: {reason}"),
                )
            };
            let name = declaration[0]
                .as_str()
                .ok_or_else(|| invalid("", "it has no name".to_owned()))?;
            let text = declaration[1]["value"].as_str().unwrap_or_default();
            let validator =
                Validator::parse(text).map_err(|error| invalid(name, error.message))?;
            if !validator.is_subset_of(&Validator::String) {
                return Err(invalid(
                    name,
                    format!("variables are text, and `{validator}` is not"),
                ));
            }
            Ok(Declared {
                name,
                validator,
                is_optional: declaration[1]["optional"] == Json::Bool(true),
            })
        })
        .collect()
}

/// Variables hold no ids.
pub(super) struct NoTables;

impl TableNames for NoTables {
    fn name_of(&self, _: TableNumber) -> Option<TableKind<'_>> {
        None
    }
}
