//! What `check` and `test` consist of.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::lanes;
use crate::setup;
use crate::step::{Kind, Report, Step};
use crate::workspace::{Workspace, cargo};

const MINUTE: Duration = Duration::from_secs(60);

/// Needs a running server: run as the suite `rust`, not with the other crates.
const RUST_CLIENT: &str = "hull-rust-client-tests";

/// Test files of tests/clients/suites that open a browser.
const BROWSER_SUITES: [&str; 2] = ["browser", "dev"];

/// Format, clippy and unit tests.
pub(crate) fn check() -> Result<bool> {
    let started = Instant::now();
    let workspace = Workspace::find()?;
    let unit = cargo_step(
        &workspace,
        "unit",
        Kind::Tests,
        20 * MINUTE,
        &["test", "--workspace", "--lib", "--bins"],
    );
    let reports = lanes::run(
        &workspace,
        vec![vec![format(&workspace), clippy(&workspace), unit]],
    );
    Ok(lanes::summarize(&reports, started))
}

/// Everything, or the suites that are named.
pub(crate) fn test(only: &[String]) -> Result<bool> {
    const SUITES: [&str; 7] = [
        "unit", "globals", "clients", "browser", "dev", "python", "rust",
    ];
    if let Some(unknown) = only.iter().find(|name| !SUITES.contains(&name.as_str())) {
        bail!(
            "there is no suite `{unknown}`; there are {}",
            SUITES.join(", ")
        );
    }
    let wants = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);

    let started = Instant::now();
    let workspace = Workspace::find()?;
    println!("building and testing; setting up the clients meanwhile");

    let mut building = Vec::new();
    if only.is_empty() {
        building.push(format(&workspace));
        building.push(clippy(&workspace));
    }
    if wants("unit") {
        building.push(unit(&workspace));
    }
    if wants("globals") {
        building.push(globals(&workspace));
    }
    let real_clients = SUITES[2..].iter().any(|name| wants(name));
    if real_clients {
        building.push(cargo_step(
            &workspace,
            "build",
            Kind::Task,
            40 * MINUTE,
            &["build", "--package", "hull"],
        ));
    }
    if wants("rust") {
        let args = ["test", "--no-run", "--package", RUST_CLIENT];
        building.push(cargo_step(
            &workspace,
            "build rust client",
            Kind::Task,
            20 * MINUTE,
            &args,
        ));
    }

    let mut setting_up = Vec::new();
    if real_clients {
        setting_up.push(client_packages(&workspace));
    }
    if wants("browser") || wants("dev") {
        setting_up.push(example(&workspace));
        setting_up.push(Step::new(
            "chromium",
            Kind::Task,
            10 * MINUTE,
            setup::chromium,
        ));
    }
    if wants("python") {
        setting_up.push(python_environment(&workspace));
    }

    let mut reports = lanes::run(&workspace, vec![building, setting_up]);
    let failed = |name: &str| {
        reports
            .iter()
            .any(|report| report.name == name && report.problem.is_some())
    };
    let missing: Vec<_> = ["build", "client packages"]
        .into_iter()
        .filter(|name| failed(name))
        .collect();

    let mut plain = Vec::new();
    let mut others = Vec::new();
    if wants("clients") {
        plain.push(node_suites(&workspace, "clients", 25 * MINUTE));
    }
    for name in BROWSER_SUITES {
        if wants(name) {
            others.push(node_suites(&workspace, name, 10 * MINUTE));
        }
    }
    if wants("python") {
        others.push(python(&workspace));
    }
    if wants("rust") {
        others.push(rust(&workspace));
    }
    if missing.is_empty() {
        if real_clients {
            println!("real clients against the real binary");
        }
        reports.extend(lanes::run(&workspace, vec![plain, others]));
    } else {
        let why = format!("because of: {}", missing.join(", "));
        reports.extend(
            plain
                .iter()
                .chain(&others)
                .map(|step| Report::skipped(step.name, &why)),
        );
    }
    Ok(lanes::summarize(&reports, started))
}

fn format(workspace: &Workspace) -> Step {
    cargo_step(
        workspace,
        "format",
        Kind::Task,
        MINUTE,
        &["fmt", "--all", "--check"],
    )
}

fn clippy(workspace: &Workspace) -> Step {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    cargo_step(workspace, "clippy", Kind::Task, 30 * MINUTE, &args)
}

