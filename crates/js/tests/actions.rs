//! Actions: steps, answers that come late and in any order, timers, fetches.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::time::Duration;

use hull_js::ops::{OpError, OpValue};
use hull_js::{
    ActionCall, ActionHost, ActionOutcome, Activity, Answer, Args, Environment, Host, HostCall,
    HostError, LogLine, OpId, Reply, Step,
};
use serde_json::{Value as Json, json};
use support::{App, SEED, TIME_MS};

const MODULE: &str = r#"
const action = (handler) => Object.assign(() => {}, { isAction: true, isPublic: true,
    invokeAction: async (requestId, args) => JSON.stringify((await handler(...JSON.parse(args), requestId)) ?? null) });
const call = async (name, args = {}) => JSON.parse(await Convex.asyncSyscall(name, JSON.stringify(args)));
let calls = 0;
export const plain = action(({ n }, requestId) => [n + 1, requestId, ++calls]);
export const both = action(async () => await Promise.all([call("1.0/actions/query", { n: 1 }), call("1.0/actions/query", { n: 2 })]));
export const race = action(async () => await Promise.race([call("1.0/actions/query"), call("1.0/actions/mutation")]));
export const dangling = action(() => { call("1.0/actions/query"); call("1.0/actions/mutation"); setTimeout(() => {}, 1000); return 1; });
export const caught = action(async () => { try { await call("1.0/actions/query"); } catch (e) { return [e.message, e.data]; } });
export const throws = action(async () => { await call("1.0/actions/query"); throw new TypeError("after all"); });
export const unhandled = action(async () => { call("1.0/actions/query").then(() => { throw new Error("nobody"); }); await new Promise(() => {}); });
export const never = action(() => new Promise(() => {}));
export const loops = action(() => { for (;;); });
export const sleeps = action(async () => {
    const order = [];
    const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
    const storage = new AsyncLocalStorage();
    await Promise.all([
        storage.run("a", async () => { await sleep(20); order.push(storage.getStore()); }),
        storage.run("b", async () => { await sleep(10.9); order.push(storage.getStore()); }),
    ]);
    const cleared = setTimeout(() => order.push("cleared"), 5);
    clearTimeout(cleared);
    let ticks = 0;
    await new Promise((done) => { const id = setInterval((step) => { ticks += step; if (ticks === 4) { clearInterval(id); done(); } }, 1, 2); });
    return [...order, ticks];
});
export const throwsInTimer = action(async () => { setTimeout(() => { throw new Error("in a timer"); }, 1); await new Promise(() => {}); });
export const random = action(() => [crypto.randomUUID().length, crypto.getRandomValues(new Uint8Array(4)).length]);
export const fetches = action(async ({ body }) => {
    const response = await fetch("https://example.com/a?b=1", { method: "POST", headers: { "X-Test": "1" }, body });
    return [response.status, response.statusText, response.ok, response.url, response.redirected, response.type,
        response.headers.get("content-type"), await response.text(), response.bodyUsed];
});
export const streams = action(async () => {
    const chunks = ["one", "two"];
    const body = new ReadableStream({ pull(controller) { chunks.length ? controller.enqueue(new TextEncoder().encode(chunks.shift())) : controller.close(); } });
    const response = await fetch("http://example.com/", { method: "PUT", body, duplex: "half" });
    const seen = [];
    for await (const chunk of response.body) { seen.push(chunk.length); if (seen.length === 2) break; }
    return seen;
});
export const aborts = action(async () => {
    const controller = new AbortController();
    const fetching = fetch("http://example.com/", { signal: controller.signal }).catch((error) => [error.name, error.message]);
    setTimeout(() => controller.abort(), 1);
    return await fetching;
});
export const fails = action(async () => await fetch("http://example.com/").catch((error) => [error.constructor.name, error.message]));
export const schemes = action(async () => await fetch("ftp://example.com/").catch((error) => error.message));
export const clock = action(async () => { const before = Date.now(); await new Promise((done) => setTimeout(done, 1)); return [before > 1e12, Date.now() >= before, performance.now() > 0]; });
"#;

/// Writes down what it is asked for.
#[derive(Default)]
struct Script {
    started: Vec<(OpId, HostCall)>,
    cancelled: Vec<OpId>,
    lines: Vec<LogLine>,
}

