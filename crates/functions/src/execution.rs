//! One top-level execution: a function and all the functions it calls inside
//! the same transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hull_engine::Transaction;
use hull_js::{Call, CallKind, Environment, JsError};
use hull_sync::UdfPath;
use hull_value::{CodedError, PackedValue, ValueRef, format_size};

use crate::call::{FunctionError, RequestOrigin};
use crate::clock;
use crate::components::{self, Component, Route};
use crate::host::CallHost;
use crate::identity::Identity;
use crate::images::{ImageError, ModuleImage};
use crate::logs::LogLine;
use crate::modules::{Function, Module, UdfType};
use crate::runner::Runner;
use crate::workers;

/// Largest arguments and result of a function, in bytes.
pub(crate) const ARGS_SIZE_MAX: usize = 16 << 20;
/// How deep functions may call each other inside one transaction.
const CALL_DEPTH_MAX: usize = 8;
/// Console lines kept of one execution.
const LOG_LINES_MAX: usize = 256;
/// Time it may spend in host calls, nested functions included.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(15);
const SYSTEM_TIMEOUT_CODE: &str = "SystemTimeoutError";
/// Longest error text that leaves the server, in bytes.
const ERROR_MESSAGE_BYTES_MAX: usize = 65_536;

/// What all calls of one execution share.
pub(crate) struct Execution<'a> {
    pub(crate) runner: &'a Runner,
    pub(crate) transaction: &'a mut Transaction,
    pub(crate) identity: &'a Identity,
    pub(crate) request_id: &'a str,
    pub(crate) origin: &'a RequestOrigin,
    /// Frozen for the execution, milliseconds.
    pub(crate) time_ms: f64,
    pub(crate) observed: Observed,
    pub(crate) log_lines: Vec<LogLine>,
    pub(crate) depth: usize,
    pub(crate) started: Instant,
    pub(crate) user_time: Duration,
    pub(crate) sizes: Sizes,
}

/// Bytes of what went into and came out of the top-level function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    args: usize,
    result: usize,
}

/// What a result depends on besides the data it read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) identity: bool,
    pub(crate) time: bool,
}

/// How a function is asked for.
pub(crate) struct Request<'r> {
    pub(crate) component: &'r Component,
    pub(crate) path: &'r UdfPath,
    pub(crate) expected: UdfType,
    /// Whether internal functions may be called.
    pub(crate) may_call_internal: bool,
    /// JSON text of the array of arguments.
    pub(crate) args_json: &'r str,
    /// Whether arguments, and the result of a query, may hold unresolved commit timestamps.
    pub(crate) allows_commit_ts: bool,
    pub(crate) journal: Option<&'r str>,
}

/// What a function returned.
pub(crate) struct Returned {
    pub(crate) value: PackedValue,
    pub(crate) journal: Option<String>,
}

/// Why a function did not return.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The function's own failure.
    Function(FunctionError),
    /// Not the function's fault: the execution ends.
    System(CodedError),
}

impl From<CodedError> for CallError {
    /// A deterministic error is the function's, any other the system's.
    fn from(error: CodedError) -> CallError {
        if error.is_deterministic() {
            CallError::Function(FunctionError {
                message: error.message,
                data: error.data,
            })
        } else {
            CallError::System(error)
        }
    }
}

fn failed(message: impl Into<String>) -> CallError {
    CallError::Function(FunctionError {
        message: message.into(),
        data: None,
    })
}

