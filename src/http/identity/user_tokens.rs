//! User tokens at `/api/v2/userTokens`: each operator makes, looks at and deletes its own; an admin sees and deletes
//! all, and says how long new ones are good. Days are days in UTC. Errors are plain text.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use axum::{Extension, Json, Router, middleware};
use serde_json::{Value as Json_, json};

use super::super::caller;
use super::super::openapi::operation::{JSON, Operation, TEXT, text as text_schema};
use super::super::routes::{self, Door, Route, Verb};
use crate::access::Caller;
use crate::app::App;
use crate::model::role::Permission;
use crate::otp::time::Timestamp;
use crate::service::error::{Error, Kind};
use crate::service::user_token::{self, EXPIRATION_DAYS, MOST_DAYS};
use crate::store::objects::iso;
use crate::store::user_tokens::UserToken;

/// Realms that clients name. Operators are of the first; nobody is of the others.
const REALMS: [&str; 4] = ["Internal", "SAML", "OAUTH2", "Crowd"];

/// The routes, for those who are let in.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let known = middleware::from_fn_with_state(Arc::clone(app), caller::authenticate);
    routes::router(Door::Own).layer(known)
}

macro_rules! route {
    ($verb:ident $path:literal $handler:ident $about:expr) => {
        Route { verb: Verb::$verb, path: $path, handler: |verb| on(verb, $handler), about: |_| $about }
    };
}

/// A GET of the words `currentUser` and `purge` is a look-up by name.
pub(in crate::http) const ROUTES: &[Route] = &[
    route!(Get "/api/v2/userTokens" search
        with_realm(managed("Lists user tokens."))
            .query("createdAfter", "Made on this day or later.", &day())
            .query("createdBefore", "Made before this day.", &day())
            .answer(200, "The tokens.", &[(JSON, json!({ "type": "array", "items": token_shown() }))])
            .answer(400, "The query is wrong.", &[(TEXT, text_schema())])),
    route!(Post "/api/v2/userTokens/currentUser" create
        of_user("Makes the caller's token; its passCode is shown this once.")
            .answer(200, "The token.", &[(JSON, token_made())])
            .answer(409, "There is one already.", &[(TEXT, text_schema())])),
    route!(Delete "/api/v2/userTokens/currentUser" delete_own
        of_user("Deletes the caller's token.").answer(204, "Deleted.", &[]).answer(404, NONE, &[(TEXT, text_schema())])),
    route!(Get "/api/v2/userTokens/currentUser" named_current_user one("Shows the token of the operator of that name.")),
    route!(Get "/api/v2/userTokens/currentUser/hasToken" has_token
    of_user("Whether the caller has a token.").answer(200, "Whether there is one.", &[(JSON, json!({
        "type": "object",
        "properties": { "userTokenExists": { "type": "boolean" } },
        "required": ["userTokenExists"],
        "additionalProperties": false,
    }))])),
    route!(Get "/api/v2/userTokens/currentUser/createTime" create_time
        of_user("When the caller's token was made.")
            .answer(200, "The time.", &[(JSON, json!({ "type": "string", "format": "date-time" }))])
            .answer(404, NONE, &[(TEXT, text_schema())])),
    route!(Delete "/api/v2/userTokens/purge" purge
        managed("Deletes the tokens of operators who are no more.").answer(204, "Deleted.", &[])),
    route!(Get "/api/v2/userTokens/purge" named_purge one("Shows the token of the operator of that name.")),
    route!(Delete "/api/v2/userTokens/userCode/{code}" delete_by_code
        managed("Deletes a token by its userCode.")
            .path("code", "The userCode.").answer(400, "The path is no text.", &[(TEXT, text_schema())])
            .answer(204, "Deleted.", &[])
            .answer(404, NONE, &[(TEXT, text_schema())])),
    route!(Get "/api/v2/userTokens/{username}" by_name
        one("Shows the token of an operator.").path("username", "Name of the operator.")),
    route!(Get "/api/v2/config/userTokens" config
        managed("How long new tokens are good.").answer(200, "The setting.", &[(JSON, setting(true))])),
    route!(Put "/api/v2/config/userTokens" put_config
        managed("Sets how long new tokens are good.")
            .body(&[(JSON, setting(false))])
            .answer(200, "The setting.", &[(JSON, setting(true))])
            .answer(400, "The body is wrong.", &[(TEXT, text_schema())])),
    route!(Delete "/api/v2/config/userTokens" delete_config
        managed("Lets new tokens be good without end.")
            .needs_query("property", "What to forget; must be given.", &json!({ "const": EXPIRATION_DAYS }))
            .answer(200, "The setting.", &[(JSON, setting(true))])
            .answer(400, "The query is wrong.", &[(TEXT, text_schema())])),
];

