//! Limits are graceful, and what hit one leaves no trace in the next call.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hull_js::{Call, CallKind, EngineConfig, Host, Image, Isolate, JsError};
use support::{App, TestHost, ok};

/// Runs on a thread with the stack workers have.
fn on_worker(test: impl FnOnce() + Send + 'static) {
    let worker = std::thread::Builder::new().stack_size(hull_js::worker_stack_size());
    worker
        .spawn(test)
        .expect("thread")
        .join()
        .expect("test passes");
}

fn attempt(isolate: &mut Isolate, export: &str, host: &mut dyn Host) -> Result<String, JsError> {
    let call = Call {
        export,
        kind: CallKind::Query,
        args_json: "[{}]",
        seed: support::SEED,
        time_ms: support::TIME_MS,
        user_timeout: Duration::from_millis(100),
    };
    isolate
        .call(&call, host)
        .result
        .map(|value| support::json(&value))
}

fn image(config: EngineConfig) -> (App, Arc<Image>) {
    let app = App::fixtures_with(config);
    let image = app.image("limits.js");
    (app, image)
}

#[test]
fn endless_code_times_out_and_the_next_call_is_pristine() {
    on_worker(|| {
        let (_app, image) = image(EngineConfig::default());
        let mut isolate = image.isolate().expect("isolate");
        for export in ["loop", "microtasks", "regex"] {
            let started = Instant::now();
            let result = attempt(&mut isolate, export, &mut TestHost::default());
            assert!(
                matches!(result, Err(JsError::Timeout { .. })),
                "{export}: {result:?}"
            );
            assert!(started.elapsed() < Duration::from_secs(5), "{export}");
            assert_eq!(
                attempt(&mut isolate, "ok", &mut TestHost::default()).expect("fine"),
                "\"fine\""
            );
        }
    });
}

#[test]
fn deep_recursion_is_a_range_error() {
    on_worker(|| {
        let (_app, image) = image(EngineConfig::default());
        let mut isolate = image.isolate().expect("isolate");
        let Err(JsError::Thrown(error)) =
            attempt(&mut isolate, "recursion", &mut TestHost::default())
        else {
            panic!("throws")
        };
        assert_eq!(
            error.message,
            "Uncaught RangeError: Maximum call stack size exceeded"
        );
        let caught = attempt(&mut isolate, "caughtRecursion", &mut TestHost::default());
        assert_eq!(caught.expect("caught"), r#"["RangeError",true]"#);
        assert_eq!(
            attempt(&mut isolate, "ok", &mut TestHost::default()).expect("fine"),
            "\"fine\""
        );
    });
}

#[test]
fn memory_is_capped_even_if_the_exception_is_caught() {
    on_worker(|| {
        let (_app, image) = image(EngineConfig {
            heap_limit_bytes: 8 << 20,
            ..Default::default()
        });
        let mut isolate = image.isolate().expect("isolate");
        for export in ["memory", "caughtMemory"] {
            let result = attempt(&mut isolate, export, &mut TestHost::default());
            assert!(
                matches!(result, Err(JsError::OutOfMemory { limit_bytes }) if limit_bytes == 8 << 20),
                "{export}: {result:?}"
            );
            assert_eq!(
                attempt(&mut isolate, "ok", &mut TestHost::default()).expect("fine"),
                "\"fine\""
            );
        }
    });
}

#[test]
fn texts_are_those_of_the_original_engine() {
    let (app, image) = image(EngineConfig::default());
    let disallowed = "EvalError: Code generation from strings disallowed for this context";
    assert_eq!(
        ok(app.query(&image, "evaluate", "[{}]")),
        serde_json::to_string(&[disallowed, disallowed]).expect("JSON")
    );
    assert_eq!(
        ok(app.query(&image, "meta", "[{}]")),
        r#"["TypeError: import.meta unsupported","TypeError: dynamic module import unsupported"]"#
    );
    let texts: Vec<String> =
        serde_json::from_str(&ok(app.query(&image, "texts", "[{}]"))).expect("JSON");
    assert_eq!(
        texts[0],
        "TypeError: Cannot read properties of undefined (reading 'x')"
    );
    assert_eq!(
        texts[1],
        "TypeError: Cannot read properties of undefined (reading 'c')"
    );
    for (text, end) in
        texts[2..]
            .iter()
            .zip(["is not a function", "is not a function", "is not iterable"])
    {
        assert!(text.ends_with(end), "{text}");
    }
}

#[test]
fn host_time_is_not_the_users() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut host = TestHost::with(|_, _| {
        let until = Instant::now() + Duration::from_millis(150);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(hull_js::Reply::Document(None))
    });
    let mut isolate = image.isolate().expect("isolate");
    assert_eq!(
        attempt(&mut isolate, "catching", &mut host).expect("in time"),
        "\"no error\""
    );
}

#[test]
fn searching_strings_is_exact_and_linear() {
    let app = App::fixtures();
    let image = app.image("search.js");
    for seed in 0..4 {
        let mut isolate = image.isolate().expect("isolate");
        let call = Call {
            seed: [seed; 32],
            user_timeout: Duration::from_mins(1),
            ..support::request(CallKind::Query, "differences", "[{}]")
        };
        assert_eq!(
            ok(isolate.call(&call, &mut TestHost::default())),
            "[[],true]"
        );
    }
    let mut isolate = image.isolate().expect("isolate");
    let started = Instant::now();
    let call = Call {
        user_timeout: Duration::from_mins(1),
        ..support::request(CallKind::Query, "hard", "[{}]")
    };
    assert_eq!(
        ok(isolate.call(&call, &mut TestHost::default())),
        "[-1.0,-1.0,-1.0,false,-1.0,2000000.0,-1.0,4000000.0,1.0]"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}
