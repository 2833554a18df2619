//! The ways in beside a password: sessions, user tokens, and tokens of OAuth 2.0.

pub(super) mod oauth;
pub(super) mod sessions;
pub(super) mod user_tokens;
mod xml;

use std::sync::Arc;

use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::{Router, middleware};

use super::body;
use super::routes::{self, Door};
use crate::app::App;

/// Their routes.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(routes::router(Door::Identity))
        .merge(user_tokens::router(app))
        .layer(middleware::from_fn(body::take_small))
}

/// The media type of a body, without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a client wants XML: it names that, and JSON not before it.
fn wants_xml(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut types = accepted.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    types.find_map(|name| match name.to_ascii_lowercase().as_str() {
        "application/json" | "*/*" => Some(false),
        "application/xml" | "text/xml" => Some(true),
        _ => None,
    }) == Some(true)
}
