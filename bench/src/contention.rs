//! Many sync clients that increment one counter as fast as they are answered.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::{JoinSet, LocalSet};

use crate::app::Apps;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server_process::{DataFolder, function};
use crate::web_socket::WebSocket;

const CLIENTS: usize = 64;
const LENGTH: Duration = Duration::from_secs(5);
const INCREMENTS_MAX: u64 = 1_000_000;

pub(crate) fn run(report: &mut Report, apps: &Apps, binary: &Path) -> Result<()> {
    if !report.wants("counter") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let data = DataFolder::new(binary)?;
        let mut server = data.serve(binary, &apps.main).await?;
        let mut client = server.connect().await?;
        function(
            &mut client,
            "/api/mutation",
            "counter:set",
            json!({ "value": 0 }),
        )
        .await?;
        let times = Rc::new(RefCell::new(Histogram::default()));
        let started = Instant::now();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn_local(increment(
                server.address,
                number,
                started + LENGTH,
                times.clone(),
            ));
        }
        let (mut total, mut fewest) = (0, u64::MAX);
        while let Some(done) = clients.join_next().await {
            let done = done??;
            total += done;
            fewest = fewest.min(done);
        }
        let rate = total as f64 / started.elapsed().as_secs_f64();
        let value = function(&mut client, "/api/query", "counter:get", json!({})).await?;
        ensure!(
            value.as_f64() == Some(total as f64),
            "the counter is {value} after {total} increments"
        );
        let mut times = times.borrow_mut();
        let detail = format!(
            "p50 {:.1} ms, p99 {:.1} ms, the slowest client {:.0} % of the average, none lost",
            times.percentile_ms(0.5),
            times.percentile_ms(0.99),
            100.0 * fewest as f64 * CLIENTS as f64 / total as f64
        );
        report.add("counter", rate, detail);
        Ok(())
    })
}

/// Returns how many increments were answered.
async fn increment(
    address: SocketAddr,
    number: usize,
    end: Instant,
    times: Rc<RefCell<Histogram>>,
) -> Result<u64> {
    let mut socket = WebSocket::connect(address, number).await?;
    let mut done = 0;
    while Instant::now() < end && done < INCREMENTS_MAX {
        let sent = Instant::now();
        socket
            .send(&format!(
                "{{\"type\":\"Mutation\",\"requestId\":{done},\
                 \"udfPath\":\"counter:increment\",\"args\":[{{}}]}}"
            ))
            .await?;
        loop {
            let text = std::str::from_utf8(socket.next_text().await?)?;
            if text.contains("\"MutationResponse\"") {
                ensure!(text.contains("\"success\":true"), "the server sent {text}");
                break;
            }
            ensure!(!text.contains("Error\""), "the server sent {text}");
        }
        times.borrow_mut().add(sent.elapsed());
        done += 1;
    }
    Ok(done)
}
