use hull_value::{CodedError, DocumentId};

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
    pub functions_scheduled: usize,
    /// Of the arguments of those functions.
    pub scheduled_bytes: usize,
    pub files_read: usize,
    pub file_bytes_read: usize,
    pub files_written: usize,
    pub file_bytes_written: usize,
    system_rows_written: usize,
    system_bytes_written: usize,
    /// The largest document written, and the deepest one.
    largest: Option<(usize, DocumentId)>,
    deepest: Option<(usize, DocumentId)>,
    pub ceilings: Ceilings,
}

/// How much may be used; lowered for nested calls with `transactionLimits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    pub documents_read: usize,
    pub bytes_read: usize,
    pub intervals_read: usize,
    pub documents_written: usize,
    pub bytes_written: usize,
    pub functions_scheduled: usize,
    pub scheduled_bytes: usize,
    pub files_read: usize,
    pub file_bytes_read: usize,
    pub files_written: usize,
    pub file_bytes_written: usize,
}

impl Default for Ceilings {
    fn default() -> Ceilings {
        Ceilings {
            documents_read: limits::DOCUMENTS_READ_MAX,
            bytes_read: limits::BYTES_READ_MAX,
            intervals_read: limits::INTERVALS_READ_MAX,
            documents_written: limits::DOCUMENTS_WRITTEN_MAX,
            bytes_written: limits::BYTES_WRITTEN_MAX,
            functions_scheduled: limits::FUNCTIONS_SCHEDULED_MAX,
            scheduled_bytes: limits::SCHEDULED_BYTES_MAX,
            files_read: limits::FILES_MAX,
            file_bytes_read: limits::FILE_BYTES_MAX,
            files_written: limits::FILES_MAX,
            file_bytes_written: limits::FILE_BYTES_MAX,
        }
    }
}

/// A budget of a nested call, on top of what is used so far; `None` leaves a
/// limit as it is (function runtime spec 9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionLimits {
    pub documents_read: Option<usize>,
    pub bytes_read: Option<usize>,
    pub database_queries: Option<usize>,
    pub documents_written: Option<usize>,
    pub bytes_written: Option<usize>,
    pub functions_scheduled: Option<usize>,
    pub scheduled_bytes: Option<usize>,
    pub files_read: Option<usize>,
    pub file_bytes_read: Option<usize>,
    pub files_written: Option<usize>,
    pub file_bytes_written: Option<usize>,
}

impl Usage {
    pub(crate) fn new(ceilings: Ceilings) -> Usage {
        Usage {
            ceilings,
            ..Usage::default()
        }
    }

