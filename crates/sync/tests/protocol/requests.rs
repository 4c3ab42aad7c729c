use std::time::Duration;

use expect_test::{Expect, expect};
use hull_sync::{ActionOutcome, MutationOutcome, RequestId, limits};
use hull_value::{CodedError, ErrorClass};

use crate::script::{Script, add, failure};

const MILLISECOND: Duration = Duration::from_millis(1);

fn with_query() -> Script {
    let mut s = Script::connected();
    s.modify(0, &add(0, "a:b"));
    s.computed(10, &[(0, "1.0")]);
    s
}

#[test]
fn mutations_run_one_at_a_time_in_order() {
    let mut s = Script::connected();
    expect![[r#"
        StartMutation 7 m.js:n anonymous
    "#]]
    .assert_eq(&s.call("Mutation", 7, "m:n"));
    assert_eq!(s.call("Mutation", 3, "m:n"), "");
    assert_eq!(s.call("Mutation", 5, "m:n"), "");
    expect![[r#"
        S {"type":"MutationResponse","requestId":7,"success":true,"result":1.0,"ts":"CgAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        Update anonymous ts>=10
        StartMutation 3 m.js:n anonymous
    "#]].assert_eq(&s.committed(7, 10, "1.0"));
    s.computed(10, &[]);
    expect![[r#"
        S {"type":"MutationResponse","requestId":3,"success":true,"result":1.0,"ts":"CwAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        Update anonymous ts>=11
        StartMutation 5 m.js:n anonymous
    "#]].assert_eq(&s.committed(3, 11, "1.0"));
}

#[test]
fn actions_run_beside_each_other_and_beside_mutations() {
    let mut s = Script::connected();
    s.call("Mutation", 0, "m:n");
    assert_eq!(
        s.call("Action", 1, "a:b"),
        "StartAction 1 a.js:b anonymous\n"
    );
    assert_eq!(
        s.call("Action", 2, "a:b"),
        "StartAction 2 a.js:b anonymous\n"
    );
    expect![[r#"
        S {"type":"ActionResponse","requestId":2,"success":true,"result":1.0,"logLines":[]}
    "#]]
    .assert_eq(&s.action(2, "1.0"));
    expect![[r#"
        S {"type":"ActionResponse","requestId":1,"success":true,"result":1.0,"logLines":[]}
    "#]]
    .assert_eq(&s.action(1, "1.0"));
}

#[test]
fn transition_follows_every_response_even_if_nothing_changed() {
    let mut s = with_query();
    s.call("Mutation", 0, "m:n");
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"FAAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        Update anonymous ts>=20
    "#]].assert_eq(&s.committed(0, 20, "1.0"));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"FAAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(20, &[]));

    s.call("Mutation", 1, "m:n");
    let outcome = MutationOutcome::Failed {
        failure: failure("Uncaught Error: x", None),
        log_lines: Vec::new(),
    };
    expect![[r#"
        S {"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: 0123456789abcdef] Server Error\nUncaught Error: x","ts":null,"logLines":[]}
        Update anonymous ts>=20
    "#]].assert_eq(&s.mutation(1, outcome));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"FAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"FAAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(20, &[]));

    s.call("Action", 2, "a:b");
    expect![[r#"
        S {"type":"ActionResponse","requestId":2,"success":true,"result":1.0,"logLines":[]}
        Update anonymous ts>=20
    "#]]
    .assert_eq(&s.action(2, "1.0"));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"FAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"FAAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(20, &[]));
}

#[test]
fn update_in_flight_below_the_commit_is_not_enough() {
    let mut s = with_query();
    s.invalidated();
    s.call("Mutation", 0, "m:n");
    s.committed(0, 30, "1.0");
    // The update chose its timestamp before the commit; with nothing to tell it is not even sent.
    expect![[r#"
        Update anonymous ts>=30
    "#]]
    .assert_eq(&s.computed(20, &[(0, "1.0")]));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"HgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(30, &[(0, "2.0")]));
}

#[test]
fn update_in_flight_at_the_commit_is_enough() {
    let mut s = with_query();
    s.invalidated();
    s.call("Mutation", 0, "m:n");
    s.committed(0, 30, "1.0");
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"HgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(30, &[(0, "2.0")]));
}

#[test]
fn transition_waits_for_the_response_of_a_quick_mutation() {
    let mut s = with_query();
    s.invalidated();
    s.call("Mutation", 0, "m:n");
    // It may hold the mutation's writes already.
    assert_eq!(s.computed(30, &[(0, "2.0")]), "");
    assert_eq!(s.wait(99 * MILLISECOND), "");
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"HgAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"HgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.committed(0, 30, "1.0"));
}

#[test]
fn transition_from_before_the_mutation_does_not_wait() {
    let mut s = with_query();
    s.call("Mutation", 0, "m:n");
    s.call("Mutation", 1, "m:n");
    // The update for the first mutation is computed while the second runs.
    assert!(
        s.committed(0, 30, "1.0")
            .ends_with("StartMutation 1 m.js:n anonymous\n")
    );
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"HgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":2.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.computed(30, &[(0, "2.0")]));
}

#[test]
fn replayed_mutation_with_an_old_commit() {
    let mut s = with_query();
    s.call("Mutation", 0, "m:n");
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"BQAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        Update anonymous ts>=10
    "#]].assert_eq(&s.committed(0, 5, "1.0"));
    expect![[r#"
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"CgAAAAAAAAA="},"modifications":[]}
    "#]].assert_eq(&s.computed(10, &[]));
}

#[test]
fn slow_mutation_does_not_stop_live_queries() {
    let mut s = with_query();
    s.call("Mutation", 0, "m:n");
    assert_eq!(s.invalidated(), "");
    expect![[r#"
        Update anonymous ts>=10
    "#]]
    .assert_eq(&s.wait(100 * MILLISECOND));
    assert!(s.computed(20, &[(0, "2.0")]).starts_with("S "));
    assert_eq!(s.invalidated(), "Update anonymous ts>=20\n");
    // Once it is about to commit, transitions wait again.
    s.session.mutation_committing(RequestId(0), s.now);
    assert_eq!(s.computed(30, &[(0, "3.0")]), "");
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":true,"result":1.0,"ts":"HgAAAAAAAAA=","logLines":["[LOG] 'hi'"]}
        S {"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"FAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"HgAAAAAAAAA="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":3.0,"logLines":[],"journal":null}]}
    "#]].assert_eq(&s.committed(0, 30, "1.0"));
}

#[test]
fn stream_of_mutations_does_not_stop_live_queries() {
    let mut s = with_query();
    s.call("Mutation", 0, "m:n");
    let mut transitions = 0;
    for n in 0..20_u32 {
        s.call("Mutation", n + 1, "m:n");
        s.wait(20 * MILLISECOND);
        s.invalidated();
        let ts = 20 + 2 * u64::from(n);
        let lines = s.committed(n, ts, "1.0");
        transitions += lines.matches("\"Transition\"").count();
        if lines.contains("Update") {
            assert_eq!(
                s.computed(ts + 1, &[(0, &format!("{n}.0"))]),
                "",
                "the next mutation runs"
            );
        }
    }
    assert_eq!(transitions, 19);
}

#[test]
fn server_errors_of_a_mutation() {
    #[track_caller]
    fn check(class: ErrorClass, expected: Expect) {
        let mut s = Script::connected();
        s.call("Mutation", 0, "m:n");
        let error = CodedError::new(class, "Code", "text");
        let lines = s.mutation(0, MutationOutcome::Error(error));
        expected.assert_eq(&lines);
    }
    check(
        ErrorClass::Occ,
        expect![[r#"
        Close 1013 Code (Code: text)
    "#]],
    );
    check(
        ErrorClass::Internal,
        expect![[r#"
        Close 1011 InternalServerError (Code: text)
    "#]],
    );
    // A replay would meet them again, and a FatalError would stop npm clients for good.
    check(
        ErrorClass::BadRequest,
        expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":false,"result":"[Request ID: ffe9b638f840a1d5] Server Error\ntext","ts":null,"logLines":[]}
        Update anonymous ts>=0
    "#]],
    );
    check(
        ErrorClass::NotFound,
        expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":false,"result":"[Request ID: ffe9b638f840a1d5] Server Error\ntext","ts":null,"logLines":[]}
        Update anonymous ts>=0
    "#]],
    );
}

#[test]
fn server_errors_of_an_action() {
    let mut s = Script::connected();
    s.call("Action", 0, "a:b");
    let error = CodedError::new(ErrorClass::BadRequest, "Code", "text");
    expect![[r#"
        S {"type":"ActionResponse","requestId":0,"success":false,"result":"[Request ID: ffe9b638f840a1d5] Server Error\ntext","logLines":[]}
        Update anonymous ts>=0
    "#]].assert_eq(&s.action_outcome(0, ActionOutcome::Error(error)));
    s.call("Action", 1, "a:b");
    let error = CodedError::overloaded("TooManyConcurrentRequests", "text");
    expect![[r#"
        Close 1013 TooManyConcurrentRequests (TooManyConcurrentRequests: text)
    "#]]
    .assert_eq(&s.action_outcome(1, ActionOutcome::Error(error)));
}

#[test]
fn responses_need_a_request() {
    let mut s = Script::connected();
    expect![[r#"
        Close 1011 InternalServerError (mutation 0 is done but was not running)
    "#]]
    .assert_eq(&s.committed(0, 10, "1.0"));
    let mut s = Script::connected();
    expect![[r#"
        Close 1011 InternalServerError (action 0 is done but was not running)
    "#]]
    .assert_eq(&s.action(0, "1.0"));
}

#[test]
fn paths_that_are_none_are_answered() {
    let mut s = Script::connected();
    expect![[r#"
        S {"type":"MutationResponse","requestId":0,"success":false,"result":"[Request ID: ffe9b638f840a1d5] Server Error\nCould not find public function for 'a-b:c'.","ts":null,"logLines":[]}
        Update anonymous ts>=0
    "#]].assert_eq(&s.call("Mutation", 0, "a-b:c"));
    expect![[r#"
        S {"type":"ActionResponse","requestId":1,"success":false,"result":"[Request ID: a50a7968d6a5bfd2] Server Error\nCould not find public function for 'a-b:c'.","logLines":[]}
    "#]].assert_eq(&s.call("Action", 1, "a-b:c"));
}

#[test]
fn waiting_mutations_are_bounded() {
    let mut s = Script::connected();
    for n in 0..u32::try_from(limits::MUTATIONS_MAX).unwrap() {
        s.call("Mutation", n, "m:n");
    }
    assert!(!s.session.is_closed());
    expect![[r#"
        Close 1013 TooManyConcurrentMutations (too many mutations wait, or too large ones)
    "#]]
    .assert_eq(&s.call("Mutation", 5000, "m:n"));
}

#[test]
fn actions_in_flight_are_bounded_and_unread_answers_count() {
    let max = u32::try_from(limits::ACTIONS_MAX).unwrap();
    let mut s = Script::connected();
    s.reads = false;
    for n in 0..max {
        s.call("Action", n, "a:b");
    }
    s.action(0, "1.0");
    assert!(!s.session.is_closed());
    s.read_one();
    assert_eq!(
        s.call("Action", 5000, "a:b"),
        "StartAction 5000 a.js:b anonymous\n"
    );
    s.action(1, "1.0");
    expect![[r#"
        Close 1013 TooManyInflightActionsForSingleClient (too many actions in flight)
    "#]]
    .assert_eq(&s.call("Action", 5001, "a:b"));
}

#[test]
fn mutations_wait_for_a_client_that_does_not_read_its_responses() {
    let mut s = Script::connected();
    s.reads = false;
    let count = u32::try_from(limits::RESPONSES_WAITING_MAX).unwrap() + 2;
    for n in 0..count {
        s.call("Mutation", n, "m:n");
    }
    let mut done = 0;
    let mut last = String::new();
    while done < count && (done == 0 || last.contains("StartMutation")) {
        last = s.committed(done, 10 + u64::from(done), "1.0");
        done += 1;
    }
    assert_eq!(done, count - 2);
    assert_eq!(
        s.read_one(),
        format!("StartMutation {done} m.js:n anonymous\n")
    );
}
