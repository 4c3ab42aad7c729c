//! Executions and their console lines, kept for those who watch (dashboard spec 8).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::call::Caller;
use crate::clock;

/// Completed executions kept; older ones are forgotten.
pub const ENTRIES_MAX: usize = 1_000;
/// Memory their texts may take, beyond which the oldest are forgotten; the newest stays.
pub const BYTES_MAX: usize = 16 << 20;

/// One console line, or one line of the system about an execution.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    pub level: &'static str,
    /// One text per console argument.
    pub messages: Vec<String>,
    pub is_truncated: bool,
    pub timestamp_ms: i64,
    /// Set for lines of functions called by the function, in a component.
    pub component_path: Option<String>,
    /// Set for lines of functions called by the function.
    pub udf_path: Option<String>,
    /// Set for lines of the system itself, for instance `warning:TooManyReads`.
    pub system_code: Option<String>,
}

impl LogLine {
    pub fn system(level: &'static str, code: &str, message: String, timestamp_ms: i64) -> LogLine {
        LogLine {
            level,
            messages: vec![message],
            is_truncated: false,
            timestamp_ms,
            component_path: None,
            udf_path: None,
            system_code: Some(code.to_owned()),
        }
    }

    /// The form clients of functions get: `[LOG] 'hi'`.
    pub fn to_client_string(&self) -> String {
        let cut = if self.is_truncated {
            " (truncated due to length)"
        } else {
            ""
        };
        format!("[{}] {}{cut}", self.level, self.messages.join(" "))
    }

    /// The form the CLI and dashboards get.
    pub fn to_json(&self) -> Json {
        let mut line = json!({
            "messages": self.messages,
            "isTruncated": self.is_truncated,
            "timestamp": self.timestamp_ms,
            "level": self.level,
            "systemMetadata": self.system_code.as_ref().map(|code| json!({ "code": code })),
        });
        if let Some(path) = &self.component_path {
            line["componentPath"] = json!(path);
        }
        if let Some(path) = &self.udf_path {
            line["udfPath"] = json!(path);
        }
        line
    }
}

/// What an execution read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageStats {
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub read_documents: u64,
    pub write_documents: u64,
}

/// One finished execution of a function.
#[derive(Clone, Debug)]
pub struct Completion {
    pub udf_type: &'static str,
    pub component_path: Option<String>,
    /// `messages:list`; a default export is just `messages`.
    pub identifier: String,
    pub log_lines: Vec<LogLine>,
    /// Seconds since the epoch.
    pub execution_timestamp: f64,
    pub cached_result: bool,
    pub execution_time: Duration,
    pub user_execution_time: Option<Duration>,
    pub error: Option<String>,
    pub request_id: String,
    pub execution_id: Uuid,
    pub parent_execution_id: Option<Uuid>,
    pub caller: Caller,
    pub identity_type: &'static str,
    pub usage: UsageStats,
    pub return_bytes: Option<u64>,
}

impl Completion {
    /// Memory of its texts, all but those of fixed length.
    fn size_bytes(&self) -> usize {
        let lines = self.log_lines.iter();
        let lines: usize = lines
            .flat_map(|line| &line.messages)
            .map(|message| size_of::<String>() + message.len())
            .sum();
        lines + self.error.as_ref().map_or(0, String::len)
    }
}

/// An entry of the stream.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Milliseconds since the epoch, strictly increasing: the cursor.
    pub time_ms: f64,
    pub completion: Completion,
}

/// What a poll asks for.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Entries after this time.
    pub cursor: f64,
    /// Only the entries of one request made over a socket.
    pub session_request: Option<(Uuid, u32)>,
}

#[derive(Clone, Debug)]
pub struct LogPage {
    pub entries: Vec<Arc<LogEntry>>,
    pub new_cursor: f64,
}

/// The ring of recent executions.
#[derive(Default)]
pub struct LogStream {
    ring: Mutex<Ring>,
    grown: Notify,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<Arc<LogEntry>>,
    size_bytes: usize,
    last_time_ms: f64,
}

impl LogStream {
    pub(crate) fn push(&self, completion: Completion, now_ms: f64) {
        let mut ring = self.lock();
        let time_ms = now_ms.max(next_time(ring.last_time_ms));
        ring.last_time_ms = time_ms;
        ring.size_bytes += completion.size_bytes();
        while ring.entries.len() == ENTRIES_MAX || ring.size_bytes > BYTES_MAX {
            let Some(oldest) = ring.entries.pop_front() else {
                break;
            };
            ring.size_bytes -= oldest.completion.size_bytes();
        }
        ring.entries.push_back(Arc::new(LogEntry {
            time_ms,
            completion,
        }));
        drop(ring);
        self.grown.notify_waiters();
    }

