//! Bodies of requests: all of one is there before a handler runs, in time and within a limit.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

/// How long a body may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How much of a body is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Most bytes.
    most: usize,
    /// Largest body that is taken in order to be refused. Many clients listen only once all is sent; a larger one breaks
    /// their connection.
    discarded: u64,
    refusal: &'static str,
}

/// For calls of methods, of which one may bring a file.
pub(super) const LARGE: Limit = Limit {
    most: 16 * 1024 * 1024,
    discarded: 128 * 1024 * 1024,
    refusal: "a body may hold at most 16 MiB\n",
};

/// For names, passwords and remarks, which anybody may send.
pub(super) const SMALL: Limit =
    Limit { most: 64 * 1024, discarded: 0, refusal: "a body may hold at most 64 KiB here\n" };

/// All of a body, or why it is refused.
pub(super) async fn read(head: &HeaderMap, mut body: Body, limit: Limit) -> Result<Bytes, Response> {
    let refusal = || (StatusCode::PAYLOAD_TOO_LARGE, limit.refusal).into_response();
    let length = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if let Some(length) = length.filter(|length: &u64| *length > limit.most as u64) {
        if length <= limit.discarded {
            let discard =
                async { while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {} };
            let _ = timeout(PATIENCE, discard).await;
        }
        return Err(refusal());
    }
    match timeout(PATIENCE, to_bytes(body, limit.most)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(refusal()),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response()),
    }
}

/// The request with all of its body, or why it is refused.
pub(super) async fn whole(request: Request, limit: Limit) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let body = read(&head.headers, body, limit).await?;
    let mut request = Request::from_parts(head, body.into());
    // What has come is not measured again, by a smaller limit.
    DefaultBodyLimit::disable().apply(&mut request);
    Ok(request)
}

/// Runs what is next with a small body.
pub(super) async fn take_small(request: Request, next: Next) -> Response {
    match whole(request, SMALL).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
    }
}
