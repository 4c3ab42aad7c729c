//! Running mutations until they commit: free attempts first, then the serial lane.
//!
//! The lane is a queue of mutations that collided: one worker at a time takes
//! them in the order they came. None of them holds a thread while it waits, and
//! what the one that runs has read is protected from all other commits, so each
//! commits at its next attempt unless its reads move.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hull_engine::{CommitError, Conflict, JobEnd, JobStage, Lane};
use hull_sync::UdfPath;
use hull_value::{CodedError, ErrorClass, InternalId, PackedValue, Timestamp, Value};
use tokio::sync::oneshot;

use crate::call::{FunctionCall, FunctionResult, MutationOutcome, SessionRequest};
use crate::clock;
use crate::execution::CallError;
use crate::logs::LogLine;
use crate::modules::UdfType;
use crate::runner::{
    Logged, Runner, find_record, not_found, put_record, resolve_commit_ts, usage_stats,
};
use crate::scheduler;

/// Attempts before a mutation enters the serial lane.
const FREE_ATTEMPTS: usize = 2;
/// Attempts in the lane before giving up: reached only by a slow function whose
/// reads keep moving.
const LANE_ATTEMPTS_MAX: usize = 64;
/// Mutations that may wait in the lane; past this one fails with its conflict.
const LANE_LEN_MAX: usize = 8_192;
/// How long a mutation collides in the lane before the lane is exclusive.
const LANE_BUDGET: Duration = Duration::from_millis(10);
/// Attempts longer than this never stop the commits of others.
const EXCLUSIVE_ATTEMPT_MAX: Duration = Duration::from_millis(100);
/// How long the lane keeps its thread while other jobs wait for one.
const LANE_TURN: Duration = Duration::from_millis(10);

/// The answer to a mutation, or the system error that kept it from one.
pub(crate) type MutationAnswer = Result<MutationOutcome, CodedError>;

/// What makes a mutation apply once however often it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Once {
    /// A request over a socket, which is sent again after an interruption.
    Session(SessionRequest),
    /// A scheduled function.
    Job(InternalId),
}

/// A mutation on its way.
pub(crate) struct Mutation {
    call: FunctionCall,
    once: Option<Once>,
    path: UdfPath,
    /// What conflicts of others name as the writer.
    source: Arc<str>,
    /// Taken with the answer.
    answer: Option<oneshot::Sender<MutationAnswer>>,
    /// What the last attempt collided with.
    conflict: Option<Box<Conflict>>,
}

/// The queue of the serial lane.
#[derive(Default)]
pub(crate) struct MutationLane {
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    mutations: VecDeque<Box<Mutation>>,
    /// Whether a worker runs them, or a job is queued that will.
    is_running: bool,
}

/// What an attempt came to.
enum Step {
    /// Answered, or about to be.
    Done,
    /// Collided with a commit.
    Again,
    /// Would change what the lane's holder has read.
    ToLane,
}

impl Runner {
    /// Runs a mutation until it commits or fails by its own fault; `answer` gets
    /// the outcome once everything it depends on is durable.
    pub(crate) fn run_mutation(
        self: &Arc<Self>,
        call: FunctionCall,
        once: Option<Once>,
        answer: oneshot::Sender<MutationAnswer>,
    ) {
        let latest = self.engine.latest();
        let path: UdfPath = match call.path.parse() {
            Ok(path) => path,
            Err(_) => {
                let outcome = MutationOutcome {
                    result: Err(not_found(&call.path)),
                    log_lines: Vec::new(),
                    ts: latest,
                };
                // The caller may have gone away meanwhile.
                let _ = answer.send(Ok(outcome));
                return;
            }
        };
        let mut mutation = Box::new(Mutation {
            source: path.stripped().into(),
            call,
            once,
            path,
            answer: Some(answer),
            conflict: None,
        });
        for _ in 0..FREE_ATTEMPTS {
            match self.attempt_mutation(&mut mutation, None) {
                Ok(Step::Done) => return,
                Ok(Step::Again) => {}
                Ok(Step::ToLane) => break,
                Err(error) => return mutation.fail(error),
            }
        }
        match self.lane.enter(mutation) {
            Ok(true) => self.run_lane(),
            Ok(false) => {}
            Err(mut mutation) => {
                let error = mutation.conflict_error();
                mutation.fail(error);
            }
        }
    }

    /// Runs what waits in the lane; on this thread as long as no other job waits.
    fn run_lane(self: &Arc<Self>) {
        let started = Instant::now();
        while let Some(mutation) = self.lane.next() {
            let run = std::panic::AssertUnwindSafe(|| self.run_in_lane(mutation));
            // The caller sees its channel close and reports an internal error.
            if std::panic::catch_unwind(run).is_err() {
                tracing::error!("a mutation panicked; its caller gets an internal error");
            }
            if started.elapsed() >= LANE_TURN && self.workers.queued() > 0 {
                let runner = self.clone();
                if self.workers.submit(move || runner.run_lane()).is_ok() {
                    return;
                }
            }
        }
    }

