//! Running one query or mutation.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use hull_value::PackedValue;

use crate::convert::{self, bindings};
use crate::error::JsError;
use crate::exception;
use crate::ffi::{self, JSValue};
use crate::host::{Args, Host};
use crate::image::Image;
use crate::js::Js;
use crate::limits;
use crate::natives;
use crate::slot::{Fatal, PendingCall, Phase, Run};
use crate::vm::Vm;

/// What kind of function a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    Query,
    Mutation,
    /// Runs as an [`Activity`](crate::Activity).
    Action,
}

impl CallKind {
    const ALL: [CallKind; 3] = [CallKind::Query, CallKind::Mutation, CallKind::Action];

    pub(crate) fn phase(self) -> Phase {
        match self {
            CallKind::Query => Phase::Query,
            CallKind::Mutation => Phase::Mutation,
            CallKind::Action => Phase::Action,
        }
    }

    /// Marker property of its registration and the property that invokes it.
    pub(crate) fn properties(self) -> (&'static CStr, &'static CStr) {
        match self {
            CallKind::Query => (c"isQuery", c"invokeQuery"),
            CallKind::Mutation => (c"isMutation", c"invokeMutation"),
            CallKind::Action => (c"isAction", c"invokeAction"),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            CallKind::Query => "query",
            CallKind::Mutation => "mutation",
            CallKind::Action => "action",
        }
    }
}

/// One call of a function.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Export name.
    pub export: &'a str,
    pub kind: CallKind,
    /// JSON text of the argument array.
    pub args_json: &'a str,
    pub seed: [u8; 32],
    /// Frozen time, milliseconds since 1970.
    pub time_ms: f64,
    /// Limit of the time spent outside of host calls.
    pub user_timeout: Duration,
}

/// What a call came to.
#[derive(Debug)]
pub struct CallOutcome {
    pub result: Result<PackedValue, JsError>,
    pub observed_time: bool,
    pub observed_rng: bool,
    /// Time spent outside of host calls.
    pub user_time: Duration,
}

/// A pristine isolate of an image; goes back to the pool when dropped.
pub struct Isolate {
    vm: Option<Vm>,
    image: Arc<Image>,
    taken_bytes: usize,
}

impl Isolate {
    pub(crate) fn new(vm: Vm, image: Arc<Image>) -> Self {
        let taken_bytes = vm.bytes();
        Isolate {
            vm: Some(vm),
            image,
            taken_bytes,
        }
    }

    /// Runs one call to its end; afterwards the isolate is pristine again.
    ///
    /// A panic of the host is raised again here once the isolate is clean.
    pub fn call(&mut self, call: &Call<'_>, host: &mut dyn Host) -> CallOutcome {
        let Some(vm) = &mut self.vm else {
            return CallOutcome::failed(JsError::internal(
                "the isolate could not be reset after an earlier call",
            ));
        };
        let mut run = Run::new(
            call.kind.phase(),
            &call.seed,
            call.time_ms,
            call.user_timeout,
        );
        // SAFETY: the run is replaced by the reset below, before `host` is released.
        unsafe { run.lend_host(host) };
        vm.slot().run = run;
        let result = vm.enter().and_then(|()| {
            Driver {
                vm,
                module: &self.image.spec().entry,
                export: call.export,
                kind: call.kind,
            }
            .run(call)
        });
        let run = &mut vm.slot().run;
        let outcome = CallOutcome {
            result,
            observed_time: run.observed_time,
            observed_rng: run.observed_rng,
            user_time: run.started.elapsed().saturating_sub(run.host_time),
        };
        let panic = match run.fatal.take() {
            Some(Fatal::Panicked(panic)) => Some(panic),
            _ => None,
        };
        self.finish();
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
        outcome
    }

    pub(crate) fn vm(&self) -> Option<&Vm> {
        self.vm.as_ref()
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// Makes the isolate pristine again.
    pub(crate) fn finish(&mut self) {
        if let Some(vm) = &mut self.vm
            && let Err(error) = vm.reset()
        {
            tracing::error!(%error, "an isolate could not be reset and is dropped");
            self.vm = None;
        }
    }

    /// Whether every byte equals the image.
    #[cfg(test)]
    pub(crate) fn is_pristine(&self) -> bool {
        self.vm.as_ref().is_some_and(Vm::is_pristine)
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        self.image.give_back(self.vm.take(), self.taken_bytes);
    }
}

impl CallOutcome {
    fn failed(error: JsError) -> Self {
        CallOutcome {
            result: Err(error),
            observed_time: false,
            observed_rng: false,
            user_time: Duration::ZERO,
        }
    }
}

/// The loop of function-runtime 2.2.
pub(crate) struct Driver<'a> {
    pub(crate) vm: &'a Vm,
    /// Path of the entry module, for messages.
    pub(crate) module: &'a str,
    pub(crate) export: &'a str,
    pub(crate) kind: CallKind,
}

