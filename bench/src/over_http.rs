//! Queries and mutations over HTTP against a server process.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value as Json, json};

use crate::app::{App, Apps};
use crate::http_client::HttpClient;
use crate::http_load::{Ask, HttpLoad, LoadOutcome};
use crate::report::Report;
use crate::server_process::{DataFolder, Server, function};
use crate::zipf::{Random, Zipf};

const QUERY: &str = "/api/query";
const MUTATION: &str = "/api/mutation";
const LINES: &[&str] = &[
    "query",
    "cached",
    "insert",
    "transfer",
    "transfer-zipf",
    "backfill-p99",
    "idle-memory",
    "memory-after-load",
];

const SETTLES_IN: Duration = Duration::from_secs(3);
const MINUTE: Duration = Duration::from_secs(60);
const ITEMS: usize = 1_000;
const ACCOUNTS: usize = 100_000;
const ACCOUNTS_PER_BATCH: usize = 2_000;
const BALANCE: f64 = 1_000.0;

/// The server, kept to look at its memory later.
pub(crate) struct Loaded {
    server: Server,
    _data: DataFolder,
    ended: Instant,
}

impl Loaded {
    /// Waits for the end of the minute and looks.
    pub(crate) fn measure_memory(self, report: &mut Report) -> Result<()> {
        if report.wants("memory-after-load") {
            std::thread::sleep(MINUTE.saturating_sub(self.ended.elapsed()));
            let waited = self.ended.elapsed().as_secs();
            let resident = self.server.resident_bytes()? as f64 / 1e6;
            report.add("memory-after-load", resident, format!("{waited} s after"));
        }
        self.server.stop()
    }
}

pub(crate) fn run(report: &mut Report, apps: &Apps, binary: &Path) -> Result<Option<Loaded>> {
    if !report.wants_any(LINES) {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let data = DataFolder::new(binary)?;
    let mut server = runtime.block_on(data.serve(binary, &apps.main))?;
    if report.wants("idle-memory") {
        std::thread::sleep(SETTLES_IN);
        let resident = server.resident_bytes()? as f64 / 1e6;
        report.add("idle-memory", resident, "after a push and three seconds");
    }
    let mut client = runtime.block_on(server.connect())?;
    // For the memory after load alone, everything is loaded.
    let is_all = report.wants("memory-after-load");
    if is_all || report.wants_any(&["query", "cached"]) {
        let ids = runtime.block_on(seed_items(&mut client))?;
        queries(report, &server, ids)?;
    }
    if is_all || report.wants("insert") {
        let outcome = load(32).run(server.address, MUTATION, inserts())?;
        rate(report, "insert", outcome)?;
    }
    if report.wants("backfill-p99") && !report.wants_any(&["transfer", "transfer-zipf"]) {
        runtime.block_on(seed_accounts(&mut client))?;
    }
    if is_all || report.wants_any(&["transfer", "transfer-zipf"]) {
        let ids = runtime.block_on(seed_accounts(&mut client))?;
        let uniform = load(64).run(server.address, MUTATION, transfers(&ids, 0.0))?;
        let uniform_rate = uniform.rate;
        rate(report, "transfer", uniform)?;
        let mut zipf = load(64).run(server.address, MUTATION, transfers(&ids, 1.5))?;
        ensure!(uniform_rate > 0.0, "no transfer succeeded");
        let share = 100.0 * zipf.rate / uniform_rate;
        let rate = zipf.rate;
        let detail = format!("{rate:.0}/s, {}", zipf.detail());
        report.add("transfer-zipf", share, detail);
        runtime.block_on(check_balances(&mut client))?;
    }
    if report.wants("backfill-p99") {
        let before = load(32).run(server.address, MUTATION, inserts())?;
        let built = start_index_build(&data, server.address, &apps.main);
        let mut meanwhile = load(32).run(server.address, MUTATION, inserts())?;
        let built = built
            .join()
            .map_err(|_| anyhow!("the push panicked"))?
            .context("pushing an index")?;
        let detail = format!(
            "p99 {:.1} ms before; {}; the index took {:.1} s, the load {:.0} s",
            { before }.latencies.percentile_ms(0.99),
            meanwhile.detail(),
            built.as_secs_f64(),
            load(32).length.as_secs_f64()
        );
        report.add(
            "backfill-p99",
            meanwhile.latencies.percentile_ms(0.99),
            detail,
        );
    }
    Ok(Some(Loaded {
        server,
        _data: data,
        ended: Instant::now(),
    }))
}

fn load(clients: usize) -> HttpLoad {
    HttpLoad {
        clients,
        warm_up: Duration::from_secs(1),
        length: Duration::from_secs(6),
    }
}

fn rate(report: &mut Report, name: &'static str, mut outcome: LoadOutcome) -> Result<()> {
    if outcome.latencies.count() == 0 {
        bail!("no answer was a success: {}", outcome.detail());
    }
    let detail = outcome.detail();
    report.add(name, outcome.rate, detail);
    Ok(())
}

/// Pushes an index of the accounts from another thread; returns how long it took.
fn start_index_build(
    data: &DataFolder,
    address: SocketAddr,
    app: &App,
) -> JoinHandle<Result<Duration>> {
    // The bundler shortens other names, but not those of tables and fields.
    let line = |line: &str| {
        if line.trim_start().starts_with("accounts: ") {
            format!("{line}.index(\"by_owner\", [\"owner\"])")
        } else {
            line.to_owned()
        }
    };
    let mut app = app.clone();
    for module in app.iter_mut().filter(|module| module.path == "schema.js") {
        let lines: Vec<String> = module.source.lines().map(line).collect();
        module.source = lines.join("\n");
    }
    let data = data.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let started = Instant::now();
            let mut client = HttpClient::connect(address).await?;
            let push = data.push(&mut client, &app).await?;
            let added = &push["schemaChange"]["indexDiffs"][""]["added_indexes"];
            ensure!(
                added.as_array().is_some_and(|added| !added.is_empty()),
                "the push adds no index: {}",
                push["schemaChange"]
            );
            Ok(started.elapsed())
        })
    })
}

