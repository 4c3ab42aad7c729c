//! Pushes against a deployment on a store in memory.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use hull_functions::{
    AdminIdentity, Caller, Deployment, DeploymentConfig, FunctionCall, FunctionLimits, Identity,
};
use hull_store::memory::MemoryStore;
use serde_json::{Value as Json, json};

fn open() -> Arc<Deployment> {
    let config = DeploymentConfig {
        name: "toy".to_owned(),
        cursor_secret: [9; 32],
        cloud_origin: "http://127.0.0.1:3210".to_owned(),
        site_origin: "http://127.0.0.1:3211".to_owned(),
        workers: 2,
        redact_logs_to_client: false,
        limits: FunctionLimits::default(),
        files: hull_functions::files::FileStore::in_memory(),
    };
    Deployment::open(config, Arc::new(MemoryStore::new())).unwrap()
}

/// A module with a query `get` that returns `answer`.
fn module(path: &str, answer: &str) -> Json {
    let source = format!(
        "const handler = () => {answer:?};
        export const get = Object.assign(() => {{}}, {{
            isQuery: true, isPublic: true, _handler: handler,
            exportArgs: () => '{{\"type\":\"any\"}}', exportReturns: () => '{{\"type\":\"any\"}}',
            invokeQuery: async () => JSON.stringify(handler()),
        }});"
    );
    json!({ "path": path, "source": source, "sourceMap": null, "environment": "isolate" })
}

fn request(changed: &[Json], unchanged: &[Json], schema: Option<Json>) -> Json {
    json!({
        "dryRun": false,
        "forCodegen": false,
        "functions": "convex/",
        "appDefinition": {
            "definition": null,
            "dependencies": [],
            "schema": schema,
            "changedModules": changed,
            "unchangedModuleHashes": unchanged,
            "udfServerVersion": "1.48.0",
        },
        "componentDefinitions": [],
        "nodeDependencies": [],
    })
}

/// What is deployed, as a push names unchanged modules.
async fn deployed(deployment: &Deployment) -> Vec<Json> {
    let hashes = deployment.config_hashes().await.unwrap();
    let modules = hashes["moduleHashes"].as_array().unwrap().iter();
    modules
        .map(|known| {
            json!({ "path": known["path"], "environment": known["environment"], "sha256": known["hash"] })
        })
        .collect()
}

async fn push(deployment: &Deployment, request: Json) -> Json {
    let started = deployment.start_push(request).await.unwrap();
    let change = started["schemaChange"].clone();
    let waited = deployment
        .wait_for_schema(change, Duration::from_secs(30), false)
        .await;
    assert_eq!(waited.unwrap(), json!({ "type": "complete" }));
    deployment.finish_push(started, false, None).await.unwrap()
}

async fn answer(deployment: &Deployment, path: &str) -> String {
    let call = FunctionCall {
        component_path: None,
        path: path.to_owned(),
        args_json: "{}".to_owned(),
        journal: None,
        identity: Identity::Admin(AdminIdentity {
            member_id: 0,
            is_read_only: false,
        }),
        caller: Caller::Tester,
        request_id: "0123456789abcdef".to_owned(),
        origin: Default::default(),
    };
    let outcome = deployment.query(call).await.unwrap();
    format!("{:?}", outcome.result.unwrap().unpack())
}

#[tokio::test]
async fn a_push_that_was_overtaken_still_has_its_sources() {
    let deployment = open();
    push(&deployment, request(&[module("m.js", "old")], &[], None)).await;
    let unchanged = deployed(&deployment).await;
    let first = request(&[module("n.js", "n")], &unchanged, None);
    let first = deployment.start_push(first).await.unwrap();
    push(&deployment, request(&[module("m.js", "new")], &[], None)).await;
    assert!(answer(&deployment, "m:get").await.contains("new"));
    deployment.finish_push(first, false, None).await.unwrap();
    assert!(answer(&deployment, "m:get").await.contains("old"));
    deployment.shutdown().await;
}

