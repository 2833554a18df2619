//! The HTTP surface: routes, who is calling, and limits. What is asked is decided elsewhere.

mod audit;
mod backup;
mod caller;
mod events;
mod identity;
mod listener;
pub mod peer;
mod serve;
mod stall;
pub mod tls;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, REFERRER_POLICY};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use tokio::time::timeout;

pub use self::listener::{ListenError, Listener, Protection};
pub use self::serve::{Limits, serve};
use crate::access::Caller;
use crate::app::App;
use crate::rpc::streams::DEVICE_EVENTS;
use crate::rpc::{Context, das5, jsonrpc, openrpc};
use crate::service::error::Kind;
use crate::service::export;
use crate::store::StoreError;

/// Largest body of a request.
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(60);
/// Largest body that is taken in order to be refused.
const MOST_DISCARDED_BYTES: u64 = 128 * 1024 * 1024;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/rpc", post(rpc))
        .route(
            DEVICE_EVENTS.path,
            get(events::device_events).head(|| async { StatusCode::METHOD_NOT_ALLOWED }),
        )
        .route("/das5/rest/{object}/{verb}", post(das5_call))
        .merge(audit::routes())
        .merge(backup::routes())
        .layer(middleware::from_fn(take_whole_body))
        .layer(middleware::from_fn(refuse_large_bodies))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), caller::authenticate))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES));
    Router::new()
        .merge(api)
        .merge(identity::routes(&app))
        // A look at the head, as previews take it, would spend the link and hand out nothing.
        .route("/provision/{link}", get(provision).head(|| async { StatusCode::METHOD_NOT_ALLOWED }))
        .route("/openrpc.json", get(|| async { Json(openrpc::document()) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn(caller::refuse_other_sites))
        .with_state(app)
}

/// 200 only while the server can save and read.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if let Err(error) = app.store.read(|reader| reader.is_readable()).await {
        let error: StoreError = error;
        tracing::error!(%error, "the database cannot be read");
        return (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be read\n").into_response();
    }
    // Whoever asks here keeps requests away from a server that is not ready: without a try of its own, nothing
    // would ever show that the disk takes changes again.
    if !app.store.is_healthy() && app.store.probe().await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "changes cannot be saved\n").into_response();
    }
    "ready\n".into_response()
}

/// Refuses a body that says that it is too large. Many clients listen only once all is sent, so that a body of
/// moderate size is thrown away first; a larger one breaks their connection.
async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(length) = length.filter(|length: &u64| *length > MOST_BODY_BYTES as u64) else {
        return next.run(request).await;
    };
    if length <= MOST_DISCARDED_BYTES {
        let mut body = request.into_body();
        let discard =
            async { while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {} };
        let _ = timeout(BODY, discard).await;
    }
    (StatusCode::PAYLOAD_TOO_LARGE, "a body may hold at most 16 MiB\n").into_response()
}

/// Waits for the whole body before a handler runs, and not for ever.
async fn take_whole_body(request: Request, next: Next) -> Response {
    take_body(request, next, MOST_BODY_BYTES, "a body may hold at most 16 MiB\n").await
}

async fn take_body(request: Request, next: Next, most: usize, too_large: &'static str) -> Response {
    let (parts, body) = request.into_parts();
    match timeout(BODY, to_bytes(body, most)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, body.into())).await,
        Ok(Err(_)) => (StatusCode::PAYLOAD_TOO_LARGE, too_large).into_response(),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response(),
    }
}

/// Hands the secret of a software token to whoever holds its link, once.
async fn provision(State(app): State<Arc<App>>, Path(link): Path<String>) -> Response {
    let no_store = [(CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")];
    match export::fetch(&app, &link).await {
        Ok(credential) => (no_store, Json(credential)).into_response(),
        Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Internal) => {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Err(error) => {
            let body = serde_json::json!({ "error": error.kind.code(), "message": error.message });
            (StatusCode::GONE, no_store, Json(body)).into_response()
        }
    }
}

async fn rpc(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_json(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match jsonrpc::answer(&Context::new(&app, caller), &body).await {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(answer) if jsonrpc::is_forbidden(&answer) => {
            (StatusCode::FORBIDDEN, Json(answer)).into_response()
        }
        Some(answer) => Json(answer).into_response(),
    }
}

async fn das5_call(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((object, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_json(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let answer = das5::answer(Context::new(&app, caller), &format!("{object}/{verb}"), &body).await;
    if das5::is_forbidden(&answer) {
        return (StatusCode::FORBIDDEN, Json(answer)).into_response();
    }
    Json(answer).into_response()
}

/// Browsers send no foreign JSON without asking first, so this also keeps forms of other sites out.
fn is_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
