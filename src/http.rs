//! The HTTP surface: routes, who is calling, and limits. What is asked is decided elsewhere.

mod audit;
mod backup;
mod caller;
mod events;
mod identity;
mod listener;
mod observe;
pub mod openapi;
mod operations;
pub mod peer;
mod preauth;
mod provision;
mod routes;
mod serve;
mod stall;
mod strangers;
pub mod tls;
mod token_api;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, middleware};
use tokio::time::timeout;

pub use self::listener::{ListenError, Listener, Protection};
use self::observe::Observer;
use self::routes::Door;
pub use self::serve::{Limits, serve};
use crate::app::App;
use crate::service::error::{Error, Kind};

/// Largest body of a request.
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(60);
/// Largest body that is taken in order to be refused.
const MOST_DISCARDED_BYTES: u64 = 128 * 1024 * 1024;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = routes::router(Door::Login)
        .layer(middleware::from_fn(take_whole_body))
        .layer(middleware::from_fn(refuse_large_bodies))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), caller::authenticate))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES));
    let observer = Observer::new(Arc::clone(&app.metrics), app.started);
    Router::new()
        .merge(api)
        .merge(identity::routes(&app))
        .merge(preauth::router(&app))
        .merge(routes::router(Door::Open))
        .layer(middleware::from_fn(caller::refuse_other_sites))
        .layer(middleware::from_fn_with_state(observer, observe::follow))
        .with_state(app)
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

/// A refusal beside the methods, as JSON.
fn refused(error: &Error) -> Response {
    let status = match error.kind {
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::BackupBusy => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = serde_json::json!({ "error": error.kind.code(), "message": error.message });
    (status, Json(body)).into_response()
}
