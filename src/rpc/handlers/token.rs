//! Tokens and their assignments.

use zeroize::Zeroizing;

use super::super::params::{
    Create, ImportAttrs, SearchParams, TokenAssign, TokenAttrs, TokenDelete, TokenGet, TokenReset, TokenSet,
    TokenSync, conditions,
};
use super::super::{Context, Reply};
use super::either;
use crate::model::id::{TokenId, UserId};
use crate::model::status::TokenStatus;
use crate::service::create::TokenRequest;
use crate::service::error::Error;
use crate::service::import::ImportRequest;
use crate::service::inventory::{Selector, Which};
use crate::service::set::TokenChange;
use crate::service::{assign, create, delete, import, inventory, reset, set, sync};
use crate::store::objects;

pub(in crate::rpc) async fn create(cx: Context, params: Create<TokenAttrs>) -> Result<Reply, Error> {
    let attrs = params.attrs;
    let request = TokenRequest {
        product: attrs.product,
        repository: attrs.repository,
        serial: attrs.serial,
        identifier: attrs.identifier,
        description: attrs.description,
        user: attrs.user,
        pin: attrs.pin,
    };
    Ok(Reply::Result(create::token(&cx.app.store, &cx.caller, request, params.wanted).await?))
}

pub(in crate::rpc) async fn get(cx: Context, params: TokenGet) -> Result<Reply, Error> {
    let which = match params.conditions {
        Some(_) if params.id.is_some() || params.token.is_some() => {
            return Err(Error::invalid("match", "must not be mixed with `id` or `token`"));
        }
        Some(triples) => Which::Match(conditions(triples)),
        None => Which::Selector(either(params.id, params.token, "token")?),
    };
    Ok(Reply::Result(inventory::get(&cx.app.store, &objects::TOKEN, which, params.wanted).await?))
}

pub(in crate::rpc) async fn set(cx: Context, params: TokenSet) -> Result<Reply, Error> {
    let token = either(params.id, params.token, "token")?;
    let status = match params.attrs.status {
        None => None,
        Some(text) => Some(
            TokenStatus::parse(&text)
                .ok_or_else(|| Error::invalid("attrs.status", "must be ACTIVE, DISABLED or DECEASED"))?,
        ),
    };
    let change =
        TokenChange { status, description: params.attrs.description, repository: params.attrs.repository };
    set::set(&cx.app.store, &cx.caller, token, change).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn search(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::TOKEN, params).await
}

pub(in crate::rpc) async fn search_assignments(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::ASSIGNMENT, params).await
}

pub(in crate::rpc) async fn delete(cx: Context, params: TokenDelete) -> Result<Reply, Error> {
    let token = either(params.id, params.token, "token")?;
    match params.user {
        Some(user) => {
            let (token, user) = both(&cx, token, Some(user)).await?;
            let user = user.ok_or_else(|| Error::not_found("user"))?;
            assign::unassign(&cx.app.store, &cx.caller, token, user).await?;
        }
        None => delete::delete(&cx.app.store, &cx.caller, token).await?,
    }
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn reset(cx: Context, params: TokenReset) -> Result<Reply, Error> {
    let (token, _) = both(&cx, params.token, None).await?;
    reset::reset(&cx.app.store, &cx.caller, token, params.attrs.counter).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn sync(cx: Context, params: TokenSync) -> Result<Reply, Error> {
    let (token, user) = both(&cx, params.token, params.user).await?;
    let passcodes: Vec<Zeroizing<String>> =
        params.credential.split(',').map(|passcode| Zeroizing::new(passcode.trim().to_owned())).collect();
    sync::sync(&cx.app.store, &cx.app.rules.policy, &cx.caller, token, user, passcodes).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn import(cx: Context, params: Create<ImportAttrs>) -> Result<Reply, Error> {
    let ImportAttrs { product, repository, data } = params.attrs;
    let request = ImportRequest { product, repository, data };
    Ok(Reply::Result(import::import(&cx.app, &cx.caller, request, params.wanted).await?))
}

pub(in crate::rpc) async fn assign(cx: Context, params: TokenAssign) -> Result<Reply, Error> {
    let (token, user) = both(&cx, params.token, Some(params.user)).await?;
    let user = user.ok_or_else(|| Error::not_found("user"))?;
    let id = assign::assign(&cx.app.store, &cx.caller, token, user, params.attrs.pin).await?;
    Ok(Reply::Result(serde_json::json!({ "id": id.to_string() })))
}

/// Finds a token and, if one is named, a user.
async fn both(
    cx: &Context,
    token: Selector,
    user: Option<Selector>,
) -> Result<(TokenId, Option<UserId>), Error> {
    cx.app
        .store
        .read(move |reader| {
            let token = TokenId(token.find(reader, &objects::TOKEN)?);
            let user = match user {
                Some(user) => Some(UserId(user.find(reader, &objects::USER)?)),
                None => None,
            };
            Ok((token, user))
        })
        .await
}
