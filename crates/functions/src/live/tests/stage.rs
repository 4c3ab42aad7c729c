use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use hull_engine::{
    BeginContext, Ceilings, Engine, EngineConfig, HistoryLimits, InvalidationListener,
    SubscriptionId, Transaction, document, system,
};
use hull_store::StoreError;
use hull_store::memory::MemoryStore;
use hull_value::{CodedError, PackedValue, Timestamp, Value};

use crate::call::{Caller, FunctionError};
use crate::identity::{AdminIdentity, Identity, IdentityKey, UserIdentity};
use crate::live::{
    Asker, Evaluation, Invalidations, LiveQueries, LiveQuery, LiveResult, Question, QuestionRunner,
    Run, RunDone,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// A registry, its engine, and the runs that wait for the test.
pub(super) struct Stage {
    pub(super) engine: Arc<Engine>,
    pub(super) live: Arc<LiveQueries>,
    pub(super) script: Arc<Script>,
    published: Arc<Published>,
}

/// Runs what the test lets it run. Questions are named after what they do with
/// the number in the row of the same name; see [`Script::call`].
pub(super) struct Script {
    engine: Arc<Engine>,
    jobs: Mutex<Vec<Job>>,
    now_ms: Mutex<f64>,
    /// Runs that have come to an end.
    pub(super) runs: AtomicUsize,
    /// Who was served without a run.
    pub(super) served: Mutex<Vec<Caller>>,
}

pub(super) struct Job {
    pub(super) question: Arc<Question>,
    asker: Asker,
    ts: Timestamp,
    done: RunDone,
}

/// Passes on what the engine reports, and knows how far that is.
struct Published {
    listener: Invalidations,
    ts: Mutex<Timestamp>,
    changed: Condvar,
}

impl InvalidationListener for Published {
    fn invalidated(&self, hits: &[(SubscriptionId, Timestamp)]) {
        self.listener.invalidated(hits);
    }

    fn published(&self, ts: Timestamp) {
        self.listener.published(ts);
        *self.ts.lock().unwrap() = ts;
        self.changed.notify_all();
    }

    fn storage_failed(&self, error: &StoreError) {
        panic!("the store failed: {error}");
    }
}

impl Stage {
    pub(super) fn new() -> Stage {
        let live = LiveQueries::new();
        let published = Arc::new(Published {
            listener: Invalidations {
                live: Arc::downgrade(&live),
                metadata_changed: Arc::default(),
                jobs_changed: Arc::default(),
            },
            ts: Mutex::new(Timestamp(0)),
            changed: Condvar::new(),
        });
        let config = EngineConfig {
            listener: published.clone(),
            now: NOW,
            seed: [0; 32],
            history: HistoryLimits::default(),
            ceilings: Ceilings::default(),
        };
        // The first commit is the engine's own, before there is anybody to run anything.
        let engine = Engine::open(Arc::new(MemoryStore::new()), config).unwrap();
        let engine = Arc::new(engine);
        let script = Arc::new(Script {
            engine: engine.clone(),
            jobs: Mutex::default(),
            now_ms: Mutex::new(1e12),
            runs: AtomicUsize::new(0),
            served: Mutex::default(),
        });
        live.connect(engine.clone(), script.clone());
        Stage {
            engine,
            live,
            script,
            published,
        }
    }

    /// Commits numbers and waits until everybody has been told.
    pub(super) fn put(&self, rows: &[(&str, i64)]) -> Timestamp {
        let mut transaction = self.engine.begin(&context()).unwrap();
        for (name, n) in rows {
            let row = document::row([("n", Value::Int64(*n))]);
            transaction
                .put_system_row(system::DEPLOYMENT_STATE, row_id(name), Some(row))
                .unwrap();
        }
        let ts = self.engine.commit_and_wait(transaction, NOW).unwrap();
        let published = self.published.ts.lock().unwrap();
        let until = |published: &mut Timestamp| *published < ts;
        drop(self.published.changed.wait_while(published, until).unwrap());
        ts
    }

    pub(super) fn subscribe(&self, path: &str, identity: &Identity) -> Subscriber {
        let woken = Arc::new(AtomicUsize::new(0));
        let counted = woken.clone();
        let waker = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let query = self.live.subscribe(question(path), identity.clone(), waker);
        Subscriber { query, woken }
    }

    /// Evaluates one subscription; runs whatever that takes.
    pub(super) fn show(&self, subscriber: &Subscriber) -> Arc<LiveResult> {
        self.evaluate(&[subscriber]).results.remove(0)
    }

    pub(super) fn evaluate(&self, subscribers: &[&Subscriber]) -> Evaluation {
        let queries: Vec<&LiveQuery> = subscribers.iter().map(|one| &one.query).collect();
        let evaluation = self.live.evaluate(&queries, Timestamp(0));
        self.complete(evaluation).unwrap()
    }

    /// Asks as the HTTP API does; runs whatever that takes.
    pub(super) fn ask(&self, path: &str, identity: &Identity) -> Arc<LiveResult> {
        let asker = asker(identity);
        let asked = self.live.ask(question(path), &asker);
        self.complete(asked).unwrap().0
    }

    /// Polls a future to its end, running what waits to be run in between.
    pub(super) fn complete<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            if let Some(output) = poll_once(&mut future) {
                return output;
            }
            assert!(self.script.run_next(), "waits for nothing that could come");
        }
    }

    pub(super) fn runs(&self) -> usize {
        self.script.runs.load(Ordering::SeqCst)
    }

    pub(super) fn advance_ms(&self, ms: f64) {
        *self.script.now_ms.lock().unwrap() += ms;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.engine.close();
    }
}

