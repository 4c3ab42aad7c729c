//! Runs queries and mutations on the worker threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hull_engine::{Engine, Transaction, document, system};
use hull_sync::UdfPath;
use hull_value::{CodedError, PackedValue, Timestamp, Value, ValueRef};
use uuid::Uuid;

use crate::call::{
    FunctionCall, FunctionError, FunctionResult, MutationOutcome, RequestOrigin, SessionRequest,
};
use crate::clock;
use crate::components::{self, Component};
use crate::cursors::Cursors;
use crate::deployment::DeploymentConfig;
use crate::execution::{CallError, Execution, Observed, Request, Returned, Sizes};
use crate::files::Files;
use crate::identity::Identity;
use crate::images::{BuiltInVariables, Images};
use crate::live::{Asker, LiveResult, Question, QuestionRunner, Run, RunDone};
use crate::logs::{Completion, LogLine, LogStream, UsageStats};
use crate::modules::{ModuleCache, UdfType};
use crate::mutations::MutationLane;
use crate::system_functions;
use crate::workers::Workers;

/// Everything a run needs; shared by the workers.
pub(crate) struct Runner {
    pub(crate) config: Arc<DeploymentConfig>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) modules: ModuleCache,
    pub(crate) images: Images,
    pub(crate) cursors: Cursors,
    pub(crate) files: Files,
    pub(crate) logs: Arc<LogStream>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) lane: MutationLane,
}

/// What one attempt at a mutation came to.
pub(crate) struct Attempt {
    pub(crate) transaction: Transaction,
    pub(crate) result: Result<Returned, CallError>,
    pub(crate) log_lines: Vec<LogLine>,
    pub(crate) user_time: Duration,
}

impl Runner {
    /// Values of the variables the server provides, canonical URLs included.
    pub(crate) fn built_in_variables(
        &self,
        transaction: &mut Transaction,
    ) -> Result<BuiltInVariables, CodedError> {
        let row = transaction.system_row(system::DEPLOYMENT_STATE, canonical_urls_row())?;
        let stored = |field: &str| {
            row.as_ref()
                .and_then(|row| document::text(row.as_ref(), field).map(str::to_owned))
        };
        Ok(BuiltInVariables {
            cloud_url: stored("cloud").unwrap_or_else(|| self.config.cloud_origin.clone()),
            site_url: stored("site").unwrap_or_else(|| self.config.site_origin.clone()),
        })
    }

    /// Runs a question at a timestamp.
    pub(crate) fn run_question(
        &self,
        question: &Question,
        asker: &Asker,
        ts: Timestamp,
    ) -> Result<Run, CodedError> {
        let mut transaction = self.engine.begin_at(ts, &clock::begin_context())?;
        let mut observed = Observed::default();
        let (result, log_lines) = match question.path.parse::<UdfPath>() {
            Err(_) => (Err(not_found(&question.path)), Vec::new()),
            Ok(path) if path.is_system() => {
                let result = self.run_system_question(question, &path, asker, &mut transaction)?;
                (result, Vec::new())
            }
            Ok(path) => {
                let component = components::find(&mut transaction, &question.component_path)?;
                match component {
                    None => {
                        let error = component_not_found(&question.component_path);
                        (Err(error), Vec::new())
                    }
                    Some(component) => self.run_user_question(
                        question,
                        &path,
                        &component,
                        asker,
                        &mut transaction,
                        &mut observed,
                    )?,
                }
            }
        };
        let (result, journal) = match result {
            Ok(returned) => (Ok(returned.value), returned.journal),
            // Whoever has a page keeps its boundaries past an error.
            Err(error) => (Err(error), question.journal.clone()),
        };
        let request_id = asker.request_id.clone();
        Ok(Run {
            result: LiveResult::new(result, log_lines, journal, request_id),
            reads: transaction.into_reads(),
            observed_identity: observed.identity,
            observed_time: observed.time,
        })
    }

    fn run_user_question(
        &self,
        question: &Question,
        path: &UdfPath,
        component: &Component,
        asker: &Asker,
        transaction: &mut Transaction,
        observed: &mut Observed,
    ) -> Result<(Result<Returned, FunctionError>, Vec<LogLine>), CodedError> {
        let started = Instant::now();
        let started_ms = clock::now_ms();
        let mut execution = Execution {
            runner: self,
            transaction,
            identity: &asker.identity,
            request_id: &asker.request_id,
            // Queries may not ask.
            origin: &RequestOrigin::default(),
            time_ms: started_ms.floor(),
            observed: Observed::default(),
            log_lines: Vec::new(),
            depth: 0,
            started,
            user_time: Duration::ZERO,
            sizes: Sizes::default(),
        };
        let result = execution.call(&Request {
            component,
            path,
            expected: UdfType::Query,
            may_call_internal: question.may_call_internal,
            args_json: &question.args_json,
            allows_commit_ts: false,
            journal: question.journal.as_deref(),
        });
        execution.add_warnings();
        *observed = execution.observed;
        let (log_lines, user_time) = (execution.log_lines, execution.user_time);
        let result = match result {
            Ok(returned) => Ok(returned),
            Err(CallError::Function(error)) => Err(error),
            Err(CallError::System(error)) => return Err(error),
        };
        let value = result.as_ref().map(|returned| returned.value.clone());
        self.log(
            path.shortest(),
            &component.path,
            UdfType::Query,
            &asker.identity,
            Logged {
                result: &value.map_err(FunctionError::clone),
                log_lines: &log_lines,
                usage: usage_stats(transaction),
                started_ms,
                execution_time: started.elapsed(),
                user_time: Some(user_time),
                cached: false,
                request_id: asker.request_id.clone(),
                caller: asker.caller,
            },
        );
        Ok((result, log_lines))
    }

