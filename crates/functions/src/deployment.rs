//! A deployment: everything that belongs together under one name and secret.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hull_engine::{
    Ceilings, CommitError, Engine, EngineConfig, EngineError, HistoryLimits, Transaction, Upkeep,
    document, system,
};
use hull_store::Store;
use hull_sync::UdfPath;
use hull_value::{CodedError, Timestamp, Value, json};
use tokio::sync::oneshot;

pub use crate::environment::EnvironmentChange;

use crate::actions::Actions;
use crate::call::{
    FunctionCall, FunctionError, FunctionOutcome, MutationOutcome, SessionRequest, args_array,
};
use crate::clock;
use crate::cursors::Cursors;
use crate::environment;
use crate::files::{FileStore, Files};
use crate::functions::Functions;
use crate::images::Images;
use crate::live::{
    Asker, Evaluation, Invalidations, LiveQueries, LiveQuery, LiveQueryRequest, LiveResult,
    Question, Waker,
};
use crate::logs::LogStream;
use crate::modules::UdfType;
use crate::mutations::Once;
use crate::push::staged;
use crate::runner::{QuestionWorkers, Runner, canonical_urls_row};
use crate::scheduler::Scheduler;
use crate::sources::Sources;
use crate::workers::Workers;

/// How a deployment is set up.
#[derive(Clone, Debug)]
pub struct DeploymentConfig {
    pub name: String,
    /// Secret that pagination cursors are encrypted and upload URLs are signed with.
    pub cursor_secret: [u8; 32],
    /// Where clients reach the API, for instance `http://127.0.0.1:3210`.
    pub cloud_origin: String,
    /// Where HTTP actions are served.
    pub site_origin: String,
    /// Threads that run queries and mutations.
    pub workers: usize,
    /// Whether clients see neither error texts nor console lines.
    pub redact_logs_to_client: bool,
    pub limits: FunctionLimits,
    /// Where the bytes of stored files are.
    pub files: FileStore,
}

/// What one query or mutation may use, the functions it calls included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionLimits {
    pub transaction: Ceilings,
    /// Time it may compute, host calls excluded.
    pub user_time: Duration,
    /// Actions that run at the same time; further ones wait.
    pub actions: usize,
}

impl Default for FunctionLimits {
    /// The limits of function runtime spec 4.
    fn default() -> FunctionLimits {
        FunctionLimits {
            transaction: Ceilings::default(),
            user_time: Duration::from_secs(1),
            actions: 256,
        }
    }
}

/// See the [crate documentation](crate).
pub struct Deployment {
    runner: Arc<Runner>,
    live: Arc<LiveQueries>,
    functions: Arc<Functions>,
    scheduler: Arc<Scheduler>,
    metadata_changed: Arc<tokio::sync::Notify>,
    upkeep: Arc<Upkeeper>,
    upkeep_thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the JavaScript engine could not be started: {0}")]
    JavaScript(String),
    #[error("worker threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
}

/// Which of the two public addresses of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalUrlKind {
    Cloud,
    Site,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalUrls {
    pub cloud: String,
    pub site: String,
}

/// Background work of the engine and the return of unused memory.
pub(crate) struct Upkeeper {
    pub(crate) progress: Upkeep,
    wanted: Mutex<bool>,
    changed: Condvar,
    is_closed: AtomicBool,
}

/// How often the upkeep thread looks around without being asked to.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// While calls wait for a thread, background work rests after each step for as
/// long as the step took, and for this long at most: it takes half of a core.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Isolates idle for so long give their memory back.
const ISOLATE_IDLE: Duration = Duration::from_secs(30);

