//! Images: what evaluation leaves behind, pooling, threads, nesting, determinism.

mod support;

use std::sync::Arc;
use std::time::Duration;

use hull_js::{
    Args, CallKind, EngineConfig, Environment, Host, HostError, Image, JsError, LogLine, Reply,
};
use support::{App, SEED, TestHost, call, ok, packed, request};

const IMPORTING: &str = r#"
const flavour = process.env.FLAVOUR;
const missing = process.env.MISSING;
const again = process.env.FLAVOUR;
console.log("loading", flavour);
export const f = Object.assign(() => {}, { isQuery: true, invokeQuery: async () => JSON.stringify([flavour ?? null]) });
"#;

#[test]
fn import_reads_and_logs_are_recorded() {
    let app = App::from_sources(&[("a.js", IMPORTING)]);
    app.env
        .lock()
        .expect("env")
        .insert("FLAVOUR".into(), "mint".into());
    let image = app.image("a.js");
    assert_eq!(
        image.env_reads,
        [
            ("FLAVOUR".into(), Some("mint".into())),
            ("MISSING".into(), None)
        ]
    );
    assert_eq!(image.import_logs.len(), 1);
    assert_eq!(image.import_logs[0].messages, ["'loading'", "'mint'"]);
    assert_eq!(ok(app.query(&image, "f", "[{}]")), r#"["mint"]"#);
}

#[test]
fn an_import_error_is_the_error_of_every_call() {
    let sources = [
        (
            "throws.js",
            "export const x = 1;\nthrow new Error('at import');",
        ),
        ("awaits.js", "await null; export const x = 1;"),
        ("misses.js", "import './nothing.js';"),
        ("scheme.js", "import 'node:fs';"),
        ("database.js", "Convex.asyncSyscall('1.0/get', '{}');"),
        ("other.js", "Convex.syscall('1.0/componentArgument', '{}');"),
        ("nested.js", "import './throws.js';"),
    ];
    let app = App::from_sources(&sources);
    let check = |entry: &str, expected: &str| {
        let image = app.image(entry);
        for _ in 0..2 {
            let Err(error) = image.isolate() else {
                panic!("{entry} fails")
            };
            assert_eq!(error.to_string(), expected);
        }
    };
    check("throws.js", "Uncaught Error: at import");
    check("nested.js", "Uncaught Error: at import");
    check(
        "awaits.js",
        "Top-level awaits in source files are unsupported",
    );
    check(
        "misses.js",
        "Uncaught Error: Couldn't find JavaScript module 'nothing.js'. Did you forget to run `npx convex dev`?",
    );
    check(
        "scheme.js",
        "Uncaught TypeError: Unsupported scheme (node) in node:fs",
    );
    check(
        "database.js",
        "Uncaught Error: Can't use database at import time",
    );
    check(
        "other.js",
        "Uncaught Error: Syscall 1.0/componentArgument unsupported at import time",
    );
}

#[test]
fn isolates_are_pooled_evicted_and_accounted() {
    let app = App::fixtures_with(EngineConfig {
        slots_max: 2,
        ..Default::default()
    });
    let (messages, limits) = (app.image("messages.js"), app.image("limits.js"));
    assert_eq!(app.engine.slots(), 2);
    let bytes = messages.bytes();
    assert!(bytes > 100_000 && bytes < 8 << 20, "{bytes}");
    let (a, b) = (
        messages.isolate().expect("a"),
        messages.isolate().expect("b"),
    );
    // The second one took the place of the other image's idle isolate.
    assert_eq!((app.engine.slots(), limits.idle_isolates()), (2, 0));
    let c = limits.isolate().expect("in use isolates are not bounded");
    assert_eq!(app.engine.slots(), 3);
    drop((a, b, c));
    assert_eq!(app.engine.slots(), 2);
    app.engine.release_idle(Duration::ZERO);
    assert_eq!(ok(app.query(&messages, "noop", "[{}]")), "null");
    app.engine.shrink(0);
    assert_eq!(app.engine.slots(), 0);
    drop(messages);
    assert_eq!(ok(app.query(&limits, "ok", "[{}]")), "\"fine\"");
}

#[test]
fn an_isolate_built_on_one_thread_runs_on_another() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let expected = ok(app.query(&image, "clocks", "[{}]"));
    let isolates: Vec<_> = (0..3).map(|_| image.isolate().expect("isolate")).collect();
    let threads: Vec<_> = isolates
        .into_iter()
        .map(|mut isolate| {
            std::thread::spawn(move || {
                let run = |_| {
                    ok(isolate.call(
                        &request(CallKind::Query, "clocks", "[{}]"),
                        &mut TestHost::default(),
                    ))
                };
                (0..50).map(run).collect::<Vec<_>>()
            })
        })
        .collect();
    for thread in threads {
        for result in thread.join().expect("joins") {
            assert_eq!(result, expected);
        }
    }
}

