//! Tokens.

use zeroize::Zeroizing;

use super::super::params::{
    Apply, BatchAssign, ClockAttrs, Create, ImportAttrs, SearchParams, TokenAndUser, TokenAssign, TokenAttrs,
    TokenChangeAttrs, TokenChangePin, TokenCredential, TokenDelete, TokenDownload, TokenExplain, TokenFind,
    TokenGet, TokenLost, TokenOnly, TokenReset, TokenSet, TokenSetClock, TokenSetPin, TokenSolve, TokenSync,
    conditions, either,
};
use super::super::{Context, Reply};
use super::directory::{digits_of, hash_function, kind};
use super::{check_source, request_name};
use crate::formats::seed::Reading;
use crate::model::id::{TokenId, UserId};
use crate::model::status::TokenStatus;
use crate::service::assign::Grant;
use crate::service::clock::{self, ClockChange};
use crate::service::create::TokenRequest;
use crate::service::error::Error;
use crate::service::explain;
use crate::service::export::{self, Whose};
use crate::service::find::{self, FindRequest};
use crate::service::import::{ImportRequest, Said};
use crate::service::inventory::Selector;
use crate::service::lifecycle::{self, Step};
use crate::service::pin::{self, PinChange};
use crate::service::set::TokenChange;
use crate::service::solve::{self, SolveRequest, Subject};
use crate::service::sync::SyncRequest;
use crate::service::{assign, batch, create, delete, import, reset, set, sync};
use crate::store::objects;

pub(in crate::rpc) async fn create(cx: Context, params: Create<TokenAttrs>) -> Result<Reply, Error> {
    let attrs = params.attrs;
    // Every printed version of the document has the import under this name.
    if let Some(data) = attrs.data {
        let attrs = ImportAttrs {
            product: attrs.product,
            repository: attrs.repository,
            data,
            reading: None,
            algorithm: None,
            hash: None,
            digits: None,
            timer: None,
        };
        return import(cx, Create { attrs, wanted: params.wanted }).await;
    }
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
    super::get(cx, &objects::TOKEN, params.which()?).await
}

pub(in crate::rpc) async fn set(cx: Context, params: TokenSet) -> Result<Reply, Error> {
    let (token, attrs) = params.which()?;
    let status = match attrs.status {
        None => None,
        Some(text) => Some(
            TokenStatus::parse(&text)
                .ok_or_else(|| Error::invalid("attrs.status", "must be ACTIVE, DISABLED or DECEASED"))?,
        ),
    };
    let TokenChangeAttrs { description, repository, token_identifier, .. } = attrs;
    let change = TokenChange { status, description, repository, token_identifier };
    set::token(&cx.app.store, &cx.caller, token, change).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn search(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::TOKEN, params).await
}

