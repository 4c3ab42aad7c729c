//! The functions that are measured: installed, bundled, read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// One bundled module, as a push carries it.
#[derive(Clone)]
pub(crate) struct Module {
    /// Slash-separated, ends in `.js`.
    pub(crate) path: String,
    pub(crate) source: String,
    pub(crate) source_map: Option<String>,
}

/// All modules of one app, the schema among them.
pub(crate) type App = Vec<Module>;

pub(crate) struct Apps {
    /// The functions of `app/convex`.
    pub(crate) main: App,
    /// 100 small modules.
    pub(crate) wide: App,
}

impl Apps {
    /// Bundles the sources in `bench/app`; installs its npm packages first if they are missing.
    pub(crate) fn build() -> Result<Apps> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("app");
        if !folder.join("node_modules").join("esbuild").exists() {
            eprintln!("installing npm packages");
            run(Command::new("npm").arg("ci").current_dir(&folder))?;
        }
        let out = TempDir::new()?;
        run(Command::new("node")
            .arg("build.mjs")
            .arg(out.path())
            .current_dir(&folder))?;
        Ok(Apps {
            main: read_app(&out.path().join("app"))?,
            wide: read_app(&out.path().join("wide"))?,
        })
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn read_app(root: &Path) -> Result<App> {
    let mut app = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("reading the bundles in {}", folder.display()))?;
        for entry in entries {
            let file = entry?.path();
            if file.is_dir() {
                open.push(file);
            } else if file.extension().is_some_and(|extension| extension == "js") {
                let path = file
                    .strip_prefix(root)?
                    .to_string_lossy()
                    .replace('\\', "/");
                let source_map = fs::read_to_string(file.with_extension("js.map")).ok();
                app.push(Module {
                    path,
                    source: fs::read_to_string(&file)?,
                    source_map,
                });
            }
        }
    }
    app.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(app)
}
