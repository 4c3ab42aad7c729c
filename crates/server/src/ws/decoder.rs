//! Incoming frames: a state machine from bytes to messages.

use super::frame::{
    CONTROL_PAYLOAD_MAX, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_CONTINUATION, OPCODE_PING,
    OPCODE_PONG, OPCODE_TEXT,
};
use crate::limits::{WS_FRAME_SIZE_MAX, WS_MESSAGE_SIZE_MAX};

/// Two bytes, an eight-byte length and the four-byte mask.
const HEADER_MAX: usize = 14;
/// A message's buffer grows with what has arrived, never with what a header announces.
const RESERVE_MAX: usize = 64 * 1024;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    /// A binary message, whose payload nobody asks for.
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<CloseFrame>),
}

/// Code and reason of a client's close frame.
#[derive(Debug, PartialEq, Eq)]
pub struct CloseFrame {
    pub code: u16,
    pub reason: String,
}

/// A violation of the protocol; the connection must be closed with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("websocket protocol error {code}: {reason}")]
pub struct ProtocolError {
    pub code: u16,
    pub reason: &'static str,
}

const fn violation(reason: &'static str) -> ProtocolError {
    ProtocolError { code: 1002, reason }
}

const TOO_BIG: ProtocolError = ProtocolError {
    code: 1009,
    reason: "message too big",
};
const NOT_UTF8: ProtocolError = ProtocolError {
    code: 1007,
    reason: "text is not UTF-8",
};

/// Decodes one connection's incoming bytes. Allocates only for payloads.
#[derive(Default)]
pub struct Decoder {
    header: [u8; HEADER_MAX],
    header_len: u8,
    /// The frame whose payload is being read, once its header is complete.
    frame: Option<FrameInProgress>,
    /// Payload so far of the message that is being put together.
    message: Vec<u8>,
    /// Whether a message has begun and is not complete.
    is_in_message: bool,
    is_binary: bool,
    /// Payload so far of a control frame; these come between a message's fragments.
    control: Vec<u8>,
}

#[derive(Clone, Copy)]
struct FrameInProgress {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    /// How far the mask has been rotated by the payload read so far, modulo 4.
    mask_at: usize,
    remaining: usize,
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Takes bytes from the front of `input` up to the end of the next message.
    /// `None` means that all of `input` was taken and more is needed.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ProtocolError> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.read_header(input)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let frame = self.read_payload(frame, input);
            if frame.remaining > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            self.frame = None;
            if let Some(message) = self.finish_frame(frame)? {
                return Ok(Some(message));
            }
        }
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<FrameInProgress>, ProtocolError> {
        loop {
            let have = usize::from(self.header_len);
            let need = match have {
                0 | 1 => 2,
                _ => header_len(self.header[1]),
            };
            if have == need {
                break;
            }
            let taken = input.len().min(need - have);
            if taken == 0 {
                return Ok(None);
            }
            self.header[have..have + taken].copy_from_slice(&input[..taken]);
            self.header_len += taken as u8;
            *input = &input[taken..];
            if have < 2 && usize::from(self.header_len) >= 2 {
                self.check_header_start()?;
            }
        }
        self.header_len = 0;
        let frame = parse_header(&self.header)?;
        self.check_size(&frame)?;
        Ok(Some(frame))
    }

    /// Checks the first two bytes before waiting for any more.
    fn check_header_start(&self) -> Result<(), ProtocolError> {
        let [first, second, ..] = self.header;
        let is_final = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(violation("reserved bits are set"));
        }
        if second & 0x80 == 0 {
            return Err(violation("client frames must be masked"));
        }
        match first & 0x0F {
            OPCODE_CONTINUATION if !self.is_in_message => {
                Err(violation("continuation without a message"))
            }
            OPCODE_TEXT | OPCODE_BINARY if self.is_in_message => {
                Err(violation("message inside a message"))
            }
            OPCODE_CONTINUATION | OPCODE_TEXT | OPCODE_BINARY => Ok(()),
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG => {
                if !is_final {
                    Err(violation("fragmented control frame"))
                } else if usize::from(second & 0x7F) > CONTROL_PAYLOAD_MAX {
                    Err(violation("control frame too long"))
                } else {
                    Ok(())
                }
            }
            _ => Err(violation("unknown opcode")),
        }
    }

    fn check_size(&self, frame: &FrameInProgress) -> Result<(), ProtocolError> {
        if frame.remaining > WS_FRAME_SIZE_MAX {
            return Err(TOO_BIG);
        }
        if !frame.is_control() && self.message.len() + frame.remaining > WS_MESSAGE_SIZE_MAX {
            return Err(TOO_BIG);
        }
        Ok(())
    }

    fn read_payload(&mut self, mut frame: FrameInProgress, input: &mut &[u8]) -> FrameInProgress {
        let buffer = if frame.is_control() {
            &mut self.control
        } else {
            &mut self.message
        };
        let taken = input.len().min(frame.remaining);
        if buffer.is_empty() {
            buffer.reserve(frame.remaining.min(RESERVE_MAX));
        }
        let start = buffer.len();
        buffer.extend_from_slice(&input[..taken]);
        unmask(&mut buffer[start..], frame.mask, frame.mask_at);
        *input = &input[taken..];
        frame.mask_at = (frame.mask_at + taken) % 4;
        frame.remaining -= taken;
        frame
    }

    fn finish_frame(&mut self, frame: FrameInProgress) -> Result<Option<Message>, ProtocolError> {
        match frame.opcode {
            OPCODE_PING => Ok(Some(Message::Ping(std::mem::take(&mut self.control)))),
            OPCODE_PONG => {
                self.control = Vec::new();
                Ok(Some(Message::Pong))
            }
            OPCODE_CLOSE => parse_close(&std::mem::take(&mut self.control)).map(Some),
            opcode => {
                if opcode != OPCODE_CONTINUATION {
                    self.is_binary = opcode == OPCODE_BINARY;
                }
                self.is_in_message = !frame.is_final;
                if self.is_in_message {
                    Ok(None)
                } else {
                    self.finish_message().map(Some)
                }
            }
        }
    }
}