    fn run_system_question(
        &self,
        question: &Question,
        path: &UdfPath,
        asker: &Asker,
        transaction: &mut Transaction,
    ) -> Result<Result<Returned, FunctionError>, CodedError> {
        if !asker.identity.is_admin() {
            return Ok(Err(FunctionError {
                message: "Operation query not permitted".to_owned(),
                data: None,
            }));
        }
        match system_functions::run_query(self, transaction, path, question) {
            Ok(returned) => Ok(Ok(returned)),
            Err(CallError::Function(error)) => Ok(Err(error)),
            Err(CallError::System(error)) => Err(error),
        }
    }

    pub(crate) fn attempt(
        &self,
        call: &FunctionCall,
        path: &UdfPath,
        mut transaction: Transaction,
        started_ms: f64,
    ) -> Result<Attempt, CodedError> {
        if path.is_system() {
            let result = if call.identity.is_admin() {
                system_functions::run_mutation(self, &mut transaction, path, call)
            } else {
                Err(CallError::Function(FunctionError {
                    message: "Operation mutation not permitted".to_owned(),
                    data: None,
                }))
            };
            return Ok(Attempt {
                transaction,
                result,
                log_lines: Vec::new(),
                user_time: Duration::ZERO,
            });
        }
        let component_path = call.component_path.clone().unwrap_or_default();
        let Some(component) = components::find(&mut transaction, &component_path)? else {
            let result = Err(CallError::Function(component_not_found(&component_path)));
            return Ok(Attempt {
                transaction,
                result,
                log_lines: Vec::new(),
                user_time: Duration::ZERO,
            });
        };
        let args_json = crate::call::args_array(&call.args_json);
        let mut execution = Execution {
            runner: self,
            transaction: &mut transaction,
            identity: &call.identity,
            request_id: &call.request_id,
            origin: &call.origin,
            time_ms: started_ms.floor(),
            observed: Observed::default(),
            log_lines: Vec::new(),
            depth: 0,
            started: Instant::now(),
            user_time: Duration::ZERO,
            sizes: Sizes::default(),
        };
        let result = execution.call(&Request {
            component: &component,
            path,
            expected: UdfType::Mutation,
            may_call_internal: call.may_call_internal(),
            args_json: &args_json,
            allows_commit_ts: false,
            journal: None,
        });
        execution.add_warnings();
        let Execution {
            log_lines,
            user_time,
            ..
        } = execution;
        Ok(Attempt {
            transaction,
            result,
            log_lines,
            user_time,
        })
    }

    pub(crate) fn log(
        &self,
        identifier: String,
        component_path: &str,
        udf_type: UdfType,
        identity: &Identity,
        logged: Logged<'_>,
    ) {
        let completion = Completion {
            udf_type: udf_type.as_str(),
            component_path: (!component_path.is_empty()).then(|| component_path.to_owned()),
            identifier,
            log_lines: logged.log_lines.to_vec(),
            execution_timestamp: logged.started_ms / 1000.0,
            cached_result: logged.cached,
            execution_time: logged.execution_time,
            user_execution_time: logged.user_time,
            error: logged
                .result
                .as_ref()
                .err()
                .map(|error| error.message.clone()),
            request_id: logged.request_id,
            execution_id: random_uuid(),
            parent_execution_id: None,
            caller: logged.caller,
            identity_type: identity.kind_name(),
            usage: logged.usage,
            return_bytes: logged
                .result
                .as_ref()
                .ok()
                .map(|value| value.as_bytes().len() as u64),
        };
        self.logs.push(completion, clock::now_ms());
    }
}

pub(crate) struct Logged<'a> {
    pub(crate) result: &'a FunctionResult,
    pub(crate) log_lines: &'a [LogLine],
    pub(crate) usage: UsageStats,
    pub(crate) started_ms: f64,
    pub(crate) execution_time: Duration,
    pub(crate) user_time: Option<Duration>,
    pub(crate) cached: bool,
    pub(crate) request_id: String,
    pub(crate) caller: crate::call::Caller,
}

/// The runner as the live queries use it.
pub(crate) struct QuestionWorkers(pub(crate) Arc<Runner>);

