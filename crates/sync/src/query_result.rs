use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{function_request_id::FunctionRequestId, json_text, limits::ERROR_MESSAGE_BYTES_MAX};

/// The result of one run of a query, encoded once and shared by every session that shows it.
///
/// Inside a transition it is `{"type":"QueryUpdated","queryId":N` + `tail`, where the tail is
/// ```text
/// ,"value":V,"logLines":[…],"journal":J}
/// ,"errorMessage":"…","errorData":D,"logLines":[…],"journal":J}      (errorData only if thrown)
/// ```
#[derive(Debug)]
pub struct QueryResult {
    tail: Bytes,
    /// The encoded value inside `tail`; `None` for an error.
    value: Option<Range<usize>>,
    /// The request id inside `tail`, which is not content.
    request_id: Range<usize>,
    /// Where `,"journal":` begins in `tail`; the journal is not content.
    content_end: usize,
    journal: Option<Arc<str>>,
    hash: OnceLock<ContentHash>,
    escaped_tail: OnceLock<Bytes>,
}

/// Identifies what a client can see of a result: value, or error text and data, and log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 16]);

/// Why a function run failed, as shown to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionFailure {
    pub request_id: FunctionRequestId,
    /// What follows `Server Error`: `Uncaught Error: boom\n    at …`. `None` hides it (redaction).
    pub message: Option<String>,
    /// Encoded JSON of the data of a `ConvexError`.
    pub data: Option<Bytes>,
}

impl FunctionFailure {
    /// Returns the text sent to clients.
    pub fn text(&self) -> String {
        let head = format!("[Request ID: {}] Server Error", self.request_id);
        match &self.message {
            None => head,
            Some(message) => {
                let message = json_text::prefix(message, ERROR_MESSAGE_BYTES_MAX);
                format!("{head}\n{message}")
            }
        }
    }
}

impl QueryResult {
    /// Encodes a success. `write_value` appends the value as encoded JSON: a value that is not
    /// encoded yet goes straight into the shared buffer.
    pub fn updated(
        write_value: impl FnOnce(&mut Vec<u8>),
        log_lines: &[String],
        journal: Option<Arc<str>>,
    ) -> Self {
        let mut tail = b",\"value\":".to_vec();
        let start = tail.len();
        write_value(&mut tail);
        let value = start..tail.len();
        Self::finish(tail, Some(value), 0..0, log_lines, journal)
    }

    /// Encodes a failure.
    pub fn failed(
        failure: &FunctionFailure,
        log_lines: &[String],
        journal: Option<Arc<str>>,
    ) -> Self {
        let mut tail = b",\"errorMessage\":".to_vec();
        // The id may need escapes, so its place is found by encoding what precedes what follows it.
        let start = tail.len() + "\"[Request ID: ".len();
        let mut id = Vec::new();
        json_text::write(&mut id, failure.request_id.as_str());
        let request_id = start..start + id.len() - 2;
        json_text::write(&mut tail, &failure.text());
        if let Some(data) = &failure.data {
            tail.extend_from_slice(b",\"errorData\":");
            tail.extend_from_slice(data);
        }
        Self::finish(tail, None, request_id, log_lines, journal)
    }

    fn finish(
        mut tail: Vec<u8>,
        value: Option<Range<usize>>,
        request_id: Range<usize>,
        log_lines: &[String],
        journal: Option<Arc<str>>,
    ) -> Self {
        tail.extend_from_slice(b",\"logLines\":");
        json_text::write(&mut tail, log_lines);
        let content_end = tail.len();
        tail.extend_from_slice(b",\"journal\":");
        json_text::write(&mut tail, &journal.as_deref());
        tail.push(b'}');
        tail.shrink_to_fit();
        Self {
            tail: Bytes::from(tail),
            value,
            request_id,
            content_end,
            journal,
            hash: OnceLock::new(),
            escaped_tail: OnceLock::new(),
        }
    }

    /// Whether the run failed.
    pub fn is_error(&self) -> bool {
        self.value.is_none()
    }

    /// Returns the encoded value of a success, sharing the bytes.
    pub fn value(&self) -> Option<Bytes> {
        self.value.clone().map(|range| self.tail.slice(range))
    }

