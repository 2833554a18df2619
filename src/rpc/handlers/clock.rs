//! The server's own clock.

use super::super::params::Nothing;
use super::super::{Context, Reply};
use crate::service::error::Error;
use crate::service::server_clock;

pub(in crate::rpc) async fn get(cx: Context, _: Nothing) -> Result<Reply, Error> {
    Ok(Reply::Result(server_clock::get(&cx.app).await))
}

pub(in crate::rpc) async fn accept(cx: Context, _: Nothing) -> Result<Reply, Error> {
    Ok(Reply::Result(server_clock::accept(&cx.app, &cx.caller).await?))
}
