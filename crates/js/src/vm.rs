//! One isolate's machinery: arena, runtime, context and slot; building it and putting it back.

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::arena::snapshot::{Snapshot, Strategy};
use crate::arena::{Arena, alloc};
use crate::compile::SCHEME;
use crate::convert::bindings;
use crate::error::JsError;
use crate::exception;
use crate::ffi::{self, JSContext, JSRuntime, JSValue};
use crate::host::LogLine;
use crate::image::{Environment, ImageSpec};
use crate::js::Js;
use crate::limits;
use crate::modules;
use crate::native_stack;
use crate::natives;
use crate::slot::{Fatal, Phase, Run, Slot};

/// A compiled bootstrap script.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) bytecode: Vec<u8>,
}

/// How to build one.
pub(crate) struct Recipe<'a> {
    pub(crate) bootstrap: &'a [Script],
    pub(crate) spec: &'a Arc<ImageSpec>,
    pub(crate) heap_limit_bytes: usize,
    pub(crate) import_timeout: Duration,
}

/// A runtime in its own arena. Runs on any thread, one at a time.
pub(crate) struct Vm {
    pub(crate) ctx: *mut JSContext,
    rt: *mut JSRuntime,
    slot: *mut Slot,
    /// Namespace of the entry module.
    pub(crate) namespace: JSValue,
    snapshot: Option<Snapshot>,
    arena: Arena,
    heap_limit_bytes: usize,
    /// Private bytes after the last reset, for accounting.
    dirty_bytes: usize,
}

// SAFETY: the runtime has no thread-local state but the stack limit, which
// `enter` sets anew; all pointers lead into this value's own memory.
unsafe impl Send for Vm {}

/// What evaluating the modules did that every call repeats.
#[derive(Default)]
pub(crate) struct ImportRecord {
    pub(crate) env_reads: Vec<(String, Option<String>)>,
    pub(crate) logs: Vec<LogLine>,
}

impl Vm {
    /// Makes a runtime and evaluates bootstrap and modules. The record is
    /// complete also when the import failed.
    pub(crate) fn build(recipe: &Recipe<'_>) -> (Result<Self, JsError>, ImportRecord) {
        let mut vm = match Vm::empty(recipe) {
            Ok(vm) => vm,
            Err(error) => return (Err(error), ImportRecord::default()),
        };
        let outcome = vm.evaluate(recipe);
        let run = &mut vm.slot().run;
        let record = ImportRecord {
            env_reads: std::mem::take(&mut run.env_reads),
            logs: std::mem::take(&mut run.import_logs),
        };
        (outcome.map(|()| vm), record)
    }

    fn empty(recipe: &Recipe<'_>) -> Result<Self, JsError> {
        let arena = Arena::reserve(limits::IMAGE_HEAP_BYTES)
            .map_err(|error| JsError::internal(format!("cannot reserve address space: {error}")))?;
        // SAFETY: the arena outlives the runtime: both go with the `Vm`, and no
        // engine function is called after the arena is gone.
        unsafe {
            let rt = ffi::JS_NewRuntime2(&alloc::FUNCTIONS, arena.opaque());
            if rt.is_null() {
                return Err(JsError::internal("no memory for a runtime"));
            }
            let ctx = ffi::JS_NewContextRaw(rt);
            if ctx.is_null() {
                return Err(JsError::internal("no memory for a context"));
            }
            let mut box_class = 0;
            ffi::JS_NewClassID(rt, &raw mut box_class);
            let phase = recipe.spec.environment.import_phase();
            let import_ms = (recipe.spec.import_time_ns / 1_000_000) as f64;
            let slot = Box::into_raw(Box::new(Slot {
                spec: recipe.spec.clone(),
                run: Run::new(
                    phase,
                    &recipe.spec.import_seed,
                    import_ms,
                    recipe.import_timeout,
                ),
                box_class,
                native: JSValue::UNDEFINED,
                loading: false,
                loaded: Vec::new(),
                placeholders: Vec::new(),
                miss: JSValue::UNDEFINED,
            }));
            ffi::JS_SetContextOpaque(ctx, slot.cast());
            let vm = Vm {
                ctx,
                rt,
                slot,
                namespace: JSValue::UNDEFINED,
                snapshot: None,
                arena,
                heap_limit_bytes: recipe.heap_limit_bytes,
                dirty_bytes: 0,
            };
            vm.install_hooks();
            vm.add_intrinsics()?;
            Ok(vm)
        }
    }

