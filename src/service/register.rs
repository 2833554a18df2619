//! How an agent comes in: by a pre-auth token it trades a request for a certificate of its group, once; and by that
//! certificate it renews it.
//!
//! The token is consumed in the commit that makes the agent and keeps the fingerprint of its certificate, so whatever
//! happens, there is at most one agent for a token, and none without. Whoever is declined hears one reason, whatever it
//! was; the audit log has the other one. Failures are counted like failed logins, on the address they come from.

use serde_json::{Value as Json, json};

use super::error::{Error, Kind};
use super::group::{HASH_LENGTH, holding_identity, read_name};
use super::preauth::token_hash;
use super::shown::AgentCertificateShown;
use crate::access::certificates::{self, Issued, Request};
use crate::access::{Caller, Way};
use crate::app::App;
use crate::model::id::AgentId;
use crate::model::x500::X500Name;
use crate::otp::time::Timestamp;
use crate::store::groups::Group;
use crate::store::objects::iso;
use crate::store::preauth::PreauthStatus;
use crate::store::{StoreError, Tx};

/// What whoever is declined hears.
const DECLINED: &str = "Invalid request. Please reach out to the network operator to find out the reason the request was declined.";

/// Why a registration was declined, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("there is no such group")]
    Group,
    #[error("the pre-auth token is not an active one of this name")]
    NotActive,
    #[error("the pre-auth token has expired")]
    Expired,
    #[error("an agent of this name is active")]
    NameTaken,
}

/// What an agent sends to register.
pub struct Registration {
    /// The hash of the group.
    pub group: String,
    /// Its X.500 name.
    pub name: String,
    /// The id of its pre-auth token.
    pub token: zeroize::Zeroizing<String>,
    /// A certificate request in PEM.
    pub request: String,
}

/// Registers an agent.
///
/// # Errors
/// [`Kind::Invalid`] for what is no name or no request, [`Kind::RegistrationDeclined`] without a hint.
pub async fn register(app: &App, caller: &Caller, sent: Registration) -> Result<Json, Error> {
    let name = read_name("name", &sent.name)?;
    let request = read_request(&sent.request)?;
    let now = app.clock.now();
    if app.logins.must_wait(caller, now) {
        tracing::warn!(way = ?caller.way, "a registration was not looked at: too many have failed");
        return Err(declined());
    }
    let caller_there = caller.clone();
    // A hash is short; what is longer is none and is not repeated in the log.
    let group = Some(sent.group.to_ascii_uppercase()).filter(|hash| hash.len() == HASH_LENGTH);
    // Declining leaves a row in the audit log, so it is no error of the change.
    let outcome = app
        .store
        .write(move |tx| {
            let shown = group.as_deref().unwrap_or("?");
            let mut entry = caller_there.did("agent/register");
            let admitted = admit(tx, group.as_deref().unwrap_or_default(), &name, &sent.token)?;
            let outcome = match admitted {
                Ok(group) => {
                    let (agent, issued) = enter(tx, &group, &name, &request)?;
                    entry.outcome = "created";
                    entry.detail = format!("{agent} {name} in {shown}");
                    Ok((agent, issued, group))
                }
                Err(reason) => {
                    entry.outcome = "declined";
                    entry.detail = format!("{name} in {shown}: {reason}");
                    Err(reason)
                }
            };
            tx.audit(entry);
            Ok::<_, Error>(outcome)
        })
        .await?;
    match outcome {
        Ok((agent, issued, group)) => Ok(shown(agent, &issued, &group)),
        Err(reason) => {
            app.logins.has_failed(caller, now);
            tracing::warn!(way = ?caller.way, %reason, "a registration was declined");
            Err(declined())
        }
    }
}