impl Driver<'_> {
    fn run(&self, call: &Call<'_>) -> Result<PackedValue, JsError> {
        let js = self.vm.js();
        let function = self.find_function()?;
        let (_, invoke) = call.kind.properties();
        // SAFETY: `function` is an object of this context.
        let invoke = unsafe { ffi::JS_GetPropertyStr(js.0, function, invoke.as_ptr()) };
        if invoke.is_exception() {
            return Err(self.vm.pending_error());
        }
        let args = js.string(call.args_json);
        if args.is_exception() {
            return Err(self.vm.pending_error());
        }
        bindings::expect_direct_result(js, invoke, args);
        // SAFETY: plain accessor.
        let global = unsafe { ffi::JS_GetGlobalObject(js.0) };
        let promise = js.call(invoke, global, &[args]);
        if promise.is_exception() {
            return Err(self.vm.pending_error());
        }
        let result = self.drive(js, promise)?;
        self.decode(js, result)
    }

    /// Looks the export up and checks what it is registered as.
    pub(crate) fn find_function(&self) -> Result<JSValue, JsError> {
        let js = self.vm.js();
        let (module, export) = (self.module, self.export);
        let missing = || {
            JsError::thrown(format!(
                "Couldn't find \"{export}\" in module \"{module}\"."
            ))
        };
        let atom = js.atom(export);
        // SAFETY: the namespace is part of the image; the atom is freed by the reset.
        let function = unsafe {
            if ffi::JS_HasProperty(js.0, self.vm.namespace, atom) != 1 {
                return Err(missing());
            }
            ffi::JS_GetProperty(js.0, self.vm.namespace, atom)
        };
        if function.is_exception() {
            return Err(self.vm.pending_error());
        }
        let has = |name: &CStr| {
            let Ok(name) = name.to_str() else {
                return false;
            };
            let atom = js.atom(name);
            // SAFETY: as above.
            function.is_object() && unsafe { ffi::JS_HasProperty(js.0, function, atom) } == 1
        };
        let (marker, _) = self.kind.properties();
        if has(marker) {
            return Ok(function);
        }
        let mut others = CallKind::ALL.into_iter();
        let other = others.find(|kind| has(kind.properties().0));
        Err(JsError::thrown(if let Some(other) = other {
            format!(
                "Function \"{module}:{export}\" is registered as a {} but is being run as a {}.",
                other.noun(),
                self.kind.noun()
            )
        } else if self.kind == CallKind::Action {
            format!(
                "Function \"{module}:{export}\" is not an action. Did you forget to wrap it with `action`?"
            )
        } else {
            format!(
                "Function \"{module}:{export}\" is neither a query or mutation. Did you forget to wrap it with \
                 `query` or `mutation`?"
            )
        }))
    }

    /// Runs microtasks and host calls in turn until nothing is left to do.
    fn drive(&self, js: Js, promise: JSValue) -> Result<JSValue, JsError> {
        loop {
            self.vm.drain_jobs()?;
            self.vm.check_unhandled(Some(promise))?;
            // SAFETY: `promise` is alive.
            let state = unsafe { ffi::JS_PromiseState(js.0, promise) };
            if state == ffi::PROMISE_REJECTED {
                // SAFETY: a rejected promise has a result.
                let reason = unsafe { ffi::JS_PromiseResult(js.0, promise) };
                let described = exception::describe(js, reason);
                self.vm.check_fatal()?;
                return Err(JsError::Thrown(described));
            }
            if self.vm.slot().run.pending.is_empty() {
                return match state {
                    // SAFETY: a fulfilled promise has a result.
                    ffi::PROMISE_FULFILLED => Ok(unsafe { ffi::JS_PromiseResult(js.0, promise) }),
                    ffi::PROMISE_PENDING => Err(JsError::NeverResolves),
                    // The registered function gave a plain value.
                    _ => Ok(promise),
                };
            }
            self.run_batch(js)?;
        }
    }

    /// Takes the next batch of queued host calls, runs it, delivers the results.
    fn run_batch(&self, js: Js) -> Result<(), JsError> {
        let batch = next_batch(&mut self.vm.slot().run.pending);
        let mut answers = Vec::with_capacity(batch.len());
        for call in &batch {
            let run = &mut self.vm.slot().run;
            let answer = run.with_host(|host| {
                let attempt = || host.async_syscall(&call.name, Args(&call.args));
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt))
            });
            match answer {
                Some(Ok(answer)) => answers.push(answer),
                Some(Err(panic)) => {
                    run.stop(Fatal::Panicked(panic));
                    self.vm.check_fatal()?;
                }
                None => return Err(JsError::internal("a call without a host")),
            }
        }
        for (call, answer) in batch.iter().zip(answers) {
            natives::settle_call(js, call, answer);
            self.vm.check_fatal()?;
            js.free(call.settle[0]);
            js.free(call.settle[1]);
        }
        Ok(())
    }

    pub(crate) fn decode(&self, js: Js, result: JSValue) -> Result<PackedValue, JsError> {
        if let Some(value) = self.vm.slot().run.direct_result.take() {
            return Ok(value);
        }
        let invalid = |why: &str| {
            JsError::thrown(format!(
                "Function {}:{} return value invalid: {why}",
                self.module, self.export
            ))
        };
        let text = js.chars(result).map(|chars| chars.to_strict());
        self.vm.check_fatal()?;
        match text {
            Some(Some(text)) => convert::parse_result(&text).map_err(|why| invalid(&why)),
            Some(None) => Err(invalid("lone surrogate in a string")),
            None => Err(invalid("the function did not return a string")),
        }
    }
}

/// Adjacent reads run together; everything else runs alone.
fn next_batch(pending: &mut std::collections::VecDeque<PendingCall>) -> Vec<PendingCall> {
    let Some(first) = pending.pop_front() else {
        return Vec::new();
    };
    let group = batch_group(&first.name);
    let mut batch = vec![first];
    while batch.len() < limits::BATCH_MAX
        && group.is_some()
        && pending
            .front()
            .is_some_and(|call| batch_group(&call.name) == group)
    {
        batch.extend(pending.pop_front());
    }
    batch
}

fn batch_group(name: &str) -> Option<u8> {
    match name {
        "1.0/get" | "1.0/queryStreamNext" => Some(0),
        "1.0/storageGetUrl" => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
