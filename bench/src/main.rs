//! Benchmarks of Hull against its budgets.
//!
//! `cargo xtask bench` builds the server, runs everything that [`lines`] lists
//! and prints value, budget and their ratio; with names, only those lines;
//! with `--write`, the table also goes to `bench/RESULTS.md`.
//!
//! Three kinds of measurement: [`in_process`] calls a deployment directly,
//! [`over_http`] and [`over_sockets`] load a real `hull serve` process from this
//! one over loopback, [`startup`] watches such a process start. The generator of
//! load runs on one thread and shares the processors with the server.
//!
//! Every line is bounded in time and in count; a request that fails ends the
//! run, unless the line counts errors.

// A command line tool: standard output is its interface.
#![allow(clippy::print_stdout)]

mod app;
mod contention;
mod histogram;
mod http_client;
mod http_load;
mod in_process;
mod lines;
mod machine;
mod over_http;
mod over_sockets;
mod push;
mod report;
mod server_process;
mod startup;
mod subscriber;
mod web_socket;
mod wide_push;
mod zipf;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::app::Apps;
use crate::report::Report;

const HELP: &str = "\
Benchmarks against the budgets

  cargo xtask bench            all lines, about three minutes
  cargo xtask bench NAME...    only these lines
  cargo xtask bench --write    also write the table to bench/RESULTS.md
  cargo xtask bench --list     the names

HULL_BIN names another server to measure than the one built from here.
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let (mut names, mut is_written) = (Vec::new(), false);
    for argument in arguments {
        match &*argument {
            "--write" => is_written = true,
            "--list" => {
                for line in lines::LINES {
                    println!("{:<24}{}", line.name, line.what);
                }
                return Ok(());
            }
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            name if lines::LINES.iter().any(|line| line.name == name) => {
                names.push(name.to_owned());
            }
            unknown => bail!("there is no line `{unknown}`; --list shows all"),
        }
    }
    machine::raise_open_files_limit()?;
    let mut report = Report::new(names);
    let apps = Apps::build()?;
    let server = server_process::find_or_build()?;

    // The load comes first: one line looks at the server a minute later.
    let loaded = over_http::run(&mut report, &apps, &server)?;
    contention::run(&mut report, &apps, &server)?;
    over_sockets::run(&mut report, &apps, &server)?;
    startup::run(&mut report, &apps, &server)?;
    in_process::run(&mut report, &apps)?;
    wide_push::run(&mut report, &apps)?;
    if let Some(loaded) = loaded {
        loaded.measure_memory(&mut report)?;
    }
    report.print();
    if is_written {
        report.write()?;
    }
    Ok(())
}
