use expect_test::{Expect, expect};
use hull_value::{CodedError, Timestamp};

use crate::script::{SESSION, Script, add, result};

#[track_caller]
fn first_message(text: &str, expected: Expect) {
    expected.assert_eq(&Script::new().client(text));
}

#[test]
fn malformed_messages_are_fatal() {
    first_message(
        "nonsense",
        expect![[r#"
        S {"type":"FatalError","error":"Received Invalid JSON on websocket: not an object"}
        Close (Received Invalid JSON on websocket: not an object)
    "#]],
    );
    first_message(
        r#"{"type":"Subscribe"}"#,
        expect![[r#"
        S {"type":"FatalError","error":"Received Invalid JSON on websocket: unknown message type `Subscribe`"}
        Close (Received Invalid JSON on websocket: unknown message type `Subscribe`)
    "#]],
    );
    first_message(
        r#"{"type":"Mutation","requestId":0,"udfPath":"a:b"}"#,
        expect![[r#"
        S {"type":"FatalError","error":"Received Invalid JSON on websocket: missing field `args` at line 1 column 49"}
        Close (Received Invalid JSON on websocket: missing field `args` at line 1 column 49)
    "#]],
    );
}

#[test]
fn fatal_error_does_not_echo_large_messages() {
    let lines = Script::new().client(&format!(
        r#"{{"type":"Mutation","requestId":"{}"}}"#,
        "x".repeat(100_000)
    ));
    assert!(
        lines.contains("FatalError") && lines.len() < 3000,
        "{}",
        lines.len()
    );
}

#[test]
fn binary_frames_are_fatal() {
    let mut s = Script::connected();
    expect![[r#"
        S {"type":"FatalError","error":"Received Invalid JSON on websocket: binary frames are not supported"}
        Close (Received Invalid JSON on websocket: binary frames are not supported)
    "#]].assert_eq(&s.input(|session, now, out| session.handle_binary_frame(now, out)));
}

#[test]
fn connect_comes_first_and_once() {
    first_message(
        r#"{"type":"Mutation","requestId":0,"udfPath":"a:b","args":[{}]}"#,
        expect![[r#"
            S {"type":"FatalError","error":"the first message must be Connect"}
            Close (the first message must be Connect)
        "#]],
    );
    first_message(
        r#"{"type":"Event","eventType":"x","event":null}"#,
        expect![[r#""#]],
    );
    let mut s = Script::connected();
    let again = format!(r#"{{"type":"Connect","sessionId":"{SESSION}","connectionCount":1}}"#);
    expect![[r#"
        S {"type":"FatalError","error":"Connect may only be the first message"}
        Close (Connect may only be the first message)
    "#]]
    .assert_eq(&s.client(&again));
}

#[test]
fn client_that_has_seen_the_future_is_sent_away() {
    let connect = |seen: u64| {
        let seen = Timestamp(seen).to_base64();
        let mut s = Script::new();
        s.client(&format!(
            r#"{{"type":"Connect","sessionId":"{SESSION}","connectionCount":1,"maxObservedTimestamp":"{seen}"}}"#
        ))
    };
    assert_eq!(connect(1000), "");
    expect![[r#"
        Close 1011 InternalServerError (client has observed timestamp 1001, the latest is 1000)
    "#]]
    .assert_eq(&connect(1001));
}

#[test]
fn clocks_are_both_there_or_both_left_out() {
    let mut s = Script::connected();
    s.modify(0, "");
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(10, &[]));
    let mut s = Script::new();
    s.client(&format!(
        r#"{{"type":"Connect","sessionId":"{SESSION}","connectionCount":0,"clientTs":1700000000005}}"#
    ));
    s.modify(0, "");
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[],"clientClockSkew":5,"serverTs":1700000000000000000}
    "#]].assert_eq(&s.computed(10, &[]));
}

#[test]
fn no_transition_before_anything_is_asked() {
    let mut s = Script::connected();
    assert_eq!(
        s.client(r#"{"type":"Event","eventType":"x","event":null}"#),
        ""
    );
}

#[test]
fn failed_update_closes_by_its_class() {
    #[track_caller]
    fn check(error: CodedError, expected: Expect) {
        let mut s = Script::connected();
        s.modify(0, &add(0, "a:b"));
        expected.assert_eq(&s.input(|session, _, out| session.update_failed(&error, out)));
        // Nothing has an effect any more.
        assert_eq!(s.modify(1, ""), "");
        assert_eq!(s.invalidated(), "");
        assert_eq!(s.computed_with(10, vec![(0, result("1.0"))], &[]), "");
    }
    check(
        CodedError::internal("disk on fire"),
        expect![[r#"
        Close 1011 InternalServerError (InternalServerError: disk on fire)
    "#]],
    );
    check(
        CodedError::overloaded("ExecuteFullError", "busy"),
        expect![[r#"
        Close 1013 ExecuteFullError (ExecuteFullError: busy)
    "#]],
    );
    check(
        CodedError::forbidden("Forbidden", "no"),
        expect![[r#"
        S {"type":"FatalError","error":"no"}
        Close 1000 Forbidden (Forbidden: no)
    "#]],
    );
}

#[test]
fn shutdown_brings_clients_back_soon() {
    let mut s = Script::connected();
    expect![[r#"
        Close 1011 InternalServerError (server shutdown)
    "#]]
    .assert_eq(&s.input(|session, _, out| session.shutdown(out)));
    assert_eq!(s.input(|session, _, out| session.shutdown(out)), "");
}

#[test]
fn inbox_is_bounded() {
    let mut s = Script::connected();
    s.authenticate(0, r#""User","value":"t""#);
    let event = r#"{"type":"Event","eventType":"x","event":null}"#;
    let mut taken = 0;
    while s.session.accepts_frames() {
        assert_eq!(s.client(event), "");
        taken += 1;
    }
    assert_eq!(taken, hull_sync::limits::INBOX_FRAMES_MAX);
    // A transport that keeps pushing loses the connection.
    expect![[r#"
        Close 1013 TooManyConcurrentRequests (frames pushed past the bound of the inbox)
    "#]]
    .assert_eq(&s.client(event));
}

#[test]
fn large_transitions_are_chunked_for_npm_only() {
    let value = format!("\"{}\"", "é".repeat(60));
    let count = |client: &str| {
        let mut s = Script::with(|config| {
            config.client = hull_sync::ClientVersion::from_header(client).unwrap();
            config.transition_chunk_bytes = 100;
        });
        s.connect();
        s.modify(0, &add(0, "a:b"));
        let lines = s.computed(10, &[(0, &value)]);
        (
            lines.lines().count(),
            lines.matches("\"type\":\"TransitionChunk\"").count(),
        )
    };
    assert_eq!(count("npm-1.48.0"), (4, 4));
    assert_eq!(count("npm-1.27.0"), (1, 0));
    assert_eq!(count("python-0.8.1"), (1, 0));
}
