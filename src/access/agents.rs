//! Whom an operator may act for: a session can name an agent, a registered client of the API.

use super::Caller;
use crate::model::role::Role;

/// Whether the caller may open a session for the agent. The empty name stands for none: that is for admins.
#[must_use]
pub fn may_act_for(agent: &str, caller: &Caller) -> bool {
    agent.is_empty() && caller.role == Role::Admin
}
