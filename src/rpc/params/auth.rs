//! Verify, and what a login has to know of a user.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::SecretText;
use crate::otp::policy::PIN_END;
use crate::rpc::schemas::{Return, Secret};
use crate::service::inventory::Selector;

/// `auth/listTokens` and `auth/listTokenAssignments`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ListOfUser {
    /// The user.
    pub(in crate::rpc) user: Selector,
    /// Only this token.
    pub(in crate::rpc) token: Option<Selector>,
    /// Named by clients of the original; everything here is one application.
    #[serde(rename = "application")]
    pub(in crate::rpc) _application: Option<Json>,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    pub(in crate::rpc) wanted: Vec<Json>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct Verify {
    /// Who asks to be let in; all their tokens are tried, in order of priority.
    pub(in crate::rpc) user: Option<Selector>,
    /// Try only this token. It or `user` must be given.
    pub(in crate::rpc) token: Option<Selector>,
    /// What was typed.
    pub(in crate::rpc) credential: VerifyCredential,
    /// The PIN that takes the place of the one that was typed, if both it and the passcode are right.
    #[serde(rename = "newPin")]
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) new_pin: Option<SecretText>,
    /// Address of the client that asks, 1 to 64 bytes: its failures count together.
    pub(in crate::rpc) source: Option<String>,
    /// A name for this request, 1 to 128 printable characters of ASCII: sent again within a minute, with the same
    /// content, it gets the same answer and spends nothing. The header `Idempotency-Key` says the same.
    #[serde(rename = "requestId")]
    pub(in crate::rpc) request: Option<String>,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    pub(in crate::rpc) wanted: Vec<Json>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct VerifyCredential {
    /// What was typed: PIN and passcode in one text, the PIN where `pinPlacement` of the policy has it.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) otp: SecretText,
    /// The PIN, where `pinPlacement` is `field`. Elsewhere nothing that comes with it is right.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) pin: Option<SecretText>,
}

impl VerifyCredential {
    /// PIN and passcode as the core takes them.
    pub(in crate::rpc) fn typed(self) -> SecretText {
        let Self { otp, pin } = self;
        match pin {
            Some(pin) => Zeroizing::new(format!("{}{PIN_END}{}", *pin, *otp)),
            None => otp,
        }
    }
}
