//! Asking: all queries of a session as of one timestamp, or one question by itself.

use std::sync::Arc;

use futures::future::try_join_all;
use hull_value::{CodedError, ErrorClass, Timestamp};
use tokio::sync::oneshot;

use super::node::{Finished, Known, Node};
use super::question::{Asker, Question};
use super::registry::LiveQueries;
use super::{LiveQuery, LiveResult};

/// Times an evaluation moves on to a newer timestamp before it runs queries at its own.
const MOVES_MAX: usize = 3;
/// Times it moves on because its timestamp is out of reach already: the engine
/// forgets tens of megabytes of commits in the time of one run.
const LOST_MAX: usize = 32;

/// Results of several live queries, all of one timestamp.
pub struct Evaluation {
    pub ts: Timestamp,
    /// In the order of the queries; an unchanged answer is the same `Arc` as before.
    pub results: Vec<Arc<LiveResult>>,
}

/// How somebody asks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Manner {
    /// Has had no answer to this question yet.
    is_new: bool,
    /// Insists on the timestamp even where others are past it.
    is_exact: bool,
}

/// What asking came to.
enum Asked {
    Answered(Answered),
    /// To be asked again at another timestamp.
    Again(Again),
}

struct Answered {
    result: Arc<LiveResult>,
    /// Run for the asker alone, whom nobody tells when it is over.
    is_alone: bool,
}

enum Again {
    /// The question has been answered as of this later timestamp.
    Ahead(Timestamp),
    /// The timestamp is too old to run anything at.
    Lost,
}

impl Asked {
    fn shared(result: Arc<LiveResult>) -> Asked {
        Asked::Answered(Answered {
            result,
            is_alone: false,
        })
    }
}

impl LiveQueries {
    /// Answers all queries as of one timestamp, not before `at_least` (which must be published).
    pub(crate) async fn evaluate(
        self: &Arc<Self>,
        queries: &[&LiveQuery],
        at_least: Timestamp,
    ) -> Result<Evaluation, CodedError> {
        let mut ts = self.engine().latest();
        if ts < at_least {
            return Err(CodedError::internal(
                "evaluation was asked for an unpublished timestamp",
            ));
        }
        let mut moves = Moves::default();
        loop {
            let asked = queries.iter().map(|query| {
                let manner = moves.manner(query.is_new());
                async move { self.ask_at(&query.node(), &query.asker(), ts, manner).await }
            });
            let (mut answers, mut again) = (Vec::with_capacity(queries.len()), Vec::new());
            for asked in try_join_all(asked).await? {
                match asked {
                    Asked::Answered(answered) => answers.push(answered),
                    Asked::Again(why) => again.push(why),
                }
            }
            if !again.is_empty() {
                ts = moves.next(self, ts, &again)?;
                continue;
            }
            let answered = queries.iter().zip(answers).map(|(query, answered)| {
                query.answered(&answered.result);
                if answered.is_alone {
                    query.wake();
                }
                answered.result
            });
            let results = answered.collect();
            return Ok(Evaluation { ts, results });
        }
    }