/// Said where there is no token.
const NONE: &str = "There is no such token.";

fn of_user(summary: &str) -> Operation {
    let texts = [(TEXT, text_schema())];
    Operation::new("user tokens", summary).login().answer(500, "A fault of the server.", &texts).answer(
        503,
        "Too busy, or the disk refuses: try again later.",
        &texts,
    )
}

fn managed(summary: &str) -> Operation {
    of_user(summary).permission(Permission::OperatorManage).answer(
        403,
        "The role does not allow it.",
        &[(TEXT, text_schema())],
    )
}

fn with_realm(operation: Operation) -> Operation {
    operation.query("realm", "The realm; operators are of `Internal`.", &json!({ "enum": REALMS }))
}

/// A look-up by name.
fn one(summary: &str) -> Operation {
    with_realm(managed(summary))
        .answer(200, "The token.", &[(JSON, token_shown())])
        .answer(400, "The query is wrong.", &[(TEXT, text_schema())])
        .answer(404, NONE, &[(TEXT, text_schema())])
}

fn day() -> Json_ {
    json!({ "type": "string", "format": "date" })
}

fn token_shown() -> Json_ {
    json!({
        "type": "object",
        "properties": {
            "userCode": { "type": "string", "pattern": "^[A-Za-z0-9]{8}$" },
            "username": { "type": "string" },
            "realm": { "const": REALMS[0] },
        },
        "required": ["userCode", "username", "realm"],
        "additionalProperties": false,
    })
}

fn token_made() -> Json_ {
    let mut schema = token_shown();
    schema["properties"]["passCode"] = json!({ "type": "string", "pattern": "^[A-Za-z0-9]{44}$" });
    schema["properties"]["createTime"] = json!({ "type": "string", "format": "date-time" });
    schema["properties"]["expirationDate"] = json!({ "type": "string", "format": "date-time" });
    schema["required"] = json!(["userCode", "username", "realm", "passCode", "createTime"]);
    schema
}

/// The one setting; null where none was made.
fn setting(may_be_null: bool) -> Json_ {
    let mut days = json!({ "type": "integer", "minimum": 0, "maximum": MOST_DAYS });
    if may_be_null {
        days["type"] = json!(["integer", "null"]);
    }
    json!({
        "type": "object",
        "properties": { EXPIRATION_DAYS: days },
        "required": [EXPIRATION_DAYS],
        "additionalProperties": false,
    })
}

type Answer = Result<Response, Refusal>;

/// A refusal in plain text.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

fn text(status: StatusCode, text: &str) -> Refusal {
    Refusal(status, text.to_owned())
}

fn failed(error: &Error) -> Refusal {
    let status = match error.kind {
        Kind::Exists => StatusCode::CONFLICT,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, &error.message)
}

fn may_manage(caller: &Caller) -> Result<(), Refusal> {
    if caller.role.grants(Permission::OperatorManage) {
        return Ok(());
    }
    Err(text(StatusCode::FORBIDDEN, "you are not allowed to do that"))
}

fn shown(token: &UserToken) -> Json_ {
    json!({ "userCode": token.user_code, "username": token.username, "realm": REALMS[0] })
}

fn ok(value: &Json_) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

