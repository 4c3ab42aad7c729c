//! Sync clients that hold one subscription: a WebSocket with as little work as possible.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_local;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Handshakes that are under way at the same time.
const CONNECTING_MAX: usize = 64;
const CONNECTS_WITHIN: Duration = Duration::from_secs(90);
const UPDATES_WITHIN: Duration = Duration::from_secs(20);

/// All subscribers of the query `counter:get`. They live as tasks of one `LocalSet`.
pub(crate) struct Crowd {
    address: SocketAddr,
    board: Rc<Board>,
    count: usize,
}

/// What the subscribers write to.
struct Board {
    /// How many subscribers hold which value.
    holders: RefCell<HashMap<u64, usize>>,
    /// The value that is waited for and by how many subscribers.
    awaited: Cell<(u64, usize)>,
    /// When the last of them had it.
    complete: Cell<Option<Instant>>,
    changed: Notify,
    failure: RefCell<Option<anyhow::Error>>,
}

impl Crowd {
    pub(crate) fn new(address: SocketAddr) -> Crowd {
        let board = Board {
            holders: RefCell::default(),
            awaited: Cell::new((u64::MAX, 0)),
            complete: Cell::new(None),
            changed: Notify::new(),
            failure: RefCell::new(None),
        };
        Crowd {
            address,
            board: Rc::new(board),
            count: 0,
        }
    }

    /// Connects until there are `count` subscribers, all of them holding `value`.
    pub(crate) async fn grow(&mut self, count: usize, value: u64) -> Result<()> {
        self.expect(value, count);
        let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
        for number in self.count..count {
            let permit = connecting.clone().acquire_owned().await?;
            let (address, board) = (self.address, self.board.clone());
            spawn_local(async move {
                let outcome = async {
                    let mut subscriber = Subscriber::connect(address, number).await?;
                    subscriber.follow(&board, Some(permit)).await
                };
                if let Err(error) = outcome.await {
                    board.failure.borrow_mut().get_or_insert(error);
                    board.changed.notify_one();
                }
            });
        }
        self.count = count;
        self.wait(CONNECTS_WITHIN).await?;
        Ok(())
    }

    /// Says which value comes next; call it before causing it.
    pub(crate) fn expect(&self, value: u64, count: usize) {
        self.board.complete.set(None);
        self.board.awaited.set((value, count));
        self.board.check();
    }

    /// When the last subscriber had the expected value.
    pub(crate) async fn updated(&self) -> Result<Instant> {
        self.wait(UPDATES_WITHIN).await
    }

    async fn wait(&self, at_most: Duration) -> Result<Instant> {
        let complete = async {
            loop {
                if let Some(error) = self.board.failure.borrow_mut().take() {
                    return Err(error.context("a subscriber failed"));
                }
                if let Some(complete) = self.board.complete.get() {
                    return Ok(complete);
                }
                self.board.changed.notified().await;
            }
        };
        tokio::time::timeout(at_most, complete)
            .await
            .context("not all subscribers got the value in time")?
    }
}

impl Board {
    fn update(&self, old: Option<u64>, new: u64) {
        let mut holders = self.holders.borrow_mut();
        if let Some(count) = old.and_then(|old| holders.get_mut(&old)) {
            *count -= 1;
        }
        *holders.entry(new).or_default() += 1;
        drop(holders);
        if self.awaited.get().0 == new {
            self.check();
        }
    }

    fn check(&self) {
        let (value, count) = self.awaited.get();
        let holders = self.holders.borrow().get(&value).copied().unwrap_or(0);
        if holders >= count && self.complete.get().is_none() {
            self.complete.set(Some(Instant::now()));
            self.changed.notify_one();
        }
    }
}

struct Subscriber {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Bytes of the inbox that were handled.
    consumed: usize,
}

impl Subscriber {
    async fn connect(address: SocketAddr, number: usize) -> Result<Subscriber> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let upgrade = format!(
            "GET /api/1.48.0/sync HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await?;
        let mut inbox = Vec::with_capacity(512);
        let end = loop {
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
        let mut frames = Vec::new();
        let connect = format!(
            "{{\"type\":\"Connect\",\"sessionId\":\"00000000-0000-4000-8000-{number:012x}\",\
             \"connectionCount\":0,\"lastCloseReason\":\"InitialConnect\"}}"
        );
        let subscribe = "{\"type\":\"ModifyQuerySet\",\"baseVersion\":0,\"newVersion\":1,\
                         \"modifications\":[{\"type\":\"Add\",\"queryId\":0,\
                         \"udfPath\":\"counter:get\",\"args\":[{}]}]}";
        write_frame(&mut frames, TEXT, connect.as_bytes());
        write_frame(&mut frames, TEXT, subscribe.as_bytes());
        stream.write_all(&frames).await?;
        Ok(Subscriber {
            stream,
            inbox,
            consumed: end,
        })
    }

    /// Reads for good. The first value gives `connecting` free.
    async fn follow<T>(&mut self, board: &Board, mut connecting: Option<T>) -> Result<()> {
        let mut held = None;
        loop {
            while let Some((kind, payload)) = read_frame(&self.inbox[self.consumed..])? {
                let text = &self.inbox[self.consumed + payload.start..self.consumed + payload.end];
                match kind {
                    TEXT => {
                        if let Some(value) = updated_value(text)? {
                            board.update(held.replace(value), value);
                            connecting.take();
                        }
                    }
                    PING => {
                        let mut pong = Vec::new();
                        write_frame(&mut pong, PONG, text);
                        self.stream.write_all(&pong).await?;
                    }
                    CLOSE => {
                        anyhow::bail!("the server closed: {}", String::from_utf8_lossy(text))
                    }
                    _ => {}
                }
                self.consumed += payload.end;
            }
            self.inbox.drain(..self.consumed);
            self.consumed = 0;
            ensure!(
                self.stream.read_buf(&mut self.inbox).await? > 0,
                "the server hung up"
            );
        }
    }
}

/// The value in a transition that updates the query, without parsing the JSON.
fn updated_value(text: &[u8]) -> Result<Option<u64>> {
    let text = std::str::from_utf8(text)?;
    ensure!(
        !text.contains("\"QueryFailed\"") && !text.contains("Error\""),
        "the server sent {text}"
    );
    if !text.contains("\"QueryUpdated\"") {
        return Ok(None);
    }
    let start = text.find("\"value\":").context("an update without value")? + "\"value\":".len();
    let number: String = text[start..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Ok(Some(number.parse().with_context(|| {
        format!("an update without number: {text}")
    })?))
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

    #[test]
    fn values_of_updates() {
        let update = br#"{"type":"Transition","modifications":[{"type":"QueryUpdated","queryId":0,"value":17.0,"logLines":[]}]}"#;
        assert_eq!(updated_value(update).unwrap(), Some(17));
        assert_eq!(updated_value(br#"{"type":"Ping"}"#).unwrap(), None);
        assert!(updated_value(br#"{"type":"FatalError","error":"x"}"#).is_err());
    }
}
