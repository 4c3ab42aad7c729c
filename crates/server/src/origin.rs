//! Who a request is from, as functions are told.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, header};
use hull_functions::RequestOrigin;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What functions may know of who sent a request.
pub(crate) fn of_request(head: &Parts) -> Arc<RequestOrigin> {
    let peer = head.extensions.get::<Peer>();
    let user_agent = head.headers.get(header::USER_AGENT);
    Arc::new(RequestOrigin {
        ip: peer.map(|Peer(peer)| client(*peer, &head.headers).to_string()),
        user_agent: user_agent
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        ..RequestOrigin::default()
    })
}

/// The client's address: the peer's, or what a proxy nearby says of its own
/// peer. A client further off can claim what it likes, and is not believed.
fn client(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_nearby(peer) {
        return peer;
    }
    // Each proxy adds the address it was called from at the end.
    let hops = headers.get_all(FORWARDED_FOR);
    let last = hops
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|hops| hops.split(','))
        .next_back()
        .and_then(|address| address.trim().parse::<IpAddr>().ok());
    last.map_or(peer, |address| address.to_canonical())
}

fn is_nearby(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_proxy_nearby_is_believed() {
        for (peer, forwarded, expected) in [
            ("203.0.113.7", None, "203.0.113.7"),
            ("203.0.113.7", Some("1.2.3.4"), "203.0.113.7"),
            ("127.0.0.1", None, "127.0.0.1"),
            ("127.0.0.1", Some("198.51.100.9"), "198.51.100.9"),
            ("10.0.0.5", Some("6.6.6.6, 198.51.100.9"), "198.51.100.9"),
            ("::1", Some("2001:db8::1"), "2001:db8::1"),
            ("::ffff:10.0.0.5", Some("198.51.100.9"), "198.51.100.9"),
            ("127.0.0.1", Some("nonsense"), "127.0.0.1"),
            ("127.0.0.1", Some(""), "127.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(forwarded) = forwarded {
                headers.insert(FORWARDED_FOR, HeaderValue::from_static(forwarded));
            }
            let peer = peer.parse().expect("an address");
            assert_eq!(
                client(peer, &headers).to_string(),
                expected,
                "{peer} {forwarded:?}"
            );
        }
    }
}