    /// Returns the entries after the cursor, waiting up to `timeout` for the first one.
    ///
    /// With cursor 0 and nothing logged yet it answers at once with the present as
    /// the cursor, so that a watcher's next poll sees the first real lines.
    pub async fn poll(&self, query: LogQuery, timeout: Duration) -> LogPage {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let grown = self.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            if let Some(page) = self.page(&query, clock::now_ms()) {
                return page;
            }
            if tokio::time::timeout_at(deadline, grown).await.is_err() {
                return LogPage {
                    entries: Vec::new(),
                    new_cursor: query.cursor,
                };
            }
        }
    }

    fn page(&self, query: &LogQuery, now_ms: f64) -> Option<LogPage> {
        let ring = self.lock();
        if ring.entries.is_empty() && query.cursor == 0.0 {
            return Some(LogPage {
                entries: Vec::new(),
                new_cursor: now_ms,
            });
        }
        let start = ring
            .entries
            .partition_point(|entry| entry.time_ms <= query.cursor);
        if start == ring.entries.len() {
            return None;
        }
        let wanted = query
            .session_request
            .map(|(session, request)| socket_request_id(session, request));
        let entries = ring
            .entries
            .range(start..)
            .filter(|entry| {
                wanted.as_ref().is_none_or(|wanted| {
                    entry.completion.request_id == *wanted
                        && entry.completion.parent_execution_id.is_none()
                })
            })
            .cloned()
            .collect();
        Some(LogPage {
            entries,
            new_cursor: ring.last_time_ms,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogEntry {
    /// The entry as the log endpoints send it. `structured_lines` for the CLI and
    /// dashboards; other clients get strings.
    pub fn to_json(&self, structured_lines: bool) -> Json {
        let completion = &self.completion;
        let lines: Vec<Json> = completion
            .log_lines
            .iter()
            .map(|line| {
                if structured_lines {
                    line.to_json()
                } else {
                    json!(line.to_client_string())
                }
            })
            .collect();
        let usage = completion.usage;
        json!({
            "kind": "Completion",
            "udfType": completion.udf_type,
            "componentPath": completion.component_path,
            "identifier": completion.identifier,
            "logLines": lines,
            "timestamp": self.time_ms / 1000.0,
            "executionTimestamp": completion.execution_timestamp,
            "cachedResult": completion.cached_result,
            "executionTime": completion.execution_time.as_secs_f64(),
            "userExecutionTime": completion.user_execution_time.map(|time| time.as_secs_f64()),
            "success": Json::Null,
            "error": completion.error,
            "requestId": completion.request_id,
            "executionId": completion.execution_id.to_string(),
            "parentExecutionId": completion.parent_execution_id.map(|id| id.to_string()),
            "caller": format!("{:?}", completion.caller),
            "environment": "isolate",
            "identityType": completion.identity_type,
            "returnBytes": completion.return_bytes.map(|bytes| bytes as f64),
            "occInfo": Json::Null,
            "willRetry": false,
            "usageStats": {
                "databaseReadBytes": usage.read_bytes,
                "databaseWriteBytes": usage.write_bytes,
                "databaseIoReadBytes": usage.read_bytes,
                "databaseIoWriteBytes": usage.write_bytes,
                "databaseReadDocuments": usage.read_documents,
                "databaseWriteDocuments": usage.write_documents,
                "storageReadBytes": 0, "storageWriteBytes": 0,
                "vectorIndexReadBytes": 0, "vectorIndexWriteBytes": 0,
                "textIndexQueryBytes": 0, "textIndexWriteQueryBytes": 0,
                "vectorIndexReadQueryBytes": 0, "vectorIndexWriteQueryBytes": 0,
                "networkEgressBytes": 0, "memoryUsedMb": 64,
            },
        })
    }
}

/// The request id of a mutation or action sent over a socket (client protocol spec 1.10).
pub fn socket_request_id(session: Uuid, request: u32) -> String {
    let digest = Sha256::digest(format!("{}|{request}", session.hyphenated()));
    hex::encode(&digest[..8])
}

/// The next time after `time_ms` that survives the trip through the cursor of a query string.
fn next_time(time_ms: f64) -> f64 {
    (time_ms + 0.001).max(time_ms.next_up())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(line_bytes: usize) -> Completion {
        let line = LogLine::system("INFO", "test", "x".repeat(line_bytes), 0);
        Completion {
            udf_type: "Query",
            component_path: None,
            identifier: "a:b".to_owned(),
            log_lines: vec![line],
            execution_timestamp: 0.0,
            cached_result: false,
            execution_time: Duration::ZERO,
            user_execution_time: None,
            error: None,
            request_id: String::new(),
            execution_id: Uuid::nil(),
            parent_execution_id: None,
            caller: Caller::Tester,
            identity_type: "system",
            usage: UsageStats::default(),
            return_bytes: None,
        }
    }

    #[test]
    fn the_stream_is_bounded_in_entries_and_bytes() {
        for (line_bytes, pushes, kept) in [
            (10, ENTRIES_MAX + 5, ENTRIES_MAX),
            (BYTES_MAX / 4, 20, 3),
            (BYTES_MAX + 1, 3, 1),
        ] {
            let stream = LogStream::default();
            for _ in 0..pushes {
                stream.push(completion(line_bytes), 1.0);
            }
            let ring = stream.lock();
            assert_eq!(ring.entries.len(), kept, "lines of {line_bytes} bytes");
            let held = ring.entries.iter();
            let held: usize = held.map(|entry| entry.completion.size_bytes()).sum();
            assert_eq!(ring.size_bytes, held);
        }
    }
}
