//! The session API: `POST /Authentication/V1/Tokens` trades name, password and agent for a token, and
//! `GET /Authentication/V1/Tokens/{token}` tells what one stands for, to whoever has it.
//!
//! JSON, or XML for those who ask for it. The answer to a login is a bare text. The path is the same in any case, and
//! with a slash at its end. What is malformed is 400, what is wrong is 401, and a token that is unknown or over is 400,
//! as the clients of this API expect.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::openapi::operation::{JSON, Operation, text};
use super::super::peer::Peer;
use super::super::routes::{Route, Verb};
use super::{media_type, wants_xml, xml};
use crate::access::credentials::Credentials;
use crate::access::login::Refused;
use crate::app::App;
use crate::service::session;

const TAG: &str = "sessions";
const XML: &str = "application/xml";

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Post,
        path: "/Authentication/V1/Tokens",
        handler: |verb| on(verb, open),
        about: |generator| {
            let login = generator.subschema_for::<Login>().to_value();
            Operation::new(TAG, "Trades name, password and agent for a token that is good for an hour.")
                .more("The path is the same in any case, and with a slash at its end.")
                .body(&[(JSON, login.clone()), (XML, login)])
                .answer(200, "The token; in XML for those who accept that.", &[(JSON, text()), (XML, text())])
                .answer(400, "Malformed, or something is missing.", &[])
                .answer(401, "Name, password or agent is wrong.", &[])
                .answer(415, "The body is neither JSON nor XML.", &[])
                .answer(503, "Too busy, or the disk refuses: try again later.", &[])
        },
    },
    Route {
        verb: Verb::Get,
        path: "/Authentication/V1/Tokens/{token}",
        handler: |verb| on(verb, details),
        about: |generator| {
            let details = generator.subschema_for::<TokenDetails>().to_value();
            Operation::new(TAG, "Tells what a token stands for.")
                .path("token", "The token.")
                .answer(200, "What it stands for.", &[(JSON, details), (XML, text())])
                .answer(400, "The token is unknown or over.", &[])
                .answer(503, "The disk refuses: try again later.", &[])
        },
    },
];

/// The address as the routes know it: clients write `v1` and `V1`, and some a slash at the end. `None` if it is that
/// already, or no address of this API.
pub(in crate::http) fn canonical(uri: &Uri) -> Option<Uri> {
    let mut parts = uri.path().trim_end_matches('/').split('/').skip(1);
    let named = ["authentication", "v1", "tokens"];
    if !named.iter().all(|name| parts.next().is_some_and(|part| part.eq_ignore_ascii_case(name))) {
        return None;
    }
    let token = parts.next();
    if parts.next().is_some() {
        return None;
    }
    let mut path = "/Authentication/V1/Tokens".to_owned();
    if let Some(token) = token {
        path = format!("{path}/{token}");
    }
    (path != uri.path()).then(|| path.parse().ok()).flatten()
}

/// Who wants a token, and for which agent.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Login {
    /// Name of the operator.
    username: String,
    /// The password.
    #[schemars(with = "String", extend("format" = "password"))]
    password: Zeroizing<String>,
    /// The agent; empty for none, which is for admins.
    agent_id: String,
}

impl Login {
    fn read(kind: &str, body: &[u8]) -> Result<Self, StatusCode> {
        match kind {
            "application/json" => serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST),
            "application/xml" | "text/xml" => {
                let text = std::str::from_utf8(body).map_err(|_| StatusCode::BAD_REQUEST)?;
                let texts =
                    xml::texts(text.trim_start_matches('\u{feff}'), &["Username", "Password", "AgentId"]);
                let [username, password, agent_id] =
                    texts.and_then(|texts| <[_; 3]>::try_from(texts).ok()).ok_or(StatusCode::BAD_REQUEST)?;
                match (username, password, agent_id) {
                    (Some(username), Some(password), Some(agent_id)) => {
                        Ok(Self { username: username.to_string(), password, agent_id: agent_id.to_string() })
                    }
                    _ => Err(StatusCode::BAD_REQUEST),
                }
            }
            _ => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        }
    }
}

async fn open(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let login = match Login::read(&media_type(&headers), &body) {
        Ok(login) => login,
        Err(status) => return status.into_response(),
    };
    let address = peer.map(|Extension(peer)| peer.address);
    let credentials = Credentials { name: login.username, password: login.password };
    match session::open(&app, credentials, login.agent_id, address).await {
        Ok(token) if wants_xml(&headers) => answer(XML, xml::string(&token)),
        Ok(token) => answer(JSON, serde_json::Value::from(token).to_string()),
        Err(Refused::Denied) => StatusCode::UNAUTHORIZED.into_response(),
        Err(Refused::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// What a token stands for.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(deny_unknown_fields)]
struct TokenDetails {
    /// Name of the operator.
    username: String,
    /// The agent; empty for none.
    agent_id: String,
    /// Milliseconds since the Unix epoch.
    expires_timestamp: i64,
}

async fn details(
    State(app): State<Arc<App>>,
    token: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    // What is no text is no token of ours.
    let Ok(Path(token)) = token else { return StatusCode::BAD_REQUEST.into_response() };
    match session::details(&app, &token).await {
        Ok(Some(found)) => {
            let shown = TokenDetails {
                username: found.username,
                agent_id: found.agent,
                expires_timestamp: found.expires.as_millis(),
            };
            if wants_xml(&headers) {
                let expires = shown.expires_timestamp.to_string();
                let members = [
                    ("AgentId", &*shown.agent_id),
                    ("ExpiresTimestamp", &*expires),
                    ("Username", &*shown.username),
                ];
                return answer(XML, xml::object("TokenDetails", &members));
            }
            answer(JSON, serde_json::json!(shown).to_string())
        }
        Ok(None) => StatusCode::BAD_REQUEST.into_response(),
        Err(error) => {
            tracing::error!(%error, "sessions cannot be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn answer(kind: &'static str, body: String) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_same_in_any_case_and_with_a_slash_at_its_end_but_a_token_is_not() {
        let known = |path: &str| canonical(&path.parse().unwrap()).map(|uri| uri.to_string());
        let tokens = "/Authentication/V1/Tokens";
        for path in ["/authentication/v1/tokens", "/Authentication/V1/Tokens/", "/AUTHENTICATION/v1/tokens/"]
        {
            assert_eq!(known(path).as_deref(), Some(tokens), "{path}");
        }
        assert_eq!(
            known("/authentication/v1/tokens/aB%2Bc/").as_deref(),
            Some("/Authentication/V1/Tokens/aB%2Bc")
        );
        for path in [
            tokens,
            "/Authentication/V1/Tokens/aB",
            "/authentication/v2/tokens",
            "/rpc",
            "/",
            "/authentication/v1/tokens/a/b",
        ] {
            assert_eq!(known(path), None, "{path}");
        }
    }
}