    /// Returns the journal that the run produced.
    pub fn journal(&self) -> Option<&Arc<str>> {
        self.journal.as_ref()
    }

    /// Returns the content hash, computed when first asked for.
    pub fn content_hash(&self) -> ContentHash {
        *self.hash.get_or_init(|| {
            let mut hasher = Sha256::new();
            hasher.update(&self.tail[..self.request_id.start]);
            hasher.update(&self.tail[self.request_id.end..self.content_end]);
            let digest = hasher.finalize();
            let mut hash = [0; 16];
            hash.copy_from_slice(&digest[..16]);
            ContentHash(hash)
        })
    }

    /// Returns the memory held, for accounting.
    pub fn size_bytes(&self) -> usize {
        let escaped = self.escaped_tail.get().map_or(0, Bytes::len);
        size_of::<Self>() + self.tail.len() + escaped + self.journal.as_ref().map_or(0, |j| j.len())
    }

    pub(crate) fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// Returns the tail as it stands inside a JSON string. Made once, only for results so large that
    /// they travel in chunks: the chunks of all sessions share it.
    pub(crate) fn escaped_tail(&self) -> &Bytes {
        self.escaped_tail.get_or_init(|| escape(&self.tail).into())
    }
}

/// Returns JSON text as it stands inside a JSON string. Valid compact JSON holds no raw control
/// characters, so quotes and backslashes are all there is to escape.
pub(crate) fn escape(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 8);
    for &byte in json {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(id: &str, message: &str, data: Option<&'static str>) -> FunctionFailure {
        FunctionFailure {
            request_id: FunctionRequestId::new(id),
            message: Some(message.to_owned()),
            data: data.map(|data| Bytes::from_static(data.as_bytes())),
        }
    }

    fn failed(id: &str, message: &str, data: Option<&'static str>) -> QueryResult {
        QueryResult::failed(&failure(id, message, data), &[], None)
    }

    fn updated(value: &str, lines: &[&str], journal: Option<&str>) -> QueryResult {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let write = |out: &mut Vec<u8>| out.extend_from_slice(value.as_bytes());
        QueryResult::updated(write, &lines, journal.map(Into::into))
    }

    #[test]
    fn tail_has_the_documented_keys() {
        let result = updated("1.0", &["[LOG] 'hi'"], Some("j\""));
        assert_eq!(
            result.tail(),
            r#","value":1.0,"logLines":["[LOG] 'hi'"],"journal":"j\""}"#
        );
        assert_eq!(result.value().unwrap(), "1.0");
        let result = failed("ab", "Uncaught Error: x\n", Some("null"));
        assert_eq!(
            result.tail(),
            r#","errorMessage":"[Request ID: ab] Server Error\nUncaught Error: x\n","errorData":null,"logLines":[],"journal":null}"#
        );
        assert!(result.is_error());
    }

    #[test]
    fn hash_covers_what_is_seen_and_nothing_else() {
        let same = |a: QueryResult, b: QueryResult| a.content_hash() == b.content_hash();
        assert!(same(
            updated("1.0", &[], None),
            updated("1.0", &[], Some("j"))
        ));
        assert!(!same(updated("1.0", &[], None), updated("2.0", &[], None)));
        assert!(!same(
            updated("1.0", &["[LOG] a"], None),
            updated("1.0", &[], None)
        ));
        assert!(same(failed("a\"b", "x", None), failed("other", "x", None)));
        assert!(!same(failed("a", "x", None), failed("a", "y", None)));
        assert!(!same(
            failed("a", "x", None),
            failed("a", "x", Some("null"))
        ));
    }

    #[test]
    fn redacted_failure_shows_only_the_request_id() {
        let mut failure = failure("ab", "secret", None);
        failure.message = None;
        assert_eq!(failure.text(), "[Request ID: ab] Server Error");
    }

    #[test]
    fn message_is_cut_between_characters() {
        let failure = failure("ab", &"é".repeat(40_000), None);
        let head = "[Request ID: ab] Server Error\n".len();
        assert_eq!(failure.text().len(), head + ERROR_MESSAGE_BYTES_MAX);
    }
}
