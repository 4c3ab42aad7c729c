//! `hull serve`.

use std::net::SocketAddr;

use anyhow::bail;

use hull_server::Server;

use crate::backend::{Backend, BackendOptions, Origins, default_workers, open_store, runtime};
use crate::cli::{Database, ServeArguments};
use crate::credentials::Credentials;
use crate::{logging, process};

/// Name of a deployment that was given none.
const DEFAULT_NAME: &str = "hull";

pub(crate) fn run(arguments: Box<ServeArguments>) -> anyhow::Result<()> {
    logging::start("info");
    process::raise_open_files_limit();
    runtime()?.block_on(serve(*arguments))
}

async fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    check_supported(&arguments)?;
    let termination = process::termination();
    let api = SocketAddr::new(arguments.interface, arguments.port);
    let site = SocketAddr::new(arguments.interface, arguments.site_proxy_port);
    let server = Server::bind(api, site).await?;
    let origins = match (&arguments.convex_origin, &arguments.convex_site) {
        (Some(cloud), Some(site)) => Origins {
            cloud: trim(cloud),
            site: trim(site),
        },
        _ => Origins::local(&server)?,
    };
    let store = open_store(&arguments.db_path)?;
    let credentials = match (&arguments.instance_name, &arguments.instance_secret) {
        (Some(name), Some(secret)) => Credentials::given(name, secret)?,
        _ => Credentials::kept_or_made(&arguments.db_path, DEFAULT_NAME)?,
    };
    let files = match &arguments.local_storage {
        Some(folder) => folder.clone(),
        None => arguments.db_path.with_file_name("storage"),
    };
    let backend = Backend::open(BackendOptions {
        store,
        credentials: &credentials,
        server,
        origins: origins.clone(),
        workers: arguments.workers.map_or_else(default_workers, usize::from),
        redact_logs_to_client: arguments.redact_logs_to_client,
        limits: arguments.limits.to_function_limits(),
        files: &files,
    })?;
    announce(&origins, &credentials)?;
    backend
        .run(async {
            if let Err(error) = termination.await {
                tracing::error!("cannot wait for signals: {error}");
            }
        })
        .await;
    Ok(())
}

fn check_supported(arguments: &ServeArguments) -> anyhow::Result<()> {
    if arguments.db != Database::Sqlite {
        bail!("only SQLite is implemented yet: leave --db out");
    }
    if arguments.ignored.s3_storage {
        bail!("--s3-storage is not implemented yet: use --local-storage");
    }
    Ok(())
}

/// Prints where the backend is, and its admin key when nobody can know it yet.
fn announce(origins: &Origins, credentials: &Credentials) -> anyhow::Result<()> {
    process::print(&format!("Hull is running at {}", origins.cloud));
    if credentials.is_new {
        process::print(&format!(
            "\nIts admin key, shown only this once (`hull keygen admin-key` makes another):\n\n  {}\n\n\
             In your project's .env.local:\n\n  CONVEX_SELF_HOSTED_URL={}\n  CONVEX_SELF_HOSTED_ADMIN_KEY='{0}'\n",
            credentials.admin_key(false)?,
            origins.cloud
        ));
    }
    Ok(())
}

fn trim(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}
