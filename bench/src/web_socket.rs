//! A WebSocket to the sync protocol with as little work as possible.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

pub(crate) struct WebSocket {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Bytes of the inbox that were handled.
    consumed: usize,
}

impl WebSocket {
    /// Connects and says `Connect`, as the session with this number.
    pub(crate) async fn connect(address: SocketAddr, number: usize) -> Result<WebSocket> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let upgrade = format!(
            "GET /api/1.48.0/sync HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await?;
        let mut inbox = Vec::with_capacity(512);
        let consumed = loop {
            ensure!(
                stream.read_buf(&mut inbox).await? > 0,
                "closed during the handshake"
            );
            if let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        ensure!(
            inbox.starts_with(b"HTTP/1.1 101"),
            "no WebSocket: {}",
            String::from_utf8_lossy(&inbox)
        );
        let mut socket = WebSocket {
            stream,
            inbox,
            consumed,
        };
        let connect = format!(
            "{{\"type\":\"Connect\",\"sessionId\":\"00000000-0000-4000-8000-{number:012x}\",\
             \"connectionCount\":0,\"lastCloseReason\":\"InitialConnect\"}}"
        );
        socket.send(&connect).await?;
        Ok(socket)
    }

    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 16);
        write_frame(&mut frame, TEXT, text.as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    /// The next text message; answers pings on the way.
    pub(crate) async fn next_text(&mut self) -> Result<&[u8]> {
        loop {
            let Some((kind, payload)) = read_frame(&self.inbox[self.consumed..])? else {
                self.inbox.drain(..self.consumed);
                self.consumed = 0;
                ensure!(
                    self.stream.read_buf(&mut self.inbox).await? > 0,
                    "the server hung up"
                );
                continue;
            };
            let start = self.consumed + payload.start;
            self.consumed += payload.end;
            let text = &self.inbox[start..self.consumed];
            match kind {
                // Borrowed anew, as the loop would otherwise hold it too long.
                TEXT => return Ok(&self.inbox[start..self.consumed]),
                PING => {
                    let mut pong = Vec::new();
                    write_frame(&mut pong, PONG, text);
                    self.stream.write_all(&pong).await?;
                }
                CLOSE => anyhow::bail!("the server closed: {}", String::from_utf8_lossy(text)),
                _ => {}
            }
        }
    }
}

/// Kind and place of the payload of the first frame, if it is there in whole.
fn read_frame(inbox: &[u8]) -> Result<Option<(u8, std::ops::Range<usize>)>> {
    let [first, second, rest @ ..] = inbox else {
        return Ok(None);
    };
    ensure!(first & 0x80 != 0, "a fragmented message");
    let (start, len) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (126, _) => return Ok(None),
        (127, _) => anyhow::bail!("a message of 64 KiB or more"),
        (len, _) => (2, usize::from(len)),
    };
    let payload = start..start + len;
    Ok((inbox.len() >= payload.end).then_some((first & 0x0f, payload)))
}

/// Writes a frame as clients must, masked; the mask is zero, so the payload stays as it is.
fn write_frame(frames: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    frames.push(0x80 | kind);
    match u8::try_from(payload.len()) {
        Ok(len) if len < 126 => frames.push(0x80 | len),
        _ => {
            let len = u16::try_from(payload.len()).expect("invariant: our messages are short");
            frames.push(0x80 | 126);
            frames.extend_from_slice(&len.to_be_bytes());
        }
    }
    frames.extend_from_slice(&[0; 4]);
    frames.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_both_lengths() {
        for len in [3, 125, 126, 300] {
            let mut frame = vec![0x81];
            if len < 126 {
                frame.push(len as u8);
            } else {
                frame.extend([126, (len >> 8) as u8, len as u8]);
            }
            frame.extend(vec![b'x'; len]);
            assert!(read_frame(&frame[..frame.len() - 1]).unwrap().is_none());
            let (kind, payload) = read_frame(&frame).unwrap().unwrap();
            assert_eq!((kind, payload.len(), payload.end), (TEXT, len, frame.len()));
        }
        assert!(read_frame(&[0x01, 0]).is_err());
    }
}
