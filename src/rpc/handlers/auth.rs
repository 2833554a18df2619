//! Verify, and what a login has to know of a user.

use serde_json::{Value as Json, json};

use super::super::params::{ListOfUser, Verify};
use super::super::{Context, Reply};
use super::{check_source, checked, request_name};
use crate::model::id::{TokenId, UserId};
use crate::model::role::Permission;
use crate::service::error::{Error, Kind};
use crate::service::named;
use crate::service::pin::NewPin;
use crate::service::verify::{self, Answer, Question};
use crate::store::objects::{self, Condition, Object, Search};

pub(in crate::rpc) async fn verify(cx: Context, params: Verify) -> Result<Reply, Error> {
    let Verify { user, token, credential, new_pin, source, request, wanted } = params;
    if user.is_none() && token.is_none() {
        return Err(Error::invalid("user", "or `token` must be given"));
    }
    check_source(source.as_deref())?;
    let request = request_name(&cx, request)?;
    let wanted = permitted(&cx, &objects::TOKEN, wanted).await?;
    let (found_user, found_token) = named::find(&cx.app.store, user.as_ref(), token.as_ref()).await?;
    // What the request is about, where that is more than the rows: it has a name, or names somebody who is not there.
    let in_words = request.is_some() || found_user == Some(None) || found_token == Some(None);
    let words = match in_words {
        true => json!([user.map(Json::from), token.map(Json::from)]).to_string(),
        false => String::new(),
    };
    let (user, token) = (found_user, found_token);
    let new_pin = match new_pin {
        Some(text) => {
            let (user, token) = (user.flatten().map(UserId), token.flatten().map(TokenId));
            Some(NewPin::of(&cx.app.store, user, token, text).await?)
        }
        None => None,
    };
    let question = Question {
        // Who does not exist is asked for all the same: the work and the answer are those of a wrong passcode.
        unknown: user == Some(None) || token == Some(None),
        user: user.flatten().map(UserId),
        token: token.flatten().map(TokenId),
        source,
        typed: credential.typed(),
        words,
        request,
        new_pin,
    };
    match verify::verify(&cx.app, &cx.caller, question).await? {
        Answer::Rejected => Ok(Reply::Rejected),
        Answer::PinChangeDue => Ok(Reply::PinChangeDue),
        Answer::NewPinRefused(error) => Err(error),
        Answer::Accepted { .. } if wanted.is_empty() => Ok(Reply::Accepted(None)),
        Answer::Accepted { token, .. } => {
            let shown = cx
                .app
                .store
                .read(move |reader| Ok::<_, Error>(objects::get(reader, &objects::TOKEN, token.0, &wanted)?))
                .await?;
            Ok(Reply::Accepted(Some(shown)))
        }
    }
}

/// Refuses a `return` list that is wrong, or that shows users to a caller who may not see them: who asks whether a
/// passcode is right has named its user, and needs no more of the directory.
async fn permitted(cx: &Context, object: &'static Object, wanted: Vec<Json>) -> Result<Vec<Json>, Error> {
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let wanted = checked(cx, object, wanted).await?;
    if !cx.caller.role.grants(Permission::DirectoryRead) && objects::shows(object, &wanted, &objects::USER)? {
        return Err(Error::new(Kind::Forbidden, "`return` names users: you are not allowed to see them"));
    }
    Ok(wanted)
}

pub(in crate::rpc) async fn list_tokens(cx: Context, params: ListOfUser) -> Result<Reply, Error> {
    let wanted = permitted(&cx, &objects::TOKEN, params.wanted).await?;
    let wanted = [json!({ "tokens": [{ "elements": wanted }] })];
    let shown = cx
        .app
        .store
        .read(move |reader| {
            let user = params.user.find(reader, &objects::USER)?;
            Ok::<_, Error>(objects::get(reader, &objects::USER, user, &wanted)?)
        })
        .await?;
    let rows = shown["tokens"]["elements"].as_array().cloned().unwrap_or_default();
    Ok(Reply::Result(json!({ "total": rows.len(), "rows": rows })))
}

pub(in crate::rpc) async fn list_assignments(cx: Context, params: ListOfUser) -> Result<Reply, Error> {
    let wanted = permitted(&cx, &objects::ASSIGNMENT, params.wanted).await?;
    let found = cx
        .app
        .store
        .read(move |reader| {
            let user = UserId(params.user.find(reader, &objects::USER)?);
            let mut conditions = vec![Condition::equal("user.id", user.to_string().into())];
            if let Some(token) = &params.token {
                let token = TokenId(token.find(reader, &objects::TOKEN)?);
                conditions.push(Condition::equal("token.id", token.to_string().into()));
            }
            let search =
                Search { conditions, wanted, sort: Some("priority".to_owned()), ..Search::default() };
            Ok::<_, Error>(objects::search(reader, &objects::ASSIGNMENT, &search)?)
        })
        .await?;
    Ok(Reply::Result(found))
}
