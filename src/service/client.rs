//! Clients of OAuth 2.0 (RFC 6749 §4.4): programs that trade their secret for a token that is good for an hour.
//!
//! A client acts as an operator: its role and its scope are those of the operator, and so is its end.

use std::net::IpAddr;

use serde_json::{Value as Json, json};

use super::create::refuse_taken_by_another;
use super::error::Error;
use super::inventory::Selector;
use super::shown::ClientShown;
use super::{operator, random};
use crate::access::Caller;
use crate::access::agents::may_act_for;
use crate::access::credentials::Credentials;
use crate::access::login::{Refused, hash_of};
use crate::app::App;
use crate::model::id::ClientId;
use crate::otp::time::Timestamp;
use crate::store::StoreError;
use crate::store::bearers::Bearer;
use crate::store::objects;

/// How long a token is good.
pub use crate::store::bearers::LIFE as TOKEN_LIFE;

/// Makes a client that acts as an operator. The secret in the answer is shown this once.
///
/// # Errors
/// [`super::error::Kind::Exists`] if the name is taken, [`super::error::Kind::OperatorNotFound`].
pub async fn create(app: &App, caller: &Caller, name: String, operator: Selector) -> Result<Json, Error> {
    operator::check_name("attrs.name", &name)?;
    let secret = random::token()?;
    let (hash, caller, named) = (hash_of(&secret), caller.clone(), name.clone());
    let id = app
        .store
        .write(move |tx| {
            refuse_taken_by_another(tx, &objects::CLIENT, 0, &[("name", &named)])?;
            let operator = operator::find(tx.reader(), &operator)?;
            let id = tx.insert_client(&named, &hash, operator)?;
            let mut entry = caller.did("client/create");
            entry.outcome = "created";
            entry.detail = format!("{named} of {operator}");
            tx.audit(entry);
            Ok::<_, Error>(id)
        })
        .await?;
    Ok(json!(ClientShown { id: id.to_string(), client_id: &name, client_secret: &secret }))
}

/// Removes a client; its tokens end.
///
/// # Errors
/// [`super::error::Kind::ClientNotFound`].
pub async fn delete(app: &App, caller: &Caller, client: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let id = ClientId(client.find(tx.reader(), &objects::CLIENT)?);
            tx.delete_client(id)?;
            let mut entry = caller.did("client/delete");
            entry.outcome = "deleted";
            entry.detail = id.to_string();
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Trades id and secret of a client for a token.
///
/// # Errors
/// [`Refused`], without a hint.
pub async fn grant(app: &App, credentials: Credentials, address: Option<IpAddr>) -> Result<String, Refused> {
    let now = app.clock.now();
    let (caller, client) = app.logins.by_client(&app.store, credentials, address, now).await?;
    give(app, caller, "oauth/token", |expires| Bearer { agent: String::new(), client: Some(client), expires })
        .await
        .map(|(token, _)| token)
}

/// Makes a token that stands for a login, and writes it down.
pub(super) async fn give(
    app: &App,
    caller: Caller,
    action: &'static str,
    bearer: impl FnOnce(Timestamp) -> Bearer,
) -> Result<(String, Timestamp), Refused> {
    let token = random::token().map_err(|_| Refused::Unavailable)?;
    let expires = app.clock.now().saturating_add(TOKEN_LIFE);
    let (hash, bearer) = (hash_of(&token), bearer(expires));
    let operator = caller.operator.ok_or(Refused::Denied)?;
    let given = app
        .store
        .write(move |tx| {
            // Somebody may have removed the operator, or the client, since the secret was checked.
            let there =
                tx.reader().operator_by_id(operator)?.is_some_and(|now| now.generation == caller.generation);
            // Here, and not before: the agent may be retired meanwhile.
            let is_session = bearer.client.is_none();
            if !there || (is_session && !may_act_for(tx.reader(), &bearer.agent, &caller)?) {
                return Ok(false);
            }
            tx.insert_bearer(&hash, operator, caller.generation, &bearer)?;
            let mut entry = caller.did(action);
            entry.outcome = "let_in";
            entry.detail.clone_from(&bearer.agent);
            tx.audit(entry);
            Ok::<_, StoreError>(true)
        })
        .await?;
    if given { Ok((token.to_string(), expires)) } else { Err(Refused::Denied) }
}
