//! The synthetic module that recognised library code imports.

use std::ffi::{CStr, c_int};

use hull_value::{PackedValue, ValueRef};

use super::build::{self, ShapeCache, build};
use super::json_form::{self, Undefined};
use super::{Miss, pack};
use crate::compile::NATIVE_MODULE;
use crate::error::JsError;
use crate::ffi::{self, JSClassDef, JSClassID, JSContext, JSModuleDef, JSValue};
use crate::host::Reply;
use crate::js::Js;
use crate::natives::{self, guard, slot_of};

/// Most copies of the library one image may hold; more run their own code.
const LIBRARIES_MAX: usize = 8;

macro_rules! bindings {
    ($($name:ident => $body:expr;)*) => {
        $(unsafe extern "C" fn $name(
            ctx: *mut JSContext,
            _this: JSValue,
            argc: c_int,
            argv: *mut JSValue,
        ) -> JSValue {
            guard(ctx, argc, argv, $body)
        })*
    };
}

bindings! {
    json_to_convex => |js, args| {
        let value = argument(args, 0);
        if let Some(inner) = unbox(js, value) {
            return inner;
        }
        or_miss(js, json_form::from_json(js, value, argument(args, 1), 0))
    };
    convex_to_json => |js, args| {
        or_miss(js, json_form::to_json(js, argument(args, 0), &commit_ts_test(js), Undefined::Drop, 0))
    };
    patch_to_json => |js, args| {
        or_miss(js, json_form::to_json(js, argument(args, 0), &commit_ts_test(js), Undefined::Keep, 0))
    };
    result => deliver_result;
    async_syscall => |js, args| natives::queue_call(js, args, true);
    register => |js, args| {
        let placeholder = argument(args, 0);
        let slot = slot_of(js);
        if placeholder.is_object() && slot.placeholders.len() < LIBRARIES_MAX {
            slot.placeholders.push(js.dup(placeholder));
        }
        JSValue::UNDEFINED
    };
}

/// Exports of the module; `recognise` imports them under these names.
const FUNCTIONS: &[(&CStr, ffi::JSCFunction, c_int)] = &[
    (c"jsonToConvex", json_to_convex, 2),
    (c"convexToJson", convex_to_json, 1),
    (c"patchToJson", patch_to_json, 1),
    (c"result", result, 2),
    (c"asyncSyscall", async_syscall, 2),
    (c"register", register, 1),
];
/// The public `Convex.asyncSyscall`, for telling whether it was replaced.
const PLAIN_ASYNC_SYSCALL: &CStr = c"plainAsyncSyscall";
/// What a native returns when the library's own code must run.
const MISS: &CStr = c"miss";

/// Makes the module in a context; null with an exception when memory ran out.
pub(crate) fn native_module(js: Js) -> *mut JSModuleDef {
    let Ok(name) = std::ffi::CString::new(NATIVE_MODULE) else {
        return std::ptr::null_mut();
    };
    // SAFETY: exports are declared before the module is linked.
    unsafe {
        let module = ffi::JS_NewCModule(js.0, name.as_ptr(), init_module);
        if module.is_null() {
            return module;
        }
        let names = FUNCTIONS
            .iter()
            .map(|(name, _, _)| *name)
            .chain([PLAIN_ASYNC_SYSCALL, MISS]);
        for name in names {
            if ffi::JS_AddModuleExport(js.0, module, name.as_ptr()) < 0 {
                return std::ptr::null_mut();
            }
        }
        module
    }
}

