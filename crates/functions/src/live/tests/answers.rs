//! Whom an answer is for, and who is told (data model spec 6.7).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hull_value::{CodedError, ErrorClass, Timestamp};

use crate::call::Caller;
use crate::identity::Identity;

use super::stage::{Stage, acting, admin, asker, poll_once, question, text, user};

#[test]
fn who_asks_the_same_at_once_waits_for_one_run() {
    let stage = Stage::new();
    stage.put(&[("plain", 7)]);
    let subscriber = stage.subscribe("plain", &user("a"));
    let (one, other) = (asker(&user("b")), asker(&Identity::Anonymous));
    let queries = [&subscriber.query];
    let mut shown = std::pin::pin!(stage.live.evaluate(&queries, Timestamp(0)));
    let mut one = std::pin::pin!(stage.live.ask(question("plain"), &one));
    let mut other = std::pin::pin!(stage.live.ask(question("plain"), &other));
    assert!(poll_once(&mut shown).is_none());
    assert!(poll_once(&mut one).is_none() && poll_once(&mut other).is_none());
    assert_eq!(stage.script.jobs(), 1);
    stage.script.run_all();
    let shown = poll_once(&mut shown).unwrap().unwrap().results.remove(0);
    let (one, _) = poll_once(&mut one).unwrap().unwrap();
    let (other, _) = poll_once(&mut other).unwrap().unwrap();
    assert_eq!(text(&shown), Ok("7".to_owned()));
    assert!(Arc::ptr_eq(&shown, &one) && Arc::ptr_eq(&shown, &other));
    assert_eq!(stage.runs(), 1);
    // The two that ran nothing are logged all the same.
    let served = stage.script.served.lock().unwrap().clone();
    assert_eq!(served, [Caller::HttpApi, Caller::HttpApi]);
}

#[test]
fn newcomers_that_hit_the_cache_are_logged_and_subscribers_that_look_again_are_not() {
    let stage = Stage::new();
    let first = stage.subscribe("plain", &user("a"));
    stage.show(&first);
    assert!(stage.script.served.lock().unwrap().is_empty());
    let second = stage.subscribe("plain", &user("b"));
    stage.show(&second);
    stage.ask("plain", &user("c"));
    stage.show(&first);
    stage.show(&second);
    let served = stage.script.served.lock().unwrap().clone();
    assert_eq!(served, [Caller::SyncWorker, Caller::HttpApi]);
    assert_eq!(stage.runs(), 1);
}

#[test]
fn a_result_that_looked_at_the_identity_is_for_that_identity() {
    // Each is followed by whether it must run for itself.
    let callers = [
        (user("a"), true),
        (user("b"), true),
        (user("a"), false),
        (acting(1, "a"), false),
        (acting(2, "b"), false),
        (acting(1, "c"), true),
        (user("c"), false),
        (Identity::Anonymous, true),
        (Identity::Anonymous, false),
        (admin(1), true),
        (admin(2), true),
        (admin(1), false),
        (Identity::System, true),
    ];
    for is_private in [true, false] {
        let stage = Stage::new();
        stage.put(&[("private", i64::from(is_private))]);
        for (number, (identity, runs)) in callers.iter().enumerate() {
            let before = stage.runs();
            let result = stage.ask("private", identity);
            let runs = if is_private { *runs } else { number == 0 };
            assert_eq!(stage.runs() - before, usize::from(runs), "{identity:?}");
            let name = super::stage::name_of(&identity.key());
            let expected = match is_private {
                true => format!("1 0 for {name}"),
                false => "0".to_owned(),
            };
            assert_eq!(text(&result), Ok(expected));
        }
    }
}

#[test]
fn everyone_asks_for_himself_once_a_run_looks_at_the_identity() {
    let stage = Stage::new();
    let subscribers = ["a", "b", "c"].map(|name| stage.subscribe("private", &user(name)));
    for subscriber in &subscribers {
        assert_eq!(text(&stage.show(subscriber)), Ok("0".to_owned()));
    }
    assert_eq!(stage.runs(), 1);
    stage.put(&[("private", 1)]);
    stage.script.run_all();
    for (subscriber, name) in subscribers.iter().zip(["a", "b", "c"]) {
        assert!(subscriber.was_woken(), "{name}");
        let shown = text(&stage.show(subscriber)).unwrap();
        assert!(shown.contains(name), "{shown} is shown to {name}");
    }
    // And back: one run is for all again.
    subscribers.iter().for_each(|one| _ = one.was_woken());
    stage.put(&[("private", 2)]);
    stage.script.run_all();
    for subscriber in &subscribers {
        assert!(subscriber.was_woken());
        assert_eq!(text(&stage.show(subscriber)), Ok("2".to_owned()));
    }
}

