//! The native conversion does what the library's own code does: three-way
//! comparison of bound code, the library in this engine, the library in Node.

mod support;

use std::process::Command;

use hull_js::{CallKind, EngineConfig, Reply};
use support::{App, TestHost, call, ok, packed};

const VALUES: usize = 3000;

fn apps() -> (App, App) {
    let plain = App::fixtures_with(EngineConfig {
        native_conversion: false,
        ..Default::default()
    });
    let bound = App::fixtures();
    (bound, plain)
}

fn under_node(export: &str, args: &str) -> Vec<String> {
    let folder = support::bundles().parent().expect("fixtures").to_owned();
    let output = Command::new("node")
        .args(["run-convert.mjs", export, args])
        .current_dir(folder)
        .output()
        .expect("node");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn lines(app: &App, export: &str, args: &str) -> Vec<String> {
    serde_json::from_str(&ok(app.query(
        &app.image("convert.js"),
        export,
        &format!("[{args}]"),
    )))
    .expect("JSON")
}

#[test]
fn the_fixture_library_is_recognised() {
    let (bound, plain) = apps();
    let is_bound = |app: &App| app.compiled().any(|module| module.is_native_bound());
    assert!(is_bound(&bound));
    assert!(!is_bound(&plain));
}

#[test]
fn encoding_agrees_with_the_library_and_node() {
    let (bound, plain) = apps();
    for odd in [false, true] {
        let args = format!(r#"{{"from":1,"to":{VALUES},"odd":{odd}}}"#);
        let expected = under_node("encode", &args);
        let own = lines(&plain, "encode", &args);
        assert_eq!(own.len(), expected.len());
        for (n, (own, node)) in own.iter().zip(&expected).enumerate() {
            // Texts of the engine's own type errors differ.
            let is_same =
                own == node || (own.starts_with("TypeError: ") && node.starts_with("TypeError: "));
            assert!(is_same, "engine against Node, seed {}: {own} {node}", n + 1);
        }
        for (n, (native, own)) in lines(&bound, "encode", &args).iter().zip(&own).enumerate() {
            assert_eq!(native, own, "native against the library, seed {}", n + 1);
        }
    }
}

#[test]
fn decoding_agrees_with_the_library_and_node() {
    let (bound, plain) = apps();
    let args = format!(r#"{{"from":1,"to":{VALUES}}}"#);
    let expected = under_node("decode", &args);
    assert_eq!(lines(&plain, "decode", &args), expected);
    assert_eq!(lines(&bound, "decode", &args), expected);
}

#[test]
fn results_are_the_same_bytes_or_the_same_error() {
    let (bound, plain) = apps();
    let (bound_image, plain_image) = (bound.image("convert.js"), plain.image("convert.js"));
    for odd in [false, true] {
        for seed in 1..600 {
            let args = format!(r#"[{{"seed":{seed},"odd":{odd}}}]"#);
            let text = |outcome: hull_js::CallOutcome| match outcome.result {
                Ok(value) => Ok(value.as_bytes().clone()),
                Err(error) => Err(error.to_string()),
            };
            let native = text(bound.query(&bound_image, "result", &args));
            let own = text(plain.query(&plain_image, "result", &args));
            assert_eq!(native, own, "seed {seed}, odd {odd}");
        }
    }
}

#[test]
fn replies_arrive_as_the_library_would_make_them() {
    let (bound, plain) = apps();
    let document = r#"{"10":"ten","2":"two","_id":"i","big":{"$integer":"/////////38="},"bytes":{"$bytes":"AAEC"},"inf":{"$float":"AAAAAAAA8H8="},"list":[null,1.5,[{"a":{}}]],"né":1}"#
        .replace("né", "ne");
    let host = || {
        let document = packed(&document);
        let mut left = 2;
        TestHost::with(move |name, _| {
            Ok(match name {
                "1.0/get" => Reply::Document(Some(document.clone())),
                "1.0/queryStream" => Reply::Json(r#"{"queryId":0}"#.into()),
                "1.0/queryCleanup" => Reply::Json("true".into()),
                "1.0/queryStreamNext" => {
                    left -= 1;
                    let value = (left >= 0).then(|| document.clone());
                    Reply::Next { done: value.is_none(), value }
                }
                _ => Reply::Page {
                    page: vec![document.clone(), packed("1"), packed("null"), packed(r#"{"$integer":"AQAAAAAAAAA="}"#)],
                    rest: serde_json::from_str(r#"{"isDone":true,"continueCursor":"c","splitCursor":null,"pageStatus":null}"#)
                        .expect("JSON"),
                },
            })
        })
    };
    let run = |app: &App| {
        ok(call(
            &app.image("convert.js"),
            CallKind::Query,
            "described",
            "[{}]",
            &mut host(),
        ))
    };
    let native = run(&bound);
    assert_eq!(native, run(&plain));
    assert!(
        native.contains("9223372036854775807n") && native.contains("bytes(0,1,2)"),
        "{native}"
    );
}

#[test]
fn changed_builtins_and_wrapped_functions_are_respected() {
    let (bound, plain) = apps();
    for app in [&bound, &plain] {
        let image = app.image("convert.js");
        assert_eq!(
            ok(app.query(&image, "tampered", "[{}]")),
            r#"{"list":"tampered"}"#
        );
        assert_eq!(
            ok(app.query(&image, "replaced", "[{}]")),
            r#"["1.0/get string"]"#
        );
        assert_eq!(
            ok(app.query(&image, "wrapped", "[{}]")),
            r#"{"wrapped":{"plain":1.0}}"#
        );
    }
}
