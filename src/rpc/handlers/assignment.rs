//! Assignments of tokens to users.

use super::super::params::{
    AssignmentAttrs, AssignmentGet, AssignmentOnly, AssignmentSet, AssignmentSort, Create, SearchParams,
};
use super::super::{Context, Reply};
use super::checked;
use super::token::both;
use crate::model::status::AssignmentStatus;
use crate::otp::time::Timestamp;
use crate::service::assign::Grant;
use crate::service::error::Error;
use crate::service::{assign, delete, export, set};
use crate::store::assignments::AssignmentChanges;
use crate::store::objects;

pub(in crate::rpc) async fn create(cx: Context, params: Create<AssignmentAttrs>) -> Result<Reply, Error> {
    let AssignmentAttrs { token, user, pin, is_owner } = params.attrs;
    let mut wanted = params.wanted;
    wanted.insert(0, "id".into());
    let wanted = checked(&cx, &objects::ASSIGNMENT, wanted).await?;
    let (token, user) = both(&cx, token, Some(user)).await?;
    let user = user.ok_or_else(|| Error::not_found("user"))?;
    let grant = Grant { token, user, pin, shared: !is_owner };
    let id = assign::assign(&cx.app.store, &cx.caller, "tokenAssignment/create", grant).await?;
    let shown = cx
        .app
        .store
        .read(move |reader| Ok::<_, Error>(objects::get(reader, &objects::ASSIGNMENT, id.0, &wanted)?))
        .await?;
    Ok(Reply::Result(shown))
}

pub(in crate::rpc) async fn get(cx: Context, params: AssignmentGet) -> Result<Reply, Error> {
    super::get(cx, &objects::ASSIGNMENT, params.which()?).await
}

pub(in crate::rpc) async fn search(cx: Context, params: SearchParams) -> Result<Reply, Error> {
    super::search(cx, &objects::ASSIGNMENT, params).await
}

pub(in crate::rpc) async fn set(cx: Context, params: AssignmentSet) -> Result<Reply, Error> {
    let (which, attrs) = params.which()?;
    let changes = AssignmentChanges {
        status: attrs.status.as_deref().map(status).transpose()?,
        priority: attrs.priority,
        is_owner: attrs.is_owner,
        starts: nullable_time("attrs.starts", attrs.starts)?,
        expires: nullable_time("attrs.expires", attrs.expires)?,
        usage_limit: attrs.usage_limit,
        must_change_pin: attrs.must_change_pin,
        pin_never_expires: attrs.pin_never_expires,
    };
    set::assignment(&cx.app.store, &cx.caller, which, changes, attrs.pin).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn sort(cx: Context, params: AssignmentSort) -> Result<Reply, Error> {
    set::sort_assignments(&cx.app.store, &cx.caller, params.ids).await?;
    Ok(Reply::Done)
}

pub(in crate::rpc) async fn qr_code(cx: Context, params: AssignmentOnly) -> Result<Reply, Error> {
    Ok(Reply::Result(export::qr_code(&cx.app, &cx.caller, params.which()?).await?.into()))
}

pub(in crate::rpc) async fn delete(cx: Context, params: AssignmentOnly) -> Result<Reply, Error> {
    delete::assignment(&cx.app.store, &cx.caller, params.which()?).await?;
    Ok(Reply::Done)
}

fn status(text: &str) -> Result<AssignmentStatus, Error> {
    AssignmentStatus::parse(text)
        .ok_or_else(|| Error::invalid("attrs.status", "must be ACTIVE, INACTIVE, LOCKED or DISABLED"))
}

fn nullable_time(field: &str, text: Option<Option<String>>) -> Result<Option<Option<Timestamp>>, Error> {
    let read = |text: String| {
        objects::time(&text)
            .ok_or_else(|| Error::invalid(field, "must be a time such as 2026-11-21T08:00:00Z, or null"))
    };
    text.map(|text| text.map(read).transpose()).transpose()
}