impl Execution<'_> {
    /// Runs a function: checks, arguments, the call itself, the result.
    pub(crate) fn call(&mut self, request: &Request<'_>) -> Result<Returned, CallError> {
        let (module, function) = self.resolve(request)?;
        self.check_args(request, &function)?;
        // Queries and mutations share images: their import phases see the same.
        let image = self.image(request.component, &module, Environment::Query)?;
        self.add_import_logs(&image);
        let returned = self.run(request, &image)?;
        self.check_result(request, &function, &returned.value)?;
        Ok(returned)
    }

    fn resolve(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(Arc<Module>, Arc<Function>), CallError> {
        let Request {
            component, path, ..
        } = request;
        let module =
            self.runner
                .modules
                .load(self.transaction, component.namespace, path.module())?;
        let found = module.and_then(|module| {
            let function = module.function(path.function())?.clone();
            (function.is_public || request.may_call_internal).then_some((module, function))
        });
        let Some((module, function)) = found else {
            return Err(failed(format!(
                "Could not find public function for '{}'{}.",
                path.shortest(),
                component.suffix()
            )));
        };
        if module.environment == "node" {
            return Err(failed(format!(
                "{} runs in Node.js, which is not implemented by this server yet.",
                path.canonical()
            )));
        }
        if function.udf_type != request.expected {
            return Err(failed(format!(
                "Trying to execute {}{} as {}, but it is defined as {}.",
                path.canonical(),
                component.suffix(),
                request.expected.as_str(),
                function.udf_type.as_str()
            )));
        }
        Ok((module, function))
    }

    fn check_args(&mut self, request: &Request<'_>, function: &Function) -> Result<(), CallError> {
        let policy = if request.allows_commit_ts {
            hull_value::json::CommitTsPolicy::Allow
        } else {
            hull_value::json::CommitTsPolicy::Reject
        };
        let path = request.path;
        let args = hull_value::json::pack_encoded(request.args_json, policy).map_err(|error| {
            failed(format!(
                "Invalid arguments for {}: {error}",
                path.canonical()
            ))
        })?;
        let size = args.as_ref().size();
        if self.depth == 0 {
            self.sizes.args = size;
        }
        if size > ARGS_SIZE_MAX {
            return Err(failed(format!(
                "Arguments for {} are too large (actual: {}, limit: 16 MiB)",
                path.canonical(),
                format_size(size)
            )));
        }
        let ValueRef::Array(array) = args.as_ref() else {
            return Err(failed(format!(
                "Invalid arguments for {}: not an array",
                path.canonical()
            )));
        };
        self.transaction
            .with_table_names(request.component.namespace, |names| {
                function.args.check(array, names)
            })
            .map_err(|error| failed(error.to_string()))
    }

    fn image(
        &mut self,
        component: &Component,
        module: &Module,
        environment: Environment,
    ) -> Result<Arc<ModuleImage>, CallError> {
        let runner = self.runner;
        let built_in = runner.built_in_variables(self.transaction)?;
        runner
            .images
            .get(self.transaction, component, module, environment, &built_in)
            .map_err(|error| match error {
                ImageError::System(error) => error.into(),
                ImageError::Js(error) => js_error(error, &hull_js::NoSourceMaps),
            })
    }

    fn run(&mut self, request: &Request<'_>, image: &ModuleImage) -> Result<Returned, CallError> {
        let mut isolate = image
            .image
            .isolate()
            .map_err(|error| js_error(error, &*image.table))?;
        let (time_ms, lines_before) = (self.time_ms, self.log_lines.len());
        let user_timeout = self.user_timeout();
        let mut host = CallHost::new(self, request);
        let outcome = isolate.call(
            &Call {
                export: request.path.function(),
                kind: match request.expected {
                    UdfType::Query => CallKind::Query,
                    _ => CallKind::Mutation,
                },
                args_json: request.args_json,
                seed: clock::random_seed(),
                time_ms,
                user_timeout,
            },
            &mut host,
        );
        let journal = host.into_journal();
        self.observed.time |= outcome.observed_time;
        self.user_time += outcome.user_time;
        if self.depth > 0 {
            for line in &mut self.log_lines[lines_before..] {
                line.udf_path
                    .get_or_insert_with(|| request.path.canonical());
                if !request.component.is_root() {
                    line.component_path
                        .get_or_insert_with(|| request.component.path.clone());
                }
            }
        }
        let value = outcome.result.map_err(|error| {
            match js_error(error, &*image.table) {
                // No function may catch it; whoever called the outermost one is told.
                CallError::System(error)
                    if self.depth == 0 && error.code == SYSTEM_TIMEOUT_CODE =>
                {
                    failed(error.message)
                }
                error => error,
            }
        })?;
        Ok(Returned { value, journal })
    }

    fn user_timeout(&self) -> Duration {
        self.runner.config.limits.user_time
    }

    fn check_result(
        &mut self,
        request: &Request<'_>,
        function: &Function,
        value: &PackedValue,
    ) -> Result<(), CallError> {
        if self.depth == 0 {
            self.sizes.result = value.as_ref().size();
        }
        let may_hold_commit_ts = request.allows_commit_ts || request.expected == UdfType::Mutation;
        check_value(request.path.stripped(), value, may_hold_commit_ts)?;
        self.transaction
            .with_table_names(request.component.namespace, |names| {
                function.returns.check(value.as_ref(), names)
            })
            .map_err(|error| failed(error.to_string()))
    }

    /// Runs a nested function in a sub-transaction (function runtime spec 9.1).
    pub(crate) fn call_nested(&mut self, request: &Request<'_>) -> Result<PackedValue, CallError> {
        if self.depth >= CALL_DEPTH_MAX {
            return Err(failed(
                "Cross component call depth limit exceeded. Do you have an infinite loop in your app?",
            ));
        }
        let savepoint = self.transaction.savepoint();
        self.depth += 1;
        let result = self.call(request);
        self.depth -= 1;
        match result {
            Ok(returned) => Ok(returned.value),
            Err(error) => {
                self.transaction.roll_back(savepoint);
                Err(error)
            }
        }
    }

    /// Ends an execution whose host calls have taken too long in all.
    ///
    /// Asked before each of them. The reads of one are limited, so none takes
    /// long by itself, and functions have a limit of their own.
    pub(crate) fn check_time(&self) -> Result<(), CodedError> {
        if self.started.elapsed() <= SYSTEM_TIMEOUT + self.user_timeout() {
            return Ok(());
        }
        Err(CodedError::new(
            hull_value::ErrorClass::Internal,
            SYSTEM_TIMEOUT_CODE,
            "Your request timed out performing too many system operations.",
        ))
    }

    /// Adds the lines that warn of limits nearly reached (function runtime spec 4).
    pub(crate) fn add_warnings(&mut self) {
        let mut warnings = Vec::new();
        let limit = self.user_timeout();
        if is_near(self.user_time.as_nanos(), limit.as_nanos()) {
            let actual = Duration::from_millis(self.user_time.as_millis() as u64);
            warnings.push((
                "UserTimeout",
                format!(
                    "Function execution took a long time. (maximum duration: {limit:?}, actual duration: {actual:?})."
                ),
            ));
        }
        let sizes = [
            (
                "TooLargeFunctionArguments",
                "function arguments",
                self.sizes.args,
            ),
            (
                "TooLargeFunctionResult",
                "function return value",
                self.sizes.result,
            ),
        ];
        for (code, what, size) in sizes {
            if is_near(size as u128, ARGS_SIZE_MAX as u128) {
                warnings.push((
                    code,
                    format!(
                        "Large size of the {what} (actual: {size} bytes, limit: {ARGS_SIZE_MAX} bytes)."
                    ),
                ));
            }
        }
        warnings.extend(self.transaction.usage().warnings());
        let now_ms = clock::now_ms() as i64;
        self.log_lines.extend(
            warnings.into_iter().map(|(code, text)| {
                LogLine::system("WARN", &format!("warning:{code}"), text, now_ms)
            }),
        );
    }

    /// Takes a console line, up to the limit of the whole execution.
    pub(crate) fn add_log(&mut self, line: hull_js::LogLine) {
        push_log(&mut self.log_lines, line);
    }

    fn add_import_logs(&mut self, image: &ModuleImage) {
        for line in &image.image.import_logs {
            self.add_log(hull_js::LogLine {
                timestamp_ms: clock::now_ms(),
                ..line.clone()
            });
        }
    }
}

