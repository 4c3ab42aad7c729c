use std::sync::Arc;
use std::time::Duration;

use hull_functions::{
    AdminIdentity, Caller, Deployment, DeploymentConfig, FunctionCall, FunctionLimits, Identity,
    LiveQuery, LiveQueryRequest, LogLine, UserIdentity, Waker,
};
use hull_store::memory::MemoryStore;
use hull_value::json as value_json;
use serde_json::{Value as Json, json};

/// What module sources can use: functions without the npm package.
const PRELUDE: &str = r#"
const call = async (name, args) => JSON.parse(await Convex.asyncSyscall(name, JSON.stringify(args)));
const sync = (name, args) => JSON.parse(Convex.syscall(name, JSON.stringify(args)));
const define = (kind, handler) => Object.assign(() => {}, {
    [`is${kind}`]: true, isPublic: true, _handler: handler,
    exportArgs: () => '{"type":"any"}', exportReturns: () => '{"type":"any"}',
    [`invoke${kind}`]: async (args) => JSON.stringify((await handler(...JSON.parse(args))) ?? null),
});
const query = (handler) => define("Query", handler);
const mutation = (handler) => define("Mutation", handler);
const insert = (table, value) => call("1.0/insert", { table, value });
const collect = async (query) => {
    const { queryId } = sync("1.0/queryStream", { query });
    const rows = [];
    for (;;) {
        const { value, done } = await call("1.0/queryStreamNext", { queryId });
        if (done) return rows;
        rows.push(value);
    }
};
const all = (table) => ({ source: { type: "FullTableScan", tableName: table, order: null }, operators: [] });
"#;

/// A deployment with one module, `m`.
pub(crate) struct App {
    pub(crate) deployment: Arc<Deployment>,
}

/// How a call ended, and the lines its client is shown.
pub(crate) struct Outcome {
    pub(crate) result: Result<Json, String>,
    pub(crate) lines: Vec<LogLine>,
}

impl App {
    pub(crate) async fn new(source: &str) -> App {
        App::with_limits(source, FunctionLimits::default()).await
    }

    pub(crate) async fn with_limits(source: &str, limits: FunctionLimits) -> App {
        let config = DeploymentConfig {
            name: "toy".to_owned(),
            cursor_secret: [9; 32],
            cloud_origin: "http://127.0.0.1:3210".to_owned(),
            site_origin: "http://127.0.0.1:3211".to_owned(),
            workers: 3,
            redact_logs_to_client: false,
            limits,
            files: hull_functions::files::FileStore::in_memory(),
        };
        let deployment = Deployment::open(config, Arc::new(MemoryStore::new())).unwrap();
        let app = App { deployment };
        app.push(source).await;
        app
    }

    pub(crate) async fn push(&self, source: &str) {
        let module = json!({
            "path": "m.js",
            "source": format!("{PRELUDE}{source}"),
            "sourceMap": null,
            "environment": "isolate",
        });
        let request = json!({
            "dryRun": false,
            "forCodegen": false,
            "functions": "convex/",
            "appDefinition": {
                "definition": null,
                "dependencies": [],
                "schema": null,
                "changedModules": [module],
                "unchangedModuleHashes": [],
                "udfServerVersion": "1.48.0",
            },
            "componentDefinitions": [],
            "nodeDependencies": [],
        });
        let started = self.deployment.start_push(request).await.unwrap();
        let change = started["schemaChange"].clone();
        let waited = self
            .deployment
            .wait_for_schema(change, Duration::from_secs(30), false)
            .await;
        assert_eq!(waited.unwrap(), json!({ "type": "complete" }));
        self.deployment
            .finish_push(started, false, None)
            .await
            .unwrap();
    }

    pub(crate) async fn query(&self, function: &str, args: Json) -> Outcome {
        let outcome = self.deployment.query(function_call(function, &args)).await;
        let outcome = outcome.unwrap();
        Outcome::new(outcome.result, outcome.log_lines)
    }

    pub(crate) async fn mutation(&self, function: &str, args: Json) -> Outcome {
        let call = function_call(function, &args);
        let outcome = self.deployment.mutation(call, None).await.unwrap();
        Outcome::new(outcome.result, outcome.log_lines)
    }

    pub(crate) fn subscribe(
        &self,
        function: &str,
        args: &Json,
        identity: Identity,
        waker: Waker,
    ) -> LiveQuery {
        let request = LiveQueryRequest {
            path: format!("m:{function}"),
            component_path: None,
            args_json: args.to_string(),
            identity,
            journal: None,
        };
        self.deployment.subscribe(request, waker)
    }
}

impl Outcome {
    pub(crate) fn new(result: hull_functions::FunctionResult, lines: Vec<LogLine>) -> Outcome {
        let result = result
            .map(|value| serde_json::from_str(&value_json::to_string(value.as_ref())).unwrap())
            .map_err(|error| error.message);
        Outcome { result, lines }
    }

    /// The system's lines about limits: code and text.
    pub(crate) fn warnings(&self) -> Vec<(String, String)> {
        let lines = self.lines.iter();
        lines
            .filter_map(|line| Some((line.system_code.clone()?, line.messages.join(" "))))
            .collect()
    }
}

pub(crate) fn function_call(function: &str, args: &Json) -> FunctionCall {
    FunctionCall {
        component_path: None,
        path: format!("m:{function}"),
        args_json: args.to_string(),
        journal: None,
        identity: Identity::Admin(AdminIdentity {
            member_id: 0,
            is_read_only: false,
        }),
        caller: Caller::HttpApi,
        request_id: "0123456789abcdef".to_owned(),
        origin: Default::default(),
    }
}

pub(crate) fn user(name: &str) -> Identity {
    let attributes = [("subject".to_owned(), name.into())];
    Identity::User(UserIdentity::new(&attributes.into_iter().collect()))
}
