//! Serves `ops::dispatch` over pipes, one JSON line per call, so that the scripts of `bootstrap/` can be tested under
//! Node.js with the real operations: `{"name":…,"args":[…]}` → `{"ok":…}` or `{"class":…,"name":…,"message":…}`.
//! Undefined is `{"u":true}`, bytes are `{"b":"<base64>"}`.

use std::io::{BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hull_js::ops::{self, OpValue};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let call: Value = serde_json::from_str(&line?)?;
        let args: Vec<OpValue> = call["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(read)
            .collect();
        let reply = match ops::dispatch(call["name"].as_str().unwrap_or_default(), &args) {
            Ok(value) => json!({ "ok": write(value) }),
            Err(error) => {
                json!({ "class": error.class.name(), "name": error.name, "message": error.message })
            }
        };
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

fn read(value: &Value) -> OpValue {
    match value {
        Value::Null => OpValue::Null,
        Value::Bool(flag) => OpValue::Bool(*flag),
        Value::Number(number) => OpValue::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => OpValue::String(text.clone()),
        Value::Array(items) => OpValue::List(items.iter().map(read).collect()),
        Value::Object(tagged) => match tagged.get("b").and_then(Value::as_str) {
            Some(text) => OpValue::Bytes(STANDARD.decode(text).unwrap_or_default()),
            None => OpValue::Undefined,
        },
    }
}

fn write(value: OpValue) -> Value {
    match value {
        OpValue::Undefined => json!({ "u": true }),
        OpValue::Null => Value::Null,
        OpValue::Bool(flag) => Value::Bool(flag),
        OpValue::Number(number) => json!(number),
        OpValue::String(text) => Value::String(text),
        OpValue::Bytes(bytes) => json!({ "b": STANDARD.encode(bytes) }),
        OpValue::List(items) => items.into_iter().map(write).collect(),
    }
}