impl Deployment {
    /// Opens the deployment kept in `store` and starts its threads.
    pub fn open(
        config: DeploymentConfig,
        store: Arc<dyn Store>,
    ) -> Result<Arc<Deployment>, OpenError> {
        let live = LiveQueries::new();
        let metadata_changed = Arc::new(tokio::sync::Notify::new());
        let jobs_changed = Arc::new(tokio::sync::Notify::new());
        let engine = Arc::new(Engine::open(
            store,
            EngineConfig {
                listener: Arc::new(Invalidations {
                    live: Arc::downgrade(&live),
                    metadata_changed: metadata_changed.clone(),
                    jobs_changed: jobs_changed.clone(),
                }),
                now: clock::now(),
                seed: clock::random_seed(),
                history: HistoryLimits::default(),
                ceilings: config.limits.transaction,
            },
        )?);
        let js = hull_js::Engine::new(hull_js::EngineConfig::default())
            .map_err(|error| OpenError::JavaScript(error.to_string()))?;
        let sources = Arc::new(Sources::new(engine.clone()));
        let config = Arc::new(config);
        let runner = Arc::new(Runner {
            cursors: Cursors::new(&config.cursor_secret),
            files: Files::new(config.files.clone(), &config.cursor_secret),
            engine: engine.clone(),
            modules: Default::default(),
            images: Images::new(js, sources),
            logs: Arc::default(),
            workers: Arc::new(Workers::start("hull-worker", config.workers.max(1))?),
            lane: Default::default(),
            config,
        });
        live.connect(engine, Arc::new(QuestionWorkers(runner.clone())));
        let upkeep = Arc::new(Upkeeper {
            progress: Upkeep::default(),
            wanted: Mutex::new(true),
            changed: Condvar::new(),
            is_closed: AtomicBool::new(false),
        });
        let upkeep_thread = std::thread::Builder::new()
            .name("hull-upkeep".to_owned())
            .spawn({
                let (runner, upkeep) = (runner.clone(), upkeep.clone());
                let live = live.clone();
                move || upkeep.work(&runner, &live)
            })?;
        let actions = Actions::start(runner.config.workers.max(1), runner.config.limits.actions)?;
        let functions = Arc::new(Functions {
            runner: runner.clone(),
            live: live.clone(),
            actions,
        });
        let scheduler = Arc::new(Scheduler::start(&functions, jobs_changed)?);
        Ok(Arc::new(Deployment {
            runner,
            live,
            functions,
            scheduler,
            metadata_changed,
            upkeep,
            upkeep_thread: Mutex::new(Some(upkeep_thread)),
        }))
    }

    pub fn name(&self) -> &str {
        &self.runner.config.name
    }

    pub fn config(&self) -> &DeploymentConfig {
        &self.runner.config
    }

    /// The newest timestamp that is durable and visible.
    pub fn latest_ts(&self) -> Timestamp {
        self.runner.engine.latest()
    }

    pub fn logs(&self) -> &LogStream {
        &self.runner.logs
    }

    /// Runs a query at the newest timestamp, or hands out the result somebody else's run gave.
    pub async fn query(&self, call: FunctionCall) -> Result<FunctionOutcome, CodedError> {
        check_system_access(&call, "query")?;
        self.functions.query(call).await
    }

    /// Runs a query at a timestamp of the last seconds.
    pub async fn query_at(
        &self,
        call: FunctionCall,
        ts: Timestamp,
    ) -> Result<FunctionOutcome, CodedError> {
        check_system_access(&call, "query")?;
        let runner = self.runner.clone();
        let (question, asker) = question(call);
        let run = self
            .on_worker(move || runner.run_question(&question, &asker, ts))
            .await??;
        let LiveResult {
            result,
            log_lines,
            journal,
            ..
        } = run.result;
        Ok(FunctionOutcome {
            result,
            log_lines,
            journal,
            ts,
        })
    }

    /// Runs a mutation; with `dedupe` at most once however often it is sent.
    /// An error is the system's; the function's own failure is an outcome.
    pub async fn mutation(
        &self,
        call: FunctionCall,
        dedupe: Option<SessionRequest>,
    ) -> Result<MutationOutcome, CodedError> {
        check_system_access(&call, "mutation")?;
        self.functions
            .mutation(call, dedupe.map(Once::Session))
            .await
    }

