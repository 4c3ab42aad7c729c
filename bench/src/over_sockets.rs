//! Subscriptions: how fast they are served, and what they cost while nothing happens.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::task::LocalSet;

use crate::app::Apps;
use crate::histogram::Histogram;
use crate::http_client::HttpClient;
use crate::machine;
use crate::report::Report;
use crate::server_process::{DataFolder, function};
use crate::subscriber::Crowd;

const FEW: usize = 1_000;
const SOME: usize = 2_000;
const MANY: usize = 10_000;
/// How long connections are left alone before memory is looked at.
const SETTLES_IN: Duration = Duration::from_secs(4);
/// Between two commits, so that each finds the server at rest.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn run(report: &mut Report, apps: &Apps, binary: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if report.wants_any(&["fanout-1000-p50", "fanout-1000-p99"]) {
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, few(report, apps, binary))?;
    }
    if report.wants_any(&["connection-2000", "connection-10000", "fanout-10000"]) {
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, many(report, apps, binary))?;
    }
    Ok(())
}

async fn few(report: &mut Report, apps: &Apps, binary: &Path) -> Result<()> {
    let data = DataFolder::new(binary)?;
    let mut server = data.serve(binary, &apps.main).await?;
    let mut client = server.connect().await?;
    let mut crowd = Crowd::new(server.address);
    crowd.grow(FEW, 0).await?;
    let mut times = fan_out(&crowd, FEW, &mut client, 200).await?;
    let (p50, p99) = (times.percentile_ms(0.5), times.percentile_ms(0.99));
    let commits = times.count();
    report.add("fanout-1000-p50", p50, format!("{commits} commits"));
    report.add("fanout-1000-p99", p99, "");
    Ok(())
}

async fn many(report: &mut Report, apps: &Apps, binary: &Path) -> Result<()> {
    let data = DataFolder::new(binary)?;
    let mut server = data.serve(binary, &apps.main).await?;
    let mut client = server.connect().await?;
    let mut crowd = Crowd::new(server.address);
    crowd.grow(1, 0).await?;
    tokio::time::sleep(SETTLES_IN).await;
    let before = server.resident_bytes()?;
    for (name, count) in [("connection-2000", SOME), ("connection-10000", MANY)] {
        if count > machine::connections_max() {
            report.skip(name, "too few open files are allowed");
            report.skip("fanout-10000", "too few open files are allowed");
            return Ok(());
        }
        let start = Instant::now();
        crowd.grow(count, 0).await?;
        let connected = start.elapsed();
        tokio::time::sleep(SETTLES_IN).await;
        let grown = server.resident_bytes()?.saturating_sub(before);
        let each = grown as f64 / (count - 1) as f64 / 1e3;
        let detail = format!(
            "server grew by {:.0} MB; connected in {:.1} s",
            grown as f64 / 1e6,
            connected.as_secs_f64()
        );
        report.add(name, each, detail);
    }
    if report.wants("fanout-10000") {
        let mut times = fan_out(&crowd, MANY, &mut client, 30).await?;
        let (p50, p99) = (times.percentile_ms(0.5), times.percentile_ms(0.99));
        let detail = format!("p99 {p99:.0} ms, {} commits", times.count());
        report.add("fanout-10000", p50, detail);
    }
    Ok(())
}

/// Changes the counter again and again; each time until the last subscriber has the value.
async fn fan_out(
    crowd: &Crowd,
    subscribers: usize,
    client: &mut HttpClient,
    commits: u64,
) -> Result<Histogram> {
    const WARM_UP_COMMITS: u64 = 3;
    let mut times = Histogram::default();
    for value in 1..=commits + WARM_UP_COMMITS {
        tokio::time::sleep(PAUSE).await;
        crowd.expect(value, subscribers);
        let sent = Instant::now();
        let args = json!({ "value": value });
        function(client, "/api/mutation", "counter:set", args).await?;
        let last = crowd.updated().await?;
        if value > WARM_UP_COMMITS {
            times.add(last - sent);
        }
    }
    Ok(times)
}
