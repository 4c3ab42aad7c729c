use std::thread;
use std::time::{Duration, Instant};

use crate::step::{Report, Step};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Runs lists of steps side by side, each list in its order.
pub(crate) fn run(workspace: &Workspace, lanes: Vec<Vec<Step>>) -> Vec<Report> {
    thread::scope(|scope| {
        let threads: Vec<_> = lanes
            .into_iter()
            .map(|steps| {
                scope.spawn(move || {
                    steps
                        .into_iter()
                        .map(|step| step.run(workspace))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("invariant: a step reports its errors"))
            .collect()
    })
}

/// Prints the table and the closing line; returns whether all is well.
pub(crate) fn summarize(reports: &[Report], started: Instant) -> bool {
    let mut total = Tally::default();
    println!();
    for report in reports {
        total.add(report.tally);
        let mark = if report.problem.is_none() {
            '✔'
        } else {
            '✘'
        };
        println!(
            "  {mark}  {:<18}{:>8}{:>8} passed{:>6} failed",
            report.name,
            seconds(report.took),
            report.tally.passed,
            report.tally.failed,
        );
    }
    println!("\n  {} in all\n", seconds(started.elapsed()));
    println!("{} passed, {} failed", total.passed, total.failed);
    total.failed == 0
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