#[test]
fn equal_content_wakes_nobody_and_keeps_the_result() {
    let stage = Stage::new();
    stage.put(&[("halved", 4)]);
    let subscriber = stage.subscribe("halved", &user("a"));
    let first = stage.show(&subscriber);
    assert!(!subscriber.was_woken());
    stage.put(&[("halved", 5)]);
    stage.script.run_all();
    assert!(!subscriber.was_woken());
    assert!(Arc::ptr_eq(&first, &stage.show(&subscriber)));
    stage.put(&[("halved", 6)]);
    stage.script.run_all();
    assert!(subscriber.was_woken());
    assert_eq!(text(&stage.show(&subscriber)), Ok("3".to_owned()));
    assert_eq!(stage.runs(), 3);
}

#[test]
fn commits_during_a_run_are_one_more_run() {
    let stage = Stage::new();
    let subscriber = stage.subscribe("plain", &user("a"));
    stage.show(&subscriber);
    for n in 1..=5 {
        stage.put(&[("plain", n)]);
        assert_eq!(stage.script.jobs(), 1, "after commit {n}");
    }
    stage.script.run_all();
    // The first run was outdated when it ended.
    assert_eq!(stage.runs(), 3);
    assert_eq!(text(&stage.show(&subscriber)), Ok("5".to_owned()));
    assert_eq!(stage.runs(), 3);
}

#[test]
fn a_reading_of_the_clock_is_for_newcomers_of_the_next_17_seconds() {
    for by_http in [true, false] {
        let stage = Stage::new();
        let old = stage.subscribe("clock", &user("old"));
        let first = text(&stage.show(&old)).unwrap();
        let newcomer = |name: &str| match by_http {
            true => text(&stage.ask("clock", &user(name))).unwrap(),
            false => text(&stage.show(&stage.subscribe("clock", &user(name)))).unwrap(),
        };
        stage.advance_ms(17_000.0);
        assert_eq!(newcomer("in time"), first);
        stage.advance_ms(1.0);
        // Whoever has an answer keeps it: nothing it read has changed.
        assert_eq!(text(&stage.show(&old)).unwrap(), first);
        assert_eq!(stage.runs(), 1);
        let second = newcomer("late");
        assert_ne!(second, first);
        assert_eq!(stage.runs(), 2);
        // All that watch one question see one answer.
        assert!(old.was_woken());
        assert_eq!(text(&stage.show(&old)).unwrap(), second);
    }
}

#[test]
fn an_error_is_for_those_who_wait_for_the_run() {
    for by_http in [true, false] {
        let stage = Stage::new();
        stage.put(&[("fails", 1)]);
        let old = stage.subscribe("fails", &user("old"));
        assert_eq!(text(&stage.show(&old)), Err("1".to_owned()));
        // Its subscribers keep it, a newcomer has it tried again.
        stage.show(&old);
        assert_eq!(stage.runs(), 1);
        let newcomer = stage.subscribe("fails", &user("new"));
        let shown = match by_http {
            true => stage.ask("fails", &user("new")),
            false => stage.show(&newcomer),
        };
        assert_eq!(text(&shown), Err("1".to_owned()));
        assert_eq!(stage.runs(), 2);
        let (one, other) = (asker(&user("x")), asker(&user("y")));
        let mut one = std::pin::pin!(stage.live.ask(question("fails"), &one));
        let mut other = std::pin::pin!(stage.live.ask(question("fails"), &other));
        assert!(poll_once(&mut one).is_none() && poll_once(&mut other).is_none());
        stage.script.run_all();
        let one = poll_once(&mut one).unwrap().unwrap().0;
        let other = poll_once(&mut other).unwrap().unwrap().0;
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(stage.runs(), 3);
        // Nobody watched, nothing is kept.
        drop((old, newcomer));
        assert_eq!(
            (stage.live.nodes_count(), stage.live.cached_bytes()),
            (0, 0)
        );
    }
}