#[tokio::test]
async fn finishing_twice_gives_the_same_answer_and_changes_nothing() {
    let deployment = open();
    let request = request(&[module("m.js", "m")], &[], None);
    let started = deployment.start_push(request).await.unwrap();
    let finish = || deployment.finish_push(started.clone(), false, None);
    let first = finish().await.unwrap();
    let ts = deployment.latest_ts();
    assert_eq!(finish().await.unwrap(), first);
    assert_eq!(deployment.latest_ts(), ts);
    assert_eq!(
        first["componentDiffs"][""]["moduleDiff"]["added"],
        json!(["m.js"])
    );
    let unknown = json!({ "componentDefinitionPackages": { "": { "pushId": "x" } } });
    let error = deployment.finish_push(unknown, false, None).await;
    let error = error.unwrap_err();
    assert_eq!(error.code, "ConcurrentPush");
    assert_eq!(
        error.message,
        "Are you running multiple `npx convex dev` processes in the same directory?"
    );
    deployment.shutdown().await;
}

#[tokio::test]
async fn schema_checks_speak_for_themselves() {
    let deployment = open();
    const PREFIX: &str =
        "Hit an error while pushing:\nHit an error while evaluating your schema:\n";
    const MORE: &str =
        "To learn more, see the schema documentation at https://docs.convex.dev/database/schemas.";
    let check = async |source: &str, code: &str, message: &str| {
        let schema = json!({ "path": "schema.js", "source": source, "sourceMap": null });
        let pushed = deployment.start_push(request(&[], &[], Some(schema))).await;
        let error = pushed.unwrap_err();
        assert_eq!(error.code, code);
        assert!(
            error.message.starts_with(&format!("{PREFIX}{message}")),
            "{}",
            error.message
        );
        error.message.len() - PREFIX.len() - message.len()
    };
    let missing = format!("Schema file missing default export. {MORE}");
    let rest = check("export const x = 1;", "MissingSchemaExportError", &missing).await;
    assert_eq!(rest, 0);
    let invalid = format!("Default export from schema file isn't a Convex schema. {MORE}");
    for source in ["export default 1;", "export default { export: () => 1 };"] {
        let rest = check(source, "InvalidSchemaExport", &invalid).await;
        assert_eq!(rest, 0);
    }
    // A code of the user's own is nobody else's.
    let thrown = "export default { export() {
        throw Object.assign(new Error('own'), { code: 'MissingSchemaExportError' });
    } };";
    check(thrown, "InvalidSchema", "Uncaught Error: own").await;
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_wait_tells_of_the_end_and_of_a_push_that_came_after() {
    let deployment = open();
    let with_table = |table: &str| {
        let tables = format!(
            r#"[{{"tableName":"{table}","indexes":[{{"indexDescriptor":"by_x","fields":["x"]}}]}}]"#
        );
        let source = format!(
            r#"export default {{ export: () => '{{"tables":{tables},"schemaValidation":true}}' }};"#
        );
        let schema = json!({ "path": "schema.js", "source": source, "sourceMap": null });
        request(&[], &[], Some(schema))
    };
    let wait = async |started: &Json| {
        let change = started["schemaChange"].clone();
        // The time-out passes only if the test fails.
        let waited = deployment.wait_for_schema(change, Duration::from_secs(30), false);
        waited.await.unwrap()
    };
    let first = deployment.start_push(with_table("a")).await.unwrap();
    assert_eq!(wait(&first).await, json!({ "type": "complete" }));
    let second = deployment.start_push(with_table("b")).await.unwrap();
    assert_eq!(wait(&first).await, json!({ "type": "raceDetected" }));
    assert_eq!(wait(&second).await, json!({ "type": "complete" }));
    let error = deployment.finish_push(first, false, None).await;
    assert_eq!(error.unwrap_err().code, "SchemaAlreadyOverwritten");
    deployment.finish_push(second, false, None).await.unwrap();
    deployment.shutdown().await;
}

