//! A `hull serve` process to measure.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::app::App;
use crate::http_client::HttpClient;
use crate::machine;
use crate::push;

const NAME: &str = "bench";
/// Of servers that exist for minutes and listen on loopback only.
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// The server to measure: `HULL_BIN`, or the one built from this workspace.
pub(crate) fn find_or_build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("HULL_BIN") {
        let binary = PathBuf::from(given);
        ensure!(
            binary.exists(),
            "HULL_BIN names no file: {}",
            binary.display()
        );
        return Ok(binary);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "hull"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .context("building the server")?;
    ensure!(status.success(), "the server does not build");
    let here = std::env::current_exe()?;
    let binary = here.with_file_name("hull");
    ensure!(
        binary.exists(),
        "no server at {}: set HULL_BIN",
        binary.display()
    );
    Ok(binary)
}

/// A data folder, with or without a server running on it.
#[derive(Clone)]
pub(crate) struct DataFolder {
    folder: Arc<TempDir>,
    pub(crate) admin_key: String,
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl DataFolder {
    pub(crate) fn new(binary: &Path) -> Result<DataFolder> {
        let output = Command::new(binary)
            .args(["keygen", "admin-key"])
            .args(["--instance-name", NAME, "--instance-secret", SECRET])
            .output()
            .context("making an admin key")?;
        ensure!(
            output.status.success(),
            "`hull keygen` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(DataFolder {
            folder: Arc::new(TempDir::new()?),
            admin_key: String::from_utf8(output.stdout)?.trim().to_owned(),
        })
    }

    /// Starts a server and returns without waiting for it.
    pub(crate) fn spawn(&self, binary: &Path) -> Result<Server> {
        let (api, site) = free_ports()?;
        let child = Command::new(binary)
            .args(["serve", "--interface", "127.0.0.1"])
            .args(["--port", &api.port().to_string()])
            .args(["--site-proxy-port", &site.port().to_string()])
            .args(["--instance-name", NAME, "--instance-secret", SECRET])
            .arg(self.folder.path().join("hull.sqlite3"))
            .env("HULL_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .context("starting the server")?;
        Ok(Server {
            child,
            address: api,
        })
    }

    /// Starts a server and pushes an app to it.
    pub(crate) async fn serve(&self, binary: &Path, app: &App) -> Result<Server> {
        let mut server = self.spawn(binary)?;
        let mut client = server.connect().await?;
        self.push(&mut client, app).await?;
        Ok(server)
    }

    /// Pushes an app and returns what `start_push` answered.
    pub(crate) async fn push(&self, client: &mut HttpClient, app: &App) -> Result<Json> {
        let mut request = push::whole_app(app);
        request["adminKey"] = Json::from(&*self.admin_key);
        let started = call(client, "/api/deploy2/start_push", &request).await?;
        let wait = json!({
            "adminKey": self.admin_key,
            "schemaChange": started["schemaChange"],
            "timeoutMs": 10_000,
        });
        let waited = loop {
            let waited = call(client, "/api/deploy2/wait_for_schema", &wait).await?;
            if waited["type"] != "inProgress" {
                break waited;
            }
        };
        ensure!(waited["type"] == "complete", "the schema is not: {waited}");
        let finish = json!({ "adminKey": self.admin_key, "startPush": started, "dryRun": false });
        call(client, "/api/deploy2/finish_push", &finish).await?;
        Ok(started)
    }
}

impl Server {
    /// Connects, as soon as the server listens.
    pub(crate) async fn connect(&mut self) -> Result<HttpClient> {
        const LOOK_EVERY: Duration = Duration::from_micros(200);
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            match HttpClient::connect(self.address).await {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context("the server does not answer"));
                }
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            // Not the runtime's clock, which ticks in milliseconds.
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        machine::resident_bytes(self.child.id())
    }

    /// Ends the server as a signal does, so that its files are complete.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("the server has no id")?, Signal::TERM)?;
        let deadline = Instant::now() + STOPS_WITHIN;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Posts JSON and expects a JSON answer with status 200.
pub(crate) async fn call(client: &mut HttpClient, path: &str, body: &Json) -> Result<Json> {
    let (status, answer) = client.post(path, &body.to_string()).await?;
    ensure!(status == 200, "{path} answered {status}: {answer}");
    Ok(serde_json::from_str(answer)?)
}

/// Calls a function over HTTP and returns its value.
pub(crate) async fn function(
    client: &mut HttpClient,
    kind: &str,
    path: &str,
    args: Json,
) -> Result<Json> {
    let body = json!({ "path": path, "args": args, "format": "json" });
    let mut answer = call(client, kind, &body).await?;
    ensure!(answer["status"] == "success", "{path}: {answer}");
    Ok(answer["value"].take())
}

/// Two ports nobody listens on at the moment.
fn free_ports() -> Result<(SocketAddr, SocketAddr)> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let (api, site) = (listen()?, listen()?);
    Ok((api.local_addr()?, site.local_addr()?))
}
