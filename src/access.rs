//! Who is calling and what they may.
//!
//! A request says who sends it in its `Authorization` header ([`credentials`]), or else by the certificate of an agent
//! ([`certificates`]); [`login`] makes a [`Caller`] of it, by one of the ways in. What a caller may do is its role ([`crate::model::role`]), what it sees is its scope
//! ([`crate::model::scope`]). Every change of an operator raises its generation, and whatever was given out under an
//! earlier one, sessions, OAuth tokens and remembered logins, is good for nothing from then on.

pub mod agents;
mod argon2id;
pub mod attempts;
pub mod certificates;
pub mod credentials;
pub mod login;
pub mod password;
mod turns;

use std::net::IpAddr;

use crate::model::id::{AgentId, OperatorId};
use crate::model::role::Role;
use crate::model::scope::Scope;
use crate::store::agents::Agent;
use crate::store::operators::Operator;

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The operator; none for who comes by other means.
    pub operator: Option<OperatorId>,
    /// Name of the operator, as the audit log shows it.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
    /// What the operator sees.
    pub scope: Scope,
    /// Of the operator, when it was looked up.
    pub generation: i64,
    /// How the caller came in.
    pub way: Way,
}

/// How a caller came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Name and password.
    Password,
    /// `userCode:passCode`.
    UserToken,
    /// A session token.
    Session {
        /// The agent that the session is for; empty for none.
        agent: String,
    },
    /// A token of OAuth 2.0.
    OAuth,
    /// The certificate of an agent.
    Certificate {
        /// Whose.
        agent: AgentId,
    },
    /// None: somebody who may do what anybody may.
    Stranger {
        /// Where from.
        address: Option<IpAddr>,
    },
    /// No operator at all: the holder of a link, or the server itself.
    None,
}

impl Caller {
    /// An operator who came in by some way.
    #[must_use]
    pub fn of(operator: Operator, way: Way) -> Self {
        let Operator { id, name, role, scope, generation, .. } = operator;
        Self { operator: Some(id), name, role, scope, generation, way }
    }

    /// An agent that came in by its certificate.
    #[must_use]
    pub fn of_agent(agent: Agent, scope: Scope) -> Self {
        let way = Way::Certificate { agent: agent.id };
        // No operator has a name with a colon.
        let name = format!("agent:{}", agent.name);
        Self { scope, way, ..Self::without_operator(&name, Role::Station) }
    }

    /// Somebody who has not logged in.
    #[must_use]
    pub fn stranger(address: Option<IpAddr>) -> Self {
        Self { way: Way::Stranger { address }, ..Self::without_operator("(anybody)", Role::Station) }
    }

    /// Somebody who is no operator.
    #[must_use]
    pub fn without_operator(name: &str, role: Role) -> Self {
        Self {
            operator: None,
            name: name.to_owned(),
            role,
            scope: Scope::default(),
            generation: 0,
            way: Way::None,
        }
    }
}