#[test]
fn equal_seed_and_answers_give_equal_results_and_calls() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let run = |seed: [u8; 32]| {
        let mut host = TestHost {
            documents: support::documents(30),
            ..Default::default()
        };
        let mut isolate = image.isolate().expect("isolate");
        let list = r#"[{"channel":"general"}]"#;
        let rows = ok(isolate.call(&request(CallKind::Query, "listCollect", list), &mut host));
        let mut clocks = request(CallKind::Query, "clocks", "[{}]");
        clocks.seed = seed;
        (rows, ok(isolate.call(&clocks, &mut host)), host.calls)
    };
    assert_eq!(run(SEED), run(SEED));
    assert_ne!(run(SEED).1, run([9; 32]).1);
}

/// Answers `1.0/runUdf` with a fresh isolate of the same image.
struct Nesting {
    image: Arc<Image>,
    inner: TestHost,
}

impl Host for Nesting {
    fn syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        self.inner.syscall(name, args)
    }

    fn async_syscall(&mut self, name: &str, args: Args<'_>) -> Result<Reply, HostError> {
        assert_eq!(name, "1.0/runUdf");
        let request: serde_json::Value = serde_json::from_str(args.json()).expect("JSON");
        let args = format!("[{}]", request["args"]);
        let image = self.image.clone();
        let result = call(&image, CallKind::Query, "nested", &args, self).result;
        Ok(Reply::Value(result.map_err(|e| HostError::User {
            message: e.to_string(),
            data: None,
        })?))
    }

    fn env_var(&mut self, _: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }

    fn log(&mut self, _: LogLine) {}
}

#[test]
fn calls_nest_on_one_thread() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let worker = std::thread::Builder::new().stack_size(hull_js::worker_stack_size());
    let check = move || {
        let mut host = Nesting {
            image: image.clone(),
            inner: TestHost::default(),
        };
        let result = ok(call(
            &image,
            CallKind::Query,
            "nested",
            r#"[{"depth":8}]"#,
            &mut host,
        ));
        assert!(
            result.starts_with("[0.0,[0.0,[0.0,[0.0,[0.0,[0.0,[0.0,[0.0,[0."),
            "{result}"
        );
        assert_eq!(image.idle_isolates(), 9);
    };
    worker.spawn(check).expect("thread").join().expect("joins");
}

#[test]
fn unrecognised_functions_work_through_the_string_protocol() {
    let app = App::from_sources(&[(
        "raw.js",
        r#"
        const wrap = (handler) => Object.assign(() => {}, { isQuery: true, invokeQuery: handler });
        export const f = wrap(async (args) => {
            const answer = JSON.parse(await Convex.asyncSyscall("1.0/get", JSON.stringify({ id: JSON.parse(args)[0].id })));
            return JSON.stringify({ got: answer });
        });
        export const bad = wrap(async () => "{");
        export const worse = wrap(async () => 7);
        export const plain = wrap(() => "[1]");
        "#,
    )]);
    let image = app.image("raw.js");
    let mut host = TestHost::with(|_, args| {
        assert_eq!(args, r#"{"id":"x"}"#);
        Ok(Reply::Document(Some(packed(
            r#"{"_id":"x","n":{"$integer":"AQAAAAAAAAA="}}"#,
        ))))
    });
    assert_eq!(
        ok(call(
            &image,
            CallKind::Query,
            "f",
            r#"[{"id":"x"}]"#,
            &mut host
        )),
        r#"{"got":{"_id":"x","n":{"$integer":"AQAAAAAAAAA="}}}"#
    );
    assert_eq!(ok(app.query(&image, "plain", "[{}]")), "[1.0]");
    for export in ["bad", "worse"] {
        let Err(JsError::Thrown(error)) = app.query(&image, export, "[{}]").result else {
            panic!("fails")
        };
        assert!(
            error
                .message
                .starts_with(&format!("Function raw.js:{export} return value invalid: ")),
            "{error:?}"
        );
    }
}

#[test]
fn environments_differ_at_import() {
    let app = App::from_sources(&[("s.js", "export default { v: process.env.X };")]);
    let image = app
        .engine
        .image(&app.spec("s.js", Environment::Schema))
        .expect("image");
    let error = JsError::from(image.import_error.clone().expect("refused")).to_string();
    assert!(
        error.contains("Environment variables unsupported when evaluating schema"),
        "{error}"
    );
}
