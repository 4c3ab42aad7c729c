//! Outgoing frames.
//!
//! ```text
//! byte 0    FIN 1 | RSV 000 | opcode 4
//! byte 1    MASK 0 | length 7      (0–125; 126 → next 2 bytes; 127 → next 8 bytes, big-endian)
//! payload   never masked by a server
//! ```

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};

pub(super) const OPCODE_CONTINUATION: u8 = 0x0;
pub(super) const OPCODE_TEXT: u8 = 0x1;
pub(super) const OPCODE_BINARY: u8 = 0x2;
pub(super) const OPCODE_CLOSE: u8 = 0x8;
pub(super) const OPCODE_PING: u8 = 0x9;
pub(super) const OPCODE_PONG: u8 = 0xA;

/// Longest payload of a control frame; a close reason has two bytes less.
pub(super) const CONTROL_PAYLOAD_MAX: usize = 125;
const CLOSE_REASON_MAX: usize = CONTROL_PAYLOAD_MAX - 2;
const HEADER_MAX: usize = 10;

/// One whole frame on its way out, with how much of it has been written.
#[derive(Debug)]
pub struct Frame {
    header: [u8; HEADER_MAX],
    header_len: u8,
    is_close: bool,
    parts: Vec<Bytes>,
    /// Bytes of header and payload already written.
    written: usize,
    len: usize,
}

impl Frame {
    /// A text message whose payload is the concatenation of `parts`.
    pub fn text(parts: Vec<Bytes>) -> Frame {
        Frame::new(OPCODE_TEXT, parts)
    }

    pub fn ping() -> Frame {
        Frame::new(OPCODE_PING, Vec::new())
    }

    pub(super) fn pong(payload: Vec<u8>) -> Frame {
        Frame::new(OPCODE_PONG, vec![payload.into()])
    }

    /// A close frame; without a code the payload is empty and the peer sees 1005.
    pub fn close(code: Option<u16>, reason: &str) -> Frame {
        let Some(code) = code else {
            return Frame::new(OPCODE_CLOSE, Vec::new());
        };
        let mut end = reason.len().min(CLOSE_REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let mut payload = BytesMut::with_capacity(2 + end);
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..end]);
        Frame::new(OPCODE_CLOSE, vec![payload.freeze()])
    }

    fn new(opcode: u8, parts: Vec<Bytes>) -> Frame {
        let payload_len: usize = parts.iter().map(Bytes::len).sum();
        let mut header = [0; HEADER_MAX];
        header[0] = 0x80 | opcode;
        let header_len = match payload_len {
            0..=125 => {
                header[1] = payload_len as u8;
                2
            }
            126..=0xFFFF => {
                header[1] = 126;
                header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
                10
            }
        };
        Frame {
            header,
            header_len,
            is_close: opcode == OPCODE_CLOSE,
            parts,
            written: 0,
            len: usize::from(header_len) + payload_len,
        }
    }

    pub(super) fn is_close(&self) -> bool {
        self.is_close
    }

    /// Bytes still to be written.
    pub(super) fn remaining(&self) -> usize {
        self.len - self.written
    }

    /// Fills `slices` from `count` on with what is still to be written and returns the new count.
    pub(super) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], mut count: usize) -> usize {
        let header = &self.header[..usize::from(self.header_len)];
        let mut skip = self.written;
        for part in std::iter::once(header).chain(self.parts.iter().map(|part| &part[..])) {
            if count == slices.len() {
                break;
            }
            match part.get(skip..) {
                Some(rest) => {
                    skip = 0;
                    if !rest.is_empty() {
                        slices[count] = IoSlice::new(rest);
                        count += 1;
                    }
                }
                None => skip -= part.len(),
            }
        }
        count
    }

    /// Notes that up to `count` more bytes were written; returns how many of them were this frame's.
    pub(super) fn advance(&mut self, count: usize) -> usize {
        let own = count.min(self.remaining());
        self.written += own;
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(frame: &Frame) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = frame.gather(&mut slices, 0);
        slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn headers() {
        let text = |len: usize| bytes_of(&Frame::text(vec![vec![b'x'; len].into()]));
        assert_eq!(text(0), [0x81, 0]);
        assert_eq!(text(125)[..2], [0x81, 125]);
        assert_eq!(text(126)[..4], [0x81, 126, 0, 126]);
        assert_eq!(text(65_535)[..4], [0x81, 126, 255, 255]);
        assert_eq!(text(65_536)[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(bytes_of(&Frame::ping()), [0x89, 0]);
        assert_eq!(bytes_of(&Frame::close(None, "ignored")), [0x88, 0]);
        assert_eq!(
            bytes_of(&Frame::close(Some(1000), "ok")),
            [0x88, 4, 3, 232, b'o', b'k']
        );
    }

    #[test]
    fn long_close_reasons_are_cut_at_a_character() {
        let frame = bytes_of(&Frame::close(Some(1011), &"é".repeat(100)));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn writing_in_any_steps_gives_the_same_bytes() {
        let parts = || {
            vec![
                Bytes::from_static(b"ab"),
                Bytes::new(),
                Bytes::from_static(b"cde"),
            ]
        };
        let whole = bytes_of(&Frame::text(parts()));
        for step in 1..=whole.len() {
            let mut frame = Frame::text(parts());
            let mut out = Vec::new();
            while frame.remaining() > 0 {
                let rest = bytes_of(&frame);
                let advanced = frame.advance(step);
                out.extend_from_slice(&rest[..advanced]);
            }
            assert_eq!(out, whole, "step {step}");
        }
    }
}
