//! The edge of a deployment as clients meet it: HTTP, sockets, shutdown.

mod http;
mod support;
mod sync_socket;
mod web_socket;
