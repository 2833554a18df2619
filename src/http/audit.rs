//! `GET /audit/head` and `GET /audit/export`: what leaves the server of the audit log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use axum::{Extension, Json};
use hyper::body::Frame;
use serde_json::{Value as Json_, json};
use tokio::sync::mpsc;

use super::openapi::operation::{JSON, Operation, refusal, text};
use super::refused;
use super::routes::{Route, Verb};
use crate::access::Caller;
use crate::app::App;
use crate::model::role::Permission;
use crate::service::audit::export::Export;
use crate::service::audit::{check_reader, head};
use crate::service::error::Error;

/// Pages of an export that wait for a client.
const PAGES: usize = 2;

/// The routes; the caller is known already.
pub(super) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/audit/head",
        handler: |verb| on(verb, newest_head),
        about: |_| {
            about("The newest signed head of the audit log.")
                .answer(200, "The head.", &[(JSON, signed_head())])
                .answer(204, "The log is empty.", &[])
        },
    },
    Route {
        verb: Verb::Get,
        path: "/audit/export",
        handler: |verb| on(verb, export),
        about: |_| {
            let after = json!({ "type": "integer", "format": "int64", "minimum": 0 });
            about("The audit log as lines of JSON, and the signed heads in it.")
                .query("after", "Only what comes after the row of this sequence.", &after)
                .answer(200, "The lines.", &[("application/x-ndjson", text())])
                .answer(400, "The query is wrong.", &[(JSON, refusal())])
        },
    },
];

fn about(summary: &str) -> Operation {
    Operation::new("audit", summary)
        .login()
        .permission(Permission::AuditRead)
        .answer(403, "The role or the scope does not allow it.", &[(JSON, refusal())])
        .answer(500, "A fault of the server.", &[(JSON, refusal())])
        .answer(503, "Too busy, or the disk refuses: try again later.", &[(JSON, refusal())])
}

fn signed_head() -> Json_ {
    let hex = |bytes: usize| json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * bytes) });
    json!({
        "type": "object",
        "properties": {
            "version": { "const": 1 },
            "node": hex(16),
            "sequence": { "type": "integer", "minimum": 1 },
            "hash": hex(32),
            "at_ms": { "type": "integer" },
            "key": hex(32),
            "signature": hex(64),
        },
        "required": ["version", "node", "sequence", "hash", "at_ms", "key", "signature"],
        "additionalProperties": false,
    })
}

/// The newest signed head; 204 while the log is empty.
async fn newest_head(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Response {
    if let Err(error) = check_reader(&caller) {
        return refused(&error);
    }
    match head(&app.store).await {
        Ok(Some(head)) => ([(CACHE_CONTROL, "no-store")], Json(head)).into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

/// The log as lines of JSON, all of it or what comes after the row `?after=N`.
async fn export(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>, uri: Uri) -> Response {
    if let Err(error) = check_reader(&caller) {
        return refused(&error);
    }
    let after = match read_after(uri.query()) {
        Ok(after) => after,
        Err(error) => return refused(&error),
    };
    let mut export = match Export::begin(Arc::clone(&app), after).await {
        Ok(export) => export,
        Err(error) => return refused(&error),
    };
    let (sender, receiver) = mpsc::channel(PAGES);
    tokio::spawn(async move {
        loop {
            let page = match export.next().await {
                Ok(Some(text)) => Ok(Bytes::from(text)),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "an export of the audit log was broken off");
                    // The client sees a broken connection, and no last line.
                    Err(std::io::Error::other("broken off"))
                }
            };
            let broken = page.is_err();
            if sender.send(page).await.is_err() || broken {
                return;
            }
        }
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, Body::new(Pages(receiver))).into_response()
}

fn read_after(query: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    let after = query.strip_prefix("after=").and_then(|text| text.parse::<i64>().ok());
    match after.filter(|after| *after >= 0) {
        Some(after) => Ok(Some(after)),
        None => Err(Error::invalid("after", "must be the sequence of a row, and is all that may be asked")),
    }
}

/// A body that is written page by page, as fast as the client takes it.
pub(super) struct Pages(pub(super) mpsc::Receiver<std::io::Result<Bytes>>);

impl HttpBody for Pages {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.get_mut().0.poll_recv(cx).map(|page| page.map(|page| page.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sequence_of_a_row_may_be_asked() {
        assert_eq!(read_after(None), Ok(None));
        assert_eq!(read_after(Some("after=12")), Ok(Some(12)));
        for query in ["after=-1", "after=", "before=1", "after=1&x=2", "after=99999999999999999999"] {
            assert!(read_after(Some(query)).is_err(), "{query}");
        }
    }
}