impl QuestionRunner for QuestionWorkers {
    fn run(
        &self,
        question: Arc<Question>,
        asker: Asker,
        ts: Timestamp,
        done: RunDone,
    ) -> Result<(), CodedError> {
        let runner = self.0.clone();
        self.0.workers.submit(move || {
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runner.run_question(&question, &asker, ts)
            }));
            done(run.unwrap_or_else(|_| Err(CodedError::internal("a query run panicked"))));
        })
    }

    fn served_from_cache(&self, question: &Question, asker: &Asker, result: &LiveResult) {
        let Ok(path) = question.path.parse::<UdfPath>() else {
            return;
        };
        if path.is_system() {
            return;
        }
        self.0.log(
            path.shortest(),
            &question.component_path,
            UdfType::Query,
            &asker.identity,
            Logged {
                result: &result.result,
                log_lines: &result.log_lines,
                usage: UsageStats::default(),
                started_ms: clock::now_ms(),
                execution_time: Duration::ZERO,
                user_time: None,
                cached: true,
                request_id: asker.request_id.clone(),
                caller: asker.caller,
            },
        );
    }

    fn now_ms(&self) -> f64 {
        clock::now_ms()
    }
}

pub(crate) fn canonical_urls_row() -> hull_value::InternalId {
    system::row_id(&[b"canonical urls"])
}

pub(crate) fn not_found(path: &str) -> FunctionError {
    FunctionError {
        message: format!("Could not find public function for '{path}'."),
        data: None,
    }
}

fn component_not_found(path: &str) -> FunctionError {
    FunctionError {
        message: format!("Component path '{path}' not found"),
        data: None,
    }
}

fn random_uuid() -> Uuid {
    let seed = clock::random_seed();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&seed[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

pub(crate) fn usage_stats(transaction: &Transaction) -> UsageStats {
    let usage = transaction.usage();
    UsageStats {
        read_bytes: usage.bytes_read as u64,
        write_bytes: usage.bytes_written as u64,
        read_documents: usage.documents_read as u64,
        write_documents: usage.documents_written as u64,
    }
}

pub(crate) fn resolve_commit_ts(value: PackedValue, ts: Timestamp) -> PackedValue {
    if !value.as_ref().has_commit_ts() {
        return value;
    }
    let mut tree = value.unpack();
    document::resolve_commit_ts(&mut tree, i64::try_from(ts.0).unwrap_or(i64::MAX));
    PackedValue::pack(&tree)
}

fn record_id(request: SessionRequest) -> hull_value::InternalId {
    system::row_id(&[
        b"session request",
        request.session_id.as_bytes(),
        &request.request_id.to_le_bytes(),
    ])
}

/// Looks for the outcome of an earlier run of the same request, recording the dependency.
pub(crate) fn find_record(
    transaction: &mut Transaction,
    request: SessionRequest,
) -> Result<Option<MutationOutcome>, CodedError> {
    let Some((ts, row)) = transaction.session_record(record_id(request))? else {
        return Ok(None);
    };
    let row = row.as_ref();
    let malformed = || CodedError::internal("a session request row is not readable");
    let result = document::field(row, "result")
        .ok_or_else(malformed)?
        .to_packed();
    let mut log_lines = Vec::new();
    if let Some(ValueRef::Array(lines)) = document::field(row, "logLines") {
        for line in lines.iter() {
            log_lines.push(stored_line(line).ok_or_else(malformed)?);
        }
    }
    Ok(Some(MutationOutcome {
        result: Ok(result),
        log_lines,
        ts,
    }))
}

/// Writes the record that makes the request apply once, in the mutation's own commit.
pub(crate) fn put_record(
    transaction: &mut Transaction,
    request: SessionRequest,
    result: &PackedValue,
    log_lines: &[LogLine],
) -> Result<(), CodedError> {
    let lines = log_lines
        .iter()
        .map(|line| {
            Value::Array(vec![
                Value::String(line.level.to_owned()),
                Value::String(line.messages.join(" ")),
                Value::Boolean(line.is_truncated),
                Value::Int64(line.timestamp_ms),
            ])
        })
        .collect();
    let row = document::row([
        ("result", result.unpack()),
        ("logLines", Value::Array(lines)),
    ]);
    transaction.put_session_record(record_id(request), row)
}

fn stored_line(line: ValueRef<'_>) -> Option<LogLine> {
    let line = line.as_array()?;
    let level = match line.get(0)?.as_str()? {
        "DEBUG" => "DEBUG",
        "ERROR" => "ERROR",
        "INFO" => "INFO",
        "WARN" => "WARN",
        _ => "LOG",
    };
    Some(LogLine {
        level,
        messages: vec![line.get(1)?.as_str()?.to_owned()],
        is_truncated: line.get(2)?.as_bool()?,
        timestamp_ms: line.get(3)?.as_int64()?,
        component_path: None,
        udf_path: None,
        system_code: None,
    })
}