impl Host for Script {
    fn syscall(&mut self, _: &str, _: Args<'_>) -> Result<Reply, HostError> {
        unreachable!("no test asks")
    }
    fn async_syscall(&mut self, _: &str, _: Args<'_>) -> Result<Reply, HostError> {
        unreachable!("actions start their calls")
    }
    fn env_var(&mut self, _: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }
    fn log(&mut self, line: LogLine) {
        self.lines.push(line);
    }
    fn random_bytes(&mut self, bytes: &mut [u8]) -> Result<(), HostError> {
        bytes.fill(9);
        Ok(())
    }
}

impl ActionHost for Script {
    fn start(&mut self, op: OpId, call: HostCall) {
        self.started.push((op, call));
    }
    fn cancel(&mut self, op: OpId) {
        self.cancelled.push(op);
    }
}

struct Run {
    activity: Activity,
    host: Script,
}

impl Run {
    fn new(app: &App, export: &str, args: &Json) -> Run {
        Run::within(app, export, args, Duration::from_secs(60))
    }

    fn within(app: &App, export: &str, args: &Json, timeout: Duration) -> Run {
        let image = app
            .engine
            .image(&app.spec("m.js", Environment::Action))
            .unwrap();
        let args_json = format!("[{args}]");
        let activity = image.activity(&ActionCall {
            export,
            args_json: &args_json,
            request_id: "request",
            seed: SEED,
            time_ms: TIME_MS,
            timeout,
        });
        Run {
            activity: activity.unwrap(),
            host: Script::default(),
        }
    }

    /// Runs on, with these answers; `None` while it waits.
    fn step(&mut self, answers: Vec<(OpId, Answer)>) -> Option<ActionOutcome> {
        match self.activity.run(&mut self.host, answers) {
            Step::Waiting => None,
            Step::Done(outcome) => Some(outcome),
        }
    }

    /// What was asked for since the last look.
    fn asked(&mut self) -> Vec<(OpId, HostCall)> {
        std::mem::take(&mut self.host.started)
    }

    /// Answers whatever is asked for, sleeps in the order of their ends.
    fn finish(mut self, answer: impl Fn(&HostCall) -> Answer) -> ActionOutcome {
        let mut sleeping: Vec<(f64, OpId)> = Vec::new();
        let mut now = 0.0;
        let mut answers = Vec::new();
        for _ in 0..1_000 {
            if let Some(outcome) = self.step(std::mem::take(&mut answers)) {
                return outcome;
            }
            for (op, call) in self.asked() {
                match &call {
                    HostCall::Op { name, args } if name == "sleep" => match args[..] {
                        [OpValue::Number(ms)] => sleeping.push((now + ms, op)),
                        _ => panic!("{args:?}"),
                    },
                    call => answers.push((op, answer(call))),
                }
            }
            sleeping.retain(|(_, op)| !self.host.cancelled.contains(op));
            if answers.is_empty() {
                sleeping.sort_by(|a, b| a.partial_cmp(b).unwrap());
                assert!(!sleeping.is_empty(), "nothing is asked for");
                let (at, op) = sleeping.remove(0);
                now = at;
                answers.push((op, Answer::Op(Ok(OpValue::Undefined))));
            }
        }
        panic!("it does not end");
    }
}

fn app() -> App {
    App::from_sources(&[("m.js", MODULE)])
}

fn no_calls(call: &HostCall) -> Answer {
    panic!("{call:?}")
}

fn json(text: &str) -> Answer {
    Answer::Syscall(Ok(Reply::Json(text.to_owned())))
}

fn shown(outcome: ActionOutcome) -> Json {
    match outcome.result {
        Ok(value) => serde_json::from_str(&hull_value::json::to_string(value.as_ref())).unwrap(),
        Err(error) => json!(error.to_string()),
    }
}

#[test]
fn an_action_without_waiting_is_done_in_one_step_and_leaves_nothing() {
    let app = app();
    for _ in 0..3 {
        let mut run = Run::new(&app, "plain", &json!({ "n": 1 }));
        let outcome = run.step(Vec::new()).unwrap();
        assert_eq!(shown(outcome), json!([2.0, "request", 1.0]));
    }
}

