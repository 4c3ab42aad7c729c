//! Hand-written bindings of the QuickJS-NG C API and of `quickjs/hull.inc.c`.
//!
//! Only what this crate calls. `JSValue` is the 16-byte union + tag form used
//! on 64-bit targets (checked by `layout_matches`). Functions are as unsafe
//! as C: every value passed in must belong to the runtime of the context.

#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_int, c_void};

/// An opaque `JSRuntime`.
#[repr(C)]
pub(crate) struct JSRuntime {
    _private: [u8; 0],
}
/// An opaque `JSContext`.
#[repr(C)]
pub(crate) struct JSContext {
    _private: [u8; 0],
}
/// An opaque `JSModuleDef`.
#[repr(C)]
pub(crate) struct JSModuleDef {
    _private: [u8; 0],
}
/// An opaque `JSShape`.
#[repr(C)]
pub(crate) struct JSShape {
    _private: [u8; 0],
}

pub(crate) type JSAtom = u32;
pub(crate) type JSClassID = u32;

/// A JavaScript value: payload word and tag.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct JSValue {
    u: u64,
    tag: i64,
}

const TAG_MODULE: i64 = -3;
const TAG_OBJECT: i64 = -1;
const TAG_STRING: i64 = -7;
const TAG_STRING_ROPE: i64 = -6;
const TAG_INT: i64 = 0;
const TAG_BOOL: i64 = 1;
const TAG_NULL: i64 = 2;
const TAG_UNDEFINED: i64 = 3;
const TAG_EXCEPTION: i64 = 6;
const TAG_FLOAT64: i64 = 8;

impl JSValue {
    pub(crate) const UNDEFINED: JSValue = JSValue {
        u: 0,
        tag: TAG_UNDEFINED,
    };
    pub(crate) const NULL: JSValue = JSValue {
        u: 0,
        tag: TAG_NULL,
    };
    pub(crate) const EXCEPTION: JSValue = JSValue {
        u: 0,
        tag: TAG_EXCEPTION,
    };

    pub(crate) fn bool(value: bool) -> Self {
        JSValue {
            u: u64::from(value),
            tag: TAG_BOOL,
        }
    }

    /// A number in its shortest form: an integer that fits 32 bits (but not
    /// -0) is stored as one, as the engine itself does.
    pub(crate) fn number(value: f64) -> Self {
        let int = value as i32;
        if f64::from(int) == value && !(int == 0 && value.is_sign_negative()) {
            JSValue {
                u: u64::from(int as u32),
                tag: TAG_INT,
            }
        } else {
            JSValue {
                u: value.to_bits(),
                tag: TAG_FLOAT64,
            }
        }
    }

    pub(crate) fn is_exception(self) -> bool {
        self.tag == TAG_EXCEPTION
    }
    pub(crate) fn is_undefined(self) -> bool {
        self.tag == TAG_UNDEFINED
    }
    pub(crate) fn is_null(self) -> bool {
        self.tag == TAG_NULL
    }
    pub(crate) fn is_object(self) -> bool {
        self.tag == TAG_OBJECT
    }
    pub(crate) fn is_same_object(self, other: JSValue) -> bool {
        self.is_object() && other.is_object() && self.u == other.u
    }
    pub(crate) fn is_string(self) -> bool {
        self.tag == TAG_STRING || self.tag == TAG_STRING_ROPE
    }
    pub(crate) fn as_bool(self) -> Option<bool> {
        (self.tag == TAG_BOOL).then_some(self.u as u32 != 0)
    }
    pub(crate) fn as_number(self) -> Option<f64> {
        match self.tag {
            TAG_INT => Some(f64::from(self.u as u32 as i32)),
            TAG_FLOAT64 => Some(f64::from_bits(self.u)),
            _ => None,
        }
    }
    /// The address of the heap cell: an identity for as long as it lives.
    pub(crate) fn address(self) -> usize {
        self.u as usize
    }
    pub(crate) fn module(module: *mut JSModuleDef) -> Self {
        JSValue {
            u: module as u64,
            tag: TAG_MODULE,
        }
    }
    pub(crate) fn module_ptr(self) -> *mut JSModuleDef {
        debug_assert_eq!(self.tag, TAG_MODULE);
        self.u as *mut JSModuleDef
    }
}

#[repr(C)]
pub(crate) struct JSMallocFunctions {
    pub(crate) js_calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    pub(crate) js_malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    pub(crate) js_free: unsafe extern "C" fn(*mut c_void, *mut c_void),
    pub(crate) js_realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    pub(crate) js_malloc_usable_size: unsafe extern "C" fn(*const c_void) -> usize,
}

