//! The listeners: binding, serving connections, ending.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use hull_value::CodedError;

use crate::gateway::Gateway;
use crate::http_error::{Body, HttpError};
use crate::limits::{HEADER_TIMEOUT, SHUTDOWN_GRACE};
use crate::origin::Peer;
use crate::request_body::RequestBody;
use crate::shutdown::ShutdownGuard;

/// Connections that wait to be accepted; a burst of reconnecting clients must fit.
const BACKLOG: u32 = 4096;
/// How long accepting pauses when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The two bound ports of one deployment.
pub struct Server {
    api: TcpListener,
    site: TcpListener,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("port {} on {} is already in use: stop the program that uses it or choose another with {flag}", .address.port(), .address.ip())]
    Taken {
        address: SocketAddr,
        flag: &'static str,
    },
    #[error("this user may not open port {} on {}: choose one above 1023 with {flag}", .address.port(), .address.ip())]
    Forbidden {
        address: SocketAddr,
        flag: &'static str,
    },
    #[error("cannot listen on {address}: {error}")]
    Other {
        address: SocketAddr,
        error: io::Error,
    },
}

/// Which of the two ports a connection came in on.
#[derive(Clone, Copy)]
enum Port {
    Api,
    Site,
}

impl Server {
    /// Opens both ports; port 0 lets the system choose.
    pub async fn bind(api: SocketAddr, site: SocketAddr) -> Result<Server, BindError> {
        Ok(Server {
            api: listen(api, "--port")?,
            site: listen(site, "--site-proxy-port")?,
        })
    }

    pub fn api_address(&self) -> io::Result<SocketAddr> {
        self.api.local_addr()
    }

    pub fn site_address(&self) -> io::Result<SocketAddr> {
        self.site.local_addr()
    }

    /// Serves until `stop` completes, then ends every connection and returns.
    /// The deployment itself is left to its owner.
    pub async fn run(self, gateway: Arc<Gateway>, stop: impl Future<Output = ()>) {
        let api = tokio::spawn(accept(
            self.api,
            Port::Api,
            Arc::clone(&gateway),
            gateway.shutdown.guard(),
        ));
        let site = tokio::spawn(accept(
            self.site,
            Port::Site,
            Arc::clone(&gateway),
            gateway.shutdown.guard(),
        ));
        stop.await;
        tracing::info!("shutting down");
        if !gateway.shutdown.run(SHUTDOWN_GRACE).await {
            tracing::warn!("some connections did not end in time and are cut");
        }
        for task in [api, site] {
            if let Err(error) = task.await {
                tracing::error!("a listener ended early: {error}");
            }
        }
    }
}

fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address, flag },
        io::ErrorKind::PermissionDenied => BindError::Forbidden { address, flag },
        _ => BindError::Other { address, error },
    })
}

async fn accept(
    listener: TcpListener,
    port: Port,
    gateway: Arc<Gateway>,
    mut shutdown: ShutdownGuard,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.requested() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let guard = gateway.shutdown.guard();
                tokio::spawn(serve(stream, peer, port, Arc::clone(&gateway), guard));
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    port: Port,
    gateway: Arc<Gateway>,
    mut shutdown: ShutdownGuard,
) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        respond(port, &gateway, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection ended: {error}");
    }
}

async fn respond(
    port: Port,
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let request = request.map(RequestBody::Stream);
    let answer = async {
        match port {
            Port::Api => gateway.handle(request).await,
            Port::Site => gateway.handle_site(request).await,
        }
    };
    // A panic is an internal error of this request only.
    let response = AssertUnwindSafe(answer)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            HttpError::from(CodedError::internal("a request handler panicked")).into_response()
        });
    Ok(response)
}
