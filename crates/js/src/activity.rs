//! Running one action: many steps, on any thread, with waiting in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hull_value::PackedValue;

use crate::error::JsError;
use crate::exception;
use crate::ffi::{self, JSValue};
use crate::host::{ActionHost, Answer, HostCall, OpId};
use crate::image::Image;
use crate::isolate::{CallKind, Driver, Isolate};
use crate::natives;
use crate::slot::{Fatal, PendingOp, Phase, Run, Waiting};
use crate::vm::Vm;

/// An action under way: an isolate of its own from start to end. It holds no
/// thread while it waits; dropping it ends it.
pub struct Activity {
    isolate: Isolate,
    entry: Entry,
    is_started: bool,
}

/// What an activity begins with.
enum Entry {
    Function {
        export: String,
        args_json: String,
        request_id: String,
    },
    Http {
        request_json: String,
        path: String,
        method: String,
    },
}

/// What a step came to.
#[derive(Debug)]
pub enum Step {
    /// There is nothing to do before an answer comes.
    Waiting,
    Done(ActionOutcome),
}

/// What an action came to.
#[derive(Debug)]
pub struct ActionOutcome {
    pub result: Result<PackedValue, JsError>,
    /// Names of the calls nobody waited for; sleeps not counted.
    pub unawaited: Vec<String>,
}

/// One call of an action.
#[derive(Clone, Copy, Debug)]
pub struct ActionCall<'a> {
    /// Export name.
    pub export: &'a str,
    /// JSON text of the argument array.
    pub args_json: &'a str,
    /// Handed to the library, which hands it back with each of its calls.
    pub request_id: &'a str,
    pub seed: [u8; 32],
    /// When it starts, milliseconds since 1970.
    pub time_ms: f64,
    /// Limit of all its time, waiting included.
    pub timeout: Duration,
}

/// One request to an HTTP action.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// JSON text of what the library makes a `Request` of (function runtime spec 3.12).
    pub request_json: &'a str,
    /// The path that routes are looked up by.
    pub path: &'a str,
    pub method: &'a str,
    pub seed: [u8; 32],
    /// When it starts, milliseconds since 1970.
    pub time_ms: f64,
    /// Limit of all its time, waiting included.
    pub timeout: Duration,
}

impl Image {
    /// Prepares an action; it does nothing before its first step.
    pub fn activity(self: &Arc<Self>, call: &ActionCall<'_>) -> Result<Activity, JsError> {
        let entry = Entry::Function {
            export: call.export.to_owned(),
            args_json: call.args_json.to_owned(),
            request_id: call.request_id.to_owned(),
        };
        let run = Run::new(Phase::Action, &call.seed, call.time_ms, call.timeout);
        self.activity_of(entry, run)
    }

    /// Prepares a request to the router this module exports. Head and body of
    /// the response are operations; without a route there is no head.
    pub fn http_activity(self: &Arc<Self>, call: &HttpCall<'_>) -> Result<Activity, JsError> {
        let entry = Entry::Http {
            request_json: call.request_json.to_owned(),
            path: call.path.to_owned(),
            method: call.method.to_owned(),
        };
        let run = Run::new(Phase::HttpAction, &call.seed, call.time_ms, call.timeout);
        self.activity_of(entry, run)
    }

    fn activity_of(self: &Arc<Self>, entry: Entry, run: Run) -> Result<Activity, JsError> {
        let isolate = self.isolate()?;
        if let Some(vm) = isolate.vm() {
            vm.slot().run = run;
        }
        Ok(Activity {
            isolate,
            entry,
            is_started: false,
        })
    }
}

