//! The HTTP surface: routes, who is calling, and limits. What is asked is decided elsewhere.

mod audit;
mod backup;
mod body;
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

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, middleware};
use tower_service::Service as _;

pub use self::listener::{ListenError, Listener, Protection};
use self::observe::Observer;
use self::routes::Door;
pub use self::serve::{Limits, serve};
use crate::app::App;
use crate::service::error::{Error, Kind};

/// What answers requests.
struct Surface {
    app: Arc<App>,
    observer: Observer,
    routes: Router,
}

impl Surface {
    fn new(app: Arc<App>) -> Self {
        let observer = Observer::new(Arc::clone(&app.metrics), app.started);
        let routes = router(Arc::clone(&app), observer.clone());
        Self { app, observer, routes }
    }

    /// Answers a request.
    ///
    /// Nearly all of them are calls of one path, by the ten thousand a second. These do not go through the router, where
    /// each layer boxes request and answer once more: its steps are the same, in the same order.
    async fn answer(&self, request: Request) -> Response {
        if request.uri().path() == token_api::RPC && request.method() == Method::POST {
            let answer = async |request| self.call(request).await.unwrap_or_else(|refusal| refusal);
            return self.observer.follow(token_api::RPC, request, answer).await;
        }
        match self.routes.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Calls methods by JSON-RPC.
    async fn call(&self, request: Request) -> Result<Response, Response> {
        if caller::is_from_another_site(request.headers()) {
            return Err(StatusCode::FORBIDDEN.into_response());
        }
        let (caller, request) = caller::identify(&self.app, request).await?;
        let (head, body) = request.into_parts();
        let body = body::read(&head.headers, body, body::LARGE).await?;
        Ok(token_api::call(&self.app, caller, &head.headers, &body).await)
    }
}

/// All routes.
fn router(app: Arc<App>, observer: Observer) -> Router {
    let api = routes::router(Door::Login).layer(middleware::from_fn_with_state(Arc::clone(&app), admit));
    Router::new()
        .merge(api)
        .merge(identity::routes(&app))
        .merge(preauth::router(&app))
        .merge(routes::router(Door::Open))
        .layer(middleware::from_fn_with_state(observer, observe))
        .with_state(app)
}

/// Follows every request; those that other web sites make go no further.
async fn observe(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.and_then(|path| openapi::template(path.as_str())).unwrap_or("none");
    let answer = async |request: Request| match caller::is_from_another_site(request.headers()) {
        true => StatusCode::FORBIDDEN.into_response(),
        false => next.run(request).await,
    };
    observer.follow(route, request, answer).await
}

/// Lets known callers through, with all that they sent.
async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let admitted = match caller::known(&app, request).await {
        Ok(request) => body::whole(request, body::LARGE).await,
        Err(refusal) => Err(refusal),
    };
    match admitted {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
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
