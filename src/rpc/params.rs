//! The typed parameters of the methods. Unknown members are refused.

use serde::Deserialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::service::inventory::Selector;
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportAttrs {
    pub(super) product: Selector,
    pub(super) repository: Option<Selector>,
    pub(super) data: String,
}

/// `set` of a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSet {
    pub(super) id: Option<String>,
    pub(super) token: Option<Selector>,
    pub(super) attrs: TokenSetAttrs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSetAttrs {
    pub(super) status: Option<String>,
    pub(super) description: Option<String>,
    pub(super) repository: Option<Selector>,
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

/// `get` of a token: by id, by selector, or by `match`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenGet {
    pub(super) id: Option<String>,
    pub(super) token: Option<Selector>,
    #[serde(rename = "match")]
    pub(super) conditions: Option<Vec<(String, String, Json)>>,
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
