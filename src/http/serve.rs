//! The listening socket and its end: what was accepted is finished and answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::router;
use crate::app::App;

/// How long a stop waits for requests under way. A touch at a device takes its time.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long it waits then for clients to read their answers, and for those that have not sent a whole request.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
/// A request is accepted once its head has come. A client that has sent less, or that does not read its answer,
/// does not keep the server from ending.
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
    let under_way = UnderWay::default();
    let routes = router(Arc::clone(&app))
        .layer(middleware::from_fn_with_state(under_way.clone(), count))
        .into_make_service_with_connect_info::<SocketAddr>();
    let (told, stopping) = oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = told.send(());
    };
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop).into_future();
    let nothing_left = async {
        if stopping.await.is_err() {
            // The socket broke, and `serving` says so.
            std::future::pending::<()>().await;
        }
        if tokio::time::timeout(PATIENCE, under_way.none()).await.is_err() {
            tracing::warn!("a request did not come to its end in time");
        }
        tokio::time::sleep(LAST_WORDS).await;
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        () = nothing_left => Ok(()),
    };
    app.stop().await;
    outcome
}

/// Counts the requests whose head has come and whose answer has not been made.
#[derive(Clone, Default)]
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    async fn none(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One request; gone with it, however it ends.
struct One(UnderWay);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

async fn count(State(under_way): State<UnderWay>, request: Request, next: Next) -> Response {
    under_way.0.send_modify(|count| *count += 1);
    let _one = One(under_way);
    next.run(request).await
}
