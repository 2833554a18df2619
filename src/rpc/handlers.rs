//! From typed parameters to use cases. Each handler is a few lines; what it decides belongs elsewhere.

pub(super) mod auth;
pub(super) mod device;
pub(super) mod directory;
pub(super) mod job;
pub(super) mod token;

use serde_json::Value as Json;

use super::params::SearchParams;
use super::{Context, Reply};
use crate::service::error::Error;
use crate::service::inventory::{self, Selector};
use crate::store::objects::Object;

async fn search(cx: Context, object: &'static Object, params: SearchParams) -> Result<Reply, Error> {
    let found: Json = inventory::search(&cx.app.store, object, params.into()).await?;
    Ok(Reply::Result(found))
}

/// `"id": "t1"` and `"token": {..}` name the same thing; one of them must be there.
fn either(id: Option<String>, selector: Option<Selector>, field: &str) -> Result<Selector, Error> {
    match (id, selector) {
        (Some(id), None) => Ok(Selector::Id(id)),
        (None, Some(selector)) => Ok(selector),
        (None, None) => Err(Error::invalid(field, "or `id` must be given")),
        (Some(_), Some(_)) => Err(Error::invalid(field, "and `id` must not both be given")),
    }
}
