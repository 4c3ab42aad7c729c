//! A program of the project: its output under a name, its end, its whole process group.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::process;

/// How long a program may take to end before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(4);
/// Lines that listeners may be behind; older ones are then skipped.
const LINES_KEPT: usize = 64;
/// Lines of output kept to explain a failure.
const TAIL_LINES: usize = 40;
/// A line is cut at this many bytes.
const LINE_LEN_MAX: u64 = 64 * 1024;

/// The variables of a program, on top of our own.
#[derive(Default)]
pub(super) struct Environment {
    set: Vec<(&'static str, String)>,
    unset: &'static [&'static str],
}

impl Environment {
    /// What a program with no part in the backend gets.
    pub(super) fn plain() -> Environment {
        let mut environment = Environment::default();
        // Programs see a pipe and would print without colours.
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            environment.set.push(("FORCE_COLOR", "1".to_owned()));
        }
        environment
    }

    /// What tells the official CLI where the backend is, and keeps it from asking anybody else.
    pub(super) fn of_backend(url: &str, admin_key: &str) -> Environment {
        let mut environment = Environment::plain();
        environment.set.extend([
            ("CONVEX_SELF_HOSTED_URL", url.to_owned()),
            ("CONVEX_SELF_HOSTED_ADMIN_KEY", admin_key.to_owned()),
            // Error reports and version checks go to these; here they end at the backend.
            ("CONVEX_PROVISION_HOST", url.to_owned()),
            ("CONVEX_VERSION_API_ORIGIN", url.to_owned()),
        ]);
        // With any of these the CLI would choose another deployment, or refuse to choose.
        environment.unset = &[
            "CONVEX_DEPLOYMENT",
            "CONVEX_DEPLOY_KEY",
            "CONVEX_DEPLOYMENT_TOKEN",
            "CI",
        ];
        environment
    }
}

/// A running program, in a process group of its own.
pub(super) struct Child {
    process: tokio::process::Child,
    /// The group has the number of its first process.
    group: Option<Pid>,
    lines: broadcast::Sender<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Drop for Child {
    /// A program that nobody waits for any more ends with everything it started.
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// How a program ended, and its last lines.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) tail: String,
}

impl Child {
    /// Starts a program in a process group of its own: Ctrl-C reaches only us, and
    /// what the program starts ends with it.
    pub(super) fn start(
        name: &'static str,
        dir: &Path,
        program: &str,
        arguments: &[&str],
        environment: &Environment,
    ) -> anyhow::Result<Child> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(environment.set.iter().map(|(name, value)| (*name, value)));
        for name in environment.unset {
            command.env_remove(name);
        }
        Child::spawn(name, dir, command).with_context(|| format!("cannot run `{program}`"))
    }

    fn spawn(name: &'static str, dir: &Path, mut command: Command) -> io::Result<Child> {
        command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn()?;
        let group = process
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (lines, _) = broadcast::channel(LINES_KEPT);
        let mut readers = Vec::new();
        if let Some(stdout) = process.stdout.take() {
            readers.push(tokio::spawn(forward(name, stdout, lines.clone())));
        }
        if let Some(stderr) = process.stderr.take() {
            readers.push(tokio::spawn(forward(name, stderr, lines.clone())));
        }
        Ok(Child {
            process,
            group,
            lines,
            readers,
        })
    }

