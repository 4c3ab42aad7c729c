//! From exec to the first answer.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::app::Apps;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server_process::{DataFolder, Server};

const STARTS: usize = 11;

pub(crate) fn run(report: &mut Report, apps: &Apps, binary: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if report.wants("cold-start") {
        let mut times = Histogram::default();
        for _ in 0..STARTS {
            let data = DataFolder::new(binary)?;
            let start = Instant::now();
            let mut server = data.spawn(binary)?;
            // Nothing is deployed, so only a system query has an answer.
            let query = "{\"path\":\"_system/cli/queryEnvironmentVariables\",\"args\":{},\"format\":\"json\"}";
            runtime.block_on(first_answer(&mut server, Some(&data.admin_key), query))?;
            times.add(start.elapsed());
            server.stop()?;
        }
        add(report, "cold-start", &mut times);
    }
    if report.wants("restart") {
        let data = DataFolder::new(binary)?;
        runtime.block_on(data.serve(binary, &apps.main))?.stop()?;
        let mut times = Histogram::default();
        for _ in 0..STARTS {
            let start = Instant::now();
            let mut server = data.spawn(binary)?;
            let query = "{\"path\":\"items:noop\",\"args\":{\"salt\":1},\"format\":\"json\"}";
            runtime.block_on(first_answer(&mut server, None, query))?;
            times.add(start.elapsed());
            server.stop()?;
        }
        add(report, "restart", &mut times);
    }
    Ok(())
}

async fn first_answer(server: &mut Server, admin_key: Option<&str>, query: &str) -> Result<()> {
    let mut client = server.connect().await?;
    let (status, answer) = client.post_as(admin_key, "/api/query", query).await?;
    ensure!(
        status == 200 && answer.contains("\"status\":\"success\""),
        "the first query answered {status}: {answer}"
    );
    Ok(())
}

fn add(report: &mut Report, name: &'static str, times: &mut Histogram) {
    let (p50, slowest) = (times.percentile_ms(0.5), times.percentile_ms(1.0));
    report.add(
        name,
        p50,
        format!("p50 of {STARTS}, slowest {slowest:.0} ms"),
    );
}
