//! Policies.

use super::super::params::{PolicyGet, PolicySearch, PolicySet};
use super::super::{Context, Reply};
use crate::service::error::Error;
use crate::service::policy::{self, Target};

pub(in crate::rpc) async fn get(cx: Context, params: PolicyGet) -> Result<Reply, Error> {
    let target = Target { product: params.product, token: params.token };
    Ok(Reply::Result(policy::get(&cx.app.store, target, params.version).await?))
}

pub(in crate::rpc) async fn search(cx: Context, params: PolicySearch) -> Result<Reply, Error> {
    let target = Target { product: params.product, token: params.token };
    Ok(Reply::Result(policy::search(&cx.app.store, target, params.max).await?))
}

pub(in crate::rpc) async fn set(cx: Context, params: PolicySet) -> Result<Reply, Error> {
    let target = Target { product: params.product, token: params.token };
    Ok(Reply::Result(policy::set(&cx.app.store, &cx.caller, target, params.attrs.0).await?))
}
