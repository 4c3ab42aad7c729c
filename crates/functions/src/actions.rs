//! Actions: functions that wait for the world (function runtime spec 9.2).
//!
//! Each has an isolate of its own from start to end, and holds a thread only
//! while there is something for it to do. What it asks for runs as tasks of the
//! runtime; their answers wake it.

mod calls;
mod fetch;
mod host;
mod http;
mod streams;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hull_js::{ActionCall, ActionOutcome, Activity};
use hull_sync::UdfPath;
use hull_value::CodedError;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::call::{FunctionCall, FunctionError, FunctionOutcome, args_array};
use crate::clock;
use crate::execution::{CallError, Prepared};
use crate::functions::Functions;
use crate::logs::LogLine;
use crate::modules::UdfType;
use crate::runner::{Logged, Runner, not_found};
use crate::workers::{self, Workers};

use fetch::HttpClient;
use task::Task;

pub(crate) use host::TaskHost;
pub(crate) use http::Exchange;

/// How long an action may take, waiting included (function runtime spec 4).
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Actions that may wait for a place; past this callers are told to come back later.
const QUEUE_LEN_MAX: usize = 4_096;
/// How deep actions may call actions. Those called take no place of their own:
/// waiting for one could be for ever.
const DEPTH_MAX: usize = 32;

/// Where actions run.
pub(crate) struct Actions {
    workers: Arc<Workers>,
    /// Running code looks at it, and stops.
    is_closing: Arc<AtomicBool>,
    places: Semaphore,
    queued: AtomicUsize,
    http: HttpClient,
}

impl Actions {
    pub(crate) fn start(threads: usize, places: usize) -> std::io::Result<Actions> {
        Ok(Actions {
            // Code that runs for long keeps its thread for itself.
            workers: Arc::new(Workers::elastic("hull-action", threads, places)?),
            is_closing: Arc::default(),
            places: Semaphore::new(places),
            queued: AtomicUsize::new(0),
            http: HttpClient::new().map_err(std::io::Error::other)?,
        })
    }

    /// Waits for a place to run.
    pub(crate) async fn place(&self) -> Result<SemaphorePermit<'_>, CodedError> {
        let queued = self.queued.fetch_add(1, Ordering::Relaxed);
        let place = match queued < QUEUE_LEN_MAX {
            true => Some(self.places.acquire().await),
            false => None,
        };
        self.queued.fetch_sub(1, Ordering::Relaxed);
        match place {
            Some(Ok(place)) => Ok(place),
            Some(Err(_)) => Err(workers::shutting_down()),
            None => Err(CodedError::overloaded(
                "TooManyConcurrentRequests",
                "Too many actions are waiting to run. Spread your requests out over time.",
            )),
        }
    }

    /// Ends the threads; what is under way gets no further.
    pub(crate) fn close(&self) {
        self.places.close();
        self.is_closing.store(true, Ordering::Release);
        self.workers.close();
    }
}

impl Functions {
    /// Runs an action for a client, once there is a place for it.
    pub(crate) async fn action(
        self: &Arc<Self>,
        call: FunctionCall,
    ) -> Result<FunctionOutcome, CodedError> {
        let _place = self.actions.place().await?;
        self.clone().run_action(call, 0).await
    }

