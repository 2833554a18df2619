//! Tokens.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretText, Triple, nullable};
use crate::rpc::schemas::{Match, Secret, SecretOrNull};
use crate::service::inventory::Selector;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenAttrs {
    /// Its model.
    pub(in crate::rpc) product: Selector,
    /// Its stock; the default one if absent.
    pub(in crate::rpc) repository: Option<Selector>,
    /// Serial number; unique. One is made if absent.
    pub(in crate::rpc) serial: Option<String>,
    /// The maker's name of it; the serial if absent.
    pub(in crate::rpc) identifier: Option<String>,
    /// Free text, at most 255 characters.
    #[serde(default)]
    pub(in crate::rpc) description: String,
    /// Who gets it; nobody if absent.
    pub(in crate::rpc) user: Option<Selector>,
    /// The PIN of that user for it, 1 to 64 characters; needs `user`.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) pin: Option<SecretText>,
    /// The text of an import file: then this is `token/import` under the name that the document prints for it.
    pub(in crate::rpc) data: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ImportAttrs {
    /// The model of its tokens. What the file says of digits, hash and time step wins.
    pub(in crate::rpc) product: Selector,
    /// Their stock; the default one if absent.
    pub(in crate::rpc) repository: Option<Selector>,
    /// Text of the file: OATH CSV, PSKC (RFC 6030) or a DualShield token file.
    pub(in crate::rpc) data: String,
    /// CSV: how its seeds are written, such as `base32`; hexadecimal if absent. `token/solve` finds it out.
    pub(in crate::rpc) reading: Option<String>,
    /// `OATH HOTP` or `OATH TOTP`, whatever the file says.
    pub(in crate::rpc) algorithm: Option<String>,
    /// `SHA1`, `SHA256` or `SHA512`, whatever the file says.
    pub(in crate::rpc) hash: Option<String>,
    /// Digits of a passcode, 6 to 10, whatever the file says.
    pub(in crate::rpc) digits: Option<u8>,
    /// Time step in seconds, whatever the file says; 30 if absent. Needs `algorithm`.
    pub(in crate::rpc) timer: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct TokenChangeAttrs {
    /// `ACTIVE`, `DISABLED` or `DECEASED`.
    pub(in crate::rpc) status: Option<String>,
    /// Free text, at most 255 characters.
    pub(in crate::rpc) description: Option<String>,
    /// The stock to move it to.
    pub(in crate::rpc) repository: Option<Selector>,
    /// What it types before each passcode, 1 to 16 ASCII letters and digits, in either case; `null` for nothing.
    #[serde(default, deserialize_with = "nullable")]
    pub(in crate::rpc) token_identifier: Option<Option<String>>,
}

/// A token and one of its users.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenAndUser {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// The user.
    pub(in crate::rpc) user: Selector,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenSetPin {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// The user.
    pub(in crate::rpc) user: Selector,
    /// The new PIN.
    pub(in crate::rpc) attrs: SetPinAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct SetPinAttrs {
    /// `null` removes it.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "SecretOrNull")]
    pub(in crate::rpc) pin: Option<Option<SecretText>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenChangePin {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// The user.
    pub(in crate::rpc) user: Selector,
    /// The old and the new PIN.
    pub(in crate::rpc) attrs: ChangePinAttrs,
    /// Address of the client that asks, 1 to 64 bytes: its failures count together.
    pub(in crate::rpc) source: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct ChangePinAttrs {
    /// The PIN so far.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) old_pin: SecretText,
    /// The new PIN, 1 to 64 characters.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) pin: SecretText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenLost {
    /// The lost token.
    pub(in crate::rpc) token: Selector,
    /// The token that takes over its users and PINs; nobody may have it yet.
    pub(in crate::rpc) replacement: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenDownload {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// Who has it.
    pub(in crate::rpc) user: Option<Selector>,
    /// Address that the link starts with.
    #[serde(rename = "provisioningUrl")]
    pub(in crate::rpc) provisioning_url: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenCredential {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// The user.
    pub(in crate::rpc) user: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct BatchAssign {
    /// The file.
    pub(in crate::rpc) attrs: BatchAssignAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct BatchAssignAttrs {
    /// Text of the CSV file.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) csv: SecretText,
    /// Charset of the text.
    #[serde(default = "utf_8")]
    pub(in crate::rpc) charset: String,
}

fn utf_8() -> String {
    "UTF-8".to_owned()
}

/// `delete` of a token; with a user it only takes the token back from that user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenDelete {
    /// Id of the token.
    pub(in crate::rpc) id: Option<String>,
    /// The token; or give `id`.
    pub(in crate::rpc) token: Option<Selector>,
    /// Take it back from this user, and do not delete it.
    pub(in crate::rpc) user: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenReset {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// What to set.
    #[serde(default)]
    pub(in crate::rpc) attrs: ResetAttrs,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ResetAttrs {
    /// HOTP: the next counter that is accepted; stays if absent. Setting it back needs the role admin, and a resync.
    pub(in crate::rpc) counter: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenSetClock {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// What to set; what is absent stays.
    pub(in crate::rpc) attrs: ClockAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct ClockAttrs {
    /// Whether to forget all that is known first.
    #[serde(default)]
    pub(in crate::rpc) reset: bool,
    /// How far the token is ahead of the server now, in seconds; at most ten years either way.
    pub(in crate::rpc) offset_seconds: Option<f64>,
    /// How much it gains, in parts per million, from -100 to 100. It counts at once.
    pub(in crate::rpc) rate_ppm: Option<f64>,
    /// Whether it learns nothing more.
    pub(in crate::rpc) frozen: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenSync {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// Who has it; anybody if absent.
    pub(in crate::rpc) user: Option<Selector>,
    /// Two or three consecutive passcodes without PIN, separated by commas; a token identifier before one may be left out.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) credential: SecretText,
    /// Address of the client that asks, 1 to 64 bytes: its failures count together.
    pub(in crate::rpc) source: Option<String>,
    /// A name for this request, as for `auth/verify`.
    #[serde(rename = "requestId")]
    pub(in crate::rpc) request: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenAssign {
    /// The token.
    pub(in crate::rpc) token: Selector,
    /// The user.
    pub(in crate::rpc) user: Selector,
    /// How it is assigned.
    #[serde(default)]
    pub(in crate::rpc) attrs: AssignAttrs,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AssignAttrs {
    /// The PIN of that user for it, 1 to 64 characters; none if absent.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) pin: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenFind {
    /// The passcode that the token shows, without a PIN; or two consecutive ones, separated by a comma.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) credential: SecretText,
    /// Only tokens that fulfil all of these.
    #[serde(default, rename = "match")]
    #[schemars(with = "Match")]
    pub(in crate::rpc) conditions: Vec<Triple>,
    /// How far from what is expected of a token: presses ahead, or time steps either side. 10 if absent, at most 100;
    /// 1000 with two passcodes.
    pub(in crate::rpc) window: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenSolve {
    /// A token that was imported: its secret is read again in other ways.
    pub(in crate::rpc) token: Option<Selector>,
    /// Or the text of a file that is not imported, or one row of it with serial and seed.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) data: Option<SecretText>,
    /// Which row of the text: its serial. Needed unless there is only one row.
    pub(in crate::rpc) serial: Option<String>,
    /// The passcode that the token shows, without a PIN; or two consecutive ones, separated by a comma.
    #[schemars(with = "Secret")]
    pub(in crate::rpc) credential: SecretText,
    /// With `token` and two passcodes: reads its secret anew, in the one way that fits. Both passcodes are spent.
    #[serde(default)]
    pub(in crate::rpc) apply: Apply,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct TokenExplain {
    /// The token whose attempts are explained.
    pub(in crate::rpc) token: Option<Selector>,
    /// Or the user, with all tokens that were asked.
    pub(in crate::rpc) user: Option<Selector>,
}

/// What to read anew.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::rpc) enum Apply {
    /// Nothing.
    #[default]
    Nothing,
    /// The token.
    Token,
    /// The token, and those of the same import that nobody has logged in with yet.
    Import,
}
