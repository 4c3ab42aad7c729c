use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::call::FunctionResult;
use crate::logs::LogLine;

/// The answer to a live query. Shared by everyone it is right for.
pub struct LiveResult {
    pub result: FunctionResult,
    pub log_lines: Vec<LogLine>,
    pub journal: Option<String>,
    /// Id of the request whose run gave it; its log entry has the same.
    pub request_id: String,
    attachment: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl LiveResult {
    pub(crate) fn new(
        result: FunctionResult,
        log_lines: Vec<LogLine>,
        journal: Option<String>,
        request_id: String,
    ) -> LiveResult {
        LiveResult {
            result,
            log_lines,
            journal,
            request_id,
            attachment: OnceLock::new(),
        }
    }

    /// Returns what `build` makes of this result, made once and shared from then on.
    pub fn attachment<T: Send + Sync + 'static>(
        &self,
        build: impl FnOnce(&LiveResult) -> T,
    ) -> Arc<T> {
        let shared = self.attachment.get_or_init(|| Arc::new(build(self)));
        shared
            .clone()
            .downcast::<T>()
            .unwrap_or_else(|_| unreachable!("invariant: one type of attachment is used"))
    }

    /// Whether clients are shown the same: result, journal and console lines.
    pub(super) fn same_content(&self, other: &LiveResult) -> bool {
        let same_line = |(one, other): (&LogLine, &LogLine)| {
            one.level == other.level
                && one.messages == other.messages
                && one.is_truncated == other.is_truncated
        };
        self.result == other.result
            && self.journal == other.journal
            && self.log_lines.len() == other.log_lines.len()
            && self.log_lines.iter().zip(&other.log_lines).all(same_line)
    }

    /// Bytes of memory held, its encoded form included.
    pub(super) fn size_bytes(&self) -> usize {
        let result = match &self.result {
            Ok(value) => value.as_bytes().len(),
            Err(error) => {
                let data = error.data.as_ref().map_or(0, |data| data.as_bytes().len());
                error.message.len() + data
            }
        };
        let lines: usize = self
            .log_lines
            .iter()
            .map(|line| 128 + line.messages.iter().map(String::len).sum::<usize>())
            .sum();
        let journal = self.journal.as_ref().map_or(0, String::len);
        2 * (result + lines + journal)
    }
}