/// An action that is ready to run.
pub(crate) struct Prepared {
    pub(crate) path: UdfPath,
    pub(crate) image: Arc<ModuleImage>,
    /// What `process.env` holds while it runs.
    pub(crate) environment: std::collections::HashMap<String, String>,
    /// Lines of the import.
    pub(crate) log_lines: Vec<LogLine>,
    /// `None`: the router of `http.js`.
    function: Option<Arc<Function>>,
    pub(crate) component: Component,
}

impl Prepared {
    /// What the action came to, as its callers are told.
    pub(crate) fn describe(
        &self,
        result: Result<PackedValue, JsError>,
    ) -> Result<PackedValue, CallError> {
        result.map_err(|error| js_error(error, &*self.image.table))
    }
}

impl Runner {
    /// Everything of an action that needs a transaction.
    pub(crate) fn prepare(
        &self,
        call: &crate::call::FunctionCall,
        path: UdfPath,
        component_path: &str,
    ) -> Result<Prepared, CallError> {
        let mut transaction = self.engine.begin(&clock::begin_context())?;
        let Some(component) = components::find(&mut transaction, component_path)? else {
            return Err(failed(format!(
                "Component path '{component_path}' not found"
            )));
        };
        let environment = self.environment(&mut transaction, &component)?;
        let mut execution = Execution {
            runner: self,
            transaction: &mut transaction,
            identity: &call.identity,
            request_id: &call.request_id,
            origin: &call.origin,
            time_ms: clock::now_ms().floor(),
            observed: Observed::default(),
            log_lines: Vec::new(),
            depth: 0,
            started: Instant::now(),
            user_time: Duration::ZERO,
            sizes: Sizes::default(),
        };
        let request = Request {
            component: &component,
            path: &path,
            expected: UdfType::Action,
            may_call_internal: call.may_call_internal(),
            args_json: &crate::call::args_array(&call.args_json),
            allows_commit_ts: false,
            journal: None,
        };
        let (module, function) = execution.resolve(&request)?;
        execution.check_args(&request, &function)?;
        let image = execution.image(&component, &module, Environment::Action)?;
        execution.add_import_logs(&image);
        Ok(Prepared {
            image,
            environment,
            log_lines: std::mem::take(&mut execution.log_lines),
            function: Some(function),
            path,
            component,
        })
    }

