use std::{sync::Arc, time::Duration};

use expect_test::expect;
use hull_sync::{QueryResult, limits::QUERIES_MAX};

use crate::script::{Script, add, failure, remove, result, result_with};

fn with_query() -> Script {
    let mut s = Script::connected();
    s.modify(0, &add(0, "a:b"));
    s.computed(10, &[(0, "1.0")]);
    s
}

#[test]
fn unchanged_result_is_not_sent_again_and_nothing_means_no_transition() {
    let mut s = with_query();
    expect![[r#"
        Update anonymous ts>=10
    "#]]
    .assert_eq(&s.invalidated());
    assert_eq!(s.computed(11, &[(0, "1.0")]), "");
    s.invalidated();
    // The chain continues from the last transition sent.
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"DAAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(12, &[(0, "2.0")]));
}

#[test]
fn invalidation_during_an_update_asks_for_another() {
    let mut s = with_query();
    s.invalidated();
    assert_eq!(s.invalidated(), "");
    assert_eq!(s.invalidated(), "");
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
        Update anonymous ts>=11
    "#]].assert_eq(&s.computed(11, &[(0, "2.0")]));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"DAAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":3.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(12, &[(0, "3.0")]));
}

#[test]
fn journal_of_the_last_run_is_used_for_the_next_subscription() {
    let mut s = Script::connected();
    s.modify(
        0,
        r#"{"type":"Add","queryId":0,"udfPath":"a:b","args":[{}],"journal":"sent"},{"type":"Add","queryId":1,"udfPath":"a:b","args":[{}],"journal":null}"#,
    );
    s.computed_with(
        10,
        vec![(0, result_with("1.0", Some("new"))), (1, result("1.0"))],
        &[],
    );
    expect![[r#"
        Update anonymous ts>=10 +0 a.js:b journal new +1 a.js:b
    "#]]
    .assert_eq(&s.authenticate(0, r#""None""#));
}

#[test]
fn changed_journal_alone_is_not_sent() {
    let mut s = with_query();
    s.invalidated();
    assert_eq!(
        s.computed_with(11, vec![(0, result_with("1.0", Some("j")))], &[]),
        ""
    );
}

#[test]
fn failed_query() {
    let mut s = with_query();
    let failed = |data| {
        Arc::new(QueryResult::failed(
            &failure("Uncaught Error: x\n", data),
            &[],
            None,
        ))
    };
    s.invalidated();
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"modifications":[{"type":"QueryFailed","queryId":0,"errorMessage":"[Request ID: 0123456789abcdef] Server Error\nUncaught Error: x\n","logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed_with(11, vec![(0, failed(None))], &[]));
    s.invalidated();
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"DAAAAAAAAAA="},"modifications":[{"type":"QueryFailed","queryId":0,"errorMessage":"[Request ID: 0123456789abcdef] Server Error\nUncaught Error: x\n","errorData":null,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed_with(12, vec![(0, failed(Some("null")))], &[]));
}

#[test]
fn paths_that_are_none_fail_as_queries() {
    let mut s = Script::connected();
    expect![[r#"
        Update anonymous ts>=0 +1 a.js:b
    "#]]
    .assert_eq(&s.modify(0, &[add(0, "a-b:c"), add(1, "a:b")].join(",")));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryFailed","queryId":0,"errorMessage":"[Request ID: 91113802170199c5] Server Error\nCould not find public function for 'a-b:c'.","logLines":[],"journal":null},{"type":"QueryUpdated","queryId":1,"value":1.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(10, &[(1, "1.0")]));
    expect![[r#"
        Update anonymous ts>=10
    "#]]
    .assert_eq(&s.modify(1, &remove(0)));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":2,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryRemoved","queryId":0}]}
    "#]].assert_eq(&s.computed(10, &[]));
}

#[test]
fn redaction_hides_the_text_of_refusals() {
    let mut s = Script::with(|config| config.redact_errors = true);
    s.connect();
    s.modify(0, &add(0, "a-b:c"));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryFailed","queryId":0,"errorMessage":"[Request ID: 91113802170199c5] Server Error","logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(10, &[]));
}

#[test]
fn modifications_that_arrive_during_an_update_belong_to_the_next() {
    let mut s = with_query();
    s.invalidated();
    assert_eq!(s.modify(1, &[add(1, "c:d"), remove(0)].join(",")), "");
    assert_eq!(s.modify(2, &add(2, "e:f")), "");
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
        Update anonymous ts>=11 -0 +1 c.js:d +2 e.js:f
    "#]].assert_eq(&s.computed(11, &[(0, "2.0")]));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"endVersion":{"querySet":3,"identity":0,"ts":"DAAAAAAAAAA="},"modifications":[{"type":"QueryRemoved","queryId":0},{"type":"QueryUpdated","queryId":1,"value":1.0,"logLines":[],"journal":null},{"type":"QueryUpdated","queryId":2,"value":1.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(12, &[(1, "1.0"), (2, "1.0")]));
}

#[test]
fn query_added_and_removed_at_once_never_runs() {
    let mut s = Script::connected();
    expect![[r#"
        Update anonymous ts>=0
    "#]]
    .assert_eq(&s.modify(0, &[add(0, "a:b"), remove(0)].join(",")));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryRemoved","queryId":0}]}
    "#]].assert_eq(&s.computed(10, &[]));
}

#[test]
fn query_removed_and_added_at_once_has_one_modification() {
    let mut s = with_query();
    expect![[r#"
        Update anonymous ts>=10 -0 +0 c.js:d
    "#]]
    .assert_eq(&s.modify(1, &[remove(0), add(0, "c:d")].join(",")));
    // Also with the same content: the client has forgotten it.
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":2,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":1.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(10, &[(0, "1.0")]));
}

#[test]
fn empty_modification_bumps_the_version() {
    let mut s = Script::connected();
    assert_eq!(s.modify(0, ""), "Update anonymous ts>=0\n");
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(10, &[]));
}

#[test]
fn disagreements_about_the_query_set() {
    let mut s = with_query();
    expect![[r#"
        S {"type":"FatalError","error":"Base version 0 passed up doesn't match the current version 1"}
        Close (Base version 0 passed up doesn't match the current version 1)
    "#]].assert_eq(&s.modify(0, &add(1, "a:b")));
    let mut s = with_query();
    expect![[r#"
        S {"type":"FatalError","error":"New version 1 is not greater than base version 1"}
        Close (New version 1 is not greater than base version 1)
    "#]]
    .assert_eq(
        &s.client(r#"{"type":"ModifyQuerySet","baseVersion":1,"newVersion":1,"modifications":[]}"#),
    );
    let mut s = with_query();
    expect![[r#"
        Close 1011 InternalServerError (query 0 was added twice)
    "#]]
    .assert_eq(&s.modify(1, &add(0, "a:b")));
    let mut s = with_query();
    expect![[r#"
        Close 1011 InternalServerError (query 9 was removed but does not exist)
    "#]]
    .assert_eq(&s.modify(1, &remove(9)));
}

#[test]
fn deferred_query_is_left_out_and_retried() {
    let mut s = Script::connected();
    s.modify(0, &[add(0, "a:b"), add(1, "c:d")].join(","));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":1.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed_with(10, vec![(0, result("1.0"))], &[1]));
    assert_eq!(s.wait(Duration::from_millis(2999)), "");
    expect![[r#"
        Update anonymous ts>=10
    "#]]
    .assert_eq(&s.wait(Duration::from_millis(1)));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CwAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":1,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(11, &[(1, "2.0")]));
}

#[test]
fn broken_promises_of_the_runner_end_the_connection() {
    let mut s = Script::connected();
    s.modify(0, &add(0, "a:b"));
    expect![[r#"
        Close 1011 InternalServerError (no result for query 0)
    "#]]
    .assert_eq(&s.computed(10, &[]));
    let mut s = with_query();
    s.invalidated();
    expect![[r#"
        Close 1011 InternalServerError (an update at 9 was to be at 10 or later)
    "#]]
    .assert_eq(&s.computed(9, &[]));
    let mut s = with_query();
    s.invalidated();
    expect![[r#"
        Close 1011 InternalServerError (a result for query 7, which is not subscribed)
    "#]]
    .assert_eq(&s.computed(11, &[(7, "1.0")]));
    let mut s = with_query();
    s.invalidated();
    expect![[r#"
        Close 1011 InternalServerError (two results for query 0)
    "#]]
    .assert_eq(&s.computed(11, &[(0, "1.0"), (0, "2.0")]));
    let mut s = with_query();
    expect![[r#"
        Close 1011 InternalServerError (an update was computed that nobody asked for)
    "#]]
    .assert_eq(&s.computed(11, &[]));
}

#[test]
fn slow_reader_skips_intermediate_states() {
    let mut s = with_query();
    s.reads = false;
    for (ts, value) in [(11, "2.0"), (12, "3.0")] {
        assert!(s.invalidated().starts_with("Update"));
        assert!(s.computed(ts, &[(0, value)]).starts_with("S "));
    }
    // Two transitions wait: nothing is computed, whatever happens.
    for _ in 0..100 {
        assert_eq!(s.invalidated(), "");
    }
    assert_eq!(s.modify(1, &add(1, "c:d")), "");
    // Responses are not held back.
    s.call("Mutation", 0, "m:n");
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"9AEAAAAAAAA=","logLines":["[LOG] 'hi'"]}
    "#]].assert_eq(&s.committed(0, 500, "1.0"));
    expect![[r#"
        Update anonymous ts>=500 +1 c.js:d
    "#]]
    .assert_eq(&s.read_one());
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"DAAAAAAAAAA="},"endVersion":{"querySet":2,"identity":0,"ts":"9AEAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":9.0,"logLines":[],"journal":null},{"type":"QueryUpdated","queryId":1,"value":1.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(500, &[(0, "9.0"), (1, "1.0")]));
}

#[test]
fn queries_of_a_connection_are_bounded() {
    let mut s = Script::connected();
    let adds =
        |ids: std::ops::Range<u32>| ids.map(|id| add(id, "a-b:c")).collect::<Vec<_>>().join(",");
    let max = u32::try_from(QUERIES_MAX).unwrap();
    s.modify(0, &adds(0..max));
    s.computed(10, &[]);
    assert!(!s.session.is_closed());
    expect![[r#"
        S {"type":"FatalError","error":"Too many queries on one connection (maximum 10000)"}
        Close (Too many queries on one connection (maximum 10000))
    "#]]
    .assert_eq(&s.modify(1, &adds(max..max + 1)));
}

#[test]
fn waiting_modifications_are_bounded() {
    let mut s = Script::connected();
    s.modify(0, "");
    let pairs = vec![[add(0, "a:b"), remove(0)].join(","); 5000].join(",");
    assert_eq!(s.modify(1, &pairs), "");
    assert_eq!(s.modify(2, &pairs), "");
    expect![[r#"
        Close 1013 TooManyConcurrentRequests (too many query set modifications wait, or too large ones)
    "#]].assert_eq(&s.modify(3, &remove(0)));
}
