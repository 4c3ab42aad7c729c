//! Queries through a deployment in this process: everything but the network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use hull_functions::{
    Caller, Deployment, DeploymentConfig, FunctionCall, FunctionLimits, Identity, random_request_id,
};
use hull_store_sqlite::{SqliteOptions, SqliteStore};
use hull_value::{PackedValue, ValueRef};
use tempfile::TempDir;

use crate::app::{App, Apps};
use crate::histogram::Histogram;
use crate::push;
use crate::report::Report;

const WARM_UP_CALLS: usize = 500;
const CALLS_MAX: usize = 20_000;
const TIME_MAX: Duration = Duration::from_secs(4);
const DOCUMENTS: usize = 100;

/// A deployment on a store in a temporary folder.
pub(crate) struct LocalDeployment {
    pub(crate) deployment: Arc<Deployment>,
    _folder: TempDir,
}

impl LocalDeployment {
    pub(crate) async fn open(app: &App) -> Result<LocalDeployment> {
        let folder = TempDir::new()?;
        let store = SqliteStore::open(
            &folder.path().join("hull.sqlite3"),
            SqliteOptions::default(),
        )
        .map_err(|error| anyhow!("{error}"))?;
        let config = DeploymentConfig {
            name: "bench".to_owned(),
            cursor_secret: [7; 32],
            cloud_origin: "http://127.0.0.1:3210".to_owned(),
            site_origin: "http://127.0.0.1:3211".to_owned(),
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            redact_logs_to_client: false,
            limits: FunctionLimits::default(),
            files: hull_functions::files::FileStore::in_memory(),
        };
        let deployment = Deployment::open(config, Arc::new(store))?;
        push::push(&deployment, push::whole_app(app)).await?;
        Ok(LocalDeployment {
            deployment,
            _folder: folder,
        })
    }
}

pub(crate) fn run(report: &mut Report, apps: &Apps) -> Result<()> {
    if !report.wants_any(&["noop", "documents", "zod"]) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let local = LocalDeployment::open(&apps.main).await?;
        let deployment = &*local.deployment;
        if report.wants("noop") {
            let mut latencies = measure(deployment, "items:noop", "", is_null).await?;
            report_queries(report, "noop", &mut latencies);
        }
        if report.wants("documents") {
            let args = format!("{{\"group\":1,\"count\":{DOCUMENTS}}}");
            let outcome = deployment.mutation(call("items:seed", args), None).await?;
            value(outcome.result)?;
            let is_page = |value: ValueRef<'_>| matches!(value, ValueRef::Array(documents) if documents.len() == DOCUMENTS);
            let mut latencies = measure(deployment, "items:list", "\"group\":1,", is_page).await?;
            report_queries(report, "documents", &mut latencies);
        }
        if report.wants("zod") {
            let mut latencies = measure(deployment, "zodapp:noop", "", is_null).await?;
            report_queries(report, "zod", &mut latencies);
        }
        deployment.shutdown().await;
        Ok(())
    })
}

fn report_queries(report: &mut Report, name: &'static str, latencies: &mut Histogram) {
    let p50 = latencies.percentile_us(0.5);
    let detail = format!(
        "p99 {:.0} µs, {} calls",
        latencies.percentile_us(0.99),
        latencies.count()
    );
    report.add(name, p50, detail);
}

/// Asks one after the other; the argument `salt` makes every question new, so none is answered from the cache.
async fn measure(
    deployment: &Deployment,
    path: &str,
    args: &str,
    is_right: impl Fn(ValueRef<'_>) -> bool,
) -> Result<Histogram> {
    let mut latencies = Histogram::default();
    let mut end = None;
    for salt in 0..WARM_UP_CALLS + CALLS_MAX {
        let call = call(path, format!("{{{args}\"salt\":{salt}}}"));
        let start = Instant::now();
        let outcome = deployment.query(call).await?;
        let taken = start.elapsed();
        let value = value(outcome.result)?;
        ensure!(is_right(value.as_ref()), "{path} returned something else");
        if salt < WARM_UP_CALLS {
            continue;
        }
        latencies.add(taken);
        if start > *end.get_or_insert(start + TIME_MAX) {
            break;
        }
    }
    Ok(latencies)
}

fn is_null(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Null)
}

fn value(result: hull_functions::FunctionResult) -> Result<PackedValue> {
    result
        .map_err(|error| anyhow!(error.message))
        .context("a function failed")
}

fn call(path: &str, args_json: String) -> FunctionCall {
    FunctionCall {
        path: path.to_owned(),
        component_path: None,
        args_json,
        identity: Identity::Anonymous,
        caller: Caller::HttpApi,
        request_id: random_request_id(),
        journal: None,
        origin: Default::default(),
    }
}
