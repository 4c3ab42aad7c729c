//! Splitting one large transition into `TransitionChunk` messages.
//!
//! The text of the transition travels inside JSON strings. The escaped text of large results is
//! made once per result and sliced here, so that a slow reader of a large result holds no copy.

use bytes::Bytes;

use crate::{
    frame::{Frame, FrameKind, Parts},
    messages::{QueryId, StateModification, TransitionHeader, TransitionPiece, write_transition},
    query_result,
};

/// Returns the chunks in order. No chunk holds more than `chunk_bytes` bytes of escaped text, hence
/// no more than that of the transition.
pub(crate) fn transition_chunks<'a>(
    header: &TransitionHeader,
    modifications: impl Iterator<Item = (QueryId, &'a StateModification)>,
    chunk_bytes: usize,
) -> Vec<Frame> {
    let mut splitter = Splitter::new(chunk_bytes);
    let mut total_bytes = 0;
    write_transition(header, modifications, |piece| match piece {
        TransitionPiece::Own(bytes) => {
            total_bytes += bytes.len();
            splitter.push(query_result::escape(bytes).into());
        }
        TransitionPiece::Shared(result) => {
            total_bytes += result.tail().len();
            splitter.push(result.escaped_tail().clone());
        }
    });
    let chunks = splitter.finish();
    let total = chunks.len();
    let frame = |(number, pieces): (usize, Vec<Bytes>)| {
        let mut parts = Parts::default();
        parts.push(b"{\"type\":\"TransitionChunk\",\"chunk\":\"");
        for piece in &pieces {
            parts.push_shared(piece);
        }
        let end = format!(
            "\",\"partNumber\":{number},\"totalParts\":{total},\"transitionId\":\"{total_bytes}\"}}"
        );
        parts.push(end.as_bytes());
        let kind = match number + 1 == total {
            true => FrameKind::Transition,
            false => FrameKind::TransitionPart,
        };
        Frame {
            kind,
            parts: parts.finish(),
        }
    };
    chunks.into_iter().enumerate().map(frame).collect()
}

/// Cuts escaped text into chunks, never inside a character or an escape sequence.
struct Splitter {
    chunk_bytes: usize,
    chunks: Vec<Vec<Bytes>>,
    current: Vec<Bytes>,
    current_bytes: usize,
}

impl Splitter {
    fn new(chunk_bytes: usize) -> Self {
        // A cut may have to move back over one character of four bytes.
        assert!(
            chunk_bytes >= 8,
            "invariant: a chunk holds more than one character"
        );
        Self {
            chunk_bytes,
            chunks: Vec::new(),
            current: Vec::new(),
            current_bytes: 0,
        }
    }

    fn push(&mut self, mut text: Bytes) {
        while self.current_bytes + text.len() > self.chunk_bytes {
            let cut = safe_cut(&text, self.chunk_bytes - self.current_bytes);
            let head = text.split_to(cut);
            self.append(head);
            self.chunks.push(std::mem::take(&mut self.current));
            self.current_bytes = 0;
        }
        self.append(text);
    }

    fn append(&mut self, text: Bytes) {
        if !text.is_empty() {
            self.current_bytes += text.len();
            self.current.push(text);
        }
    }

    fn finish(mut self) -> Vec<Vec<Bytes>> {
        if !self.current.is_empty() {
            self.chunks.push(self.current);
        }
        self.chunks
    }
}

/// Returns the last position at or before `at` that is between characters and between escapes.
/// All escapes of escaped JSON are two bytes long: a backslash and one more character.
fn safe_cut(text: &[u8], at: usize) -> usize {
    let mut cut = at.min(text.len());
    while cut > 0 && cut < text.len() && text[cut] & 0xC0 == 0x80 {
        cut -= 1;
    }
    let backslashes = text[..cut]
        .iter()
        .rev()
        .take_while(|&&byte| byte == b'\\')
        .count();
    cut - backslashes % 2
}

#[cfg(test)]
mod tests;
