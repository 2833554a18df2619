//! The HTTP surface: routes, who is calling, and limits. What is asked is decided elsewhere.

mod caller;
mod serve;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, REFERRER_POLICY};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};

pub use self::serve::{ListenError, bind, serve};
use crate::access::Caller;
use crate::app::App;
use crate::rpc::{Context, das5, jsonrpc, openrpc};
use crate::service::error::Kind;
use crate::service::export;
use crate::store::StoreError;

/// Largest body of a request.
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/rpc", post(rpc))
        .route("/das5/rest/{object}/{verb}", post(das5_call))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), caller::authenticate))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES));
    Router::new()
        .merge(api)
        .route("/provision/{link}", get(provision))
        .route("/openrpc.json", get(|| async { Json(openrpc::document()) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn(caller::refuse_other_sites))
        .with_state(app)
}

/// 200 only while the server can save and read.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let reads = app.store.read(|reader| reader.is_readable()).await;
    match reads {
        Ok(()) if app.store.is_healthy() => "ready\n".into_response(),
        Ok(()) => (StatusCode::SERVICE_UNAVAILABLE, "the last change could not be saved\n").into_response(),
        Err(error) => {
            let error: StoreError = error;
            tracing::error!(%error, "the database cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be read\n").into_response()
        }
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
    match jsonrpc::answer(&Context { app, caller }, &body).await {
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
    let answer = das5::answer(Context { app, caller }, &format!("{object}/{verb}"), &body).await;
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