impl Decoder {
    fn finish_message(&mut self) -> Result<Message, ProtocolError> {
        let payload = std::mem::take(&mut self.message);
        if self.is_binary {
            return Ok(Message::Binary);
        }
        String::from_utf8(payload)
            .map(Message::Text)
            .map_err(|_| NOT_UTF8)
    }
}

impl FrameInProgress {
    fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }
}

fn header_len(second: u8) -> usize {
    let length_len = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length_len + 4
}

fn parse_header(header: &[u8; HEADER_MAX]) -> Result<FrameInProgress, ProtocolError> {
    let (len, mask_start) = match header[1] & 0x7F {
        126 => (u64::from(u16::from_be_bytes([header[2], header[3]])), 4),
        127 => {
            let bytes = header[2..10]
                .try_into()
                .expect("invariant: the range has eight bytes");
            (u64::from_be_bytes(bytes), 10)
        }
        short => (u64::from(short), 2),
    };
    let mask = &header[mask_start..mask_start + 4];
    Ok(FrameInProgress {
        opcode: header[0] & 0x0F,
        is_final: header[0] & 0x80 != 0,
        mask: mask
            .try_into()
            .expect("invariant: the range has four bytes"),
        mask_at: 0,
        remaining: usize::try_from(len).map_err(|_| TOO_BIG)?,
    })
}

fn unmask(payload: &mut [u8], mask: [u8; 4], mask_at: usize) {
    let mut rotated = mask;
    rotated.rotate_left(mask_at);
    let wide = u64::from_ne_bytes([
        rotated[0], rotated[1], rotated[2], rotated[3], rotated[0], rotated[1], rotated[2],
        rotated[3],
    ]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let bytes: [u8; 8] = (&*chunk)
            .try_into()
            .expect("invariant: chunks have eight bytes");
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks
        .into_remainder()
        .iter_mut()
        .zip(rotated.iter().cycle())
    {
        *byte ^= mask;
    }
}

fn parse_close(payload: &[u8]) -> Result<Message, ProtocolError> {
    match payload {
        [] => Ok(Message::Close(None)),
        [_] => Err(violation("close frame with half a code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(violation("close code out of range"));
            }
            let reason = std::str::from_utf8(reason)
                .map_err(|_| NOT_UTF8)?
                .to_owned();
            Ok(Message::Close(Some(CloseFrame { code, reason })))
        }
    }
}

#[cfg(test)]
mod tests;