    /// Lowers the ceilings, never raises one; returns the former ones, to be
    /// put back after the nested call.
    pub fn lower_ceilings(&mut self, limits: &TransactionLimits) -> Ceilings {
        let lowered = |ceiling: usize, used: usize, limit: Option<usize>| {
            limit.map_or(ceiling, |limit| ceiling.min(used.saturating_add(limit)))
        };
        let former = self.ceilings;
        self.ceilings = Ceilings {
            documents_read: lowered(
                former.documents_read,
                self.documents_read,
                limits.documents_read,
            ),
            bytes_read: lowered(former.bytes_read, self.bytes_read, limits.bytes_read),
            intervals_read: lowered(
                former.intervals_read,
                self.intervals_read,
                limits.database_queries,
            ),
            documents_written: lowered(
                former.documents_written,
                self.documents_written,
                limits.documents_written,
            ),
            bytes_written: lowered(
                former.bytes_written,
                self.bytes_written,
                limits.bytes_written,
            ),
            functions_scheduled: lowered(
                former.functions_scheduled,
                self.functions_scheduled,
                limits.functions_scheduled,
            ),
            scheduled_bytes: lowered(
                former.scheduled_bytes,
                self.scheduled_bytes,
                limits.scheduled_bytes,
            ),
            files_read: lowered(former.files_read, self.files_read, limits.files_read),
            file_bytes_read: lowered(
                former.file_bytes_read,
                self.file_bytes_read,
                limits.file_bytes_read,
            ),
            files_written: lowered(
                former.files_written,
                self.files_written,
                limits.files_written,
            ),
            file_bytes_written: lowered(
                former.file_bytes_written,
                self.file_bytes_written,
                limits.file_bytes_written,
            ),
        };
        former
    }

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
            return Err(limits::too_many_bytes_written(self.ceilings.bytes_written));
        }
        Ok(())
    }

    /// Counts a function that is scheduled.
    pub fn charge_scheduled(&mut self, args_bytes: usize) -> Result<(), CodedError> {
        self.functions_scheduled += 1;
        self.scheduled_bytes += args_bytes;
        if self.functions_scheduled > self.ceilings.functions_scheduled {
            return Err(limits::too_many_scheduled(
                self.ceilings.functions_scheduled,
            ));
        }
        if self.scheduled_bytes > self.ceilings.scheduled_bytes {
            return Err(limits::too_large_scheduled(self.ceilings.scheduled_bytes));
        }
        Ok(())
    }

    /// Counts a file that is read whole.
    pub fn charge_file_read(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.files_read += 1;
        self.file_bytes_read += size_bytes;
        if self.files_read > self.ceilings.files_read {
            return Err(limits::too_many_files("read", self.ceilings.files_read));
        }
        if self.file_bytes_read > self.ceilings.file_bytes_read {
            let limit = self.ceilings.file_bytes_read;
            return Err(limits::too_many_file_bytes("read", limit));
        }
        Ok(())
    }

    /// Counts a file that is written.
    pub fn charge_file_write(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.files_written += 1;
        self.file_bytes_written += size_bytes;
        if self.files_written > self.ceilings.files_written {
            let limit = self.ceilings.files_written;
            return Err(limits::too_many_files("written", limit));
        }
        if self.file_bytes_written > self.ceilings.file_bytes_written {
            let limit = self.ceilings.file_bytes_written;
            return Err(limits::too_many_file_bytes("written", limit));
        }
        Ok(())
    }

    /// Counts a row written to a table of the system. It counts against no
    /// function's limits, but one commit must not grow without bound either.
    pub(super) fn charge_system_write(&mut self, size_bytes: usize) -> Result<(), CodedError> {
        self.system_rows_written += 1;
        self.system_bytes_written += size_bytes;
        if self.system_rows_written > limits::SYSTEM_ROWS_WRITTEN_MAX {
            return Err(limits::too_many_writes(limits::SYSTEM_ROWS_WRITTEN_MAX));
        }
        if self.system_bytes_written > limits::SYSTEM_BYTES_WRITTEN_MAX {
            return Err(limits::too_many_bytes_written(
                limits::SYSTEM_BYTES_WRITTEN_MAX,
            ));
        }
        Ok(())
    }

    /// Remembers a document that was written, for [`warnings`](Self::warnings).
    pub(super) fn note_written(&mut self, id: &DocumentId, size_bytes: usize, nesting: usize) {
        for (most, amount) in [
            (&mut self.largest, size_bytes),
            (&mut self.deepest, nesting),
        ] {
            if most.is_none_or(|(so_far, _)| so_far < amount) {
                *most = Some((amount, *id));
            }
        }
    }

    /// The log lines that warn of limits nearly reached: code suffix and text (function runtime spec 4).
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        const HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";
        let ceilings = &self.ceilings;
        let document = |what: &str, of: Option<(usize, DocumentId)>| {
            let (amount, id) = of.map_or((0, String::new()), |(n, id)| (n, id.to_string()));
            (format!("{what} document written with ID \"{id}\""), amount)
        };
        let (large, largest) = document("Large", self.largest);
        let (deep, deepest) = document("Deeply nested", self.deepest);
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
            (
                "TooManyFunctionsScheduled",
                "Many functions scheduled by this mutation",
                self.functions_scheduled,
                ceilings.functions_scheduled,
                "",
                "",
            ),
            (
                "ScheduledFunctionsArgumentsTooLarge",
                "Large total size of the arguments of scheduled functions from this mutation",
                self.scheduled_bytes,
                ceilings.scheduled_bytes,
                " bytes",
                "",
            ),
            (
                "TooLargeDocument",
                &large,
                largest,
                hull_value::limits::DOCUMENT_SIZE_MAX_BYTES,
                " bytes",
                "",
            ),
            (
                "TooNestedDocument",
                &deep,
                deepest,
                hull_value::limits::DOCUMENT_NESTING_MAX,
                "",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_counts_from_the_usage_so_far_and_never_raises_a_limit() {
        let mut usage = Usage::default();
        usage.charge_read(100).unwrap();
        let former = usage.lower_ceilings(&TransactionLimits {
            documents_read: Some(2),
            bytes_read: Some(usize::MAX),
            ..TransactionLimits::default()
        });
        assert_eq!(usage.ceilings.bytes_read, limits::BYTES_READ_MAX);
        // A budget inside of a budget is capped by the outer one.
        let outer = usage.lower_ceilings(&TransactionLimits {
            documents_read: Some(10),
            ..TransactionLimits::default()
        });
        assert_eq!(outer, usage.ceilings);
        usage.charge_read(1).unwrap();
        usage.charge_read(1).unwrap();
        let error = usage.charge_read(1).unwrap_err();
        assert_eq!(error.code, "TooManyDocumentsRead");
        assert!(error.message.contains("(limit: 3)"), "{}", error.message);
        usage.ceilings = former;
        usage.charge_read(1).unwrap();
    }

    #[test]
    fn rows_of_the_system_have_limits_of_their_own() {
        for (rows, row_bytes, code) in [
            (limits::SYSTEM_ROWS_WRITTEN_MAX, 0, "TooManyWrites"),
            (
                2,
                limits::SYSTEM_BYTES_WRITTEN_MAX / 2,
                "TooManyBytesWritten",
            ),
        ] {
            let mut usage = Usage::default();
            for _ in 0..rows {
                usage.charge_system_write(row_bytes).unwrap();
            }
            assert_eq!(usage.charge_system_write(1).unwrap_err().code, code);
            assert_eq!(usage.documents_written + usage.bytes_written, 0);
        }
    }

    #[test]
    fn the_limit_of_bytes_written_is_shown_in_binary_units() {
        for (limit, shown) in [(16 << 20, "16 MiB"), (1_000, "1000 B")] {
            let mut usage = Usage::default();
            usage.ceilings.bytes_written = limit;
            usage.charge_write(limit).unwrap();
            let error = usage.charge_write(1).unwrap_err();
            assert_eq!(
                error.message,
                format!("Too many bytes written in a single function execution (limit: {shown})")
            );
        }
    }

    #[test]
    fn files_are_counted_before_the_check() {
        let mut usage = Usage::new(Ceilings::default());
        for _ in 0..limits::FILES_MAX {
            usage.charge_file_write(1).unwrap();
            usage.charge_file_read(0).unwrap();
        }
        for _ in 0..2 {
            let error = usage.charge_file_write(1).unwrap_err();
            assert_eq!(error.code, "TooManyFilesWritten");
            assert_eq!(
                error.message,
                "Too many files written in a single function execution (limit: 1000)"
            );
            assert_eq!(
                usage.charge_file_read(0).unwrap_err().code,
                "TooManyFilesRead"
            );
        }
        let mut usage = Usage::new(Ceilings::default());
        usage.charge_file_write(limits::FILE_BYTES_MAX).unwrap();
        let error = usage.charge_file_write(1).unwrap_err();
        assert_eq!(
            error.message,
            "Too many bytes of files written in a single function execution (limit: 16 MiB)"
        );
        let error = usage
            .charge_file_read(limits::FILE_BYTES_MAX + 1)
            .unwrap_err();
        assert_eq!(error.code, "TooManyFileBytesRead");
    }
}
