//! The scripts that make the globals, compiled once per engine.

use crate::compile;
use crate::error::JsError;
use crate::vm::Script;

// `SCRIPTS: &[(&str, &str)]`, name and text in the order of `bootstrap/order.txt`.
include!(concat!(env!("OUT_DIR"), "/bootstrap_scripts.rs"));

/// Compiles every script to a function of the `native` object.
pub(crate) fn compile() -> Result<Vec<Script>, JsError> {
    SCRIPTS
        .iter()
        .map(|(name, text)| {
            // On the first line, so that line numbers stay those of the file.
            let source = format!("(function (native) {{ \"use strict\"; {text}\n}})");
            let bytecode = compile::script(name, &source)?;
            Ok(Script { name, bytecode })
        })
        .collect()
}
