//! Scheduled functions (function runtime spec 8.3): what is to run when, and
//! what became of it.
//!
//! A job has two rows with one id. Its document in `_scheduled_functions` is what
//! functions see; its row in [`SCHEDULED_JOBS`] is what the scheduler needs.
//! [`SCHEDULED_JOBS_BY_TIME`] lists the rows by the time at which they are due:
//! to run, or, once they are done, to be forgotten.

use std::sync::{Arc, LazyLock};

use hull_store::Order;
use hull_value::{
    CodedError, DocumentId, IndexSpec, InternalId, PackedValue, Timestamp, Value, keys::Interval,
};

use crate::committer::Prepared;
use crate::document;
use crate::key_space::KeySpace;
use crate::metadata::{IndexInfo, IndexState, Namespace, TableInfo};
use crate::snapshot::ScanTarget;
use crate::system::{SCHEDULED_FUNCTIONS_TABLE, SCHEDULED_JOBS, SCHEDULED_JOBS_BY_TIME};
use crate::transaction::Transaction;
use crate::window::EntryChange;

/// How long a finished job can still be looked at.
const KEPT_NANOS: u64 = 7 * 24 * 3_600 * 1_000_000_000;
/// When a job is due that runs: never by itself.
const RUNNING: Timestamp = Timestamp(i64::MAX as u64);

/// A function to run later.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Of the component that schedules, whose functions see the document.
    pub namespace: Namespace,
    /// Of the component that the function is in.
    pub target: Namespace,
    /// Canonical path, with `.js`.
    pub path: String,
    /// The array of arguments.
    pub args: PackedValue,
    /// What was asked for, milliseconds since the epoch.
    pub scheduled_ms: f64,
    /// Not before.
    pub due: Timestamp,
}

/// A job as the scheduler knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: InternalId,
    /// Of the component that scheduled it, whose functions see its document.
    pub namespace: Namespace,
    /// Of the component that the function is in.
    pub target: Namespace,
    pub path: String,
    /// JSON text of the array of arguments.
    pub args_json: String,
    pub stage: JobStage,
    pub due: Timestamp,
    /// How often the system, not the function, has failed.
    pub system_errors: u32,
    /// The name of the cron job whose next run this is; it has no document.
    pub cron: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStage {
    Pending,
    /// An action that was begun: it is never begun again.
    InProgress,
    /// Its document is kept for a while.
    Done,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    Success,
    Failed(String),
    Canceled,
}

impl Transaction {
    /// Schedules a function; returns the id of its document.
    pub fn schedule(&mut self, job: &NewJob) -> Result<DocumentId, CodedError> {
        let table = self.scheduled_functions(job.namespace)?;
        let id = DocumentId::new(table.number, self.new_id());
        let creation_time = self.take_creation_time();
        let document = document::row([
            ("_id", Value::String(id.to_string())),
            ("_creationTime", Value::Float64(creation_time)),
            ("name", Value::String(job.path.clone())),
            ("args", job.args.unpack()),
            ("scheduledTime", Value::Float64(job.scheduled_ms)),
            ("state", state("pending", None)),
        ]);
        self.record_indexes_of(table.tablet);
        self.write(
            table.tablet,
            id.internal,
            Some(document),
            Some((&table, &id)),
        )?;
        self.put_job(&Job {
            id: id.internal,
            namespace: job.namespace,
            target: job.target,
            path: job.path.clone(),
            args_json: hull_value::json::to_string(job.args.as_ref()),
            stage: JobStage::Pending,
            due: job.due,
            system_errors: 0,
            cron: None,
        })?;
        Ok(id)
    }

    /// Looks for a job.
    pub fn job(&mut self, id: InternalId) -> Result<Option<Job>, CodedError> {
        let row = self.system_row(SCHEDULED_JOBS, id)?;
        row.map(|row| Job::parse(id, &row)).transpose()
    }