    /// Runs an action to its end, also when the caller goes away.
    pub async fn action(&self, call: FunctionCall) -> Result<FunctionOutcome, CodedError> {
        check_system_access(&call, "action")?;
        let functions = self.functions.clone();
        let action = tokio::spawn(async move { functions.action(call).await });
        action.await.unwrap_or_else(|error| {
            Err(CodedError::internal(format!(
                "an action ended early: {error}"
            )))
        })
    }

    /// Runs a function of any type, as tools do.
    pub async fn function(&self, call: FunctionCall) -> Result<FunctionOutcome, CodedError> {
        let runner = self.runner.clone();
        let asked = call.clone();
        let udf_type = self.on_worker(move || find_type(&runner, &asked)).await??;
        match udf_type {
            Some(UdfType::Query) => self.query(call).await,
            Some(UdfType::Mutation) => {
                let outcome = self.mutation(call, None).await?;
                Ok(FunctionOutcome {
                    result: outcome.result,
                    log_lines: outcome.log_lines,
                    journal: None,
                    ts: outcome.ts,
                })
            }
            Some(UdfType::Action | UdfType::HttpAction) => self.action(call).await,
            None => Ok(FunctionOutcome {
                result: Err(FunctionError {
                    message: format!(
                        "Could not find function for '{}'. Did you forget to run `npx convex dev`?",
                        shortest(&call.path)
                    ),
                    data: None,
                }),
                log_lines: Vec::new(),
                journal: None,
                ts: self.latest_ts(),
            }),
        }
    }

    /// Subscribes to a query. `waker` is called whenever the answer may have changed;
    /// the answers themselves come from [`evaluate`](Self::evaluate).
    pub fn subscribe(&self, request: LiveQueryRequest, waker: Waker) -> LiveQuery {
        let question = Question {
            component_path: request.component_path.unwrap_or_default(),
            path: canonical(&request.path),
            args_json: canonical_args(&request.args_json),
            journal: request.journal,
            may_call_internal: request.identity.is_admin(),
        };
        self.live.subscribe(question, request.identity, waker)
    }

    /// Answers subscribed queries, all as of one timestamp that is at least `at_least`.
    pub async fn evaluate(
        &self,
        queries: &[&LiveQuery],
        at_least: Timestamp,
    ) -> Result<Evaluation, CodedError> {
        self.live.evaluate(queries, at_least).await
    }

    /// Changes environment variables, all or none.
    pub async fn update_environment_variables(
        &self,
        changes: Vec<EnvironmentChange>,
    ) -> Result<(), CodedError> {
        self.transact(move |_, transaction| {
            environment::apply(transaction, &changes, clock::now_ms())
        })
        .await
    }

    /// The addresses clients should use, overrides included.
    pub async fn canonical_urls(&self) -> Result<CanonicalUrls, CodedError> {
        self.transact(|runner, transaction| {
            let variables = runner.built_in_variables(transaction)?;
            Ok(CanonicalUrls {
                cloud: variables.cloud_url,
                site: variables.site_url,
            })
        })
        .await
    }

    /// Overrides one of the addresses; `None` returns to the configured one.
    pub async fn set_canonical_url(
        &self,
        kind: CanonicalUrlKind,
        url: Option<String>,
    ) -> Result<(), CodedError> {
        self.transact(move |_, transaction| {
            let id = canonical_urls_row();
            let row = transaction.system_row(system::DEPLOYMENT_STATE, id)?;
            let stored = |field: &str| {
                row.as_ref()
                    .and_then(|row| document::text(row.as_ref(), field).map(str::to_owned))
            };
            let (mut cloud, mut site) = (stored("cloud"), stored("site"));
            match kind {
                CanonicalUrlKind::Cloud => cloud.clone_from(&url),
                CanonicalUrlKind::Site => site.clone_from(&url),
            }
            let text = |text: Option<String>| text.map_or(Value::Null, Value::String);
            let row = document::row([("cloud", text(cloud)), ("site", text(site))]);
            transaction.put_system_row(system::DEPLOYMENT_STATE, id, Some(row))
        })
        .await
    }

