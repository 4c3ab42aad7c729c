//! Push-time reports on real bundles.

mod support;

use base64::Engine as _;
use hull_js::{Environment, Inspection, JsError};
use serde_json::{Value, json};
use support::{App, TestHost};

fn inspect(
    app: &App,
    entry: &str,
    environment: Environment,
    inspection: Inspection,
) -> Result<Value, JsError> {
    let report = app.engine.inspect(
        &app.spec(entry, environment),
        inspection,
        &mut TestHost::default(),
    )?;
    Ok(serde_json::from_str(&report).expect("JSON"))
}

#[test]
fn functions_have_kinds_validators_and_positions() {
    let app = App::fixtures();
    let report = inspect(
        &app,
        "messages.js",
        Environment::Analysis,
        Inspection::Functions,
    )
    .expect("report");
    let functions = report["functions"].as_array().expect("list");
    let find = |name: &str| {
        functions
            .iter()
            .find(|f| f["name"] == name)
            .unwrap_or_else(|| panic!("{name}"))
    };
    let send = find("send");
    assert_eq!(send["udfType"], "Mutation");
    assert_eq!(send["visibility"], json!({"kind":"public"}));
    assert!(
        send["args"]
            .as_str()
            .expect("text")
            .starts_with("{\"type\":\"object\",\"value\":{")
    );
    assert_eq!(send["pos"]["path"], "messages.js");
    let source = include_str!("fixtures/convex/messages.ts");
    let line = source
        .lines()
        .position(|l| l.contains("handler: async (ctx, args) => {"))
        .expect("line");
    let lines: Vec<u64> = functions
        .iter()
        .filter_map(|f| f["pos"]["start_lineno"].as_u64())
        .collect();
    assert!(lines.contains(&(line as u64)), "{line} in {lines:?}");
    assert!(lines.is_sorted());
    let hidden = find("hidden");
    assert_eq!(hidden["visibility"], json!({"kind":"internal"}));
    assert_eq!(hidden["returns"], "{\"type\":\"null\"}");
}

#[test]
fn routes_crons_and_schema() {
    let app = App::fixtures();
    let routes = inspect(
        &app,
        "http.js",
        Environment::Analysis,
        Inspection::HttpRoutes,
    )
    .expect("routes");
    let list: Vec<(&str, &str)> = routes
        .as_array()
        .expect("list")
        .iter()
        .map(|r| {
            (
                r["route"]["path"].as_str().expect("path"),
                r["route"]["method"].as_str().expect("method"),
            )
        })
        .collect();
    assert_eq!(list, [("/hook", "POST"), ("/files/*", "GET")]);
    let crons = inspect(&app, "crons.js", Environment::Analysis, Inspection::Crons).expect("crons");
    assert_eq!(crons[0]["identifier"], "sweep");
    assert_eq!(crons[0]["spec"]["udfPath"], "messages.js:hidden");
    assert_eq!(crons[0]["spec"]["udfArgs"], "[{\"n\":1}]");
    let schema =
        inspect(&app, "schema.js", Environment::Schema, Inspection::Schema).expect("schema");
    assert_eq!(schema["tables"][0]["tableName"], "messages");
    assert_eq!(
        schema["tables"][0]["indexes"][0]["fields"],
        json!(["channel"])
    );
}

#[test]
fn auth_config_needs_its_variables() {
    let app = App::fixtures();
    let Err(JsError::Thrown(error)) = inspect(
        &app,
        "auth.config.js",
        Environment::AuthConfig,
        Inspection::AuthConfig,
    ) else {
        panic!("fails")
    };
    assert!(
        error.message.contains(
            "Environment variable AUTH_DOMAIN is used in auth config file but its value was not set"
        ),
        "{error:?}"
    );
    app.env
        .lock()
        .expect("env")
        .insert("AUTH_DOMAIN".into(), "https://auth.example.com".into());
    let config = inspect(
        &app,
        "auth.config.js",
        Environment::AuthConfig,
        Inspection::AuthConfig,
    )
    .expect("config");
    assert_eq!(config["providers"][0]["domain"], "https://auth.example.com");
}

#[test]
fn definitions_import_their_children() {
    let mut app = App::fixtures();
    let name = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode("components/counter");
    let path = format!("_componentDeps/{name}");
    let child = r#"{"name":"counter","path":"components/counter","definitionType":{"type":"childComponent","name":"counter","args":[]}}"#;
    let module = app
        .engine
        .compile_component_dependency(&path, child, "components/counter", "counter")
        .expect("compiles");
    app.add(&path, module);
    let report = inspect(
        &app,
        "convex.config.js",
        Environment::Definition,
        Inspection::Definition,
    )
    .expect("report");
    assert_eq!(report["definitionType"], json!({"type":"app"}));
    assert_eq!(report["childComponents"][0]["name"], "counter");
    assert_eq!(report["childComponents"][0]["path"], "components/counter");
    let app = App::from_sources(&[(
        "convex.config.js",
        "import x from './other.js'; export default x;",
    )]);
    let Err(error) = inspect(
        &app,
        "convex.config.js",
        Environment::Definition,
        Inspection::Definition,
    ) else {
        panic!("fails")
    };
    assert!(
        error
            .to_string()
            .contains("Can't import other.js while evaluating app definition"),
        "{error}"
    );
}

#[test]
fn errors_of_checks_carry_their_code() {
    let app = App::from_sources(&[("schema.js", "export const x = 1;")]);
    let Err(JsError::Thrown(error)) =
        inspect(&app, "schema.js", Environment::Schema, Inspection::Schema)
    else {
        panic!("fails")
    };
    let check = error.check.expect("raised by the check");
    assert_eq!(check.code, "MissingSchemaExportError");
}
