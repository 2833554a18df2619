//! The listening socket and how what crosses it is protected.
//!
//! Plain HTTP is for this machine, and for proxies that were named; everybody else gets TLS. So there is no way to
//! send a passcode over a network in the clear by forgetting an option.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;

use super::peer::Proxies;
use super::tls::Identity;

/// What protects connections.
#[derive(Clone)]
pub enum Protection {
    /// Nothing: the other end is on this machine.
    Loopback,
    /// Whatever is between the client and these proxies, and between them and us.
    Proxies(Proxies),
    /// TLS.
    Tls(Arc<Identity>),
}

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Passwords and passcodes would cross the network in the clear.
    #[error("{0} is not a loopback address: plain HTTP is served to this machine only")]
    NotLoopback(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A bound socket.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) protection: Protection,
    address: SocketAddr,
}

impl Listener {
    /// Binds it.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: SocketAddr, protection: Protection) -> Result<Self, ListenError> {
        if matches!(protection, Protection::Loopback) && !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let failed = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, protection, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients type, for example `https://127.0.0.1:8480`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if matches!(self.protection, Protection::Tls(_)) { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// SHA-256 of the certificate that it shows, if it speaks TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        match &self.protection {
            Protection::Tls(identity) => Some(identity.fingerprint()),
            Protection::Loopback | Protection::Proxies(_) => None,
        }
    }
}

impl Protection {
    /// Whether requests from there are answered at all.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        match self {
            Self::Loopback | Self::Tls(_) => true,
            Self::Proxies(proxies) => proxies.contain(peer) || peer.to_canonical().is_loopback(),
        }
    }

    /// Who forwards requests of others.
    pub(super) fn proxies(&self) -> Proxies {
        match self {
            Self::Proxies(proxies) => proxies.clone(),
            Self::Loopback | Self::Tls(_) => Proxies::default(),
        }
    }
}
