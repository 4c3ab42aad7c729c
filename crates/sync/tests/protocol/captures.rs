//! Conversations recorded with the real clients, replayed: the client's lines as they were, the
//! server's lines as the client needs them.

use hull_sync::{ClientVersion, MutationOutcome};
use hull_value::Timestamp;

use crate::script::{START_NS, Script, failure, result};

/// What the stub of the recording called timestamp `n`.
fn ts(n: u64) -> u64 {
    START_NS + n
}

/// Compares lines as a client would: parsed.
#[track_caller]
fn same(lines: &str, expected: &[&str]) {
    let parse = |line: &str| match line.strip_prefix("S ") {
        Some(json) => serde_json::from_str::<serde_json::Value>(json).unwrap(),
        None => serde_json::Value::from(line),
    };
    let lines: Vec<_> = lines.lines().map(parse).collect();
    let expected: Vec<_> = expected.iter().map(|line| parse(line)).collect();
    assert_eq!(lines, expected);
}

const LIST: &str = r#"{"type":"Add","queryId":0,"udfPath":"messages:list","args":[{"b":{"$bytes":"ABCD"},"channel":"general","f":{"$float":"AAAAAAAAAIA="},"n":{"$integer":"BwAAAAAAAAA="}}]"#;

fn npm() -> Script {
    Script::with(|config| config.latest_ts = Timestamp(ts(7)))
}