    fn install_hooks(&self) {
        // SAFETY: static functions; the slot lives as long as the runtime.
        unsafe {
            let opaque = self.slot.cast();
            ffi::JS_SetInterruptHandler(self.rt, Some(interrupt), opaque);
            ffi::JS_SetModuleLoaderFunc(
                self.rt,
                Some(modules::normalize),
                Some(modules::load),
                opaque,
            );
            ffi::JS_SetHostPromiseRejectionTracker(self.rt, Some(track_rejection), opaque);
        }
    }

    /// Everything of the language but `eval` and the real-time `performance`.
    fn add_intrinsics(&self) -> Result<(), JsError> {
        let ctx = self.ctx;
        // SAFETY: a fresh context.
        let failed = unsafe {
            ffi::JS_AddIntrinsicBaseObjects(ctx)
                | ffi::JS_AddIntrinsicDate(ctx)
                | ffi::JS_AddIntrinsicRegExp(ctx)
                | ffi::JS_AddIntrinsicJSON(ctx)
                | ffi::JS_AddIntrinsicProxy(ctx)
                | ffi::JS_AddIntrinsicMapSet(ctx)
                | ffi::JS_AddIntrinsicTypedArrays(ctx)
                | ffi::JS_AddIntrinsicPromise(ctx)
                | ffi::JS_AddIntrinsicWeakRef(ctx)
                | ffi::JS_AddIntrinsicDOMException(ctx)
                | ffi::JS_AddIntrinsicAToB(ctx)
        };
        if failed != 0 {
            return Err(JsError::internal("no memory for the built-in objects"));
        }
        self.slot().miss = bindings::prepare(Js(ctx), self.slot().box_class)?;
        Ok(())
    }

    fn evaluate(&mut self, recipe: &Recipe<'_>) -> Result<(), JsError> {
        self.enter()?;
        let js = self.js();
        let native = natives::make(js);
        if native.is_exception() {
            return Err(JsError::internal("no memory for the natives"));
        }
        self.slot().native = native;
        for script in recipe.bootstrap {
            self.run_script(script, native)?;
        }
        self.slot().loading = true;
        let evaluated = self.evaluate_entry(&recipe.spec.entry);
        self.slot().loading = false;
        self.namespace = evaluated?;
        Ok(())
    }

    fn run_script(&self, script: &Script, native: JSValue) -> Result<(), JsError> {
        let js = self.js();
        let defect = |js: Js| {
            let exception = js.take_exception();
            let text = js.to_text(exception).unwrap_or_default();
            let frames = crate::compile::error_frames(js, exception);
            let place: String = frames.iter().map(|frame| format!("\n{frame}")).collect();
            JsError::internal(format!("bootstrap script {}: {text}{place}", script.name))
        };
        // SAFETY: bytecode made by this process.
        let function = unsafe {
            let unit = ffi::JS_ReadObject(
                js.0,
                script.bytecode.as_ptr(),
                script.bytecode.len(),
                ffi::READ_OBJ_BYTECODE,
            );
            if unit.is_exception() {
                return Err(defect(js));
            }
            ffi::JS_EvalFunction(js.0, unit)
        };
        if function.is_exception() {
            return Err(defect(js));
        }
        let result = js.call(function, JSValue::UNDEFINED, &[native]);
        js.free(function);
        if result.is_exception() {
            return Err(defect(js));
        }
        js.free(result);
        Ok(())
    }

    /// Evaluates the entry module and its imports; returns its namespace.
    fn evaluate_entry(&self, entry: &str) -> Result<JSValue, JsError> {
        let js = self.js();
        let name = CString::new(format!("{SCHEME}{entry}"))
            .map_err(|_| JsError::internal("zero byte in a path"))?;
        // SAFETY: the loader returns a module of this context or null with an exception.
        let module = unsafe { modules::load(js.0, name.as_ptr(), self.slot.cast()) };
        if module.is_null() {
            return Err(self.pending_error());
        }
        let value = modules::value_of(module);
        // SAFETY: resolving and evaluating a module of this context; evaluation
        // takes a reference of its own, as the engine's own callers arrange.
        unsafe {
            if ffi::JS_ResolveModule(js.0, value) < 0 {
                return Err(self.pending_error());
            }
            self.slot().loading = false;
            let promise = ffi::JS_EvalFunction(js.0, js.dup(value));
            if promise.is_exception() {
                return Err(self.pending_error());
            }
            if ffi::JS_PromiseState(js.0, promise) == ffi::PROMISE_PENDING {
                self.check_fatal()?;
                return Err(JsError::thrown(
                    "Top-level awaits in source files are unsupported",
                ));
            }
            if ffi::JS_PromiseState(js.0, promise) == ffi::PROMISE_REJECTED {
                self.check_fatal()?;
                let reason = ffi::JS_PromiseResult(js.0, promise);
                let native = self.slot().native;
                let described = exception::describe_check(js, native, reason);
                return Err(JsError::Thrown(described));
            }
            self.drain_jobs()?;
            self.check_unhandled(None)?;
            let namespace = ffi::JS_GetModuleNamespace(js.0, module);
            if namespace.is_exception() {
                Err(self.pending_error())
            } else {
                Ok(namespace)
            }
        }
    }

