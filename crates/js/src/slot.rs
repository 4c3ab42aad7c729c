//! Host-side state of one isolate, at a stable address outside of the arena.
//!
//! The context's opaque pointer leads here. `run` is replaced as a whole at
//! the start of each call; nothing in it may outlive the reset of the arena,
//! because the JavaScript values it holds are plain addresses into it.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::compile::CompiledModule;
use crate::convert::build::ShapeCache;
use crate::ffi::{self, JSClassID, JSContext, JSValue};
use crate::host::{Host, LogLine, OpId};
use crate::image::ImageSpec;
use crate::ops::OpValue;
use crate::rng::Rng;

/// What runs now; decides clock, randomness and which host calls exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Import,
    Analysis,
    Schema,
    AuthConfig,
    Definition,
    ComponentDefinition,
    Query,
    Mutation,
    Action,
    HttpAction,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Import => "import",
            Phase::Analysis => "analysis",
            Phase::Schema => "schema",
            Phase::AuthConfig => "authConfig",
            Phase::Definition => "definition",
            Phase::ComponentDefinition => "componentDefinition",
            Phase::Query => "query",
            Phase::Mutation => "mutation",
            Phase::Action => "action",
            Phase::HttpAction => "httpAction",
        }
    }

    /// Whether a function body runs, not a module's top level or a push-time check.
    pub(crate) fn is_call(self) -> bool {
        matches!(self, Phase::Query | Phase::Mutation) || self.is_action()
    }

    /// Whether the clock is real and calls are answered later.
    pub(crate) fn is_action(self) -> bool {
        matches!(self, Phase::Action | Phase::HttpAction)
    }
}

/// An asynchronous host call waiting for its turn.
pub(crate) struct PendingCall {
    pub(crate) name: String,
    pub(crate) args: String,
    /// Fulfils and rejects the promise JavaScript holds.
    pub(crate) settle: [JSValue; 2],
    /// Whether the caller understands values instead of JSON text.
    pub(crate) wants_values: bool,
}

/// An operation of an action that JavaScript has asked for.
pub(crate) struct PendingOp {
    pub(crate) op: OpId,
    pub(crate) name: String,
    pub(crate) args: Vec<OpValue>,
    /// Called with the result or with the error.
    pub(crate) settle: [JSValue; 2],
}

/// What an action waits for, by what it is called in warnings.
pub(crate) enum Waiting {
    Syscall(PendingCall),
    Op { name: String, settle: [JSValue; 2] },
}

/// Why the running call must stop whatever user code does.
pub(crate) enum Fatal {
    Timeout,
    Stopped,
    OutOfMemory,
    Uncatchable(crate::error::JsException),
    Aborted(Box<dyn Any + Send>),
    Panicked(Box<dyn Any + Send>),
}

/// State of one run: an import or a call.
pub(crate) struct Run {
    pub(crate) phase: Phase,
    rng: Rng,
    /// Frozen time of a query or mutation, milliseconds since 1970.
    pub(crate) time_ms: f64,
    pub(crate) observed_time: bool,
    pub(crate) observed_rng: bool,
    pub(crate) pending: VecDeque<PendingCall>,
    /// Operations of an action that are to be started.
    pub(crate) pending_ops: Vec<PendingOp>,
    /// Those that were started and have no answer yet.
    pub(crate) waiting: BTreeMap<OpId, Waiting>,
    /// Started ones whose answer nobody wants any more.
    pub(crate) cancelled: Vec<OpId>,
    last_op: u64,
    /// What the function of an action returned: a promise.
    pub(crate) returned: Option<JSValue>,
    /// Promises rejected without a handler so far: identity and reason.
    pub(crate) unhandled: Vec<(JSValue, JSValue)>,
    pub(crate) fatal: Option<Fatal>,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// Whether to stop before it: nobody waits any more.
    pub(crate) stop_when: Option<Box<dyn Fn() -> bool + Send>>,
    /// The user-time limit behind `deadline`.
    pub(crate) timeout: Duration,
    /// Time spent in the host; not the user's.
    pub(crate) host_time: Duration,
    host: Option<NonNull<dyn Host>>,
    /// Address of the argument string of the invocation, while the invoked
    /// function is the library's own (see `recognise`).
    pub(crate) direct_args: Option<usize>,
    /// The result, where the library's own code delivered it natively.
    pub(crate) direct_result: Option<hull_value::PackedValue>,
    /// Shapes of documents built in this run.
    pub(crate) shapes: ShapeCache,
    /// What an import did that its calls must repeat.
    pub(crate) env_reads: Vec<(String, Option<String>)>,
    pub(crate) import_logs: Vec<LogLine>,
}

