//! Which endpoint a request is for.
//!
//! A closed list matched by hand: one comparison of strings on the hot path, and
//! every route of the protocols in one place, those that are not built included.

/// An endpoint of the API port. Borrowed parts are still percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    Query,
    QueryWithGet,
    Mutation,
    Action,
    Function,
    /// `module/path/function`.
    Run(&'a str),
    QueryTs,
    QueryAtTs,
    QueryBatch,
    /// The client version in the path.
    Sync(Option<&'a str>),
    ConfigHashes,
    StartPush,
    EvaluatePush,
    EvaluateSchema,
    WaitForSchema,
    FinishPush,
    ReportPushCompleted,
    UpdateEnvironmentVariables,
    StorageUpload,
    /// The UUID of a file.
    StorageFile(&'a str),
    StreamFunctionLogs,
    StreamUdfExecution,
    CheckAdminKey,
    DeploymentInfo,
    GetCanonicalUrls,
    UpdateCanonicalUrl,
    /// Asked by tools that would sign in elsewhere; there are no accounts here.
    Authorize,
    CheckOptIns,
    Root,
    Version,
    InstanceName,
    Echo,
    Metrics,
    /// Path of an HTTP action, with its leading slash.
    HttpAction(&'a str),
    /// Known to the protocol, answered with an error that says so.
    NotBuilt,
}

/// The result of looking a request up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    Found(Endpoint<'a>),
    WrongMethod,
    Unknown,
}

/// Looks a request up; `HEAD` counts as `GET`.
pub fn lookup<'a>(method: &str, path: &'a str) -> Lookup<'a> {
    // A trailing slash in a client's URL doubles the first one.
    let path = if path.starts_with("//") {
        path.trim_start_matches('/')
    } else {
        &path[path.len().min(1)..]
    };
    let method = if method == "HEAD" { "GET" } else { method };
    if let Some(endpoint) = find(method, path) {
        return Lookup::Found(endpoint);
    }
    let others = ["GET", "POST"].into_iter().filter(|other| *other != method);
    match others.into_iter().any(|other| find(other, path).is_some()) {
        true => Lookup::WrongMethod,
        false => Lookup::Unknown,
    }
}

fn find<'a>(method: &str, path: &'a str) -> Option<Endpoint<'a>> {
    use Endpoint::*;
    Some(match (method, path) {
        ("POST", "api/query") => Query,
        ("POST", "api/mutation") => Mutation,
        ("POST", "api/action") => Action,
        ("POST", "api/function") => Function,
        ("GET", "api/query") => QueryWithGet,
        ("POST", "api/query_ts") => QueryTs,
        ("POST", "api/query_at_ts") => QueryAtTs,
        ("POST", "api/query_batch") => QueryBatch,
        ("GET", "api/sync") => Sync(None),

        ("POST", "api/get_config_hashes") => ConfigHashes,
        ("POST", "api/deploy2/start_push") => StartPush,
        ("POST", "api/deploy2/evaluate_push") => EvaluatePush,
        ("POST", "api/deploy2/evaluate_schema") => EvaluateSchema,
        ("POST", "api/deploy2/wait_for_schema") => WaitForSchema,
        ("POST", "api/deploy2/finish_push") => FinishPush,
        ("POST", "api/deploy2/report_push_completed") => ReportPushCompleted,
        ("POST", "api/update_environment_variables" | "api/v1/update_environment_variables") => {
            UpdateEnvironmentVariables
        }

        ("POST", "api/storage/upload") => StorageUpload,
        ("GET", "api/stream_function_logs" | "api/app_metrics/stream_function_logs") => {
            StreamFunctionLogs
        }
        ("GET", "api/stream_udf_execution" | "api/app_metrics/stream_udf_execution") => {
            StreamUdfExecution
        }
        ("GET", "api/check_admin_key") => CheckAdminKey,
        ("GET", "api/v1/deployment_info") => DeploymentInfo,
        ("GET", "api/v1/get_canonical_urls") => GetCanonicalUrls,
        ("POST", "api/update_canonical_url" | "api/v1/update_canonical_url") => UpdateCanonicalUrl,
        ("GET", "api/authorize") => Authorize,
        ("POST", "api/check_opt_ins") => CheckOptIns,

        ("GET", "") => Root,
        ("GET", "version" | "instance_version") => Version,
        ("GET", "instance_name") => InstanceName,
        ("POST", "echo") => Echo,
        ("GET", "metrics") => Metrics,
        _ => return find_with_parameters(method, path),
    })
}

