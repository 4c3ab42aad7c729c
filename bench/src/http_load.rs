//! Many clients that ask as fast as they are answered.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::{JoinSet, LocalSet};

use crate::histogram::Histogram;
use crate::http_client::HttpClient;

/// How one line is loaded.
pub(crate) struct HttpLoad {
    pub(crate) clients: usize,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

/// The line ends early after so many answers.
const ANSWERS_MAX: usize = 2_000_000;

#[derive(Default)]
pub(crate) struct LoadOutcome {
    /// Good answers per second.
    pub(crate) rate: f64,
    pub(crate) latencies: Histogram,
    /// Answers that are not a success.
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
}

impl LoadOutcome {
    /// Latencies and errors in words.
    pub(crate) fn detail(&mut self) -> String {
        let mut text = format!(
            "p50 {:.1} ms, p99 {:.1} ms, {} errors",
            self.latencies.percentile_ms(0.5),
            self.latencies.percentile_ms(0.99),
            self.errors
        );
        if let Some(error) = &self.first_error {
            text.push_str(": ");
            text.push_str(error);
        }
        text
    }
}

/// What is asked: writes the body of the next request.
pub(crate) trait Ask: FnMut(&mut String) + 'static {}
impl<F: FnMut(&mut String) + 'static> Ask for F {}

impl HttpLoad {
    /// Posts bodies from `ask` to `path`; answers during the warm-up do not count.
    pub(crate) fn run(
        &self,
        address: SocketAddr,
        path: &'static str,
        ask: impl Ask,
    ) -> Result<LoadOutcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, self.drive(address, path, ask))
    }

    async fn drive(
        &self,
        address: SocketAddr,
        path: &'static str,
        ask: impl Ask,
    ) -> Result<LoadOutcome> {
        let outcome = Rc::new(RefCell::new(LoadOutcome::default()));
        let ask = Rc::new(RefCell::new(ask));
        let counted_from = Instant::now() + self.warm_up;
        let end = counted_from + self.length;
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            let mut client = HttpClient::connect(address).await?;
            let (outcome, ask) = (outcome.clone(), ask.clone());
            clients.spawn_local(async move {
                let mut body = String::new();
                loop {
                    body.clear();
                    (*ask.borrow_mut())(&mut body);
                    let sent = Instant::now();
                    let (status, answer) = client.post(path, &body).await?;
                    let now = Instant::now();
                    let mut outcome = outcome.borrow_mut();
                    if status != 200 || !answer.contains("\"status\":\"success\"") {
                        outcome.errors += 1;
                        outcome
                            .first_error
                            .get_or_insert_with(|| format!("{status} {}", shorten(answer)));
                    } else if now >= counted_from && now < end {
                        outcome.latencies.add(now - sent);
                    }
                    if now >= end || outcome.latencies.count() >= ANSWERS_MAX {
                        return anyhow::Ok(now);
                    }
                }
            });
        }
        let mut ended = end;
        while let Some(client) = clients.join_next().await {
            ended = ended.min(client??);
        }
        let mut outcome = std::mem::take(&mut *outcome.borrow_mut());
        outcome.rate = outcome.latencies.count() as f64 / (ended - counted_from).as_secs_f64();
        Ok(outcome)
    }
}

fn shorten(answer: &str) -> String {
    answer.replace(['\n', '|'], " ").chars().take(200).collect()
}