    /// The same for requests: the module `http.js` of the component that answers,
    /// if there is one, and the path that its router looks up.
    pub(crate) fn prepare_http(
        &self,
        method: &str,
        path: &str,
    ) -> Result<Option<(Prepared, String)>, CallError> {
        let mut transaction = self.engine.begin(&clock::begin_context())?;
        let route = components::route(&mut transaction, &self.modules, method, path)?;
        let Some(Route {
            component,
            path: routed_path,
        }) = route
        else {
            return Ok(None);
        };
        let module = self
            .modules
            .load(&mut transaction, component.namespace, "http.js")?;
        let Some(module) = module else {
            return Ok(None);
        };
        let environment = self.environment(&mut transaction, &component)?;
        let mut execution = Execution {
            runner: self,
            transaction: &mut transaction,
            identity: &Identity::Anonymous,
            request_id: "",
            origin: &RequestOrigin::default(),
            time_ms: clock::now_ms().floor(),
            observed: Observed::default(),
            log_lines: Vec::new(),
            depth: 0,
            started: Instant::now(),
            user_time: Duration::ZERO,
            sizes: Sizes::default(),
        };
        let image = execution.image(&component, &module, Environment::HttpAction)?;
        execution.add_import_logs(&image);
        let path = "http.js:default".parse();
        let prepared = Prepared {
            image,
            environment,
            log_lines: std::mem::take(&mut execution.log_lines),
            function: None,
            path: path.map_err(|_| CodedError::internal("http.js is no path"))?,
            component,
        };
        Ok(Some((prepared, routed_path)))
    }

