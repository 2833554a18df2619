//! Agents, as an admin changes them: what they see, who may act for them, and their end.

use std::collections::BTreeSet;

use super::error::{Error, Kind};
use super::inventory::Selector;
use super::operator;
use crate::access::Caller;
use crate::app::App;
use crate::model::id::{AgentId, RepositoryId};
use crate::store::agents::Agent;
use crate::store::objects;
use crate::store::{Reader, Tx};

/// Changes which repositories an agent sees when it calls by its certificate.
///
/// # Errors
/// [`Kind::AgentNotFound`], [`Kind::RepositoryNotFound`].
pub async fn set(
    app: &App,
    caller: &Caller,
    agent: Selector,
    repositories: Vec<Selector>,
) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let agent = find(tx.reader(), &agent)?;
            let find =
                |selector: &Selector| selector.find(tx.reader(), &objects::REPOSITORY).map(RepositoryId);
            let repositories = repositories.iter().map(find).collect::<Result<BTreeSet<_>, _>>()?;
            tx.set_agent_repositories(agent.id, &repositories)?;
            did(tx, &caller, "agent/set", &agent, &format!("{} repositories", repositories.len()));
            Ok(())
        })
        .await
}

/// Lets an operator open sessions for an agent.
///
/// # Errors
/// [`Kind::AgentNotFound`], [`Kind::OperatorNotFound`].
pub async fn add_operator(
    app: &App,
    caller: &Caller,
    agent: Selector,
    operator: Selector,
) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let agent = find(tx.reader(), &agent)?;
            let operator = operator::find(tx.reader(), &operator)?;
            tx.add_agent_operator(agent.id, operator)?;
            did(tx, &caller, "agent/addOperator", &agent, &operator.to_string());
            Ok(())
        })
        .await
}

/// Takes that back; the operator's sessions for the agent end.
///
/// # Errors
/// [`Kind::AgentNotFound`], [`Kind::OperatorNotFound`], also if the operator is not in the list.
pub async fn remove_operator(
    app: &App,
    caller: &Caller,
    agent: Selector,
    operator: Selector,
) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let agent = find(tx.reader(), &agent)?;
            let operator = operator::find(tx.reader(), &operator)?;
            if !tx.remove_agent_operator(agent.id, operator)? {
                return Err(Error::new(Kind::OperatorNotFound, "the operator is not in the agent's list"));
            }
            did(tx, &caller, "agent/removeOperator", &agent, &operator.to_string());
            Ok(())
        })
        .await
}

/// Retires an agent for good: its certificates and all sessions for it end.
///
/// # Errors
/// [`Kind::AgentNotFound`], also if it is retired already.
pub async fn retire(app: &App, caller: &Caller, agent: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let agent = find(tx.reader(), &agent)?;
            tx.retire_agent(agent.id)?;
            did(tx, &caller, "agent/retire", &agent, "");
            Ok(())
        })
        .await
}

fn find(reader: &Reader<'_>, agent: &Selector) -> Result<Agent, Error> {
    let id = AgentId(agent.find(reader, &objects::AGENT)?);
    let retired = || Error::new(Kind::AgentNotFound, "the agent is retired");
    reader.active_agent(id)?.ok_or_else(retired)
}

fn did(tx: &Tx<'_>, caller: &Caller, action: &'static str, agent: &Agent, what: &str) {
    let mut entry = caller.did(action);
    entry.detail = format!("{} {}", agent.id, agent.name);
    if !what.is_empty() {
        entry.detail = format!("{}: {what}", entry.detail);
    }
    tx.audit(entry);
}
