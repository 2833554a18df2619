//! `GET /provision/{link}`: hands the secret of a software token to whoever holds its link, once.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, REFERRER_POLICY};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;

use super::openapi::operation::{JSON, Operation, refusal};
use super::routes::{Route, Verb, not_for_heads};
use crate::app::App;
use crate::service::error::Kind;
use crate::service::export;
use crate::service::shown::CredentialShown;

/// A look at the head would spend the link and hand out nothing.
pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/provision/{link}",
    handler: |verb| on(verb, provision).head(not_for_heads),
    about: |generator| {
        let credential = generator.subschema_for::<CredentialShown<'_>>().to_value();
        Operation::new("token", "Hands out the secret of a software token, once.")
            .path("link", "What `token/getDownloadUrl` made.")
            .answer(200, "The secret. The link is spent.", &[(JSON, credential)])
            .answer(410, "The link is spent, too old, or never was one.", &[(JSON, refusal())])
            .answer(503, "The disk refuses: try again later.", &[])
    },
}];

async fn provision(State(app): State<Arc<App>>, link: Result<Path<String>, PathRejection>) -> Response {
    // What is no text is no link of ours, and neither is nothing.
    let link = link.map(|Path(link)| link).unwrap_or_default();
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
