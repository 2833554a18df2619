//! `POST /backup`: a copy of the database, as a stream of bytes with its length and its digest (RFC 9530).

use std::io::Read as _;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc;

use super::audit::Pages;
use super::openapi::operation::{JSON, Operation, refusal, text};
use super::refused;
use super::routes::{Route, Verb};
use crate::access::Caller;
use crate::app::App;
use crate::model::role::Permission;
use crate::service::backup;
use crate::store::backup::Copied;

/// Registered with IANA.
const SQLITE: &str = "application/vnd.sqlite3";
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// Bytes of one piece.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for a client.
const PIECES: usize = 4;

/// The route; the caller is known already.
pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/backup",
    handler: |verb| on(verb, copy),
    about: |_| {
        Operation::new(
            "backup",
            "A consistent copy of the database, with its length and its digest (RFC 9530).",
        )
        .login()
        .permission(Permission::Backup)
        .answer(200, "The copy.", &[(SQLITE, text())])
        .answer(403, "The role does not allow it.", &[(JSON, refusal())])
        .answer(409, "Another copy is being made.", &[(JSON, refusal())])
        .answer(500, "A fault of the server.", &[(JSON, refusal())])
        .answer(503, "Too busy, or the disk refuses: try again later.", &[(JSON, refusal())])
    },
}];

async fn copy(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Response {
    let Copied { mut file, bytes, sha256 } = match backup::make(&app, &caller).await {
        Ok(copied) => copied,
        Err(error) => return refused(&error),
    };
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece).inspect(|read| piece.truncate(*read));
            // A client that went away, or a broken disk: the length tells the client that there was to be more.
            let ended = !matches!(read, Ok(1..));
            if ended || sender.blocking_send(Ok(Bytes::from(piece))).is_err() {
                return;
            }
        }
    });
    let headers = [
        (CONTENT_TYPE, SQLITE.to_owned()),
        (CONTENT_LENGTH, bytes.to_string()),
        (REPR_DIGEST, format!("sha-256=:{}:", STANDARD.encode(sha256))),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::new(Pages(receiver))).into_response()
}