#[test]
fn npm_first_connection() {
    let mut s = npm();
    same(
        &s.client(r#"{"connectionCount":0,"lastCloseReason":"InitialConnect","clientTs":1699999999997,"type":"Connect","sessionId":"876417d6-1b35-460d-bb3e-153308272b9b"}"#),
        &[],
    );
    same(
        &s.client(&format!(r#"{{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{LIST}}}]}}"#)),
        &["Update anonymous ts>=0 +0 messages.js:list"],
    );
    same(
        &s.computed(ts(1), &[(0, "0.0")]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"AQAqNv6clxc="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":0.0,"logLines":[],"journal":null}],"clientClockSkew":-3,"serverTs":1700000000000000000}"#,
        ],
    );

    // A cached token, confirmed, then a fresh one.
    for (base, end, tokens) in [
        (0, 2, ["AQAqNv6clxc=", "AgAqNv6clxc="]),
        (1, 3, ["AgAqNv6clxc=", "AwAqNv6clxc="]),
    ] {
        same(
            &s.client(&format!(r#"{{"type":"Authenticate","baseVersion":{base},"tokenType":"User","value":"eyJ...0"}}"#)),
            &["VerifyToken User(…)"],
        );
        same(
            &s.verified("user"),
            &[&format!(
                "Update user ts>={} +0 messages.js:list",
                ts(end - 1)
            )],
        );
        let [start_ts, end_ts] = tokens;
        let identity = base + 1;
        same(
            &s.computed(ts(end), &[(0, "0.0")]),
            &[&format!(
                r#"S {{"type":"Transition","startVersion":{{"querySet":1,"identity":{base},"ts":"{start_ts}"}},"endVersion":{{"querySet":1,"identity":{identity},"ts":"{end_ts}"}},"modifications":[],"clientClockSkew":-3,"serverTs":1700000000000000000}}"#
            )],
        );
    }

    same(
        &s.client(
            r#"{"type":"Mutation","requestId":0,"udfPath":"messages:send","args":[{"body":"hi"}]}"#,
        ),
        &["StartMutation 0 messages.js:send user"],
    );
    same(
        &s.committed(0, ts(4), "1.0"),
        &[
            r#"S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"BAAqNv6clxc=","logLines":["[LOG] 'hi'"]}"#,
            &format!("Update user ts>={}", ts(4)),
        ],
    );
    same(
        &s.computed(ts(5), &[(0, "1.0")]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":1,"identity":2,"ts":"AwAqNv6clxc="},"endVersion":{"querySet":1,"identity":2,"ts":"BQAqNv6clxc="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":1.0,"logLines":[],"journal":null}],"clientClockSkew":-3,"serverTs":1700000000000000000}"#,
        ],
    );

    s.call("Mutation", 1, "m:fail");
    let mut failed = failure("", Some(r#"{"code":7.0}"#));
    failed.request_id = hull_sync::FunctionRequestId::new("abc");
    failed.message = None;
    same(
        &s.mutation(
            1,
            MutationOutcome::Failed {
                failure: failed,
                log_lines: Vec::new(),
            },
        ),
        &[
            r#"S {"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: abc] Server Error","ts":null,"logLines":[],"errorData":{"code":7.0}}"#,
            &format!("Update user ts>={}", ts(5)),
        ],
    );
    same(&s.call("Action", 2, "a:b"), &["StartAction 2 a.js:b user"]);
    // The transition that the failure owes also follows the action's response.
    same(
        &s.action(2, "\"ok\""),
        &[
            r#"S {"type":"ActionResponse","requestId":2,"success":true,"result":"ok","logLines":[]}"#,
        ],
    );
    same(
        &s.computed(ts(5), &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":1,"identity":2,"ts":"BQAqNv6clxc="},"endVersion":{"querySet":1,"identity":2,"ts":"BQAqNv6clxc="},"modifications":[],"clientClockSkew":-3,"serverTs":1700000000000000000}"#,
        ],
    );

    same(
        &s.modify(
            1,
            r#"{"type":"Add","queryId":1,"udfPath":"messages:count","args":[{}]}"#,
        ),
        &[&format!("Update user ts>={} +1 messages.js:count", ts(5))],
    );
    s.computed(ts(6), &[(1, "2.0")]);
    same(
        &s.modify(2, r#"{"type":"Remove","queryId":1}"#),
        &[&format!("Update user ts>={} -1", ts(6))],
    );
    same(
        &s.computed(ts(7), &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":2,"identity":2,"ts":"BgAqNv6clxc="},"endVersion":{"querySet":3,"identity":2,"ts":"BwAqNv6clxc="},"modifications":[{"type":"QueryRemoved","queryId":1}],"clientClockSkew":-3,"serverTs":1700000000000000000}"#,
        ],
    );
}

#[test]
fn npm_reconnect_replays_everything() {
    let mut s = npm();
    same(&s.client(r#"{"connectionCount":1,"lastCloseReason":"InternalServerError","clientTs":1700000000000,"type":"Connect","sessionId":"876417d6-1b35-460d-bb3e-153308272b9b","maxObservedTimestamp":"BwAqNv6clxc="}"#), &[]);
    same(
        &s.client(
            r#"{"type":"Authenticate","baseVersion":0,"tokenType":"User","value":"eyJ...1"}"#,
        ),
        &["VerifyToken User(…)"],
    );
    same(&s.client(&format!(r#"{{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{LIST},"journal":null}}]}}"#)), &[]);
    same(
        &s.client(r#"{"type":"Mutation","requestId":3,"udfPath":"m:die","args":[{}]}"#),
        &[],
    );
    // All that waited for the token is taken together.
    same(
        &s.verified("user"),
        &[
            "Update user ts>=0 +0 messages.js:list",
            "StartMutation 3 m.js:die user",
        ],
    );
    // The results are held until the mutation has its response.
    same(&s.computed(ts(7), &[(0, "1.0")]), &[]);
    same(
        &s.committed(3, ts(8), "2.0"),
        &[
            r#"S {"type":"MutationResponse","requestId":3,"success":true,"result":2.0,"ts":"CAAqNv6clxc=","logLines":["[LOG] 'hi'"]}"#,
            r#"S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":1,"ts":"BwAqNv6clxc="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":1.0,"logLines":[],"journal":null}],"clientClockSkew":0,"serverTs":1700000000000000000}"#,
            &format!("Update user ts>={}", ts(8)),
        ],
    );
    same(
        &s.computed(ts(8), &[(0, "2.0")]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":1,"identity":1,"ts":"BwAqNv6clxc="},"endVersion":{"querySet":1,"identity":1,"ts":"CAAqNv6clxc="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}],"clientClockSkew":0,"serverTs":1700000000000000000}"#,
        ],
    );
}

#[test]
fn npm_rejected_token() {
    let mut s = npm();
    s.connect();
    s.authenticate(0, r#""User","value":"BAD""#);
    same(&s.modify(0, &format!("{LIST}}}")), &[]);
    let error = hull_value::CodedError::bad_request("InvalidAuthHeader", "Could not decode token");
    same(
        &s.rejected(error),
        &[
            r#"S {"type":"AuthError","error":"Could not decode token","baseVersion":0,"authUpdateAttempted":true}"#,
            "Close (Could not decode token)",
        ],
    );
}

#[test]
fn dashboard_acts_as_a_user() {
    let mut s = npm();
    s.connect();
    same(
        &s.authenticate(0, r#""Admin","value":"instance|key","impersonating":{"tokenIdentifier":"https://i|s","issuer":"https://i","subject":"s"}"#),
        &["VerifyToken Admin(…)"],
    );
    s.modify(0, r#"{"type":"Add","queryId":0,"udfPath":"_system/frontend/tableSize:default","args":[{"componentId":null,"tableName":"t"}],"componentPath":"comp"}"#);
    same(
        &s.verified("admin as user"),
        &["Update admin as user ts>=0 +0 _system/frontend/tableSize.js:default in comp"],
    );
}

#[test]
fn python_connection() {
    let mut s = Script::with(|config| {
        config.client = ClientVersion::from_header("python-0.8.1").unwrap();
        config.latest_ts = Timestamp(ts(6));
    });
    same(&s.client(r#"{"type":"Connect","sessionId":"6b5c1be0-aaaa-4bbb-8ccc-0123456789ab","connectionCount":0,"lastCloseReason":"InitialConnect","clientTs":0}"#), &[]);
    same(
        &s.client(r#"{"type":"Authenticate","baseVersion":0,"tokenType":"User","value":"JWT1"}"#),
        &["VerifyToken User(…)"],
    );
    same(&s.verified("user"), &["Update user ts>=0"]);
    same(&s.client(r#"{"modifications":[{"args":[{"n":{"$integer":"BwAAAAAAAAA="}}],"type":"Add","queryId":0,"udfPath":"messages:list"}],"type":"ModifyQuerySet","baseVersion":0,"newVersion":1}"#), &[]);
    same(
        &s.computed(ts(1), &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":0,"identity":1,"ts":"AQAqNv6clxc="},"modifications":[],"clientClockSkew":-1700000000000,"serverTs":1700000000000000000}"#,
            &format!("Update user ts>={} +0 messages.js:list", ts(1)),
        ],
    );
    same(
        &s.computed_with(ts(2), vec![(0, result("[]"))], &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":0,"identity":1,"ts":"AQAqNv6clxc="},"endVersion":{"querySet":1,"identity":1,"ts":"AgAqNv6clxc="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":[],"logLines":[],"journal":null}],"clientClockSkew":-1700000000000,"serverTs":1700000000000000000}"#,
        ],
    );
    same(&s.client(r#"{"modifications":[{"type":"Remove","queryId":0}],"type":"ModifyQuerySet","baseVersion":1,"newVersion":2}"#), &[&format!("Update user ts>={} -0", ts(2))]);
    same(
        &s.client(
            r#"{"args":[{"body":"hi"}],"type":"Mutation","requestId":0,"udfPath":"messages:send"}"#,
        ),
        &["StartMutation 0 messages.js:send user"],
    );
    same(
        &s.client(r#"{"args":[{}],"type":"Mutation","requestId":1,"udfPath":"m:fail"}"#),
        &[],
    );
    same(
        &s.computed(ts(2), &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":1,"identity":1,"ts":"AgAqNv6clxc="},"endVersion":{"querySet":2,"identity":1,"ts":"AgAqNv6clxc="},"modifications":[{"type":"QueryRemoved","queryId":0}],"clientClockSkew":-1700000000000,"serverTs":1700000000000000000}"#,
        ],
    );
    same(
        &s.committed(0, ts(3), "null"),
        &[
            r#"S {"type":"MutationResponse","requestId":0,"success":true,"result":null,"ts":"AwAqNv6clxc=","logLines":["[LOG] 'hi'"]}"#,
            &format!("Update user ts>={}", ts(3)),
            "StartMutation 1 m.js:fail user",
        ],
    );
    same(
        &s.computed(ts(3), &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":2,"identity":1,"ts":"AgAqNv6clxc="},"endVersion":{"querySet":2,"identity":1,"ts":"AwAqNv6clxc="},"modifications":[],"clientClockSkew":-1700000000000,"serverTs":1700000000000000000}"#,
        ],
    );
    // The failure that hung the client for 30 s against the stub: here a transition follows.
    same(
        &s.mutation(
            1,
            MutationOutcome::Failed {
                failure: failure("Uncaught ConvexError: 7", Some("7.0")),
                log_lines: Vec::new(),
            },
        ),
        &[
            r#"S {"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: 0123456789abcdef] Server Error\nUncaught ConvexError: 7","ts":null,"logLines":[],"errorData":7.0}"#,
            &format!("Update user ts>={}", ts(3)),
        ],
    );
    same(
        &s.computed(ts(3), &[]),
        &[
            r#"S {"type":"Transition","startVersion":{"querySet":2,"identity":1,"ts":"AwAqNv6clxc="},"endVersion":{"querySet":2,"identity":1,"ts":"AwAqNv6clxc="},"modifications":[],"clientClockSkew":-1700000000000,"serverTs":1700000000000000000}"#,
        ],
    );
    same(
        &s.client(
            r#"{"type":"Authenticate","baseVersion":1,"tokenType":"Admin","value":"name|key"}"#,
        ),
        &["VerifyToken Admin(…)"],
    );
    same(
        &s.client(r#"{"args":[{}],"type":"Action","requestId":3,"udfPath":"a:b"}"#),
        &[],
    );
    same(
        &s.verified("admin"),
        &[
            "StartAction 3 a.js:b admin",
            &format!("Update admin ts>={}", ts(3)),
        ],
    );
}
