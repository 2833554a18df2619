//! The `token/*` API: JSON-RPC at `/rpc`, the envelope of DualShield at `/das5/rest/{object}/{verb}`, and the stream
//! of events.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::events::device_events;
use super::openapi::operation::{JSON, Operation, TEXT, text};
use super::routes::{Route, Verb, not_for_heads};
use crate::access::Caller;
use crate::app::App;
use crate::rpc::streams::DEVICE_EVENTS;
use crate::rpc::{Context, das5, jsonrpc};

/// Where methods are called by JSON-RPC.
pub(super) const RPC: &str = "/rpc";

/// The methods in the envelope of DualShield: `/openapi.json` has a path for each of them instead of this one.
pub(super) const DAS5: &str = "/das5/rest/{object}/{verb}";

pub(super) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Post,
        path: RPC,
        handler: |verb| on(verb, rpc),
        about: |_| {
            Operation::new("JSON-RPC", "Calls methods by JSON-RPC 2.0, one or a batch.")
                .more("The methods, their parameters and results are in `/openrpc.json`.")
                .login()
                .idempotency_key()
                .body(&[(JSON, one_or_many(&request(), 1))])
                .answer(200, "The answer, or those of the batch.", &[(JSON, one_or_many(&response(), 1))])
                .answer(204, "There was nothing to answer: notifications only.", &[])
                .answer(403, "The role does not allow it.", &[(JSON, response())])
                .answer(415, "The body is not said to be JSON.", &[])
        },
    },
    Route {
        verb: Verb::Get,
        path: DEVICE_EVENTS.path,
        handler: |verb| on(verb, device_events).head(not_for_heads),
        about: |_| {
            Operation::new("device", DEVICE_EVENTS.about)
                .more("Server-sent events, which end with the server; `x-streams` of `/openrpc.json` has their forms.")
                .login()
                .permission(DEVICE_EVENTS.permission)
                .header("Last-Event-ID", "The last event that was seen: goes on behind it.", &text())
                .answer(200, "The events.", &[("text/event-stream", text())])
                .answer(403, "The role does not allow it.", &[])
                .answer(503, "Too many listen already, or the server is too busy.", &[(TEXT, text())])
        },
    },
    Route {
        verb: Verb::Post,
        path: DAS5,
        handler: |verb| on(verb, das5_call),
        about: |_| Operation::new("token", "Calls a method."),
    },
];

fn one_or_many(one: &Value, least: u32) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": least }] })
}

fn request() -> Value {
    json!({
        "type": "object",
        "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": ["string", "number", "null"] },
            "method": { "type": "string" },
            "params": { "anyOf": [{ "type": "object" }, { "type": "array", "maxItems": 0 }] },
        },
        "required": ["jsonrpc", "method"],
    })
}

fn response() -> Value {
    json!({
        "type": "object",
        "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": ["string", "number", "null"] },
            "result": true,
            "error": {
                "type": "object",
                "properties": {
                    "code": { "type": "integer" },
                    "message": { "type": "string" },
                    "data": { "type": "object", "required": ["kind", "severity"] },
                },
                "required": ["code", "message", "data"],
                "additionalProperties": false,
            },
        },
        "required": ["jsonrpc", "id"],
        "oneOf": [{ "required": ["result"] }, { "required": ["error"] }],
        "additionalProperties": false,
    })
}

async fn rpc(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    call(&app, caller, &headers, &body).await
}

/// Calls methods by JSON-RPC.
pub(super) async fn call(app: &Arc<App>, caller: Caller, headers: &HeaderMap, body: &[u8]) -> Response {
    if !is_json(headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match jsonrpc::answer(&Context::new(app, caller).named(name_of(headers)), body).await {
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
    let context = Context::new(&app, caller).named(name_of(&headers));
    let answer = das5::answer(context, &format!("{object}/{verb}"), &body).await;
    if das5::is_forbidden(&answer) {
        return (StatusCode::FORBIDDEN, Json(answer)).into_response();
    }
    Json(answer).into_response()
}

/// What the caller named its request, by which it can be sent again. One that is no text names nothing that is taken.
fn name_of(headers: &HeaderMap) -> Option<String> {
    headers.get("idempotency-key").map(|name| name.to_str().unwrap_or_default().to_owned())
}

/// Browsers send no foreign JSON without asking first, so this also keeps forms of other sites out.
fn is_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
