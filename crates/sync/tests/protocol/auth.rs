use std::time::Duration;

use expect_test::{Expect, expect};
use hull_sync::VerifiedIdentity;
use hull_value::{CodedError, ErrorClass};

use crate::script::{START_NS, Script, add};

const USER: &str = r#""User","value":"t""#;
const ADMIN: &str = r#""Admin","value":"name|key""#;

fn expiring(identity: &'static str, after: Duration) -> VerifiedIdentity<&'static str> {
    VerifiedIdentity {
        identity,
        is_admin: false,
        expires_at_ns: Some(START_NS + u64::try_from(after.as_nanos()).unwrap()),
    }
}

/// A session of a user whose token expires after 60 s, with one query shown.
fn expiring_session() -> Script {
    let mut s = Script::connected();
    s.authenticate(0, USER);
    s.verified_as(expiring("user", Duration::from_secs(60)));
    s.computed(10, &[]);
    s.modify(0, &add(0, "a:b"));
    s.computed(11, &[(0, "1.0")]);
    s
}

#[test]
fn messages_wait_while_a_token_is_verified() {
    let mut s = Script::connected();
    s.authenticate(0, USER);
    assert_eq!(s.modify(0, &add(0, "a:b")), "");
    assert_eq!(s.call("Mutation", 0, "m:n"), "");
    assert_eq!(s.authenticate(1, r#""None""#), "");
    assert_eq!(s.call("Action", 1, "m:n"), "");
    // The mutation runs as the identity at its place in the stream, the action as the next.
    expect![[r#"
        StartAction 1 m.js:n anonymous
        Update anonymous ts>=0 +0 a.js:b
        StartMutation 0 m.js:n user
    "#]]
    .assert_eq(&s.verified("user"));
}

#[test]
fn rejection_closes_and_outage_does_not_blame_the_token() {
    #[track_caller]
    fn check(class: ErrorClass, expected: Expect) {
        let mut s = Script::connected();
        s.authenticate(0, USER);
        expected.assert_eq(&s.rejected(CodedError::new(class, "Code", "text")));
        assert!(s.session.is_closed());
    }
    check(
        ErrorClass::Unauthenticated,
        expect![[r#"
        S {"type":"AuthError","error":"text","baseVersion":0,"authUpdateAttempted":true}
        Close (text)
    "#]],
    );
    check(
        ErrorClass::Forbidden,
        expect![[r#"
        S {"type":"AuthError","error":"text","baseVersion":0,"authUpdateAttempted":true}
        Close (text)
    "#]],
    );
    check(
        ErrorClass::BadRequest,
        expect![[r#"
        S {"type":"AuthError","error":"text","baseVersion":0,"authUpdateAttempted":true}
        Close (text)
    "#]],
    );
    check(
        ErrorClass::Overloaded,
        expect![[r#"
        Close 1013 Code (token verification failed: text)
    "#]],
    );
    check(
        ErrorClass::FeatureUnavailable,
        expect![[r#"
        Close 1013 Code (token verification failed: text)
    "#]],
    );
    check(
        ErrorClass::NotFound,
        expect![[r#"
        Close 1013 Code (token verification failed: text)
    "#]],
    );
    check(
        ErrorClass::Internal,
        expect![[r#"
        Close 1011 InternalServerError (Code: text)
    "#]],
    );
}

#[test]
fn auth_error_names_the_identity_of_the_last_transition() {
    let mut s = Script::connected();
    s.authenticate(0, USER);
    s.verified("user");
    // The transition of identity 1 is still being computed.
    s.authenticate(1, USER);
    expect![[r#"
        S {"type":"AuthError","error":"text","baseVersion":0,"authUpdateAttempted":true}
        Close (text)
    "#]]
    .assert_eq(&s.rejected(CodedError::unauthenticated("Code", "text")));

    let mut s = Script::connected();
    s.authenticate(0, USER);
    s.verified("user");
    s.computed(10, &[]);
    s.authenticate(1, USER);
    expect![[r#"
        S {"type":"AuthError","error":"text","baseVersion":1,"authUpdateAttempted":true}
        Close (text)
    "#]]
    .assert_eq(&s.rejected(CodedError::unauthenticated("Code", "text")));
}

#[test]
fn wrong_base_version_is_an_internal_error() {
    let mut s = Script::connected();
    s.authenticate(1, USER);
    expect![[r#"
        Close 1011 InternalServerError (identity base version 1 is not 0)
    "#]]
    .assert_eq(&s.verified("user"));
}

#[test]
fn sign_out_needs_no_verification_and_bumps_the_identity() {
    let mut s = expiring_session();
    expect![[r#"
        Update anonymous ts>=11 +0 a.js:b
    "#]]
    .assert_eq(&s.authenticate(1, r#""None""#));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":1,"ts":"CwAAAAAAAAA="},"endVersion":{"querySet":1,"identity":2,"ts":"DAAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(12, &[(0, "1.0")]));
}

#[test]
fn identity_change_subscribes_every_query_anew() {
    let mut s = expiring_session();
    s.authenticate(1, USER);
    expect![[r#"
        Update other ts>=11 +0 a.js:b
    "#]]
    .assert_eq(&s.verified("other"));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":1,"ts":"CwAAAAAAAAA="},"endVersion":{"querySet":1,"identity":2,"ts":"DAAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(12, &[(0, "2.0")]));
}

#[test]
fn every_query_needs_a_result_after_an_identity_change() {
    let mut s = expiring_session();
    s.authenticate(1, USER);
    s.verified("other");
    expect![[r#"
        Close 1011 InternalServerError (no result for query 0)
    "#]]
    .assert_eq(&s.computed(12, &[]));
}

#[test]
fn expiry_is_noticed_at_use_only() {
    let mut s = expiring_session();
    let closed = |lines: String| {
        expect![[r#"
            S {"type":"AuthError","error":"Convex token identity expired","baseVersion":1,"authUpdateAttempted":false}
            Close (Convex token identity expired)
        "#]]
        .assert_eq(&lines);
    };
    assert_eq!(
        s.wait(Duration::from_secs(59)),
        "WebSocketPing\nS {\"type\":\"Ping\"}\n"
    );
    assert_ne!(s.call("Mutation", 0, "m:n"), "");
    s.wait(Duration::from_secs(1));
    assert!(!s.session.is_closed());
    closed(s.call("Mutation", 1, "m:n"));

    let mut s = expiring_session();
    s.wait(Duration::from_secs(60));
    closed(s.call("Action", 0, "m:n"));

    let mut s = expiring_session();
    s.wait(Duration::from_secs(60));
    closed(s.invalidated());

    let mut s = expiring_session();
    s.wait(Duration::from_secs(60));
    // Nothing is due: nothing happens.
    assert_eq!(
        s.client(r#"{"type":"Event","eventType":"x","event":1}"#),
        ""
    );
}

#[test]
fn expired_token_is_not_held_against_a_client_that_sent_the_next() {
    let mut s = expiring_session();
    s.wait(Duration::from_secs(60));
    s.authenticate(1, USER);
    assert_eq!(s.invalidated(), "");
    expect![[r#"
        Update user ts>=11 +0 a.js:b
    "#]]
    .assert_eq(&s.verified("user"));
}

#[test]
fn queries_stay_live_while_the_next_token_is_verified() {
    let mut s = expiring_session();
    s.authenticate(1, USER);
    expect![[r#"
        Update user ts>=11
    "#]]
    .assert_eq(&s.invalidated());
}

fn admin_session() -> Script {
    let mut s = Script::connected();
    s.authenticate(0, ADMIN);
    s.verified("admin");
    s.computed(10, &[]);
    s
}

#[test]
fn admin_is_verified_again_after_a_minute() {
    let mut s = admin_session();
    s.wait(Duration::from_secs(59));
    expect![[r#"
        StartAction 0 m.js:n admin
    "#]]
    .assert_eq(&s.call("Action", 0, "m:n"));
    s.action(0, "1.0");
    s.computed(11, &[]);
    s.wait(Duration::from_secs(1));
    expect![[r#"
        VerifyToken Admin(…)
    "#]]
    .assert_eq(&s.call("Action", 1, "m:n"));
    assert_eq!(s.call("Action", 2, "m:n"), "");
    expect![[r#"
        StartAction 1 m.js:n admin again
        StartAction 2 m.js:n admin again
    "#]]
    .assert_eq(&s.verified("admin again"));
    s.wait(Duration::from_secs(60));
    expect![[r#"
        VerifyToken Admin(…)
    "#]]
    .assert_eq(&s.invalidated());
    expect![[r#"
        S {"type":"AuthError","error":"revoked","baseVersion":1,"authUpdateAttempted":true}
        Close (revoked)
    "#]]
    .assert_eq(&s.rejected(CodedError::unauthenticated("BadAdminKey", "revoked")));
}

#[test]
fn system_functions_and_components_are_for_admins() {
    let system = add(0, "_system/frontend/tableSize");
    let component = r#"{"type":"Add","queryId":1,"udfPath":"a:b","args":[{}],"componentPath":"c"}"#;
    let root = r#"{"type":"Add","queryId":2,"udfPath":"a:b","args":[{}],"componentPath":""}"#;
    let all = [system.as_str(), component, root].join(",");

    let mut s = Script::connected();
    expect![[r#"
        Update anonymous ts>=0 +2 a.js:b
    "#]]
    .assert_eq(&s.modify(0, &all));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryFailed","queryId":0,"errorMessage":"[Request ID: 91113802170199c5] Server Error\nOperation query not permitted","logLines":[],"journal":null},{"type":"QueryFailed","queryId":1,"errorMessage":"[Request ID: bc02676c23851f4d] Server Error\nCould not find public function for 'a:b' in 'c'.","logLines":[],"journal":null},{"type":"QueryUpdated","queryId":2,"value":1.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(10, &[(2, "1.0")]));
    // Becoming an admin opens them, and losing it closes them.
    s.authenticate(0, ADMIN);
    expect![[r#"
        Update admin ts>=10 +0 _system/frontend/tableSize.js:default +1 a.js:b in c +2 a.js:b
    "#]]
    .assert_eq(&s.verified("admin"));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":1,"ts":"CwAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":5.0,"logLines":[],"journal":null},{"type":"QueryUpdated","queryId":1,"value":6.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(11, &[(0, "5.0"), (1, "6.0"), (2, "1.0")]));
    expect![[r#"
        Update anonymous ts>=11 -0 -1 +2 a.js:b
    "#]]
    .assert_eq(&s.authenticate(1, r#""None""#));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":1,"ts":"CwAAAAAAAAA="},"endVersion":{"querySet":1,"identity":2,"ts":"DAAAAAAAAAA="},"modifications":[{"type":"QueryFailed","queryId":0,"errorMessage":"[Request ID: 91113802170199c5] Server Error\nOperation query not permitted","logLines":[],"journal":null},{"type":"QueryFailed","queryId":1,"errorMessage":"[Request ID: bc02676c23851f4d] Server Error\nCould not find public function for 'a:b' in 'c'.","logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(12, &[(2, "1.0")]));
}

#[test]
fn system_mutations_and_actions_of_users_are_answered_in_turn() {
    let mut s = Script::connected();
    s.call("Mutation", 0, "m:n");
    assert_eq!(s.call("Mutation", 1, "_system/frontend/x"), "");
    expect![[r#"
        S {"type":"ActionResponse","requestId":2,"success":false,"result":"[Request ID: 22d7db479af36b3d] Server Error\nOperation action not permitted","logLines":[]}
    "#]].assert_eq(&s.call("Action", 2, "_system/frontend/x"));
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"CgAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        S {"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: a50a7968d6a5bfd2] Server Error\nOperation mutation not permitted","ts":null,"logLines":[]}
        Update anonymous ts>=10
    "#]].assert_eq(&s.committed(0, 10, "1.0"));
}
