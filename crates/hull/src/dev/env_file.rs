//! `.env.local`: lines of `NAME=value` that belong to the user but for a few.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// The names under which clients of the known frameworks look for the backend's URL.
pub(super) const CLIENT_URL_NAMES: &[&str] = &[
    "CONVEX_URL",
    "PUBLIC_CONVEX_URL",
    "NEXT_PUBLIC_CONVEX_URL",
    "VITE_CONVEX_URL",
    "REACT_APP_CONVEX_URL",
    "EXPO_PUBLIC_CONVEX_URL",
];

/// A file of environment variables, kept line by line.
#[derive(Debug)]
pub(super) struct EnvFile {
    lines: Vec<String>,
}

impl EnvFile {
    /// Reads a file; a missing one is empty.
    pub(super) fn read(path: &Path) -> anyhow::Result<EnvFile> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(EnvFile::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(EnvFile::parse("")),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }

    fn parse(text: &str) -> EnvFile {
        EnvFile {
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    /// Sets a variable where it stands, else at the end; further lines for it go.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let line = format!("{name}={value}");
        match self
            .lines
            .iter()
            .position(|line| name_of(line) == Some(name))
        {
            Some(at) => {
                self.lines[at] = line;
                let mut index = 0;
                self.lines.retain(|line| {
                    index += 1;
                    index - 1 == at || name_of(line) != Some(name)
                });
            }
            None => self.lines.push(line),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.lines.retain(|line| name_of(line) != Some(name));
    }

    /// Sets `name` and removes the other `names`: with two of them the official CLI updates none.
    pub(super) fn set_exactly_one(&mut self, names: &[&str], name: &str, value: &str) {
        for other in names.iter().filter(|other| **other != name) {
            self.remove(other);
        }
        self.set(name, value);
    }

    /// Replaces the file at once, readable by its owner only: it holds the admin key.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let temporary = path.with_extension("local.new");
        let replace = || {
            // Left over from a run that was cut off.
            let _ = fs::remove_file(&temporary);
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        replace().with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn text(&self) -> String {
        self.lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }
}

/// The variable a line sets; comments and anything else set none.
fn name_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn check(text: &str, change: impl Fn(&mut EnvFile), expected: &str) {
        let mut file = EnvFile::parse(text);
        change(&mut file);
        assert_eq!(file.text(), expected);
        change(&mut file);
        assert_eq!(file.text(), expected, "a second time changes nothing");
    }

    #[test]
    fn other_lines_stay_where_they_are() {
        let set = |file: &mut EnvFile| file.set("A", "2");
        check("", set, "A=2\n");
        check("# A=1\nB=1", set, "# A=1\nB=1\nA=2\n");
        check("A=1\nB=x # A=1\n", set, "A=2\nB=x # A=1\n");
        check("X=1\nexport A = 1\n\nA=3\nZ=1", set, "X=1\nA=2\n\nZ=1\n");
    }

    #[test]
    fn exactly_one_client_url() {
        let set =
            |file: &mut EnvFile| file.set_exactly_one(CLIENT_URL_NAMES, "VITE_CONVEX_URL", "u");
        check("", set, "VITE_CONVEX_URL=u\n");
        check(
            "CONVEX_URL=a\nB=1\nVITE_CONVEX_URL=b\n",
            set,
            "B=1\nVITE_CONVEX_URL=u\n",
        );
        check(
            "#CONVEX_URL=a\nVITE_CONVEX_SITE_URL=s\n",
            set,
            "#CONVEX_URL=a\nVITE_CONVEX_SITE_URL=s\nVITE_CONVEX_URL=u\n",
        );
    }

    #[test]
    fn the_file_is_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env.local");
        fs::write(&path, "OLD=1\n").unwrap();
        let mut file = EnvFile::read(&path).unwrap();
        file.set("NEW", "2");
        file.write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "OLD=1\nNEW=2\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
