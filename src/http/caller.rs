//! Who is calling, by the `Authorization` header or an agent's certificate, and no calls on behalf of other web sites.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::peer::Peer;
use super::strangers;
use crate::access::Caller;
use crate::access::credentials::{self, Presented};
use crate::access::login::Refused;
use crate::app::App;

/// What a request shows of who sends it.
pub(super) struct Shown {
    /// What the `Authorization` header says; none if there is no such header. One that cannot be read is an error.
    authorization: Option<Result<Presented, ()>>,
    peer: Option<Peer>,
}

/// Why nobody is let in.
pub(super) enum Unknown {
    /// Nothing was shown.
    Nothing,
    /// What was shown is wrong.
    Wrong,
    /// Nobody looked at it: too much to do, or the store failed.
    Unavailable,
}

impl From<Refused> for Unknown {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied => Self::Wrong,
            Refused::Unavailable => Self::Unavailable,
        }
    }
}

impl Shown {
    pub(super) fn of(request: &Request) -> Self {
        let header = request.headers().get(AUTHORIZATION);
        let read = |value: &HeaderValue| credentials::read(value.to_str().ok()?);
        Self {
            authorization: header.map(|value| read(value).ok_or(())),
            peer: request.extensions().get::<Peer>().cloned(),
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.peer.as_ref().map(|peer| peer.address)
    }

    /// Finds out who it is: by the header, or where there is none, by the certificate of an agent.
    pub(super) async fn who(self, app: &App) -> Result<Caller, Unknown> {
        let (address, now) = (self.address(), app.clock.now());
        if let Some(presented) = self.authorization {
            let presented = presented.map_err(|()| Unknown::Wrong)?;
            return Ok(app.logins.who(&app.store, presented, address, now).await?);
        }
        let certificate = self.peer.and_then(|peer| peer.certificate).ok_or(Unknown::Nothing)?;
        let found = app.logins.by_certificate(&app.store, &certificate, now).await.map_err(Refused::from)?;
        // A certificate of somebody else says nothing here.
        found.ok_or(Unknown::Nothing)
    }
}

/// Who sends a request, or why it is refused. Somebody who shows nothing may ask for what needs no login.
pub(super) async fn identify(app: &App, request: Request) -> Result<(Caller, Request), Response> {
    let shown = Shown::of(&request);
    let address = shown.address();
    match shown.who(app).await {
        Ok(caller) => Ok((caller, request)),
        Err(Unknown::Nothing) => {
            let request = strangers::asks_for_what_is_for_anybody(request).await.ok_or_else(denied)?;
            Ok((Caller::stranger(address), request))
        }
        Err(Unknown::Wrong) => Err(denied()),
        Err(Unknown::Unavailable) => Err(StatusCode::SERVICE_UNAVAILABLE.into_response()),
    }
}

/// The request with its caller.
pub(super) async fn known(app: &App, request: Request) -> Result<Request, Response> {
    let (caller, mut request) = identify(app, request).await?;
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Lets only known callers through.
pub(super) async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match known(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
    }
}

pub(super) fn denied() -> Response {
    let challenge = HeaderValue::from_static("Basic realm=\"fobd\", charset=\"UTF-8\"");
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
}

/// Whether a browser says that another site makes a request: such a one is refused.
pub(super) fn is_from_another_site(headers: &HeaderMap) -> bool {
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
