//! Whatever happens in whatever order: each answer is right at its timestamp,
//! and in the end everybody sees the newest.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hull_value::{CodedError, Timestamp};

use crate::identity::Identity;
use crate::live::{Evaluation, LiveQuery};

use super::stage::{Rows, Stage, acting, answer, name_of, poll_once, question, text, user};

const PATHS: [&str; 5] = ["plain", "private", "fails", "halved", "page"];

type Evaluating = Pin<Box<dyn Future<Output = Result<Evaluation, CodedError>>>>;

/// A client with several queries, all of one identity.
struct Session {
    identity: Identity,
    paths: Vec<&'static str>,
    queries: Arc<Vec<LiveQuery>>,
    is_woken: Arc<AtomicBool>,
    evaluating: Option<Evaluating>,
    shown: Option<(Timestamp, Vec<Result<String, String>>)>,
}

struct History {
    stage: Stage,
    commits: BTreeMap<Timestamp, Rows>,
    random: u64,
}

impl History {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn commit(&mut self) {
        let mut rows = self.commits.last_key_value().unwrap().1.clone();
        let mut changed: Vec<(String, i64)> = Vec::new();
        for _ in 0..1 + self.below(2) {
            let name = match self.below(8) {
                0 => name_of(&user("a").key()),
                1 => name_of(&user("b").key()),
                _ => PATHS[self.below(PATHS.len())].to_owned(),
            };
            // Few numbers, so that they return to former ones.
            changed.push((name, self.below(4) as i64));
        }
        rows.extend(changed.iter().cloned());
        let put: Vec<(&str, i64)> = rows
            .iter()
            .filter(|(name, _)| changed.iter().any(|(changed, _)| changed == *name))
            .map(|(name, n)| (name.as_str(), *n))
            .collect();
        let ts = self.stage.put(&put);
        self.commits.insert(ts, rows);
    }

    fn session(&mut self) -> Session {
        let identities = [
            Identity::Anonymous,
            user("a"),
            user("b"),
            acting(1, "a"),
            user("c"),
        ];
        let identity = identities[self.below(identities.len())].clone();
        let is_woken = Arc::new(AtomicBool::new(true));
        let count = 1 + self.below(3);
        let paths: Vec<&str> = (0..count).map(|_| PATHS[self.below(PATHS.len())]).collect();
        let queries = paths.iter().map(|path| {
            let flag = is_woken.clone();
            let waker = Arc::new(move || flag.store(true, Ordering::SeqCst));
            let live = &self.stage.live;
            live.subscribe(question(path), identity.clone(), waker)
        });
        Session {
            queries: Arc::new(queries.collect()),
            identity,
            paths,
            is_woken,
            evaluating: None,
            shown: None,
        }
    }

    /// What each query of a session answers at a timestamp.
    fn expected(&self, session: &Session, ts: Timestamp) -> Vec<Result<String, String>> {
        let (_, rows) = self.commits.range(..=ts).next_back().unwrap();
        let read = |name: &str| rows.get(name).copied().unwrap_or(0);
        let key = session.identity.key();
        let paths = session.paths.iter();
        paths
            .map(|path| {
                let found = answer(path, &key, 0.0, &mut (false, false), read);
                match *path {
                    "page" => found.map(|found| format!("{found} up to J")),
                    _ => found,
                }
            })
            .collect()
    }

    /// Lets a session go on as far as it can.
    fn step(&self, session: &mut Session) {
        if session.evaluating.is_none() && session.is_woken.swap(false, Ordering::SeqCst) {
            let (live, queries) = (self.stage.live.clone(), session.queries.clone());
            session.evaluating = Some(Box::pin(async move {
                let queries: Vec<&LiveQuery> = queries.iter().collect();
                live.evaluate(&queries, Timestamp(0)).await
            }));
        }
        let Some(evaluating) = &mut session.evaluating else {
            return;
        };
        let Some(evaluation) = poll_once(&mut evaluating.as_mut()) else {
            return;
        };
        session.evaluating = None;
        let Evaluation { ts, results } = evaluation.unwrap();
        let results: Vec<_> = results.iter().map(|result| text(result)).collect();
        assert_eq!(
            results,
            self.expected(session, ts),
            "{:?} of {:?} at {ts}",
            session.paths,
            session.identity
        );
        let before = session.shown.as_ref().map(|(ts, _)| *ts);
        assert!(before <= Some(ts), "went back from {before:?} to {ts}");
        session.shown = Some((ts, results));
    }

    fn run_at_random(&mut self) {
        let jobs = self.stage.script.jobs();
        if jobs > 0 {
            let at = self.below(jobs);
            self.stage.script.run(self.stage.script.take(at));
        }
    }
}

/// Runs a history; in a hot one sessions look so rarely that answers are past
/// the timestamps they ask at.
fn check(seed: u64, is_hot: bool) {
    let stage = Stage::new();
    let ts = stage.put(&[("plain", 0)]);
    let mut history = History {
        stage,
        commits: BTreeMap::from([(ts, Rows::new())]),
        random: seed,
    };
    let mut sessions: Vec<Session> = Vec::new();
    for _ in 0..250 {
        let end = if is_hot { 24 } else { 12 };
        match history.below(end) {
            0 if sessions.len() < 8 => {
                let session = history.session();
                sessions.push(session);
            }
            1 if sessions.len() > 4 => {
                let at = history.below(sessions.len());
                sessions.swap_remove(at);
            }
            0..=3 => history.commit(),
            4..=7 | 16.. => history.run_at_random(),
            12..16 => history.commit(),
            _ if !sessions.is_empty() => {
                let at = history.below(sessions.len());
                let mut session = sessions.swap_remove(at);
                history.step(&mut session);
                sessions.push(session);
            }
            _ => {}
        }
    }
    let is_busy =
        |session: &Session| session.evaluating.is_some() || session.is_woken.load(Ordering::SeqCst);
    while history.stage.script.jobs() > 0 || sessions.iter().any(is_busy) {
        history.run_at_random();
        for session in &mut sessions {
            history.step(session);
        }
    }
    let latest = history.stage.engine.latest();
    for session in &sessions {
        let (ts, shown) = session.shown.as_ref().unwrap();
        assert_eq!(
            *shown,
            history.expected(session, latest),
            "{:?} of {:?}, last shown at {ts}",
            session.paths,
            session.identity
        );
    }
    drop(sessions);
    assert_eq!(history.stage.live.watched_bytes(), 0);
    history.stage.advance_ms(1e6);
    history.stage.live.give_memory_back();
    history.stage.live.give_memory_back();
    assert_eq!(history.stage.engine.subscriptions_count(), 0);
    assert_eq!(history.stage.live.nodes_count(), 0);
}

#[test]
fn every_answer_is_right_and_the_last_one_is_the_newest() {
    for seed in 0..300 {
        let result = std::panic::catch_unwind(|| check(seed, seed % 2 == 0));
        assert!(result.is_ok(), "seed {seed}");
    }
}
