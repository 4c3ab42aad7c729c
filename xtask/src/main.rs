//! Every developer command, needing only cargo: `cargo xtask help` lists them.
//!
//! Not a build system: it runs the tools in order, keeps their output, counts
//! tests and says what failed.

// A command line tool: standard output is its interface.
#![allow(clippy::print_stdout)]

mod bench;
mod lanes;
mod process;
mod setup;
mod step;
mod suites;
mod tally;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
Developer commands of this repository

  cargo xtask check            format, clippy and unit tests: the fast part
  cargo xtask test             everything: check, model and crash tests, then the
                               real clients and a browser against the real binary;
                               installs what it needs (npm packages, Debian's
                               chromium, a Python environment)
  cargo xtask test SUITE...    only these suites: unit, clients, browser, dev,
                               python, rust
  cargo xtask bench [ARGS...]  benchmarks against the budgets
  cargo xtask help             this text

CARGO_TARGET_DIR is respected. The full output of each step is kept in
TARGET/xtask/logs.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    let outcome = match command {
        "check" if rest.is_empty() => suites::check(),
        "test" => suites::test(rest),
        "bench" => bench::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!(
                "cargo xtask: unknown command `{}`\n\n{HELP}",
                args.join(" ")
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
