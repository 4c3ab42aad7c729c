//! Cron jobs: what `crons.ts` has run again and again (function runtime spec 8.1, 8.2).
//!
//! A job is a row of `CRON_JOBS`, its next run a row among the scheduled
//! functions, with an id that follows from its name. Its last runs are kept in
//! rows that are written over in turn.

use chrono::{DateTime, TimeZone, Utc};
use croner::Cron;
use croner::parser::CronParser;
use hull_engine::{Job, JobEnd, JobStage, Namespace, Transaction, document, system};
use hull_value::{CodedError, InternalId, Timestamp, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::logs::LogLine;

/// Runs of a job that are kept.
const LOGS_MAX: u64 = 5;
/// Longest result, and longest log lines in all, that are kept of a run.
const LOG_CHARS_MAX: usize = 1_000;
/// Runs at one minute begin anywhere within it, and those at any minute of an
/// hour within the hour, so that not all jobs of the world begin together.
const SPREAD_MINUTE_S: u64 = 60;
const SPREAD_HOUR_S: u64 = 3_600;

/// A cron job as `crons.ts` defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CronSpec {
    pub(crate) udf_path: String,
    /// JSON text of the array of arguments.
    pub(crate) udf_args: String,
    pub(crate) cron_schedule: Schedule,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Schedule {
    Interval {
        seconds: u64,
    },
    Hourly {
        #[serde(rename = "minuteUTC")]
        minute: Option<u8>,
    },
    Daily {
        #[serde(rename = "hourUTC")]
        hour: u8,
        #[serde(rename = "minuteUTC")]
        minute: Option<u8>,
    },
    Weekly {
        /// 0 is Sunday.
        day_of_week: u8,
        #[serde(rename = "hourUTC")]
        hour: u8,
        #[serde(rename = "minuteUTC")]
        minute: Option<u8>,
    },
    Monthly {
        day: u8,
        #[serde(rename = "hourUTC")]
        hour: u8,
        #[serde(rename = "minuteUTC")]
        minute: Option<u8>,
    },
    Cron {
        cron_expr: String,
    },
}

#[derive(Deserialize)]
struct Exported {
    identifier: String,
    spec: CronSpec,
}

impl Schedule {
    /// The next run after `now`, `None` if there is none any more.
    fn next_after(&self, now: Timestamp, name: &str) -> Result<Option<Timestamp>, CodedError> {
        let (pattern, spread) = match self {
            Schedule::Interval { seconds } => {
                return Ok(Some(Timestamp(
                    now.0.saturating_add(seconds.saturating_mul(1_000_000_000)),
                )));
            }
            Schedule::Hourly { minute } => at(*minute, "*", "* * *"),
            Schedule::Daily { hour, minute } => at(*minute, &hour.to_string(), "* * *"),
            Schedule::Weekly {
                day_of_week,
                hour,
                minute,
            } => at(*minute, &hour.to_string(), &format!("* * {day_of_week}")),
            Schedule::Monthly { day, hour, minute } => {
                at(*minute, &hour.to_string(), &format!("{day} * *"))
            }
            Schedule::Cron { cron_expr } => (cron_expr.clone(), SPREAD_MINUTE_S),
        };
        let cron = parse(&pattern)?;
        // The same for all runs of one job.
        let digest = Sha256::digest(name.as_bytes());
        let number = u64::from_be_bytes(digest[..8].try_into().unwrap_or_default());
        let delay = (number % spread) * 1_000_000_000;
        let from = utc(Timestamp(now.0.saturating_sub(delay)));
        let next = cron.find_next_occurrence(&from, false).ok();
        Ok(next
            .and_then(|next| next.timestamp_nanos_opt())
            .and_then(|nanos| u64::try_from(nanos).ok())
            .map(|nanos| Timestamp(nanos + delay)))
    }

    fn check(&self, name: &str) -> Result<(), CodedError> {
        match self.next_after(clock::now(), name)? {
            Some(_) => Ok(()),
            None => Err(invalid(
                name,
                &format!("The cron spec {} will never match any time", json!(self)),
            )),
        }
    }
}

/// A pattern at a minute, or at any of an hour, and over how many seconds it is spread.
fn at(minute: Option<u8>, hour: &str, days: &str) -> (String, u64) {
    match minute {
        Some(minute) => (format!("{minute} {hour} {days}"), SPREAD_MINUTE_S),
        None => (format!("0 {hour} {days}"), SPREAD_HOUR_S),
    }
}

fn parse(pattern: &str) -> Result<Cron, CodedError> {
    // Five fields: no seconds, no years.
    if pattern.split_whitespace().count() != 5 {
        return Err(CodedError::bad_request(
            "InvalidCron",
            format!("The cron spec \"{pattern}\" must have five fields"),
        ));
    }
    CronParser::new().parse(pattern).map_err(|error| {
        CodedError::bad_request(
            "InvalidCron",
            format!("The cron spec \"{pattern}\" is invalid: {error}"),
        )
    })
}

fn utc(ts: Timestamp) -> DateTime<Utc> {
    Utc.timestamp_nanos(i64::try_from(ts.0).unwrap_or(i64::MAX))
}

fn invalid(name: &str, why: &str) -> CodedError {
    CodedError::bad_request("InvalidCron", format!("Invalid cron job \"{name}\": {why}"))
}

/// Reads what the analysis of `crons.js` gave, and checks it.
pub(crate) fn parse_specs(specs: &Json) -> Result<Vec<(String, CronSpec)>, CodedError> {
    let exported: Vec<Exported> = serde_json::from_value(specs.clone()).map_err(|error| {
        CodedError::bad_request(
            "InvalidCron",
            format!("The cron jobs are not readable: {error}"),
        )
    })?;
    exported
        .into_iter()
        .map(|Exported { identifier, spec }| {
            spec.cron_schedule.check(&identifier)?;
            Ok((identifier, spec))
        })
        .collect()
}

fn job_row(namespace: Namespace, name: &str) -> InternalId {
    row_of(namespace, b"cron job", &[name.as_bytes()])
}

fn run_row(namespace: Namespace, name: &str) -> InternalId {
    row_of(namespace, b"cron run", &[name.as_bytes()])
}

fn log_row(namespace: Namespace, name: &str, at: u64) -> InternalId {
    row_of(
        namespace,
        b"cron log",
        &[name.as_bytes(), &at.to_be_bytes()],
    )
}

fn row_of(namespace: Namespace, what: &[u8], which: &[&[u8]]) -> InternalId {
    let bytes = namespace.0.to_be_bytes();
    // The app's rows are older than components.
    let component: &[u8] = match namespace {
        Namespace::ROOT => b"",
        _ => &bytes,
    };
    system::row_id(&[&[what, component], which].concat())
}

/// Puts the cron jobs of a component in the place of those before; returns what changed.
pub(crate) fn replace(
    transaction: &mut Transaction,
    namespace: Namespace,
    specs: &[(String, CronSpec)],
) -> Result<Json, CodedError> {
    let mut known = std::collections::BTreeMap::new();
    for (_, row) in transaction.system_rows(system::CRON_JOBS) {
        if document::int(row.as_ref(), "namespace") != Some(namespace.0.into()) {
            continue;
        }
        let (name, spec) = parse_row(&row)?;
        known.insert(name, spec);
    }
    let (mut added, mut updated) = (Vec::new(), Vec::new());
    for (name, spec) in specs {
        let before = known.remove(name);
        if before.as_ref() == Some(spec) {
            continue;
        }
        let text = serde_json::to_string(spec)
            .map_err(|error| CodedError::internal(format!("a cron job: {error}")))?;
        let row = document::row([
            ("namespace", Value::Int64(namespace.0.into())),
            ("name", Value::String(name.clone())),
            ("spec", Value::String(text)),
        ]);
        transaction.put_system_row(system::CRON_JOBS, job_row(namespace, name), Some(row))?;
        let schedule = &spec.cron_schedule;
        let is_rescheduled = before
            .as_ref()
            .is_none_or(|before| before.cron_schedule != *schedule);
        let running = transaction.job(run_row(namespace, name))?;
        let due = match &running {
            Some(running) if !is_rescheduled => Some(running.due),
            _ => match schedule {
                // Intervals begin with the push.
                Schedule::Interval { .. } => Some(clock::now()),
                schedule => schedule.next_after(clock::now(), name)?,
            },
        };
        if let Some(due) = due {
            put_run(transaction, namespace, name, spec, due)?;
        }
        match before {
            Some(_) => updated.push(name.clone()),
            None => added.push(name.clone()),
        }
    }
    let deleted: Vec<String> = known.into_keys().collect();
    for name in &deleted {
        transaction.put_system_row(system::CRON_JOBS, job_row(namespace, name), None)?;
        transaction.remove_cron_run(run_row(namespace, name))?;
        for at in 0..LOGS_MAX {
            transaction.put_system_row(
                system::CRON_JOB_LOGS,
                log_row(namespace, name, at),
                None,
            )?;
        }
    }
    Ok(json!({ "added": added, "updated": updated, "deleted": deleted }))
}

fn parse_row(row: &hull_value::PackedValue) -> Result<(String, CronSpec), CodedError> {
    let malformed = || CodedError::internal("the row of a cron job is not readable");
    let row = row.as_ref();
    let name = document::text(row, "name").ok_or_else(malformed)?;
    let spec = document::text(row, "spec").ok_or_else(malformed)?;
    let spec = serde_json::from_str(spec).map_err(|_| malformed())?;
    Ok((name.to_owned(), spec))
}

fn put_run(
    transaction: &mut Transaction,
    namespace: Namespace,
    name: &str,
    spec: &CronSpec,
    due: Timestamp,
) -> Result<(), CodedError> {
    transaction.put_cron_run(&Job {
        id: run_row(namespace, name),
        namespace,
        target: namespace,
        path: spec.udf_path.clone(),
        args_json: spec.udf_args.clone(),
        stage: JobStage::Pending,
        due,
        system_errors: 0,
        cron: Some(name.to_owned()),
    })
}

/// Notes how a run ended, and when the next one is.
pub(crate) fn finish(
    transaction: &mut Transaction,
    job: &Job,
    name: &str,
    end: &JobEnd,
    result: Option<&hull_value::PackedValue>,
    log_lines: &[LogLine],
) -> Result<(), CodedError> {
    let Some(row) = transaction.system_row(system::CRON_JOBS, job_row(job.target, name))? else {
        // Not any more among the cron jobs.
        return transaction.remove_cron_run(job.id);
    };
    let (_, spec) = parse_row(&row)?;
    let now = clock::now();
    let status = match end {
        JobEnd::Success => {
            let text = result.map(|value| hull_value::json::to_string(value.as_ref()));
            json!({ "type": "success", "result": truncated(text.unwrap_or_else(|| "null".to_owned())) })
        }
        JobEnd::Failed(error) => json!({ "type": "err", "error": error }),
        JobEnd::Canceled => json!({ "type": "canceled", "num_canceled": 1 }),
    };
    log(transaction, name, &spec, job, &status, log_lines)?;
    let next = match &spec.cron_schedule {
        Schedule::Interval { seconds } => {
            let period = seconds.saturating_mul(1_000_000_000).max(1);
            // An action's job is not due while it runs: it began about now.
            let before = if job.due.0 > now.0 { now } else { job.due };
            let missed = (now.0 - before.0) / period;
            if missed > 0 {
                tracing::warn!(
                    cron = name,
                    "Skipping {missed} run(s) of job {name} because multiple scheduled runs are in the past"
                );
                let status = json!({ "type": "canceled", "num_canceled": missed });
                log(transaction, name, &spec, job, &status, &[])?;
            }
            Some(Timestamp(before.0 + (missed + 1) * period))
        }
        schedule => schedule.next_after(now, name)?,
    };
    match next {
        Some(next) => put_run(transaction, job.target, name, &spec, next),
        None => transaction.remove_cron_run(job.id),
    }
}

/// Writes a run over the oldest one that is kept.
fn log(
    transaction: &mut Transaction,
    name: &str,
    spec: &CronSpec,
    job: &Job,
    status: &Json,
    log_lines: &[LogLine],
) -> Result<(), CodedError> {
    let mut oldest = (i64::MAX, 0);
    for at in 0..LOGS_MAX {
        let row = transaction.system_row(system::CRON_JOB_LOGS, log_row(job.target, name, at))?;
        let ts = row.and_then(|row| document::int(row.as_ref(), "ts"));
        oldest = oldest.min((ts.unwrap_or(i64::MIN), at));
    }
    let mut lines = Vec::new();
    let mut left = LOG_CHARS_MAX;
    for line in log_lines {
        let text = line.to_client_string();
        let Some(rest) = left.checked_sub(text.len()) else {
            break;
        };
        left = rest;
        lines.push(Value::String(text));
    }
    let is_truncated = lines.len() < log_lines.len();
    let row = document::row([
        ("name", Value::String(name.to_owned())),
        (
            "ts",
            Value::Int64(i64::try_from(clock::now().0).unwrap_or(i64::MAX)),
        ),
        ("udfPath", Value::String(spec.udf_path.clone())),
        ("udfArgs", Value::String(job.args_json.clone())),
        ("status", Value::String(status.to_string())),
        ("logLines", Value::Array(lines)),
        ("isTruncated", Value::Boolean(is_truncated)),
    ]);
    transaction.put_system_row(
        system::CRON_JOB_LOGS,
        log_row(job.target, name, oldest.1),
        Some(row),
    )
}

fn truncated(text: String) -> Json {
    if text.chars().count() <= LOG_CHARS_MAX {
        let value: Json = serde_json::from_str(&text).unwrap_or_default();
        return json!({ "type": "default", "value": value });
    }
    let text: String = text.chars().take(LOG_CHARS_MAX).collect();
    json!({ "type": "truncated", "truncated_log": text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `2026-01-31T12:30:15Z`, a Saturday.
    const NOW: Timestamp = Timestamp(1_769_862_615_000_000_000);

    fn next(schedule: Json) -> String {
        let schedule: Schedule = serde_json::from_value(schedule).unwrap();
        let spread = match schedule {
            Schedule::Hourly { minute: None } => SPREAD_HOUR_S,
            _ => SPREAD_MINUTE_S,
        };
        let due = schedule.next_after(NOW, "job").unwrap().unwrap();
        let digest = Sha256::digest(b"job");
        let delay = u64::from_be_bytes(digest[..8].try_into().unwrap()) % spread;
        let exact = Timestamp(due.0 - delay * 1_000_000_000);
        utc(exact).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    #[test]
    fn the_next_run_of_each_kind() {
        for (schedule, expected) in [
            (
                json!({ "type": "hourly", "minuteUTC": 17 }),
                "2026-01-31 13:17:00",
            ),
            (
                json!({ "type": "hourly", "minuteUTC": 45 }),
                "2026-01-31 12:45:00",
            ),
            (
                json!({ "type": "daily", "hourUTC": 12, "minuteUTC": 45 }),
                "2026-01-31 12:45:00",
            ),
            (
                json!({ "type": "daily", "hourUTC": 3, "minuteUTC": 0 }),
                "2026-02-01 03:00:00",
            ),
            (
                json!({ "type": "weekly", "dayOfWeek": 1, "hourUTC": 0, "minuteUTC": 0 }),
                "2026-02-02 00:00:00",
            ),
            (
                json!({ "type": "weekly", "dayOfWeek": 0, "hourUTC": 9, "minuteUTC": 5 }),
                "2026-02-01 09:05:00",
            ),
            // No month is made up: the 31st comes in March again.
            (
                json!({ "type": "monthly", "day": 31, "hourUTC": 0, "minuteUTC": 0 }),
                "2026-03-31 00:00:00",
            ),
            (
                json!({ "type": "cron", "cronExpr": "0 0 * * *" }),
                "2026-02-01 00:00:00",
            ),
            (
                json!({ "type": "cron", "cronExpr": "*/20 * * * *" }),
                "2026-01-31 12:40:00",
            ),
            (
                json!({ "type": "cron", "cronExpr": "0 0 L * *" }),
                "2026-02-28 00:00:00",
            ),
            (
                json!({ "type": "cron", "cronExpr": "0 12 * * 0" }),
                "2026-02-01 12:00:00",
            ),
            (
                json!({ "type": "cron", "cronExpr": "0 12 * * MON-FRI" }),
                "2026-02-02 12:00:00",
            ),
            (
                json!({ "type": "cron", "cronExpr": "0 0 * FEB MON#2" }),
                "2026-02-09 00:00:00",
            ),
        ] {
            assert_eq!(next(schedule.clone()), expected, "{schedule}");
        }
    }

    #[test]
    fn what_never_comes_or_is_no_pattern_is_refused() {
        for (pattern, text) in [
            ("0 0 30 2 *", "will never match any time"),
            ("0 0 * *", "must have five fields"),
            ("0 0 0 * * *", "must have five fields"),
            ("61 * * * *", "is invalid"),
            ("x * * * *", "is invalid"),
        ] {
            let specs = json!([{ "identifier": "job", "spec": {
                "udfPath": "a.js:b", "udfArgs": "[]",
                "cronSchedule": { "type": "cron", "cronExpr": pattern },
            } }]);
            let error = parse_specs(&specs).unwrap_err();
            assert_eq!(error.code, "InvalidCron");
            assert!(error.message.contains(text), "{}", error.message);
        }
    }
}
