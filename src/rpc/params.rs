//! The typed parameters of the methods. Unknown members are refused.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::schemas::{Match, Return, Secret, SecretOrNull};
use crate::service::error::Error;
use crate::service::inventory::{Selector, Which};
use crate::store::objects::{Condition, Search};

/// A text that is wiped when it is dropped.
pub(super) type SecretText = Zeroizing<String>;

/// `create` of any object: attributes to write, attributes to show.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Create<A> {
    /// What the new object is to be.
    pub(super) attrs: A,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    pub(super) wanted: Vec<Json>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainAttrs {
    /// Name; unique, in any case. At most 255 characters.
    pub(super) name: String,
    /// Free text, at most 255 characters.
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UserAttrs {
    /// Where the user belongs.
    pub(super) domain: Selector,
    /// Login name; unique in its domain, in any case.
    pub(super) login_name: String,
    /// First name.
    #[serde(default)]
    pub(super) first_name: String,
    /// Last name.
    #[serde(default)]
    pub(super) last_name: String,
    /// E-mail address.
    #[serde(default)]
    pub(super) email: String,
    /// Number of the mobile telephone.
    #[serde(default)]
    pub(super) mobile: String,
    /// Telephone number.
    #[serde(default)]
    pub(super) telephone: String,
    /// Name in a directory, such as `john@example.com`.
    #[serde(default)]
    pub(super) user_principal_name: String,
    /// `ACTIVE` (the default), `INACTIVE`, `LOCKED` or `DISABLED`.
    pub(super) status: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ProductAttrs {
    /// Name.
    pub(super) name: String,
    /// Code of the maker; with `productCode` unique.
    pub(super) manufacturer_code: String,
    /// Code of the model.
    pub(super) product_code: String,
    /// `OATH HOTP` or `OATH TOTP`.
    pub(super) algorithm: String,
    /// `SHA1`, `SHA256` or `SHA512`.
    #[serde(default = "sha1")]
    pub(super) hash: String,
    /// Digits of a passcode, 6 to 10.
    #[serde(default = "six")]
    pub(super) digits: u8,
    /// Time step of TOTP in seconds; 30 if absent.
    pub(super) timer: Option<u32>,
    /// Driver that programs its tokens, such as `ykoath`; empty if none does.
    #[serde(default)]
    pub(super) driver: String,
    /// Whether its tokens are apps, whose secret can be handed out.
    #[serde(default)]
    pub(super) software: bool,
}

fn sha1() -> String {
    "SHA1".to_owned()
}

fn six() -> u8 {
    6
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryAttrs {
    /// Name; unique.
    pub(super) name: String,
    /// Free text, at most 255 characters.
    #[serde(default)]
    pub(super) description: String,
    /// The repository that it lies in; none if absent.
    pub(super) parent: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAttrs {
    /// Its model.
    pub(super) product: Selector,
    /// Its stock; the default one if absent.
    pub(super) repository: Option<Selector>,
    /// Serial number; unique. One is made if absent.
    pub(super) serial: Option<String>,
    /// The maker's name of it; the serial if absent.
    pub(super) identifier: Option<String>,
    /// Free text, at most 255 characters.
    #[serde(default)]
    pub(super) description: String,
    /// Who gets it; nobody if absent.
    pub(super) user: Option<Selector>,
    /// The PIN of that user for it, 1 to 64 characters; needs `user`.
    #[schemars(with = "Option<Secret>")]
    pub(super) pin: Option<SecretText>,
    /// The text of an import file: then this is `token/import` under the name that the document prints for it.
    pub(super) data: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportAttrs {
    /// The model of its tokens. What the file says of digits, hash and time step wins.
    pub(super) product: Selector,
    /// Their stock; the default one if absent.
    pub(super) repository: Option<Selector>,
    /// Text of the file: OATH CSV, PSKC (RFC 6030) or a DualShield token file.
    pub(super) data: String,
}

/// `search` of any object.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParams {
    #[serde(default, rename = "match")]
    #[schemars(with = "Match")]
    pub(super) conditions: Vec<(String, String, Json)>,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    wanted: Vec<Json>,
    /// Attribute to sort by; the id if absent.
    sort: Option<String>,
    /// Smallest (the default) or largest first.
    #[serde(default)]
    order: Order,
    /// Most rows of the answer, at most 10000; 100 if absent.
    max: Option<u64>,
    /// Rows to skip.
    #[serde(default)]
    offset: u64,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Asc,
    Desc,
}

pub(super) fn conditions(triples: Vec<(String, String, Json)>) -> Vec<Condition> {
    triples.into_iter().map(|(path, operator, value)| Condition { path, operator, value }).collect()
}

impl From<SearchParams> for Search {
    fn from(params: SearchParams) -> Self {
        Self {
            conditions: conditions(params.conditions),
            wanted: params.wanted,
            sort: params.sort,
            descending: matches!(params.order, Order::Desc),
            max: params.max,
            offset: params.offset,
        }
    }
}

/// A comparison of a `match` list.
pub(super) type Triple = (String, String, Json);

/// `get`, `set` and `delete` of an object name it by `id`, by a selector under the object's own name, or (`get`) by
/// `match`.
macro_rules! by_object {
    ($($field:ident $get:ident $set:ident $attrs:ident $delete:ident;)*) => {$(
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $get {
            /// Its id.
            pub(super) id: Option<String>,
            /// The object; or give `id`.
            pub(super) $field: Option<Selector>,
            #[serde(rename = "match")]
            #[schemars(with = "Option<Match>")]
            pub(super) conditions: Option<Vec<Triple>>,
            #[serde(default, rename = "return")]
            #[schemars(with = "Return")]
            pub(super) wanted: Vec<Json>,
        }

        impl $get {
            pub(super) fn which(self) -> Result<(Which, Vec<Json>), Error> {
                let field = stringify!($field);
                let which = match (self.id, self.$field, self.conditions) {
                    (None, None, Some(triples)) => Which::Match(conditions(triples)),
                    (id, selector, None) => Which::Selector(either(id, selector, field)?),
                    _ => return Err(Error::invalid("match", "must not be mixed with another way to name it")),
                };
                Ok((which, self.wanted))
            }
        }

        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $set {
            /// Its id.
            id: Option<String>,
            /// The object; or give `id`.
            $field: Option<Selector>,
            /// What to change; what is absent stays.
            attrs: $attrs,
        }

        impl $set {
            pub(super) fn which(self) -> Result<(Selector, $attrs), Error> {
                Ok((either(self.id, self.$field, stringify!($field))?, self.attrs))
            }
        }

        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $delete {
            /// Its id.
            id: Option<String>,
            /// The object; or give `id`.
            $field: Option<Selector>,
        }

        impl $delete {
            pub(super) fn which(self) -> Result<Selector, Error> {
                either(self.id, self.$field, stringify!($field))
            }
        }
    )*};
}

by_object! {
    domain DomainGet DomainSet DomainChangeAttrs DomainDelete;
    user UserGet UserSet UserChangeAttrs UserDelete;
    product ProductGet ProductSet ProductChangeAttrs ProductDelete;
    repository RepositoryGet RepositorySet RepositoryChangeAttrs RepositoryDelete;
    token TokenGet TokenSet TokenChangeAttrs TokenOnly;
}

/// `"id": "t1"` and `"token": {..}` name the same thing; one of them must be there.
pub(super) fn either(id: Option<String>, selector: Option<Selector>, field: &str) -> Result<Selector, Error> {
    match (id, selector) {
        (Some(id), None) => Ok(Selector::Id(id)),
        (None, Some(selector)) => Ok(selector),
        (None, None) => Err(Error::invalid(field, "or `id` must be given")),
        (Some(_), Some(_)) => Err(Error::invalid(field, "and `id` must not both be given")),
    }
}

/// Absent and `null` are two things: one leaves an attribute, the other clears it.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainChangeAttrs {
    /// New name; unique, in any case.
    pub(super) name: Option<String>,
    /// Free text, at most 255 characters.
    pub(super) description: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UserChangeAttrs {
    /// New login name; unique in the domain.
    pub(super) login_name: Option<String>,
    /// First name.
    pub(super) first_name: Option<String>,
    /// Last name.
    pub(super) last_name: Option<String>,
    /// E-mail address.
    pub(super) email: Option<String>,
    /// Number of the mobile telephone.
    pub(super) mobile: Option<String>,
    /// Telephone number.
    pub(super) telephone: Option<String>,
    /// Name in a directory, such as `john@example.com`.
    pub(super) user_principal_name: Option<String>,
    /// `ACTIVE`, `INACTIVE`, `LOCKED` or `DISABLED`.
    pub(super) status: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductChangeAttrs {
    /// New name.
    pub(super) name: Option<String>,
    /// Driver that programs its tokens, such as `ykoath`; empty if none does.
    pub(super) driver: Option<String>,
    /// `OATH HOTP` or `OATH TOTP`. Needed to change `hash`, `digits` or `timer`, which fall back to their defaults.
    pub(super) algorithm: Option<String>,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub(super) hash: Option<String>,
    /// Digits of a passcode, 6 to 10.
    pub(super) digits: Option<u8>,
    /// Time step of TOTP in seconds.
    pub(super) timer: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryChangeAttrs {
    /// New name; unique.
    pub(super) name: Option<String>,
    /// Free text, at most 255 characters.
    pub(super) description: Option<String>,
    /// The repository that it is to lie in; null for none.
    #[serde(default, deserialize_with = "nullable")]
    pub(super) parent: Option<Option<Selector>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenChangeAttrs {
    /// `ACTIVE`, `DISABLED` or `DECEASED`.
    pub(super) status: Option<String>,
    /// Free text, at most 255 characters.
    pub(super) description: Option<String>,
    /// The stock to move it to.
    pub(super) repository: Option<Selector>,
}

/// An assignment is named by `id`, by a selector, or by its token and user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentGet {
    /// Id of the assignment.
    id: Option<String>,
    /// The assignment; or give `id`, or `token` and `user`.
    token_assignment: Option<Selector>,
    /// Its token; needs `user`.
    token: Option<Selector>,
    /// Its user; needs `token`.
    user: Option<Selector>,
    #[serde(rename = "match")]
    #[schemars(with = "Option<Match>")]
    conditions: Option<Vec<Triple>>,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    wanted: Vec<Json>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentSet {
    /// Id of the assignment.
    id: Option<String>,
    /// The assignment; or give `id`, or `token` and `user`.
    token_assignment: Option<Selector>,
    /// Its token; needs `user`.
    token: Option<Selector>,
    /// Its user; needs `token`.
    user: Option<Selector>,
    /// What to change; what is absent stays.
    attrs: AssignmentChangeAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentOnly {
    /// Id of the assignment.
    id: Option<String>,
    /// The assignment; or give `id`, or `token` and `user`.
    token_assignment: Option<Selector>,
    /// Its token; needs `user`.
    token: Option<Selector>,
    /// Its user; needs `token`.
    user: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentChangeAttrs {
    /// New PIN, 1 to 64 characters.
    #[schemars(with = "Option<Secret>")]
    pub(super) pin: Option<SecretText>,
    /// `ACTIVE`, `INACTIVE`, `LOCKED` or `DISABLED`.
    pub(super) status: Option<String>,
    /// Order among the tokens of the user; the smallest number first.
    pub(super) priority: Option<i64>,
    /// Whether the user owns the token; false if it is shared.
    pub(super) is_owner: Option<bool>,
    /// Not valid before this time (ISO 8601); null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    pub(super) starts: Option<Option<String>>,
    /// Not valid from this time on (ISO 8601); null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    pub(super) expires: Option<Option<String>>,
    /// Accepted passcodes it is good for, 0 for no limit; counting starts afresh.
    pub(super) usage_limit: Option<u32>,
    /// Whether the user is to change the PIN: told, not enforced.
    pub(super) must_change_pin: Option<bool>,
    /// Kept as it is set; PINs have no age.
    pub(super) pin_never_expires: Option<bool>,
}

impl AssignmentGet {
    pub(super) fn which(self) -> Result<(Which, Vec<Json>), Error> {
        let which = match self.conditions {
            Some(triples) => Which::Match(conditions(triples)),
            None => Which::Selector(assignment(self.id, self.token_assignment, self.token, self.user)?),
        };
        Ok((which, self.wanted))
    }
}

impl AssignmentSet {
    pub(super) fn which(self) -> Result<(Selector, AssignmentChangeAttrs), Error> {
        Ok((assignment(self.id, self.token_assignment, self.token, self.user)?, self.attrs))
    }
}

impl AssignmentOnly {
    pub(super) fn which(self) -> Result<Selector, Error> {
        assignment(self.id, self.token_assignment, self.token, self.user)
    }
}

fn assignment(
    id: Option<String>,
    selector: Option<Selector>,
    token: Option<Selector>,
    user: Option<Selector>,
) -> Result<Selector, Error> {
    match (token, user) {
        (None, None) => either(id, selector, "tokenAssignment"),
        (Some(token), Some(user)) if id.is_none() && selector.is_none() => {
            let members = [("token", token), ("user", user)];
            Ok(Selector::Attributes(members.into_iter().map(|(name, s)| (name.into(), s.into())).collect()))
        }
        _ => Err(Error::invalid("tokenAssignment", "must be named by `id`, or by `token` and `user`")),
    }
}

/// `tokenAssignment/sort`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentSort {
    /// Assignments of one user; the first gets priority 0, the next 1, and so on.
    pub(super) ids: Vec<Selector>,
}

/// A new assignment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentAttrs {
    /// The token; nobody else may own it.
    pub(super) token: Selector,
    /// Who gets it.
    pub(super) user: Selector,
    /// The PIN for it, 1 to 64 characters; none if absent.
    #[schemars(with = "Option<Secret>")]
    pub(super) pin: Option<SecretText>,
    /// Whether the user owns the token; false shares one that somebody else may own.
    #[serde(default = "yes")]
    pub(super) is_owner: bool,
}

/// A token and one of its users.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAndUser {
    /// The token.
    pub(super) token: Selector,
    /// The user.
    pub(super) user: Selector,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSetPin {
    /// The token.
    pub(super) token: Selector,
    /// The user.
    pub(super) user: Selector,
    /// The new PIN.
    pub(super) attrs: SetPinAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPinAttrs {
    /// `null` removes it.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "SecretOrNull")]
    pub(super) pin: Option<Option<SecretText>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenChangePin {
    /// The token.
    pub(super) token: Selector,
    /// The user.
    pub(super) user: Selector,
    /// The old and the new PIN.
    pub(super) attrs: ChangePinAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ChangePinAttrs {
    /// The PIN so far.
    #[schemars(with = "Secret")]
    pub(super) old_pin: SecretText,
    /// The new PIN, 1 to 64 characters.
    #[schemars(with = "Secret")]
    pub(super) pin: SecretText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenLost {
    /// The lost token.
    pub(super) token: Selector,
    /// The token that takes over its users and PINs; nobody may have it yet.
    pub(super) replacement: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenDownload {
    /// The token.
    pub(super) token: Selector,
    /// Who has it.
    pub(super) user: Option<Selector>,
    /// Address that the link starts with.
    #[serde(rename = "provisioningUrl")]
    pub(super) provisioning_url: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenCredential {
    /// The token.
    pub(super) token: Selector,
    /// The user.
    pub(super) user: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchAssign {
    /// The file.
    pub(super) attrs: BatchAssignAttrs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchAssignAttrs {
    /// Text of the CSV file.
    #[schemars(with = "Secret")]
    pub(super) csv: SecretText,
    /// Charset of the text.
    #[serde(default = "utf_8")]
    pub(super) charset: String,
}

fn yes() -> bool {
    true
}

fn utf_8() -> String {
    "UTF-8".to_owned()
}

/// `auth/listTokens` and `auth/listTokenAssignments`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOfUser {
    /// The user.
    pub(super) user: Selector,
    /// Only this token.
    pub(super) token: Option<Selector>,
    /// Named by clients of the original; everything here is one application.
    #[serde(rename = "application")]
    pub(super) _application: Option<Json>,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    pub(super) wanted: Vec<Json>,
}

/// `delete` of a token; with a user it only takes the token back from that user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenDelete {
    /// Id of the token.
    pub(super) id: Option<String>,
    /// The token; or give `id`.
    pub(super) token: Option<Selector>,
    /// Take it back from this user, and do not delete it.
    pub(super) user: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenReset {
    /// The token.
    pub(super) token: Selector,
    /// What to set.
    #[serde(default)]
    pub(super) attrs: ResetAttrs,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetAttrs {
    /// HOTP: the next counter that is accepted; stays if absent. Setting it back needs the role admin, and a resync.
    pub(super) counter: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSync {
    /// The token.
    pub(super) token: Selector,
    /// Who has it; anybody if absent.
    pub(super) user: Option<Selector>,
    /// Two or three consecutive passcodes without PIN, separated by commas.
    #[schemars(with = "Secret")]
    pub(super) credential: SecretText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAssign {
    /// The token.
    pub(super) token: Selector,
    /// The user.
    pub(super) user: Selector,
    /// How it is assigned.
    #[serde(default)]
    pub(super) attrs: AssignAttrs,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignAttrs {
    /// The PIN of that user for it, 1 to 64 characters; none if absent.
    #[schemars(with = "Option<Secret>")]
    pub(super) pin: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    /// Who asks to be let in; all their tokens are tried, in order of priority.
    pub(super) user: Option<Selector>,
    /// Try only this token. It or `user` must be given.
    pub(super) token: Option<Selector>,
    /// What was typed.
    pub(super) credential: VerifyCredential,
    /// Address of the client that asks, 1 to 64 bytes: its failures count together.
    pub(super) source: Option<String>,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    pub(super) wanted: Vec<Json>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyCredential {
    /// PIN and passcode in one text, the PIN in front.
    #[schemars(with = "Secret")]
    pub(super) otp: SecretText,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceSlots {
    /// Id of the device, such as `ykoath:12345678`.
    pub(super) device: String,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(super) access_code: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceProgram {
    /// Id of the device, such as `ykoath:12345678`.
    pub(super) device: String,
    /// Slot to write; the driver's choice if absent.
    pub(super) slot: Option<String>,
    /// The token to program. It or `product` must be given.
    pub(super) token: Option<Selector>,
    /// Make a new token of this model.
    pub(super) product: Option<Selector>,
    /// More about the token.
    #[serde(default)]
    pub(super) attrs: ProgramAttrs,
    /// Seconds to wait for the end of the job, 0 to 60.
    #[serde(default)]
    pub(super) wait: f64,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(super) access_code: Option<SecretText>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramAttrs {
    /// The PIN of that user for it, 1 to 64 characters; needs `user`.
    #[schemars(with = "Option<Secret>")]
    pub(super) pin: Option<SecretText>,
    /// Who gets the token; nobody if absent.
    pub(super) user: Option<Selector>,
    /// Stock of a new token; the default one if absent.
    pub(super) repository: Option<Selector>,
    /// Whether each passcode needs a touch of the device.
    #[serde(default)]
    pub(super) touch: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceCalculate {
    /// Id of the device, such as `ykoath:12345678`.
    pub(super) device: String,
    /// Slot of the device.
    pub(super) slot: String,
    /// Seconds since the Unix epoch.
    pub(super) time: Option<i64>,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(super) access_code: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceErase {
    /// Id of the device, such as `ykoath:12345678`.
    pub(super) device: String,
    /// Slot of the device.
    pub(super) slot: String,
    /// The access code of the device, if it asks for one.
    #[schemars(with = "Option<Secret>")]
    pub(super) access_code: Option<SecretText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobGet {
    /// Id of the job, `j` and a number.
    pub(super) job: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobConfirm {
    /// Id of the job, `j` and a number.
    pub(super) job: String,
    /// A passcode of the new credential, read off the device.
    #[schemars(with = "Secret")]
    pub(super) passcode: SecretText,
}
