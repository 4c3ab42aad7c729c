//! Sync clients that hold one subscription, with as little work as possible.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_local;

use crate::web_socket::WebSocket;

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
    socket: WebSocket,
}

impl Subscriber {
    async fn connect(address: SocketAddr, number: usize) -> Result<Subscriber> {
        let mut socket = WebSocket::connect(address, number).await?;
        socket
            .send(
                "{\"type\":\"ModifyQuerySet\",\"baseVersion\":0,\"newVersion\":1,\
                 \"modifications\":[{\"type\":\"Add\",\"queryId\":0,\
                 \"udfPath\":\"counter:get\",\"args\":[{}]}]}",
            )
            .await?;
        Ok(Subscriber { socket })
    }

    /// Reads for good. The first value gives `connecting` free.
    async fn follow<T>(&mut self, board: &Board, mut connecting: Option<T>) -> Result<()> {
        let mut held = None;
        loop {
            if let Some(value) = updated_value(self.socket.next_text().await?)? {
                board.update(held.replace(value), value);
                connecting.take();
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_updates() {
        let update = br#"{"type":"Transition","modifications":[{"type":"QueryUpdated","queryId":0,"value":17.0,"logLines":[]}]}"#;
        assert_eq!(updated_value(update).unwrap(), Some(17));
        assert_eq!(updated_value(br#"{"type":"Ping"}"#).unwrap(), None);
        assert!(updated_value(br#"{"type":"FatalError","error":"x"}"#).is_err());
    }
}
