//! Source text to bytecode, in a throw-away runtime of its own.
//!
//! Isolates have no compiler (`eval` is disallowed there), and a module is
//! parsed once however many images use it. Bytecode is trusted input of the
//! engine and never leaves the process.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{JsError, JsException};
use crate::ffi::{self, JSContext, JSModuleDef, JSRuntime, JSValue};
use crate::js::Js;
use crate::native_stack;
use crate::recognise::{self, Library};
use crate::stack;

/// Scheme of module names inside an isolate.
pub(crate) const SCHEME: &str = "convex:/";
/// Name of the synthetic module that recognised library code imports.
pub(crate) const NATIVE_MODULE: &str = "hull:convex-values";

/// A module ready to be loaded into isolates.
#[derive(Debug)]
pub struct CompiledModule {
    /// Module path, for instance `messages.js`.
    pub path: String,
    /// SHA-256 of the source as it was pushed.
    pub source_hash: [u8; 32],
    pub(crate) bytecode: Vec<u8>,
    /// What of the convex library was found in it and bound to native code.
    pub(crate) library: Library,
}

impl CompiledModule {
    /// Returns the memory it holds, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytecode.len() + self.path.len() + size_of::<Self>()
    }

    /// Returns whether library code was recognised and bound to native code.
    pub fn is_native_bound(&self) -> bool {
        self.library.is_bound()
    }
}

/// Compiles one module of a deployment.
pub(crate) fn module(
    path: &str,
    source: &str,
    native_conversion: bool,
) -> Result<CompiledModule, JsError> {
    let source_hash = Sha256::digest(source.as_bytes()).into();
    let (text, library) = if native_conversion {
        recognise::bind(source)
    } else {
        (source.into(), Library::default())
    };
    let bytecode = bytecode(&format!("{SCHEME}{path}"), &text, ffi::EVAL_TYPE_MODULE)?;
    Ok(CompiledModule {
        path: path.to_owned(),
        source_hash,
        bytecode,
        library,
    })
}

/// Compiles a script of the bootstrap: an expression that gives a function.
pub(crate) fn script(name: &str, source: &str) -> Result<Vec<u8>, JsError> {
    bytecode(name, source, ffi::EVAL_TYPE_GLOBAL)
}

struct Compiler {
    rt: *mut JSRuntime,
    ctx: *mut JSContext,
}

impl Compiler {
    fn new() -> Result<Self, JsError> {
        // SAFETY: a fresh runtime with the default allocator, used by this thread only.
        unsafe {
            let rt = ffi::JS_NewRuntime();
            if rt.is_null() {
                return Err(JsError::internal("no memory for a compiler"));
            }
            let ctx = ffi::JS_NewContextRaw(rt);
            if ctx.is_null() {
                ffi::JS_FreeRuntime(rt);
                return Err(JsError::internal("no memory for a compiler"));
            }
            let compiler = Compiler { rt, ctx };
            ffi::JS_SetMaxStackSize(rt, native_stack::budget_bytes());
            ffi::JS_UpdateStackTop(rt);
            ffi::JS_SetModuleLoaderFunc(
                rt,
                Some(keep_specifier),
                Some(empty_module),
                std::ptr::null_mut(),
            );
            if ffi::JS_AddIntrinsicBaseObjects(ctx) != 0 || ffi::JS_AddIntrinsicEval(ctx) != 0 {
                return Err(JsError::internal("no memory for a compiler"));
            }
            ffi::JS_AddIntrinsicRegExpCompiler(ctx);
            Ok(compiler)
        }
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: made by `new`, nothing of it is kept.
        unsafe {
            ffi::JS_FreeContext(self.ctx);
            ffi::JS_FreeRuntime(self.rt);
        }
    }
}

/// Imports are resolved when a module is loaded into an isolate, not here.
unsafe extern "C" fn keep_specifier(
    ctx: *mut JSContext,
    _base: *const c_char,
    name: *const c_char,
    _: *mut c_void,
) -> *mut c_char {
    // SAFETY: `name` is zero-terminated; the result must come from js_malloc.
    unsafe {
        let len = CStr::from_ptr(name).to_bytes_with_nul().len();
        let copy = ffi::js_malloc(ctx, len) as *mut c_char;
        if !copy.is_null() {
            std::ptr::copy_nonoverlapping(name, copy, len);
        }
        copy
    }
}