async fn seed_items(client: &mut HttpClient) -> Result<Vec<String>> {
    let args = json!({ "group": 1, "count": ITEMS });
    ids(function(client, MUTATION, "items:seed", args).await?)
}

fn queries(report: &mut Report, server: &Server, ids: Vec<String>) -> Result<()> {
    let body = |id: &str, salt: u64| {
        format!(
            "{{\"path\":\"items:get\",\"args\":{{\"id\":\"{id}\",\"salt\":{salt}}},\"format\":\"json\"}}"
        )
    };
    let first = ids.first().cloned().context("no items")?;
    let mut random = Random::new(1);
    let mut salt = 0;
    let uncached = move |text: &mut String| {
        salt += 1;
        let id = &ids[random.next() as usize % ids.len()];
        text.push_str(&body(id, salt));
    };
    let outcome = load(32).run(server.address, QUERY, uncached)?;
    rate(report, "query", outcome)?;
    let same = body(&first, 0);
    let cached = move |text: &mut String| text.push_str(&same);
    let outcome = load(32).run(server.address, QUERY, cached)?;
    rate(report, "cached", outcome)
}

fn inserts() -> impl Ask {
    let mut n = 0_u64;
    move |text: &mut String| {
        n += 1;
        text.push_str(&format!(
            "{{\"path\":\"notes:insert\",\"args\":{{\"author\":\"somebody\",\
             \"body\":\"a few words, as in a chat\",\"n\":{n}}},\"format\":\"json\"}}"
        ));
    }
}

async fn seed_accounts(client: &mut HttpClient) -> Result<Vec<String>> {
    let mut all = Vec::with_capacity(ACCOUNTS);
    while all.len() < ACCOUNTS {
        let args = json!({ "from": all.len(), "count": ACCOUNTS_PER_BATCH, "balance": BALANCE });
        all.extend(ids(
            function(client, MUTATION, "accounts:seed", args).await?
        )?);
    }
    Ok(all)
}

fn transfers(ids: &[String], exponent: f64) -> impl Ask + use<> {
    let ids = ids.to_vec();
    let zipf = Zipf::new(ids.len(), exponent);
    let mut random = Random::new(2);
    move |text: &mut String| {
        let (from, to) = zipf.draw_two(&mut random);
        let (from, to) = (&ids[from], &ids[to]);
        text.push_str(&format!(
            "{{\"path\":\"accounts:transfer\",\"args\":{{\"from\":\"{from}\",\"to\":\"{to}\",\
             \"amount\":1}},\"format\":\"json\"}}"
        ));
    }
}

/// A transfer moves money and makes none.
async fn check_balances(client: &mut HttpClient) -> Result<()> {
    let (mut sum, mut cursor) = (0.0, Json::Null);
    loop {
        let args = json!({ "cursor": cursor });
        let mut page = function(client, QUERY, "accounts:sum", args).await?;
        sum += page["sum"].as_f64().context("no sum")?;
        if page["isDone"] == true {
            break;
        }
        cursor = page["continueCursor"].take();
    }
    let expected = ACCOUNTS as f64 * BALANCE;
    ensure!(
        sum == expected,
        "the accounts hold {sum} instead of {expected}"
    );
    Ok(())
}

fn ids(value: Json) -> Result<Vec<String>> {
    Ok(serde_json::from_value(value)?)
}
