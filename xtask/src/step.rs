use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::tally::{self, Tally};
use crate::workspace::Workspace;

/// Lines of a failed step's output that are shown; the log file has all.
const SHOWN_LINES: usize = 250;

/// Whether a step's output must contain test results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counts as one test that passes or fails.
    Task,
    /// Counts its tests; none at all is a failure.
    Tests,
}

/// One thing to do, with its own log file and a hard time limit.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    kind: Kind,
    limit: Duration,
    body: Body,
}

type Body = Box<dyn FnOnce(&Log) -> Result<()> + Send>;

impl Step {
    pub(crate) fn new(
        name: &'static str,
        kind: Kind,
        limit: Duration,
        body: impl FnOnce(&Log) -> Result<()> + Send + 'static,
    ) -> Step {
        Step {
            name,
            kind,
            limit,
            body: Box::new(body),
        }
    }

    /// Runs the step, tells how it went, and returns it.
    pub(crate) fn run(self, workspace: &Workspace) -> Report {
        println!("  …  {}", self.name);
        let started = Instant::now();
        let outcome = Log::create(workspace, self.name, self.limit).map(|log| {
            let outcome = (self.body)(&log);
            let output = fs::read(&log.path).unwrap_or_default();
            (outcome, String::from_utf8_lossy(&output).into_owned())
        });
        let (outcome, output) = match outcome {
            Ok((outcome, output)) => (outcome, output),
            Err(error) => (Err(error), String::new()),
        };

        let mut tally = match self.kind {
            Kind::Tests => tally::count(&output),
            Kind::Task => Tally::default(),
        };
        let mut problem = outcome.err().map(|error| format!("{error:#}"));
        if problem.is_none() && self.kind == Kind::Tests {
            problem = match tally {
                Tally {
                    failed: 0,
                    passed: 0,
                } => Some("ran no test".to_owned()),
                Tally { failed: 0, .. } => None,
                Tally { failed, .. } => Some(format!("{failed} failed")),
            };
        }
        match &problem {
            Some(_) => tally.failed = tally.failed.max(1),
            None if self.kind == Kind::Task => tally.passed = 1,
            None => {}
        }

        let report = Report {
            name: self.name,
            took: started.elapsed(),
            tally,
            problem,
        };
        report.print(&output);
        report
    }
}

/// How a step went.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
    pub(crate) problem: Option<String>,
}

impl Report {
    /// A step that could not even be tried.
    pub(crate) fn skipped(name: &'static str, why: &str) -> Report {
        println!("  ✘  {name}: not run, {why}");
        Report {
            name,
            took: Duration::ZERO,
            tally: Tally {
                passed: 0,
                failed: 1,
            },
            problem: Some(format!("not run, {why}")),
        }
    }

    fn print(&self, output: &str) {
        let took = self.took.as_secs_f64();
        match &self.problem {
            None => println!("  ✔  {} ({took:.1} s)", self.name),
            Some(problem) => {
                let lines: Vec<&str> = output.lines().collect();
                let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
                // One call, so that lanes do not write into each other's output.
                println!(
                    "  ✘  {name} ({took:.1} s): {problem}\n───── output of {name} ─────\n{}\n───── end of {name} ─────",
                    shown.join("\n"),
                    name = self.name,
                );
            }
        }
    }
}

/// The output of one step, and the time that it has left.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    deadline: Instant,
}

impl Log {
    fn create(workspace: &Workspace, name: &str, limit: Duration) -> Result<Log> {
        let folder = workspace.own().join("logs");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(format!("{}.log", name.replace(' ', "-")));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Log {
            path,
            file,
            deadline: Instant::now() + limit,
        })
    }

    /// Runs a command within the step's time; another exit code than 0 is an error.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let status = process::run(command, &self.file, limit)?;
        if !status.success() {
            bail!(
                "{} ended with {status}",
                command.get_program().to_string_lossy()
            );
        }
        Ok(())
    }
}
