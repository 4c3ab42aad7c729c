//! The `native` object of the bootstrap: what JavaScript asks of the running slot.
//!
//! `bootstrap/README.md` is the contract. Every function is a plain C function
//! registered before the snapshot; state is found through the context.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use hull_value::PackedValue;

use crate::compile;
use crate::convert::{Kind, bindings};
use crate::cut;
use crate::error::JsException;
use crate::ffi::{self, JSContext, JSValue};
use crate::host::{Args, HostError, LogLevel, LogLine, OpId, Reply};
use crate::js::{ErrorKind, Js};
use crate::limits;
use crate::ops::{self, OpValue};
use crate::slot::{self, Fatal, PendingCall, PendingOp, Slot, Waiting};
use crate::source_maps;

type Body = fn(Js, &[JSValue]) -> JSValue;

/// Runs a native; a panic in the host ends the call and is raised again once
/// the engine has been left.
pub(crate) fn guard(ctx: *mut JSContext, argc: c_int, argv: *mut JSValue, body: Body) -> JSValue {
    let js = Js(ctx);
    let args: &[JSValue] = match usize::try_from(argc) {
        // SAFETY: the engine passes `argc` live values.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(argv, count) },
        _ => &[],
    };
    match catch_unwind(AssertUnwindSafe(|| body(js, args))) {
        Ok(value) => value,
        Err(panic) => {
            slot_of(js).run.stop(Fatal::Panicked(panic));
            js.throw_uncatchable("internal error")
        }
    }
}

/// The slot of a context; never held across a call into JavaScript.
pub(crate) fn slot_of<'a>(js: Js) -> &'a mut Slot {
    // SAFETY: natives only exist in contexts with a slot, and each use below
    // ends before anything else can reach the slot.
    unsafe { Slot::of(js.0) }
}

macro_rules! native {
    ($($name:ident => $body:expr;)*) => {
        $(pub(crate) unsafe extern "C" fn $name(
            ctx: *mut JSContext,
            _this: JSValue,
            argc: c_int,
            argv: *mut JSValue,
        ) -> JSValue {
            guard(ctx, argc, argv, $body)
        })*
    };
}

native! {
    phase => |js, _| js.string(slot_of(js).run.phase.name());
    now => |js, _| JSValue::number(slot_of(js).run.now_ms().trunc());
    performance_now => |js, _| {
        let slot = slot_of(js);
        let deploy_ms = slot.deploy_ms();
        JSValue::number(slot.run.performance_now_ms(deploy_ms))
    };
    time_origin => |js, _| JSValue::number(slot_of(js).deploy_ms());
    random => |js, _| JSValue::number(slot_of(js).run.random());
    random_bytes => secret_bytes;
    start_op => start_operation;
    cancel_op => cancel_operation;
    real_now => |_, _| JSValue::number(slot::wall_clock_ms());
    log => log_line;
    env => env_variable;
    syscall => sync_call;
    async_syscall => async_call;
    uncatchable => |js, args| {
        let message = text_argument(js, args, 0).unwrap_or_default();
        stop_uncatchable(js, &message)
    };
    async_context_get => |js, _| unsafe { ffi::hull_get_async_context(js.0) };
    async_context_set => |js, args| {
        let value = args.first().copied().unwrap_or(JSValue::UNDEFINED);
        // SAFETY: a duplicate is given away.
        unsafe { ffi::hull_set_async_context(js.0, js.dup(value)) };
        JSValue::UNDEFINED
    };
    frames => |js, args| {
        let frames = compile::error_frames(js, args.first().copied().unwrap_or(JSValue::UNDEFINED));
        let mapped = source_maps::map_frames(&frames, &*slot_of(js).spec.source_maps);
        let lines: Vec<String> = mapped.iter().map(ToString::to_string).collect();
        js.string(&lines.join("\n"))
    };
    position => handler_position;
    call => operation;
}