    /// Figures for `/metrics`.
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        let runner = &self.runner;
        vec![
            ("hull_queued_jobs", runner.workers.queued() as f64),
            ("hull_live_queries", self.live.nodes_count() as f64),
            ("hull_live_query_bytes", self.live.watched_bytes() as f64),
            ("hull_query_cache_bytes", self.live.cached_bytes() as f64),
            (
                "hull_subscriptions",
                runner.engine.subscriptions_count() as f64,
            ),
            (
                "hull_commit_window_bytes",
                runner.engine.window_size_bytes() as f64,
            ),
            ("hull_isolate_bytes", runner.images.bytes() as f64),
        ]
    }

    /// Finishes what runs, writes out what is queued, stops all threads.
    pub async fn shutdown(&self) {
        let (runner, upkeep) = (self.runner.clone(), self.upkeep.clone());
        let (functions, scheduler) = (self.functions.clone(), self.scheduler.clone());
        let thread = self
            .upkeep_thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let stopped = tokio::task::spawn_blocking(move || {
            scheduler.close();
            functions.actions.close();
            runner.workers.close();
            upkeep.close();
            if let Some(thread) = thread
                && thread.join().is_err()
            {
                tracing::error!("the upkeep thread ended by a panic");
            }
            runner.engine.close();
        });
        if stopped.await.is_err() {
            tracing::error!("shutting down failed");
        }
    }

    pub(crate) fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    pub(crate) fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    /// Told when tables, indexes or schemas have changed.
    pub(crate) fn metadata_changed(&self) -> &tokio::sync::Notify {
        &self.metadata_changed
    }

    pub(crate) fn upkeep(&self) -> &Arc<Upkeeper> {
        &self.upkeep
    }

    /// Runs work on a worker thread.
    pub(crate) async fn on_worker<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, CodedError> {
        self.functions.on_worker(work).await
    }

    /// Runs a transaction until it commits, and waits until it is durable.
    pub(crate) async fn transact<R: Send + 'static>(
        &self,
        body: impl FnMut(&Runner, &mut Transaction) -> Result<R, CodedError> + Send + 'static,
    ) -> Result<R, CodedError> {
        /// Conflicts in a row before the caller is told to try again.
        const ATTEMPTS_MAX: usize = 32;
        let conflict = CodedError::overloaded(
            "OptimisticConcurrencyControlFailure",
            "System tables changed while they were being written; try again.",
        );
        self.transact_or(ATTEMPTS_MAX, conflict, body).await
    }

    /// Like [`transact`](Self::transact), with the error of a transaction that
    /// collided `attempts_max` times.
    pub(crate) async fn transact_or<R: Send + 'static>(
        &self,
        attempts_max: usize,
        conflict: CodedError,
        mut body: impl FnMut(&Runner, &mut Transaction) -> Result<R, CodedError> + Send + 'static,
    ) -> Result<R, CodedError> {
        let runner = self.runner.clone();
        let (sender, receiver) = oneshot::channel();
        let started = self
            .on_worker(move || {
                let mut sender = Some(sender);
                for _ in 0..attempts_max {
                    let mut transaction = runner.engine.begin(&clock::begin_context())?;
                    let result = body(&runner, &mut transaction)?;
                    let Some(taken) = sender.take() else { break };
                    let slot = Arc::new(Mutex::new(Some(taken)));
                    let on_commit = slot.clone();
                    let done = Box::new(move |outcome| {
                        if let Some(sender) = on_commit
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .take()
                        {
                            // The caller may have gone away meanwhile.
                            let _ = sender.send(outcome);
                        }
                    });
                    match runner.engine.commit(transaction, clock::now(), None, done) {
                        Ok(_) => return Ok(result),
                        Err(CommitError::Conflict(_) | CommitError::Protected(_)) => {
                            sender = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                        }
                        Err(CommitError::Overloaded(error) | CommitError::NotStored(error)) => {
                            return Err(error);
                        }
                        Err(CommitError::Failed) => {
                            return Err(CodedError::internal("the store failed"));
                        }
                    }
                }
                Err(conflict)
            })
            .await?;
        let result = started?;
        receiver
            .await
            .map_err(|_| CodedError::internal("the store failed"))??;
        Ok(result)
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.upkeep.close();
    }
}