    fn run_in_lane(&self, mut mutation: Box<Mutation>) {
        let lane = self.engine.lane();
        let entered = Instant::now();
        for _ in 0..LANE_ATTEMPTS_MAX {
            if let Some(conflict) = &mutation.conflict {
                lane.protect(&conflict.reads);
            }
            let started = Instant::now();
            match self.attempt_mutation(&mut mutation, Some(&lane)) {
                Ok(Step::Done) => return,
                Ok(Step::Again | Step::ToLane) => {}
                Err(error) => return mutation.fail(error),
            }
            lane.set_exclusive(
                entered.elapsed() >= LANE_BUDGET && started.elapsed() < EXCLUSIVE_ATTEMPT_MAX,
            );
        }
        let error = mutation.conflict_error();
        mutation.fail(error);
    }

    fn attempt_mutation(
        &self,
        mutation: &mut Mutation,
        lane: Option<&Lane<'_>>,
    ) -> Result<Step, CodedError> {
        let started = Instant::now();
        let started_ms = clock::now_ms();
        let mut transaction = self.engine.begin(&clock::begin_context())?;
        let job = match mutation.once {
            Some(Once::Job(id)) => transaction.job(id)?,
            _ => None,
        };
        let known = match mutation.once {
            Some(Once::Session(request)) => find_record(&mut transaction, request)?,
            // Ended by an earlier attempt, or canceled.
            Some(Once::Job(_))
                if job
                    .as_ref()
                    .is_none_or(|job| job.stage != JobStage::Pending) =>
            {
                Some(MutationOutcome {
                    result: Ok(PackedValue::pack(&Value::Null)),
                    log_lines: Vec::new(),
                    ts: transaction.begin_ts(),
                })
            }
            _ => None,
        };
        if let Some(known) = known {
            // What says so may be on its way to disk still.
            let begin = transaction.begin_ts();
            self.answer_at(begin, known, mutation);
            return Ok(Step::Done);
        }
        if let Some(job) = &job {
            transaction.show_job_running(job)?;
        }
        let attempt = self.attempt(&mutation.call, &mutation.path, transaction, started_ms)?;
        let usage = usage_stats(&attempt.transaction);
        let logged_result: FunctionResult = match &attempt.result {
            Ok(returned) => Ok(returned.value.clone()),
            Err(CallError::Function(error)) => Err(error.clone()),
            Err(CallError::System(error)) => return Err(error.clone()),
        };
        let log = |mutation: &Mutation, log_lines: &[LogLine]| {
            self.log(
                mutation.path.shortest(),
                mutation.call.component_path.as_deref().unwrap_or_default(),
                UdfType::Mutation,
                &mutation.call.identity,
                Logged {
                    result: &logged_result,
                    log_lines,
                    usage,
                    started_ms,
                    execution_time: started.elapsed(),
                    user_time: Some(attempt.user_time),
                    cached: false,
                    request_id: mutation.call.request_id.clone(),
                    caller: mutation.call.caller,
                },
            );
        };
        let mut transaction = attempt.transaction;
        let returned = match attempt.result {
            Ok(returned) => returned,
            Err(CallError::Function(error)) => {
                log(mutation, &attempt.log_lines);
                let begin = transaction.begin_ts();
                let outcome = MutationOutcome {
                    result: Err(error),
                    log_lines: attempt.log_lines,
                    ts: begin,
                };
                self.answer_at(begin, outcome, mutation);
                return Ok(Step::Done);
            }
            Err(CallError::System(error)) => return Err(error),
        };
        match (mutation.once, &job) {
            (Some(Once::Session(request)), _) => put_record(
                &mut transaction,
                request,
                &returned.value,
                &attempt.log_lines,
            )?,
            (_, Some(job)) => scheduler::finish(
                &mut transaction,
                job,
                &JobEnd::Success,
                Some(&returned.value),
                &attempt.log_lines,
            )?,
            _ => {}
        }
        let Some(sender) = mutation.answer.take() else {
            return Err(CodedError::internal("a mutation was answered twice"));
        };
        // Given back if the commit does not come about.
        let slot = Arc::new(Mutex::new(Some(sender)));
        let (on_commit, log_lines, value) =
            (slot.clone(), attempt.log_lines.clone(), returned.value);
        let done = Box::new(move |outcome: Result<Timestamp, CodedError>| {
            if let Some(sender) = lock(&on_commit).take() {
                // The caller may have gone away meanwhile.
                let _ = sender.send(outcome.map(|ts| MutationOutcome {
                    result: Ok(resolve_commit_ts(value, ts)),
                    log_lines,
                    ts,
                }));
            }
        });
        let (now, source) = (clock::now(), Some(mutation.source.clone()));
        let committed = match lane {
            Some(lane) => lane.commit(transaction, now, source, done),
            None => self.engine.try_commit(transaction, now, source, done),
        };
        let error = match committed {
            Ok(_) => {
                log(mutation, &attempt.log_lines);
                return Ok(Step::Done);
            }
            Err(error) => error,
        };
        mutation.answer = lock(&slot).take();
        match error {
            CommitError::Conflict(conflict) => {
                mutation.conflict = Some(conflict);
                Ok(Step::Again)
            }
            CommitError::Protected(conflict) => {
                mutation.conflict = Some(conflict);
                Ok(Step::ToLane)
            }
            CommitError::Overloaded(error) | CommitError::NotStored(error) => Err(error),
            CommitError::Failed => Err(CodedError::internal("the store failed")),
        }
    }

