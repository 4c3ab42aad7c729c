//! Node and the package manager of a project.

use std::io;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::child::{self, Output};
use super::project::Project;

/// The oldest Node that the official CLI runs on.
const NODE_MAJOR_MIN: u32 = 18;

/// Which tool installs the packages and runs the scripts of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PackageManager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

/// Checks that Node can be run and is recent enough. A project of Bun needs none.
pub(super) async fn check_node(project: &Project) -> anyhow::Result<()> {
    if PackageManager::of(project) == PackageManager::Bun {
        return Ok(());
    }
    let output = Command::new("node")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await;
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "Node.js was not found: install version 20 or newer from https://nodejs.org and run the command again"
            )
        }
        Err(error) => return Err(error).context("cannot run `node`"),
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match node_major(&version) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(()),
        Some(_) => bail!(
            "Node.js {version} is too old: install version 20 or newer from https://nodejs.org"
        ),
        None => {
            bail!("`node --version` failed: reinstall Node.js 20 or newer from https://nodejs.org")
        }
    }
}

fn node_major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

impl PackageManager {
    /// Decides by the lockfile; a project inside a workspace has it further up.
    pub(super) fn of(project: &Project) -> PackageManager {
        const LOCKFILES: &[(&str, PackageManager)] = &[
            ("package-lock.json", PackageManager::Npm),
            ("bun.lock", PackageManager::Bun),
            ("bun.lockb", PackageManager::Bun),
            ("pnpm-lock.yaml", PackageManager::Pnpm),
            ("yarn.lock", PackageManager::Yarn),
        ];
        let dirs = project.dir().ancestors();
        let mut found = dirs.flat_map(|dir| {
            LOCKFILES
                .iter()
                .filter(move |(file, _)| dir.join(file).exists())
        });
        found
            .next()
            .map_or(PackageManager::Npm, |(_, manager)| *manager)
    }

    fn program(self) -> &'static str {
        match self {
            PackageManager::Npm => "npm",
            PackageManager::Pnpm => "pnpm",
            PackageManager::Yarn => "yarn",
            PackageManager::Bun => "bun",
        }
    }

    /// The command line that runs a program of an installed package, never downloading one.
    pub(super) fn run_installed<'a>(self, command: &[&'a str]) -> (&'static str, Vec<&'a str>) {
        match self {
            PackageManager::Bun => ("bunx", [&["--no-install"], command].concat()),
            _ => ("npx", [&["--no-install"], command].concat()),
        }
    }

    /// The command line that runs a script of package.json.
    pub(super) fn run_script(self, script: &str) -> (&'static str, Vec<&str>) {
        (self.program(), vec!["run", script])
    }

    /// Installs the packages, showing the tool's own output.
    pub(super) async fn install(self, project: &Project) -> anyhow::Result<()> {
        let program = self.program();
        let arguments: &[&str] = match self {
            // By default npm takes minutes to notice that there is no network.
            PackageManager::Npm => &[
                "install",
                "--no-fund",
                "--no-audit",
                "--fetch-retries=1",
                "--fetch-retry-mintimeout=1000",
                "--fetch-retry-maxtimeout=2000",
            ],
            _ => &["install"],
        };
        let output = child::run_to_end(program, project.dir(), program, arguments).await;
        let Output { status, tail } = match output {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!(
                    "`{program}` was not found, but the lockfile of the project is one of {program}'s: install it first"
                )
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot run `{program} install`"));
            }
        };
        if status.success() {
            return Ok(());
        }
        if is_network_failure(&tail) {
            bail!(
                "the npm packages could not be downloaded: check the network connection and run the command again"
            );
        }
        bail!("`{program} install` failed ({status}); its output above says why")
    }
}

/// Whether a package manager's last words are about an unreachable registry.
fn is_network_failure(output: &str) -> bool {
    const SIGNS: &[&str] = &[
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "ENETUNREACH",
        "EHOSTUNREACH",
        "ERR_SOCKET_TIMEOUT",
        "ConnectionRefused",
        "FailedToOpenSocket",
        "UND_ERR_CONNECT_TIMEOUT",
    ];
    SIGNS.iter().any(|sign| output.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_network_failures() {
        assert_eq!(node_major("v20.20.2"), Some(20));
        assert_eq!(node_major("20"), None);
        assert_eq!(node_major(""), None);
        assert!(is_network_failure(
            "npm error code ENOTFOUND\nnpm error syscall getaddrinfo"
        ));
        assert!(!is_network_failure("npm error code ERESOLVE"));
    }

    #[test]
    fn the_nearest_lockfile_decides() {
        let check = |files: &[&str], expected: PackageManager| {
            let folder = tempfile::tempdir().unwrap();
            let app = folder.path().join("app");
            std::fs::create_dir_all(app.join("convex")).unwrap();
            std::fs::write(
                app.join("package.json"),
                r#"{"dependencies":{"convex":"1"}}"#,
            )
            .unwrap();
            std::fs::write(app.join("convex/a.ts"), "").unwrap();
            for file in files {
                std::fs::write(folder.path().join(file), "").unwrap();
            }
            assert_eq!(
                PackageManager::of(&Project::find(&app).unwrap()),
                expected,
                "{files:?}"
            );
        };
        check(&[], PackageManager::Npm);
        check(&["app/bun.lock"], PackageManager::Bun);
        check(&["pnpm-lock.yaml"], PackageManager::Pnpm);
        check(
            &["app/yarn.lock", "package-lock.json"],
            PackageManager::Yarn,
        );
        assert_eq!(
            PackageManager::Bun.run_installed(&["convex", "dev"]).0,
            "bunx"
        );
        assert_eq!(
            PackageManager::Npm.run_installed(&["convex", "dev"]),
            ("npx", vec!["--no-install", "convex", "dev"])
        );
    }
}
