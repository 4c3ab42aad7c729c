//! Running one action: many steps, on any thread, with waiting in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hull_value::PackedValue;

use crate::error::JsError;
use crate::exception;
use crate::ffi;
use crate::host::{ActionHost, Answer, HostCall, OpId};
use crate::image::Image;
use crate::isolate::{CallKind, Driver, Isolate};
use crate::natives;
use crate::slot::{Fatal, PendingOp, Run, Waiting};
use crate::vm::Vm;

/// An action under way: an isolate of its own from start to end. It holds no
/// thread while it waits; dropping it ends it.
pub struct Activity {
    isolate: Isolate,
    export: String,
    args_json: String,
    request_id: String,
    is_started: bool,
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

impl Image {
    /// Prepares an action; it does nothing before its first step.
    pub fn activity(self: &Arc<Self>, call: &ActionCall<'_>) -> Result<Activity, JsError> {
        let isolate = self.isolate()?;
        if let Some(vm) = isolate.vm() {
            let phase = CallKind::Action.phase();
            vm.slot().run = Run::new(phase, &call.seed, call.time_ms, call.timeout);
        }
        Ok(Activity {
            isolate,
            export: call.export.to_owned(),
            args_json: call.args_json.to_owned(),
            request_id: call.request_id.to_owned(),
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
            export: &self.export,
            kind: CallKind::Action,
        };
        if !self.is_started {
            let function = driver.find_function()?;
            let (_, invoke) = CallKind::Action.properties();
            // SAFETY: `function` is an object of this context.
            let invoke = unsafe { ffi::JS_GetPropertyStr(js.0, function, invoke.as_ptr()) };
            let args = [js.string(&self.request_id), js.string(&self.args_json)];
            if invoke.is_exception() || args.iter().any(|arg| arg.is_exception()) {
                return Err(vm.pending_error());
            }
            // SAFETY: plain accessor.
            let global = unsafe { ffi::JS_GetGlobalObject(js.0) };
            let returned = js.call(invoke, global, &args);
            if returned.is_exception() {
                return Err(vm.pending_error());
            }
            vm.slot().run.returned = Some(returned);
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
    let syscalls = run.pending.iter().map(|call| &call.name);
    let ops = run.pending_ops.iter().map(|op| &op.name);
    let started = run.waiting.values().map(|waiting| match waiting {
        Waiting::Syscall(call) => &call.name,
        Waiting::Op { name, .. } => name,
    });
    started
        .chain(syscalls)
        .chain(ops)
        .filter(|name| *name != "sleep")
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