/// Unit, model, crash and documentation tests of every crate.
fn unit(workspace: &Workspace) -> Step {
    let args = [
        "test",
        "--workspace",
        "--exclude",
        RUST_CLIENT,
        "--no-fail-fast",
    ];
    cargo_step(workspace, "unit", Kind::Tests, 40 * MINUTE, &args)
}

/// The JavaScript globals of functions, compared with Node's own.
fn globals(workspace: &Workspace) -> Step {
    let folder = workspace.root.join("crates/js/tests/bootstrap");
    let operations = workspace.example("ops_pipe");
    Step::new("globals", Kind::Tests, 5 * MINUTE, move |log| {
        setup::npm_packages(log, &folder)?;
        let package = ["build", "--package", "hull-js", "--example", "ops_pipe"];
        log.run(Command::new(cargo()).args(package).current_dir(&folder))?;
        log.run(
            Command::new("node")
                .args(["--test", "--test-reporter=spec"])
                .env("HULL_OPS_PIPE", &operations)
                .current_dir(&folder),
        )
    })
}

fn cargo_step(
    workspace: &Workspace,
    name: &'static str,
    kind: Kind,
    limit: Duration,
    args: &[&str],
) -> Step {
    let mut command = Command::new(cargo());
    command.args(args).current_dir(&workspace.root);
    Step::new(name, kind, limit, move |log| log.run(&mut command))
}

fn client_packages(workspace: &Workspace) -> Step {
    let folder = workspace.root.join("tests/clients");
    Step::new("client packages", Kind::Task, 5 * MINUTE, move |log| {
        setup::npm_packages(log, &folder)
    })
}

/// The example installs, type-checks and builds.
fn example(workspace: &Workspace) -> Step {
    let folder = workspace.root.join("examples/chat");
    Step::new("example", Kind::Task, 10 * MINUTE, move |log| {
        setup::npm_packages(log, &folder)?;
        log.run(
            Command::new("npm")
                .args(["run", "--silent", "typecheck"])
                .current_dir(&folder),
        )?;
        log.run(
            Command::new("npm")
                .args(["run", "--silent", "build"])
                .current_dir(&folder),
        )
    })
}

fn python_environment(workspace: &Workspace) -> Step {
    let workspace = workspace.clone();
    Step::new("python packages", Kind::Task, 5 * MINUTE, move |log| {
        setup::python(log, &workspace)
    })
}

/// One of the browser suites by its name, or all the others together.
fn node_suites(workspace: &Workspace, name: &'static str, limit: Duration) -> Step {
    let workspace = workspace.clone();
    Step::new(name, Kind::Tests, limit, move |log| {
        let folder = workspace.root.join("tests/clients");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder.join("suites"))? {
            let path = entry?.path();
            let stem = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let Some(stem) = stem.strip_suffix(".test.js") else {
                continue;
            };
            let belongs = match name {
                "clients" => !BROWSER_SUITES.contains(&stem),
                _ => stem == name,
            };
            if belongs {
                files.push(path);
            }
        }
        files.sort();
        log.run(
            Command::new("node")
                // One file at a time: the other lane uses the other core.
                .args(["--test", "--test-reporter=spec", "--test-concurrency=1"])
                .args(files)
                .env("HULL_BIN", workspace.hull_binary())
                .current_dir(&folder),
        )
    })
}

fn python(workspace: &Workspace) -> Step {
    let interpreter = setup::python_interpreter(workspace);
    let tests = workspace.root.join("tests/python/test_client.py");
    let mut command = with_hull(workspace);
    command.arg(interpreter).arg(tests);
    Step::new("python", Kind::Tests, 5 * MINUTE, move |log| {
        log.run(&mut command)
    })
}

fn rust(workspace: &Workspace) -> Step {
    let mut command = with_hull(workspace);
    command
        .arg(cargo())
        .args(["test", "--package", RUST_CLIENT]);
    Step::new("rust", Kind::Tests, 5 * MINUTE, move |log| {
        log.run(&mut command)
    })
}

/// A command that runs another one beside a server with the fixture app.
fn with_hull(workspace: &Workspace) -> Command {
    let mut command = Command::new("node");
    command
        .arg(workspace.root.join("tests/clients/with-hull.js"))
        .env("HULL_BIN", workspace.hull_binary())
        .current_dir(&workspace.root);
    command
}
