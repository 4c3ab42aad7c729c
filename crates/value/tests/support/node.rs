//! Runs scripts against the npm library this crate must agree with.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Runs a script of `tests/node` with `input` on its standard input and returns what it printed. Installs the pinned
/// library first if that has not been done.
pub(crate) fn run(script: &str, input: &[u8]) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    if !folder.join("node_modules/convex/package.json").exists() {
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .expect("npm runs");
        assert!(
            npm.status.success(),
            "npm ci failed: {}",
            String::from_utf8_lossy(&npm.stderr)
        );
    }
    let mut node = Command::new("node")
        .arg(script)
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    // The scripts read all their input before they write, so this cannot block on a full pipe.
    node.stdin
        .take()
        .expect("piped")
        .write_all(input)
        .expect("node reads its input");
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success(), "{script} failed");
    output.stdout
}
