//! The API of pre-auth tokens, as clients of Corda's membership manager (MGM) know it: made, listed and taken back by
//! admins at `/api/VERSION/mgm/HASH/preauthtoken`.
//!
//! It has ways of its own: the media type of a body is ignored, fixed parts of the path and names in the query are the
//! same in any case, success is 200 with `Cache-Control: no-cache`, and every error is a JSON object of `title`,
//! `status` and `details` (`preauth/errors.rs`). A token that ended otherwise than by its time cannot be revoked: 409.

mod body;
mod described;
mod errors;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::on;
use axum::{Extension, Json, Router, middleware};
use serde::Serialize;

use self::errors::Problem;
use super::caller::{Shown, Unknown, denied};
use super::routes::{self, Door, Route, Verb};
use crate::access::Caller;
use crate::app::App;
use crate::model::role::Permission;
use crate::otp::time::Timestamp;
use crate::service::preauth::{self, Filter, Listed};

macro_rules! versions {
    ($($version:literal),*) => {
        /// The versions of the API; they do not differ in this part of it.
        const VERSIONS: &[&str] = &[$($version),*];
        /// Where each begins.
        const PREFIXES: &[&str] = &[$(concat!("/api/", $version, "/mgm")),*];
        /// The routes of all versions.
        pub(super) const ROUTES: &[Route] = &[$(
            Route {
                verb: Verb::Post,
                path: concat!("/api/", $version, "/mgm/{hash}/preauthtoken"),
                handler: |verb| on(verb, create),
                about: |_| described::create(),
            },
            Route {
                verb: Verb::Get,
                path: concat!("/api/", $version, "/mgm/{hash}/preauthtoken"),
                handler: |verb| on(verb, list),
                about: |_| described::list(),
            },
            Route {
                verb: Verb::Put,
                path: concat!("/api/", $version, "/mgm/{hash}/preauthtoken/revoke/{token}"),
                handler: |verb| on(verb, revoke),
                about: |_| described::revoke(),
            },
        )*];
    };
}

versions!("v1", "v5_1", "v5_2", "v5_3", "v5_4");

/// The routes, and an answer in the words of this API for what is none beside them.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let all = routes::router(Door::PreAuth)
        .method_not_allowed_fallback(|| async { Problem::plain(StatusCode::METHOD_NOT_ALLOWED) });
    PREFIXES
        .iter()
        .fold(all, |all, prefix| routes::with_fallback(all, prefix, unknown))
        .layer(middleware::from_fn(super::body::take_small))
        .layer(middleware::from_fn_with_state(Arc::clone(app), authenticate))
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::plain(StatusCode::NOT_FOUND).with("url", uri.path())
}

/// The address as the routes know it, with the fixed parts of its path in lower case. `None` if it is that already, or
/// no address of this API.
pub(super) fn canonical(uri: &Uri) -> Option<Uri> {
    let mut parts: Vec<&str> = uri.path().split('/').collect();
    let version =
        VERSIONS.iter().find(|version| parts.get(2).is_some_and(|p| p.eq_ignore_ascii_case(version)))?;
    let fixed = [(1, "api"), (2, version), (3, "mgm"), (5, "preauthtoken"), (6, "revoke")];
    for (place, name) in fixed {
        match parts.get_mut(place) {
            Some(part) if part.eq_ignore_ascii_case(name) => *part = name,
            Some(_) => return None,
            // Without the end that some requests have not.
            None if place == 6 => {}
            None => return None,
        }
    }
    let path = parts.join("/");
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    (path != uri.path()).then(|| format!("{path}{query}").parse().ok()).flatten()
}

/// Lets only those through who may manage agents.
async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let problem = match Shown::of(&request).who(&app).await {
        Ok(caller) if caller.role.grants(Permission::OperatorManage) => {
            request.extensions_mut().insert(caller);
            return next.run(request).await;
        }
        Ok(_) => return Problem::titled(StatusCode::FORBIDDEN, "User not authorized.").into_response(),
        Err(Unknown::Unavailable) => return Problem::plain(StatusCode::SERVICE_UNAVAILABLE).into_response(),
        Err(Unknown::Nothing) => "User credentials are empty or cannot be resolved",
        Err(Unknown::Wrong) => "Error during user authentication",
    };
    let mut answer = Problem::titled(StatusCode::UNAUTHORIZED, problem).into_response();
    answer.headers_mut().extend(denied().headers().clone());
    answer
}

/// A token as this API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PreAuthToken<'a> {
    id: &'a str,
    #[serde(rename = "ownerX500Name")]
    owner: &'a str,
    /// When its time ends.
    ttl: Option<String>,
    status: &'static str,
    creation_remark: Option<&'a str>,
    removal_remark: Option<&'a str>,
}

