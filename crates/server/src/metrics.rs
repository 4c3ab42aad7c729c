//! Counters of this process, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What requests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Query,
    Mutation,
    Action,
    Deploy,
    HttpAction,
    Other,
}

impl RequestKind {
    const ALL: [RequestKind; 6] = [
        RequestKind::Query,
        RequestKind::Mutation,
        RequestKind::Action,
        RequestKind::Deploy,
        RequestKind::HttpAction,
        RequestKind::Other,
    ];

    fn label(self) -> &'static str {
        match self {
            RequestKind::Query => "query",
            RequestKind::Mutation => "mutation",
            RequestKind::Action => "action",
            RequestKind::Deploy => "deploy",
            RequestKind::HttpAction => "http_action",
            RequestKind::Other => "other",
        }
    }
}

const STATUS_CLASSES: usize = 5;

/// Counters of one gateway.
pub(crate) struct Metrics {
    started: Instant,
    requests: [[AtomicU64; STATUS_CLASSES]; RequestKind::ALL.len()],
    pub(crate) sockets_open: AtomicU64,
    pub(crate) sockets_total: AtomicU64,
    pub(crate) socket_messages_received: AtomicU64,
    pub(crate) socket_frames_sent: AtomicU64,
    pub(crate) socket_bytes_sent: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            started: Instant::now(),
            requests: Default::default(),
            sockets_open: AtomicU64::new(0),
            sockets_total: AtomicU64::new(0),
            socket_messages_received: AtomicU64::new(0),
            socket_frames_sent: AtomicU64::new(0),
            socket_bytes_sent: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_request(&self, kind: RequestKind, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, STATUS_CLASSES) - 1;
        self.requests[kind as usize][class].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes everything in the text exposition format, with the deployment's own figures.
    pub(crate) fn render(&self, deployment: &[(&'static str, f64)]) -> String {
        let mut out = String::new();
        write_head(
            &mut out,
            "hull_http_requests_total",
            "counter",
            "HTTP requests answered.",
        );
        for (kind, classes) in RequestKind::ALL.iter().zip(&self.requests) {
            for (class, count) in (1..).zip(classes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let kind = kind.label();
                    let line = format_args!(
                        "hull_http_requests_total{{kind=\"{kind}\",status=\"{class}xx\"}} {count}\n"
                    );
                    out.write_fmt(line)
                        .expect("invariant: writing to a string cannot fail");
                }
            }
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let plain = [
            (
                "hull_sync_sockets_open",
                "gauge",
                "Sync sockets open now.",
                load(&self.sockets_open),
            ),
            (
                "hull_sync_sockets_total",
                "counter",
                "Sync sockets opened.",
                load(&self.sockets_total),
            ),
            (
                "hull_sync_messages_received_total",
                "counter",
                "Messages received on sync sockets.",
                load(&self.socket_messages_received),
            ),
            (
                "hull_sync_frames_sent_total",
                "counter",
                "Frames sent on sync sockets.",
                load(&self.socket_frames_sent),
            ),
            (
                "hull_sync_bytes_sent_total",
                "counter",
                "Payload bytes sent on sync sockets.",
                load(&self.socket_bytes_sent),
            ),
            (
                "hull_uptime_seconds",
                "gauge",
                "Seconds since this server started.",
                self.started.elapsed().as_secs_f64(),
            ),
        ];
        for (name, kind, help, value) in plain {
            write_metric(&mut out, name, kind, help, value);
        }
        for (name, value) in deployment {
            write_metric(
                &mut out,
                name,
                "gauge",
                "A figure of the deployment.",
                *value,
            );
        }
        for (name, kind, help, value) in process_metrics() {
            write_metric(&mut out, name, kind, help, value);
        }
        out
    }
}

fn write_head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
        .expect("invariant: writing to a string cannot fail");
}

fn write_metric(out: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    write_head(out, name, kind, help);
    writeln!(out, "{name} {value}").expect("invariant: writing to a string cannot fail");
}

/// The conventional process metrics, where the system tells them (`/proc`).
fn process_metrics() -> Vec<(&'static str, &'static str, &'static str, f64)> {
    let mut metrics = Vec::new();
    if let Some(kibibytes) = resident_kibibytes() {
        metrics.push((
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            kibibytes * 1024.0,
        ));
    }
    if let Some(seconds) = cpu_seconds() {
        metrics.push((
            "process_cpu_seconds_total",
            "counter",
            "CPU time spent.",
            seconds,
        ));
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        metrics.push((
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            entries.count() as f64,
        ));
    }
    metrics
}

fn resident_kibibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in brackets, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_up_under_their_labels() {
        let metrics = Metrics::new();
        metrics.count_request(RequestKind::Query, http::StatusCode::OK);
        metrics.count_request(RequestKind::Query, http::StatusCode::OK);
        metrics.count_request(RequestKind::Deploy, http::StatusCode::FORBIDDEN);
        let text = metrics.render(&[("hull_queued_jobs", 3.0)]);
        assert!(text.contains("hull_queued_jobs 3\n"));
        assert!(text.contains("hull_http_requests_total{kind=\"query\",status=\"2xx\"} 2\n"));
        assert!(text.contains("hull_http_requests_total{kind=\"deploy\",status=\"4xx\"} 1\n"));
        assert!(!text.contains("mutation"));
        assert!(text.contains("process_resident_memory_bytes "));
        assert!(
            text.lines()
                .all(|line| line.starts_with('#') || line.split(' ').count() == 2)
        );
    }
}
