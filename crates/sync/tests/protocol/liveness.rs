use std::time::Duration;

use expect_test::expect;
use hull_sync::limits::{CLIENT_SILENCE_MAX, PING_INTERVAL, WEB_SOCKET_PING_INTERVAL};

use crate::script::{Script, add};

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn idle_connection_is_pinged_on_both_levels() {
    let mut s = Script::connected();
    let mut seconds = Vec::new();
    for second in 1..=30 {
        for line in s.wait(Duration::from_secs(1)).lines() {
            seconds.push((second, line.to_owned()));
        }
    }
    expect![[r#"
        [
            (
                5,
                "WebSocketPing",
            ),
            (
                10,
                "WebSocketPing",
            ),
            (
                15,
                "WebSocketPing",
            ),
            (
                15,
                "S {\"type\":\"Ping\"}",
            ),
            (
                20,
                "WebSocketPing",
            ),
            (
                25,
                "WebSocketPing",
            ),
            (
                30,
                "WebSocketPing",
            ),
            (
                30,
                "S {\"type\":\"Ping\"}",
            ),
        ]
    "#]]
    .assert_debug_eq(&seconds);
}

#[test]
fn anything_sent_puts_the_ping_off() {
    let mut s = Script::connected();
    s.modify(0, "");
    s.wait(PING_INTERVAL - MILLISECOND);
    s.computed(10, &[]);
    assert!(!s.wait(PING_INTERVAL - MILLISECOND).contains("Ping\"}"));
    assert!(s.wait(MILLISECOND).contains("Ping\"}"));
}

#[test]
fn silent_client_is_dropped() {
    let mut s = Script::connected();
    s.wait(CLIENT_SILENCE_MAX - MILLISECOND);
    // A pong is a sign of life.
    s.session.peer_alive(s.now);
    s.wait(CLIENT_SILENCE_MAX - MILLISECOND);
    assert!(!s.session.is_closed());
    expect![[r#"
        Close 1000 ClientDisconnected (client is silent)
    "#]]
    .assert_eq(&s.wait(MILLISECOND));
}

#[test]
fn silence_does_not_count_while_nothing_is_read() {
    let mut s = Script::connected();
    s.authenticate(0, r#""User","value":"t""#);
    while s.session.accepts_frames() {
        s.client(r#"{"type":"Event","eventType":"x","event":null}"#);
    }
    // The verification has a limit of its own.
    expect![[r#"
        Close 1013 SystemTimeoutError (a mutation or token verification took too long)
    "#]]
    .assert_eq(&s.wait(CLIENT_SILENCE_MAX));
}

#[test]
fn endless_mutation_ends_the_connection() {
    let mut s = Script::connected();
    s.call("Mutation", 0, "m:n");
    s.wait(Duration::from_millis(59_999));
    assert!(!s.session.is_closed());
    expect![[r#"
        Close 1013 SystemTimeoutError (a mutation or token verification took too long)
    "#]]
    .assert_eq(&s.wait(MILLISECOND));
}

#[test]
fn deadline_is_the_next_thing_due() {
    let mut s = Script::connected();
    let due_in = |s: &Script| s.session.next_deadline(s.now) - s.now.elapsed;
    assert_eq!(due_in(&s), WEB_SOCKET_PING_INTERVAL);
    s.wait(Duration::from_secs(3));
    assert_eq!(due_in(&s), Duration::from_secs(2));
    s.call("Mutation", 0, "m:n");
    assert_eq!(due_in(&s), Duration::from_millis(100));
    s.committed(0, 10, "1.0");
    s.computed(10, &[]);
    s.modify(0, &add(0, "a:b"));
    s.computed_with(11, Vec::new(), &[0]);
    assert_eq!(due_in(&s), Duration::from_secs(2));
    s.wait(Duration::from_secs(2));
    assert_eq!(due_in(&s), Duration::from_secs(1));
}

#[test]
fn no_ping_piles_up_behind_a_reader_that_stalls() {
    let mut s = Script::connected();
    s.reads = false;
    s.modify(0, "");
    s.computed(10, &[]);
    for _ in 0..20 {
        s.session.peer_alive(s.now);
        assert_eq!(s.wait(PING_INTERVAL), "WebSocketPing\n");
    }
}
