//! `GET /audit/head` and `GET /audit/export`: what leaves the server of the audit log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::access::Caller;
use crate::app::App;
use crate::service::audit::export::Export;
use crate::service::audit::{check_reader, head};
use crate::service::error::{Error, Kind};

/// Pages of an export that wait for a client.
const PAGES: usize = 2;

/// The routes; the caller is known already.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/audit/head", get(newest_head)).route("/audit/export", get(export))
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

pub(super) fn refused(error: &Error) -> Response {
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