    /// Jobs that are due by now, the earliest first. Records nothing: whoever
    /// acts on one reads it again.
    pub fn due_jobs(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Job>, CodedError> {
        let until = Timestamp(now.0.saturating_add(1).min(RUNNING.0));
        self.jobs_between(Timestamp(0), until, limit)
    }

    /// Jobs that were running when the process ended.
    pub fn interrupted_jobs(&mut self, limit: usize) -> Result<Vec<Job>, CodedError> {
        self.jobs_between(RUNNING, Timestamp(RUNNING.0 + 1), limit)
    }

    /// When the next job is due.
    pub fn next_job_due(&mut self) -> Result<Option<Timestamp>, CodedError> {
        let next = self.jobs_between(Timestamp(0), RUNNING, 1)?;
        Ok(next.first().map(|job| job.due))
    }

    /// Notes that a job runs: what it does itself sees that.
    pub fn show_job_running(&mut self, job: &Job) -> Result<(), CodedError> {
        self.show(job, state("inProgress", None), None)
    }

    /// Notes that an action was begun.
    pub fn begin_job(&mut self, job: &Job) -> Result<(), CodedError> {
        self.show_job_running(job)?;
        self.put_job(&Job {
            stage: JobStage::InProgress,
            due: RUNNING,
            ..job.clone()
        })
    }

    /// Notes how a job ended.
    pub fn end_job(&mut self, job: &Job, end: &JobEnd, now: Timestamp) -> Result<(), CodedError> {
        let ended = match end {
            JobEnd::Success => state("success", None),
            JobEnd::Failed(error) => state("failed", Some(error)),
            JobEnd::Canceled => state("canceled", None),
        };
        self.show(job, ended, Some(now))?;
        self.put_job(&Job {
            stage: JobStage::Done,
            due: Timestamp(now.0.saturating_add(KEPT_NANOS)),
            args_json: String::new(),
            ..job.clone()
        })
    }

    /// Lets a job wait until `due` after an error of the system.
    pub fn postpone_job(&mut self, job: &Job, due: Timestamp) -> Result<(), CodedError> {
        self.show(job, state("pending", None), None)?;
        self.put_job(&Job {
            due,
            stage: JobStage::Pending,
            system_errors: job.system_errors + 1,
            ..job.clone()
        })
    }

    /// Sets the next run of a cron job.
    pub fn put_cron_run(&mut self, job: &Job) -> Result<(), CodedError> {
        debug_assert!(job.cron.is_some());
        self.put_job(job)
    }

    /// Ends a cron job: there is no next run.
    pub fn remove_cron_run(&mut self, id: InternalId) -> Result<(), CodedError> {
        self.put_system_row(SCHEDULED_JOBS, id, None)
    }

    /// Forgets a job that is done.
    pub fn forget_job(&mut self, job: &Job) -> Result<(), CodedError> {
        let table = self.scheduled_functions(job.namespace)?;
        let id = DocumentId::new(table.number, job.id);
        self.record_indexes_of(table.tablet);
        self.write(table.tablet, job.id, None, Some((&table, &id)))?;
        self.put_system_row(SCHEDULED_JOBS, job.id, None)
    }

    fn jobs_between(
        &mut self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, CodedError> {
        let interval = Interval {
            start: from.0.to_be_bytes().to_vec(),
            end: Some(until.0.to_be_bytes().to_vec()),
        };
        let by_time = ScanTarget::Index(&BY_TIME);
        let rows = self.scan(by_time, &interval, Order::Asc, limit)?;
        rows.iter()
            .map(|row| Job::parse(row.id, &row.value))
            .collect()
    }

    /// Changes the document of a job.
    fn show(
        &mut self,
        job: &Job,
        state: Value,
        completed: Option<Timestamp>,
    ) -> Result<(), CodedError> {
        let table = self.scheduled_functions(job.namespace)?;
        let id = DocumentId::new(table.number, job.id);
        let Some(document) = self.read(table.tablet, job.id)? else {
            return Ok(());
        };
        let Value::Object(mut fields) = document.unpack() else {
            return Err(CodedError::internal(
                "a scheduled function is not an object",
            ));
        };
        fields.insert("state", state);
        if let Some(completed) = completed {
            fields.insert("completedTime", Value::Float64(completed.0 as f64 / 1e6));
        }
        let document = PackedValue::pack(&Value::Object(fields));
        self.record_indexes_of(table.tablet);
        self.write(table.tablet, job.id, Some(document), Some((&table, &id)))
    }

    fn put_job(&mut self, job: &Job) -> Result<(), CodedError> {
        self.put_system_row(SCHEDULED_JOBS, job.id, Some(job.to_row()))
    }

    fn scheduled_functions(&mut self, namespace: Namespace) -> Result<Arc<TableInfo>, CodedError> {
        self.table_by_number(namespace, SCHEDULED_FUNCTIONS_TABLE)
            .ok_or_else(|| CodedError::internal("there is no table of scheduled functions"))
    }
}

impl Job {
    fn parse(id: InternalId, row: &PackedValue) -> Result<Job, CodedError> {
        let row = row.as_ref();
        let malformed = || CodedError::internal("the row of a scheduled job is not readable");
        let number = |field| document::int(row, field).ok_or_else(malformed);
        let text = |field| document::text(row, field).ok_or_else(malformed);
        let namespace = |number| {
            u32::try_from(number)
                .map(Namespace)
                .map_err(|_| malformed())
        };
        let owner = namespace(number("namespace")?)?;
        Ok(Job {
            id,
            namespace: owner,
            // Rows of before there were components have none.
            target: document::int(row, "target").map_or(Ok(owner), namespace)?,
            path: text("path")?.to_owned(),
            args_json: text("args")?.to_owned(),
            stage: match text("stage")? {
                "pending" => JobStage::Pending,
                "inProgress" => JobStage::InProgress,
                "done" => JobStage::Done,
                _ => return Err(malformed()),
            },
            due: due_of(row).ok_or_else(malformed)?,
            system_errors: u32::try_from(number("systemErrors")?).unwrap_or(u32::MAX),
            cron: document::text(row, "cron").map(str::to_owned),
        })
    }

    fn to_row(&self) -> PackedValue {
        let stage = match self.stage {
            JobStage::Pending => "pending",
            JobStage::InProgress => "inProgress",
            JobStage::Done => "done",
        };
        let due = i64::try_from(self.due.0).unwrap_or(i64::MAX);
        document::row([
            ("namespace", Value::Int64(self.namespace.0.into())),
            ("target", Value::Int64(self.target.0.into())),
            ("path", Value::String(self.path.clone())),
            ("args", Value::String(self.args_json.clone())),
            ("stage", Value::String(stage.to_owned())),
            ("due", Value::Int64(due)),
            ("systemErrors", Value::Int64(self.system_errors.into())),
            ("cron", self.cron.clone().map_or(Value::Null, Value::String)),
        ])
    }
}

impl Prepared {
    /// Adds what a commit changes of the jobs' order by time.
    pub(crate) fn add_job_times(&mut self) {
        let mut entries = Vec::new();
        let jobs = self.documents.iter();
        for change in jobs.filter(|change| change.tablet == SCHEDULED_JOBS) {
            let key = |row: &PackedValue| Some(time_key(due_of(row.as_ref())?, change.id));
            let old = change.old.as_ref().and_then(|(_, row)| key(row));
            let new = change.new.as_ref().and_then(key);
            if old != new {
                entries.extend(old.map(|key| (key, change.id, false)));
                entries.extend(new.map(|key| (key, change.id, true)));
            }
        }
        for (key, id, is_new) in entries {
            let key: Arc<[u8]> = key.into();
            let space = KeySpace::Index(SCHEDULED_JOBS_BY_TIME);
            self.touched.push((space, key.clone()));
            self.entries.push(EntryChange {
                index: SCHEDULED_JOBS_BY_TIME,
                key,
                old: (!is_new).then_some(id),
                new: is_new.then_some(id),
            });
        }
    }
}

/// The order by time as scans want it.
static BY_TIME: LazyLock<IndexInfo> = LazyLock::new(|| IndexInfo {
    index: SCHEDULED_JOBS_BY_TIME,
    tablet: SCHEDULED_JOBS,
    name: "by_time".to_owned(),
    spec: IndexSpec::Database { fields: Vec::new() },
    fields: Vec::new(),
    state: IndexState::Enabled,
    staged: false,
});

fn due_of(row: hull_value::ValueRef<'_>) -> Option<Timestamp> {
    let due = document::int(row, "due")?;
    Some(Timestamp(u64::try_from(due).ok()?))
}

fn time_key(due: Timestamp, id: InternalId) -> Vec<u8> {
    [&due.0.to_be_bytes()[..], &id.0].concat()
}

fn state(kind: &str, error: Option<&String>) -> Value {
    let mut fields = hull_value::Object::new();
    fields.insert("kind", Value::String(kind.to_owned()));
    if let Some(error) = error {
        fields.insert("error", Value::String(error.clone()));
    }
    Value::Object(fields)
}
