use std::collections::VecDeque;

use crate::limits::{INBOX_BYTES_MAX, INBOX_FRAMES_MAX};

/// Frames that wait while a token is verified: a message is fully handled before the next.
#[derive(Default)]
pub(super) struct Inbox {
    frames: VecDeque<String>,
    size_bytes: usize,
}

impl Inbox {
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < INBOX_FRAMES_MAX && self.size_bytes < INBOX_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn push_back(&mut self, text: String) {
        self.size_bytes += text.len();
        self.frames.push_back(text);
    }

    /// Puts a frame back that could not be handled yet.
    pub(super) fn push_front(&mut self, text: String) {
        self.size_bytes += text.len();
        self.frames.push_front(text);
    }

    pub(super) fn pop_front(&mut self) -> Option<String> {
        let text = self.frames.pop_front()?;
        self.size_bytes -= text.len();
        Some(text)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
