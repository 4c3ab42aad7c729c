//! One backend in this process: data file, deployment, ports.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use hull_functions::files::FileStore;
use hull_functions::{Deployment, DeploymentConfig, FunctionLimits};
use hull_server::{Gateway, Server, Shutdown};
use hull_store_sqlite::{SqliteOptions, SqliteStore};

use crate::credentials::Credentials;

/// A deployment that is open, with its ports bound.
pub(crate) struct Backend {
    deployment: Arc<Deployment>,
    gateway: Arc<Gateway>,
    server: Server,
}

/// What a backend is made from.
pub(crate) struct BackendOptions<'a> {
    pub(crate) store: SqliteStore,
    pub(crate) credentials: &'a Credentials,
    /// Ports that are bound already.
    pub(crate) server: Server,
    pub(crate) origins: Origins,
    pub(crate) workers: usize,
    pub(crate) redact_logs_to_client: bool,
    pub(crate) limits: FunctionLimits,
    /// Folder of stored files.
    pub(crate) files: &'a Path,
}

/// The URLs under which functions believe to be reachable.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    pub(crate) cloud: String,
    pub(crate) site: String,
}

impl Origins {
    /// The URLs of ports on this machine.
    pub(crate) fn local(server: &Server) -> anyhow::Result<Origins> {
        Ok(Origins {
            cloud: local_url(server.api_address()?),
            site: local_url(server.site_address()?),
        })
    }
}

impl Backend {
    /// Opens the deployment in a data file.
    pub(crate) fn open(options: BackendOptions<'_>) -> anyhow::Result<Backend> {
        let config = DeploymentConfig {
            name: options.credentials.name.clone(),
            cursor_secret: options.credentials.secret.derive("cursor"),
            cloud_origin: options.origins.cloud,
            site_origin: options.origins.site,
            workers: options.workers,
            redact_logs_to_client: options.redact_logs_to_client,
            limits: options.limits,
            files: FileStore::on_disk(options.files)?,
        };
        let path = options.store.path().to_owned();
        let deployment = Deployment::open(config, Arc::new(options.store))
            .with_context(|| format!("cannot open the deployment in `{}`", path.display()))?;
        let gateway = Gateway::new(
            Arc::clone(&deployment),
            &options.credentials.secret,
            Shutdown::new(),
        );
        Ok(Backend {
            deployment,
            gateway,
            server: options.server,
        })
    }

    /// Serves until `stop` completes, then finishes what runs and flushes.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        self.server.run(self.gateway, stop).await;
        self.deployment.shutdown().await;
    }
}

/// Opens a data file, creating it when missing. Done before anything else is made
/// beside it: a file that is refused is left as it is.
pub(crate) fn open_store(path: &Path) -> anyhow::Result<SqliteStore> {
    Ok(SqliteStore::open(path, SqliteOptions::default())?)
}

/// Threads that run functions unless told otherwise.
pub(crate) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Starts the runtime that serves connections. Functions run on threads of their own.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    const STACK_SIZE: usize = 1 << 20;
    const BLOCKING_THREADS_MAX: usize = 16;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(default_workers())
        .thread_stack_size(STACK_SIZE);
    builder
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("hull-io")
        .enable_all();
    builder.build().context("cannot start threads")
}

fn local_url(address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_reachable_addresses() {
        let check = |address: &str, expected: &str| {
            assert_eq!(local_url(address.parse().unwrap()), expected)
        };
        check("0.0.0.0:3210", "http://127.0.0.1:3210");
        check("192.168.1.7:80", "http://192.168.1.7:80");
        check("[::1]:3210", "http://[::1]:3210");
    }
}
