//! One action on the threads of actions: run while there is something to do,
//! parked otherwise, woken by answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hull_js::{ActionOutcome, Activity, Answer, OpId, Step};
use hull_value::CodedError;
use tokio::sync::oneshot;

use super::host::TaskHost;
use crate::logs::LogLine;
use crate::workers::Workers;

type Ended = Result<(ActionOutcome, Vec<LogLine>), CodedError>;

pub(super) struct Task {
    workers: Arc<Workers>,
    /// Taken by the thread that runs a step.
    running: Mutex<Option<Running>>,
    inbox: Mutex<Inbox>,
    /// Whether nobody waits for it any more.
    is_given_up: Arc<AtomicBool>,
}

struct Running {
    activity: Activity,
    host: TaskHost,
    ended: oneshot::Sender<Ended>,
}

#[derive(Default)]
struct Inbox {
    answers: Vec<(OpId, Answer)>,
    /// Whether a thread runs the task or is going to: it looks again before it parks it.
    is_scheduled: bool,
}

impl Task {
    /// Runs an action to its end, or to its deadline.
    pub(super) async fn run(
        mut activity: Activity,
        mut host: TaskHost,
        workers: &Arc<Workers>,
        is_closing: &Arc<AtomicBool>,
        deadline: Instant,
    ) -> Ended {
        let (ended, mut outcome) = oneshot::channel();
        let is_given_up = Arc::<AtomicBool>::default();
        let stops = [is_given_up.clone(), is_closing.clone()];
        activity.stop_when(move || stops.iter().any(|stop| stop.load(Ordering::Acquire)));
        let task = Arc::new_cyclic(|task| {
            host.set_task(task.clone());
            Task {
                workers: workers.clone(),
                running: Mutex::new(Some(Running {
                    activity,
                    host,
                    ended,
                })),
                inbox: Mutex::default(),
                is_given_up,
            }
        });
        // Whoever waits for this may go away; the action goes with it.
        let _stops = Stops(task.clone());
        task.wake();
        let in_time = tokio::time::timeout_at(deadline.into(), &mut outcome).await;
        let outcome = match in_time {
            Ok(outcome) => outcome,
            Err(_) => {
                task.wake();
                outcome.await
            }
        };
        outcome.unwrap_or_else(|_| Err(CodedError::internal("an action ended without an answer")))
    }

    /// Hands an answer to the action.
    pub(super) fn deliver(self: &Arc<Self>, op: OpId, answer: Answer) {
        self.inbox().answers.push((op, answer));
        self.wake();
    }

    /// Lets the action look around.
    fn wake(self: &Arc<Self>) {
        let mut inbox = self.inbox();
        if std::mem::replace(&mut inbox.is_scheduled, true) {
            return;
        }
        drop(inbox);
        let task = self.clone();
        if let Err(error) = self.workers.submit(move || task.step()) {
            self.end(Err(error));
        }
    }

    fn step(self: &Arc<Self>) {
        loop {
            let answers = std::mem::take(&mut self.inbox().answers);
            let Some(mut running) = self.running().take() else {
                return;
            };
            let step = running.activity.run(&mut running.host, answers);
            match step {
                Step::Done(outcome) => {
                    let Running { host, ended, .. } = running;
                    let log_lines = host.into_log_lines();
                    // Nobody may be waiting any more.
                    let _ = ended.send(Ok((outcome, log_lines)));
                    return;
                }
                Step::Waiting => {
                    *self.running() = Some(running);
                    if self.is_given_up.load(Ordering::Acquire) {
                        return self.give_up();
                    }
                    let mut inbox = self.inbox();
                    if inbox.answers.is_empty() {
                        inbox.is_scheduled = false;
                        return;
                    }
                }
            }
        }
    }

    fn give_up(&self) {
        self.end(Err(CodedError::internal("the action was given up")));
    }

    fn end(&self, outcome: Ended) {
        if let Some(running) = self.running().take() {
            let _ = running.ended.send(outcome);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an action that nobody waits for any more, also in the middle of a step.
struct Stops(Arc<Task>);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.is_given_up.store(true, Ordering::Release);
        self.0.give_up();
    }
}
