//! Installs what the real-client suites need, when it is not there yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::step::Log;
use crate::workspace::Workspace;

const NODE_MAJOR_MIN: u32 = 20;
const CHROMIUM: &str = "/usr/bin/chromium";

/// Fails unless a Node is installed that runs the official CLI and the suites.
pub(crate) fn require_node() -> Result<()> {
    let output = match Command::new("node").arg("--version").output() {
        Ok(output) => output,
        Err(_) => {
            bail!("Node.js {NODE_MAJOR_MIN} or newer is needed and `node` is not on the path")
        }
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match major(&version) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(()),
        _ => bail!("Node.js {NODE_MAJOR_MIN} or newer is needed, found {version}"),
    }
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs a folder's locked npm packages, unless they are the installed ones.
pub(crate) fn npm_packages(log: &Log, folder: &Path) -> Result<()> {
    require_node()?;
    let lock = folder.join("package-lock.json");
    let stamp = folder.join("node_modules").join(".installed-lock.json");
    unless_done(&lock, &stamp, || {
        // `npm ci` refuses a lock that lacks optional packages of other platforms.
        log.run(
            Command::new("npm")
                .args([
                    "install",
                    "--no-save",
                    "--no-audit",
                    "--no-fund",
                    "--loglevel",
                    "error",
                ])
                .current_dir(folder),
        )
    })
}

/// Installs Debian's Chromium, unless there is one or `CHROMIUM_BIN` names another.
pub(crate) fn chromium(log: &Log) -> Result<()> {
    if let Some(named) = std::env::var_os("CHROMIUM_BIN") {
        if Path::new(&named).exists() {
            return Ok(());
        }
        bail!(
            "CHROMIUM_BIN names a file that does not exist: {}",
            named.to_string_lossy()
        );
    }
    if Path::new(CHROMIUM).exists() {
        return Ok(());
    }
    if !process::is_installed("apt-get") {
        bail!("the browser tests need Chromium: install it and name it in CHROMIUM_BIN");
    }
    let apt = |args: &[&str]| {
        log.run(
            Command::new("apt-get")
                .args(args)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    apt(&["update", "-q"])
        .and_then(|()| apt(&["install", "-q", "-y", "--no-install-recommends", "chromium"]))
        .context("installing Debian's chromium (as root: apt-get install chromium)")
}

/// Makes a Python environment with the official client; returns its interpreter.
pub(crate) fn python(log: &Log, workspace: &Workspace) -> Result<()> {
    let requirements = workspace.root.join("tests/python/requirements.txt");
    let environment = python_environment(workspace);
    let stamp = environment.join("installed-requirements.txt");
    unless_done(&requirements, &stamp, || {
        if !process::is_installed("python3") {
            bail!("the Python client tests need python3");
        }
        log.run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        )
        .context("making a virtual environment (Debian: apt-get install python3-venv)")?;
        log.run(
            Command::new(python_interpreter(workspace))
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                ])
                .arg(&requirements),
        )
    })
}

pub(crate) fn python_interpreter(workspace: &Workspace) -> PathBuf {
    python_environment(workspace).join("bin").join("python")
}

fn python_environment(workspace: &Workspace) -> PathBuf {
    workspace.own().join("python")
}

/// Runs `install` unless `stamp` is a copy of `wanted`; makes the copy after success.
fn unless_done(wanted: &Path, stamp: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read(wanted).with_context(|| format!("reading {}", wanted.display()))?;
    if fs::read(stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_read() {
        assert_eq!(major("v20.19.2"), Some(20));
        assert_eq!(major("v9"), Some(9));
        assert_eq!(major("20"), None);
        assert_eq!(major(""), None);
    }
}
