/// Tests counted in the output of a test runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Reads the closing lines of cargo test, node --test and Python's unittest.
pub(crate) fn count(output: &str) -> Tally {
    let mut tally = Tally::default();
    let mut python_ran = 0;
    let mut python_failed = 0;
    for line in output.lines() {
        let line = line.trim_end();
        if let Some(result) = line.strip_prefix("test result: ") {
            tally.passed += number_before(result, " passed");
            tally.failed += number_before(result, " failed");
        } else if let Some(rest) = line.strip_prefix("ℹ ") {
            match rest.split_once(' ') {
                Some(("pass", number)) => tally.passed += number.parse().unwrap_or(0),
                Some(("fail" | "cancelled", number)) => tally.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        } else if line.starts_with("Ran ") && line.contains(" test") {
            python_ran += number_before(line, " test");
        } else if line.starts_with("FAILED (") {
            python_failed += number_after(line, "failures=") + number_after(line, "errors=");
        }
    }
    tally.passed += python_ran.saturating_sub(python_failed);
    tally.failed += python_failed;
    tally
}

fn number_before(text: &str, suffix: &str) -> usize {
    text.split_once(suffix)
        .and_then(|(before, _)| before.rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn number_after(text: &str, prefix: &str) -> usize {
    text.split_once(prefix)
        .and_then(|(_, after)| after.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, passed: usize, failed: usize) {
        assert_eq!(count(output), Tally { passed, failed });
    }

    #[test]
    fn cargo_results_add_up() {
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured\n\
             test result: FAILED. 3 passed; 2 failed; 0 ignored\n",
            15,
            2,
        );
    }

    #[test]
    fn node_counts_cancelled_tests_as_failed() {
        check(
            "ℹ tests 9\nℹ suites 0\nℹ pass 6\nℹ fail 1\nℹ cancelled 2\nℹ skipped 0\n",
            6,
            3,
        );
    }

    #[test]
    fn python_failures_and_errors_are_taken_off() {
        check(
            "Ran 8 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n",
            5,
            3,
        );
        check("Ran 1 test in 0.1s\n\nOK\n", 1, 0);
    }

    #[test]
    fn other_output_counts_nothing() {
        check("compiling 12 passed things\nℹ duration_ms 12\n", 0, 0);
    }
}
