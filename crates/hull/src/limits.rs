//! `--limit`: what functions may use.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use hull_functions::FunctionLimits;

#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// Change what functions may use; give it once for each limit.
    ///
    /// NAME is one of documentsRead (32000), bytesRead (16777216), databaseQueries (4096),
    /// documentsWritten (16000), bytesWritten (16777216), functionTimeMs (1000: time of a
    /// query or mutation to compute, milliseconds) and concurrentActions (256). Higher limits cost memory and hold up other calls.
    #[arg(
        long = "limit",
        value_name = "NAME=NUMBER",
        env = "HULL_LIMITS",
        value_delimiter = ','
    )]
    limits: Vec<Limit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    name: &'static str,
    value: usize,
}

/// Where a limit is kept, by its name in `getTransactionMetrics`, and the most it may be.
const LIMITS: [(&str, usize); 7] = [
    ("documentsRead", 100_000_000),
    ("bytesRead", 4 << 30),
    ("databaseQueries", 10_000_000),
    ("documentsWritten", 10_000_000),
    ("bytesWritten", 1 << 30),
    ("functionTimeMs", 600_000),
    ("concurrentActions", 100_000),
];

impl LimitArguments {
    pub(crate) fn to_function_limits(&self) -> FunctionLimits {
        let mut limits = FunctionLimits::default();
        for Limit { name, value } in &self.limits {
            let transaction = &mut limits.transaction;
            match *name {
                "documentsRead" => transaction.documents_read = *value,
                "bytesRead" => transaction.bytes_read = *value,
                "databaseQueries" => transaction.intervals_read = *value,
                "documentsWritten" => transaction.documents_written = *value,
                "bytesWritten" => transaction.bytes_written = *value,
                "concurrentActions" => limits.actions = *value,
                _ => limits.user_time = Duration::from_millis(*value as u64),
            }
        }
        limits
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("write NAME=NUMBER, for instance documentsRead=64000")?;
        let Some((name, most)) = LIMITS.iter().find(|(known, _)| *known == name.trim()) else {
            let names: Vec<&str> = LIMITS.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "there is no limit `{}`; the limits are {}",
                name.trim(),
                names.join(", ")
            ));
        };
        match value.trim().parse() {
            Ok(value) if (1..=*most).contains(&value) => Ok(Limit { name, value }),
            _ => Err(format!("{name} is a whole number from 1 to {most}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        limits: LimitArguments,
    }

    fn parse(arguments: &[&str]) -> Result<FunctionLimits, String> {
        let arguments = std::iter::once("hull").chain(arguments.iter().copied());
        Program::try_parse_from(arguments)
            .map(|program| program.limits.to_function_limits())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_limit_is_set_by_its_name() {
        assert_eq!(parse(&[]), Ok(FunctionLimits::default()));
        let given: Vec<String> = LIMITS
            .iter()
            .enumerate()
            .flat_map(|(n, (name, _))| ["--limit".to_owned(), format!("{name}={}", n + 1)])
            .collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let limits = parse(&given).unwrap();
        let transaction = limits.transaction;
        assert_eq!(
            [
                transaction.documents_read,
                transaction.bytes_read,
                transaction.intervals_read,
                transaction.documents_written,
                transaction.bytes_written,
            ],
            [1, 2, 3, 4, 5]
        );
        assert_eq!(limits.user_time, Duration::from_millis(6));
        assert_eq!(limits.actions, 7);
        let listed = parse(&["--limit", "bytesRead=7, documentsRead=8"]).unwrap();
        assert_eq!(
            (
                listed.transaction.bytes_read,
                listed.transaction.documents_read
            ),
            (7, 8)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, text) in [
            ("documentsRead", "write NAME=NUMBER"),
            ("documentRead=1", "there is no limit `documentRead`"),
            ("documentsRead=0", "a whole number from 1 to 100000000"),
            ("documentsRead=many", "a whole number"),
            ("functionTimeMs=600001", "from 1 to 600000"),
        ] {
            let error = parse(&["--limit", given]).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
