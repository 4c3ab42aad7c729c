//! Which component answers a request (function runtime spec 9.4).

use hull_engine::Transaction;
use hull_value::CodedError;
use serde_json::Value as Json;

use super::{Component, find, read_definition};
use crate::modules::{HttpRoute, ModuleCache};

/// The component whose `http.js` answers, and the path its router is to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) component: Component,
    pub(crate) path: String,
}

/// What a step down the tree of components comes to.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// This component, with the path as its router sees it.
    Here(String),
    /// A child, with what is left of the path.
    Child(&'a str, String),
    Nowhere,
}

/// Finds the component for a path; `None`: there are no HTTP actions for it.
pub(crate) fn route(
    transaction: &mut Transaction,
    modules: &ModuleCache,
    method: &str,
    path: &str,
) -> Result<Option<Route>, CodedError> {
    let mut component = Component::root();
    let mut path = path.to_owned();
    loop {
        let definition = read_definition(transaction, component.definition_path())?;
        let module = modules.load(transaction, component.namespace, "http.js")?;
        let routes = module.as_ref().map(|module| &*module.http_routes);
        let prefix = definition["httpPrefix"].as_str();
        let child = match step(routes, prefix, &definition["httpMounts"], method, &path) {
            Step::Nowhere => return Ok(None),
            Step::Here(path) => return Ok(Some(Route { component, path })),
            Step::Child(name, rest) => {
                path = rest;
                find(transaction, &component.child_path(name))?
            }
        };
        match child {
            Some(child) => component = child,
            None => return Ok(None),
        }
    }
}

fn step<'a>(
    routes: Option<&[HttpRoute]>,
    own_prefix: Option<&str>,
    mounts: &'a Json,
    method: &str,
    path: &str,
) -> Step<'a> {
    let method = if method == "HEAD" { "GET" } else { method };
    let own = match own_prefix {
        None => Some(path.to_owned()),
        Some(prefix) => strip(path, prefix),
    };
    let own_routes = || {
        routes
            .into_iter()
            .flatten()
            .filter(|route| route.method == method)
    };
    if let Some(own) = &own
        && own_routes().any(|route| route.path == *own)
    {
        return Step::Here(own.clone());
    }
    let longest_own = own.as_ref().and_then(|own| {
        let prefixes = own_routes().filter_map(|route| route.path.strip_suffix('*'));
        prefixes
            .filter(|prefix| own.starts_with(prefix))
            .map(str::len)
            .max()
    });
    // Lengths compare as they are seen from outside.
    let longest_own =
        longest_own.map(|length| length + own_prefix.map_or(0, |prefix| prefix.len() - 1));
    let mounts = mounts.as_object().into_iter().flatten();
    let mount = mounts
        .filter_map(|(prefix, reference)| {
            let name = reference
                .as_str()?
                .strip_prefix("_reference/childComponent/")?;
            Some((prefix, name, strip(path, prefix)?))
        })
        .max_by_key(|(prefix, ..)| prefix.len());
    match (mount, longest_own, own) {
        (Some((prefix, name, rest)), longest, _)
            if longest.is_none_or(|own| prefix.len() > own) =>
        {
            Step::Child(name, rest)
        }
        // Also where nothing fits: its router says so.
        (_, _, Some(own)) if routes.is_some() => Step::Here(own),
        _ => Step::Nowhere,
    }
}

/// What follows a prefix that ends with a slash, which is kept; `None`: the path is elsewhere.
fn strip(path: &str, prefix: &str) -> Option<String> {
    let rest = path.strip_prefix(prefix)?;
    Some(format!("/{rest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let routes = |paths: &[(&str, &str)]| -> Vec<HttpRoute> {
            paths
                .iter()
                .map(|(method, path)| HttpRoute {
                    method: (*method).to_owned(),
                    path: (*path).to_owned(),
                })
                .collect()
        };
        let app = routes(&[
            ("GET", "/exact"),
            ("GET", "/lim/exact"),
            ("GET", "/lim/deep/*"),
            ("GET", "/a/*"),
        ]);
        let mounts = json!({
            "/lim/": "_reference/childComponent/lim",
            "/a/b/": "_reference/childComponent/ab",
        });
        let here = |path: &str| Step::Here(path.to_owned());
        let child = |name, path: &str| Step::Child(name, path.to_owned());
        for (method, path, expected) in [
            ("GET", "/exact", here("/exact")),
            ("HEAD", "/exact", here("/exact")),
            // Another method is no exact match; the router refuses it.
            ("POST", "/exact", here("/exact")),
            ("GET", "/lim/exact", here("/lim/exact")),
            ("POST", "/lim/exact", child("lim", "/exact")),
            ("GET", "/lim/other/x", child("lim", "/other/x")),
            ("GET", "/lim/deep/x", here("/lim/deep/x")),
            ("GET", "/lim/", child("lim", "/")),
            ("GET", "/lim", here("/lim")),
            ("GET", "/a/x", here("/a/x")),
            ("GET", "/a/b/x", child("ab", "/x")),
            ("GET", "/none", here("/none")),
        ] {
            assert_eq!(
                step(Some(&app), None, &mounts, method, path),
                expected,
                "{method} {path}"
            );
        }
        // Without http.js.
        assert_eq!(
            step(None, None, &mounts, "GET", "/lim/x"),
            child("lim", "/x")
        );
        assert_eq!(step(None, None, &mounts, "GET", "/x"), Step::Nowhere);
        // The app under a prefix of its own; mounts see the whole path.
        let prefixed = |path| step(Some(&app), Some("/api/"), &mounts, "GET", path);
        assert_eq!(prefixed("/api/exact"), here("/exact"));
        assert_eq!(prefixed("/exact"), Step::Nowhere);
        assert_eq!(prefixed("/lim/exact"), child("lim", "/exact"));
        assert_eq!(prefixed("/api/none"), here("/none"));
    }
}
