//! Scheduled functions (function runtime spec 8.3): mutations run exactly once,
//! actions at most once.
//!
//! One thread waits for the next job and starts those that are due. A mutation
//! notes its success in its own commit. An action is noted as begun before it
//! begins; found so at a start, it has failed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use hull_engine::{CommitError, Engine, Job, JobEnd, JobStage, Namespace, NewJob, Transaction};
use hull_value::{CodedError, DocumentId, InternalId, PackedValue, Timestamp};
use tokio::sync::Notify;

use crate::call::{Caller, FunctionCall, RequestOrigin};
use crate::clock;
use crate::components::{self, Component, Target};
use crate::crons;
use crate::deployment::find_type;
use crate::functions::Functions;
use crate::identity::Identity;
use crate::logs::LogLine;
use crate::modules::{ModuleCache, UdfType};
use crate::mutations::Once;

/// Jobs that run at a time.
const JOBS_MAX: usize = 8;
/// Jobs that are looked at in one go.
const PAGE_JOBS: usize = 64;
/// The longest wait; a clock that is set does not go unnoticed for longer.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The first wait after an error of the system, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2 * 3_600));
/// How far from now a function may be scheduled.
const DELAY_MAX_MS: f64 = 5.0 * 366.0 * 24.0 * 3_600_000.0;

/// Runs what is due, on a thread of its own.
pub(crate) struct Scheduler {
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    /// Told when jobs changed, ended, or there are to be no more.
    changed: Arc<Notify>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    jobs: HashSet<InternalId>,
    is_closed: bool,
}