/// Finds the group that somebody may enter, and consumes the token for it.
fn admit(tx: &Tx<'_>, hash: &str, name: &X500Name, token: &str) -> Result<Result<Group, Reason>, StoreError> {
    let reader = tx.reader();
    let Some(group) = reader.group_by_hash(hash)? else { return Ok(Err(Reason::Group)) };
    let token = match token_hash(token) {
        Some(hash) => reader.preauth(group.id, &hash)?,
        None => None,
    };
    let name = name.to_string();
    let Some(token) = token.filter(|token| token.owner == name) else { return Ok(Err(Reason::NotActive)) };
    if token.expires.is_some_and(|expires| expires <= tx.now()) {
        return Ok(Err(Reason::Expired));
    }
    if token.status != PreauthStatus::Available {
        return Ok(Err(Reason::NotActive));
    }
    if reader.has_active_agent(group.id, &name)? {
        return Ok(Err(Reason::NameTaken));
    }
    let remark = format!("Token consumed at {}", iso(tx.now()));
    tx.end_preauth(token.id, PreauthStatus::Consumed, Some(&remark))?;
    Ok(Ok(group))
}

/// Makes the agent and its certificate.
fn enter(tx: &Tx<'_>, group: &Group, name: &X500Name, request: &Request) -> Result<(AgentId, Issued), Error> {
    let text = name.to_string();
    let agent = tx.insert_agent(group.id, &text, &holding_identity(&text, &group.uuid))?;
    let issued = issue(tx, group, name, request, tx.now())?;
    tx.add_agent_certificate(agent, &issued.fingerprint, issued.expires)?;
    Ok((agent, issued))
}

fn issue(
    tx: &Tx<'_>,
    group: &Group,
    name: &X500Name,
    request: &Request,
    now: Timestamp,
) -> Result<Issued, Error> {
    let unreadable = |_| StoreError::Unreadable { place: "agent_groups.name" };
    let group_name: X500Name = group.name.parse().map_err(unreadable)?;
    let key = tx.authority_key(group.id)?;
    Ok(certificates::issue(&group_name, &key, name, request, now)?)
}

/// Gives the calling agent another certificate. The one that it came with stays good to its end.
///
/// # Errors
/// [`Kind::Invalid`] for what is no request, and for a caller that is no agent; [`Kind::AgentNotFound`] if it was
/// retired meanwhile.
pub async fn renew(app: &App, caller: &Caller, request: &str) -> Result<Json, Error> {
    let request = read_request(request)?;
    let Way::Certificate { agent } = caller.way else {
        return Err(Error::new(Kind::Invalid, "only an agent that calls by its certificate can renew it"));
    };
    let caller = caller.clone();
    let (issued, group) = app
        .whole()
        .store
        .write(move |tx| {
            let there = tx.reader().active_agent(agent)?.ok_or_else(|| Error::not_found("agent"))?;
            let group = tx.reader().group(there.group)?.ok_or_else(|| Error::not_found("group"))?;
            let unreadable = |_| StoreError::Unreadable { place: "agents.name" };
            let name: X500Name = there.name.parse().map_err(unreadable)?;
            let issued = issue(tx, &group, &name, &request, tx.now())?;
            tx.add_agent_certificate(agent, &issued.fingerprint, issued.expires)?;
            let mut entry = caller.did("agent/renew");
            entry.detail = format!("{agent}, until {}", iso(issued.expires));
            tx.audit(entry);
            Ok::<_, Error>((issued, group))
        })
        .await?;
    Ok(shown(agent, &issued, &group))
}

fn read_request(pem: &str) -> Result<Request, Error> {
    Request::read(pem).map_err(|problem| Error::invalid("request", &problem.to_string()))
}

fn declined() -> Error {
    Error::new(Kind::RegistrationDeclined, DECLINED)
}

fn shown(agent: AgentId, issued: &Issued, group: &Group) -> Json {
    json!(AgentCertificateShown {
        agent: agent.to_string(),
        certificate: &issued.certificate,
        authority: &group.authority,
        expires: iso(issued.expires),
    })
}