    /// Runs an action to its end.
    async fn run_action(
        self: Arc<Self>,
        call: FunctionCall,
        depth: usize,
    ) -> Result<FunctionOutcome, CodedError> {
        if depth > DEPTH_MAX {
            return Ok(failure(
                FunctionError::new(
                    "Cross component call depth limit exceeded. Do you have an infinite loop in your app?",
                ),
                Vec::new(),
                &self.runner,
            ));
        }
        let started = Instant::now();
        let started_ms = clock::now_ms();
        let runner = self.runner.clone();
        let asked = call.clone();
        let prepared = self
            .on_worker(move || runner.prepare_action(&asked))
            .await??;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                self.log_action(&call, started, started_ms, &Err(error.clone()), &[]);
                return Ok(failure(error, Vec::new(), &self.runner));
            }
        };
        let args_json = args_array(&call.args_json);
        let activity = prepared.image.image.activity(&ActionCall {
            export: prepared.path.function(),
            args_json: &args_json,
            request_id: &call.request_id,
            seed: clock::random_seed(),
            time_ms: started_ms,
            timeout: TIMEOUT,
        });
        let (outcome, mut log_lines) = match activity {
            Ok(activity) => {
                let host = TaskHost::new(self.clone(), &call, &prepared, depth);
                run_task(activity, host, &self.actions, started + TIMEOUT).await?
            }
            Err(error) => (
                ActionOutcome {
                    result: Err(error),
                    unawaited: Vec::new(),
                },
                prepared.log_lines.clone(),
            ),
        };
        if !outcome.unawaited.is_empty() {
            log_lines.push(unawaited_line(&outcome.unawaited));
        }
        let runner = self.runner.clone();
        let checked = self
            .on_worker(move || runner.check_action_result(&prepared, outcome.result))
            .await?;
        let result = match checked {
            Ok(value) => Ok(value),
            Err(CallError::Function(error)) => Err(error),
            Err(CallError::System(error)) => return Err(error),
        };
        self.log_action(&call, started, started_ms, &result, &log_lines);
        Ok(FunctionOutcome {
            result,
            log_lines,
            journal: None,
            ts: self.runner.engine.latest(),
        })
    }

    fn log_action(
        &self,
        call: &FunctionCall,
        started: Instant,
        started_ms: f64,
        result: &crate::call::FunctionResult,
        log_lines: &[LogLine],
    ) {
        let Ok(path) = call.path.parse::<UdfPath>() else {
            return;
        };
        self.runner.log(
            path.shortest(),
            call.component_path.as_deref().unwrap_or_default(),
            UdfType::Action,
            &call.identity,
            Logged {
                result,
                log_lines,
                usage: Default::default(),
                started_ms,
                execution_time: started.elapsed(),
                user_time: None,
                cached: false,
                request_id: call.request_id.clone(),
                caller: call.caller,
            },
        );
    }
}

impl Runner {
    /// Finds an action, checks its arguments and evaluates its module.
    fn prepare_action(
        &self,
        call: &FunctionCall,
    ) -> Result<Result<Prepared, FunctionError>, CodedError> {
        let Ok(path) = call.path.parse() else {
            return Ok(Err(not_found(&call.path)));
        };
        let component_path = call.component_path.as_deref().unwrap_or_default();
        match self.prepare(call, path, component_path) {
            Ok(prepared) => Ok(Ok(prepared)),
            Err(CallError::Function(error)) => Ok(Err(error)),
            Err(CallError::System(error)) => Err(error),
        }
    }
}

/// Runs an activity to its end, or to its deadline.
pub(crate) async fn run_task(
    activity: Activity,
    host: TaskHost,
    actions: &Actions,
    deadline: Instant,
) -> Result<(ActionOutcome, Vec<LogLine>), CodedError> {
    Task::run(
        activity,
        host,
        &actions.workers,
        &actions.is_closing,
        deadline,
    )
    .await
}

fn failure(error: FunctionError, log_lines: Vec<LogLine>, runner: &Runner) -> FunctionOutcome {
    FunctionOutcome {
        result: Err(error),
        log_lines,
        journal: None,
        ts: runner.engine.latest(),
    }
}

/// What the log says of calls that nobody waited for (function runtime spec 5).
pub(crate) fn unawaited_line(names: &[String]) -> LogLine {
    let text = format!(
        "{} unawaited operation{}: [{}]. Async operations should be awaited or they might not run. See https://docs.convex.dev/functions/actions#dangling-promises for more information.",
        names.len(),
        if names.len() == 1 { "" } else { "s" },
        names.join(", ")
    );
    LogLine::system("WARN", "UnawaitedOperations", text, clock::now_ms() as i64)
}