impl Activity {
    /// Delivers answers and runs until there is nothing left to do. Answers that
    /// nobody waits for any more are dropped. After `Done` the activity is over.
    ///
    /// A panic of the host is raised again here.
    pub fn run(&mut self, host: &mut dyn ActionHost, answers: Vec<(OpId, Answer)>) -> Step {
        let Some(vm) = self.isolate.vm() else {
            let error = JsError::internal("the action is over");
            return Step::Done(ActionOutcome::failed(error));
        };
        // SAFETY: taken back before this method ends.
        unsafe { vm.slot().run.lend_host(host) };
        let result = self.step(vm, answers);
        self.is_started = true;
        vm.slot().run.return_host();
        let result = match result {
            Ok(None) => {
                start_pending(vm, host);
                // Nothing was asked for, and nobody will answer.
                if vm.slot().run.waiting.is_empty() {
                    Err(JsError::NeverResolves)
                } else {
                    return Step::Waiting;
                }
            }
            Ok(Some(value)) => Ok(value),
            Err(error) => Err(error),
        };
        let unawaited = unawaited(vm);
        let run = &mut vm.slot().run;
        for op in run.waiting.keys().chain(&run.cancelled) {
            host.cancel(*op);
        }
        let panic = match vm.slot().run.fatal.take() {
            Some(Fatal::Panicked(panic)) => Some(panic),
            _ => None,
        };
        self.isolate.finish();
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
        Step::Done(ActionOutcome { result, unawaited })
    }

    /// Gives the condition on which running code is to stop before its time is
    /// up, with [`JsError::Stopped`]. It is asked again and again while code runs.
    pub fn stop_when(&mut self, condition: impl Fn() -> bool + Send + 'static) {
        if let Some(vm) = self.isolate.vm() {
            vm.slot().run.stop_when = Some(Box::new(condition));
        }
    }

    /// When its time is up; [`run`](Self::run) from then on ends it.
    pub fn deadline(&self) -> Option<Instant> {
        self.isolate.vm().map(|vm| vm.slot().run.deadline)
    }

    /// `None`: waiting.
    fn step(&self, vm: &Vm, answers: Vec<(OpId, Answer)>) -> Result<Option<PackedValue>, JsError> {
        vm.enter()?;
        let js = vm.js();
        let driver = Driver {
            vm,
            module: &self.isolate.image().spec().entry,
            export: self.entry.export(),
            kind: CallKind::Action,
        };
        if !self.is_started {
            vm.slot().run.returned = Some(self.start(vm, &driver)?);
        }
        if Instant::now() >= vm.slot().run.deadline {
            vm.slot().run.stop(Fatal::Timeout);
            vm.check_fatal()?;
        }
        // One answer at a time, with what follows from it: as if each had come alone.
        let mut answers = answers.into_iter();
        loop {
            vm.drain_jobs()?;
            let Some(returned) = vm.slot().run.returned else {
                return Err(JsError::internal("an action without a promise"));
            };
            vm.check_unhandled(Some(returned))?;
            // SAFETY: `returned` is alive.
            match unsafe { ffi::JS_PromiseState(js.0, returned) } {
                ffi::PROMISE_REJECTED => {
                    // SAFETY: a rejected promise has a result.
                    let reason = unsafe { ffi::JS_PromiseResult(js.0, returned) };
                    let described = exception::describe(js, reason);
                    vm.check_fatal()?;
                    return Err(JsError::Thrown(described));
                }
                ffi::PROMISE_FULFILLED => {
                    // SAFETY: a fulfilled promise has a result.
                    let value = unsafe { ffi::JS_PromiseResult(js.0, returned) };
                    return driver.decode(js, value).map(Some);
                }
                ffi::PROMISE_PENDING => {}
                // The registered function gave a plain value.
                _ => return driver.decode(js, returned).map(Some),
            }
            let Some((op, answer)) = answers.next() else {
                return Ok(None);
            };
            let waiting = vm.slot().run.waiting.remove(&op);
            match (waiting, answer) {
                (Some(Waiting::Syscall(call)), Answer::Syscall(answer)) => {
                    natives::settle_call(js, &call, answer);
                    js.free(call.settle[0]);
                    js.free(call.settle[1]);
                }
                (Some(Waiting::Op { settle, .. }), Answer::Op(answer)) => {
                    natives::settle_operation(js, settle, &answer);
                }
                // Cancelled meanwhile.
                (None, _) => {}
                (Some(_), _) => return Err(JsError::internal("an answer of another kind")),
            }
            vm.check_fatal()?;
        }
    }
}

