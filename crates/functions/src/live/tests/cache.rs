//! What results take, and that it comes back.

use crate::identity::Identity;

use super::stage::{Stage, user};

#[test]
fn nothing_is_left_when_everybody_has_gone() {
    let stage = Stage::new();
    stage.put(&[("private", 1)]);
    let subscribers: Vec<_> = (0..50)
        .map(|n| stage.subscribe("private", &user(&n.to_string())))
        .collect();
    let paged = stage.subscribe("page", &Identity::Anonymous);
    for subscriber in subscribers.iter().chain([&paged]) {
        stage.show(subscriber);
    }
    for n in 0..50 {
        stage.ask(&format!("plain {n}"), &user("a"));
    }
    assert!(stage.live.watched_bytes() > 51 * 1_024);
    assert!(stage.live.cached_bytes() > 50 * 1_024);
    assert_eq!(stage.engine.subscriptions_count(), 50 + 2 + 50);
    drop((subscribers, paged));
    assert_eq!(stage.live.watched_bytes(), 0);
    stage.advance_ms(45_001.0);
    stage.live.give_memory_back();
    assert_eq!(stage.live.cached_bytes(), 0);
    assert_eq!(stage.live.nodes_count(), 0);
    assert_eq!(stage.engine.subscriptions_count(), 0);
    assert!(stage.live.owners.lock().unwrap().is_empty());
}

#[test]
fn answers_of_identities_that_left_are_cached_and_dropped_like_others() {
    let stage = Stage::new();
    stage.put(&[("private", 1)]);
    let stays = stage.subscribe("private", &user("stays"));
    stage.show(&stays);
    let watched = stage.live.watched_bytes();
    for n in 0..20 {
        let leaves = stage.subscribe("private", &user(&n.to_string()));
        stage.show(&leaves);
        assert!(stage.live.watched_bytes() > watched);
    }
    assert_eq!(stage.live.watched_bytes(), watched);
    let runs = stage.runs();
    stage.ask("private", &user("7"));
    assert_eq!(
        stage.runs(),
        runs,
        "what somebody saw before is there still"
    );
    stage.advance_ms(45_001.0);
    stage.live.give_memory_back();
    // The one that was used gets another round.
    assert_eq!(stage.engine.subscriptions_count(), 2);
    stage.advance_ms(45_001.0);
    stage.live.give_memory_back();
    assert_eq!(stage.engine.subscriptions_count(), 1);
    assert_eq!(
        (stage.live.cached_bytes(), stage.live.nodes_count()),
        (0, 1)
    );
    assert_eq!(stage.live.watched_bytes(), watched);
    // One that comes back belongs to the watched ones again.
    stage.ask("private", &user("returns"));
    assert!(stage.live.cached_bytes() > 0);
    let returns = stage.subscribe("private", &user("returns"));
    assert_eq!(stage.live.cached_bytes(), 0);
    drop(returns);
    assert!(stage.live.cached_bytes() > 0);
}

#[test]
fn an_invalidated_answer_that_nobody_watches_goes_at_once() {
    let stage = Stage::new();
    stage.ask("plain", &user("a"));
    stage.put(&[("plain", 1)]);
    assert_eq!(
        (stage.live.cached_bytes(), stage.live.nodes_count()),
        (0, 0)
    );
    assert_eq!(stage.script.jobs(), 0, "nobody wants it run again");
}

#[test]
fn the_cache_keeps_within_its_limit_and_keeps_what_is_used() {
    let stage = Stage::new();
    const LIMIT: usize = 64 << 20;
    // Arguments are part of what a question takes.
    let name = |n: usize| format!("plain {n}{}", "x".repeat(500_000));
    let watched = stage.subscribe(&name(0), &user("a"));
    stage.show(&watched);
    for n in 1..400 {
        stage.ask(&name(n), &user("a"));
        stage.ask(&name(1), &user("a"));
        assert!(stage.live.cached_bytes() <= LIMIT, "after {n}");
    }
    assert!(stage.live.cached_bytes() > LIMIT / 2);
    let runs = stage.runs();
    assert_eq!(runs, 400);
    for n in [0, 1, 399] {
        stage.ask(&name(n), &user("a"));
    }
    assert_eq!(stage.runs(), runs, "watched, often used and newest");
    stage.ask(&name(2), &user("a"));
    assert_eq!(stage.runs(), runs + 1, "old and unused");
}
