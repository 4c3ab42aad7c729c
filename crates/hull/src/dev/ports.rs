//! Which ports `hull dev` listens on: the usual ones, or the next that are free.

use std::net::{Ipv4Addr, SocketAddr};

use hull_server::{BindError, Server};

const API_PORT: u16 = 3210;
const SITE_PORT: u16 = 3211;
/// Ports looked at before giving up.
const ATTEMPTS: u16 = 100;

/// Binds both ports on loopback. A port that was asked for is taken or refused, never replaced.
pub(super) async fn bind(api: Option<u16>, site: Option<u16>) -> Result<Server, BindError> {
    let mut api_port = api.unwrap_or(API_PORT);
    let mut site_port = site.unwrap_or_else(|| api.map_or(SITE_PORT, |port| port.wrapping_add(1)));
    let mut attempt = 0;
    loop {
        if site.is_none() && site_port == api_port && site_port != 0 {
            site_port = site_port.wrapping_add(1);
        }
        let error = match Server::bind(local(api_port), local(site_port)).await {
            Ok(server) => return Ok(server),
            Err(error) => error,
        };
        attempt += 1;
        match &error {
            BindError::Taken { address, .. } if attempt < ATTEMPTS => {
                if api.is_none() && address.port() == api_port {
                    api_port = api_port.wrapping_add(1);
                } else if site.is_none() && address.port() == site_port {
                    site_port = site_port.wrapping_add(1);
                } else {
                    return Err(error);
                }
            }
            _ => return Err(error),
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_backends_get_different_ports_and_a_named_port_is_not_replaced() {
        let first = bind(None, None).await.unwrap();
        let second = bind(None, None).await.unwrap();
        let ports = [&first, &second].map(|server| [server.api_address(), server.site_address()]);
        let mut ports: Vec<u16> = ports
            .into_iter()
            .flatten()
            .map(|address| address.unwrap().port())
            .collect();
        let taken = ports[0];
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 4);
        let Err(error) = bind(Some(taken), None).await else {
            panic!("bound a port twice");
        };
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("port {taken} on 127.0.0.1 is already in use")),
            "{text}"
        );
        assert!(text.contains("--port"));
    }
}
