//! HTTP/1.1 with as little work as possible: one kept connection, one request at a time.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer that is read.
const ANSWER_LEN_MAX: usize = 256 << 20;

pub(crate) struct HttpClient {
    stream: TcpStream,
    host: String,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
}

/// Where in the inbox an answer lies.
struct Head {
    status: u16,
    len: usize,
    body_len: usize,
}

impl HttpClient {
    pub(crate) async fn connect(address: SocketAddr) -> Result<HttpClient> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(HttpClient {
            stream,
            host: address.to_string(),
            outbox: Vec::new(),
            inbox: Vec::new(),
        })
    }

    /// Sends a request and returns status and body of the answer.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Result<(u16, &str)> {
        self.post_as(None, path, body).await
    }

    /// The same with an admin key.
    pub(crate) async fn post_as(
        &mut self,
        admin_key: Option<&str>,
        path: &str,
        body: &str,
    ) -> Result<(u16, &str)> {
        use std::io::Write as _;
        self.outbox.clear();
        write!(
            self.outbox,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.host,
            body.len()
        )?;
        if let Some(key) = admin_key {
            write!(self.outbox, "Authorization: Convex {key}\r\n")?;
        }
        write!(self.outbox, "\r\n{body}")?;
        self.stream.write_all(&self.outbox).await?;
        self.inbox.clear();
        let head = loop {
            self.read_more().await?;
            if let Some(head) = parse_head(&self.inbox)? {
                break head;
            }
        };
        let end = head.len + head.body_len;
        ensure!(
            end <= ANSWER_LEN_MAX,
            "an answer of {} bytes",
            head.body_len
        );
        while self.inbox.len() < end {
            self.read_more().await?;
        }
        ensure!(self.inbox.len() == end, "more bytes than one answer");
        let body = std::str::from_utf8(&self.inbox[head.len..end])?;
        Ok((head.status, body))
    }

    async fn read_more(&mut self) -> Result<()> {
        self.inbox.reserve(4096);
        let len = self.stream.read_buf(&mut self.inbox).await?;
        ensure!(len > 0, "the server closed the connection");
        Ok(())
    }
}

/// Finds the end of the headers, if they are complete.
fn parse_head(inbox: &[u8]) -> Result<Option<Head>> {
    let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&inbox[..end])?;
    let status = text
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("no HTTP answer: {text}"))?;
    for line in text.lines().skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(Some(Head {
                status,
                len: end + 4,
                body_len: value.trim().parse()?,
            }));
        }
    }
    bail!("an answer without a length: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
        let text = b"HTTP/1.1 404 Not Found\r\nContent-LENGTH: 12\r\n\r\nabc";
        let head = parse_head(text).unwrap().unwrap();
        assert_eq!(
            (head.status, head.len, head.body_len),
            (404, text.len() - 3, 12)
        );
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").is_err());
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
    }
}
