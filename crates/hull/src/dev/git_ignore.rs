//! Keeping data and secrets of a project out of version control.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

/// Appends the patterns that are missing.
pub(super) fn add(path: &Path, patterns: &[&str]) -> anyhow::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    let extended = extend(&text, patterns);
    if extended == text {
        return Ok(());
    }
    fs::write(path, extended).with_context(|| format!("cannot write `{}`", path.display()))
}

fn extend(text: &str, patterns: &[&str]) -> String {
    let mut extended = text.to_owned();
    for pattern in patterns {
        if text.lines().any(|line| covers(line.trim(), pattern)) {
            continue;
        }
        if !extended.is_empty() && !extended.ends_with('\n') {
            extended.push('\n');
        }
        extended.push_str(pattern);
        extended.push('\n');
    }
    extended
}

/// Whether a line ignores what the pattern would; only the usual spellings are known.
fn covers(line: &str, pattern: &str) -> bool {
    let normal = |text: &str| {
        text.trim_start_matches('/')
            .trim_end_matches('/')
            .to_owned()
    };
    let (line, pattern) = (normal(line), normal(pattern));
    line == pattern
        || (pattern == ".env.local"
            && matches!(
                line.as_str(),
                ".env*" | ".env.*" | "*.local" | ".env*.local"
            ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_patterns_are_added() {
        let check = |text: &str, expected: &str| {
            assert_eq!(extend(text, &[".hull/", ".env.local"]), expected)
        };
        check("", ".hull/\n.env.local\n");
        check("node_modules", "node_modules\n.hull/\n.env.local\n");
        check("/.hull\n.env.local\n", "/.hull\n.env.local\n");
        check("*.local\n", "*.local\n.hull/\n");
        check("# .hull/\n.env*\n", "# .hull/\n.env*\n.hull/\n");
    }
}