#[repr(C)]
pub(crate) struct JSClassDef {
    pub(crate) class_name: *const c_char,
    pub(crate) finalizer: *const c_void,
    pub(crate) gc_mark: *const c_void,
    pub(crate) call: *const c_void,
    pub(crate) exotic: *const c_void,
}

pub(crate) type JSCFunction =
    unsafe extern "C" fn(*mut JSContext, JSValue, c_int, *mut JSValue) -> JSValue;
pub(crate) type JSModuleNormalizeFunc =
    unsafe extern "C" fn(*mut JSContext, *const c_char, *const c_char, *mut c_void) -> *mut c_char;
pub(crate) type JSModuleLoaderFunc =
    unsafe extern "C" fn(*mut JSContext, *const c_char, *mut c_void) -> *mut JSModuleDef;
pub(crate) type JSModuleInitFunc = unsafe extern "C" fn(*mut JSContext, *mut JSModuleDef) -> c_int;
pub(crate) type JSInterruptHandler = unsafe extern "C" fn(*mut JSRuntime, *mut c_void) -> c_int;
pub(crate) type JSRejectionTracker =
    unsafe extern "C" fn(*mut JSContext, JSValue, JSValue, bool, *mut c_void);

pub(crate) const EVAL_TYPE_GLOBAL: c_int = 0;
pub(crate) const EVAL_TYPE_MODULE: c_int = 1;
pub(crate) const EVAL_FLAG_COMPILE_ONLY: c_int = 1 << 5;
pub(crate) const WRITE_OBJ_BYTECODE: c_int = 1;
pub(crate) const WRITE_OBJ_STRIP_SOURCE: c_int = 1 << 4;
pub(crate) const READ_OBJ_BYTECODE: c_int = 1;
pub(crate) const PROMISE_PENDING: c_int = 0;
pub(crate) const PROMISE_FULFILLED: c_int = 1;
pub(crate) const PROMISE_REJECTED: c_int = 2;
pub(crate) const PROP_C_W_E: c_int = 1 | 2 | 4;
const CFUNC_GENERIC: c_int = 0;

