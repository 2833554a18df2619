//! From typed parameters to use cases. Each handler is a few lines; what it decides belongs elsewhere.

pub(super) mod agent;
pub(super) mod assignment;
pub(super) mod audit;
pub(super) mod auth;
pub(super) mod clock;
pub(super) mod device;
pub(super) mod directory;
pub(super) mod job;
pub(super) mod key;
pub(super) mod operator;
pub(super) mod policy;
pub(super) mod token;

use serde_json::Value as Json;

use super::params::SearchParams;
use super::{Context, Reply};
use crate::service::error::Error;
use crate::service::inventory::{self, Which};
use crate::store::Reader;
use crate::store::objects::{self, Object};

async fn search(cx: Context, object: &'static Object, params: SearchParams) -> Result<Reply, Error> {
    let found: Json = inventory::search(&cx.app.store, object, params.into()).await?;
    Ok(Reply::Result(found))
}

/// Longest client address that is taken.
const MOST_SOURCE_BYTES: usize = 64;

fn check_source(source: Option<&str>) -> Result<(), Error> {
    if source.is_some_and(|source| source.len() > MOST_SOURCE_BYTES || source.is_empty()) {
        return Err(Error::invalid("source", "must be a client address of 1 to 64 bytes"));
    }
    Ok(())
}

/// Longest name of a request.
const MOST_NAME_BYTES: usize = 128;

/// What the caller named the request: in its parameters, or else in its header. A header names the calls of a batch by
/// their places.
fn request_name(cx: &Context, given: Option<String>) -> Result<Option<String>, Error> {
    let is_name = |name: &str| {
        (1..=MOST_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    let (field, name) = match (given, &cx.named) {
        (Some(name), _) => ("requestId", name),
        (None, Some(name)) => ("Idempotency-Key", name.clone()),
        (None, None) => return Ok(None),
    };
    if !is_name(&name) {
        return Err(Error::invalid(field, "must be 1 to 128 printable characters of ASCII"));
    }
    Ok(Some(match (field, cx.place) {
        ("Idempotency-Key", Some(place)) => format!("{name} {place}"),
        _ => name,
    }))
}

/// Refuses a wrong `return` list while nothing is done yet.
async fn checked(cx: &Context, object: &'static Object, wanted: Vec<Json>) -> Result<Vec<Json>, Error> {
    let read = move |reader: &Reader<'_>| {
        objects::get(reader, object, 0, &wanted)?;
        Ok(wanted)
    };
    cx.app.store.read(read).await
}

async fn get(
    cx: Context,
    object: &'static Object,
    (which, wanted): (Which, Vec<Json>),
) -> Result<Reply, Error> {
    Ok(Reply::Result(inventory::get(&cx.app.store, object, which, wanted).await?))
}