    /// Waits for the program's own end.
    pub(super) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let status = self
            .process
            .wait()
            .await
            .context("cannot wait for a program")?;
        self.drain().await;
        Ok(status)
    }

    /// Completes when a line with this text was printed; never, when none is.
    pub(super) fn printed(&self, text: &'static str) -> impl Future<Output = ()> + use<> {
        let mut lines = self.lines.subscribe();
        async move {
            loop {
                match lines.recv().await {
                    Ok(line) if line.contains(text) => return,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }

    /// Prints the first local URL the program mentions, after `label`.
    pub(super) fn announce_url(&self, label: &'static str) {
        let mut lines = self.lines.subscribe();
        tokio::spawn(async move {
            while let Ok(line) = lines.recv().await {
                if let Some(url) = local_url(&line) {
                    process::print(&format!("{label}{url}"));
                    return;
                }
            }
        });
    }

    /// Ends the program and everything it started: first asked, then killed.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(STOP_GRACE, self.process.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
        }
        self.drain().await;
        // Dropping ends what was left of the group when its first process ended.
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that has ended already needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits a moment for the last lines; a grandchild may hold the pipes open for ever.
    async fn drain(&mut self) {
        const DRAIN_MAX: Duration = Duration::from_millis(500);
        for reader in self.readers.drain(..) {
            let _ = tokio::time::timeout(DRAIN_MAX, reader).await;
        }
    }
}

/// Runs a program to its end, showing its output.
pub(super) async fn run_to_end(
    name: &'static str,
    dir: &Path,
    program: &str,
    arguments: &[&str],
) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments);
    let mut child = Child::spawn(name, dir, command)?;
    let mut lines = child.lines.subscribe();
    let collect = tokio::spawn(async move {
        let mut tail = VecDeque::new();
        loop {
            match lines.recv().await {
                Ok(line) => tail.push_back(line),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            }
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
        Vec::from(tail).join("\n")
    });
    let status = child.process.wait().await?;
    child.drain().await;
    // The last sender of lines is gone with it.
    drop(child);
    Ok(Output {
        status,
        tail: collect.await.unwrap_or_default(),
    })
}

/// Prints each line under the program's name and hands it to listeners.
async fn forward(
    name: &'static str,
    output: impl AsyncRead + Unpin,
    lines: broadcast::Sender<String>,
) {
    use tokio::io::AsyncReadExt as _;
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match (&mut output)
            .take(LINE_LEN_MAX)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\n', '\r']);
        process::print(&format!("{name:>6} | {line}"));
        // Nobody may be listening.
        let _ = lines.send(strip_ansi(line));
    }
}

/// Removes colours and other escape sequences.
fn strip_ansi(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.next() == Some('[') {
            chars.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    out
}

/// Finds the first URL of this machine in a line.
fn local_url(line: &str) -> Option<&str> {
    let start = ["http://localhost:", "http://127.0.0.1:", "http://[::1]:"]
        .iter()
        .filter_map(|head| line.find(head))
        .min()?;
    line[start..]
        .split(|c: char| c.is_whitespace() || "\"'`,;)".contains(c))
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_coloured_lines() {
        let line = strip_ansi(
            "  \u{1b}[32m➜\u{1b}[39m  \u{1b}[1mLocal\u{1b}[22m:   \u{1b}[36mhttp://localhost:\u{1b}[1m5173\u{1b}[22m/\u{1b}[39m",
        );
        assert_eq!(local_url(&line), Some("http://localhost:5173/"));
        assert_eq!(
            local_url("ready on http://127.0.0.1:3000, enjoy"),
            Some("http://127.0.0.1:3000")
        );
        assert_eq!(local_url("see https://vite.dev"), None);
    }

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::spawn("test", Path::new("/"), command).unwrap()
    }

    #[tokio::test]
    async fn lines_are_seen_and_the_whole_group_ends() {
        let child = shell("sleep 1000 & echo started; wait");
        let mut lines = child.lines.subscribe();
        assert_eq!(lines.recv().await.unwrap(), "started");
        child.stop().await;
        // Closed once nobody holds the other end of the output pipe, the grandchild included.
        assert!(matches!(
            lines.recv().await,
            Err(broadcast::error::RecvError::Closed)
        ));
    }

    #[tokio::test]
    async fn a_program_that_ends_by_itself_is_noticed() {
        let mut child = shell("echo Convex functions ready; exit 3");
        let printed = child.printed("functions ready");
        assert_eq!(child.ended().await.unwrap().code(), Some(3));
        printed.await;
        let output = run_to_end(
            "test",
            Path::new("/"),
            "sh",
            &["-c", "echo ENOTFOUND >&2; exit 1"],
        )
        .await
        .unwrap();
        assert_eq!(
            (output.status.code(), output.tail.as_str()),
            (Some(1), "ENOTFOUND")
        );
        assert!(
            run_to_end("test", Path::new("/"), "no-such-program", &[])
                .await
                .is_err()
        );
    }
}