fn shown(listed: &Listed) -> PreAuthToken<'_> {
    PreAuthToken {
        id: &listed.id,
        owner: &listed.token.owner,
        ttl: listed.token.expires.map(instant),
        status: listed.token.status.as_str(),
        creation_remark: listed.token.creation_remark.as_deref(),
        removal_remark: listed.token.removal_remark.as_deref(),
    }
}

/// A time as `java.time.Instant` prints it: with no decimals, or with three.
fn instant(time: Timestamp) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(time.as_millis()) else { return String::new() };
    let decimals = if time.subsec_millisecond() == 0 { 0 } else { 3 };
    format!("{time:.decimals$}")
}

fn ok(value: impl Serialize) -> Response {
    ([(CACHE_CONTROL, "no-cache")], Json(value)).into_response()
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    sent: Bytes,
) -> Result<Response, Problem> {
    refuse_multipart(&headers, "request")?;
    let new = body::new_token(&sent)?;
    let Path(hash) = path.map_err(|_| Problem::unreadable_hash())?;
    Ok(ok(shown(&preauth::create(&app, &caller, &hash, new).await?)))
}

async fn list(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Path(hash) = path.map_err(|_| Problem::unreadable_hash())?;
    let found = preauth::list(&app, &hash, filter(query.as_deref().unwrap_or_default())).await?;
    Ok(ok(found.iter().map(shown).collect::<Vec<_>>()))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    sent: Bytes,
) -> Result<Response, Problem> {
    refuse_multipart(&headers, "remarks")?;
    let remark = body::remark(&sent)?;
    let Path((hash, token)) = path.map_err(|_| Problem::unreadable_hash())?;
    Ok(ok(shown(&preauth::revoke(&app, &caller, &hash, &token, remark).await?)))
}

/// The filters of a query. Their names are the same in any case; of one that is there twice the first counts.
fn filter(query: &str) -> Filter {
    let mut filter = Filter::default();
    let mut inactive = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.to_ascii_lowercase().as_str() {
            "ownerx500name" => filter.owner = filter.owner.or(Some(value.into_owned())),
            "preauthtokenid" => filter.token = filter.token.or(Some(value.into_owned())),
            "viewinactive" => inactive = inactive.or(Some(value.eq_ignore_ascii_case("true"))),
            _ => {}
        }
    }
    filter.inactive = inactive.unwrap_or(false);
    filter
}

/// Any media type is taken for JSON but this one.
fn refuse_multipart(headers: &HeaderMap, parameter: &str) -> Result<(), Problem> {
    let sent = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if sent.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        return Err(Problem::parameter(parameter, "IllegalArgumentException", "the body must be JSON"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_parts_of_the_path_are_the_same_in_any_case_and_the_others_are_left() {
        let known = |path: &str| canonical(&path.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(
            known("/API/V5_1/Mgm/aB12Cd34eF56/PreAuthToken?viewInactive=True&x=%20").as_deref(),
            Some("/api/v5_1/mgm/aB12Cd34eF56/preauthtoken?viewInactive=True&x=%20")
        );
        assert_eq!(
            known("/api/v1/mgm/aB/preauthtoken/Revoke/0A").as_deref(),
            Some("/api/v1/mgm/aB/preauthtoken/revoke/0A")
        );
        for path in [
            "/api/v5_4/mgm/aB/preauthtoken",
            "/api/v5_5/MGM/aB/preauthtoken",
            "/api/v1/mgm/aB/reauthtoken",
            "/api/V2/userTokens",
            "/rpc",
            "/",
        ] {
            assert_eq!(known(path), None, "{path}");
        }
    }

    #[test]
    fn a_time_is_printed_as_java_prints_it() {
        assert_eq!(instant(Timestamp::from_millis(1_656_065_730_000)), "2022-06-24T10:15:30Z");
        assert_eq!(instant(Timestamp::from_millis(1_656_065_730_500)), "2022-06-24T10:15:30.500Z");
        assert_eq!(instant(Timestamp::from_millis(1_656_065_730_001)), "2022-06-24T10:15:30.001Z");
    }

    #[test]
    fn filters_are_found_in_any_case_and_anything_but_true_is_false() {
        let inactive = |query: &str| filter(query).inactive;
        assert!(inactive("viewInactive=true") && inactive("VIEWINACTIVE=TRUE"));
        for query in [
            "",
            "viewInactive=",
            "viewinactive=1",
            "viewinactive=yes",
            "viewinactive=false&viewinactive=true",
        ] {
            assert!(!inactive(query), "{query}");
        }
        let all = filter("ownerx500name=O%3DAlice%2C+L%3DLondon, C=GB&PreAuthTokenId=x&other=y");
        assert_eq!(all.owner.as_deref(), Some("O=Alice, L=London, C=GB"));
        assert_eq!((all.token.as_deref(), all.inactive), (Some("x"), false));
    }
}
