//! The WebSocket layer against an independent implementation of the other side.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use bytes::Bytes;
use proptest::prelude::*;
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::Frame as ClientFrame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message as ClientMessage, WebSocket as Client};

use hull_server::ws::{Frame, Message, SocketError, WebSocket};

/// What the client does next.
#[derive(Clone, Debug)]
enum Step {
    /// Sends a text in fragments that end at these places (modulo its length).
    Text {
        text: String,
        cuts: Vec<usize>,
    },
    Ping(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = prop_oneof![8 => "[a-z€😀\u{0}]{0,300}", 1 => Just("x€".repeat(30_000))];
    let step = prop_oneof![
        3 => (text, prop::collection::vec(any::<usize>(), 0..4)).prop_map(|(text, cuts)| Step::Text { text, cuts }),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Step::Ping),
    ];
    prop::collection::vec(step, 0..8)
}

/// Sends texts back in parts of growing length, until the client closes.
async fn echo(mut socket: WebSocket<usize>) -> Vec<usize> {
    let mut written = Vec::new();
    let mut count = 0;
    loop {
        let mut messages = Vec::new();
        let result = poll_fn(|cx| {
            if let std::task::Poll::Ready(Err(error)) = socket.poll_flush(cx, &mut written) {
                return std::task::Poll::Ready(Err(error.into()));
            }
            socket.poll_messages(cx, &mut messages)
        });
        result.await.unwrap();
        for message in messages {
            match message {
                Message::Text(text) => {
                    socket.queue(Frame::text(parts(text.as_bytes())), Some(count));
                    count += 1;
                }
                Message::Close(frame) => {
                    socket.queue(Frame::close(frame.map(|frame| frame.code), ""), None);
                    socket.finish().await.unwrap();
                    return written;
                }
                Message::Ping(_) | Message::Pong | Message::Binary => {}
            }
        }
    }
}

fn parts(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut len = 0;
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(len.min(bytes.len()));
        parts.push(Bytes::copy_from_slice(part));
        bytes = rest;
        len = len * 2 + 1;
    }
    parts
}

/// Runs a client with these steps and returns what it got back, in order.
fn run_client(address: SocketAddr, steps: Vec<Step>) -> (Vec<ClientMessage>, Vec<ClientMessage>) {
    let stream = std::net::TcpStream::connect(address).unwrap();
    let mut client = Client::from_raw_socket(stream, Role::Client, None);
    let mut expected = Vec::new();
    for step in &steps {
        match step {
            Step::Text { text, cuts } => {
                send_fragments(&mut client, text.as_bytes(), cuts);
                expected.push(ClientMessage::text(text.as_str()));
            }
            Step::Ping(payload) => {
                client
                    .send(ClientMessage::Ping(payload.clone().into()))
                    .unwrap();
                expected.push(ClientMessage::Pong(payload.clone().into()));
            }
        }
    }
    client.close(None).unwrap();
    let mut got = Vec::new();
    loop {
        match client.read() {
            Ok(ClientMessage::Close(_)) => {}
            Ok(message) => got.push(message),
            Err(tungstenite::Error::ConnectionClosed) => return (got, expected),
            Err(error) => panic!("{error}"),
        }
    }
}

fn send_fragments(client: &mut Client<std::net::TcpStream>, text: &[u8], cuts: &[usize]) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(text.len());
    let mut start = 0;
    for (index, end) in cuts.iter().copied().enumerate() {
        let opcode = if index == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let is_last = index + 1 == cuts.len();
        let frame = ClientFrame::message(text[start..end].to_vec(), OpCode::Data(opcode), is_last);
        client.send(ClientMessage::Frame(frame)).unwrap();
        start = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every text comes back as it was and every ping is answered, each in order;
    /// answers to pings may overtake texts.
    #[test]
    fn texts_come_back_and_pings_are_answered(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let texts = steps.iter().filter(|step| matches!(step, Step::Text { .. })).count();
        let client = thread::spawn(move || run_client(address, steps));
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let written = runtime.block_on(async {
            echo(WebSocket::new(tokio::net::TcpStream::from_std(stream).unwrap(), Bytes::new())).await
        });
        let (got, expected) = client.join().unwrap();
        let (got_pongs, got_texts): (Vec<_>, Vec<_>) = got.into_iter().partition(ClientMessage::is_pong);
        let (pongs, sent_texts): (Vec<_>, Vec<_>) = expected.into_iter().partition(ClientMessage::is_pong);
        prop_assert_eq!(got_pongs, pongs);
        prop_assert_eq!(got_texts, sent_texts);
        // Frames still queued when the client closed are written but not reported.
        prop_assert!(written.len() <= texts && written.iter().copied().eq(0..written.len()));
    }
}

#[tokio::test]
async fn bytes_that_came_with_the_upgrade_are_read_first_and_violations_stay() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let early = Bytes::from_static(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i', 0x81, 0x01, b'x']);
    let mut socket = WebSocket::<()>::new(stream, early);
    let mut messages = Vec::new();
    for _ in 0..2 {
        let result = poll_fn(|cx| socket.poll_messages(cx, &mut messages)).await;
        assert!(matches!(result, Err(SocketError::Protocol(error)) if error.code == 1002));
    }
    assert_eq!(messages, [Message::Text("hi".into())]);
    drop(client);
}
