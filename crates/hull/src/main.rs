//! The `hull` command.

mod backend;
mod cli;
mod credentials;
mod dev;
mod keygen;
mod limits;
mod logging;
mod process;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, KeygenCommand};

fn main() -> ExitCode {
    process::tune_memory();
    let cli = Cli::parse_from(cli::with_default_command(std::env::args_os()));
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Keygen {
            what: KeygenCommand::AdminKey(arguments),
        } => keygen::admin_key(&arguments),
        Command::Version => keygen::version(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One sentence: whoever reads it must know what to do next.
            process::print_error(&format!("hull: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