    /// Freezes the state reached as the image of later calls.
    pub(crate) fn freeze(&mut self, strategy: Strategy) -> Result<(), JsError> {
        // SAFETY: nothing runs.
        unsafe {
            ffi::JS_RunGC(self.rt);
            // The cycle collector writes the whole heap: during a call it would
            // cost more than the garbage, which the reset drops for free.
            ffi::JS_SetGCThreshold(self.rt, self.arena.used() + self.heap_limit_bytes / 4 * 3);
        }
        self.slot().run = idle_run();
        self.arena
            .set_limit(self.arena.used() + self.heap_limit_bytes);
        let snapshot = Snapshot::take(&self.arena, strategy)
            .map_err(|error| JsError::internal(format!("cannot freeze an image: {error}")))?;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Puts the image back. After an error the `Vm` must be dropped.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        // The queued values are addresses into the arena: forgotten, not freed.
        self.slot().run = idle_run();
        let snapshot = self
            .snapshot
            .as_mut()
            .expect("invariant: only frozen isolates run calls");
        self.dirty_bytes = snapshot.reset(&self.arena)?;
        Ok(())
    }

    /// Gives private memory back to the system; the next call pays page faults.
    pub(crate) fn release_memory(&mut self) {
        if let Some(snapshot) = &self.snapshot {
            snapshot.release_memory(&self.arena);
            self.dirty_bytes = 0;
        }
    }

    /// Memory this isolate holds, in bytes: the image and its private pages.
    pub(crate) fn bytes(&self) -> usize {
        let image = self
            .snapshot
            .as_ref()
            .map_or(self.arena.used(), Snapshot::image_bytes);
        image + self.dirty_bytes + size_of::<Slot>()
    }

