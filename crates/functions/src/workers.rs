//! The threads that run functions.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hull_value::CodedError;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait; past this callers are told to come back later.
const QUEUE_LEN_MAX: usize = 8_192;

/// How long jobs may wait while not one begins, before elastic workers grow.
const STALL: Duration = Duration::from_millis(50);

/// Threads with large stacks and one bounded queue.
pub(crate) struct Workers {
    queue: Arc<Queue>,
    /// Adds threads to elastic workers.
    foreman: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// For the foreman: jobs wait, and no thread is idle.
    is_short: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    is_closed: bool,
    /// Jobs begun so far.
    begun: u64,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    /// Threads beyond those of the start; they end when there is nothing to do.
    extra: usize,
}

impl Workers {
    /// Threads that are always so many.
    pub(crate) fn start(name: &str, count: usize) -> std::io::Result<Workers> {
        let queue = Arc::new(Queue::default());
        for number in 0..count {
            let thread = spawn(&format!("{name}-{number}"), &queue, Queue::work)?;
            queue.lock().threads.push(thread);
        }
        Ok(Workers {
            queue,
            foreman: Mutex::default(),
        })
    }

    /// Threads that become more, up to `most`, while jobs wait and each thread is
    /// held by one that takes long; and fewer again afterwards.
    pub(crate) fn elastic(name: &str, count: usize, most: usize) -> std::io::Result<Workers> {
        let workers = Workers::start(name, count)?;
        let (extra_name, extra_max) = (format!("{name}-extra"), most.saturating_sub(count));
        let foreman = spawn(&format!("{name}-foreman"), &workers.queue, move |queue| {
            queue.grow(&extra_name, extra_max);
        })?;
        *workers.foreman() = Some(foreman);
        Ok(workers)
    }

    /// Queues a job. A panic inside it ends only that job.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), CodedError> {
        let mut state = self.queue.lock();
        if state.is_closed {
            return Err(shutting_down());
        }
        if state.jobs.len() >= QUEUE_LEN_MAX {
            return Err(CodedError::overloaded(
                "TooManyConcurrentRequests",
                "Too many requests are waiting to run. Spread your requests out over time.",
            ));
        }
        state.jobs.push_back(Box::new(job));
        let is_short = state.jobs.len() > state.idle;
        drop(state);
        self.queue.changed.notify_one();
        if is_short {
            self.queue.is_short.notify_one();
        }
        Ok(())
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    /// Runs what is queued, then ends the threads.
    pub(crate) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        self.queue.is_short.notify_all();
        let foreman = self.foreman().take();
        // The foreman first: it adds threads.
        foreman.into_iter().for_each(join);
        let threads = std::mem::take(&mut self.queue.lock().threads);
        threads.into_iter().for_each(join);
    }

    fn foreman(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.foreman.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(
    name: &str,
    queue: &Arc<Queue>,
    work: impl FnOnce(&Arc<Queue>) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let queue = queue.clone();
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(hull_js::worker_stack_size())
        .spawn(move || work(&queue))
}

fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
        tracing::error!("a worker thread ended by a panic outside of a job");
    }
}

/// What a caller hears whose work can begin no more.
pub(crate) fn shutting_down() -> CodedError {
    CodedError::overloaded("InternalServerError", "The server is shutting down.")
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(self: &Arc<Self>) {
        while let Some(job) = self.next_job(true) {
            run(job);
        }
    }

    fn work_extra(self: &Arc<Self>) {
        while let Some(job) = self.next_job(false) {
            run(job);
        }
        self.lock().extra -= 1;
    }

    fn next_job(&self, waits: bool) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.begun += 1;
                return Some(job);
            }
            if state.is_closed || !waits {
                return None;
            }
            state.idle += 1;
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Adds a thread whenever jobs waited for [`STALL`] and none began.
    fn grow(self: &Arc<Self>, name: &str, extra_max: usize) {
        let mut state = self.lock();
        while !state.is_closed {
            if state.jobs.is_empty() || state.extra >= extra_max {
                // An extra thread that ends makes room when there is nothing to do.
                state = self
                    .is_short
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let begun = state.begun;
            let waited = self.is_short.wait_timeout_while(state, STALL, |state| {
                !state.is_closed && state.begun == begun
            });
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.is_closed || state.begun != begun || state.jobs.is_empty() {
                continue;
            }
            state.threads.retain(|thread| !thread.is_finished());
            match spawn(name, self, Queue::work_extra) {
                Ok(thread) => {
                    state.extra += 1;
                    state.threads.push(thread);
                }
                Err(error) => tracing::warn!("no thread for an action: {error}"),
            }
        }
    }
}

fn run(job: Job) {
    // The job's caller sees its channel close and reports an internal error.
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
        tracing::error!("a function run panicked; its caller gets an internal error");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn elastic_workers_grow_past_jobs_that_take_long() {
        let workers = Workers::elastic("test", 1, 4).expect("threads");
        let (done, all_done) = mpsc::channel();
        let mut waits_for: Option<mpsc::Sender<()>> = None;
        // Each waits for the one that is queued after it.
        for _ in 0..4 {
            let (sender, receiver) = mpsc::channel();
            let (before, done) = (waits_for.replace(sender), done.clone());
            let job = move || {
                if let Some(before) = before {
                    before.send(()).expect("it waits");
                }
                receiver.recv().expect("a later job begins");
                done.send(()).expect("the test waits");
            };
            workers.submit(job).expect("room");
        }
        waits_for.expect("the last").send(()).expect("it waits");
        for _ in 0..4 {
            all_done.recv().expect("each ends");
        }
        workers.close();
        assert_eq!(workers.queue.lock().extra, 0);
        assert!(workers.submit(|| ()).is_err());
    }
}