#[test]
fn a_page_belongs_to_its_journal_and_a_newcomer_reads_a_fresh_one() {
    let stage = Stage::new();
    stage.put(&[("page", 1)]);
    let reader = stage.subscribe("page", &user("a"));
    let first = stage.show(&reader);
    assert_eq!(first.journal.as_deref(), Some("J"));
    // The first run answers both questions.
    let mut page = question("page");
    page.journal = Some("J".to_owned());
    let ask_page = || {
        let asker = asker(&user("b"));
        let asked = stage.live.ask(page.clone(), &asker);
        stage.complete(asked).unwrap().0
    };
    assert!(Arc::ptr_eq(&ask_page(), &first));
    assert!(Arc::ptr_eq(&stage.ask("page", &user("b")), &first));
    assert_eq!(stage.runs(), 1);
    // A write makes the page run again, with its journal and only with it.
    stage.put(&[("page", 2)]);
    assert_eq!(stage.script.jobs(), 1);
    stage.script.run_all();
    assert!(reader.was_woken());
    let second = stage.show(&reader);
    assert_eq!(text(&second), Ok("2 up to J".to_owned()));
    assert!(Arc::ptr_eq(&ask_page(), &second));
    assert_eq!(stage.runs(), 2);
    stage.ask("page", &user("b"));
    assert_eq!(stage.runs(), 3);
}

#[test]
fn a_newcomers_first_page_does_not_hide_a_change_from_those_who_have_the_page() {
    let stage = Stage::new();
    stage.put(&[("page", 1)]);
    let reader = stage.subscribe("page", &user("a"));
    stage.show(&reader);
    stage.put(&[("page", 2)]);
    // The page's own re-run waits while somebody reads the first page afresh.
    let rerun = stage.script.take(0);
    let newcomer = stage.subscribe("page", &user("b"));
    assert_eq!(text(&stage.show(&newcomer)), Ok("2 up to J".to_owned()));
    stage.script.run(rerun);
    assert!(reader.was_woken());
    assert_eq!(text(&stage.show(&reader)), Ok("2 up to J".to_owned()));
}

#[test]
fn a_timestamp_out_of_reach_is_left_for_a_newer_one() {
    let retention = || CodedError::new(ErrorClass::OutOfRetention, "InternalServerError", "gone");
    let stage = Stage::new();
    let subscriber = stage.subscribe("plain", &user("a"));
    let asker = asker(&user("b"));
    let queries = [&subscriber.query];
    let mut shown = std::pin::pin!(stage.live.evaluate(&queries, Timestamp(0)));
    let mut asked = std::pin::pin!(stage.live.ask(question("plain"), &asker));
    assert!(poll_once(&mut shown).is_none() && poll_once(&mut asked).is_none());
    let lost = stage.script.take(0);
    let ts = stage.put(&[("plain", 3)]);
    stage.script.fail(lost, retention());
    let shown = stage.complete(shown).unwrap();
    assert_eq!(shown.ts, ts);
    assert_eq!(text(&shown.results[0]), Ok("3".to_owned()));
    assert_eq!(stage.complete(asked).unwrap().1, ts);
    // So does a re-run that nobody waits for.
    subscriber.was_woken();
    stage.put(&[("plain", 4)]);
    stage.script.fail(stage.script.take(0), retention());
    assert!(subscriber.was_woken());
    assert_eq!(text(&stage.show(&subscriber)), Ok("4".to_owned()));
}

#[test]
fn a_failed_run_tells_everyone_who_waits_why() {
    let stage = Stage::new();
    let (one, other) = (asker(&user("x")), asker(&user("y")));
    let mut one = std::pin::pin!(stage.live.ask(question("plain"), &one));
    let mut other = std::pin::pin!(stage.live.ask(question("plain"), &other));
    assert!(poll_once(&mut one).is_none() && poll_once(&mut other).is_none());
    let error = CodedError::overloaded("TooManyConcurrentRequests", "later");
    stage.script.fail(stage.script.take(0), error.clone());
    assert_eq!(poll_once(&mut one).unwrap().err(), Some(error.clone()));
    assert_eq!(poll_once(&mut other).unwrap().err(), Some(error));
    assert_eq!(stage.live.nodes_count(), 0);
    // The next one finds nothing of it.
    stage.ask("plain", &user("x"));
    assert_eq!(stage.script.runs.load(Ordering::SeqCst), 1);
}