impl Upkeeper {
    /// Asks for a look around: tables, indexes or schemas changed.
    pub(crate) fn wake(&self) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn work(&self, runner: &Runner, live: &LiveQueries) {
        while !self.is_closed.load(Ordering::Relaxed) {
            let started = Instant::now();
            // A panic (a corrupt row, say) ends the step, not the thread.
            let step: std::thread::Result<Result<bool, CodedError>> =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let context = clock::begin_context();
                    Ok(runner.engine.upkeep(&self.progress, &context)?
                        || staged::expire(&runner.engine, &context)?
                        || runner.files.collect(&runner.engine)?)
                }));
            match step {
                Ok(Ok(true)) => {
                    if runner.workers.queued() > 0 {
                        std::thread::sleep(started.elapsed().min(PAUSE_MAX));
                    }
                    continue;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!("background work will be tried again: {error}"),
                Err(_) => tracing::error!("background work panicked and will be tried again"),
            }
            runner.engine.trim(clock::now());
            runner.images.js().release_idle(ISOLATE_IDLE);
            live.give_memory_back();
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut wanted, _) = self
                .changed
                .wait_timeout_while(wanted, UPKEEP_INTERVAL, |wanted| !*wanted)
                .unwrap_or_else(PoisonError::into_inner);
            *wanted = false;
        }
    }
}

fn check_system_access(call: &FunctionCall, operation: &str) -> Result<(), CodedError> {
    let is_system = call.path.starts_with("_system/");
    if is_system && !call.identity.is_admin() {
        return Err(CodedError::forbidden(
            "SystemIdentityRequired",
            format!("Operation {operation} not permitted"),
        ));
    }
    Ok(())
}

pub(crate) fn question(call: FunctionCall) -> (Question, Asker) {
    let may_call_internal = call.may_call_internal();
    let question = Question {
        component_path: call.component_path.unwrap_or_default(),
        path: canonical(&call.path),
        args_json: canonical_args(&call.args_json),
        journal: call.journal,
        may_call_internal,
    };
    let asker = Asker {
        identity: call.identity,
        caller: call.caller,
        request_id: call.request_id,
    };
    (question, asker)
}

fn canonical(path: &str) -> String {
    path.parse::<UdfPath>()
        .map_or_else(|_| path.to_owned(), |path| path.canonical())
}

fn shortest(path: &str) -> String {
    path.parse::<UdfPath>()
        .map_or_else(|_| path.to_owned(), |path| path.shortest())
}

/// Arguments in canonical form, so that the same question is asked once; as they are if they are no values.
fn canonical_args(args_json: &str) -> String {
    let array = args_array(args_json);
    match json::pack_encoded(&array, json::CommitTsPolicy::Reject) {
        Ok(args) => json::to_string(args.as_ref()),
        Err(_) => array,
    }
}

/// Finds what kind of function a path names, as far as the caller may know.
pub(crate) fn find_type(
    runner: &Runner,
    call: &FunctionCall,
) -> Result<Option<UdfType>, CodedError> {
    let Ok(path) = call.path.parse::<UdfPath>() else {
        return Ok(None);
    };
    if path.is_system() {
        return Ok(Some(crate::system_functions::udf_type(&path)));
    }
    let mut transaction = runner.engine.begin(&clock::begin_context())?;
    let component_path = call.component_path.clone().unwrap_or_default();
    let Some(component) = crate::components::find(&mut transaction, &component_path)? else {
        return Err(CodedError::bad_request(
            "ComponentPathNotFound",
            format!("Component path '{component_path}' not found"),
        ));
    };
    let module = runner
        .modules
        .load(&mut transaction, component.namespace, path.module())?;
    Ok(module.and_then(|module| {
        let function = module.function(path.function())?;
        (function.is_public || call.may_call_internal()).then_some(function.udf_type)
    }))
}

#[cfg(test)]
mod tests;