async fn create(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Answer {
    let (token, pass_code) = user_token::create(&app, &caller).await.map_err(|error| failed(&error))?;
    let mut answer = shown(&token);
    answer["passCode"] = pass_code.into();
    answer["createTime"] = iso(token.created).into();
    if let Some(expires) = token.expires {
        answer["expirationDate"] = iso(expires).into();
    }
    Ok(ok(&answer))
}

async fn own(app: &App, caller: &Caller) -> Result<Option<UserToken>, Refusal> {
    user_token::own(app, caller).await.map_err(|error| failed(&error))
}

async fn has_token(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Answer {
    Ok(ok(&json!({ "userTokenExists": own(&app, &caller).await?.is_some() })))
}

async fn create_time(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Answer {
    let token = own(&app, &caller).await?.ok_or_else(no_token)?;
    Ok(ok(&iso(token.created).into()))
}

async fn delete_own(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Answer {
    let deleted = user_token::delete_own(&app, &caller).await.map_err(|error| failed(&error))?;
    if deleted { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(no_token()) }
}

fn no_token() -> Refusal {
    text(StatusCode::NOT_FOUND, "there is no such user token")
}

/// What a query asks for.
#[derive(Default)]
struct Query {
    created_after: Option<Timestamp>,
    created_before: Option<Timestamp>,
    realm: Option<String>,
}

impl Query {
    fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let bad = |problem: &str| text(StatusCode::BAD_REQUEST, problem);
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "createdAfter" | "createdBefore" => {
                    let day = user_token::day(&value)
                        .ok_or_else(|| bad(&format!("{name} must be a day such as 2019-01-31")))?;
                    let place = if name == "createdAfter" {
                        &mut asked.created_after
                    } else {
                        &mut asked.created_before
                    };
                    *place = Some(day);
                }
                "realm" => {
                    let known = REALMS.iter().any(|realm| *realm == value);
                    let problem = || bad("realm must be Internal, SAML, OAUTH2 or Crowd");
                    asked.realm = Some(known.then(|| value.into_owned()).ok_or_else(problem)?);
                }
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Whether it is about the realm that operators are of.
    fn is_internal(&self) -> bool {
        self.realm.as_deref().is_none_or(|realm| realm == REALMS[0])
    }
}

async fn search(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    may_manage(&caller)?;
    let asked = Query::read(query.as_deref())?;
    let tokens = if asked.is_internal() {
        let found = user_token::all(&app, asked.created_after, asked.created_before).await;
        found.map_err(|error| failed(&error))?
    } else {
        Vec::new()
    };
    Ok(ok(&tokens.iter().map(shown).collect()))
}

async fn find(app: &App, caller: &Caller, query: Option<String>, username: String) -> Answer {
    may_manage(caller)?;
    let asked = Query::read(query.as_deref())?;
    let token = user_token::of_name(app, username).await.map_err(|error| failed(&error))?;
    let token = token.filter(|_| asked.is_internal()).ok_or_else(no_token)?;
    Ok(ok(&shown(&token)))
}

async fn by_name(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(username): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    find(&app, &caller, query, username).await
}

/// The look-up of an operator whose name is a word of the routes.
macro_rules! named {
    ($name:ident, $word:literal) => {
        async fn $name(
            State(app): State<Arc<App>>,
            Extension(caller): Extension<Caller>,
            RawQuery(query): RawQuery,
        ) -> Answer {
            find(&app, &caller, query, $word.to_owned()).await
        }
    };
}

named!(named_current_user, "currentUser");
named!(named_purge, "purge");

async fn purge(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Answer {
    may_manage(&caller)?;
    user_token::purge(&app, &caller).await.map_err(|error| failed(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn delete_by_code(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(code): Path<String>,
) -> Answer {
    may_manage(&caller)?;
    let deleted = user_token::delete(&app, &caller, code).await.map_err(|error| failed(&error))?;
    if deleted { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(no_token()) }
}

async fn config(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Answer {
    may_manage(&caller)?;
    current_config(&app).await
}

async fn current_config(app: &App) -> Answer {
    let days = user_token::expiration(app).await.map_err(|error| failed(&error))?;
    Ok(ok(&json!({ EXPIRATION_DAYS: days })))
}

async fn put_config(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    may_manage(&caller)?;
    let bad = || {
        let problem =
            format!("the body must be {{\"{EXPIRATION_DAYS}\": days}}, 0 to {MOST_DAYS}, 0 for no end");
        text(StatusCode::BAD_REQUEST, &problem)
    };
    let sent: serde_json::Map<String, Json_> = serde_json::from_slice(&body).map_err(|_| bad())?;
    let days = sent.get(EXPIRATION_DAYS).and_then(Json_::as_u64).and_then(|days| u32::try_from(days).ok());
    let days = days.filter(|days| *days <= MOST_DAYS && sent.len() == 1).ok_or_else(bad)?;
    user_token::set_expiration(&app, &caller, Some(days)).await.map_err(|error| failed(&error))?;
    current_config(&app).await
}

async fn delete_config(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    may_manage(&caller)?;
    let mut named = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "property")
        .map(|(_, value)| value);
    if named.next().as_deref() != Some(EXPIRATION_DAYS) || named.next().is_some() {
        return Err(text(StatusCode::BAD_REQUEST, &format!("property must be {EXPIRATION_DAYS}")));
    }
    user_token::set_expiration(&app, &caller, None).await.map_err(|error| failed(&error))?;
    current_config(&app).await
}
