//! The keys that seal the database.

use super::super::params::{KeyRotate, KeyStatus};
use super::super::{Context, Reply};
use crate::service::error::Error;
use crate::service::key;

pub(in crate::rpc) async fn status(cx: Context, _: KeyStatus) -> Result<Reply, Error> {
    Ok(Reply::Result(key::status(&cx.app).await?))
}

pub(in crate::rpc) async fn rotate(cx: Context, params: KeyRotate) -> Result<Reply, Error> {
    Ok(Reply::Result(match (params.abandon, params.new_key_file) {
        (true, None) => key::abandon(&cx.app, &cx.caller).await?,
        (true, Some(_)) => return Err(Error::invalid("abandon", "names no key")),
        (false, file) => key::rotate(&cx.app, &cx.caller, file.map(Into::into)).await?,
    }))
}
