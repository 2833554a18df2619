//! Who is at the other end of a connection: the client's address, seen through proxies that are trusted, and the
//! certificate it showed.
//!
//! `X-Forwarded-For` counts only from a trusted proxy, and then the last address in it that is not a trusted proxy
//! itself: what stands before it was written by the client.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the request comes from.
    pub address: IpAddr,
    /// The certificate that the client proved to hold, in DER. Nobody has vouched for it yet: whether it is an
    /// agent's is for the store to say.
    pub certificate: Option<Arc<[u8]>>,
}

/// Networks whose hosts forward requests of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

/// The text is no list of networks.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

impl FromStr for Proxies {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let network = |part: &str| {
            let part = part.trim();
            let single = || part.parse::<IpAddr>().map(IpNet::from);
            part.parse().or_else(|_| single()).map_err(|_| BadNetwork(part.to_owned()))
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl Proxies {
    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this host is one.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address in a request that came from `peer`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let mut hops: Vec<IpAddr> = Vec::new();
        for value in headers.get_all("x-forwarded-for") {
            for hop in value.to_str().unwrap_or_default().split(',') {
                match address(hop) {
                    Some(hop) => hops.push(hop),
                    // What stands before something unreadable is the client's own invention.
                    None => hops.clear(),
                }
            }
        }
        hops.into_iter().rev().find(|hop| !self.contain(*hop)).unwrap_or(peer)
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.parse().or_else(|_| text.parse().map(|socket: std::net::SocketAddr| socket.ip()));
    bare.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies: Proxies = "10.0.0.0/8, fd00::/8,192.0.2.7".parse().unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_where_a_request_comes_from() {
        assert_eq!(client("203.0.113.5", &["198.51.100.1"]), "203.0.113.5");
        assert_eq!(client("10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("192.0.2.7", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("fd00::1", &["2001:db8::9"]), "2001:db8::9");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        // The client says it is 192.0.2.1; the first proxy appends what it saw, the second the first proxy.
        assert_eq!(client("10.1.2.3", &["192.0.2.1, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &["192.0.2.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &["192.0.2.1, nonsense, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &["192.0.2.1, nonsense"]), "10.1.2.3");
    }

    #[test]
    fn a_list_of_networks_names_the_part_that_is_wrong() {
        assert_eq!("10.0.0.0/8".parse::<Proxies>().unwrap().0.len(), 1);
        let error = "10.0.0.0/8, example.org".parse::<Proxies>().unwrap_err();
        assert_eq!(error.to_string(), "`example.org` is neither an address nor a network such as 10.0.0.0/8");
        assert!("".parse::<Proxies>().is_err());
    }
}
