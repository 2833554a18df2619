//! Operators and clients of OAuth 2.0.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretText, either, nullable};
use crate::rpc::schemas::Secret;
use crate::service::error::Error;
use crate::service::inventory::Selector;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct OperatorAttrs {
    /// Name to log in with; unique, at most 64 bytes, without colon and backslash.
    pub(in crate::rpc) name: String,
    /// `admin`, `helpdesk`, `auditor`, `verifier`, `station` or `monitor`.
    pub(in crate::rpc) role: String,
    /// Its password, 12 to 128 characters.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) password: SecretText,
    /// The domains that it sees; all if absent. Not for an admin.
    pub(in crate::rpc) domains: Option<Vec<Selector>>,
    /// The repositories that it sees; all if absent. Not for an admin.
    pub(in crate::rpc) repositories: Option<Vec<Selector>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct OperatorChangeAttrs {
    /// `admin`, `helpdesk`, `auditor`, `verifier`, `station` or `monitor`.
    pub(in crate::rpc) role: Option<String>,
    /// The domains that it sees; null for all.
    #[serde(default, deserialize_with = "nullable")]
    pub(in crate::rpc) domains: Option<Option<Vec<Selector>>>,
    /// The repositories that it sees; null for all.
    #[serde(default, deserialize_with = "nullable")]
    pub(in crate::rpc) repositories: Option<Option<Vec<Selector>>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct OperatorSetPassword {
    /// The operator.
    pub(in crate::rpc) operator: Selector,
    /// The new password.
    pub(in crate::rpc) attrs: PasswordAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct PasswordAttrs {
    /// 12 to 128 characters.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) password: SecretText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ClientCreate {
    /// What the new client is to be.
    pub(in crate::rpc) attrs: ClientAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ClientAttrs {
    /// Its client id; unique, at most 64 bytes, without colon and backslash.
    pub(in crate::rpc) name: String,
    /// Whom it acts as.
    pub(in crate::rpc) operator: Selector,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ClientOnly {
    /// Its id.
    id: Option<String>,
    /// The client; or give `id`.
    client: Option<Selector>,
}

impl ClientOnly {
    pub(in crate::rpc) fn which(self) -> Result<Selector, Error> {
        either(self.id, self.client, "client")
    }
}