unsafe extern "C" fn init_module(ctx: *mut JSContext, module: *mut JSModuleDef) -> c_int {
    let js = Js(ctx);
    let mut failed = 0;
    // SAFETY: values are given away; the functions are static.
    unsafe {
        for (name, function, length) in FUNCTIONS {
            let function = ffi::new_function(ctx, *function, name, *length);
            failed |= ffi::JS_SetModuleExport(ctx, module, name.as_ptr(), function);
        }
        let plain = js
            .get(slot_of(js).native, c"asyncSyscall")
            .unwrap_or(JSValue::UNDEFINED);
        failed |= ffi::JS_SetModuleExport(ctx, module, PLAIN_ASYNC_SYSCALL.as_ptr(), plain);
        let miss = js.dup(slot_of(js).miss);
        failed |= ffi::JS_SetModuleExport(ctx, module, MISS.as_ptr(), miss);
    }
    failed
}

/// Registers the class of the boxes and makes the `miss` marker.
pub(crate) fn prepare(js: Js, class: JSClassID) -> Result<JSValue, JsError> {
    let definition = JSClassDef {
        class_name: c"HullValue".as_ptr(),
        finalizer: std::ptr::null(),
        gc_mark: std::ptr::null(),
        call: std::ptr::null(),
        exotic: std::ptr::null(),
    };
    // SAFETY: a class without callbacks; its name is static.
    unsafe {
        if ffi::JS_NewClass(ffi::JS_GetRuntime(js.0), class, &raw const definition) != 0 {
            return Err(JsError::internal("no memory for a class"));
        }
        let miss = ffi::JS_NewObjectClass(js.0, class);
        if miss.is_exception() {
            Err(JsError::internal("no memory for a marker"))
        } else {
            Ok(miss)
        }
    }
}

fn argument(args: &[JSValue], at: usize) -> JSValue {
    args.get(at).copied().unwrap_or(JSValue::UNDEFINED)
}

fn or_miss(js: Js, converted: Result<JSValue, Miss>) -> JSValue {
    converted.unwrap_or_else(|Miss| js.dup(slot_of(js).miss))
}

/// A test for the placeholders of all copies of the library.
fn commit_ts_test(js: Js) -> impl Fn(JSValue) -> bool {
    let known: Vec<usize> = slot_of(js)
        .placeholders
        .iter()
        .map(|value| value.address())
        .collect();
    move |value: JSValue| value.is_object() && known.contains(&value.address())
}

/// Carries a converted value through library code that hands "JSON" on to
/// `jsonToConvex`. Never reaches user code.
fn new_box(js: Js, value: JSValue) -> JSValue {
    if value.is_exception() || !value.is_object() {
        // Primitives mean the same before and after the conversion, except big
        // integers, which are objects in JSON.
        if value.is_exception() || !is_bigint(js, value) {
            return value;
        }
    }
    // SAFETY: the value is given away.
    unsafe {
        let carrier = ffi::JS_NewObjectClass(js.0, slot_of(js).box_class);
        if !carrier.is_exception() {
            ffi::JS_DefinePropertyValueStr(js.0, carrier, c"v".as_ptr(), value, ffi::PROP_C_W_E);
        }
        carrier
    }
}

fn is_bigint(js: Js, value: JSValue) -> bool {
    super::Kind::of(js, value) == super::Kind::BigInt
}

fn unbox(js: Js, value: JSValue) -> Option<JSValue> {
    // SAFETY: plain accessors.
    unsafe {
        if !value.is_object() || ffi::JS_GetClassID(value) != slot_of(js).box_class {
            return None;
        }
    }
    js.get(value, c"v")
}

/// `__hull_result(value, argsStr)`: packs the result of the invocation the
/// host made. Undefined: the library must encode it as text.
fn deliver_result(js: Js, args: &[JSValue]) -> JSValue {
    let (value, args_string) = (argument(args, 0), argument(args, 1));
    if slot_of(js).run.direct_args != Some(args_string.address()) {
        return JSValue::UNDEFINED;
    }
    // SAFETY: plain accessor.
    if unsafe { ffi::hull_has_to_json(js.0) } {
        return JSValue::UNDEFINED;
    }
    let value = if value.is_undefined() {
        JSValue::NULL
    } else {
        value
    };
    match pack::pack(js, value, &commit_ts_test(js)) {
        Ok(packed) => {
            slot_of(js).run.direct_result = Some(packed);
            js.string("")
        }
        Err(_) => JSValue::UNDEFINED,
    }
}

