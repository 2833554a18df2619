//! Whom an operator may act for: a session can name an agent, a registered client of the API.

use super::Caller;
use crate::model::id::{self, AgentId};
use crate::model::role::Role;
use crate::store::{Reader, StoreError};

/// Whether the caller may open a session for the agent: it must be active, and the caller in its list. The empty name
/// stands for no agent: that is for admins.
///
/// # Errors
/// [`StoreError`] if the file cannot be read.
pub fn may_act_for(reader: &Reader<'_>, agent: &str, caller: &Caller) -> Result<bool, StoreError> {
    if agent.is_empty() {
        return Ok(caller.role == Role::Admin);
    }
    match (id::from_wire(AgentId::LETTER, agent), caller.operator) {
        (Some(number), Some(operator)) => reader.operates(operator, AgentId(number)),
        _ => Ok(false),
    }
}
