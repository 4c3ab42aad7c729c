//! Describing a thrown value the way the original's clients see it.

use std::ffi::CStr;

use hull_value::PackedValue;

use crate::compile;
use crate::cut;
use crate::error::{FailedCheck, JsException};
use crate::ffi::{self, JSValue};
use crate::js::Js;
use crate::limits::ERROR_MESSAGE_BYTES_MAX;

/// Describes what was thrown. Reads properties, hence may run user code; the
/// caller checks for limits afterwards.
pub(crate) fn describe(js: Js, thrown: JSValue) -> JsException {
    if !thrown.is_object() {
        let text = js.to_text(thrown).unwrap_or_default();
        return JsException::of_runtime(cut(format!("Uncaught {text}")));
    }
    let message = match (
        text_property(js, thrown, c"name"),
        text_property(js, thrown, c"message"),
    ) {
        // SAFETY: plain accessor.
        (None, None) if !unsafe { ffi::JS_IsError(thrown) } => {
            format!("Uncaught #<{}>", class_name(js, thrown))
        }
        (name, message) => uncaught(
            name.as_deref().unwrap_or("Error"),
            message.as_deref().unwrap_or(""),
        ),
    };
    let frames = compile::error_frames(js, thrown);
    match convex_error_data(js, thrown) {
        None => JsException {
            message: cut(message),
            frames,
            ..Default::default()
        },
        Some(Ok(data)) => JsException {
            message: cut(message),
            frames,
            data: Some(data),
            check: None,
        },
        Some(Err(why)) => {
            let message = format!("Uncaught ConvexError with invalid data: {why}");
            JsException {
                message: cut(message),
                frames,
                ..Default::default()
            }
        }
    }
}

/// The same for what was thrown at a push: a check that failed stands for itself.
pub(crate) fn describe_check(js: Js, native: JSValue, thrown: JSValue) -> JsException {
    let check = failed_check(js, native, thrown).map(Box::new);
    JsException {
        check,
        ..describe(js, thrown)
    }
}

/// Finds the check that raised `thrown`, if one did.
fn failed_check(js: Js, native: JSValue, thrown: JSValue) -> Option<FailedCheck> {
    let failed = js
        .get(native, c"failed")
        .filter(|failed| failed.is_object())?;
    let is_own = js.get(failed, c"error")?.is_same_object(thrown);
    let text = |name| js.get(failed, name).and_then(|value| js.text(value));
    is_own.then_some(FailedCheck {
        code: text(c"code")?,
        message: text(c"message")?,
    })
}

fn uncaught(name: &str, message: &str) -> String {
    match (name.is_empty(), message.is_empty()) {
        (false, false) => format!("Uncaught {name}: {message}"),
        (false, true) => format!("Uncaught {name}"),
        (true, false) => format!("Uncaught {message}"),
        (true, true) => "Uncaught".to_owned(),
    }
}

fn cut(mut message: String) -> String {
    cut::cut(&mut message, ERROR_MESSAGE_BYTES_MAX);
    message
}

/// A property as text; None if it is undefined or cannot be read.
fn text_property(js: Js, object: JSValue, name: &CStr) -> Option<String> {
    let value = js.get(object, name)?;
    let text = if value.is_undefined() {
        None
    } else {
        js.to_text(value)
    };
    js.free(value);
    text
}

fn class_name(js: Js, object: JSValue) -> String {
    let name = js.get(object, c"constructor").and_then(|constructor| {
        let name = if constructor.is_object() {
            text_property(js, constructor, c"name")
        } else {
            None
        };
        js.free(constructor);
        name
    });
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "Object".to_owned())
}

/// The payload of a ConvexError, whose library code has already turned `data`
/// into JSON text and marked the error.
fn convex_error_data(js: Js, error: JSValue) -> Option<Result<PackedValue, String>> {
    let symbol = js.get(error, c"ConvexErrorSymbol")?;
    // SAFETY: all values are alive; the atom is freed.
    let marked = unsafe {
        let atom = ffi::JS_ValueToAtom(js.0, symbol);
        let value = ffi::JS_GetProperty(js.0, error, atom);
        js.free_atom(atom);
        if value.is_exception() {
            js.drop_exception();
        }
        let marked = !symbol.is_undefined() && value.as_bool() == Some(true);
        js.free(value);
        marked
    };
    js.free(symbol);
    if !marked {
        return None;
    }
    let Some(json) = text_property(js, error, c"data") else {
        return Some(Err("no data".to_owned()));
    };
    Some(PackedValue::from_encoded_json(&json).map_err(|error| error.to_string()))
}
