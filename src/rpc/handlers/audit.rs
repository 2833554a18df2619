//! The audit log.

use super::super::params::{AuditPrune, AuditSearch};
use super::super::{Context, Reply};
use crate::service::audit as log;
use crate::service::error::Error;

pub(in crate::rpc) async fn search(cx: Context, params: AuditSearch) -> Result<Reply, Error> {
    log::check_whole(&cx.caller)?;
    Ok(Reply::Result(log::search(&cx.app.store, params.into()).await?))
}

pub(in crate::rpc) async fn prune(cx: Context, params: AuditPrune) -> Result<Reply, Error> {
    log::check_whole(&cx.caller)?;
    Ok(Reply::Result(log::prune(&cx.app, &cx.caller, &params.before).await?))
}
