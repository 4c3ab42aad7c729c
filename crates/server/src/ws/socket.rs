//! One WebSocket connection: reading messages, queueing and writing frames.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::decoder::{Decoder, Message, ProtocolError};
use super::frame::Frame;

const SCRATCH_LEN: usize = 64 * 1024;
const SLICES_MAX: usize = 64;
/// Past this many unwritten frames pings are left unanswered.
const UNREAD_FRAMES_MAX: usize = 64;

thread_local! {
    /// Where bytes land before they are decoded; shared by all sockets of a thread,
    /// none of which keeps anything in it from one poll to the next.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_LEN]);
}

/// An accepted WebSocket. The owner bounds the outbox; each frame carries a tag
/// that is handed back once the frame is written, so that it can count.
pub struct WebSocket<T> {
    stream: TcpStream,
    decoder: Decoder,
    /// Bytes that came in the same packet as the upgrade request.
    early: Bytes,
    outbox: VecDeque<(Frame, Option<T>)>,
    is_close_queued: bool,
    /// The client's violation of the protocol; nothing after it is looked at.
    violation: Option<ProtocolError>,
}

/// Why no more messages come.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// The client ended the stream without a close frame.
    #[error("connection ended")]
    Ended,
}

impl<T> WebSocket<T> {
    pub fn new(stream: TcpStream, early: Bytes) -> WebSocket<T> {
        WebSocket {
            stream,
            decoder: Decoder::new(),
            early,
            outbox: VecDeque::new(),
            is_close_queued: false,
            violation: None,
        }
    }

    /// Reads once and appends every message that became complete. Pings are answered as well as reported.
    pub fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        messages: &mut Vec<Message>,
    ) -> Poll<Result<(), SocketError>> {
        if let Some(violation) = self.violation {
            return Poll::Ready(Err(violation.into()));
        }
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(self.decode(&early, messages));
        }
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let result = SCRATCH.with_borrow_mut(|scratch| {
                let len = self.stream.try_read(scratch)?;
                if len == 0 {
                    return Err(SocketError::Ended);
                }
                self.decode(&scratch[..len], messages)
            });
            match result {
                Err(SocketError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn decode(&mut self, mut bytes: &[u8], messages: &mut Vec<Message>) -> Result<(), SocketError> {
        loop {
            let message = match self.decoder.decode(&mut bytes) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(violation) => {
                    self.violation = Some(violation);
                    return Err(violation.into());
                }
            };
            // A client that does not read gets no answers to its pings either.
            if let Message::Ping(payload) = &message
                && self.outbox.len() < UNREAD_FRAMES_MAX
            {
                self.queue(Frame::pong(payload.clone()), None);
            }
            messages.push(message);
        }
    }

    /// Appends a frame to the outbox; after a close frame nothing more is sent.
    pub fn queue(&mut self, frame: Frame, tag: Option<T>) {
        if self.is_close_queued {
            return;
        }
        self.is_close_queued = frame.is_close();
        self.outbox.push_back((frame, tag));
    }

    /// Whether everything queued has been handed to the system.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Writes the outbox, handing back the tags of finished frames; ready when it is empty.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        written_tags: &mut Vec<T>,
    ) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            match self.write_once() {
                Ok(written) => self.note_written(written, written_tags),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // An idle socket keeps no queue.
        self.outbox = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    fn write_once(&self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (frame, _) in &self.outbox {
            count = frame.gather(&mut slices, count);
            if count == SLICES_MAX {
                break;
            }
        }
        match self.stream.try_write_vectored(&slices[..count])? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    fn note_written(&mut self, mut written: usize, written_tags: &mut Vec<T>) {
        while let Some((frame, _)) = self.outbox.front_mut() {
            written -= frame.advance(written);
            if frame.remaining() > 0 {
                break;
            }
            written_tags.extend(self.outbox.pop_front().and_then(|(_, tag)| tag));
        }
    }

    /// Writes the outbox, ends the stream and waits until the client has done so too.
    pub async fn finish(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx, &mut Vec::new())).await?;
        self.stream.shutdown().await?;
        let mut discarded = [0; 512];
        while self.stream.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}