pub(in crate::rpc) async fn delete(cx: Context, params: TokenDelete) -> Result<Reply, Error> {
    let token = either(params.id, params.token, "token")?;
    match params.user {
        Some(user) => {
            let (token, user) = both(&cx, token, Some(user)).await?;
            let user = user.ok_or_else(|| Error::not_found("user"))?;
            assign::unassign(&cx.app.store, &cx.caller, "token/delete", token, user).await?;
        }
        None => delete::token(&cx.app.store, &cx.caller, token).await?,
    }
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn reset(cx: Context, params: TokenReset) -> Result<Reply, Error> {
    let (token, _) = both(&cx, params.token, None).await?;
    reset::reset(&cx.app.store, &cx.caller, token, params.attrs.counter).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn sync(cx: Context, params: TokenSync) -> Result<Reply, Error> {
    check_source(params.source.as_deref())?;
    let request = request_name(&cx, params.request)?;
    let (token, user) = both(&cx, params.token, params.user).await?;
    let passcodes = passcodes(&params.credential);
    let request = SyncRequest { token, user, source: params.source, passcodes, request };
    sync::sync(&cx.app, &cx.caller, request).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn clock(cx: Context, params: TokenOnly) -> Result<Reply, Error> {
    let now = cx.app.clock.now();
    Ok(Reply::Result(clock::show(&cx.app.store, params.which()?, now).await?))
}

pub(in crate::rpc) async fn set_clock(cx: Context, params: TokenSetClock) -> Result<Reply, Error> {
    let (token, _) = both(&cx, params.token, None).await?;
    let ClockAttrs { reset, offset_seconds, rate_ppm, frozen } = params.attrs;
    let change = ClockChange { forget: reset, offset_seconds, rate_ppm, frozen };
    clock::set(&cx.app.store, &cx.caller, token, change).await?;
    Ok(Reply::Done)
}

/// The passcodes of a list. One more than there may be tells as well as a million that there are too many.
fn passcodes(list: &str) -> Vec<Zeroizing<String>> {
    list.splitn(4, ',').map(|passcode| Zeroizing::new(passcode.trim().to_owned())).collect()
}

pub(in crate::rpc) async fn find(cx: Context, params: TokenFind) -> Result<Reply, Error> {
    let TokenFind { credential, conditions: triples, window } = params;
    let request = FindRequest { passcodes: passcodes(&credential), conditions: conditions(triples), window };
    Ok(Reply::Result(find::find(&cx.app, &cx.caller, request).await?))
}

pub(in crate::rpc) async fn explain(cx: Context, params: TokenExplain) -> Result<Reply, Error> {
    let whose = match (params.token, params.user) {
        (Some(token), None) => explain::Whose::Token(token),
        (None, Some(user)) => explain::Whose::User(user),
        _ => return Err(Error::invalid("token", "or `user` must be given, and not both")),
    };
    Ok(Reply::Result(explain::explain(&cx.app.store, whose, cx.app.clock.now()).await?))
}

pub(in crate::rpc) async fn solve(cx: Context, params: TokenSolve) -> Result<Reply, Error> {
    let TokenSolve { token, data, serial, credential, apply } = params;
    let of = match (token, data) {
        (Some(token), None) if serial.is_none() => Subject::Token(token),
        (Some(_), None) => return Err(Error::invalid("serial", "belongs to `data`")),
        (None, Some(data)) => Subject::Data { data, serial },
        _ => return Err(Error::invalid("token", "or `data` must be given, and not both")),
    };
    let apply = match apply {
        Apply::Nothing => solve::Apply::Nothing,
        Apply::Token => solve::Apply::Token,
        Apply::Import => solve::Apply::Import,
    };
    let request = SolveRequest { of, passcodes: passcodes(&credential), apply };
    Ok(Reply::Result(solve::solve(&cx.app, &cx.caller, request).await?))
}

pub(in crate::rpc) async fn import(cx: Context, params: Create<ImportAttrs>) -> Result<Reply, Error> {
    let ImportAttrs { product, repository, data, reading, algorithm, hash, digits, timer } = params.attrs;
    if timer.is_some() && algorithm.is_none() {
        return Err(Error::invalid("attrs.timer", "needs `attrs.algorithm`"));
    }
    let said = Said {
        kind: algorithm.map(|algorithm| kind(&algorithm, timer)).transpose()?,
        algorithm: hash.map(|hash| hash_function(&hash)).transpose()?,
        digits: digits.map(digits_of).transpose()?,
    };
    let no_reading =
        || Error::invalid("attrs.reading", "must be a way to read seeds, such as `base32` or `hex+reversed`");
    let reading = reading.map(|name| Reading::parse(&name).ok_or_else(no_reading)).transpose()?;
    let request = ImportRequest { product, repository, data, reading, said };
    Ok(Reply::Text(import::import(&cx.app, &cx.caller, request, params.wanted).await?))
}

pub(in crate::rpc) async fn assign(cx: Context, params: TokenAssign) -> Result<Reply, Error> {
    let (token, user) = both(&cx, params.token, Some(params.user)).await?;
    let user = user.ok_or_else(|| Error::not_found("user"))?;
    let grant = Grant { token, user, pin: params.attrs.pin, shared: false };
    let id = assign::assign(&cx.app.store, &cx.caller, "token/assign", grant).await?;
    Ok(Reply::Result(serde_json::json!({ "id": id.to_string() })))
}

pub(in crate::rpc) async fn unassign(cx: Context, params: TokenAndUser) -> Result<Reply, Error> {
    let (token, user) = token_and_user(&cx, params.token, params.user).await?;
    assign::unassign(&cx.app.store, &cx.caller, "token/unassign", token, user).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn set_pin(cx: Context, params: TokenSetPin) -> Result<Reply, Error> {
    let (token, user) = token_and_user(&cx, params.token, params.user).await?;
    pin::set(&cx.app.store, &cx.caller, token, user, params.attrs.pin.flatten()).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn change_pin(cx: Context, params: TokenChangePin) -> Result<Reply, Error> {
    let TokenChangePin { token, user, attrs, source } = params;
    check_source(source.as_deref())?;
    let (token, user) = token_and_user(&cx, token, user).await?;
    let change = PinChange { token, user, source, old: attrs.old_pin, new: attrs.pin };
    pin::change(&cx.app.store, &cx.caller, change).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn unlock(cx: Context, params: TokenAndUser) -> Result<Reply, Error> {
    let (token, user) = token_and_user(&cx, params.token, params.user).await?;
    pin::unlock(&cx.app.store, &cx.caller, token, user).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn enable(cx: Context, params: TokenOnly) -> Result<Reply, Error> {
    take(cx, params, Step::Enable).await
}

pub(in crate::rpc) async fn disable(cx: Context, params: TokenOnly) -> Result<Reply, Error> {
    take(cx, params, Step::Disable).await
}

pub(in crate::rpc) async fn retire(cx: Context, params: TokenOnly) -> Result<Reply, Error> {
    take(cx, params, Step::Retire).await
}

pub(in crate::rpc) async fn confine(cx: Context, params: TokenOnly) -> Result<Reply, Error> {
    take(cx, params, Step::Confine).await
}

pub(in crate::rpc) async fn release(cx: Context, params: TokenOnly) -> Result<Reply, Error> {
    take(cx, params, Step::Release).await
}

async fn take(cx: Context, params: TokenOnly, step: Step) -> Result<Reply, Error> {
    lifecycle::take(&cx.app.store, &cx.caller, params.which()?, step).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn lost(cx: Context, params: TokenLost) -> Result<Reply, Error> {
    lifecycle::lost(&cx.app.store, &cx.caller, params.token, params.replacement).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn batch_assign(cx: Context, params: BatchAssign) -> Result<Reply, Error> {
    batch::assign(&cx.app, &cx.caller, params.attrs.csv, &params.attrs.charset).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn download_url(cx: Context, params: TokenDownload) -> Result<Reply, Error> {
    let whose = Whose { token: params.token, user: params.user };
    Ok(Reply::Result(export::link(&cx.app, &cx.caller, whose, params.provisioning_url).await?.into()))
}

pub(in crate::rpc) async fn retrieve(cx: Context, params: TokenCredential) -> Result<Reply, Error> {
    let whose = Whose { token: params.token, user: params.user };
    Ok(Reply::Result(export::retrieve(&cx.app, &cx.caller, whose).await?))
}

async fn token_and_user(cx: &Context, token: Selector, user: Selector) -> Result<(TokenId, UserId), Error> {
    let (token, user) = both(cx, token, Some(user)).await?;
    Ok((token, user.ok_or_else(|| Error::not_found("user"))?))
}

/// Finds a token and, if one is named, a user.
pub(super) async fn both(
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
