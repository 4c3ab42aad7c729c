use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const POLL_EVERY: Duration = Duration::from_millis(50);

/// Runs a command to its end with both outputs appended to `log`.
///
/// Past `limit` it is killed together with everything it started.
pub(crate) fn run(command: &mut Command, log: &File, limit: Duration) -> Result<ExitStatus> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()
        .with_context(|| format!("starting {shown}"))?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() > limit {
            kill_tree(child.id())?;
            child.wait()?;
            bail!("{shown} did not end within {} s", limit.as_secs());
        }
        thread::sleep(POLL_EVERY);
    }
}

/// Kills a process and its descendants, children first found first killed.
fn kill_tree(root: u32) -> Result<()> {
    let parents = parents()?;
    let mut doomed = vec![root];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(
            parents
                .iter()
                .filter(|(_, p)| **p == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    // Some may be gone already; kill then complains, which changes nothing.
    Command::new("kill")
        .arg("-KILL")
        .args(doomed.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status()
        .context("running kill")?;
    Ok(())
}

/// The parent of every process, from /proc.
fn parents() -> Result<HashMap<u32, u32>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process that ended meanwhile has no stat file any more.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(parent) = parent_in_stat(&stat) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

/// The name, in parentheses, may itself contain spaces and parentheses.
fn parent_in_stat(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// Whether a program of this name is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| is_file(&folder.join(program)))
    })
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_is_found_after_any_name() {
        assert_eq!(parent_in_stat("7 (a b) c) S 42 7 7 0"), Some(42));
        assert_eq!(parent_in_stat("7 (plain) R 1 7"), Some(1));
        assert_eq!(parent_in_stat("garbage"), None);
    }

    #[test]
    fn a_command_past_its_limit_is_killed_with_its_children() {
        let log = File::options().write(true).open("/dev/null").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & wait"]);
        let error = run(&mut command, &log, Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }
}
