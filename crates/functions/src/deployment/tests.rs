#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use hull_store::memory::MemoryStore;

use super::*;
use crate::components::Component;
use crate::execution::{CallError, Execution, Observed, Request, Sizes};
use crate::identity::Identity;

fn open() -> Arc<Deployment> {
    let config = DeploymentConfig {
        name: "toy".to_owned(),
        cursor_secret: [9; 32],
        cloud_origin: String::new(),
        site_origin: String::new(),
        workers: 1,
        redact_logs_to_client: false,
        limits: FunctionLimits::default(),
        files: crate::files::FileStore::in_memory(),
    };
    Deployment::open(config, Arc::new(MemoryStore::new())).unwrap()
}

fn put(transaction: &mut Transaction, name: &str, n: i64) {
    let id = system::row_id(&[name.as_bytes()]);
    let row = document::row([("n", Value::Int64(n))]);
    transaction
        .put_system_row(system::DEPLOYMENT_STATE, id, Some(row))
        .unwrap();
}

#[tokio::test]
async fn a_transaction_that_always_collides_gives_up_with_its_own_error() {
    let deployment = open();
    let attempts = Arc::new(Mutex::new(0));
    let counted = attempts.clone();
    let conflict = CodedError::bad_request("ConcurrentPush", "again");
    let result = deployment
        .transact_or(8, conflict, move |runner, transaction| {
            let mut attempts = counted.lock().unwrap();
            *attempts += 1;
            put(transaction, "contended", 0);
            let mut other = runner.engine.begin(&clock::begin_context())?;
            put(&mut other, "contended", *attempts);
            runner.engine.commit_and_wait(other, clock::now()).unwrap();
            Ok(())
        })
        .await;
    assert_eq!(result.unwrap_err().code, "ConcurrentPush");
    assert_eq!(*attempts.lock().unwrap(), 8);
    deployment.shutdown().await;
}

/// The limit on time in host calls is 15 s, so the execution is one that began long ago.
#[tokio::test]
async fn an_execution_that_takes_too_long_in_host_calls_ends_and_one_that_computes_long_is_warned_of()
 {
    const SOURCE: &str = r#"
        const call = (args) => Convex.asyncSyscall("1.0/getUserIdentity", "{}");
        const define = (handler) => Object.assign(() => {}, {
            isQuery: true, isPublic: true, _handler: handler,
            exportArgs: () => '{"type":"any"}', exportReturns: () => '{"type":"any"}',
            invokeQuery: async () => JSON.stringify(await handler()),
        });
        export const get = define(async () => { try { await call() } catch (e) {} return "caught" });
    "#;
    let deployment = open();
    let module = serde_json::json!({
        "path": "m.js", "source": SOURCE, "sourceMap": null, "environment": "isolate",
    });
    let request = serde_json::json!({
        "dryRun": false, "forCodegen": false, "functions": "convex/",
        "appDefinition": {
            "definition": null, "dependencies": [], "schema": null, "changedModules": [module],
            "unchangedModuleHashes": [], "udfServerVersion": "1.48.0",
        },
        "componentDefinitions": [], "nodeDependencies": [],
    });
    let started = deployment.start_push(request).await.unwrap();
    deployment.finish_push(started, false, None).await.unwrap();
    let runner = deployment.runner().clone();
    let run = |age: Duration| {
        let runner = runner.clone();
        move || {
            let mut transaction = runner.engine.begin(&clock::begin_context()).unwrap();
            let mut execution = Execution {
                request_id: "",
                origin: &Default::default(),
                runner: &runner,
                transaction: &mut transaction,
                identity: &Identity::Anonymous,
                time_ms: 0.0,
                observed: Observed::default(),
                log_lines: Vec::new(),
                depth: 0,
                started: Instant::now() - age,
                user_time: Duration::ZERO,
                sizes: Sizes::default(),
            };
            let result = execution.call(&Request {
                component: &Component::root(),
                path: &"m:get".parse().unwrap(),
                expected: UdfType::Query,
                may_call_internal: false,
                args_json: "[{}]",
                allows_commit_ts: false,
                journal: None,
            });
            // Right above four fifths of the limit, and right at them.
            for (millis, warns) in [(801, true), (800, false)] {
                execution.log_lines.clear();
                execution.user_time = Duration::from_millis(millis);
                execution.add_warnings();
                let line = execution.log_lines.first();
                let text = line.map(|line| line.messages.join(" "));
                let expected = "Function execution took a long time. (maximum duration: 1s, actual duration: 801ms).";
                assert_eq!(text.as_deref(), warns.then_some(expected));
            }
            match result {
                Ok(_) => String::new(),
                Err(CallError::Function(error)) => error.message,
                Err(CallError::System(error)) => panic!("{error}"),
            }
        }
    };
    let young = deployment.on_worker(run(Duration::from_secs(1))).await;
    assert_eq!(young.unwrap(), "");
    let old = deployment.on_worker(run(Duration::from_secs(17))).await;
    assert_eq!(
        old.unwrap(),
        "Your request timed out performing too many system operations."
    );
    deployment.shutdown().await;
}
