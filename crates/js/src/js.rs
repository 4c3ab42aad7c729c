//! Small operations on a live context, shared by the natives and the runner.
//!
//! A `Js` is only made from a context that is alive and entered by this
//! thread; that is the invariant behind every `unsafe` block here.

use std::ffi::{CStr, c_int};

use crate::ffi::{self, JSAtom, JSContext, JSValue};

/// A borrowed context.
#[derive(Clone, Copy)]
pub(crate) struct Js(pub(crate) *mut JSContext);

/// Class of an exception; mirrored by `hull_new_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Error = 0,
    TypeError = 1,
}

/// Characters of a string, borrowed from the engine.
pub(crate) enum Chars<'a> {
    Latin1(&'a [u8]),
    Utf16(&'a [u16]),
}

impl Chars<'_> {
    /// None for text with a lone surrogate, which has no UTF-8 form.
    pub(crate) fn to_strict(&self) -> Option<String> {
        match self {
            Chars::Latin1(bytes) => Some(latin1_to_string(bytes)),
            Chars::Utf16(units) => String::from_utf16(units).ok(),
        }
    }

    /// Lone surrogates become U+FFFD.
    pub(crate) fn to_lossy(&self) -> String {
        match self {
            Chars::Latin1(bytes) => latin1_to_string(bytes),
            Chars::Utf16(units) => String::from_utf16_lossy(units),
        }
    }
}

fn latin1_to_string(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => text.to_owned(),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

impl Js {
    pub(crate) fn string(self, text: &str) -> JSValue {
        // SAFETY: `text` is valid for its length.
        unsafe { ffi::JS_NewStringLen(self.0, text.as_ptr().cast(), text.len()) }
    }

    pub(crate) fn atom(self, text: &str) -> JSAtom {
        // SAFETY: as in `string`.
        unsafe { ffi::JS_NewAtomLen(self.0, text.as_ptr().cast(), text.len()) }
    }

    pub(crate) fn free_atom(self, atom: JSAtom) {
        // SAFETY: the atom belongs to this runtime.
        unsafe { ffi::JS_FreeAtom(self.0, atom) }
    }

    pub(crate) fn free(self, value: JSValue) {
        // SAFETY: the caller owns `value`.
        unsafe { ffi::JS_FreeValue(self.0, value) }
    }

    pub(crate) fn dup(self, value: JSValue) -> JSValue {
        // SAFETY: `value` is alive.
        unsafe { ffi::JS_DupValue(self.0, value) }
    }

    /// Characters of a string value, valid as long as it is. None: not a
    /// string, or no memory to flatten it (an exception is then pending).
    pub(crate) fn chars<'a>(self, value: JSValue) -> Option<Chars<'a>> {
        if !value.is_string() {
            return None;
        }
        let (mut len, mut is_wide) = (0u32, 0 as c_int);
        // SAFETY: the engine keeps `len` characters of that width alive with `value`.
        unsafe {
            let start = ffi::hull_string_chars(self.0, value, &raw mut len, &raw mut is_wide);
            if start.is_null() {
                return None;
            }
            Some(if is_wide != 0 {
                Chars::Utf16(std::slice::from_raw_parts(start.cast(), len as usize))
            } else {
                Chars::Latin1(std::slice::from_raw_parts(start.cast(), len as usize))
            })
        }
    }

    /// The text of a string value; None for anything else.
    pub(crate) fn text(self, value: JSValue) -> Option<String> {
        self.chars(value).map(|chars| chars.to_lossy())
    }

    /// The text of any value as `String(value)` gives it. May run user code;
    /// an exception it throws is dropped and gives None.
    pub(crate) fn to_text(self, value: JSValue) -> Option<String> {
        // SAFETY: `value` is alive.
        let string = unsafe { ffi::JS_ToString(self.0, value) };
        if string.is_exception() {
            self.drop_exception();
            return None;
        }
        let text = self.text(string);
        self.free(string);
        text
    }

    /// A property; may run user code. An exception is dropped and gives None.
    pub(crate) fn get(self, object: JSValue, name: &CStr) -> Option<JSValue> {
        // SAFETY: `object` is alive.
        let value = unsafe { ffi::JS_GetPropertyStr(self.0, object, name.as_ptr()) };
        if value.is_exception() {
            self.drop_exception();
            return None;
        }
        Some(value)
    }

    pub(crate) fn set(self, object: JSValue, name: &CStr, value: JSValue) {
        // SAFETY: `object` is alive, `value` is given away. Only used on fresh objects.
        unsafe { ffi::JS_SetPropertyStr(self.0, object, name.as_ptr(), value) };
    }

    /// Calls a function; the arguments stay the caller's.
    pub(crate) fn call(self, function: JSValue, this: JSValue, args: &[JSValue]) -> JSValue {
        // SAFETY: all values are alive; argument counts here are tiny.
        unsafe { ffi::JS_Call(self.0, function, this, args.len() as c_int, args.as_ptr()) }
    }

    /// Makes an exception object that knows where the running code is.
    pub(crate) fn error(self, kind: ErrorKind, message: &str) -> JSValue {
        let text = self.string(message);
        if text.is_exception() {
            return text;
        }
        // SAFETY: `text` is given away.
        unsafe { ffi::hull_new_error(self.0, kind as c_int, text) }
    }

    /// Throws; returns the marker the engine expects from a failed function.
    pub(crate) fn throw(self, kind: ErrorKind, message: &str) -> JSValue {
        let error = self.error(kind, message);
        if error.is_exception() {
            return error;
        }
        // SAFETY: `error` is given away.
        unsafe { ffi::JS_Throw(self.0, error) }
    }

    /// Throws what neither `catch` nor `finally` sees.
    pub(crate) fn throw_uncatchable(self, message: &str) -> JSValue {
        let error = self.error(ErrorKind::Error, message);
        if error.is_exception() {
            return error;
        }
        // SAFETY: `error` is alive, then given away.
        unsafe {
            ffi::JS_SetUncatchableError(self.0, error);
            ffi::JS_Throw(self.0, error)
        }
    }

    /// Takes the pending exception, to be freed by the caller.
    pub(crate) fn take_exception(self) -> JSValue {
        // SAFETY: plain accessor.
        unsafe { ffi::JS_GetException(self.0) }
    }

    pub(crate) fn drop_exception(self) {
        let exception = self.take_exception();
        self.free(exception);
    }

    /// Parses JSON made by the host. Exceptions stay pending.
    pub(crate) fn parse_json(self, text: &str) -> JSValue {
        // The parser wants a terminating zero.
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        // SAFETY: zero-terminated, length without it.
        unsafe { ffi::JS_ParseJSON(self.0, bytes.as_ptr().cast(), text.len(), c"json".as_ptr()) }
    }

    /// Bytes of an `ArrayBuffer` or of the window of a view, valid until
    /// JavaScript runs again.
    pub(crate) fn bytes<'a>(self, value: JSValue) -> Option<&'a [u8]> {
        let mut len = 0usize;
        // SAFETY: on success the engine returns `len` readable bytes.
        unsafe {
            let start = ffi::hull_bytes(value, &raw mut len);
            (!start.is_null()).then(|| std::slice::from_raw_parts(start, len))
        }
    }
}
