//! The table: value, budget, ratio.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::lines::{Budget, LINES, Line};
use crate::machine;

/// Where hand-written findings begin in RESULTS.md; kept when the table is renewed.
const NOTES: &str = "## Notes";

/// What was asked for and what was measured so far.
pub(crate) struct Report {
    wanted: Vec<String>,
    /// Of the machine before the first line.
    load_average: String,
    measured: Vec<(&'static str, f64, String)>,
}

impl Report {
    /// Without names, everything is wanted.
    pub(crate) fn new(wanted: Vec<String>) -> Report {
        Report {
            wanted,
            load_average: machine::load_average(),
            measured: Vec::new(),
        }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }

    pub(crate) fn wants_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.wants(name))
    }

    /// Takes the value of a line, in the line's unit, with what else is worth knowing.
    pub(crate) fn add(&mut self, name: &'static str, value: f64, detail: impl Into<String>) {
        if !self.wants(name) {
            return;
        }
        let detail = detail.into();
        if let Some(line) = LINES.iter().find(|line| line.name == name) {
            eprintln!("{name}: {} {detail}", line.unit.show(value));
        }
        self.measured.push((name, value, detail));
    }

    /// Says that a line could not be measured here.
    pub(crate) fn skip(&self, name: &str, why: &str) {
        if self.wants(name) {
            eprintln!("{name}: left out: {why}");
        }
    }

    fn rows(&self) -> Vec<[String; 6]> {
        let measured = |line: &'static Line| {
            let (_, value, detail) = self.measured.iter().find(|(name, ..)| *name == line.name)?;
            let (budget, ratio) = compare(line, *value);
            Some([
                line.name.to_owned(),
                line.what.to_owned(),
                line.unit.show(*value),
                budget,
                ratio,
                detail.clone(),
            ])
        };
        LINES.iter().filter_map(measured).collect()
    }

    pub(crate) fn print(&self) {
        println!();
        println!(
            "{:<18} {:>11}  {:>12}  {:>5}",
            "line", "value", "budget", "ratio"
        );
        for [name, what, value, budget, ratio, detail] in self.rows() {
            println!("{name:<18} {value:>11}  {budget:>12}  {ratio:>5}  {what}; {detail}");
        }
        println!("\nload average before the run: {}", self.load_average);
        println!("ratio: part of the budget that is used; above 1 it is missed");
    }

    /// Renews the table in RESULTS.md and keeps the notes under it.
    pub(crate) fn write(&self) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let notes = old.find(NOTES).map_or("", |start| &old[start..]);
        let mut text = format!(
            "# Benchmark results\n\nWritten by `cargo xtask bench --write`.\n\n{} \
             Load average before the run: {}.\n\n\
             Ratio: part of the budget that is used; above 1 the budget is missed.\n\n\
             | line | what | value | budget | ratio | detail |\n|---|---|---|---|---|---|\n",
            machine::describe(),
            self.load_average
        );
        for row in self.rows() {
            writeln!(text, "| {} |", row.join(" | ")).context("formatting the table")?;
        }
        if !notes.is_empty() {
            text.push('\n');
            text.push_str(notes);
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

fn compare(line: &Line, value: f64) -> (String, String) {
    match line.budget {
        None => ("-".to_owned(), "-".to_owned()),
        Some(Budget::AtMost(budget)) => (
            format!("≤ {}", line.unit.show(budget)),
            format!("{:.2}", value / budget),
        ),
        Some(Budget::AtLeast(budget)) => (
            format!("≥ {}", line.unit.show(budget)),
            format!("{:.2}", budget / value),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_a_missed_budget() {
        let ratio = |name: &str, value: f64| {
            let line = LINES.iter().find(|line| line.name == name).unwrap();
            compare(line, value).1
        };
        assert_eq!(ratio("noop", 100.0), "2.00");
        assert_eq!(ratio("query", 5_000.0), "2.00");
        assert_eq!(ratio("query", 20_000.0), "0.50");
        assert_eq!(ratio("restart", 1.0), "-");
    }
}
