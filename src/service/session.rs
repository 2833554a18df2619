//! Sessions: name, password and agent are traded for a token that is good for an hour.

use std::net::IpAddr;

use super::client;
use crate::access::credentials::Credentials;
use crate::access::login::{Refused, hash_of};
use crate::app::App;
use crate::otp::time::Timestamp;
use crate::store::StoreError;
use crate::store::bearers::Bearer;

/// Opens a session. A name may have a domain and a backslash in front of it, which says nothing here.
///
/// # Errors
/// [`Refused`], without a hint whether name, password or agent is wrong.
pub async fn open(
    app: &App,
    mut credentials: Credentials,
    agent: String,
    address: Option<IpAddr>,
) -> Result<String, Refused> {
    if let Some((_, name)) = credentials.name.rsplit_once('\\') {
        credentials.name = name.to_owned();
    }
    let caller = app.logins.by_password(&app.store, credentials, address, app.clock.now()).await?;
    let bearer = |expires| Bearer { agent, client: None, expires };
    let given = client::give(app, caller, "session/open", bearer).await;
    if matches!(given, Err(Refused::Denied)) {
        tracing::warn!(address = ?address, "a session was refused: the operator may not act for the agent");
    }
    given.map(|(token, _)| token)
}

/// What a session token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The operator.
    pub username: String,
    /// The agent; empty for none.
    pub agent: String,
    /// From then on it is no good.
    pub expires: Timestamp,
}

/// What a session token stands for, if it is good.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn details(app: &App, token: &str) -> Result<Option<Details>, StoreError> {
    let (hash, now) = (hash_of(token), app.clock.now());
    let found = app.store.read(move |reader| reader.bearer(&hash, now)).await?;
    Ok(found.filter(|(_, bearer)| bearer.client.is_none()).map(|(operator, bearer)| Details {
        username: operator.name,
        agent: bearer.agent,
        expires: bearer.expires,
    }))
}
