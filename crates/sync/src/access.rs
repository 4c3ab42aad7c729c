//! Requests that are answered without running: paths that are none, and paths reserved to admins.
//!
//! They are function-level failures, never errors of the connection: a `FatalError` would stop an
//! npm client for good.

use crate::{json_text, limits::QUOTED_TEXT_BYTES_MAX, udf_path::UdfPath};

#[derive(Clone, Copy, Debug)]
pub(crate) enum FunctionKind {
    Query,
    Mutation,
    Action,
}

impl FunctionKind {
    fn lower_case(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Action => "action",
        }
    }
}

/// Parses the path as sent, or returns the message to answer with.
pub(crate) fn parse_path(text: &str, component_path: Option<&str>) -> Result<UdfPath, String> {
    text.parse().map_err(|_| {
        could_not_find(
            json_text::prefix(text, QUOTED_TEXT_BYTES_MAX),
            component_path,
        )
    })
}

/// Checks that the caller may name this path at all, or returns the message to answer with.
pub(crate) fn check(
    kind: FunctionKind,
    path: &UdfPath,
    component_path: Option<&str>,
    is_admin: bool,
) -> Result<(), String> {
    if is_admin {
        return Ok(());
    }
    if path.is_system() {
        return Err(format!("Operation {} not permitted", kind.lower_case()));
    }
    match component_path {
        None => Ok(()),
        Some(component) => Err(could_not_find(&path.shortest(), Some(component))),
    }
}

/// Drops the empty component path, another spelling of the root.
pub(crate) fn component(path: Option<String>) -> Option<Box<str>> {
    path.filter(|path| !path.is_empty()).map(Into::into)
}

fn could_not_find(path: &str, component_path: Option<&str>) -> String {
    match component_path {
        None => format!("Could not find public function for '{path}'."),
        Some(component) => {
            let component = json_text::prefix(component, QUOTED_TEXT_BYTES_MAX);
            format!("Could not find public function for '{path}' in '{component}'.")
        }
    }
}
