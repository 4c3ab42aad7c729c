//! `hull dev`: everything one needs to work on a project, started and stopped together.

mod child;
mod env_file;
mod git_ignore;
mod package_manager;
mod page;
mod ports;
mod project;

use std::time::Duration;

use anyhow::{Context as _, bail};

use hull_functions::FunctionLimits;
use hull_server::Server;

use crate::backend::{Backend, BackendOptions, Origins, default_workers, open_store, runtime};
use crate::cli::DevArguments;
use crate::credentials::Credentials;
use crate::{logging, process};

use child::{Child, Environment};
use env_file::EnvFile;
use package_manager::PackageManager;
use project::Project;

/// Folder of the backend's data inside a project.
const DATA_FOLDER: &str = ".hull";
/// What the official CLI prints when functions are pushed.
const PUSHED_TEXT: &str = "Convex functions ready";
/// When the page is started although the first push has not succeeded yet: its own
/// error page is then the better place to look at.
const FIRST_PUSH_MAX: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: &DevArguments) -> anyhow::Result<()> {
    logging::start("warn");
    process::raise_open_files_limit();
    runtime()?.block_on(dev(arguments))
}

async fn dev(arguments: &DevArguments) -> anyhow::Result<()> {
    let project = Project::find(&arguments.dir)?;
    package_manager::check_node(&project).await?;
    let mut termination = Box::pin(process::termination());
    let packages = PackageManager::of(&project);
    if !project.has_packages() {
        process::print("Installing the npm packages of the project (they are missing) ...");
        tokio::select! {
            result = packages.install(&project) => result?,
            result = &mut termination => return Ok(result?),
        }
    }
    let server = ports::bind(arguments.port, arguments.site_proxy_port).await?;
    let origins = Origins::local(&server)?;
    let (backend, admin_key) = open_backend(
        &project,
        server,
        origins.clone(),
        arguments.limits.to_function_limits(),
    )?;
    let env_file = write_files(&project, &origins, &admin_key)?;

    process::print(&format!("Backend:  {}", origins.cloud));
    process::print(&format!(
        "Data:     {}",
        project.dir().join(DATA_FOLDER).display()
    ));
    process::print(&format!(
        "Settings: {} ({})",
        env_file.display(),
        project.url_variable()
    ));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // A sender that is gone means the same as one that has sent.
    let serving = tokio::spawn(backend.run(async move { drop(stopped.await) }));
    let mut children = Children::start(&project, packages, &origins, &admin_key)?;
    let result = tokio::select! {
        result = &mut termination => result.context("cannot wait for signals"),
        result = children.watch(&project, arguments.no_page) => result,
    };
    process::print("Stopping ...");
    children.stop().await;
    drop(stop);
    serving.await.context("the backend ended early")?;
    result
}

fn open_backend(
    project: &Project,
    server: Server,
    origins: Origins,
    limits: FunctionLimits,
) -> anyhow::Result<(Backend, String)> {
    let folder = project.dir().join(DATA_FOLDER);
    let db_path = folder.join("data.sqlite3");
    let store = open_store(&db_path)?;
    let credentials = Credentials::kept_or_made(&db_path, &project.deployment_name())?;
    let admin_key = credentials.admin_key(false)?;
    let backend = Backend::open(BackendOptions {
        store,
        credentials: &credentials,
        server,
        origins,
        workers: default_workers(),
        redact_logs_to_client: false,
        limits,
        files: &folder.join("storage"),
    })?;
    Ok((backend, admin_key))
}

/// Writes what the project's own tools read, and keeps it out of version control.
fn write_files(
    project: &Project,
    origins: &Origins,
    admin_key: &str,
) -> anyhow::Result<std::path::PathBuf> {
    let path = project.dir().join(".env.local");
    let mut file = EnvFile::read(&path)?;
    file.set("CONVEX_SELF_HOSTED_URL", &origins.cloud);
    file.set("CONVEX_SELF_HOSTED_ADMIN_KEY", &format!("'{admin_key}'"));
    file.remove("CONVEX_DEPLOYMENT");
    file.set_exactly_one(
        env_file::CLIENT_URL_NAMES,
        project.url_variable(),
        &origins.cloud,
    );
    file.write(&path)?;
    git_ignore::add(&project.dir().join(".gitignore"), &[".hull/", ".env.local"])?;
    Ok(path)
}

/// The programs of the project that run beside the backend.
struct Children {
    packages: PackageManager,
    push: Child,
    page: Option<Child>,
}

impl Children {
    fn start(
        project: &Project,
        packages: PackageManager,
        origins: &Origins,
        admin_key: &str,
    ) -> anyhow::Result<Children> {
        let environment = Environment::of_backend(&origins.cloud, admin_key);
        let (program, arguments) = packages.run_installed(&["convex", "dev"]);
        let push = Child::start("convex", project.dir(), program, &arguments, &environment)?;
        Ok(Children {
            packages,
            push,
            page: None,
        })
    }

    /// Starts the page once functions are pushed and waits until a program ends that should not.
    async fn watch(&mut self, project: &Project, no_page: bool) -> anyhow::Result<()> {
        if !no_page {
            let pushed = self.push.printed(PUSHED_TEXT);
            tokio::select! {
                _ = tokio::time::timeout(FIRST_PUSH_MAX, pushed) => {}
                status = self.push.ended() => return ended("convex dev", status?),
            }
            self.start_page(project)?;
        }
        loop {
            tokio::select! {
                status = self.push.ended() => return ended("convex dev", status?),
                status = page_ended(&mut self.page) => {
                    process::print(&format!("The web page's dev server ended ({}); the backend keeps running.", status?));
                    self.page = None;
                }
            }
        }
    }

    fn start_page(&mut self, project: &Project) -> anyhow::Result<()> {
        let Some(script) = page::script(project.scripts()) else {
            process::print(
                "package.json has no script that starts only a web page, so none is started.",
            );
            return Ok(());
        };
        let (program, arguments) = self.packages.run_script(script);
        let page = Child::start(
            "page",
            project.dir(),
            program,
            &arguments,
            &Environment::plain(),
        )?;
        page.announce_url("Page:     ");
        self.page = Some(page);
        Ok(())
    }

    async fn stop(self) {
        let page = async {
            if let Some(page) = self.page {
                page.stop().await;
            }
        };
        tokio::join!(self.push.stop(), page);
    }
}

async fn page_ended(page: &mut Option<Child>) -> anyhow::Result<std::process::ExitStatus> {
    match page {
        Some(page) => page.ended().await,
        None => std::future::pending().await,
    }
}

fn ended(what: &str, status: std::process::ExitStatus) -> anyhow::Result<()> {
    bail!("`{what}` ended by itself ({status}); its last lines above say why")
}