fn find_with_parameters<'a>(method: &str, path: &'a str) -> Option<Endpoint<'a>> {
    if path == "http" || path.starts_with("http/") {
        return Some(Endpoint::HttpAction(match &path["http".len()..] {
            "" => "/",
            rest => rest,
        }));
    }
    let rest = path.strip_prefix("api/")?;
    if let Some(version) = rest
        .strip_suffix("/sync")
        .filter(|version| !version.contains('/'))
    {
        return (method == "GET").then_some(Endpoint::Sync(Some(version)));
    }
    if let Some(function) = rest.strip_prefix("run/") {
        return (method == "POST").then_some(Endpoint::Run(function));
    }
    if let Some(name) = rest.strip_prefix("storage/") {
        return (method == "GET" && name != "upload").then_some(Endpoint::StorageFile(name));
    }
    is_not_built(method, rest).then_some(Endpoint::NotBuilt)
}

/// Endpoints of the protocols that no code answers yet (paths without `api/`).
fn is_not_built(method: &str, rest: &str) -> bool {
    let (folder, name) = rest.split_once('/').unwrap_or((rest, ""));
    match (method, folder) {
        (_, "import" | "export" | "app_metrics") => true,
        ("GET" | "POST", "list_snapshot" | "document_deltas" | "actions") => true,
        ("GET", "json_schemas" | "get_table_column_names" | "test_streaming_export_connection") => {
            true
        }
        ("GET", "shapes2" | "schema_state") => true,
        ("POST", "perform_import" | "cancel_import") => true,
        ("POST", "get_config" | "push_config" | "prepare_schema") => true,
        ("POST", "debug_event" | "run_test_function") => true,
        ("GET", "v1") => {
            let names = [
                "list_usage_limits",
                "get_current_usage",
                "list_environment_variables",
                "data/list_active_syncs",
            ];
            names.contains(&name)
        }
        ("POST", "v1") => {
            let names = [
                "create_usage_limit",
                "pause_deployment",
                "unpause_deployment",
                "data/sync",
            ];
            let folders = ["update_usage_limit/", "delete_usage_limit/"];
            names.contains(&name) || folders.iter().any(|folder| name.starts_with(folder))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expected: Lookup<'_>) {
        assert_eq!(lookup(method, path), expected, "{method} {path}");
    }

    #[test]
    fn routes() {
        use Endpoint::*;
        use Lookup::{Found, Unknown, WrongMethod};
        check("POST", "/api/query", Found(Query));
        check("POST", "//api/query", Found(Query));
        check("GET", "/api/query", Found(QueryWithGet));
        check("HEAD", "/version", Found(Version));
        check("GET", "/", Found(Root));
        check("GET", "//", Found(Root));
        check("GET", "/api/sync", Found(Sync(None)));
        check("GET", "/api/1.48.0/sync", Found(Sync(Some("1.48.0"))));
        check("POST", "/api/1.48.0/sync", WrongMethod);
        check("GET", "/api/a/b/sync", Unknown);
        check(
            "POST",
            "/api/run/folder/module/fn",
            Found(Run("folder/module/fn")),
        );
        check("GET", "/api/run/a/b", WrongMethod);
        check("GET", "/api/mutation", WrongMethod);
        check("DELETE", "/api/mutation", WrongMethod);
        check("HEAD", "/api/authorize", Found(Authorize));
        check("GET", "/http", Found(HttpAction("/")));
        check("PATCH", "/http/a/b", Found(HttpAction("/a/b")));
        check("GET", "/httpx", Unknown);
        check("POST", "/api/storage/upload", Found(StorageUpload));
        check("GET", "/api/storage/upload", WrongMethod);
        check("GET", "/api/storage/a-b", Found(StorageFile("a-b")));
        check("HEAD", "/api/storage/../x", Found(StorageFile("../x")));
        check("POST", "/api/storage/a-b", WrongMethod);
        check("POST", "/api/import/start_upload", Found(NotBuilt));
        check("GET", "/api/export/zip/1", Found(NotBuilt));
        check("POST", "/api/v1/delete_usage_limit/7", Found(NotBuilt));
        check("GET", "/api/v1/delete_usage_limit/7", WrongMethod);
        check("GET", "/api/nothing", Unknown);
        check("GET", "/favicon.ico", Unknown);
        check("GET", "", Found(Root));
    }
}