/// Builds what library code that understands values gets for a reply: JSON
/// text, or parsed JSON with boxes where the library calls `jsonToConvex`.
pub(crate) fn reply_to_js(js: Js, name: &str, reply: &Reply) -> JSValue {
    match (name, reply) {
        // The library drops these answers.
        ("1.0/shallowMerge" | "1.0/replace" | "1.0/remove", _) => JSValue::NULL,
        ("1.0/get" | "1.0/runUdf", Reply::Value(value)) => boxed(js, value, reply),
        ("1.0/get", Reply::Document(Some(value))) => boxed(js, value, reply),
        ("1.0/get", Reply::Document(None)) => JSValue::NULL,
        ("1.0/queryStreamNext", Reply::Next { value, done }) => match value {
            Some(value) if needs_text(js, value) => js.string(&reply.to_json()),
            value => {
                let value = value
                    .as_ref()
                    .map_or(JSValue::NULL, |value| new_box(js, built(js, value)));
                let atoms = [js.atom("value"), js.atom("done")];
                let object = if value.is_exception() {
                    value
                } else {
                    build::new_object(js, &atoms, &[value, JSValue::bool(*done)])
                };
                super::free_atoms(js.0, &atoms);
                object
            }
        },
        ("1.0/queryPage", Reply::Page { page, rest }) => {
            if page.iter().any(|value| needs_text(js, value)) {
                return js.string(&reply.to_json());
            }
            page_to_js(js, page, rest)
        }
        _ => js.string(&reply.to_json()),
    }
}

fn page_to_js(
    js: Js,
    page: &[PackedValue],
    rest: &serde_json::Map<String, serde_json::Value>,
) -> JSValue {
    let text = serde_json::to_string(rest).unwrap_or_default();
    let object = js.parse_json(&text);
    if object.is_exception() {
        return object;
    }
    let mut values = Vec::with_capacity(page.len());
    for value in page {
        let value = new_box(js, built(js, value));
        if value.is_exception() {
            return value;
        }
        values.push(value);
    }
    js.set(object, c"page", build::new_array(js, &values));
    object
}

/// Whether the value must go as text: its placeholder would be ambiguous.
fn needs_text(js: Js, value: &PackedValue) -> bool {
    slot_of(js).placeholders.len() != 1 && build::has_commit_ts(value)
}

fn boxed(js: Js, value: &PackedValue, reply: &Reply) -> JSValue {
    // A string by itself would be taken for text.
    let is_string = matches!(value.as_ref(), ValueRef::String(_));
    if is_string || needs_text(js, value) {
        return js.string(&reply.to_json());
    }
    new_box(js, built(js, value))
}

fn built(js: Js, value: &PackedValue) -> JSValue {
    let commit_ts = slot_of(js)
        .placeholders
        .first()
        .copied()
        .unwrap_or(JSValue::NULL);
    let mut cache: ShapeCache = std::mem::take(&mut slot_of(js).run.shapes);
    let built = build(js, &mut cache, commit_ts, value.as_ref());
    slot_of(js).run.shapes = cache;
    built
}

/// Notes that the invoked function may deliver its result natively: only if
/// it is the library's own closure, which hands its argument on untouched.
pub(crate) fn expect_direct_result(js: Js, invoke: JSValue, args: JSValue) {
    let Some((file, line, _)) = natives::function_position(js, invoke) else {
        return;
    };
    let path = file
        .strip_prefix(crate::compile::SCHEME)
        .unwrap_or_default();
    let slot = slot_of(js);
    let is_library = |module: &std::sync::Arc<crate::compile::CompiledModule>| {
        module.path == path && module.library.registration_lines.contains(&line)
    };
    if slot.loaded.iter().any(is_library) {
        slot.run.direct_args = Some(args.address());
    }
}