impl Run {
    pub(crate) fn new(phase: Phase, seed: &[u8; 32], time_ms: f64, timeout: Duration) -> Self {
        let started = Instant::now();
        Run {
            phase,
            rng: Rng::new(seed),
            time_ms,
            observed_time: false,
            observed_rng: false,
            pending: VecDeque::new(),
            pending_ops: Vec::new(),
            waiting: BTreeMap::new(),
            cancelled: Vec::new(),
            last_op: 0,
            returned: None,
            unhandled: Vec::new(),
            fatal: None,
            started,
            deadline: started + timeout,
            stop_when: None,
            timeout,
            host_time: Duration::ZERO,
            host: None,
            direct_args: None,
            direct_result: None,
            shapes: ShapeCache::default(),
            env_reads: Vec::new(),
            import_logs: Vec::new(),
        }
    }

    /// Lends the host for the time of the run.
    ///
    /// # Safety
    /// The host must outlive this `Run`, and nobody else may use it until then.
    pub(crate) unsafe fn lend_host(&mut self, host: &mut dyn Host) {
        // SAFETY: only the lifetime changes; the caller vouches for it.
        let host: NonNull<dyn Host> = unsafe { std::mem::transmute(NonNull::from(host)) };
        self.host = Some(host);
    }

    /// Runs a host operation; its time does not count as the user's.
    pub(crate) fn with_host<R>(&mut self, operation: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
        let mut host = self.host?;
        let before = Instant::now();
        // SAFETY: lent for this run, used on this thread only and not re-entered:
        // a host never calls the isolate that is calling it.
        let result = operation(unsafe { host.as_mut() });
        let spent = before.elapsed();
        self.host_time += spent;
        // The time of an action counts whole.
        if !self.phase.is_action() {
            self.deadline += spent;
        }
        Some(result)
    }

    /// Takes the host back before the run is over, until it is lent again.
    pub(crate) fn return_host(&mut self) {
        self.host = None;
    }

    pub(crate) fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    pub(crate) fn random(&mut self) -> f64 {
        self.observed_rng |= self.phase.is_call();
        self.rng.next_f64()
    }

    pub(crate) fn now_ms(&mut self) -> f64 {
        self.observed_time |= self.phase.is_call();
        match self.phase {
            phase if phase.is_action() => wall_clock_ms(),
            _ => self.time_ms,
        }
    }

    pub(crate) fn performance_now_ms(&mut self, deploy_ms: f64) -> f64 {
        self.observed_time |= self.phase.is_call();
        match self.phase {
            Phase::Query => self.time_ms - deploy_ms,
            Phase::Mutation | Phase::Action | Phase::HttpAction => {
                self.time_ms - deploy_ms + self.started.elapsed().as_secs_f64() * 1e3
            }
            _ => 0.0,
        }
    }

    /// Keeps the first reason to stop.
    pub(crate) fn stop(&mut self, reason: Fatal) {
        self.fatal.get_or_insert(reason);
    }
}

/// Everything the natives of one isolate can reach.
pub(crate) struct Slot {
    pub(crate) spec: Arc<ImageSpec>,
    pub(crate) run: Run,
    /// Class of the boxes that carry converted values through library code.
    pub(crate) box_class: JSClassID,
    /// Makes the exception of a failed operation; set by the bootstrap.
    pub(crate) native: JSValue,
    /// Whether static imports may be loaded now; otherwise it is `import()`.
    pub(crate) loading: bool,
    /// Modules loaded so far, for finding library functions by position.
    pub(crate) loaded: Vec<Arc<CompiledModule>>,
    /// Commit timestamp placeholders of the copies of the library.
    pub(crate) placeholders: Vec<JSValue>,
    /// Returned by natives when the library's own code must run.
    pub(crate) miss: JSValue,
}

impl Slot {
    /// The slot of a context.
    ///
    /// # Safety
    /// The context's opaque pointer was set to a live slot, and the caller keeps
    /// no other reference into it while using this one.
    pub(crate) unsafe fn of<'a>(ctx: *mut JSContext) -> &'a mut Slot {
        // SAFETY: see above.
        unsafe { &mut *(ffi::JS_GetContextOpaque(ctx) as *mut Slot) }
    }

    pub(crate) fn deploy_ms(&self) -> f64 {
        (self.spec.import_time_ns / 1_000_000) as f64
    }
}

pub(crate) fn wall_clock_ms() -> f64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as f64
}

/// `Date.now()` and friends of any context; called by the C code.
///
/// # Safety
/// Called by the engine with a live context.
#[unsafe(no_mangle)]
unsafe extern "C" fn hull_hook_now_ms(ctx: *mut JSContext) -> i64 {
    // SAFETY: either no slot (the compiler's contexts) or a live one.
    unsafe {
        if ffi::JS_GetContextOpaque(ctx).is_null() {
            return 0;
        }
        Slot::of(ctx).run.now_ms() as i64
    }
}

/// `Math.random()` of any context; called by the C code.
///
/// # Safety
/// Called by the engine with a live context.
#[unsafe(no_mangle)]
unsafe extern "C" fn hull_hook_random(ctx: *mut JSContext) -> f64 {
    // SAFETY: as in `hull_hook_now_ms`.
    unsafe {
        if ffi::JS_GetContextOpaque(ctx).is_null() {
            return 0.5;
        }
        Slot::of(ctx).run.random()
    }
}