unsafe extern "C" {
    pub(crate) fn JS_NewRuntime() -> *mut JSRuntime;
    pub(crate) fn JS_NewRuntime2(
        mf: *const JSMallocFunctions,
        opaque: *mut c_void,
    ) -> *mut JSRuntime;
    pub(crate) fn JS_FreeRuntime(rt: *mut JSRuntime);
    pub(crate) fn JS_GetRuntime(ctx: *mut JSContext) -> *mut JSRuntime;
    pub(crate) fn JS_SetMaxStackSize(rt: *mut JSRuntime, size: usize);
    pub(crate) fn JS_UpdateStackTop(rt: *mut JSRuntime);
    pub(crate) fn JS_SetGCThreshold(rt: *mut JSRuntime, threshold: usize);
    pub(crate) fn JS_RunGC(rt: *mut JSRuntime);
    pub(crate) fn JS_SetInterruptHandler(
        rt: *mut JSRuntime,
        cb: Option<JSInterruptHandler>,
        opaque: *mut c_void,
    );
    pub(crate) fn JS_SetModuleLoaderFunc(
        rt: *mut JSRuntime,
        normalize: Option<JSModuleNormalizeFunc>,
        loader: Option<JSModuleLoaderFunc>,
        opaque: *mut c_void,
    );
    pub(crate) fn JS_SetHostPromiseRejectionTracker(
        rt: *mut JSRuntime,
        cb: Option<JSRejectionTracker>,
        opaque: *mut c_void,
    );

    pub(crate) fn JS_NewContextRaw(rt: *mut JSRuntime) -> *mut JSContext;
    pub(crate) fn JS_FreeContext(ctx: *mut JSContext);
    pub(crate) fn JS_SetContextOpaque(ctx: *mut JSContext, opaque: *mut c_void);
    pub(crate) fn JS_GetContextOpaque(ctx: *mut JSContext) -> *mut c_void;
    pub(crate) fn JS_AddIntrinsicBaseObjects(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicDate(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicEval(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicRegExpCompiler(ctx: *mut JSContext);
    pub(crate) fn JS_AddIntrinsicRegExp(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicJSON(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicProxy(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicMapSet(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicTypedArrays(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicPromise(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicWeakRef(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicDOMException(ctx: *mut JSContext) -> c_int;
    pub(crate) fn JS_AddIntrinsicAToB(ctx: *mut JSContext) -> c_int;

    pub(crate) fn JS_Eval(
        ctx: *mut JSContext,
        input: *const c_char,
        len: usize,
        filename: *const c_char,
        flags: c_int,
    ) -> JSValue;
    pub(crate) fn JS_WriteObject(
        ctx: *mut JSContext,
        size: *mut usize,
        obj: JSValue,
        flags: c_int,
    ) -> *mut u8;
    pub(crate) fn JS_ReadObject(
        ctx: *mut JSContext,
        buf: *const u8,
        len: usize,
        flags: c_int,
    ) -> JSValue;
    pub(crate) fn JS_EvalFunction(ctx: *mut JSContext, func: JSValue) -> JSValue;
    pub(crate) fn JS_ResolveModule(ctx: *mut JSContext, module: JSValue) -> c_int;
    pub(crate) fn JS_GetModuleNamespace(ctx: *mut JSContext, m: *mut JSModuleDef) -> JSValue;
    pub(crate) fn JS_NewCModule(
        ctx: *mut JSContext,
        name: *const c_char,
        init: JSModuleInitFunc,
    ) -> *mut JSModuleDef;

    pub(crate) fn JS_AddModuleExport(
        ctx: *mut JSContext,
        m: *mut JSModuleDef,
        name: *const c_char,
    ) -> c_int;
    pub(crate) fn JS_SetModuleExport(
        ctx: *mut JSContext,
        m: *mut JSModuleDef,
        name: *const c_char,
        v: JSValue,
    ) -> c_int;

    pub(crate) fn JS_DupValue(ctx: *mut JSContext, v: JSValue) -> JSValue;
    pub(crate) fn JS_FreeValue(ctx: *mut JSContext, v: JSValue);
    pub(crate) fn JS_NewAtomLen(ctx: *mut JSContext, s: *const c_char, len: usize) -> JSAtom;
    pub(crate) fn JS_FreeAtom(ctx: *mut JSContext, atom: JSAtom);
    pub(crate) fn JS_AtomToValue(ctx: *mut JSContext, atom: JSAtom) -> JSValue;
    pub(crate) fn JS_NewStringLen(ctx: *mut JSContext, s: *const c_char, len: usize) -> JSValue;
    pub(crate) fn JS_NewArray(ctx: *mut JSContext) -> JSValue;
    pub(crate) fn JS_NewArrayFrom(
        ctx: *mut JSContext,
        count: c_int,
        values: *const JSValue,
    ) -> JSValue;
    pub(crate) fn JS_NewObject(ctx: *mut JSContext) -> JSValue;
    pub(crate) fn JS_NewObjectFrom(
        ctx: *mut JSContext,
        count: c_int,
        props: *const JSAtom,
        values: *const JSValue,
    ) -> JSValue;
    pub(crate) fn JS_NewObjectClass(ctx: *mut JSContext, class: JSClassID) -> JSValue;
    pub(crate) fn JS_NewBigInt64(ctx: *mut JSContext, v: i64) -> JSValue;
    pub(crate) fn JS_NewArrayBufferCopy(ctx: *mut JSContext, buf: *const u8, len: usize)
    -> JSValue;
    pub(crate) fn JS_NewUint8ArrayCopy(ctx: *mut JSContext, buf: *const u8, len: usize) -> JSValue;
    pub(crate) fn JS_ParseJSON(
        ctx: *mut JSContext,
        buf: *const c_char,
        len: usize,
        filename: *const c_char,
    ) -> JSValue;
    pub(crate) fn JS_GetGlobalObject(ctx: *mut JSContext) -> JSValue;
    pub(crate) fn JS_GetProperty(ctx: *mut JSContext, obj: JSValue, prop: JSAtom) -> JSValue;
    pub(crate) fn JS_GetPropertyStr(
        ctx: *mut JSContext,
        obj: JSValue,
        prop: *const c_char,
    ) -> JSValue;
    pub(crate) fn JS_SetPropertyStr(
        ctx: *mut JSContext,
        obj: JSValue,
        prop: *const c_char,
        v: JSValue,
    ) -> c_int;
    pub(crate) fn JS_SetPropertyUint32(
        ctx: *mut JSContext,
        obj: JSValue,
        index: u32,
        v: JSValue,
    ) -> c_int;
    pub(crate) fn JS_HasProperty(ctx: *mut JSContext, obj: JSValue, prop: JSAtom) -> c_int;
    pub(crate) fn JS_DefinePropertyValueStr(
        ctx: *mut JSContext,
        obj: JSValue,
        prop: *const c_char,
        v: JSValue,
        flags: c_int,
    ) -> c_int;
    pub(crate) fn JS_ValueToAtom(ctx: *mut JSContext, v: JSValue) -> JSAtom;
    pub(crate) fn JS_ToString(ctx: *mut JSContext, v: JSValue) -> JSValue;
    pub(crate) fn JS_IsError(v: JSValue) -> bool;
    pub(crate) fn JS_Call(
        ctx: *mut JSContext,
        func: JSValue,
        this: JSValue,
        argc: c_int,
        argv: *const JSValue,
    ) -> JSValue;
    pub(crate) fn JS_NewCFunction2(
        ctx: *mut JSContext,
        func: JSCFunction,
        name: *const c_char,
        length: c_int,
        cproto: c_int,
        magic: c_int,
    ) -> JSValue;
    pub(crate) fn JS_Throw(ctx: *mut JSContext, v: JSValue) -> JSValue;
    pub(crate) fn JS_GetException(ctx: *mut JSContext) -> JSValue;
    pub(crate) fn JS_SetUncatchableError(ctx: *mut JSContext, v: JSValue);
    pub(crate) fn JS_NewPromiseCapability(ctx: *mut JSContext, funcs: *mut JSValue) -> JSValue;
    pub(crate) fn JS_PromiseState(ctx: *mut JSContext, promise: JSValue) -> c_int;
    pub(crate) fn JS_PromiseResult(ctx: *mut JSContext, promise: JSValue) -> JSValue;
    pub(crate) fn JS_ExecutePendingJob(rt: *mut JSRuntime, ctx: *mut *mut JSContext) -> c_int;
    pub(crate) fn JS_NewClassID(rt: *mut JSRuntime, id: *mut JSClassID) -> JSClassID;
    pub(crate) fn JS_NewClass(rt: *mut JSRuntime, id: JSClassID, def: *const JSClassDef) -> c_int;
    pub(crate) fn JS_GetClassID(v: JSValue) -> JSClassID;
    pub(crate) fn js_malloc(ctx: *mut JSContext, size: usize) -> *mut c_void;
    pub(crate) fn js_free(ctx: *mut JSContext, ptr: *mut c_void);

    pub(crate) fn hull_error_frames(ctx: *mut JSContext, v: JSValue) -> JSValue;
    pub(crate) fn hull_new_error(ctx: *mut JSContext, kind: c_int, message: JSValue) -> JSValue;
    pub(crate) fn hull_function_position(
        ctx: *mut JSContext,
        f: JSValue,
        file: *mut JSAtom,
        line: *mut c_int,
        col: *mut c_int,
    ) -> bool;
    pub(crate) fn hull_get_async_context(ctx: *mut JSContext) -> JSValue;
    pub(crate) fn hull_set_async_context(ctx: *mut JSContext, v: JSValue);
    pub(crate) fn hull_kind(ctx: *mut JSContext, v: JSValue) -> c_int;
    pub(crate) fn hull_array_elements(v: JSValue, count: *mut u32) -> *const JSValue;
    pub(crate) fn hull_object_slots(v: JSValue) -> u32;
    pub(crate) fn hull_object_slot(
        ctx: *mut JSContext,
        v: JSValue,
        i: u32,
        key: *mut JSAtom,
        value: *mut JSValue,
    ) -> bool;
    pub(crate) fn hull_atom_chars(
        ctx: *mut JSContext,
        atom: JSAtom,
        len: *mut u32,
        is_wide: *mut c_int,
    ) -> *const c_void;
    pub(crate) fn hull_atom_int(atom: JSAtom) -> u32;
    pub(crate) fn hull_string_chars(
        ctx: *mut JSContext,
        v: JSValue,
        len: *mut u32,
        is_wide: *mut c_int,
    ) -> *const c_void;
    pub(crate) fn hull_bigint_to_i64(v: JSValue, out: *mut i64) -> bool;
    pub(crate) fn hull_bytes(v: JSValue, len: *mut usize) -> *const u8;
    pub(crate) fn hull_has_to_json(ctx: *mut JSContext) -> bool;
    pub(crate) fn hull_shape_of(v: JSValue, count: u32) -> *mut JSShape;
    pub(crate) fn hull_object_from_shape(
        ctx: *mut JSContext,
        shape: *mut JSShape,
        values: *const JSValue,
    ) -> JSValue;
}

/// Makes a host function. `name` and the function live as long as the process.
///
/// # Safety
/// `ctx` is a live context.
pub(crate) unsafe fn new_function(
    ctx: *mut JSContext,
    function: JSCFunction,
    name: &'static std::ffi::CStr,
    length: c_int,
) -> JSValue {
    // SAFETY: forwarded to the caller.
    unsafe { JS_NewCFunction2(ctx, function, name.as_ptr(), length, CFUNC_GENERIC, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_their_shortest_form() {
        assert_eq!(JSValue::number(3.0).tag, TAG_INT);
        assert_eq!(JSValue::number(-0.0).tag, TAG_FLOAT64);
        assert_eq!(JSValue::number(2147483648.0).tag, TAG_FLOAT64);
        assert_eq!(JSValue::number(f64::NAN).tag, TAG_FLOAT64);
        assert_eq!(JSValue::number(-5.0).as_number(), Some(-5.0));
    }
}