    /// All variables, the server's own included.
    fn environment(
        &self,
        transaction: &mut Transaction,
        component: &Component,
    ) -> Result<std::collections::HashMap<String, String>, CodedError> {
        let built_in = self.built_in_variables(transaction)?;
        component.read_variables(transaction, &built_in)
    }

    /// Checks what an action returned.
    pub(crate) fn check_action_result(
        &self,
        prepared: &Prepared,
        result: Result<PackedValue, JsError>,
    ) -> Result<PackedValue, CallError> {
        let value = prepared.describe(result)?;
        check_value(prepared.path.stripped(), &value, false)?;
        let mut transaction = self.engine.begin(&clock::begin_context())?;
        if let Some(function) = &prepared.function {
            transaction
                .with_table_names(prepared.component.namespace, |names| {
                    function.returns.check(value.as_ref(), names)
                })
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(value)
    }
}

/// Checks size and placeholders of a result.
fn check_value(
    path: impl std::fmt::Display,
    value: &PackedValue,
    may_hold_commit_ts: bool,
) -> Result<(), CallError> {
    let size = value.as_ref().size();
    if size > ARGS_SIZE_MAX {
        return Err(failed(format!(
            "Function {path} return value is too large (actual: {}, limit: 16 MiB)",
            format_size(size)
        )));
    }
    if !may_hold_commit_ts && value.as_ref().has_commit_ts() {
        return Err(failed(format!(
            "Function {path} return value invalid: queries cannot return an unresolved commit timestamp"
        )));
    }
    Ok(())
}

/// Takes a console line, up to the limit of a whole execution.
pub(crate) fn push_log(log_lines: &mut Vec<LogLine>, line: hull_js::LogLine) {
    let lines = log_lines.len();
    if lines >= LOG_LINES_MAX {
        return;
    }
    let mut line = LogLine {
        level: line.level.as_str(),
        messages: line.messages,
        is_truncated: line.truncated,
        timestamp_ms: line.timestamp_ms as i64,
        component_path: None,
        udf_path: None,
        system_code: None,
    };
    if lines == LOG_LINES_MAX - 1 {
        line.level = "ERROR";
        line.messages = vec![format!(
            "Log overflow (maximum {LOG_LINES_MAX}). Remaining log lines omitted."
        )];
        line.is_truncated = false;
    }
    log_lines.push(line);
}

/// Whether a limit is nearly reached, and not passed.
fn is_near(used: u128, limit: u128) -> bool {
    used * 10 > limit * 8 && used <= limit
}

/// Turns what JavaScript came to into the error of the call.
fn js_error(error: JsError, maps: &dyn hull_js::SourceMaps) -> CallError {
    let (message, data) = match error {
        JsError::Thrown(exception) | JsError::Compile(exception) => {
            (hull_js::render(&exception, maps), exception.data)
        }
        JsError::Aborted(reason) => {
            return match reason.downcast::<CodedError>() {
                Ok(error) => CallError::System(*error),
                Err(_) => CallError::System(CodedError::internal(
                    "a call was aborted for an unknown reason",
                )),
            };
        }
        JsError::Stopped => return CallError::System(workers::shutting_down()),
        JsError::Internal(message) => return CallError::System(CodedError::internal(message)),
        other => (other.to_string(), None),
    };
    CallError::Function(FunctionError {
        message: truncate(message),
        data,
    })
}

fn truncate(mut message: String) -> String {
    if message.len() > ERROR_MESSAGE_BYTES_MAX {
        let mut end = ERROR_MESSAGE_BYTES_MAX;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}
