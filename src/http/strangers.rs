//! Requests of those who show nothing: only those for what needs no login are looked at, and only as far as it takes to
//! see that they are.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::Method;
use tokio::time::timeout;

use super::body::PATIENCE;
use super::token_api::RPC;
use crate::rpc::{jsonrpc, methods};

/// Longest body of a stranger: a name, a token and a certificate request.
const MOST_BODY_BYTES: usize = 64 * 1024;

/// The request, if it asks for what needs no login, in either envelope. A batch never does.
pub(super) async fn asks_for_what_is_for_anybody(request: Request) -> Option<Request> {
    if request.method() != Method::POST {
        return None;
    }
    let by_path = request.uri().path().strip_prefix("/das5/rest/").map(methods::is_for_anybody);
    if by_path == Some(false) || (by_path.is_none() && request.uri().path() != RPC) {
        return None;
    }
    let (parts, body) = request.into_parts();
    let body = timeout(PATIENCE, to_bytes(body, MOST_BODY_BYTES)).await.ok()?.ok()?;
    let asks = by_path.unwrap_or_else(|| jsonrpc::is_for_anybody(&body));
    asks.then(|| Request::from_parts(parts, body.into()))
}