/// Makes the `native` object. Returns the exception marker when memory ran out.
pub(crate) fn make(js: Js) -> JSValue {
    // SAFETY: plain object construction on a live context.
    let object = unsafe { ffi::JS_NewObject(js.0) };
    if object.is_exception() {
        return object;
    }
    let functions: &[(&'static CStr, ffi::JSCFunction, c_int)] = &[
        (c"phase", phase, 0),
        (c"now", now, 0),
        (c"performanceNow", performance_now, 0),
        (c"timeOrigin", time_origin, 0),
        (c"random", random, 0),
        (c"randomBytes", random_bytes, 1),
        (c"startOp", start_op, 3),
        (c"cancelOp", cancel_op, 1),
        (c"realNow", real_now, 0),
        (c"log", log, 2),
        (c"env", env, 1),
        (c"syscall", syscall, 2),
        (c"asyncSyscall", async_syscall, 2),
        (c"uncatchable", uncatchable, 1),
        (c"asyncContextGet", async_context_get, 0),
        (c"asyncContextSet", async_context_set, 1),
        (c"frames", frames, 1),
        (c"functionPosition", position, 2),
        (c"call", call, 1),
    ];
    for (name, function, length) in functions {
        // SAFETY: the functions are static.
        js.set(object, name, unsafe {
            ffi::new_function(js.0, *function, name, *length)
        });
    }
    // `Date` and `Math.random` of the engine itself ask the slot.
    js.set(object, c"engineClock", JSValue::bool(true));
    object
}

/// Most random bytes of one call, as `crypto.getRandomValues` has it.
const RANDOM_BYTES_MAX: usize = 65_536;

fn secret_bytes(js: Js, args: &[JSValue]) -> JSValue {
    let count = args.first().and_then(|count| count.as_number());
    let count = count.filter(|count| (0.0..=RANDOM_BYTES_MAX as f64).contains(count));
    let Some(count) = count else {
        return js.throw(ErrorKind::TypeError, "randomBytes wants a number of bytes");
    };
    let mut bytes = vec![0; count as usize];
    let run = &mut slot_of(js).run;
    match run.with_host(|host| host.random_bytes(&mut bytes)) {
        Some(Ok(())) => op_result(js, &OpValue::Bytes(bytes)),
        Some(Err(error)) => throw_host_error(js, error),
        None => js.throw(ErrorKind::Error, "no host"),
    }
}

/// `startOp(name, resolve, reject, ...args)` returns a number for `cancelOp`.
fn start_operation(js: Js, args: &[JSValue]) -> JSValue {
    if !slot_of(js).run.phase.is_action() {
        return js.throw(ErrorKind::Error, "operations need an action");
    }
    let (Some(name), Some(resolve), Some(reject)) =
        (text_argument(js, args, 0), args.get(1), args.get(2))
    else {
        return js.throw(
            ErrorKind::TypeError,
            "startOp wants a name and two functions",
        );
    };
    let mut values = Vec::with_capacity(args.len() - 3);
    for arg in &args[3..] {
        match op_argument(js, *arg, 0) {
            Some(value) => values.push(value),
            None => return js.throw(ErrorKind::TypeError, "unsupported operation argument"),
        }
    }
    let run = &mut slot_of(js).run;
    if run.pending_ops.len() + run.waiting.len() >= limits::PENDING_CALLS_MAX {
        return js.throw(ErrorKind::Error, "Too many concurrent operations.");
    }
    let op = run.next_op();
    run.pending_ops.push(PendingOp {
        op,
        name,
        args: values,
        settle: [js.dup(*resolve), js.dup(*reject)],
    });
    JSValue::number(op.0 as f64)
}

fn cancel_operation(js: Js, args: &[JSValue]) -> JSValue {
    let Some(number) = args.first().and_then(|number| number.as_number()) else {
        return JSValue::UNDEFINED;
    };
    let op = OpId(number as u64);
    let run = &mut slot_of(js).run;
    let settle = match run.pending_ops.iter().position(|pending| pending.op == op) {
        Some(at) => Some(run.pending_ops.remove(at).settle),
        None => match run.waiting.remove(&op) {
            Some(Waiting::Op { settle, .. }) => {
                run.cancelled.push(op);
                Some(settle)
            }
            Some(waiting) => {
                run.waiting.insert(op, waiting);
                None
            }
            None => None,
        },
    };
    settle
        .into_iter()
        .flatten()
        .for_each(|value| js.free(value));
    JSValue::UNDEFINED
}

/// Calls back with the answer to an operation.
pub(crate) fn settle_operation(
    js: Js,
    settle: [JSValue; 2],
    answer: &Result<OpValue, ops::OpError>,
) {
    let (function, value) = match answer {
        Ok(value) => (settle[0], op_result(js, value)),
        Err(error) => (settle[1], make_op_error(js, error)),
    };
    if value.is_exception() {
        // Out of memory: the allocator has noted it, the call ends.
        js.drop_exception();
        return;
    }
    let outcome = js.call(function, JSValue::UNDEFINED, &[value]);
    if outcome.is_exception() {
        js.drop_exception();
    } else {
        js.free(outcome);
    }
    js.free(value);
    settle.into_iter().for_each(|value| js.free(value));
}

fn text_argument(js: Js, args: &[JSValue], at: usize) -> Option<String> {
    args.get(at).and_then(|value| js.text(*value))
}

fn log_line(js: Js, args: &[JSValue]) -> JSValue {
    let level = text_argument(js, args, 0).and_then(|name| LogLevel::parse(&name));
    let (Some(level), Some(list)) = (level, args.get(1)) else {
        return js.throw(
            ErrorKind::TypeError,
            "log wants a level and an array of strings",
        );
    };
    let mut messages = string_list(js, *list);
    let truncated = truncate_line(&mut messages);
    let line = LogLine {
        level,
        messages,
        truncated,
        timestamp_ms: slot::wall_clock_ms(),
    };
    let run = &mut slot_of(js).run;
    if run.phase.is_call() {
        run.with_host(|host| host.log(line));
    } else {
        match run.import_logs.len() {
            n if n < limits::IMPORT_LOG_LINES_MAX - 1 => run.import_logs.push(line),
            n if n < limits::IMPORT_LOG_LINES_MAX => run.import_logs.push(LogLine {
                level: LogLevel::Error,
                messages: vec![format!(
                    "Log overflow (maximum {}). Remaining log lines omitted.",
                    limits::IMPORT_LOG_LINES_MAX
                )],
                truncated: false,
                timestamp_ms: line.timestamp_ms,
            }),
            _ => {}
        }
    }
    JSValue::UNDEFINED
}

fn string_list(js: Js, list: JSValue) -> Vec<String> {
    let mut messages = Vec::new();
    // SAFETY: `list` is alive; `hull_kind` vouches for the array accessor.
    unsafe {
        if Kind::of(js, list) != Kind::Array {
            return messages;
        }
        let mut count = 0u32;
        let elements = ffi::hull_array_elements(list, &raw mut count);
        for i in 0..count as usize {
            messages.push(js.text(*elements.add(i)).unwrap_or_default());
        }
    }
    messages
}

/// Cuts a line to its maximum length, messages joined with spaces.
fn truncate_line(messages: &mut Vec<String>) -> bool {
    let mut left = limits::LOG_LINE_BYTES_MAX;
    for i in 0..messages.len() {
        let len = messages[i].len();
        if len > left {
            cut::cut(&mut messages[i], left);
            messages.truncate(i + 1);
            return true;
        }
        left = (left - len).saturating_sub(1);
    }
    false
}

fn env_variable(js: Js, args: &[JSValue]) -> JSValue {
    let Some(name) = text_argument(js, args, 0) else {
        return js.throw(
            ErrorKind::TypeError,
            "an environment variable's name must be a string",
        );
    };
    if !is_valid_env_name(&name) {
        return js.throw(
            ErrorKind::Error,
            &format!(
                "The environment variable name {name} is invalid. Environment variable names must start with a letter \
                 or underscore and contain only letters, digits and underscores."
            ),
        );
    }
    let slot = slot_of(js);
    let value = if slot.run.phase.is_call() {
        match slot.run.with_host(|host| host.env_var(&name)) {
            Some(Ok(value)) => value,
            Some(Err(error)) => return throw_host_error(js, error),
            None => None,
        }
    } else {
        let value = (slot.spec.env)(&name);
        if !slot.run.env_reads.iter().any(|(known, _)| *known == name) {
            slot.run.env_reads.push((name, value.clone()));
        }
        value
    };
    value.map_or(JSValue::UNDEFINED, |value| js.string(&value))
}

fn is_valid_env_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Calls that touch the database, for the text at import time.
const DATABASE_CALLS: &[&str] = &[
    "1.0/get",
    "1.0/insert",
    "1.0/shallowMerge",
    "1.0/replace",
    "1.0/remove",
    "1.0/count",
    "1.0/queryStream",
    "1.0/queryStreamNext",
    "1.0/queryCleanup",
    "1.0/queryPage",
];

/// Name and arguments of a host call, or the exception that refuses it.
fn call_arguments(js: Js, args: &[JSValue]) -> Result<(String, String), JSValue> {
    let (Some(name), Some(json)) = (text_argument(js, args, 0), text_argument(js, args, 1)) else {
        return Err(js.throw(
            ErrorKind::TypeError,
            "a syscall wants a name and a JSON string",
        ));
    };
    match slot_of(js).run.phase {
        phase if phase.is_call() => Ok((name, json)),
        _ if DATABASE_CALLS.contains(&name.as_str()) => {
            Err(js.throw(ErrorKind::Error, "Can't use database at import time"))
        }
        _ => Err(js.throw(
            ErrorKind::Error,
            &format!("Syscall {name} unsupported at import time"),
        )),
    }
}

fn sync_call(js: Js, args: &[JSValue]) -> JSValue {
    let (name, json) = match call_arguments(js, args) {
        Ok(call) => call,
        Err(exception) => return exception,
    };
    let answer = slot_of(js)
        .run
        .with_host(|host| host.syscall(&name, Args(&json)));
    match answer {
        Some(Ok(reply)) => js.string(&reply.to_json()),
        Some(Err(error)) => throw_host_error(js, error),
        None => js.throw(ErrorKind::Error, "no host"),
    }
}

fn async_call(js: Js, args: &[JSValue]) -> JSValue {
    queue_call(js, args, false)
}

/// Queues a host call; it runs when no microtask is left.
pub(crate) fn queue_call(js: Js, args: &[JSValue], wants_values: bool) -> JSValue {
    let (name, args) = match call_arguments(js, args) {
        Ok(call) => call,
        Err(exception) => return exception,
    };
    if slot_of(js).run.pending.len() >= limits::PENDING_CALLS_MAX {
        return js.throw(ErrorKind::Error, "Too many concurrent operations.");
    }
    let mut settle = [JSValue::UNDEFINED; 2];
    // SAFETY: two values are written on success.
    let promise = unsafe { ffi::JS_NewPromiseCapability(js.0, settle.as_mut_ptr()) };
    if !promise.is_exception() {
        slot_of(js).run.pending.push_back(PendingCall {
            name,
            args,
            settle,
            wants_values,
        });
    }
    promise
}

/// Fulfils or rejects the promise of a queued call.
pub(crate) fn settle_call(js: Js, call: &PendingCall, answer: Result<Reply, HostError>) {
    let (function, value) = match answer {
        Ok(reply) if call.wants_values => (
            call.settle[0],
            bindings::reply_to_js(js, &call.name, &reply),
        ),
        Ok(reply) => (call.settle[0], js.string(&reply.to_json())),
        Err(HostError::User { message, data }) => {
            (call.settle[1], user_error(js, &message, data.as_ref()))
        }
        Err(error) => {
            throw_host_error(js, error);
            js.drop_exception();
            return;
        }
    };
    if value.is_exception() {
        // Out of memory: the allocator has noted it, the call ends.
        js.drop_exception();
        return;
    }
    let outcome = js.call(function, JSValue::UNDEFINED, &[value]);
    if outcome.is_exception() {
        js.drop_exception();
    } else {
        js.free(outcome);
    }
    js.free(value);
}

/// A catchable error of the host, with `data` where there is a payload.
fn user_error(js: Js, message: &str, data: Option<&PackedValue>) -> JSValue {
    let error = js.error(ErrorKind::Error, message);
    if let (false, Some(data)) = (error.is_exception(), data) {
        let mut json = Vec::new();
        hull_value::json::encode(data.as_ref(), &mut json);
        let value = js.parse_json(&String::from_utf8_lossy(&json));
        if value.is_exception() {
            js.free(error);
            return value;
        }
        js.set(error, c"data", value);
    }
    error
}

fn throw_host_error(js: Js, error: HostError) -> JSValue {
    match error {
        HostError::User { message, data } => {
            let error = user_error(js, &message, data.as_ref());
            if error.is_exception() {
                return error;
            }
            // SAFETY: `error` is given away.
            unsafe { ffi::JS_Throw(js.0, error) }
        }
        HostError::Uncatchable { message } => stop_uncatchable(js, &message),
        HostError::Abort(reason) => {
            slot_of(js).run.stop(Fatal::Aborted(reason));
            js.throw_uncatchable("aborted")
        }
    }
}

/// Ends the call with a message user code cannot catch.
fn stop_uncatchable(js: Js, message: &str) -> JSValue {
    let error = js.error(ErrorKind::Error, message);
    let frames = compile::error_frames(js, error);
    let exception = JsException {
        message: format!("Uncaught Error: {message}"),
        frames,
        ..Default::default()
    };
    slot_of(js).run.stop(Fatal::Uncatchable(exception));
    if error.is_exception() {
        return error;
    }
    // SAFETY: `error` is alive, then given away.
    unsafe {
        ffi::JS_SetUncatchableError(js.0, error);
        ffi::JS_Throw(js.0, error)
    }
}

fn handler_position(js: Js, args: &[JSValue]) -> JSValue {
    let (Some(function), Some(module)) = (args.first(), text_argument(js, args, 1)) else {
        return JSValue::NULL;
    };
    let Some((file, line, column)) = function_position(js, *function) else {
        return JSValue::NULL;
    };
    if file.strip_prefix(compile::SCHEME) != Some(module.as_str()) {
        return JSValue::NULL;
    }
    let Some(map) = slot_of(js).spec.source_maps.source_map(&module) else {
        return JSValue::NULL;
    };
    let Some((_, line, column)) = map.lookup(line.saturating_sub(1), column.saturating_sub(1))
    else {
        return JSValue::NULL;
    };
    // SAFETY: plain object construction.
    let object = unsafe { ffi::JS_NewObject(js.0) };
    if !object.is_exception() {
        js.set(object, c"path", js.string(&module));
        js.set(object, c"start_lineno", JSValue::number(f64::from(line)));
        js.set(object, c"start_col", JSValue::number(f64::from(column)));
    }
    object
}

/// File and 1-based position where a JavaScript function begins.
pub(crate) fn function_position(js: Js, function: JSValue) -> Option<(String, u32, u32)> {
    let (mut file, mut line, mut column) = (0, 0, 0);
    // SAFETY: out-pointers are valid; the atom is freed below.
    unsafe {
        if !ffi::hull_function_position(
            js.0,
            function,
            &raw mut file,
            &raw mut line,
            &raw mut column,
        ) {
            return None;
        }
        let name = ffi::JS_AtomToValue(js.0, file);
        js.free_atom(file);
        let text = js.text(name);
        js.free(name);
        Some((
            text?,
            u32::try_from(line).ok()?,
            u32::try_from(column).ok()?,
        ))
    }
}

fn operation(js: Js, args: &[JSValue]) -> JSValue {
    let Some(name) = text_argument(js, args, 0) else {
        return js.throw(ErrorKind::TypeError, "an operation's name must be a string");
    };
    let mut values = Vec::with_capacity(args.len());
    for arg in &args[1..] {
        match op_argument(js, *arg, 0) {
            Some(value) => values.push(value),
            None => return js.throw(ErrorKind::TypeError, "unsupported operation argument"),
        }
    }
    match ops::dispatch(&name, &values) {
        Ok(value) => op_result(js, &value),
        Err(error) => throw_op_error(js, &error),
    }
}

/// Deepest nesting of lists in operation values.
const OP_NESTING_MAX: usize = 3;

fn op_argument(js: Js, value: JSValue, depth: usize) -> Option<OpValue> {
    if value.is_undefined() {
        return Some(OpValue::Undefined);
    }
    if value.is_null() {
        return Some(OpValue::Null);
    }
    if let Some(flag) = value.as_bool() {
        return Some(OpValue::Bool(flag));
    }
    if let Some(number) = value.as_number() {
        return Some(OpValue::Number(number));
    }
    if value.is_string() {
        return js.text(value).map(OpValue::String);
    }
    if let Some(bytes) = js.bytes(value) {
        return Some(OpValue::Bytes(bytes.to_vec()));
    }
    // SAFETY: `hull_kind` vouches for the array accessor; nothing runs meanwhile.
    unsafe {
        if depth >= OP_NESTING_MAX || Kind::of(js, value) != Kind::Array {
            return None;
        }
        let mut count = 0u32;
        let elements = ffi::hull_array_elements(value, &raw mut count);
        let list = (0..count as usize).map(|i| op_argument(js, *elements.add(i), depth + 1));
        list.collect::<Option<Vec<_>>>().map(OpValue::List)
    }
}

fn op_result(js: Js, value: &OpValue) -> JSValue {
    match value {
        OpValue::Undefined => JSValue::UNDEFINED,
        OpValue::Null => JSValue::NULL,
        OpValue::Bool(flag) => JSValue::bool(*flag),
        OpValue::Number(number) => JSValue::number(*number),
        OpValue::String(text) => js.string(text),
        // SAFETY: the bytes are copied.
        OpValue::Bytes(bytes) => unsafe {
            ffi::JS_NewUint8ArrayCopy(js.0, bytes.as_ptr(), bytes.len())
        },
        OpValue::List(list) => {
            // SAFETY: values are given away one by one.
            unsafe {
                let array = ffi::JS_NewArray(js.0);
                if array.is_exception() {
                    return array;
                }
                for (i, item) in (0u32..).zip(list) {
                    let item = op_result(js, item);
                    if item.is_exception() || ffi::JS_SetPropertyUint32(js.0, array, i, item) < 0 {
                        js.free(array);
                        return JSValue::EXCEPTION;
                    }
                }
                array
            }
        }
    }
}

fn throw_op_error(js: Js, error: &ops::OpError) -> JSValue {
    let exception = make_op_error(js, error);
    if exception.is_exception() {
        return exception;
    }
    // SAFETY: `exception` is given away.
    unsafe { ffi::JS_Throw(js.0, exception) }
}

fn make_op_error(js: Js, error: &ops::OpError) -> JSValue {
    let Some(make) = js.get(slot_of(js).native, c"opError") else {
        return js.error(ErrorKind::Error, &error.message);
    };
    let name = error
        .name
        .as_deref()
        .map_or(JSValue::UNDEFINED, |name| js.string(name));
    let args = [
        js.string(error.class.name()),
        name,
        js.string(&error.message),
    ];
    let exception = js.call(make, JSValue::UNDEFINED, &args);
    args.into_iter().for_each(|arg| js.free(arg));
    js.free(make);
    exception
}
