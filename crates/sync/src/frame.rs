use bytes::{BufMut, Bytes, BytesMut};

/// Shared bytes shorter than this are copied next to their neighbours: a slice of its own costs a
/// vectored write more than the copy.
const SHARE_BYTES_MIN: usize = 512;

/// One text frame to send, as slices that are written one after the other without copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    pub parts: Vec<Bytes>,
}

/// What a frame is; handed back in `Session::frame_written` so that back-pressure can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A transition, or the last chunk of one.
    Transition,
    /// A chunk of a transition that is not the last.
    TransitionPart,
    /// A mutation response of this many bytes.
    MutationResponse { size_bytes: usize },
    /// An action response of this many bytes.
    ActionResponse { size_bytes: usize },
    /// `Ping`, `AuthError`, `FatalError`.
    Control,
}

impl Frame {
    pub(crate) fn control(text: Vec<u8>) -> Self {
        Self {
            kind: FrameKind::Control,
            parts: vec![Bytes::from(text)],
        }
    }

    /// Returns the number of payload bytes.
    pub fn size_bytes(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Copies the payload together; for transports that cannot write slices, and for tests.
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [part] => part.clone(),
            parts => parts.concat().into(),
        }
    }
}

/// Collects the parts of a frame: small pieces are copied together, large ones stay shared.
#[derive(Default)]
pub(crate) struct Parts {
    done: Vec<Bytes>,
    buffer: BytesMut,
}

impl Parts {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    pub(crate) fn push_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_BYTES_MIN {
            self.push(bytes);
            return;
        }
        self.flush();
        self.done.push(bytes.clone());
    }

    pub(crate) fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.done
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.done.push(self.buffer.split().freeze());
        }
    }
}
