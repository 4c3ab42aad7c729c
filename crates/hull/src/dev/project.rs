//! The project in a folder: package.json and the functions folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// What is known of a project.
#[derive(Debug)]
pub(super) struct Project {
    dir: PathBuf,
    package: Package,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Package {
    scripts: BTreeMap<String, String>,
    dependencies: BTreeMap<String, serde_json::Value>,
    dev_dependencies: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConvexJson {
    functions: Option<String>,
}

impl Project {
    /// Looks at a folder and says in one sentence what is missing.
    pub(super) fn find(dir: &Path) -> anyhow::Result<Project> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("cannot open the folder `{}`", dir.display()))?;
        ensure!(dir.is_dir(), "`{}` is not a folder", dir.display());
        let package: Option<Package> = read_json(&dir.join("package.json"))?;
        let Some(package) = package else {
            bail!(
                "`{}` has no package.json: give the folder of a project, as in `hull dev my-app`",
                dir.display()
            );
        };
        let project = Project { dir, package };
        ensure!(
            project.depends_on("convex"),
            "package.json in `{}` does not list the npm package `convex`: run `npm install convex` there first",
            project.dir.display()
        );
        project.check_functions()?;
        Ok(project)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn scripts(&self) -> &BTreeMap<String, String> {
        &self.package.scripts
    }

    /// Whether the project's npm packages are installed, as far as a glance tells.
    /// In a workspace they may be in a folder further up.
    pub(super) fn has_packages(&self) -> bool {
        self.dir
            .ancestors()
            .any(|dir| dir.join("node_modules/convex/package.json").exists())
    }

    /// The variable under which the client of this framework looks for the backend's URL.
    pub(super) fn url_variable(&self) -> &'static str {
        const BY_PACKAGE: &[(&str, &str)] = &[
            ("react-scripts", "REACT_APP_CONVEX_URL"),
            ("next", "NEXT_PUBLIC_CONVEX_URL"),
            ("expo", "EXPO_PUBLIC_CONVEX_URL"),
            ("@sveltejs/kit", "PUBLIC_CONVEX_URL"),
            ("@tanstack/start", "VITE_CONVEX_URL"),
            ("@tanstack/react-start", "VITE_CONVEX_URL"),
            ("vite", "VITE_CONVEX_URL"),
        ];
        let found = BY_PACKAGE
            .iter()
            .find(|(package, _)| self.depends_on(package));
        found.map_or("CONVEX_URL", |(_, variable)| variable)
    }

    /// A name for the deployment, from the folder's.
    pub(super) fn deployment_name(&self) -> String {
        let folder = self
            .dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        let name: String = folder
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(64)
            .collect();
        let name = name.trim_matches('-');
        if name.is_empty() {
            "dev".to_owned()
        } else {
            format!("dev-{name}")
        }
    }

    fn depends_on(&self, package: &str) -> bool {
        self.package.dependencies.contains_key(package)
            || self.package.dev_dependencies.contains_key(package)
    }

    fn check_functions(&self) -> anyhow::Result<()> {
        let config: ConvexJson = read_json(&self.dir.join("convex.json"))?.unwrap_or_default();
        let folder = match &config.functions {
            Some(folder) => self.dir.join(folder),
            None if self.depends_on("react-scripts") => self.dir.join("src/convex"),
            None => self.dir.join("convex"),
        };
        let shown = folder.display();
        match fs::metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!(
                    "the folder `{shown}` is missing: create it with a file of functions, for example messages.ts"
                )
            }
            Err(error) => return Err(error).with_context(|| format!("cannot open `{shown}`")),
            Ok(metadata) => ensure!(
                metadata.is_dir(),
                "`{shown}` must be a folder of functions, but it is a file"
            ),
        }
        let has_module =
            has_module(&folder, 0).with_context(|| format!("cannot read `{shown}`"))?;
        ensure!(
            has_module,
            "the folder `{shown}` has no function: add a file like messages.ts or messages.js"
        );
        Ok(())
    }
}

/// Whether a folder holds a TypeScript or JavaScript file that is not generated.
fn has_module(folder: &Path, depth: usize) -> io::Result<bool> {
    const EXTENSIONS: &[&str] = &["ts", "tsx", "js", "jsx", "mts", "mjs"];
    const DEPTH_MAX: usize = 8;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("_generated") || path.ends_with("node_modules") {
            continue;
        }
        let is_module = path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
        if is_module && path.is_file() {
            return Ok(true);
        }
        if path.is_dir() && depth < DEPTH_MAX && has_module(&path, depth + 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    let parsed = serde_json::from_str(&text);
    parsed
        .map(Some)
        .with_context(|| format!("`{}` is not valid", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a folder with these files and looks at it.
    fn find(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Project, String>) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let project = Project::find(folder.path()).map_err(|error| format!("{error:#}"));
        (folder, project)
    }

    fn check_error(files: &[(&str, &str)], expected: &str) {
        let error = find(files).1.unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "one sentence: {error}");
    }

    const PACKAGE: (&str, &str) = (
        "package.json",
        r#"{"dependencies":{"convex":"^1.48.0"},"devDependencies":{"vite":"7"}}"#,
    );

    #[test]
    fn what_is_missing_is_said_in_one_sentence() {
        check_error(&[], "has no package.json");
        check_error(&[("package.json", "{")], "is not valid");
        check_error(
            &[("package.json", "{}")],
            "does not list the npm package `convex`",
        );
        check_error(&[PACKAGE], "is missing: create it");
        check_error(&[PACKAGE, ("convex", "")], "but it is a file");
        check_error(
            &[PACKAGE, ("convex/_generated/api.js", "")],
            "has no function",
        );
        check_error(&[PACKAGE, ("convex.json", "[}")], "is not valid");
        check_error(
            &[
                PACKAGE,
                ("convex.json", r#"{"functions":"backend/"}"#),
                ("convex/a.ts", ""),
            ],
            "backend/` is missing",
        );
        assert!(
            format!(
                "{:#}",
                Project::find(Path::new("/no/such/folder")).unwrap_err()
            )
            .contains("/no/such/folder")
        );
    }

    #[test]
    fn projects() {
        let (_folder, project) = find(&[PACKAGE, ("convex/deep/a.ts", "")]);
        let project = project.unwrap();
        assert_eq!(project.url_variable(), "VITE_CONVEX_URL");
        assert!(!project.has_packages());
        assert!(project.deployment_name().starts_with("dev-"));
        let next = (
            "package.json",
            r#"{"dependencies":{"convex":"1","next":"1","vite":"1"}}"#,
        );
        let (_folder, project) = find(&[
            next,
            ("convex/a.js", ""),
            ("node_modules/convex/package.json", "{}"),
        ]);
        let project = project.unwrap();
        assert_eq!(project.url_variable(), "NEXT_PUBLIC_CONVEX_URL");
        assert!(project.has_packages());
    }
}
