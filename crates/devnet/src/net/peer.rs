//! Who is at the other end of a connection.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// The address that a connection came from; every request carries it among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// The client's address, if `X-Forwarded-For` is believed of local peers, as the reference PDS believes
    /// it: from the right, the first address that is not itself local, or else the last one.
    pub(crate) fn client(self, headers: &HeaderMap) -> IpAddr {
        let forwarded = headers.get_all("x-forwarded-for");
        let mut hops: Vec<IpAddr> = forwarded
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|hop| hop.trim().parse().ok())
            .collect();
        let mut address = self.0;
        while is_local(address) {
            match hops.pop() {
                Some(hop) => address = hop,
                None => break,
            }
        }
        address
    }
}

/// Loopback, link-local, or private.
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_is_believed_of_local_peers_only() {
        let client = |peer: &str, forwarded: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(hops) = forwarded {
                headers.insert("x-forwarded-for", hops.parse().unwrap());
            }
            Peer(peer.parse().unwrap()).client(&headers).to_string()
        };
        assert_eq!(client("127.0.0.1", None), "127.0.0.1");
        assert_eq!(client("127.0.0.1", Some("8.8.8.8")), "8.8.8.8");
        assert_eq!(client("127.0.0.1", Some("8.8.4.4, 8.8.8.8")), "8.8.8.8");
        assert_eq!(client("127.0.0.1", Some("8.8.8.8, 10.0.0.1")), "8.8.8.8");
        assert_eq!(client("127.0.0.1", Some("10.0.0.2, 10.0.0.1")), "10.0.0.2");
        assert_eq!(client("9.9.9.9", Some("8.8.8.8")), "9.9.9.9");
    }
}
