use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{
    Args, Engine, EngineConfig, Environment, HostError, ImageSpec, LogLine, NoSourceMaps, Reply,
};

#[test]
fn only_adjacent_reads_share_a_batch() {
    let check = |names: &[&str], expected: &[usize]| {
        let mut pending: VecDeque<_> = names
            .iter()
            .map(|name| PendingCall {
                name: (*name).to_owned(),
                args: String::new(),
                settle: [JSValue::UNDEFINED; 2],
                wants_values: false,
            })
            .collect();
        let mut sizes = Vec::new();
        while !pending.is_empty() {
            sizes.push(next_batch(&mut pending).len());
        }
        assert_eq!(sizes, expected);
    };
    check(
        &[
            "1.0/get",
            "1.0/queryStreamNext",
            "1.0/insert",
            "1.0/insert",
            "1.0/get",
        ],
        &[2, 1, 1, 1],
    );
    check(
        &["1.0/storageGetUrl", "1.0/storageGetUrl", "1.0/get"],
        &[2, 1],
    );
    check(&["1.0/get"; 40], &[16, 16, 8]);
}

const MODULE: &str = r#"
let counter = 0;
const wrap = (handler) => Object.assign(() => {}, { isQuery: true, invokeQuery: handler });
export const mutate = wrap(async () => {
    counter++;
    globalThis.leak = (globalThis.leak ?? 0) + 1;
    Array.prototype.leak = [counter];
    await Convex.asyncSyscall("1.0/get", "{}");
    const hoard = Array.from({ length: 20000 }, (_, n) => ({ n, text: "x" + n }));
    return JSON.stringify([counter, globalThis.leak, hoard.length]);
});
export const loop = wrap(async () => { counter++; for (;;); });
export const memory = wrap(async () => { const a = []; for (;;) a.push(new Array(1000).fill(counter++)); });
export const recursion = wrap(async () => { const f = () => { counter++; return f() + 1; }; return f(); });
export const rejects = wrap(async () => { counter++; throw new Error("no"); });
export const unhandled = wrap(async () => { Promise.reject(counter++); return "1"; });
export const never = wrap(async () => new Promise(() => {}));
"#;

struct NoHost;

impl Host for NoHost {
    fn syscall(&mut self, _: &str, _: Args<'_>) -> Result<Reply, HostError> {
        Ok(Reply::Json("null".into()))
    }
    fn async_syscall(&mut self, _: &str, _: Args<'_>) -> Result<Reply, HostError> {
        Ok(Reply::Json("null".into()))
    }
    fn env_var(&mut self, _: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }
    fn log(&mut self, _: LogLine) {}
}

#[test]
fn every_page_equals_the_image_after_any_call() {
    let engine = Engine::new(EngineConfig {
        heap_limit_bytes: 16 << 20,
        ..Default::default()
    })
    .expect("engine");
    let module = engine.compile("m.js", MODULE).expect("compiles");
    let spec = ImageSpec {
        environment: Environment::Query,
        entry: "m.js".into(),
        modules: Arc::new(move |path| (path == "m.js").then(|| module.clone())),
        env: Arc::new(|_| None),
        source_maps: Arc::new(NoSourceMaps),
        import_seed: [0; 32],
        import_time_ns: 0,
    };
    let image = engine.image(&spec).expect("image");
    let mut isolate = image.isolate().expect("isolate");
    for round in 0..3 {
        for export in [
            "mutate",
            "loop",
            "mutate",
            "memory",
            "recursion",
            "rejects",
            "unhandled",
            "never",
            "mutate",
        ] {
            let call = Call {
                export,
                kind: CallKind::Query,
                args_json: "[{}]",
                seed: [round; 32],
                time_ms: 1e12,
                user_timeout: Duration::from_millis(if export == "loop" { 30 } else { 5_000 }),
            };
            let outcome = isolate.call(&call, &mut NoHost);
            assert!(isolate.is_pristine(), "{export}");
            assert_eq!(
                outcome.result.is_ok(),
                export == "mutate",
                "{export}: {:?}",
                outcome.result
            );
            if let Ok(value) = outcome.result {
                let mut json = Vec::new();
                hull_value::json::encode(value.as_ref(), &mut json);
                assert_eq!(json, b"[1.0,1.0,20000.0]");
            }
        }
    }
}