/// A subscription and how often it was woken.
pub(super) struct Subscriber {
    pub(super) query: LiveQuery,
    woken: Arc<AtomicUsize>,
}

impl Subscriber {
    /// Whether it was woken since the last call.
    pub(super) fn was_woken(&self) -> bool {
        self.woken.swap(0, Ordering::SeqCst) > 0
    }
}

impl QuestionRunner for Script {
    fn run(
        &self,
        question: Arc<Question>,
        asker: Asker,
        ts: Timestamp,
        done: RunDone,
    ) -> Result<(), CodedError> {
        self.jobs.lock().unwrap().push(Job {
            question,
            asker,
            ts,
            done,
        });
        Ok(())
    }

    fn served_from_cache(&self, _: &Question, asker: &Asker, _: &LiveResult) {
        self.served.lock().unwrap().push(asker.caller);
    }

    fn now_ms(&self) -> f64 {
        *self.now_ms.lock().unwrap()
    }
}

impl Script {
    pub(super) fn jobs(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    /// Takes a run that waits; the test ends it.
    pub(super) fn take(&self, at: usize) -> Job {
        self.jobs.lock().unwrap().remove(at)
    }

    pub(super) fn run_next(&self) -> bool {
        if self.jobs() == 0 {
            return false;
        }
        self.run(self.take(0));
        true
    }

    pub(super) fn run(&self, job: Job) {
        let run = self.call(&job);
        self.runs.fetch_add(1, Ordering::SeqCst);
        (job.done)(run);
    }

    /// Runs everything that waits, and what comes of it.
    pub(super) fn run_all(&self) {
        while self.run_next() {}
    }

    /// Ends a run with a system error.
    pub(super) fn fail(&self, job: Job, error: CodedError) {
        (job.done)(Err(error));
    }

    fn call(&self, job: &Job) -> Result<Run, CodedError> {
        let mut transaction = self.engine.begin_at(job.ts, &context())?;
        let mut observed = (false, false);
        let question = &*job.question;
        let read = |name: &str| number(&mut transaction, name);
        let key = job.asker.identity.key();
        let answer = answer(&question.path, &key, self.now_ms(), &mut observed, read);
        let journal = match (&question.journal, question.path.as_str()) {
            (None, "page") => Some("J".to_owned()),
            (journal, _) => journal.clone(),
        };
        let answer = answer.map(|answer| match &journal {
            Some(journal) => format!("{answer} up to {journal}"),
            None => answer,
        });
        let result = answer
            .map(|text| PackedValue::pack(&Value::String(text)))
            .map_err(|message| FunctionError {
                message,
                data: None,
            });
        Ok(Run {
            result: LiveResult::new(result, Vec::new(), journal, String::new()),
            reads: transaction.into_reads(),
            observed_identity: observed.0,
            observed_time: observed.1,
        })
    }
}

/// What a question answers; `observed` are identity and time.
pub(super) fn answer(
    path: &str,
    key: &IdentityKey,
    now_ms: f64,
    observed: &mut (bool, bool),
    mut read: impl FnMut(&str) -> i64,
) -> Result<String, String> {
    let n = read(path);
    match path {
        // Looks at who asks, and at a row of his, while the number is odd.
        "private" if n % 2 != 0 => {
            observed.0 = true;
            let name = name_of(key);
            let own = read(&name);
            // Not all of them have something of their own to see.
            Ok(format!("{n} {own} for {name}"))
        }
        "clock" => {
            observed.1 = true;
            Ok(format!("{n} at {now_ms}"))
        }
        "fails" if n % 2 != 0 => Err(format!("{n}")),
        // Changes less often than what it reads.
        "halved" => Ok(format!("{}", n / 2)),
        _ => Ok(format!("{n}")),
    }
}

pub(super) fn text(result: &LiveResult) -> Result<String, String> {
    match &result.result {
        Ok(value) => match value.unpack() {
            Value::String(text) => Ok(text),
            other => panic!("not a text: {other:?}"),
        },
        Err(error) => Err(error.message.clone()),
    }
}

pub(super) fn name_of(key: &IdentityKey) -> String {
    match key {
        IdentityKey::User(user) => user.attributes_json().to_owned(),
        other => format!("{other:?}"),
    }
}

fn number(transaction: &mut Transaction, name: &str) -> i64 {
    let row = transaction
        .system_row(system::DEPLOYMENT_STATE, row_id(name))
        .unwrap();
    row.map_or(0, |row| document::int(row.as_ref(), "n").unwrap())
}

fn row_id(name: &str) -> hull_value::InternalId {
    system::row_id(&[b"live query test", name.as_bytes()])
}

fn context() -> BeginContext {
    BeginContext {
        now: NOW,
        seed: [1; 32],
    }
}

pub(super) fn question(path: &str) -> Question {
    Question {
        component_path: String::new(),
        path: path.to_owned(),
        args_json: String::new(),
        journal: None,
        may_call_internal: false,
    }
}

pub(super) fn asker(identity: &Identity) -> Asker {
    Asker {
        identity: identity.clone(),
        caller: Caller::HttpApi,
        request_id: String::new(),
    }
}

pub(super) fn user(name: &str) -> Identity {
    let attributes = [("subject".to_owned(), name.into())];
    Identity::User(UserIdentity::new(&attributes.into_iter().collect()))
}

pub(super) fn admin(member_id: u64) -> Identity {
    Identity::Admin(AdminIdentity {
        member_id,
        is_read_only: false,
    })
}

/// An admin who acts as a user.
pub(super) fn acting(member_id: u64, name: &str) -> Identity {
    match (admin(member_id), user(name)) {
        (Identity::Admin(admin), Identity::User(user)) => Identity::ActingUser(admin, user),
        _ => unreachable!(),
    }
}

/// Polls once; the test knows by itself when to poll again.
pub(super) fn poll_once<F: Future + ?Sized>(
    future: &mut std::pin::Pin<&mut F>,
) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// The numbers after each commit.
pub(super) type Rows = BTreeMap<String, i64>;
