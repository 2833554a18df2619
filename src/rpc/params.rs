//! The typed parameters of the methods. Unknown members are refused.

use serde::Deserialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::service::error::Error;
use crate::service::inventory::{Selector, Which};
use crate::store::objects::{Condition, Search};

/// A text that is wiped when it is dropped.
pub(super) type SecretText = Zeroizing<String>;

/// `create` of any object: attributes to write, attributes to show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create<A> {
    pub(super) attrs: A,
    #[serde(default, rename = "return")]
    pub(super) wanted: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainAttrs {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UserAttrs {
    pub(super) domain: Selector,
    pub(super) login_name: String,
    #[serde(default)]
    pub(super) first_name: String,
    #[serde(default)]
    pub(super) last_name: String,
    #[serde(default)]
    pub(super) email: String,
    #[serde(default)]
    pub(super) mobile: String,
    #[serde(default)]
    pub(super) telephone: String,
    #[serde(default)]
    pub(super) user_principal_name: String,
    pub(super) status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ProductAttrs {
    pub(super) name: String,
    pub(super) manufacturer_code: String,
    pub(super) product_code: String,
    pub(super) algorithm: String,
    #[serde(default = "sha1")]
    pub(super) hash: String,
    #[serde(default = "six")]
    pub(super) digits: u8,
    pub(super) timer: Option<u32>,
    #[serde(default)]
    pub(super) driver: String,
    #[serde(default)]
    pub(super) software: bool,
}

fn sha1() -> String {
    "SHA1".to_owned()
}

fn six() -> u8 {
    6
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryAttrs {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) parent: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAttrs {
    pub(super) product: Selector,
    pub(super) repository: Option<Selector>,
    pub(super) serial: Option<String>,
    pub(super) identifier: Option<String>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) user: Option<Selector>,
    pub(super) pin: Option<SecretText>,
    /// The text of an import file: then this is `token/import` under the name that the document prints for it.
    pub(super) data: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportAttrs {
    pub(super) product: Selector,
    pub(super) repository: Option<Selector>,
    pub(super) data: String,
}

/// `search` of any object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParams {
    #[serde(default, rename = "match")]
    pub(super) conditions: Vec<(String, String, Json)>,
    #[serde(default, rename = "return")]
    wanted: Vec<Json>,
    sort: Option<String>,
    #[serde(default)]
    order: Order,
    max: Option<u64>,
    #[serde(default)]
    offset: u64,
}

#[derive(Default, Deserialize)]
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
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $get {
            pub(super) id: Option<String>,
            pub(super) $field: Option<Selector>,
            #[serde(rename = "match")]
            pub(super) conditions: Option<Vec<Triple>>,
            #[serde(default, rename = "return")]
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

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $set {
            id: Option<String>,
            $field: Option<Selector>,
            attrs: $attrs,
        }

        impl $set {
            pub(super) fn which(self) -> Result<(Selector, $attrs), Error> {
                Ok((either(self.id, self.$field, stringify!($field))?, self.attrs))
            }
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $delete {
            id: Option<String>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainChangeAttrs {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UserChangeAttrs {
    pub(super) login_name: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) mobile: Option<String>,
    pub(super) telephone: Option<String>,
    pub(super) user_principal_name: Option<String>,
    pub(super) status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductChangeAttrs {
    pub(super) name: Option<String>,
    pub(super) driver: Option<String>,
    pub(super) algorithm: Option<String>,
    pub(super) hash: Option<String>,
    pub(super) digits: Option<u8>,
    pub(super) timer: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryChangeAttrs {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) parent: Option<Option<Selector>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenChangeAttrs {
    pub(super) status: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<Selector>,
}

/// An assignment is named by `id`, by a selector, or by its token and user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentGet {
    id: Option<String>,
    token_assignment: Option<Selector>,
    token: Option<Selector>,
    user: Option<Selector>,
    #[serde(rename = "match")]
    conditions: Option<Vec<Triple>>,
    #[serde(default, rename = "return")]
    wanted: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentSet {
    id: Option<String>,
    token_assignment: Option<Selector>,
    token: Option<Selector>,
    user: Option<Selector>,
    attrs: AssignmentChangeAttrs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentOnly {
    id: Option<String>,
    token_assignment: Option<Selector>,
    token: Option<Selector>,
    user: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AssignmentChangeAttrs {
    pub(super) pin: Option<SecretText>,
    pub(super) status: Option<String>,
    pub(super) priority: Option<i64>,
    pub(super) is_owner: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) starts: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) expires: Option<Option<String>>,
    pub(super) usage_limit: Option<u32>,
    pub(super) must_change_pin: Option<bool>,
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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentSort {
    pub(super) ids: Vec<Selector>,
}

/// A new assignment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentAttrs {
    pub(super) token: Selector,
    pub(super) user: Selector,
    pub(super) pin: Option<SecretText>,
}

/// A token and one of its users.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAndUser {
    pub(super) token: Selector,
    pub(super) user: Selector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSetPin {
    pub(super) token: Selector,
    pub(super) user: Selector,
    pub(super) attrs: SetPinAttrs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPinAttrs {
    /// `null` removes it.
    #[serde(deserialize_with = "nullable")]
    pub(super) pin: Option<Option<SecretText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenChangePin {
    pub(super) token: Selector,
    pub(super) user: Selector,
    pub(super) attrs: ChangePinAttrs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ChangePinAttrs {
    pub(super) old_pin: SecretText,
    pub(super) pin: SecretText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenLost {
    pub(super) token: Selector,
    pub(super) replacement: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenDownload {
    pub(super) token: Selector,
    pub(super) user: Option<Selector>,
    #[serde(rename = "provisioningUrl")]
    pub(super) provisioning_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenCredential {
    pub(super) token: Selector,
    pub(super) user: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchAssign {
    pub(super) attrs: BatchAssignAttrs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchAssignAttrs {
    pub(super) csv: SecretText,
    #[serde(default = "utf_8")]
    pub(super) charset: String,
}

fn utf_8() -> String {
    "UTF-8".to_owned()
}

/// `auth/listTokens` and `auth/listTokenAssignments`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOfUser {
    pub(super) user: Selector,
    pub(super) token: Option<Selector>,
    /// Named by clients of the original; everything here is one application.
    #[serde(rename = "application")]
    pub(super) _application: Option<Json>,
    #[serde(default, rename = "return")]
    pub(super) wanted: Vec<Json>,
}

/// `delete` of a token; with a user it only takes the token back from that user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenDelete {
    pub(super) id: Option<String>,
    pub(super) token: Option<Selector>,
    pub(super) user: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenReset {
    pub(super) token: Selector,
    #[serde(default)]
    pub(super) attrs: ResetAttrs,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetAttrs {
    pub(super) counter: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSync {
    pub(super) token: Selector,
    pub(super) user: Option<Selector>,
    pub(super) credential: SecretText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAssign {
    pub(super) token: Selector,
    pub(super) user: Selector,
    #[serde(default)]
    pub(super) attrs: AssignAttrs,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignAttrs {
    pub(super) pin: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    pub(super) user: Option<Selector>,
    pub(super) token: Option<Selector>,
    pub(super) credential: VerifyCredential,
    pub(super) source: Option<String>,
    #[serde(default, rename = "return")]
    pub(super) wanted: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyCredential {
    pub(super) otp: SecretText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceSlots {
    pub(super) device: String,
    pub(super) access_code: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceProgram {
    pub(super) device: String,
    pub(super) slot: Option<String>,
    pub(super) token: Option<Selector>,
    pub(super) product: Option<Selector>,
    #[serde(default)]
    pub(super) attrs: ProgramAttrs,
    #[serde(default)]
    pub(super) wait: f64,
    pub(super) access_code: Option<SecretText>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgramAttrs {
    pub(super) pin: Option<SecretText>,
    pub(super) user: Option<Selector>,
    pub(super) repository: Option<Selector>,
    #[serde(default)]
    pub(super) touch: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceCalculate {
    pub(super) device: String,
    pub(super) slot: String,
    /// Seconds since the Unix epoch.
    pub(super) time: Option<i64>,
    pub(super) access_code: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceErase {
    pub(super) device: String,
    pub(super) slot: String,
    pub(super) access_code: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobGet {
    pub(super) job: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobConfirm {
    pub(super) job: String,
    pub(super) passcode: SecretText,
}