    /// Answers one question for a caller who does not subscribe.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        question: Question,
        asker: &Asker,
    ) -> Result<(Arc<LiveResult>, Timestamp), CodedError> {
        let node = self.node(question);
        let mut ts = self.engine().latest();
        let mut moves = Moves::default();
        loop {
            match self.ask_at(&node, asker, ts, moves.manner(true)).await? {
                Asked::Answered(Answered { result, .. }) => {
                    self.trim_cache();
                    return Ok((result, ts));
                }
                Asked::Again(why) => ts = moves.next(self, ts, &[why])?,
            }
        }
    }

    /// Returns the right answer at `ts`, running the question if need be.
    async fn ask_at(
        self: &Arc<Self>,
        node: &Arc<Node>,
        asker: &Asker,
        ts: Timestamp,
        manner: Manner,
    ) -> Result<Asked, CodedError> {
        let key = asker.identity.key();
        // A newcomer who waits for a run takes what it gives, whatever that is.
        let mut is_newcomer = manner.is_new;
        let mut has_run = false;
        let served = |result: &LiveResult, has_run: bool| {
            if manner.is_new && !has_run {
                self.runner()
                    .served_from_cache(&node.question, asker, result);
            }
        };
        loop {
            let (wait, starts_for) = {
                let mut state = node.lock();
                let newcomer_ms = is_newcomer.then(|| self.runner().now_ms());
                match state.look_up(&key, ts, newcomer_ms) {
                    Known::Right(result) => {
                        drop(state);
                        served(&result, has_run);
                        return Ok(Asked::shared(result));
                    }
                    Known::Ahead(from) if !manner.is_exact => {
                        return Ok(Asked::Again(Again::Ahead(from)));
                    }
                    Known::Ahead(_) => (None, None),
                    Known::Nothing => {
                        let runs_for = state.observes_identity.then(|| key.clone());
                        let (sender, receiver) = oneshot::channel();
                        let is_running = state.running.contains_key(&runs_for);
                        let waiting = state.running.entry(runs_for.clone());
                        waiting.or_default().push(sender);
                        (Some(receiver), (!is_running).then_some(runs_for))
                    }
                }
            };
            let Some(wait) = wait else {
                return self.run_alone(node, asker, ts).await;
            };
            let is_own_run = starts_for.is_some();
            if let Some(runs_for) = starts_for {
                has_run = true;
                self.start(node, runs_for, asker.clone(), ts)?;
            }
            let ended = |_| CodedError::internal("a query run ended without a result");
            match wait.await.map_err(ended)? {
                Finished::Answer {
                    slot,
                    result,
                    from,
                    invalid_from,
                } => {
                    let is_mine = slot.is_none_or(|slot| slot == key);
                    let is_right = from <= ts && invalid_from.is_none_or(|invalid| ts < invalid);
                    if is_mine && is_right {
                        served(&result, has_run);
                        return Ok(Asked::shared(result));
                    }
                }
                Finished::Superseded => {}
                Finished::Failed(error) if error.class == ErrorClass::OutOfRetention => {
                    if is_own_run {
                        return Ok(Asked::Again(Again::Lost));
                    }
                }
                Finished::Failed(error) => return Err(error),
            }
            is_newcomer = false;
        }
    }

    /// Runs a question at an older timestamp than the node's answer, for one caller.
    async fn run_alone(
        &self,
        node: &Arc<Node>,
        asker: &Asker,
        ts: Timestamp,
    ) -> Result<Asked, CodedError> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |run| {
            // The caller may have gone away meanwhile.
            let _ = sender.send(run);
        });
        self.runner()
            .run(node.question.clone(), asker.clone(), ts, done)?;
        let run = receiver
            .await
            .map_err(|_| CodedError::internal("a query run ended without a result"))?;
        match run {
            Ok(run) => Ok(Asked::Answered(Answered {
                result: Arc::new(run.result),
                is_alone: true,
            })),
            Err(error) if error.class == ErrorClass::OutOfRetention => {
                Ok(Asked::Again(Again::Lost))
            }
            Err(error) => Err(error),
        }
    }
}

/// How often an evaluation has moved on to another timestamp.
#[derive(Default)]
struct Moves {
    ahead: usize,
    lost: usize,
}

impl Moves {
    fn manner(&self, is_new: bool) -> Manner {
        Manner {
            is_new,
            is_exact: self.ahead >= MOVES_MAX,
        }
    }

    /// The timestamp to ask at again. Where a question is ahead, that of its
    /// answer: it is known to be right there, while at the latest timestamp it
    /// may be outdated already.
    fn next(
        &mut self,
        live: &LiveQueries,
        ts: Timestamp,
        again: &[Again],
    ) -> Result<Timestamp, CodedError> {
        let mut next = ts;
        for why in again {
            match why {
                Again::Ahead(from) => next = next.max(*from),
                Again::Lost => next = live.engine().latest(),
            }
        }
        let is_lost = again.iter().any(|why| matches!(why, Again::Lost));
        self.lost += usize::from(is_lost);
        self.ahead += usize::from(!is_lost);
        if self.lost > LOST_MAX || next <= ts {
            return Err(CodedError::new(
                ErrorClass::OutOfRetention,
                "InternalServerError",
                "Your request couldn't be completed. Try again later.",
            ));
        }
        Ok(next)
    }
}
