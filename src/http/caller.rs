//! Who is calling: HTTP Basic (RFC 7617), and no calls on behalf of other web sites.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::peer::Peer;
use crate::access::login::{Credentials, Refused};
use crate::app::App;

/// Lets only known operators through, and tells the handler who it is.
pub(super) async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Some(credentials) = basic(request.headers()) else { return denied() };
    let address = request.extensions().get::<Peer>().map(|peer| peer.address);
    match app.logins.log_in(&app.store, credentials, address, app.clock.now()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(Refused::Denied) => denied(),
        Err(Refused::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn denied() -> Response {
    let challenge = HeaderValue::from_static("Basic realm=\"fobd\", charset=\"UTF-8\"");
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
}

fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let sent = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = sent.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (name, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Credentials { name: name.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

/// A browser says where a request comes from; what comes from another site is refused.
pub(super) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if is_from_another_site(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

fn is_from_another_site(headers: &HeaderMap) -> bool {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_none() || origin != host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_browser_on_another_site_is_told_from_our_own_page_and_from_a_program() {
        let foreign = [
            headers(&[("host", "fobd.example"), ("origin", "https://evil.example")]),
            headers(&[("host", "fobd.example"), ("origin", "null")]),
            headers(&[("sec-fetch-site", "cross-site")]),
        ];
        assert!(foreign.iter().all(is_from_another_site));
        let own = [
            headers(&[("host", "fobd.example:8480"), ("origin", "https://fobd.example:8480")]),
            headers(&[("host", "fobd.example"), ("sec-fetch-site", "same-origin")]),
            headers(&[("host", "fobd.example")]),
        ];
        assert!(!own.iter().any(is_from_another_site));
    }

    #[test]
    fn a_password_may_hold_a_colon_and_umlauts() {
        let encoded = STANDARD.encode("admin:a:ß");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("basic {encoded}").parse().unwrap());
        let sent = basic(&headers).unwrap();
        assert_eq!((sent.name.as_str(), sent.password.as_str()), ("admin", "a:ß"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic !!"));
        assert!(basic(&headers).is_none());
    }
}
