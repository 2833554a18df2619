//! `POST /das5/rest/oauth/token`: the client credentials grant (RFC 6749 §4.4).
//!
//! A client shows its id and secret by HTTP Basic or in the form (§2.3.1), not both. Errors are those of §5.2. There is
//! nothing that `scope` could choose from, so naming one is an error.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue, PRAGMA, WWW_AUTHENTICATE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use axum::{Extension, Json};
use serde_json::{Value as Json_, json};
use zeroize::Zeroizing;

use super::super::openapi::operation::{JSON, Operation};
use super::super::peer::Peer;
use super::super::routes::{Route, Verb};
use super::media_type;
use crate::access::credentials::{self, Credentials, Presented};
use crate::access::login::Refused;
use crate::app::App;
use crate::service::client;

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/das5/rest/oauth/token",
    handler: |verb| on(verb, token),
    about: |_| {
        Operation::new("OAuth 2.0", "Trades the id and the secret of a client for a token (RFC 6749 §4.4).")
            .more("The client shows them by HTTP Basic or in the form, not both.")
            .body(&[(FORM, asked())])
            .answer(200, "The token.", &[(JSON, granted())])
            .answer(
                400,
                "The request is wrong.",
                &[(JSON, fault(&["invalid_request", "unsupported_grant_type", "invalid_scope"]))],
            )
            .answer(
                401,
                "The client is unknown, or its secret is wrong.",
                &[(JSON, fault(&["invalid_client"]))],
            )
            .answer(503, "Try again later.", &[(JSON, fault(&["temporarily_unavailable"]))])
    },
}];

const FORM: &str = "application/x-www-form-urlencoded";

fn asked() -> Json_ {
    json!({
        "type": "object",
        "properties": {
            "grant_type": { "const": "client_credentials" },
            "client_id": { "type": "string" },
            "client_secret": { "type": "string", "format": "password" },
        },
        "required": ["grant_type"],
    })
}

fn granted() -> Json_ {
    json!({
        "type": "object",
        "properties": {
            "access_token": { "type": "string" },
            "token_type": { "const": "Bearer" },
            "expires_in": { "description": "Seconds.", "type": "integer" },
        },
        "required": ["access_token", "token_type", "expires_in"],
        "additionalProperties": false,
    })
}

fn fault(names: &[&str]) -> Json_ {
    json!({
        "type": "object",
        "properties": { "error": { "enum": names } },
        "required": ["error"],
        "additionalProperties": false,
    })
}

/// An error of §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    InvalidRequest,
    /// Whether the client tried by a header.
    InvalidClient {
        by_header: bool,
    },
    UnsupportedGrantType,
    InvalidScope,
    Unavailable,
}

async fn token(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let by_header = headers.contains_key(AUTHORIZATION);
        let credentials = requested(&headers, &body)?;
        let address = peer.map(|Extension(peer)| peer.address);
        client::grant(&app, credentials, address).await.map_err(|refused| match refused {
            Refused::Denied => Fault::InvalidClient { by_header },
            Refused::Unavailable => Fault::Unavailable,
        })
    };
    let (status, body, challenge) = match outcome.await {
        Ok(token) => {
            let life = client::TOKEN_LIFE.as_secs();
            let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": life });
            (StatusCode::OK, body, false)
        }
        Err(fault) => {
            let (status, name) = match fault {
                Fault::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
                Fault::InvalidClient { .. } => (StatusCode::UNAUTHORIZED, "invalid_client"),
                Fault::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
                Fault::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
                Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            };
            (status, json!({ "error": name }), fault == (Fault::InvalidClient { by_header: true }))
        }
    };
    let mut answer =
        (status, [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], Json(body)).into_response();
    if challenge {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"fobd\""));
    }
    answer
}

