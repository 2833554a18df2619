//! The listening socket and its end: what was accepted is finished and answered.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use super::router;
use crate::app::App;

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

/// Binds the listening socket.
///
/// # Errors
/// [`ListenError`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().is_loopback() {
        return Err(ListenError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })
}

/// Serves until `stop` resolves, then answers what was accepted and closes devices and store.
///
/// # Errors
/// If the listening socket breaks.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    if let Ok(address) = listener.local_addr() {
        // One that was given wins over the address that it listens on.
        let _ = app.public_url.set(format!("http://{address}"));
    }
    let listener = listener.tap_io(|stream| {
        // Answers are small; waiting to fill a packet would add up to 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let routes = router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let outcome = axum::serve(listener, routes).with_graceful_shutdown(stop).await;
    app.stop().await;
    outcome
}