#[test]
fn answers_come_in_any_order_and_on_any_thread() {
    let app = app();
    let mut run = Run::new(&app, "both", &json!({}));
    assert!(run.step(Vec::new()).is_none());
    let asked = run.asked();
    let names: Vec<_> = asked.iter().map(|(_, call)| call.clone()).collect();
    let call = |args: &str| HostCall::Syscall {
        name: "1.0/actions/query".to_owned(),
        args: args.to_owned(),
    };
    assert_eq!(names, [call(r#"{"n":1}"#), call(r#"{"n":2}"#)]);
    assert!(run.step(vec![(asked[1].0, json("\"second\""))]).is_none());
    // Another thread, an answer nobody waits for, and one that comes twice.
    let outcome = std::thread::scope(|scope| {
        let last = [asked[0].0, asked[1].0, OpId(99)];
        let worker = std::thread::Builder::new().stack_size(hull_js::worker_stack_size());
        let run = &mut run;
        let stepped = worker.spawn_scoped(scope, move || {
            let answers = last.map(|op| (op, json("\"first\"")));
            run.step(answers.into()).unwrap()
        });
        stepped.unwrap().join().unwrap()
    });
    assert_eq!(shown(outcome), json!(["first", "second"]));
}

#[test]
fn errors_can_be_caught_and_end_the_action_otherwise() {
    let app = app();
    let failing = |_: &HostCall| {
        let data = hull_value::Value::String("payload".to_owned());
        Answer::Syscall(Err(HostError::User {
            message: "failed".to_owned(),
            data: Some(hull_value::PackedValue::pack(&data)),
        }))
    };
    let outcome = Run::new(&app, "caught", &json!({})).finish(failing);
    assert_eq!(shown(outcome), json!(["failed", "payload"]));
    for (export, expected) in [
        ("throws", "Uncaught TypeError: after all"),
        ("unhandled", "Uncaught Error: nobody"),
        ("throwsInTimer", "Uncaught Error: in a timer"),
        ("never", "Returned promise will never resolve"),
        (
            "missing",
            "Uncaught Couldn't find \"missing\" in module \"m.js\".",
        ),
    ] {
        let outcome = Run::new(&app, export, &json!({})).finish(|_| json("1"));
        let text = shown(outcome);
        assert!(
            text.as_str()
                .unwrap()
                .ends_with(expected.trim_start_matches("Uncaught ")),
            "{text}"
        );
    }
}

#[test]
fn what_nobody_waited_for_is_named_and_cancelled() {
    let app = app();
    let mut run = Run::new(&app, "dangling", &json!({}));
    let outcome = run.step(Vec::new()).unwrap();
    assert_eq!(outcome.unawaited, ["query", "mutation"]);
    let mut run = Run::new(&app, "race", &json!({}));
    assert!(run.step(Vec::new()).is_none());
    let asked = run.asked();
    let outcome = run.step(vec![(asked[1].0, json("\"won\""))]).unwrap();
    assert_eq!(outcome.unawaited, ["query"]);
    assert_eq!(run.host.cancelled, [asked[0].0]);
    assert_eq!(shown(outcome), json!("won"));
}

#[test]
fn time_is_limited_also_while_waiting() {
    let app = app();
    let short = Duration::from_millis(30);
    for (export, waits) in [("loops", false), ("both", true)] {
        let mut run = Run::within(&app, export, &json!({}), short);
        let mut outcome = run.step(Vec::new());
        if waits {
            assert!(outcome.is_none());
            let deadline = run.activity.deadline().unwrap();
            while std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
            outcome = run.step(Vec::new());
            assert_eq!(run.host.cancelled.len(), 2);
        }
        let text = shown(outcome.unwrap());
        assert_eq!(
            text,
            json!("Function execution timed out (maximum duration: 30ms)")
        );
    }
}

#[test]
fn timers_fire_in_the_order_of_their_ends_within_their_context() {
    let app = app();
    let outcome = Run::new(&app, "sleeps", &json!({})).finish(no_calls);
    assert_eq!(shown(outcome), json!(["b", "a", 4.0]));
    let clock = Run::new(&app, "clock", &json!({})).finish(no_calls);
    assert_eq!(shown(clock), json!([true, true, true]));
    let random = Run::new(&app, "random", &json!({})).finish(no_calls);
    assert_eq!(shown(random), json!([36.0, 4.0]));
}

/// The head of a response with one stream as its body.
fn head(stream: OpValue) -> OpValue {
    let text = |text: &str| OpValue::String(text.to_owned());
    OpValue::List(vec![
        OpValue::Number(201.0),
        text("Created"),
        text("https://example.com/there"),
        OpValue::Bool(true),
        OpValue::List(vec![OpValue::List(vec![
            text("content-type"),
            text("text/plain"),
        ])]),
        stream,
    ])
}

#[test]
fn fetch_sends_and_receives() {
    let app = app();
    let reads = std::cell::Cell::new(0);
    let outcome = Run::new(&app, "fetches", &json!({ "body": "sent" })).finish(|call| {
        let HostCall::Op { name, args } = call else {
            panic!("{call:?}")
        };
        Answer::Op(Ok(match &**name {
            "fetch" => {
                let text = |text: &str| OpValue::String(text.to_owned());
                let pair = |name: &str, value: &str| OpValue::List(vec![text(name), text(value)]);
                assert_eq!(
                    *args,
                    [
                        text("POST"),
                        text("https://example.com/a?b=1"),
                        OpValue::List(vec![
                            pair("content-type", "text/plain;charset=UTF-8"),
                            pair("x-test", "1")
                        ]),
                        text("follow"),
                        OpValue::Bytes(b"sent".to_vec()),
                        OpValue::Null,
                    ]
                );
                head(OpValue::Number(7.0))
            }
            "streamRead" => {
                assert_eq!(*args, [OpValue::Number(7.0)]);
                reads.set(reads.get() + 1);
                match reads.get() {
                    1 => OpValue::Bytes(b"rece".to_vec()),
                    2 => OpValue::Bytes(b"ived".to_vec()),
                    _ => OpValue::Null,
                }
            }
            other => panic!("{other}"),
        }))
    });
    assert_eq!(
        shown(outcome),
        json!([
            201.0,
            "Created",
            true,
            "https://example.com/there",
            true,
            "basic",
            "text/plain",
            "received",
            true
        ])
    );
}

#[test]
fn streams_go_both_ways_and_are_cancelled_when_left() {
    let app = app();
    let names = std::cell::RefCell::new(Vec::new());
    let outcome = Run::new(&app, "streams", &json!({})).finish(|call| {
        let HostCall::Op { name, args } = call else {
            panic!("{call:?}")
        };
        let sent = match args.get(1) {
            Some(OpValue::Bytes(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
            _ => String::new(),
        };
        names.borrow_mut().push(format!("{name} {sent}"));
        Answer::Op(Ok(match &**name {
            "streamOpen" => OpValue::Number(1.0),
            "fetch" => head(OpValue::Number(2.0)),
            "streamRead" => OpValue::Bytes(vec![0; 5]),
            _ => OpValue::Undefined,
        }))
    });
    assert_eq!(shown(outcome), json!([5.0, 5.0]));
    let names = names.into_inner();
    for expected in [
        "streamWrite one",
        "streamWrite two",
        "streamClose ",
        "streamCancel ",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
}

#[test]
fn fetches_fail_and_are_aborted() {
    let app = app();
    let mut run = Run::new(&app, "aborts", &json!({}));
    assert!(run.step(Vec::new()).is_none());
    let asked = run.asked();
    let (sleep, fetch) = match &asked[0].1 {
        HostCall::Op { name, .. } if name == "sleep" => (asked[0].0, asked[1].0),
        _ => (asked[1].0, asked[0].0),
    };
    let outcome = run.step(vec![(sleep, Answer::Op(Ok(OpValue::Undefined)))]);
    assert_eq!(
        shown(outcome.unwrap()),
        json!(["AbortError", "The signal has been aborted"])
    );
    assert_eq!(run.host.cancelled, [fetch]);

    let failing = |_: &HostCall| {
        Answer::Op(Err(OpError {
            class: hull_js::ops::ErrorClass::Error,
            name: None,
            message: "connection refused".to_owned(),
        }))
    };
    let outcome = Run::new(&app, "fails", &json!({})).finish(failing);
    assert_eq!(shown(outcome), json!(["Error", "connection refused"]));
    let outcome = Run::new(&app, "schemes", &json!({})).finish(no_calls);
    assert_eq!(
        shown(outcome),
        json!("Unsupported URL scheme -- http and https are supported (scheme was ftp)")
    );
}

#[test]
fn one_that_is_dropped_leaves_a_pristine_isolate() {
    let app = app();
    let spec = app.spec("m.js", Environment::Action);
    let image = app.engine.image(&spec).unwrap();
    for export in ["both", "plain", "sleeps", "plain"] {
        let mut run = Run {
            activity: image
                .activity(&ActionCall {
                    export,
                    args_json: "[{\"n\":1}]",
                    request_id: "request",
                    seed: SEED,
                    time_ms: TIME_MS,
                    timeout: Duration::from_secs(60),
                })
                .unwrap(),
            host: Script::default(),
        };
        if let Some(outcome) = run.step(Vec::new()) {
            assert_eq!(shown(outcome), json!([2.0, "request", 1.0]));
        }
        drop(run);
        assert_eq!(image.idle_isolates(), 1);
    }
}