impl Activity {
    /// Makes the first call; its promise is what the action comes to.
    fn start(&self, vm: &Vm, driver: &Driver<'_>) -> Result<JSValue, JsError> {
        let js = vm.js();
        let (function, args) = match &self.entry {
            Entry::Function {
                args_json,
                request_id,
                ..
            } => {
                let function = driver.find_function()?;
                let (_, invoke) = CallKind::Action.properties();
                // SAFETY: `function` is an object of this context.
                let invoke = unsafe { ffi::JS_GetPropertyStr(js.0, function, invoke.as_ptr()) };
                (invoke, vec![js.string(request_id), js.string(args_json)])
            }
            Entry::Http {
                request_json,
                path,
                method,
            } => {
                let run_http = js.get(vm.slot().native, c"runHttp");
                let run_http = run_http.ok_or_else(|| JsError::internal("no script for HTTP"))?;
                // SAFETY: the namespace is part of the image.
                let router =
                    unsafe { ffi::JS_GetPropertyStr(js.0, vm.namespace, c"default".as_ptr()) };
                let texts = [request_json, path, method].map(|text| js.string(text));
                let [request, path, method] = texts;
                (run_http, vec![router, request, path, method])
            }
        };
        if function.is_exception() || args.iter().any(|arg| arg.is_exception()) {
            return Err(vm.pending_error());
        }
        // SAFETY: plain accessor.
        let global = unsafe { ffi::JS_GetGlobalObject(js.0) };
        let returned = js.call(function, global, &args);
        if returned.is_exception() {
            return Err(vm.pending_error());
        }
        Ok(returned)
    }
}

impl Entry {
    fn export(&self) -> &str {
        match self {
            Entry::Function { export, .. } => export,
            Entry::Http { .. } => "default",
        }
    }
}

impl Waiting {
    fn name(&self) -> &str {
        match self {
            Waiting::Syscall(call) => &call.name,
            Waiting::Op { name, .. } => name,
        }
    }
}

/// Whether an operation is one that nobody need wait for.
fn is_background(name: &str) -> bool {
    matches!(name, "sleep" | "httpAborted")
}

impl Drop for Activity {
    fn drop(&mut self) {
        // Whatever it was in the middle of.
        self.isolate.finish();
    }
}

impl ActionOutcome {
    fn failed(error: JsError) -> ActionOutcome {
        ActionOutcome {
            result: Err(error),
            unawaited: Vec::new(),
        }
    }
}

/// Hands over what was asked for, in order, and what is not wanted any more.
fn start_pending(vm: &Vm, host: &mut dyn ActionHost) {
    let run = &mut vm.slot().run;
    for op in std::mem::take(&mut run.cancelled) {
        host.cancel(op);
    }
    for call in std::mem::take(&mut run.pending) {
        let op = run.next_op();
        let (name, args) = (call.name.clone(), call.args.clone());
        run.waiting.insert(op, Waiting::Syscall(call));
        host.start(op, HostCall::Syscall { name, args });
    }
    for pending in std::mem::take(&mut run.pending_ops) {
        let PendingOp {
            op,
            name,
            args,
            settle,
        } = pending;
        let known = name.clone();
        run.waiting.insert(
            op,
            Waiting::Op {
                name: known,
                settle,
            },
        );
        host.start(op, HostCall::Op { name, args });
    }
}

/// What was asked for and not waited for, by its names in the log (function runtime spec 5).
fn unawaited(vm: &Vm) -> Vec<String> {
    let run = &vm.slot().run;
    let syscalls = run.pending.iter().map(|call| &*call.name);
    let ops = run.pending_ops.iter().map(|op| &*op.name);
    let started = run.waiting.values().map(Waiting::name);
    started
        .chain(syscalls)
        .chain(ops)
        .filter(|name| !is_background(name))
        .map(|name| {
            let name = name.strip_prefix("1.0/").unwrap_or(name);
            let name = name.strip_prefix("actions/").unwrap_or(name);
            match name {
                "shallowMerge" => "patch",
                "queryPage" => "paginate",
                name => name,
            }
            .to_owned()
        })
        .collect()
}