impl Scheduler {
    /// `changed` is told when jobs change.
    pub(crate) fn start(
        functions: &Arc<Functions>,
        changed: Arc<Notify>,
    ) -> std::io::Result<Scheduler> {
        let state = Arc::new(State {
            changed,
            running: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("hull-scheduler".to_owned())
            .spawn({
                let (state, functions) = (state.clone(), Arc::downgrade(functions));
                move || runtime.block_on(work(&state, &functions))
            })?;
        Ok(Scheduler {
            state,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Starts no more jobs; those that run get to their end elsewhere or begin again.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.state.changed.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the scheduler ended by a panic");
        }
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work(state: &Arc<State>, functions: &Weak<Functions>) {
    if let Some(functions) = functions.upgrade() {
        fail_interrupted(&functions);
    }
    loop {
        let changed = state.changed.notified();
        if state.lock().is_closed {
            return;
        }
        let Some(functions) = functions.upgrade() else {
            return;
        };
        let wait = match start_due(state, &functions) {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!("scheduled functions will be looked at again: {error}");
                BACKOFF.0
            }
        };
        drop(functions);
        // Late or told: either way it looks again.
        let _ = tokio::time::timeout(wait.min(WAIT_MAX), changed).await;
    }
}

/// Starts jobs as far as there are places; returns how long nothing is due.
fn start_due(state: &Arc<State>, functions: &Arc<Functions>) -> Result<Duration, CodedError> {
    let engine = &functions.runner.engine;
    let mut transaction = engine.begin(&clock::begin_context())?;
    let now = clock::now();
    let due = transaction.due_jobs(now, PAGE_JOBS)?;
    let next = transaction.next_job_due()?;
    drop(transaction);
    for job in due {
        {
            let mut running = state.lock();
            if running.jobs.len() >= JOBS_MAX {
                // The end of one tells.
                return Ok(WAIT_MAX);
            }
            if !running.jobs.insert(job.id) {
                continue;
            }
        }
        let ends = Ends {
            state: state.clone(),
            id: job.id,
        };
        let functions = functions.clone();
        tokio::spawn(async move {
            let _ends = ends;
            run(&functions, &job).await;
        });
    }
    Ok(match next {
        // It runs, or its place is being waited for.
        Some(next) if next <= now => WAIT_MAX,
        Some(next) => Duration::from_nanos(next.0 - now.0),
        None => WAIT_MAX,
    })
}

/// Gives a job's place back.
struct Ends {
    state: Arc<State>,
    id: InternalId,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.state.lock().jobs.remove(&self.id);
        self.state.changed.notify_one();
    }
}

/// Runs one job; whatever goes wrong with the system lets it wait.
async fn run(functions: &Arc<Functions>, job: &Job) {
    let outcome = match job.stage {
        JobStage::Done => transact(functions, job, |transaction, job| {
            transaction.forget_job(job)
        })
        .await
        .map(drop),
        _ => run_function(functions, job).await,
    };
    let Err(error) = outcome else { return };
    let factor = 2_u32.saturating_pow(job.system_errors.min(20));
    let wait = BACKOFF.0.saturating_mul(factor).min(BACKOFF.1);
    tracing::warn!(function = %job.path, "a scheduled function is tried again in {wait:?}: {error}");
    let due = Timestamp(clock::now().0.saturating_add(wait.as_nanos() as u64));
    let postponed = transact(functions, job, move |transaction, job| {
        transaction.postpone_job(job, due)
    });
    if let Err(error) = postponed.await {
        tracing::error!("a scheduled function could not be postponed: {error}");
        // Not at once again.
        tokio::time::sleep(BACKOFF.0).await;
    }
}

async fn run_function(functions: &Arc<Functions>, job: &Job) -> Result<(), CodedError> {
    let (runner, target) = (functions.runner.clone(), job.target);
    let component = functions
        .on_worker(move || find_component(&runner, target))
        .await??;
    let call = FunctionCall {
        path: job.path.clone(),
        component_path: component
            .as_ref()
            .filter(|component| !component.is_root())
            .map(|component| component.path.clone()),
        args_json: job.args_json.clone(),
        identity: Identity::Anonymous,
        caller: match job.cron {
            Some(_) => Caller::Cron,
            None => Caller::Scheduler,
        },
        request_id: clock::random_request_id(),
        journal: None,
        origin: Arc::new(RequestOrigin {
            // Runs of cron jobs have no id that anybody knows.
            scheduled_function: job.cron.is_none().then(|| {
                let table = hull_engine::system::SCHEDULED_FUNCTIONS_TABLE;
                DocumentId::new(table, job.id).to_string()
            }),
            ..RequestOrigin::default()
        }),
    };
    let (runner, asked) = (functions.runner.clone(), call.clone());
    let udf_type = match component {
        Some(_) => {
            let find = functions.on_worker(move || find_type(&runner, &asked));
            find.await??
        }
        None => None,
    };
    let (end, result, log_lines) = match udf_type {
        Some(UdfType::Mutation) => {
            let outcome = functions.mutation(call, Some(Once::Job(job.id))).await?;
            match outcome.result {
                // Noted in its own commit.
                Ok(_) => return Ok(()),
                Err(error) => (JobEnd::Failed(error.message), None, outcome.log_lines),
            }
        }
        Some(UdfType::Action) => {
            let begun = transact(functions, job, |transaction, job| {
                transaction.begin_job(job)
            });
            if !begun.await? {
                return Ok(());
            }
            match functions.action(call).await {
                Ok(outcome) => match outcome.result {
                    Ok(value) => (JobEnd::Success, Some(value), outcome.log_lines),
                    Err(error) => (JobEnd::Failed(error.message), None, outcome.log_lines),
                },
                // It may have done something: it is not tried again.
                Err(error) => (JobEnd::Failed(error.message), None, Vec::new()),
            }
        }
        other => {
            let error = match other {
                Some(_) => {
                    "Unsupported function type. Only mutations and actions can be scheduled."
                        .to_owned()
                }
                None => format!(
                    "Could not find function for '{}'. Did you forget to run `npx convex dev`?",
                    job.path
                ),
            };
            (JobEnd::Failed(error), None, Vec::new())
        }
    };
    let ended = transact(functions, job, move |transaction, job| {
        finish(transaction, job, &end, result.as_ref(), &log_lines)
    });
    ended.await.map(drop)
}

fn find_component(
    runner: &crate::runner::Runner,
    namespace: Namespace,
) -> Result<Option<Component>, CodedError> {
    let mut transaction = runner.engine.begin(&clock::begin_context())?;
    components::find_by_namespace(&mut transaction, namespace)
}

/// Notes how a job ended: a cron job has a next run then.
pub(crate) fn finish(
    transaction: &mut Transaction,
    job: &Job,
    end: &JobEnd,
    result: Option<&PackedValue>,
    log_lines: &[LogLine],
) -> Result<(), CodedError> {
    match &job.cron {
        Some(name) => crons::finish(transaction, job, name, end, result, log_lines),
        None => transaction.end_job(job, end, clock::now()),
    }
}

/// Changes a job unless somebody else has ended it; tells whether it did.
async fn transact(
    functions: &Arc<Functions>,
    job: &Job,
    change: impl Fn(&mut Transaction, &Job) -> Result<(), CodedError> + Send + 'static,
) -> Result<bool, CodedError> {
    let (engine, id, stage) = (functions.runner.engine.clone(), job.id, job.stage);
    let changed = functions.on_worker(move || {
        commit(&engine, |transaction| {
            let known = transaction.job(id)?;
            // Ended meanwhile: canceled, for instance.
            let known =
                known.filter(|known| stage == JobStage::Done || known.stage != JobStage::Done);
            match known {
                Some(known) => change(transaction, &known).map(|()| true),
                None => Ok(false),
            }
        })
    });
    changed.await?
}

/// Runs a small transaction until it commits.
pub(crate) fn commit<R>(
    engine: &Engine,
    mut body: impl FnMut(&mut Transaction) -> Result<R, CodedError>,
) -> Result<R, CodedError> {
    loop {
        let mut transaction = engine.begin(&clock::begin_context())?;
        let result = body(&mut transaction)?;
        match engine.commit_and_wait(transaction, clock::now()) {
            Ok(_) => return Ok(result),
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Overloaded(error) | CommitError::NotStored(error)) => {
                return Err(error);
            }
            Err(error) => return Err(CodedError::internal(error.to_string())),
        }
    }
}

/// What ran when the process ended has failed.
fn fail_interrupted(functions: &Functions) {
    let engine = &functions.runner.engine;
    let failed = commit(engine, |transaction| {
        let jobs = transaction.interrupted_jobs(PAGE_JOBS)?;
        let end = JobEnd::Failed("Transient error while executing action".to_owned());
        for job in &jobs {
            finish(transaction, job, &end, None, &[])?;
        }
        Ok(jobs.len())
    });
    match failed {
        Ok(PAGE_JOBS) => fail_interrupted(functions),
        Ok(_) => {}
        Err(error) => tracing::error!("interrupted actions could not be noted as failed: {error}"),
    }
}

/// What a function asks to have run later.
pub(crate) struct ScheduleRequest<'a> {
    pub(crate) target: &'a Target,
    /// Of the component that schedules.
    pub(crate) namespace: Namespace,
    /// Seconds since the epoch.
    pub(crate) ts: f64,
    pub(crate) args_json: &'a str,
}

/// Schedules a function; its arguments are looked at only when it runs.
pub(crate) fn schedule(
    transaction: &mut Transaction,
    modules: &ModuleCache,
    request: &ScheduleRequest<'_>,
) -> Result<DocumentId, CodedError> {
    let now_ms = clock::now_ms();
    let scheduled_ms = request.ts * 1_000.0;
    if !scheduled_ms.is_finite() || (scheduled_ms - now_ms).abs() > DELAY_MAX_MS {
        return Err(CodedError::bad_request(
            "InvalidScheduledFunctionDelay",
            "A function can be scheduled at most 5 years from now, or in the past.",
        ));
    }
    let Target { component, path } = request.target;
    let invalid = |message: String| CodedError::bad_request("InvalidScheduledFunction", message);
    let module = modules.load(transaction, component.namespace, path.module())?;
    let Some(module) = module else {
        return Err(invalid(format!(
            "Attempted to schedule function at nonexistent path: {}",
            path.module()
        )));
    };
    if module.function(path.function()).is_none() {
        return Err(invalid(format!(
            "Attempted to schedule function, but no exported function {} found in the file: {}. Did you forget to export it?",
            path.function(),
            path.module()
        )));
    }
    let args: PackedValue =
        hull_value::json::pack_encoded(request.args_json, hull_value::json::CommitTsPolicy::Reject)
            .map_err(|error| {
                invalid(format!(
                    "Invalid arguments for {}: {error}",
                    path.canonical()
                ))
            })?;
    transaction
        .usage_mut()
        .charge_scheduled(args.as_ref().size())?;
    let due = Timestamp((scheduled_ms.max(now_ms) * 1e6) as u64);
    transaction.schedule(&NewJob {
        namespace: request.namespace,
        target: component.namespace,
        path: path.canonical(),
        args,
        scheduled_ms: scheduled_ms.round(),
        due,
    })
}

/// Cancels a scheduled function of a component; one that has ended stays as it is.
pub(crate) fn cancel(
    transaction: &mut Transaction,
    namespace: Namespace,
    id: &str,
) -> Result<(), CodedError> {
    let id = DocumentId::parse(id)
        .ok()
        .filter(|id| id.table == hull_engine::system::SCHEDULED_FUNCTIONS_TABLE);
    let Some(id) = id else {
        return Err(CodedError::bad_request(
            "InvalidArgument",
            "Invalid scheduled function ID. The ID must be an ID on the '_scheduled_functions' table.",
        ));
    };
    match transaction.job(id.internal)? {
        Some(job) if job.stage != JobStage::Done && job.namespace == namespace => {
            transaction.end_job(&job, &JobEnd::Canceled, clock::now())
        }
        _ => Ok(()),
    }
}
