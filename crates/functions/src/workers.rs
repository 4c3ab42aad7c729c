//! The threads that run functions.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use hull_value::CodedError;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait; past this callers are told to come back later.
const QUEUE_LEN_MAX: usize = 8_192;

/// A fixed set of threads with large stacks and one bounded queue.
pub(crate) struct Workers {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Workers {
    pub(crate) fn start(name: &str, count: usize) -> std::io::Result<Workers> {
        let queue = Arc::new(Queue::default());
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let queue = queue.clone();
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .stack_size(hull_js::worker_stack_size())
                .spawn(move || queue.work())?;
            threads.push(thread);
        }
        Ok(Workers {
            queue,
            threads: Mutex::new(threads),
        })
    }

    /// Queues a job. A panic inside it ends only that job.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), CodedError> {
        let mut state = self.queue.lock();
        if state.is_closed {
            return Err(CodedError::overloaded(
                "InternalServerError",
                "The server is shutting down.",
            ));
        }
        if state.jobs.len() >= QUEUE_LEN_MAX {
            return Err(CodedError::overloaded(
                "TooManyConcurrentRequests",
                "Too many requests are waiting to run. Spread your requests out over time.",
            ));
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    /// Runs what is queued, then ends the threads.
    pub(crate) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a worker thread ended by a panic outside of a job");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut state = self.lock();
            let job = loop {
                if let Some(job) = state.jobs.pop_front() {
                    break job;
                }
                if state.is_closed {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            // The job's caller sees its channel close and reports an internal error.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                tracing::error!("a function run panicked; its caller gets an internal error");
            }
        }
    }
}
