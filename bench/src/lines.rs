//! What is measured, and the budgets (`design.md` §11).

/// One row of the table.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) budget: Option<Budget>,
}

#[derive(Clone, Copy)]
pub(crate) enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    PerSecond,
    Kilobytes,
    Megabytes,
    Percent,
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        let decimals = usize::from(value < 100.0);
        match self {
            Unit::Microseconds => format!("{value:.decimals$} µs"),
            Unit::Milliseconds => format!("{value:.decimals$} ms"),
            Unit::PerSecond => format!("{value:.0} /s"),
            Unit::Kilobytes => format!("{value:.decimals$} KB"),
            Unit::Megabytes => format!("{value:.decimals$} MB"),
            Unit::Percent => format!("{value:.0} %"),
        }
    }
}

const fn at_most(name: &'static str, what: &'static str, unit: Unit, budget: f64) -> Line {
    Line {
        name,
        what,
        unit,
        budget: Some(Budget::AtMost(budget)),
    }
}

const fn at_least(name: &'static str, what: &'static str, unit: Unit, budget: f64) -> Line {
    Line {
        name,
        what,
        unit,
        budget: Some(Budget::AtLeast(budget)),
    }
}

const fn unbudgeted(name: &'static str, what: &'static str, unit: Unit) -> Line {
    Line {
        name,
        what,
        unit,
        budget: None,
    }
}

pub(crate) const LINES: &[Line] = &[
    at_most(
        "noop",
        "noop query, no network, p50",
        Unit::Microseconds,
        50.0,
    ),
    at_most(
        "documents",
        "query returning 100 indexed documents of 10 fields, no network, p50",
        Unit::Microseconds,
        600.0,
    ),
    at_most(
        "zod",
        "noop of an app with 30 zod schemas at module level, no network, p50",
        Unit::Microseconds,
        100.0,
    ),
    at_most(
        "push",
        "pushing 100 modules of which one changed, server part, p50",
        Unit::Milliseconds,
        200.0,
    ),
    at_least(
        "query",
        "one-document query over HTTP, not cached, 32 clients",
        Unit::PerSecond,
        10_000.0,
    ),
    at_least(
        "cached",
        "the same from the cache",
        Unit::PerSecond,
        25_000.0,
    ),
    at_least(
        "insert",
        "mutation inserting one document over HTTP, durable, 32 clients",
        Unit::PerSecond,
        7_000.0,
    ),
    at_least(
        "transfer",
        "transfer between two of 100,000 accounts, 64 clients, uniform",
        Unit::PerSecond,
        5_500.0,
    ),
    at_least(
        "transfer-zipf",
        "the same, Zipf 1.5: share of the uniform rate",
        Unit::Percent,
        80.0,
    ),
    unbudgeted(
        "counter",
        "increments of one counter, 64 sync clients",
        Unit::PerSecond,
    ),
    unbudgeted(
        "backfill-p99",
        "insert over HTTP at 32 clients while an index of 100,000 documents is built, p99",
        Unit::Milliseconds,
    ),
    at_most(
        "fanout-1000-p50",
        "mutation sent to last of 1,000 subscribers updated, p50",
        Unit::Milliseconds,
        12.0,
    ),
    at_most("fanout-1000-p99", "the same, p99", Unit::Milliseconds, 40.0),
    at_most(
        "fanout-10000",
        "mutation sent to last of 10,000 subscribers updated, p50",
        Unit::Milliseconds,
        120.0,
    ),
    unbudgeted(
        "connection-2000",
        "memory per idle subscribed connection, 2,000 open",
        Unit::Kilobytes,
    ),
    at_most(
        "connection-10000",
        "memory per idle subscribed connection, 10,000 open",
        Unit::Kilobytes,
        10.0,
    ),
    at_most(
        "cold-start",
        "exec to first answered query, nothing there before",
        Unit::Milliseconds,
        40.0,
    ),
    unbudgeted(
        "restart",
        "exec to first answered function call, app deployed before",
        Unit::Milliseconds,
    ),
    at_most(
        "idle-memory",
        "resident memory of an idle server, app deployed",
        Unit::Megabytes,
        35.0,
    ),
    at_most(
        "memory-after-load",
        "resident memory one minute after the HTTP lines",
        Unit::Megabytes,
        120.0,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        for (i, line) in LINES.iter().enumerate() {
            assert!(LINES[..i].iter().all(|other| other.name != line.name));
        }
    }
}
