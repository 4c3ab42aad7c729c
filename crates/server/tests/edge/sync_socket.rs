//! Sync sockets end to end: real ports, an independent WebSocket client.

use std::net::TcpStream;

use serde_json::{Value as Json, json};
use tokio::sync::oneshot;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::support::{Fixture, admin_key, fixture};
use hull_server::Server;

/// A running server; [`Running::stop`] ends it.
struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
    fixture: Fixture,
}

async fn start() -> Running {
    let fixture = fixture();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(any, any).await.unwrap();
    let url = server.api_address().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let gateway = std::sync::Arc::clone(&fixture.gateway);
    let server = tokio::spawn(server.run(gateway, async move { drop(stopped.await) }));
    Running {
        url,
        stop,
        server,
        fixture,
    }
}

impl Running {
    /// Runs a blocking client to its end, then the server.
    async fn with_client(self, client: impl FnOnce(Client) + Send + 'static) {
        let url = self.url.clone();
        tokio::task::spawn_blocking(move || client(Client::connect(&url)))
            .await
            .unwrap();
        self.stop().await;
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
        self.fixture.deployment.shutdown().await;
    }
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        let request = format!("ws://{address}/api/1.48.0/sync")
            .into_client_request()
            .unwrap();
        let mut client = Client(tungstenite::client(request, stream).unwrap().0);
        client.send(json!({
            "type": "Connect", "sessionId": "876417d6-1b35-460d-bb3e-153308272b9b",
            "connectionCount": 0, "lastCloseReason": "InitialConnect",
        }));
        client
    }

    fn send(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    fn add_query(&mut self, base: u32, query_id: u32, path: &str) {
        let add = json!({ "type": "Add", "queryId": query_id, "udfPath": path, "args": [{}] });
        self.send(json!({ "type": "ModifyQuerySet", "baseVersion": base, "newVersion": base + 1, "modifications": [add] }));
    }

    /// Returns the next message of the protocol, or the close frame's code and reason.
    fn receive(&mut self) -> Result<Json, Option<(CloseCode, String)>> {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => {
                    let message: Json = serde_json::from_str(&text).unwrap();
                    if message["type"] != "Ping" {
                        return Ok(message);
                    }
                }
                Message::Close(frame) => {
                    return Err(frame.map(|frame| (frame.code, frame.reason.to_string())));
                }
                _ => {}
            }
        }
    }

    /// Reads transitions until one has modifications, and returns these.
    fn modifications(&mut self) -> Vec<Json> {
        loop {
            let message = self.receive().unwrap();
            assert_eq!(message["type"], "Transition", "{message}");
            let modifications = message["modifications"].as_array().unwrap().clone();
            if !modifications.is_empty() {
                return modifications;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_query_fails_and_the_connection_goes_on() {
    start().await.with_client(|mut client| {
        client.add_query(0, 0, "messages:nope");
        let modifications = client.modifications();
        assert_eq!(modifications[0]["type"], "QueryFailed");
        let text = modifications[0]["errorMessage"].as_str().unwrap();
        assert!(text.contains("Could not find public function for 'messages:nope'"), "{text}");

        client.send(json!({ "type": "Mutation", "requestId": 0, "udfPath": "messages:nope", "args": [{}] }));
        let response = client.receive().unwrap();
        assert_eq!((&response["type"], &response["success"]), (&json!("MutationResponse"), &json!(false)));
        assert_eq!(client.receive().unwrap()["type"], "Transition");

        client.send(json!({ "type": "Action", "requestId": 1, "udfPath": "messages:nope", "args": [{}] }));
        let response = client.receive().unwrap();
        assert_eq!((&response["type"], &response["success"]), (&json!("ActionResponse"), &json!(false)));
        assert_eq!(client.receive().unwrap()["type"], "Transition");
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_may_watch_system_functions_and_others_may_not() {
    start().await.with_client(|mut client| {
        let path = "_system/cli/queryEnvironmentVariables:default";
        client.add_query(0, 0, path);
        let modifications = client.modifications();
        let text = modifications[0]["errorMessage"].as_str().unwrap();
        assert!(text.contains("Operation query not permitted"), "{text}");

        client.send(json!({ "type": "Authenticate", "baseVersion": 0, "tokenType": "Admin", "value": admin_key(false) }));
        let modifications = client.modifications();
        assert_eq!(modifications[0]["type"], "QueryUpdated", "{}", modifications[0]);
        assert_eq!(modifications[0]["value"], json!([]));
    }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_refused_and_the_socket_closes() {
    for (token_type, value, expected) in [
        (
            "Admin",
            "toy|00",
            "The provided admin key was invalid for this instance",
        ),
        ("User", "a.b", "Could not parse JWT payload."),
        (
            "User",
            "e30.eyJpc3MiOiJodHRwczovL2EifQ.e30",
            "No auth provider found matching the given token",
        ),
    ] {
        start().await.with_client(move |mut client| {
            client.send(json!({ "type": "Authenticate", "baseVersion": 0, "tokenType": token_type, "value": value }));
            let message = client.receive().unwrap();
            assert_eq!((&message["type"], &message["authUpdateAttempted"]), (&json!("AuthError"), &json!(true)));
            assert!(message["error"].as_str().unwrap().starts_with(expected), "{message}");
            assert_eq!(client.receive(), Err(None));
        }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_the_client_end_only_its_own_connection() {
    let running = start().await;
    let url = running.url.clone();
    tokio::task::spawn_blocking(move || {
        let mut bystander = Client::connect(&url);
        for message in [
            Message::text("{"),
            Message::text(r#"{"type":"Unheard"}"#),
            Message::binary(vec![1]),
        ] {
            let mut client = Client::connect(&url);
            client.0.send(message).unwrap();
            assert_eq!(client.receive().unwrap()["type"], "FatalError");
            assert_eq!(client.receive(), Err(None));
        }
        let mut client = Client::connect(&url);
        client.add_query(7, 0, "a:b");
        assert_eq!(client.receive().unwrap()["type"], "FatalError");

        let mut client = Client::connect(&url);
        let reserved = tungstenite::protocol::frame::Frame::message(
            vec![0; hull_server::limits::WS_FRAME_SIZE_MAX + 1],
            tungstenite::protocol::frame::coding::OpCode::Data(
                tungstenite::protocol::frame::coding::Data::Text,
            ),
            true,
        );
        // The server may close while the frame is still being written.
        let _ = client.0.send(Message::Frame(reserved));
        match client.0.read() {
            Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Size),
            Ok(other) => panic!("{other}"),
            Err(_) => {}
        }
        bystander.add_query(0, 0, "messages:nope");
        assert_eq!(bystander.modifications().len(), 1);
    })
    .await
    .unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_sends_clients_away() {
    let running = start().await;
    let url = running.url.clone();
    let (connected, is_connected) = oneshot::channel();
    let client = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(&url);
        client.add_query(0, 0, "messages:nope");
        client.modifications();
        connected.send(()).unwrap();
        assert_eq!(
            client.receive(),
            Err(Some((CloseCode::Error, "InternalServerError".to_owned())))
        );
        // The server waits for the client's end of the stream.
        let _ = client.0.read();
    });
    is_connected.await.unwrap();
    running.stop().await;
    client.await.unwrap();
}
