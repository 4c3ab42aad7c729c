//! The sync endpoint: one task per connection drives a [`hull_sync::Session`]
//! over a WebSocket and the deployment.

mod connection;
mod convert;
mod event;
mod invalidation;
mod subscriptions;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use hull_functions::RequestOrigin;
use hull_sync::ClientVersion;

use crate::client_version;
use crate::gateway::{ApiRequest, Gateway};
use crate::http_error::{Body, HttpError, whole};
use crate::origin;
use crate::ws::{self, WebSocket};

use connection::Connection;

/// How long a closing connection may take to write what is queued and say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers an upgrade request and leaves the connection to a task of its own.
pub(crate) fn upgrade(
    gateway: &Arc<Gateway>,
    path_version: Option<&str>,
    mut request: ApiRequest,
) -> Result<Response<Body>, HttpError> {
    let headers = &request.head.headers;
    let client = client_version::detect(headers, path_version)?;
    let refused = |message: String| HttpError::bad_request("WebSocketUpgradeFailed", message);
    let response = ws::accept_response::<()>(&request.head.method, headers)
        .map_err(|error| refused(error.to_string()))?
        .map(|()| whole(""));
    let on_upgrade = request.head.extensions.remove::<OnUpgrade>();
    let on_upgrade =
        on_upgrade.ok_or_else(|| refused("Connection is not upgradable".to_owned()))?;
    let origin = origin::of_request(&request.head);
    tokio::spawn(serve(Arc::clone(gateway), client, origin, on_upgrade));
    Ok(response)
}

async fn serve(
    gateway: Arc<Gateway>,
    client: ClientVersion,
    origin: Arc<RequestOrigin>,
    on_upgrade: OnUpgrade,
) {
    // Held until the goodbye is written: the process must not end before.
    let _alive = gateway.shutdown.guard();
    let guard = gateway.shutdown.guard();
    let parts = match on_upgrade.await {
        Ok(upgraded) => upgraded.downcast::<TokioIo<TcpStream>>(),
        Err(error) => return tracing::debug!("upgrade failed: {error}"),
    };
    let parts = match parts {
        Ok(parts) => parts,
        Err(_) => return tracing::error!("an upgraded connection is not a plain TCP stream"),
    };
    let socket = WebSocket::new(parts.io.into_inner(), parts.read_buf);
    gateway
        .metrics
        .sockets_total
        .fetch_add(1, Ordering::Relaxed);
    gateway.metrics.sockets_open.fetch_add(1, Ordering::Relaxed);
    let open = OpenSocket(&gateway);
    let connection = Connection::new(Arc::clone(&gateway), client, origin, socket, guard);
    let remains = connection.run().await;
    drop(open);
    if let Some(socket) = remains {
        // A socket dropped with unread input resets the connection under the last
        // answers; a client that takes longer is cut off.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(socket.finish())).await;
    }
}

/// Counts an open socket for as long as it lives, whatever ends it.
struct OpenSocket<'a>(&'a Gateway);

impl Drop for OpenSocket<'_> {
    fn drop(&mut self) {
        self.0.metrics.sockets_open.fetch_sub(1, Ordering::Relaxed);
    }
}
