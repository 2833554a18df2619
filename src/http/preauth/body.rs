//! The bodies of the API of pre-auth tokens. An object may come as it is, or as the one member `request` of another;
//! the remark of a revocation as the member `remarks`, as a text by itself, or not at all.

use serde_json::{Map, Value as Json};

use super::errors::Problem;
use crate::model::duration;
use crate::service::preauth::NewToken;

/// What makes a token.
pub(super) fn new_token(body: &[u8]) -> Result<NewToken, Problem> {
    let bad = |cause: &str, reason: &str| Problem::parameter("request", cause, reason);
    let mut members = match parsed("request", body)? {
        Json::Object(members) => members,
        _ => return Err(bad("MismatchedInputException", "the body must be a JSON object")),
    };
    if members.len() == 1
        && let Some(Json::Object(inner)) = members.get_mut("request")
    {
        members = std::mem::take(inner);
    }
    let mut text = |name: &str| {
        taken(&mut members, name)
            .map_err(|()| bad("MismatchedInputException", &format!("`{name}` must be a text")))
    };
    let (owner, ttl, remark) = (text("ownerX500Name")?, text("ttl")?, text("remarks")?);
    if let Some(name) = members.keys().next() {
        let name: String = name.chars().take(100).collect();
        return Err(bad("UnrecognizedPropertyException", &format!("there is no property `{name}`")));
    }
    let missing = || bad("MissingKotlinParameterException", "`ownerX500Name` must be given");
    let owner = owner.ok_or_else(missing)?;
    let no_duration =
        || bad("InvalidFormatException", "`ttl` must be a duration PnDTnHnMn.nS, for example PT15M or P4D");
    let life = ttl.map(|ttl| duration::parse(&ttl).ok_or_else(no_duration)).transpose()?;
    Ok(NewToken { owner, life, remark })
}

/// What is said of a token that is taken back.
pub(super) fn remark(body: &[u8]) -> Result<Option<String>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let bad =
        || Problem::parameter("remarks", "MismatchedInputException", "the body must be {\"remarks\": text}");
    match parsed("remarks", body)? {
        Json::String(text) => Ok(Some(text)),
        Json::Object(mut members) if members.len() == 1 && members.contains_key("remarks") => {
            taken(&mut members, "remarks").map_err(|()| bad())
        }
        _ => Err(bad()),
    }
}

fn parsed(parameter: &str, body: &[u8]) -> Result<Json, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let reason = format!("parse error at line {}, column {}", error.line(), error.column());
        Problem::parameter(parameter, "JsonParseException", reason)
    })
}

/// Takes a text out of an object; one that is `null` is absent.
fn taken(members: &mut Map<String, Json>, name: &str) -> Result<Option<String>, ()> {
    match members.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(()),
    }
}
