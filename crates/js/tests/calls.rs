//! Calls through real bundles: results, host calls, errors, determinism.

mod support;

use hull_js::{CallKind, HostError, JsError, Reply};
use support::{App, TestHost, call, ok, packed};

#[test]
fn noop_and_echo() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    assert!(image.import_error.is_none());
    assert_eq!(ok(app.query(&image, "noop", "[{}]")), "null");
    let args = r#"[{"value":{"a":[1,"x",null,true,{"$integer":"AQAAAAAAAAA="},{"$bytes":"aGk="},{"$float":"AAAAAAAAAIA="}]}}]"#;
    let expected = r#"{"a":[1.0,"x",null,true,{"$integer":"AQAAAAAAAAA="},{"$bytes":"aGk="},{"$float":"AAAAAAAAAIA="}]}"#;
    assert_eq!(ok(app.query(&image, "echo", args)), expected);
}

#[test]
fn state_of_a_call_is_gone_in_the_next() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut isolate = image.isolate().expect("isolate");
    for _ in 0..20 {
        let outcome = isolate.call(
            &support::request(CallKind::Query, "counted", "[{}]"),
            &mut TestHost::default(),
        );
        assert_eq!(ok(outcome), "[1.0,1.0,1.0,1.0]");
    }
}

#[test]
fn mutation_reads_and_inserts() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut host = TestHost::with(|name, _| {
        Ok(match name {
            "1.0/get" => Reply::Document(Some(packed(r#"{"_id":"c1"}"#))),
            _ => Reply::Json(r#"{"_id":"m1"}"#.into()),
        })
    });
    let args = r#"[{"channel":"c1","body":"hello"}]"#;
    assert_eq!(
        ok(call(&image, CallKind::Mutation, "send", args, &mut host)),
        "\"m1\""
    );
    assert_eq!(host.calls.len(), 2);
    assert_eq!(
        host.calls[0],
        r#"1.0/get {"id":"c1","isSystem":false,"version":"1.48.0"}"#
    );
    assert_eq!(
        host.calls[1],
        r#"1.0/insert {"table":"messages","value":{"at":1700000000000,"big":{"$integer":"DAAAAAAAAAA="},"body":"hello","channel":"c1","tags":["a","b"]}}"#
    );
}

#[test]
fn convex_errors_keep_their_data() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let Err(JsError::Thrown(error)) = app.query(&image, "convexError", "[{}]").result else {
        panic!("throws")
    };
    assert_eq!(
        error.message,
        r#"Uncaught ConvexError: {"code":7,"list":["1n",null]}"#
    );
    assert_eq!(
        error.data.as_ref().map(support::json).as_deref(),
        Some(r#"{"code":7.0,"list":[{"$integer":"AQAAAAAAAAA="},null]}"#)
    );
    let mut host = TestHost::default();
    let args = r#"[{"channel":"none","body":"b"}]"#;
    let Err(JsError::Thrown(error)) =
        call(&image, CallKind::Mutation, "send", args, &mut host).result
    else {
        panic!("throws")
    };
    assert_eq!(
        error.data.as_ref().map(support::json).as_deref(),
        Some(r#"{"channel":"none","code":"no-channel"}"#)
    );
}

#[test]
fn uncaught_errors_have_mapped_frames() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let Err(JsError::Thrown(error)) = app.query(&image, "boom", "[{}]").result else {
        panic!("throws")
    };
    assert_eq!(error.message, "Uncaught Error: boom");
    let text = hull_js::render(&error, app.maps());
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Uncaught Error: boom"));
    assert!(
        lines
            .next()
            .expect("frame")
            .starts_with("    at thrower (../convex/messages.ts:"),
        "{text}"
    );
    assert!(
        lines
            .next()
            .expect("frame")
            .starts_with("    at handler (../convex/messages.ts:"),
        "{text}"
    );
    assert!(!text.contains("server/impl"), "{text}");
    let Err(JsError::Thrown(error)) = app.query(&image, "throwString", "[{}]").result else {
        panic!("throws")
    };
    assert_eq!(
        (error.message.as_str(), error.frames.len()),
        ("Uncaught just text", 0)
    );
}

#[test]
fn missing_and_mismatched_functions_are_named() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let check = |kind, export: &str, expected: &str| {
        let Err(error) = call(&image, kind, export, "[{}]", &mut TestHost::default()).result else {
            panic!("fails")
        };
        assert_eq!(error.to_string(), expected);
    };
    check(
        CallKind::Query,
        "nope",
        r#"Couldn't find "nope" in module "messages.js"."#,
    );
    check(
        CallKind::Query,
        "send",
        r#"Function "messages.js:send" is registered as a mutation but is being run as a query."#,
    );
}

#[test]
fn host_errors_are_catchable_or_final() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut host = TestHost::with(|_, _| {
        Err(HostError::User {
            message: "bad id".into(),
            data: Some(packed(r#"{"why":{"$integer":"AQAAAAAAAAA="}}"#)),
        })
    });
    assert_eq!(
        ok(call(&image, CallKind::Query, "catching", "[{}]", &mut host)),
        r#"["bad id",{"why":{"$integer":"AQAAAAAAAAA="}}]"#
    );
    let mut host = TestHost::with(|_, _| {
        Err(HostError::User {
            message: "plain".into(),
            data: None,
        })
    });
    assert_eq!(
        ok(call(&image, CallKind::Query, "catching", "[{}]", &mut host)),
        r#"["plain",null]"#
    );
    let mut host = TestHost::with(|_, _| {
        Err(HostError::Uncatchable {
            message: "no way".into(),
        })
    });
    let outcome = call(&image, CallKind::Query, "catching", "[{}]", &mut host);
    assert_eq!(
        outcome.result.expect_err("ends").to_string(),
        "Uncaught Error: no way"
    );
    let mut host = TestHost::with(|_, _| Err(HostError::Abort(Box::new(42u32))));
    let outcome = call(&image, CallKind::Query, "catching", "[{}]", &mut host);
    let Err(JsError::Aborted(reason)) = outcome.result else {
        panic!("aborts")
    };
    assert_eq!(reason.downcast_ref::<u32>(), Some(&42));
}

#[test]
fn queued_calls_run_in_order_and_to_completion() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut host = TestHost::default();
    let result = ok(call(
        &image,
        CallKind::Mutation,
        "parallel",
        "[{}]",
        &mut host,
    ));
    assert_eq!(result, r#"["a","b","c","A","B","C"]"#);
    let names: Vec<&str> = host
        .calls
        .iter()
        .map(|c| c.split(' ').next().expect("name"))
        .collect();
    assert_eq!(
        names,
        [
            "1.0/get",
            "1.0/get",
            "1.0/get",
            "1.0/insert",
            "1.0/insert",
            "1.0/insert"
        ]
    );
    let mut host = TestHost::default();
    assert_eq!(
        ok(call(
            &image,
            CallKind::Mutation,
            "unawaited",
            "[{}]",
            &mut host
        )),
        "\"done\""
    );
    assert_eq!(host.calls.len(), 2);
}

#[test]
fn rejections_nobody_handles_and_promises_nobody_settles_fail() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut host = TestHost::default();
    let outcome = call(&image, CallKind::Mutation, "unhandled", "[{}]", &mut host);
    assert_eq!(
        outcome.result.expect_err("fails").to_string(),
        "Uncaught Error: nobody listens"
    );
    assert!(host.calls.is_empty());
    let outcome = app.query(&image, "never", "[{}]");
    assert!(matches!(outcome.result, Err(JsError::NeverResolves)));
}

#[test]
fn clock_and_randomness_follow_the_phase() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let first = app.query(&image, "clocks", "[{}]");
    assert!(first.observed_time && first.observed_rng);
    let first = ok(first);
    assert_eq!(first, ok(app.query(&image, "clocks", "[{}]")));
    let values: Vec<serde_json::Value> = serde_json::from_str(&first).expect("JSON");
    assert_eq!(values[0], 1_600_000_000_000.0);
    assert_eq!(values[2], support::TIME_MS);
    assert_ne!(values[1], values[3]);
    assert_eq!(values[4], 100_000_000_000.0);
    assert_eq!(values[5], "2023-11-14T22:13:20.000Z");
    let plain = app.query(&image, "noop", "[{}]");
    assert!(!plain.observed_time && !plain.observed_rng);
}

#[test]
fn environment_and_console_reach_the_host() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut host = TestHost::default();
    host.env.insert("FLAVOUR".into(), "vanilla".into());
    assert_eq!(
        ok(call(
            &image,
            CallKind::Query,
            "environment",
            "[{}]",
            &mut host
        )),
        "\"vanilla\""
    );
    ok(call(&image, CallKind::Query, "logs", "[{}]", &mut host));
    assert_eq!(host.lines.len(), 2);
    assert_eq!(host.lines[0].messages, ["'hi'", "{\n  a: 1\n}"]);
    assert_eq!(host.lines[1].level.as_str(), "WARN");
}

#[test]
fn async_context_follows_every_continuation() {
    let app = App::fixtures();
    let image = app.image("contexts.js");
    let result = ok(app.query(&image, "flows", "[{}]"));
    assert_eq!(
        result,
        r#"{"count":15.0,"outside":null,"results":["x","y","z"],"wrong":[]}"#
    );
}

#[test]
fn a_host_panic_comes_out_and_leaves_the_isolate_clean() {
    let app = App::fixtures();
    let image = app.image("messages.js");
    let mut isolate = image.isolate().expect("isolate");
    let mut host = TestHost::with(|_, _| panic!("host broke"));
    let request = support::request(CallKind::Query, "catching", "[{}]");
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        isolate.call(&request, &mut host)
    }));
    assert!(attempt.is_err());
    let request = support::request(CallKind::Query, "counted", "[{}]");
    assert_eq!(
        ok(isolate.call(&request, &mut TestHost::default())),
        "[1.0,1.0,1.0,1.0]"
    );
}
