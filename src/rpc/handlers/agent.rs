//! Groups and agents.

use super::super::params::{
    AgentGet, AgentOnly, AgentOperator, AgentRegister, AgentRenew, AgentSet, GroupCreate, GroupGet,
    SearchParams,
};
use super::super::{Context, Reply};
use crate::service::error::Error;
use crate::service::register::{self, Registration};
use crate::service::{agent, group};
use crate::store::objects;

pub(in crate::rpc) async fn create_group(cx: Context, params: GroupCreate) -> Result<Reply, Error> {
    Ok(Reply::Result(group::create(&cx.app, &cx.caller, &params.attrs.name).await?))
}

pub(in crate::rpc) async fn get_group(cx: Context, params: GroupGet) -> Result<Reply, Error> {
    Ok(Reply::Result(group::get(&cx.app, params.which()?).await?))
}

pub(in crate::rpc) async fn search_groups(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::GROUP, params).await
}

pub(in crate::rpc) async fn register(cx: Context, params: AgentRegister) -> Result<Reply, Error> {
    let AgentRegister { group, name, token, request } = params;
    let sent = Registration { group, name, token, request };
    Ok(Reply::Result(register::register(&cx.app, &cx.caller, sent).await?))
}

pub(in crate::rpc) async fn renew(cx: Context, params: AgentRenew) -> Result<Reply, Error> {
    Ok(Reply::Result(register::renew(&cx.app, &cx.caller, &params.request).await?))
}

pub(in crate::rpc) async fn get(cx: Context, params: AgentGet) -> Result<Reply, Error> {
    super::get(cx, &objects::AGENT, params.which()?).await
}

pub(in crate::rpc) async fn search(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::AGENT, params).await
}

pub(in crate::rpc) async fn set(cx: Context, params: AgentSet) -> Result<Reply, Error> {
    let (which, attrs) = params.which()?;
    agent::set(&cx.app, &cx.caller, which, attrs.repositories).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn add_operator(cx: Context, params: AgentOperator) -> Result<Reply, Error> {
    agent::add_operator(&cx.app, &cx.caller, params.agent, params.operator).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn remove_operator(cx: Context, params: AgentOperator) -> Result<Reply, Error> {
    agent::remove_operator(&cx.app, &cx.caller, params.agent, params.operator).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn retire(cx: Context, params: AgentOnly) -> Result<Reply, Error> {
    agent::retire(&cx.app, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}
