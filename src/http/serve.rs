//! Connections: from the accepted socket to the routes, with limits on all that a client can make wait, and the end,
//! where what was accepted is finished and answered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Surface;
use super::listener::{Listener, Protection};
use super::peer::{Peer, Proxies};
use super::stall::Unstalled;
use super::{identity, preauth};
use crate::app::App;

/// What a client can make wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take, and how long a connection may wait for its next request.
    pub head: Duration,
    /// How long a client may leave an answer unread.
    pub unread: Duration,
    /// Most connections at a time. Those beyond wait in the system's queue.
    pub connections: usize,
    /// Most connections of one address, unless it is this machine or a proxy. Those beyond are closed.
    pub of_one_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            unread: Duration::from_secs(30),
            connections: 1024,
            of_one_address: 128,
        }
    }
}

/// How long a stop waits for requests under way. A touch at a device takes its time.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long it waits then for clients to read their answers, and for those that have not sent a whole request.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Largest head of a request in bytes, and most header fields.
const MOST_HEAD: (usize, usize) = (64 * 1024, 100);
/// How often the certificate's files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// Serves until `stop` resolves, then answers what was accepted and closes devices and store.
///
/// A request is accepted once its head has come. A client that has sent less, or that does not read its answer,
/// does not keep the server from ending.
///
/// # Errors
/// If the listening socket breaks.
pub async fn serve(
    app: Arc<App>,
    listener: Listener,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // One that was given wins over the address that it listens on.
    let _ = app.public_url.set(listener.url());
    if let Some(fingerprint) = listener.fingerprint() {
        app.shows(fingerprint);
    }
    let (stopping, _) = watch::channel(false);
    let under_way = UnderWay::default();
    let door = Arc::new(Door {
        limits,
        guests: Guests::default(),
        surface: Surface::new(Arc::clone(&app)),
        proxies: listener.protection.proxies(),
        protection: listener.protection.clone(),
        acceptor: match &listener.protection {
            Protection::Tls(identity) => Some(identity.acceptor()),
            Protection::Loopback | Protection::Proxies(_) => None,
        },
        stopping: stopping.subscribe(),
        under_way: under_way.clone(),
    });
    let mut connections = JoinSet::new();
    let outcome = accept(&app, &listener, &door, &mut connections, stop).await;
    drop(listener);
    stopping.send_replace(true);
    // A stream of events is an answer that would never end.
    app.events.end();
    if timeout(PATIENCE, under_way.none()).await.is_err() {
        tracing::warn!("a request did not come to its end in time");
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST_WORDS, all).await;
    app.stop().await;
    outcome
}

/// Takes connections in until the stop.
async fn accept(
    app: &App,
    listener: &Listener,
    door: &Arc<Door>,
    connections: &mut JoinSet<()>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(door.limits.connections));
    let mut certificate_check = tokio::time::interval(CERTIFICATE_CHECK);
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            (place, listener.socket.accept().await)
        };
        tokio::select! {
            () = &mut stop => return Ok(()),
            _ = certificate_check.tick() => {
                if let Protection::Tls(identity) = &listener.protection {
                    identity.refresh();
                    app.shows(identity.fingerprint());
                }
            }
            // Forgets those that are over.
            Some(_) = connections.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, address)) => {
                    let door = Arc::clone(door);
                    connections.spawn(async move { door.enter(stream, address, place).await });
                }
                Err(error) => pause_or_fail(error).await?,
            }
        }
    }
}

/// A client that hung up again is nothing; without file descriptors one waits for some.
async fn pause_or_fail(error: io::Error) -> io::Result<()> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset => Ok(()),
        InvalidInput => Err(error),
        _ => {
            tracing::error!(%error, "a connection cannot be accepted");
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }
    }
}

/// What every connection needs.
struct Door {
    limits: Limits,
    guests: Guests,
    surface: Surface,
    proxies: Proxies,
    protection: Protection,
    acceptor: Option<TlsAcceptor>,
    stopping: watch::Receiver<bool>,
    under_way: UnderWay,
}

impl Door {
    /// Serves one connection to its end.
    async fn enter(self: Arc<Self>, stream: TcpStream, address: SocketAddr, _place: OwnedSemaphorePermit) {
        let Some(_guest) = self.admit(address.ip()) else {
            tracing::warn!(address = %address.ip(), "too many connections from one address");
            return;
        };
        // Answers are small; waiting to fill a packet would add up to 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let Some(acceptor) = &self.acceptor else {
            return self.converse(stream, address.ip(), None).await;
        };
        match timeout(self.limits.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let certificate = shown.map(|certificate| Arc::from(certificate.as_ref()));
                self.converse(stream, address.ip(), certificate).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
            Err(_) => tracing::debug!("no TLS in time"),
        }
    }

    /// Counts a connection of an address. `None` if it has too many.
    fn admit(&self, address: IpAddr) -> Option<Guest<'_>> {
        let address = address.to_canonical();
        let free = address.is_loopback() || self.proxies.contain(address);
        self.guests.enter(address, if free { usize::MAX } else { self.limits.of_one_address })
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        peer: IpAddr,
        certificate: Option<Arc<[u8]>>,
    ) {
        let service = service_fn(|request: Request<Incoming>| {
            let certificate = certificate.clone();
            async move { Ok::<_, Infallible>(self.answer(request, peer, certificate).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_header_size(MOST_HEAD.0)
            .max_headers(MOST_HEAD.1)
            .serve_connection(TokioIo::new(Unstalled::new(stream, self.limits.unread)), service);
        tokio::pin!(connection);
        let mut stopping = self.stopping.clone();
        let stop = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        certificate: Option<Arc<[u8]>>,
    ) -> Response {
        if !self.protection.admits(peer) {
            let text = "plain HTTP is served to this machine and to the proxies named by --behind-proxy\n";
            return (StatusCode::FORBIDDEN, text).into_response();
        }
        let _one = self.under_way.one();
        let mut request = request.map(Body::new);
        let canonical = identity::sessions::canonical(request.uri());
        if let Some(uri) = canonical.or_else(|| preauth::canonical(request.uri())) {
            *request.uri_mut() = uri;
        }
        let address = self.proxies.client(peer, request.headers());
        request.extensions_mut().insert(Peer { address, certificate });
        self.surface.answer(request).await
    }
}

/// Connections by address.
#[derive(Default)]
struct Guests(Mutex<HashMap<IpAddr, usize>>);

impl Guests {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Guest<'_>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Guest { guests: self, address })
    }
}

/// One connection; gone with it.
struct Guest<'a> {
    guests: &'a Guests,
    address: IpAddr,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let mut all = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = all.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Counts the requests whose head has come and whose answer has not been made.
#[derive(Clone, Default)]
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    fn one(&self) -> One<'_> {
        // Nobody waits for more of them.
        self.0.send_if_modified(|count| {
            *count += 1;
            false
        });
        One(self)
    }

    async fn none(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One request; gone with it, however it ends.
struct One<'a>(&'a UnderWay);

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_until_one_ends() {
        let guests = Guests::default();
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let first = guests.enter(address(1), 2);
        let second = guests.enter(address(1), 2);
        assert!(first.is_some() && second.is_some() && guests.enter(address(1), 2).is_none());
        assert!(guests.enter(address(2), 2).is_some());
        drop(first);
        assert!(guests.enter(address(1), 2).is_some());
        drop(second);
        assert!(guests.0.lock().unwrap().is_empty(), "what is over is forgotten");
    }
}