/// The client's id and secret, if what it asks for is there to be had.
fn requested(headers: &HeaderMap, body: &[u8]) -> Result<Credentials, Fault> {
    if media_type(headers) != FORM {
        return Err(Fault::InvalidRequest);
    }
    let mut form: HashMap<String, Zeroizing<String>> = HashMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        // §3.2: nothing may be there twice; what is empty is not there.
        if !value.is_empty() && form.insert(name.into_owned(), Zeroizing::new(value.into_owned())).is_some() {
            return Err(Fault::InvalidRequest);
        }
    }
    let credentials = shown(headers, &mut form)?;
    match form.get("grant_type").map(|grant| grant.as_str()) {
        Some("client_credentials") => {}
        Some(_) => return Err(Fault::UnsupportedGrantType),
        None => return Err(Fault::InvalidRequest),
    }
    if form.contains_key("scope") {
        return Err(Fault::InvalidScope);
    }
    Ok(credentials)
}

fn shown(headers: &HeaderMap, form: &mut HashMap<String, Zeroizing<String>>) -> Result<Credentials, Fault> {
    let (id, secret) = (form.remove("client_id"), form.remove("client_secret"));
    let Some(header) = headers.get(AUTHORIZATION) else {
        return match (id, secret) {
            (Some(id), Some(secret)) => Ok(Credentials { name: id.to_string(), password: secret }),
            _ => Err(Fault::InvalidClient { by_header: false }),
        };
    };
    if secret.is_some() {
        return Err(Fault::InvalidRequest);
    }
    let denied = Fault::InvalidClient { by_header: true };
    match header.to_str().ok().and_then(credentials::read) {
        Some(Presented::Basic(sent)) => {
            // §2.3.1: both are encoded as in a form before they are put together.
            let sent =
                Credentials { name: decoded(&sent.name).to_string(), password: decoded(&sent.password) };
            if id.is_some_and(|id| *id != sent.name) {
                return Err(Fault::InvalidRequest);
            }
            Ok(sent)
        }
        _ => Err(denied),
    }
}

/// A text that was encoded as in a form.
fn decoded(text: &str) -> Zeroizing<String> {
    let both = Zeroizing::new(format!("x={}", text.replace('&', "%26")));
    let mut parts = form_urlencoded::parse(both.as_bytes());
    Zeroizing::new(parts.next().map(|(_, text)| text.into_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn ask(basic: Option<&str>, body: &str) -> Result<(String, String), Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8".parse().unwrap());
        if let Some(pair) = basic {
            headers.insert(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)).parse().unwrap());
        }
        requested(&headers, body.as_bytes()).map(|sent| (sent.name, sent.password.to_string()))
    }

    #[test]
    fn a_client_shows_its_secret_in_the_header_or_in_the_form() {
        let both = Ok(("vpn gw".to_owned(), "a+b:c".to_owned()));
        assert_eq!(ask(Some("vpn+gw:a%2Bb%3Ac"), "grant_type=client_credentials"), both);
        let form = "grant_type=client_credentials&client_id=vpn%20gw&client_secret=a%2Bb%3Ac&scope=";
        assert_eq!(ask(None, form), both);
        assert_eq!(
            ask(Some("a:b"), "grant_type=client_credentials&client_id=a"),
            Ok(("a".into(), "b".into()))
        );
    }

    #[test]
    fn each_fault_has_its_name() {
        let grant = "grant_type=client_credentials";
        let cases = [
            (Some("a:b"), "", Fault::InvalidRequest),
            (Some("a:b"), "grant_type=password", Fault::UnsupportedGrantType),
            (Some("a:b"), &format!("{grant}&scope=all"), Fault::InvalidScope),
            (Some("a:b"), &format!("{grant}&{grant}"), Fault::InvalidRequest),
            (Some("a:b"), &format!("{grant}&client_secret=b"), Fault::InvalidRequest),
            (Some("a:b"), &format!("{grant}&client_id=c"), Fault::InvalidRequest),
            (None, grant, Fault::InvalidClient { by_header: false }),
            (None, &format!("{grant}&client_id=a"), Fault::InvalidClient { by_header: false }),
        ];
        for (basic, body, fault) in cases {
            assert_eq!(ask(basic, body), Err(fault), "{basic:?} {body}");
        }
        assert_eq!(requested(&HeaderMap::new(), grant.as_bytes()).map(|_| ()), Err(Fault::InvalidRequest));
    }
}
