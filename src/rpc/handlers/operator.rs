//! Operators and clients of OAuth 2.0.

use super::super::params::{
    ClientCreate, ClientOnly, Create, OperatorAttrs, OperatorGet, OperatorOnly, OperatorSet,
    OperatorSetPassword, SearchParams,
};
use super::super::{Context, Reply};
use super::checked;
use crate::model::role::Role;
use crate::service::client;
use crate::service::error::Error;
use crate::service::operator::{self, NewOperator, OperatorChange};
use crate::store::objects;

pub(in crate::rpc) async fn create(cx: Context, params: Create<OperatorAttrs>) -> Result<Reply, Error> {
    let OperatorAttrs { name, role, password, domains, repositories } = params.attrs;
    let wanted = checked(&cx, &objects::OPERATOR, params.wanted).await?;
    let new = NewOperator { name, role: read_role(&role)?, password, domains, repositories };
    Ok(Reply::Result(operator::create(&cx.app, &cx.caller, new, wanted).await?))
}

pub(in crate::rpc) async fn get(cx: Context, params: OperatorGet) -> Result<Reply, Error> {
    super::get(cx, &objects::OPERATOR, params.which()?).await
}

pub(in crate::rpc) async fn search(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::OPERATOR, params).await
}

pub(in crate::rpc) async fn set(cx: Context, params: OperatorSet) -> Result<Reply, Error> {
    let (which, attrs) = params.which()?;
    let change = OperatorChange {
        role: attrs.role.as_deref().map(read_role).transpose()?,
        disabled: None,
        domains: attrs.domains,
        repositories: attrs.repositories,
    };
    operator::change(&cx.app, &cx.caller, "operator/set", which, change).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn set_password(cx: Context, params: OperatorSetPassword) -> Result<Reply, Error> {
    operator::set_password(&cx.app, &cx.caller, params.operator, params.attrs.password).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn disable(cx: Context, params: OperatorOnly) -> Result<Reply, Error> {
    switch(cx, params, "operator/disable", true).await
}

pub(in crate::rpc) async fn enable(cx: Context, params: OperatorOnly) -> Result<Reply, Error> {
    switch(cx, params, "operator/enable", false).await
}

async fn switch(
    cx: Context,
    params: OperatorOnly,
    action: &'static str,
    disabled: bool,
) -> Result<Reply, Error> {
    let change = OperatorChange { disabled: Some(disabled), ..OperatorChange::default() };
    operator::change(&cx.app, &cx.caller, action, params.which()?, change).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn delete(cx: Context, params: OperatorOnly) -> Result<Reply, Error> {
    operator::delete(&cx.app, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn create_client(cx: Context, params: ClientCreate) -> Result<Reply, Error> {
    let attrs = params.attrs;
    Ok(Reply::Result(client::create(&cx.app, &cx.caller, attrs.name, attrs.operator).await?))
}

pub(in crate::rpc) async fn search_clients(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::CLIENT, params).await
}

pub(in crate::rpc) async fn delete_client(cx: Context, params: ClientOnly) -> Result<Reply, Error> {
    client::delete(&cx.app, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

fn read_role(text: &str) -> Result<Role, Error> {
    Role::parse(text)
        .ok_or_else(|| Error::invalid("attrs.role", "must be admin, helpdesk, auditor, verifier or station"))
}
