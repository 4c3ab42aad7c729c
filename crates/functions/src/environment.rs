//! Environment variables of functions (function runtime spec 11).

use hull_engine::{Transaction, document, system};
use hull_value::{CodedError, InternalId, PackedValue, Value};

/// Variables a deployment may have.
pub const VARIABLES_MAX: usize = 512;
/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 256;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8_192;
/// All names and values together, in bytes.
pub const TOTAL_BYTES_MAX: usize = 512 << 10;
/// Provided by the server; users cannot set them.
pub const BUILT_IN: [&str; 2] = ["CONVEX_CLOUD_URL", "CONVEX_SITE_URL"];

/// Set (or with `None` removed) variable.
#[derive(Clone, Debug)]
pub struct EnvironmentChange {
    pub name: String,
    pub value: Option<String>,
}

pub(crate) fn row_id(name: &str) -> InternalId {
    system::row_id(&[b"environment variable", name.as_bytes()])
}

/// Reads one user variable, recording the dependency also when it is absent.
pub(crate) fn read(
    transaction: &mut Transaction,
    name: &str,
) -> Result<Option<String>, CodedError> {
    let row = transaction.system_row(system::ENVIRONMENT_VARIABLES, row_id(name))?;
    Ok(row.and_then(|row| document::text(row.as_ref(), "value").map(str::to_owned)))
}

/// One stored variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) id: InternalId,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) creation_time: f64,
}

/// Reads all user variables, by name.
pub(crate) fn read_all(transaction: &mut Transaction) -> Vec<Variable> {
    let mut variables: Vec<Variable> = transaction
        .system_rows(system::ENVIRONMENT_VARIABLES)
        .into_iter()
        .filter_map(|(id, row)| {
            let row = row.as_ref();
            Some(Variable {
                id,
                name: document::text(row, "name")?.to_owned(),
                value: document::text(row, "value")?.to_owned(),
                creation_time: document::field(row, "_creationTime")
                    .and_then(|t| t.as_float64())
                    .unwrap_or(0.0),
            })
        })
        .collect();
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    variables
}

/// Applies changes in a transaction, all or none.
pub(crate) fn apply(
    transaction: &mut Transaction,
    changes: &[EnvironmentChange],
    now_ms: f64,
) -> Result<(), CodedError> {
    for change in changes {
        check_name(&change.name)?;
        if BUILT_IN.contains(&change.name.as_str()) {
            return Err(CodedError::bad_request(
                "EnvironmentVariableNameInvalid",
                format!(
                    "Environment variable with name \"{}\" is built in and can't be changed.",
                    change.name
                ),
            ));
        }
        if let Some(value) = &change.value
            && value.len() > VALUE_BYTES_MAX
        {
            return Err(CodedError::bad_request(
                "EnvironmentVariableValueTooLarge",
                format!(
                    "Environment variable \"{}\" is too large ({} bytes > maximum size {VALUE_BYTES_MAX} bytes).",
                    change.name,
                    value.len()
                ),
            ));
        }
        let id = row_id(&change.name);
        let row = match &change.value {
            None => None,
            Some(value) => {
                let created = transaction
                    .system_row(system::ENVIRONMENT_VARIABLES, id)?
                    .and_then(|row| {
                        document::field(row.as_ref(), "_creationTime").and_then(|t| t.as_float64())
                    });
                Some(variable_row(&change.name, value, created.unwrap_or(now_ms)))
            }
        };
        transaction.put_system_row(system::ENVIRONMENT_VARIABLES, id, row)?;
    }
    let all = read_all(transaction);
    if all.len() > VARIABLES_MAX {
        return Err(CodedError::bad_request(
            "EnvVarLimitMet",
            format!(
                "Environment variables limit met: a deployment may have at most {VARIABLES_MAX}."
            ),
        ));
    }
    let total: usize = all
        .iter()
        .map(|variable| variable.name.len() + variable.value.len())
        .sum();
    if total > TOTAL_BYTES_MAX {
        return Err(CodedError::bad_request(
            "EnvVarTotalSizeLimitMet",
            format!(
                "Environment variables are too large together ({total} bytes > maximum {TOTAL_BYTES_MAX} bytes)."
            ),
        ));
    }
    Ok(())
}

/// Checks the form of a name.
pub(crate) fn check_name(name: &str) -> Result<(), CodedError> {
    let well_formed = name.bytes().enumerate().all(|(position, byte)| {
        byte == b'_' || byte.is_ascii_alphabetic() || (position > 0 && byte.is_ascii_digit())
    });
    if name.is_empty() || !well_formed {
        return Err(CodedError::bad_request(
            "EnvironmentVariableNameInvalid",
            format!(
                "The environment variable name {name} is invalid. Names must start with a letter or underscore and may only contain letters, digits and underscores."
            ),
        ));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(CodedError::bad_request(
            "EnvironmentVariableNameTooLong",
            format!(
                "Environment variable name is too long ({} > maximum {NAME_CHARS_MAX}).",
                name.chars().count()
            ),
        ));
    }
    Ok(())
}

fn variable_row(name: &str, value: &str, creation_time: f64) -> PackedValue {
    document::row([
        ("name", Value::String(name.to_owned())),
        ("value", Value::String(value.to_owned())),
        ("_creationTime", Value::Float64(creation_time)),
    ])
}
