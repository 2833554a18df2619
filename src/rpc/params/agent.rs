//! Groups and agents.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretText, either};
use crate::rpc::schemas::Secret;
use crate::service::error::Error;
use crate::service::inventory::Selector;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct GroupCreate {
    /// What the new group is to be.
    pub(in crate::rpc) attrs: GroupAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct GroupAttrs {
    /// Its X.500 name, such as `O=Head Office, L=London, C=GB`: O, L and C, and CN, OU and ST if wanted; unique.
    pub(in crate::rpc) name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct GroupGet {
    /// Its id.
    id: Option<String>,
    /// The group; or give `id`.
    group: Option<Selector>,
}

impl GroupGet {
    pub(in crate::rpc) fn which(self) -> Result<Selector, Error> {
        either(self.id, self.group, "group")
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AgentRegister {
    /// The holding identity hash of the group.
    pub(in crate::rpc) group: String,
    /// The X.500 name of the agent: that of the pre-auth token.
    pub(in crate::rpc) name: String,
    /// The id of the pre-auth token.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) token: SecretText,
    /// A certificate request (PKCS#10) in PEM, signed by the agent's key. Its subject and extensions do not matter.
    pub(in crate::rpc) request: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AgentRenew {
    /// A certificate request (PKCS#10) in PEM, for the same key or another one.
    pub(in crate::rpc) request: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AgentChangeAttrs {
    /// The repositories whose tokens it sees when it calls by its certificate; none at first.
    pub(in crate::rpc) repositories: Vec<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AgentOperator {
    /// The agent.
    pub(in crate::rpc) agent: Selector,
    /// The operator.
    pub(in crate::rpc) operator: Selector,
}
