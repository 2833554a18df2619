//! What a route is. Each module of this room has a table of its routes; the router and `/openapi.json` are both made of
//! these tables, so that neither can have one that the other lacks.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, MethodRouter};
use schemars::SchemaGenerator;

use super::identity::{oauth, sessions, user_tokens};
use super::openapi::operation::Operation;
use super::{audit, backup, operations, preauth, provision, token_api};
use crate::app::App;

/// One method of one path.
pub(super) struct Route {
    /// The method.
    pub(super) verb: Verb,
    /// The template of the path, with names in braces.
    pub(super) path: &'static str,
    /// What serves it.
    pub(super) handler: fn(MethodFilter) -> MethodRouter<Arc<App>>,
    /// What `/openapi.json` says of it.
    pub(super) about: fn(&mut SchemaGenerator) -> Operation,
}

/// The methods that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// The word for it in `/openapi.json`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// What stands before a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Nothing: for everybody.
    Open,
    /// A login, and the limit of bodies of the methods.
    Login,
    /// A small limit of bodies: for those who want to log in.
    Identity,
    /// That, and a login.
    Own,
    /// The login and the errors of the API of pre-auth tokens.
    PreAuth,
}

/// Every table of routes. Another surface is another line here, and nowhere else.
static TABLES: &[(Door, &[Route])] = &[
    (Door::Open, operations::OPEN),
    (Door::Login, operations::WATCHED),
    (Door::Login, token_api::ROUTES),
    (Door::Open, provision::ROUTES),
    (Door::Login, audit::ROUTES),
    (Door::Login, backup::ROUTES),
    (Door::Identity, sessions::ROUTES),
    (Door::Identity, oauth::ROUTES),
    (Door::Own, user_tokens::ROUTES),
    (Door::PreAuth, preauth::ROUTES),
];

/// Every route.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    TABLES.iter().flat_map(|(_, table)| table.iter())
}

/// A router with the routes behind that door.
pub(super) fn router(door: Door) -> Router<Arc<App>> {
    let behind = TABLES.iter().filter(|(known, _)| *known == door).flat_map(|(_, table)| table.iter());
    behind.fold(Router::new(), |router, route| router.route(route.path, (route.handler)(route.verb.filter())))
}

/// Lets a handler answer for what is no route, below a path.
pub(super) fn with_fallback<T: 'static>(
    router: Router<Arc<App>>,
    below: &str,
    handler: impl Handler<T, Arc<App>>,
) -> Router<Arc<App>> {
    router.nest(below, Router::new().fallback(handler))
}

/// For routes that a look at the head alone, as previews take it, must not set off.
pub(super) async fn not_for_heads() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}
