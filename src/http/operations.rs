//! For those who run the server: is it well, what does it count, what can it do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use axum::{Extension, Json};
use serde_json::json;

use super::openapi::operation::{JSON, Operation, TEXT, refusal, text};
use super::openapi::{self};
use super::routes::{Route, Verb};
use crate::access::Caller;
use crate::app::App;
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;
use crate::model::role::Permission;
use crate::rpc::openrpc;
use crate::service;
use crate::store::StoreError;

const TAG: &str = "operations";

/// For everybody.
pub(super) const OPEN: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/healthz",
        handler: |verb| on(verb, || async { "ok\n" }),
        about: |_| {
            Operation::new(TAG, "Whether the process runs.").answer(200, "It does.", &[(TEXT, text())])
        },
    },
    Route {
        verb: Verb::Get,
        path: "/readyz",
        handler: |verb| on(verb, ready),
        about: |_| {
            Operation::new(TAG, "Whether the server can save and read.")
                .answer(200, "It can.", &[(TEXT, text())])
                .answer(503, "It cannot; the text says what.", &[(TEXT, text())])
        },
    },
    Route {
        verb: Verb::Get,
        path: "/openrpc.json",
        handler: |verb| on(verb, || async { Json(openrpc::document()) }),
        about: |_| {
            Operation::new(TAG, "Describes the methods to clients of JSON-RPC.").answer(
                200,
                "An OpenRPC 1.3 document.",
                &[(JSON, json!({ "type": "object" }))],
            )
        },
    },
    Route {
        verb: Verb::Get,
        path: "/openapi.json",
        handler: |verb| on(verb, || async { Json(openapi::document()) }),
        about: |_| {
            Operation::new(TAG, "Describes every route.").answer(
                200,
                "This document.",
                &[(JSON, json!({ "type": "object" }))],
            )
        },
    },
];

/// For those who may.
pub(super) const WATCHED: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/metrics",
    handler: |verb| on(verb, metrics),
    about: |_| {
        Operation::new(TAG, "What the server counts of itself.")
            .more("Text for Prometheus, version 0.0.4. The metrics are of the whole server: for operators whose scope is all.")
            .login()
            .permission(Permission::MetricsRead)
            .answer(200, "The metrics.", &[(TEXT, text())])
            .answer(403, "The role or the scope does not allow it.", &[(JSON, refusal())])
    },
}];

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
    if let Some(problem) = app.guards.clock.problem(&app.store).await {
        let text = format!("the clock is suspect: {problem}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ready\n".into_response()
}

async fn metrics(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Response {
    match service::metrics::text(&app, &caller).await {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE), (CACHE_CONTROL, "no-store")], text).into_response(),
        Err(error) => super::refused(&error),
    }
}
