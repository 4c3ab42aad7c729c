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
