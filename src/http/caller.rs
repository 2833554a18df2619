//! Who is calling, by the `Authorization` header, and no calls on behalf of other web sites.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::peer::Peer;
use crate::access::credentials;
use crate::access::login::Refused;
use crate::app::App;

/// Lets only known operators through, and tells the handler who it is.
pub(super) async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(presented) = sent.and_then(credentials::read) else { return denied() };
    let address = request.extensions().get::<Peer>().map(|peer| peer.address);
    match app.logins.who(&app.store, presented, address, app.clock.now()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(Refused::Denied) => denied(),
        Err(Refused::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

pub(super) fn denied() -> Response {
    let challenge = HeaderValue::from_static("Basic realm=\"fobd\", charset=\"UTF-8\"");
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
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
}
