//! Verify.

use super::super::params::Verify;
use super::super::{Context, Reply};
use crate::model::id::{TokenId, UserId};
use crate::service::error::{Error, Kind};
use crate::service::inventory::Selector;
use crate::service::verify::{self, Answer, Question};
use crate::store::Reader;
use crate::store::objects::{self, Object};

/// Longest client address that is taken.
const MOST_SOURCE_BYTES: usize = 64;

pub(in crate::rpc) async fn verify(cx: Context, params: Verify) -> Result<Reply, Error> {
    let Verify { user, token, credential, source, wanted } = params;
    if user.is_none() && token.is_none() {
        return Err(Error::invalid("user", "or `token` must be given"));
    }
    if source.as_ref().is_some_and(|source| source.len() > MOST_SOURCE_BYTES || source.is_empty()) {
        return Err(Error::invalid("source", "must be a client address of 1 to 64 bytes"));
    }
    let (user, token) = cx
        .app
        .store
        .read(move |reader| {
            Ok::<_, Error>((
                named(reader, &objects::USER, user.as_ref())?,
                named(reader, &objects::TOKEN, token.as_ref())?,
            ))
        })
        .await?;
    let question = Question {
        // Who does not exist is asked for all the same: the work and the answer are those of a wrong passcode.
        unknown: user == Some(None) || token == Some(None),
        user: user.flatten().map(UserId),
        token: token.flatten().map(TokenId),
        source,
        typed: credential.otp,
    };
    match verify::verify(&cx.app.store, &cx.app.rules, &cx.caller, question).await? {
        Answer::Rejected => Ok(Reply::Rejected),
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

/// Finds what a selector names: `None` if none was given, `Some(None)` if nothing fits.
fn named(
    reader: &Reader<'_>,
    object: &'static Object,
    selector: Option<&Selector>,
) -> Result<Option<Option<i64>>, Error> {
    let Some(selector) = selector else { return Ok(None) };
    match selector.find(reader, object) {
        Ok(id) => Ok(Some(Some(id))),
        Err(error)
            if matches!(error.kind, Kind::UserNotFound | Kind::DomainNotFound | Kind::TokenNotFound) =>
        {
            Ok(Some(None))
        }
        Err(error) => Err(error),
    }
}
