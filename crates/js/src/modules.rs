//! Resolving and loading modules inside an isolate.

use std::ffi::{CStr, c_char, c_void};

use url::Url;

use crate::compile::{NATIVE_MODULE, SCHEME};
use crate::convert::bindings;
use crate::ffi::{self, JSContext, JSModuleDef, JSValue};
use crate::js::{ErrorKind, Js};
use crate::slot::{Phase, Slot};

/// The value form of a module, as the engine's evaluation functions want it.
pub(crate) fn value_of(module: *mut JSModuleDef) -> JSValue {
    JSValue::module(module)
}

/// Turns a specifier into a module name; refuses `import()`.
///
/// # Safety
/// Called by the engine with the slot given to `JS_SetModuleLoaderFunc`.
pub(crate) unsafe extern "C" fn normalize(
    ctx: *mut JSContext,
    base: *const c_char,
    specifier: *const c_char,
    opaque: *mut c_void,
) -> *mut c_char {
    let js = Js(ctx);
    // SAFETY: both texts are zero-terminated.
    let (base, specifier, slot) = unsafe {
        (
            CStr::from_ptr(base).to_string_lossy(),
            CStr::from_ptr(specifier).to_string_lossy(),
            &*opaque.cast::<Slot>(),
        )
    };
    if !slot.loading {
        js.throw(ErrorKind::TypeError, "dynamic module import unsupported");
        return std::ptr::null_mut();
    }
    match resolve(&base, &specifier) {
        Ok(name) => copy_to_engine(js, &name),
        Err(message) => {
            js.throw(ErrorKind::TypeError, &message);
            std::ptr::null_mut()
        }
    }
}

fn resolve(base: &str, specifier: &str) -> Result<String, String> {
    if specifier == NATIVE_MODULE {
        return Ok(specifier.to_owned());
    }
    let url = Url::parse(base)
        .and_then(|base| base.join(specifier))
        .map_err(|error| format!("Invalid module specifier '{specifier}': {error}"))?;
    if url.scheme() != "convex" {
        return Err(format!("Unsupported scheme ({}) in {url}", url.scheme()));
    }
    Ok(format!("{SCHEME}{}", url.path().trim_start_matches('/')))
}

fn copy_to_engine(js: Js, text: &str) -> *mut c_char {
    // SAFETY: the block has room for the text and its terminating zero.
    unsafe {
        let copy = ffi::js_malloc(js.0, text.len() + 1) as *mut u8;
        if !copy.is_null() {
            std::ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
            *copy.add(text.len()) = 0;
        }
        copy.cast()
    }
}

/// Loads a module from its bytecode.
///
/// # Safety
/// As `normalize`.
pub(crate) unsafe extern "C" fn load(
    ctx: *mut JSContext,
    name: *const c_char,
    opaque: *mut c_void,
) -> *mut JSModuleDef {
    let js = Js(ctx);
    // SAFETY: the name is zero-terminated, the slot alive and not in use elsewhere.
    let (name, slot) = unsafe {
        (
            CStr::from_ptr(name).to_string_lossy().into_owned(),
            &mut *opaque.cast::<Slot>(),
        )
    };
    if name == NATIVE_MODULE {
        return bindings::native_module(js);
    }
    let path = name.strip_prefix(SCHEME).unwrap_or(&name);
    let canonical = format!("{path}.js");
    let found = (slot.spec.modules)(path).or_else(|| (slot.spec.modules)(&canonical));
    let Some(module) = found else {
        let message = if matches!(
            slot.run.phase,
            Phase::Definition | Phase::ComponentDefinition
        ) {
            format!("Can't import {path} while evaluating app definition")
        } else {
            format!(
                "Couldn't find JavaScript module '{path}'. Did you forget to run `npx convex dev`?"
            )
        };
        js.throw(ErrorKind::Error, &message);
        return std::ptr::null_mut();
    };
    // SAFETY: bytecode made by this process; a module value is a counted
    // reference the engine's module list holds as well.
    let value = unsafe {
        ffi::JS_ReadObject(
            js.0,
            module.bytecode.as_ptr(),
            module.bytecode.len(),
            ffi::READ_OBJ_BYTECODE,
        )
    };
    if value.is_exception() {
        return std::ptr::null_mut();
    }
    slot.loaded.push(module);
    let definition = value.module_ptr();
    js.free(value);
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_resolve_as_urls() {
        let base = "convex:/foo/bar.js";
        assert_eq!(
            resolve(base, "../_deps/X.js").as_deref(),
            Ok("convex:/_deps/X.js")
        );
        assert_eq!(
            resolve(base, "./baz.js").as_deref(),
            Ok("convex:/foo/baz.js")
        );
        assert_eq!(
            resolve(base, "node:fs").expect_err("refused"),
            "Unsupported scheme (node) in node:fs"
        );
    }
}
