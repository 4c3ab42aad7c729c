//! Which script of a project starts its web page, and only that.

use std::collections::BTreeMap;

/// Names that projects give to the part of `dev` that is only the page.
const NAMES: &[&str] = &[
    "dev",
    "dev:frontend",
    "dev:web",
    "dev:client",
    "dev:page",
    "frontend",
];
/// Scripts that call scripts that call scripts; deeper is taken for a loop.
const DEPTH_MAX: usize = 8;

/// Returns the script to run. One that starts a backend too, directly or through
/// other scripts, would start it twice.
pub(super) fn script(scripts: &BTreeMap<String, String>) -> Option<&str> {
    let candidate =
        |name: &&&str| scripts.contains_key(**name) && !starts_backend(scripts, name, 0);
    NAMES.iter().find(candidate).copied()
}

fn starts_backend(scripts: &BTreeMap<String, String>, name: &str, depth: usize) -> bool {
    let Some(text) = scripts.get(name) else {
        return false;
    };
    if depth > DEPTH_MAX {
        return true;
    }
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || "\"'&|;()".contains(c))
        .filter(|w| !w.is_empty())
        .collect();
    let is_convex_dev = words
        .windows(2)
        .any(|pair| is_program(pair[0], "convex") && pair[1] == "dev");
    if is_convex_dev || words.iter().any(|word| is_program(word, "hull")) {
        return true;
    }
    let mut called = scripts
        .keys()
        .filter(|other| *other != name && calls(&words, other));
    called.any(|other| starts_backend(scripts, other, depth + 1))
}

fn is_program(word: &str, program: &str) -> bool {
    let word = word.rsplit('/').next().unwrap_or(word);
    word == program
        || word
            .split_once('@')
            .is_some_and(|(name, _)| name == program)
}

/// Whether a command line calls a script: `npm:name`, a pattern as in `dev:*`, or the
/// plain name where a runner expects one (`next dev` calls no script).
fn calls(words: &[&str], script: &str) -> bool {
    const RUNNERS: &[&str] = &[
        "run",
        "run-p",
        "run-s",
        "npm-run-all",
        "yarn",
        "pnpm",
        "bun",
    ];
    let mut follows_runner = false;
    words.iter().any(|word| {
        follows_runner |= RUNNERS.contains(word);
        if let Some((prefix, _)) = word.split_once('*') {
            let prefix = prefix.strip_prefix("npm:").unwrap_or(prefix);
            return !prefix.is_empty() && script.starts_with(prefix);
        }
        match word.strip_prefix("npm:") {
            Some(name) => name == script,
            None => *word == script && (follows_runner || script.contains(':')),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scripts: &[(&str, &str)], expected: Option<&str>) {
        let scripts = scripts
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect();
        assert_eq!(script(&scripts), expected, "{scripts:?}");
    }

    #[test]
    fn scripts() {
        check(&[("dev", "vite")], Some("dev"));
        check(&[("build", "vite build")], None);
        check(&[("dev", "convex dev")], None);
        check(&[("dev", "npx convex@latest dev --once && vite")], None);
        check(&[("dev", "hull dev .")], None);
        check(&[("dev", "../target/release/hull dev")], None);
        check(&[("dev", "next dev --turbo")], Some("dev"));
        let parallel = [
            ("dev:backend", "convex dev"),
            ("dev:frontend", "vite --open"),
        ];
        for dev in [
            "npm-run-all --parallel dev:backend dev:frontend",
            "concurrently 'npm:dev:*'",
            "run-p dev:*",
            "npm run dev:backend & vite",
        ] {
            check(
                &[&[("dev", dev)][..], &parallel[..]].concat(),
                Some("dev:frontend"),
            );
        }
        check(
            &[
                ("dev", "run-p dev:*"),
                ("dev:frontend", "next dev"),
                ("dev:backend", "convex dev"),
            ],
            Some("dev:frontend"),
        );
        check(
            &[
                ("dev", "npm run a"),
                ("a", "npm run b"),
                ("b", "convex dev"),
            ],
            None,
        );
        check(&[("dev", "npm run a"), ("a", "npm run dev")], None);
    }
}