/// Pushes that are refused: what is pushed, the code and the whole text.
#[tokio::test]
async fn refused_pushes_say_why() {
    let source = |path: &str, source: &str| json!({ "path": path, "source": source, "sourceMap": null, "environment": "isolate" });
    let schema = |text: &str| {
        let table = format!("{{ export: () => JSON.stringify({text}) }}");
        let source = source("schema.js", &format!("export default {table};"));
        request(&[], &[], Some(source))
    };
    let schema_source = |text: &str| request(&[], &[], Some(source("schema.js", text)));
    let app = |env: &str| {
        let text = format!(
            "export default {{ export: () => ({{ definitionType: {{ type: \"app\" }}, childComponents: [], httpMounts: {{}},
                exports: {{ type: \"branch\", branch: [] }}, envVars: {env} }}) }};"
        );
        let mut request = request(&[], &[], None);
        request["appDefinition"]["definition"] = source("convex.config.js", &text);
        request
    };
    let modules = |changed: &[Json]| request(changed, &[], None);
    let unchanged = |path: &str| {
        let known = json!({ "path": path, "environment": "isolate", "sha256": "00" });
        request(&[], &[known], None)
    };
    let in_schema = "Hit an error while evaluating your schema:\n";
    let learn_more =
        "To learn more, see the schema documentation at https://docs.convex.dev/database/schemas.";
    let cases: Vec<(Json, &str, String)> = vec![
        (
            schema_source("export const other = 1;"),
            "MissingSchemaExportError",
            format!("{in_schema}Schema file missing default export. {learn_more}"),
        ),
        (
            schema_source("export default {};"),
            "InvalidSchemaExport",
            format!(
                "{in_schema}Default export from schema file isn't a Convex schema. {learn_more}"
            ),
        ),
        (
            schema_source("export default { export: () => process.env.A };"),
            "NoEnvironmentVariablesInSchema",
            format!("{in_schema}Environment variables unsupported when evaluating schema"),
        ),
        (
            schema_source("const name = process.env.A; export default { export: () => name };"),
            "NoEnvironmentVariablesInSchema",
            format!("{in_schema}Environment variables unsupported when evaluating schema"),
        ),
        (
            schema(
                r#"{ tables: [{ tableName: "t", indexes: [{ indexDescriptor: "i", fields: ["_id"] }] }] }"#,
            ),
            "IndexFieldsContainId",
            format!(
                "{in_schema}In table \"t\": In index \"i\": `_id` is not a valid index field. To load documents by ID, use `db.get(id)`."
            ),
        ),
        (
            schema(
                r#"{ tables: [{ tableName: "t", indexes: [], documentType: { type: "string" } }] }"#,
            ),
            "InvalidTopLevelTypeInSchemaError",
            format!(
                "{in_schema}In table \"t\": The document validator in a schema must be an object, a union of objects, or `v.any()`. Found v.string(). {learn_more}"
            ),
        ),
        (
            modules(&[source(
                "auth.config.js",
                "export default { providers: [{ domain: process.env.A, applicationID: \"x\" }] };",
            )]),
            "AuthConfigMissingEnvironmentVariable",
            "Environment variable A is used in auth config file but its value was not set"
                .to_owned(),
        ),
        (
            modules(&[source("auth.config.js", "export const other = 1;")]),
            "AuthConfigMissingExportError",
            "auth config file is missing default export. Please export your auth config as the default export.".to_owned(),
        ),
        (
            modules(&[source("m.js", "throw new Error(\"broken\");")]),
            "InvalidModules",
            "Loading the pushed modules encountered the following\n    error:\nFailed to analyze m.js: Uncaught Error: broken".to_owned(),
        ),
        (
            app(r#"[["A", { type: "value", value: "{\"type\":\"number\"}" }]]"#),
            "InvalidEnvVarDeclaration",
            "The declaration of the environment variable \"A\" is invalid: variables are text, and `v.float64()` is not".to_owned(),
        ),
        (
            app(r#"[["A", { type: "value", value: "nonsense" }]]"#),
            "InvalidEnvVarDeclaration",
            String::new(),
        ),
    ];
    let deployment = open();
    for (request, code, text) in cases {
        let error = deployment.start_push(request).await.unwrap_err();
        assert_eq!(error.code, code, "{}", error.message);
        let prefix = "Hit an error while pushing:\n";
        let message = error.message.strip_prefix(prefix);
        let message = message.unwrap_or_else(|| panic!("no prefix: {}", error.message));
        if text.is_empty() {
            continue;
        }
        assert!(message.starts_with(&text), "{code}: {message}");
        let frames = &message[text.len()..];
        assert!(
            frames.trim().is_empty() || frames.starts_with("\n    at "),
            "{code}: {message}"
        );
    }
    // The CLI looks at these anew and tries again.
    let gone = deployment.start_push(unchanged("m.js")).await.unwrap_err();
    assert_eq!(
        (&*gone.code, gone.http_status()),
        ("MissingExistingModule", 409)
    );
    push(&deployment, modules(&[module("m.js", "m")])).await;
    let other = deployment.start_push(unchanged("m.js")).await.unwrap_err();
    assert_eq!(
        (&*other.code, other.http_status()),
        ("ExistingModuleHashConflict", 409)
    );
    let mut elsewhere = deployed(&deployment).await;
    elsewhere[0]["environment"] = json!("browser");
    let elsewhere = request(&[], &elsewhere, None);
    let other = deployment.start_push(elsewhere).await.unwrap_err();
    assert_eq!(
        (&*other.code, other.http_status()),
        ("ExistingModuleEnvConflict", 409)
    );
    deployment.shutdown().await;
}

#[tokio::test]
async fn declared_variables_are_checked_when_the_push_ends() {
    let deployment = open();
    let env = r#"[["MODE", { type: "value", value: "{\"type\":\"union\",\"value\":[{\"type\":\"literal\",\"value\":\"on\"},{\"type\":\"literal\",\"value\":\"off\"}]}" }],
        ["NOTE", { type: "value", value: "{\"type\":\"string\"}", optional: true }]]"#;
    let text = format!(
        "export default {{ export: () => ({{ definitionType: {{ type: \"app\" }}, childComponents: [], httpMounts: {{}},
            exports: {{ type: \"branch\", branch: [] }}, envVars: {env} }}) }};"
    );
    let mut pushed = request(&[module("m.js", "m")], &[], None);
    pushed["appDefinition"]["definition"] = json!({ "path": "convex.config.js", "source": text, "sourceMap": null, "environment": "isolate" });
    let finish = async || {
        let started = deployment.start_push(pushed.clone()).await.unwrap();
        deployment.finish_push(started, false, None).await
    };
    let missing = finish().await.unwrap_err();
    assert_eq!(missing.code, "MissingEnvironmentVariables");
    assert_eq!(
        missing.message,
        "Required environment variables are not set: MODE. Set them in the Convex dashboard or CLI before pushing."
    );
    let set = async |value: &str| {
        let change = hull_functions::EnvironmentChange {
            name: "MODE".to_owned(),
            value: Some(value.to_owned()),
        };
        deployment
            .update_environment_variables(vec![change])
            .await
            .unwrap();
    };
    set("maybe").await;
    let invalid = finish().await.unwrap_err();
    assert_eq!(invalid.code, "InvalidEnvironmentVariable");
    assert!(invalid.message.contains("MODE"), "{}", invalid.message);
    set("on").await;
    finish().await.unwrap();
    // A variable that changes between start and end is a race.
    let started = deployment.start_push(pushed.clone()).await.unwrap();
    set("off").await;
    let race = deployment.finish_push(started, false, None).await;
    let race = race.unwrap_err();
    assert_eq!(race.code, "RaceDetected");
    assert_eq!(
        race.message,
        "Environment variables have changed during push"
    );
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_push_has_4096_modules_at_most_and_chunks_do_not_count() {
    let deployment = open();
    let empty = |path: String| json!({ "path": path, "source": "", "sourceMap": null, "environment": "isolate" });
    let chunks = (0..10).map(|n| empty(format!("_deps/{n}.js")));
    let modules = |count: usize| -> Vec<Json> {
        let modules = (0..count).map(|n| empty(format!("m{n}.js")));
        modules.chain(chunks.clone()).collect()
    };
    let error = deployment
        .start_push(request(&modules(4_097), &[], None))
        .await
        .unwrap_err();
    assert_eq!(error.code, "InvalidModules");
    assert!(
        error
            .message
            .contains("Too many function files (4097 > maximum 4096)"),
        "{}",
        error.message
    );
    // Past the count: what is wrong with this one is something else.
    let mut most = modules(4_096);
    most[0]["source"] = json!("throw new Error('evaluated');");
    let error = deployment
        .start_push(request(&most, &[], None))
        .await
        .unwrap_err();
    assert!(error.message.contains("evaluated"), "{}", error.message);
    deployment.shutdown().await;
}
