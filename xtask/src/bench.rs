use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::{Workspace, cargo};

/// Runs the benchmark binary, optimised, with the rest of the command line.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let workspace = Workspace::find()?;
    if !workspace.root.join("bench").join("Cargo.toml").exists() {
        bail!("the benchmarks are not built yet: there is no bench/Cargo.toml");
    }
    let status = Command::new(cargo())
        .args(["run", "--release", "--package", "hull-bench", "--"])
        .args(args)
        .current_dir(&workspace.root)
        .status()?;
    Ok(status.success())
}