unsafe extern "C" fn empty_module(
    ctx: *mut JSContext,
    name: *const c_char,
    _: *mut c_void,
) -> *mut JSModuleDef {
    unsafe extern "C" fn init(_: *mut JSContext, _: *mut JSModuleDef) -> c_int {
        0
    }
    // SAFETY: a module without exports; it is never linked.
    unsafe { ffi::JS_NewCModule(ctx, name, init) }
}

fn bytecode(name: &str, source: &str, kind: c_int) -> Result<Vec<u8>, JsError> {
    let compiler = Compiler::new()?;
    let js = Js(compiler.ctx);
    let file =
        CString::new(name).map_err(|_| JsError::internal("module name contains a zero byte"))?;
    // The parser wants a terminating zero.
    let mut text = Vec::with_capacity(source.len() + 1);
    text.extend_from_slice(source.as_bytes());
    text.push(0);
    // SAFETY: zero-terminated text, its length without the zero; compile only.
    let unit = unsafe {
        ffi::JS_Eval(
            js.0,
            text.as_ptr().cast(),
            source.len(),
            file.as_ptr(),
            kind | ffi::EVAL_FLAG_COMPILE_ONLY,
        )
    };
    if unit.is_exception() {
        return Err(compile_error(js));
    }
    let mut len = 0usize;
    // SAFETY: `unit` is what compiling gave; the buffer is copied, then freed.
    unsafe {
        let flags = ffi::WRITE_OBJ_BYTECODE | ffi::WRITE_OBJ_STRIP_SOURCE;
        let buffer = ffi::JS_WriteObject(js.0, &raw mut len, unit, flags);
        js.free(unit);
        if buffer.is_null() {
            return Err(compile_error(js));
        }
        let bytes = std::slice::from_raw_parts(buffer, len).to_vec();
        ffi::js_free(js.0, buffer.cast());
        Ok(bytes)
    }
}

fn compile_error(js: Js) -> JsError {
    let exception = js.take_exception();
    let text = js
        .to_text(exception)
        .unwrap_or_else(|| "out of memory".to_owned());
    let frames = error_frames(js, exception);
    js.free(exception);
    JsError::Compile(JsException {
        message: format!("Uncaught {text}"),
        frames,
        ..Default::default()
    })
}

/// Frames captured when an error was made; empty for anything else.
pub(crate) fn error_frames(js: Js, error: JSValue) -> Vec<stack::Frame> {
    // SAFETY: `error` is alive.
    let text = unsafe { ffi::hull_error_frames(js.0, error) };
    if text.is_exception() {
        js.drop_exception();
        return Vec::new();
    }
    let frames = js
        .text(text)
        .map(|text| stack::parse_frames(&text))
        .unwrap_or_default();
    js.free(text);
    frames
}

/// Compiles the module a definition sees for `./_componentDeps/<path>`: it
/// exports the child's definition (JSON text of an object).
pub(crate) fn component_dependency(
    path: &str,
    definition_json: &str,
    component_path: &str,
    default_name: &str,
) -> Result<Arc<CompiledModule>, JsError> {
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let source = format!(
        "export default {{ export: () => {{ return JSON.parse({}) }}, componentDefinitionPath: {}, defaultName: {} }};\n",
        quote(definition_json),
        quote(component_path),
        quote(default_name),
    );
    module(path, &source, false).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_compile_without_their_imports() {
        let compiled = module(
            "a/b.js",
            "import {x} from '../c.js'; export const y = x + 1;",
            true,
        )
        .expect("compiles");
        assert!(!compiled.bytecode.is_empty());
    }

    #[test]
    fn syntax_errors_name_the_place() {
        let Err(JsError::Compile(error)) = module("bad.js", "export const x = ;\n", true) else {
            panic!("must not compile");
        };
        assert!(
            error.message.starts_with("Uncaught SyntaxError: "),
            "{}",
            error.message
        );
        assert_eq!(error.frames[0].file.as_deref(), Some("convex:/bad.js"));
        assert_eq!(error.frames[0].line, Some(1));
    }
}
