use hull_value::CodedError;

use crate::limits;

/// What a transaction has used of each limit. Counted before the check, so a
/// caught limit error does not make room again (function runtime spec 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub documents_read: usize,
    pub bytes_read: usize,
    /// Distinct read intervals; kept by the transaction from its read set.
    pub intervals_read: usize,
    pub documents_written: usize,
    pub bytes_written: usize,
    pub ceilings: Ceilings,
}

/// How much may be used; lowered for nested calls with `transactionLimits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings {
    pub documents_read: usize,
    pub bytes_read: usize,
    pub intervals_read: usize,
    pub documents_written: usize,
    pub bytes_written: usize,
}

impl Default for Ceilings {
    fn default() -> Ceilings {
        Ceilings {
            documents_read: limits::DOCUMENTS_READ_MAX,
            bytes_read: limits::BYTES_READ_MAX,
            intervals_read: limits::INTERVALS_READ_MAX,
            documents_written: limits::DOCUMENTS_WRITTEN_MAX,
            bytes_written: limits::BYTES_WRITTEN_MAX,
        }
    }
}

impl Usage {
    pub(super) fn charge_read(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.documents_read += 1;
        self.bytes_read += size_bytes;
        if self.documents_read > self.ceilings.documents_read {
            return Err(limits::too_many_documents_read(
                self.ceilings.documents_read,
            ));
        }
        if self.bytes_read > self.ceilings.bytes_read {
            return Err(limits::too_many_bytes_read(self.ceilings.bytes_read));
        }
        Ok(())
    }

    pub(super) fn charge_intervals(&mut self, count: usize) -> Result<(), CodedError> {
        self.intervals_read = count;
        if count > self.ceilings.intervals_read {
            return Err(limits::too_many_reads(self.ceilings.intervals_read));
        }
        Ok(())
    }

    pub(super) fn charge_write(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.documents_written += 1;
        self.bytes_written += size_bytes;
        if self.documents_written > self.ceilings.documents_written {
            return Err(limits::too_many_writes(self.ceilings.documents_written));
        }
        if self.bytes_written > self.ceilings.bytes_written {
            return Err(limits::too_many_bytes_written());
        }
        Ok(())
    }

    /// The log lines that warn of limits nearly reached: code suffix and text (function runtime spec 4).
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        const HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";
        let ceilings = &self.ceilings;
        let lines = [
            (
                "TooManyDocumentsRead",
                "Many documents read in a single function execution",
                self.documents_read,
                ceilings.documents_read,
                "",
                HELP,
            ),
            (
                "TooManyBytesRead",
                "Many bytes read in a single function execution",
                self.bytes_read,
                ceilings.bytes_read,
                " bytes",
                HELP,
            ),
            (
                "TooManyReads",
                "Many reads in a single function execution",
                self.intervals_read,
                ceilings.intervals_read,
                "",
                HELP,
            ),
            (
                "TooManyWrites",
                "Many writes in a single function execution",
                self.documents_written,
                ceilings.documents_written,
                "",
                "",
            ),
            (
                "TooManyBytesWritten",
                "Many bytes written in a single function execution",
                self.bytes_written,
                ceilings.bytes_written,
                " bytes",
                "",
            ),
        ];
        lines
            .into_iter()
            .filter(|(_, _, used, limit, _, _)| *used * 10 > *limit * 8 && used <= limit)
            .map(|(code, text, used, limit, unit, help)| {
                let help = if help.is_empty() {
                    String::new()
                } else {
                    format!(" {help}")
                };
                (
                    code,
                    format!("{text} (actual: {used}{unit}, limit: {limit}{unit}).{help}"),
                )
            })
            .collect()
    }
}