    /// Sends an outcome once everything up to `ts` is durable.
    fn answer_at(&self, ts: Timestamp, outcome: MutationOutcome, mutation: &mut Mutation) {
        if let Some(answer) = mutation.answer.take() {
            self.engine.when_published(
                ts,
                Box::new(move |published| {
                    // The caller may have gone away meanwhile.
                    let _ = answer.send(published.map(|_| outcome));
                }),
            );
        }
    }
}

impl Mutation {
    fn fail(mut self: Box<Self>, error: CodedError) {
        if let Some(answer) = self.answer.take() {
            // The caller may have gone away meanwhile.
            let _ = answer.send(Err(error));
        }
    }

    /// The error of a mutation that collided too often (data model spec 6.5).
    fn conflict_error(&mut self) -> CodedError {
        let conflict = self.conflict.take();
        CodedError {
            class: ErrorClass::Occ,
            code: "OptimisticConcurrencyControlFailure".into(),
            message: conflict_message(conflict.as_deref(), &self.source),
            data: None,
        }
    }
}

impl MutationLane {
    /// Queues a mutation; `true` if the caller has to run the lane. Gives the
    /// mutation back when the lane is full.
    fn enter(&self, mutation: Box<Mutation>) -> Result<bool, Box<Mutation>> {
        let mut state = lock(&self.state);
        if state.mutations.len() >= LANE_LEN_MAX {
            return Err(mutation);
        }
        state.mutations.push_back(mutation);
        Ok(!std::mem::replace(&mut state.is_running, true))
    }

    fn next(&self) -> Option<Box<Mutation>> {
        let mut state = lock(&self.state);
        let next = state.mutations.pop_front();
        state.is_running = next.is_some();
        next
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn conflict_message(conflict: Option<&Conflict>, source: &str) -> String {
    if conflict.is_some_and(|conflict| conflict.is_system) {
        return "Data read or written in this mutation changed while it was being run. Consider reducing the amount of data read by using indexed queries with selective index range expressions (https://docs.convex.dev/database/indexes/).".to_owned();
    }
    let table = conflict
        .and_then(|conflict| conflict.table.as_ref())
        .map_or_else(
            || "some table".to_owned(),
            |table| format!("the \"{table}\" table"),
        );
    let by = conflict.and_then(|conflict| {
        let id = conflict.document_id.as_ref()?;
        let writer = conflict.source.as_deref()?;
        Some(if writer == source {
            format!("Another call to this mutation changed the document with ID \"{id}\". ")
        } else {
            format!("A call to \"{writer}\" changed the document with ID \"{id}\". ")
        })
    });
    format!(
        "Documents read from or written to {table} changed while this mutation was being run and on every subsequent retry. {}See https://docs.convex.dev/error#1",
        by.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use hull_engine::ReadSet;

    use super::*;

    #[test]
    fn the_error_of_a_conflict_names_what_is_known_of_it() {
        let conflict =
            |table: Option<&str>, id: Option<&str>, writer: Option<&str>, is_system| Conflict {
                table: table.map(str::to_owned),
                document_id: id.map(str::to_owned),
                is_system,
                source: writer.map(Into::into),
                reads: ReadSet::default(),
            };
        let retried = "changed while this mutation was being run and on every subsequent retry.";
        let see = "See https://docs.convex.dev/error#1";
        let cases = [
            (
                Some(conflict(Some("items"), Some("j5"), Some("items:add"), false)),
                format!(
                    "Documents read from or written to the \"items\" table {retried} Another call to this mutation changed the document with ID \"j5\". {see}"
                ),
            ),
            (
                Some(conflict(Some("items"), Some("j5"), Some("other:add"), false)),
                format!(
                    "Documents read from or written to the \"items\" table {retried} A call to \"other:add\" changed the document with ID \"j5\". {see}"
                ),
            ),
            (
                Some(conflict(Some("items"), Some("j5"), None, false)),
                format!("Documents read from or written to the \"items\" table {retried} {see}"),
            ),
            (
                None,
                format!("Documents read from or written to some table {retried} {see}"),
            ),
            (
                Some(conflict(None, None, None, true)),
                "Data read or written in this mutation changed while it was being run. Consider reducing the amount of data read by using indexed queries with selective index range expressions (https://docs.convex.dev/database/indexes/).".to_owned(),
            ),
        ];
        for (conflict, expected) in cases {
            assert_eq!(conflict_message(conflict.as_ref(), "items:add"), expected);
        }
    }
}