    #[cfg(test)]
    pub(crate) fn is_pristine(&self) -> bool {
        self.snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.is_pristine(&self.arena))
    }

    /// Sets the stack limit for the thread and depth we are at.
    pub(crate) fn enter(&self) -> Result<(), JsError> {
        let budget = native_stack::budget_bytes();
        if budget == 0 {
            return Err(JsError::internal(
                "no native stack left for another isolate",
            ));
        }
        // SAFETY: plain setters.
        unsafe {
            ffi::JS_SetMaxStackSize(self.rt, budget);
            ffi::JS_UpdateStackTop(self.rt);
        }
        Ok(())
    }

    pub(crate) fn js(&self) -> Js {
        Js(self.ctx)
    }

    /// The slot; never held across a call into JavaScript.
    #[allow(
        clippy::mut_from_ref,
        reason = "the slot is reached through the context as well; uses never overlap"
    )]
    pub(crate) fn slot(&self) -> &mut Slot {
        // SAFETY: allocated in `empty`, freed in `drop`, used by one thread.
        unsafe { &mut *self.slot }
    }

    /// Notes refused allocations: user code may have caught the exception.
    fn note_memory(&self) {
        if self.arena.refused() > 0 {
            self.slot().run.stop(Fatal::OutOfMemory);
        }
    }

    /// The reason to stop, if one came up.
    pub(crate) fn check_fatal(&self) -> Result<(), JsError> {
        self.note_memory();
        let run = &mut self.slot().run;
        match run.fatal.take() {
            None => Ok(()),
            Some(Fatal::Timeout) => Err(JsError::Timeout { limit: run.timeout }),
            Some(Fatal::Stopped) => Err(JsError::Stopped),
            Some(Fatal::OutOfMemory) => Err(JsError::OutOfMemory {
                limit_bytes: self.heap_limit_bytes,
            }),
            Some(Fatal::Uncatchable(exception)) => Err(JsError::Thrown(exception)),
            Some(Fatal::Aborted(reason)) => Err(JsError::Aborted(reason)),
            Some(Fatal::Panicked(panic)) => {
                // Kept for the caller, who raises it once the arena is clean.
                run.fatal = Some(Fatal::Panicked(panic));
                Err(JsError::internal("the host panicked"))
            }
        }
    }

    /// Turns the pending exception, or the reason behind it, into an error.
    pub(crate) fn pending_error(&self) -> JsError {
        if let Err(error) = self.check_fatal() {
            return error;
        }
        let js = self.js();
        let thrown = js.take_exception();
        let described = exception::describe(js, thrown);
        js.free(thrown);
        match self.check_fatal() {
            Err(error) => error,
            Ok(()) => JsError::Thrown(described),
        }
    }

    /// Runs microtasks until none is left.
    pub(crate) fn drain_jobs(&self) -> Result<(), JsError> {
        let mut ctx = std::ptr::null_mut();
        loop {
            // SAFETY: runs one job of this runtime.
            let outcome = unsafe { ffi::JS_ExecutePendingJob(self.rt, &raw mut ctx) };
            if self.slot().run.fatal.is_some() || self.arena.refused() > 0 {
                self.check_fatal()?;
            }
            match outcome {
                0 => return Ok(()),
                n if n < 0 => self.js().drop_exception(),
                _ => {}
            }
        }
    }

    /// Fails with the first rejection nobody handles; `except` is a promise the
    /// caller itself looks at.
    pub(crate) fn check_unhandled(&self, except: Option<JSValue>) -> Result<(), JsError> {
        let reason = {
            let run = &self.slot().run;
            let mut unhandled = run.unhandled.iter();
            unhandled
                .find(|(promise, _)| {
                    except.is_none_or(|except| except.address() != promise.address())
                })
                .map(|(_, reason)| *reason)
        };
        match reason {
            None => Ok(()),
            Some(reason) => {
                let described = exception::describe(self.js(), reason);
                self.check_fatal()?;
                Err(JsError::Thrown(described))
            }
        }
    }
}

/// State between calls: nothing to reach.
fn idle_run() -> Run {
    Run::new(Phase::Import, &[0; 32], 0.0, Duration::ZERO)
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Values the slot holds lie in the arena, which goes as a whole.
        // SAFETY: made by `Box::into_raw` in `empty`.
        drop(unsafe { Box::from_raw(self.slot) });
    }
}

/// Polled by the engine; non-zero stops the code, uncatchably.
unsafe extern "C" fn interrupt(_rt: *mut JSRuntime, opaque: *mut c_void) -> c_int {
    // SAFETY: the slot given to `JS_SetInterruptHandler`.
    let slot = unsafe { &mut *opaque.cast::<Slot>() };
    if Instant::now() >= slot.run.deadline {
        slot.run.stop(Fatal::Timeout);
    } else if slot.run.stop_when.as_ref().is_some_and(|stops| stops()) {
        slot.run.stop(Fatal::Stopped);
    }
    c_int::from(slot.run.fatal.is_some())
}

unsafe extern "C" fn track_rejection(
    ctx: *mut JSContext,
    promise: JSValue,
    reason: JSValue,
    is_handled: bool,
    opaque: *mut c_void,
) {
    // SAFETY: as in `interrupt`; the duplicates live until the reset.
    let slot = unsafe { &mut *opaque.cast::<Slot>() };
    let js = Js(ctx);
    let unhandled = &mut slot.run.unhandled;
    if !is_handled {
        unhandled.push((js.dup(promise), js.dup(reason)));
    } else if let Some(at) = unhandled
        .iter()
        .position(|(known, _)| known.address() == promise.address())
    {
        let (known, reason) = unhandled.remove(at);
        js.free(known);
        js.free(reason);
    }
}

impl Environment {
    fn import_phase(self) -> Phase {
        match self {
            Environment::Query
            | Environment::Mutation
            | Environment::Action
            | Environment::HttpAction => Phase::Import,
            Environment::Analysis => Phase::Analysis,
            Environment::Schema => Phase::Schema,
            Environment::AuthConfig => Phase::AuthConfig,
            Environment::Definition => Phase::Definition,
            Environment::ComponentDefinition => Phase::ComponentDefinition,
        }
    }
}
