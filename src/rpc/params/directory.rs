//! Domains, users, products, repositories.

use schemars::JsonSchema;
use serde::Deserialize;

use super::nullable;
use crate::service::inventory::Selector;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct DomainAttrs {
    /// Name; unique, in any case. At most 255 characters.
    pub(in crate::rpc) name: String,
    /// Free text, at most 255 characters.
    #[serde(default)]
    pub(in crate::rpc) description: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct UserAttrs {
    /// Where the user belongs.
    pub(in crate::rpc) domain: Selector,
    /// Login name; unique in its domain, in any case.
    pub(in crate::rpc) login_name: String,
    /// First name.
    #[serde(default)]
    pub(in crate::rpc) first_name: String,
    /// Last name.
    #[serde(default)]
    pub(in crate::rpc) last_name: String,
    /// E-mail address.
    #[serde(default)]
    pub(in crate::rpc) email: String,
    /// Number of the mobile telephone.
    #[serde(default)]
    pub(in crate::rpc) mobile: String,
    /// Telephone number.
    #[serde(default)]
    pub(in crate::rpc) telephone: String,
    /// Name in a directory, such as `john@example.com`.
    #[serde(default)]
    pub(in crate::rpc) user_principal_name: String,
    /// `ACTIVE` (the default), `INACTIVE`, `LOCKED` or `DISABLED`.
    pub(in crate::rpc) status: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct ProductAttrs {
    /// Name.
    pub(in crate::rpc) name: String,
    /// Code of the maker; with `productCode` unique.
    pub(in crate::rpc) manufacturer_code: String,
    /// Code of the model.
    pub(in crate::rpc) product_code: String,
    /// `OATH HOTP` or `OATH TOTP`.
    pub(in crate::rpc) algorithm: String,
    /// `SHA1`, `SHA256` or `SHA512`.
    #[serde(default = "sha1")]
    pub(in crate::rpc) hash: String,
    /// Digits of a passcode, 6 to 10.
    #[serde(default = "six")]
    pub(in crate::rpc) digits: u8,
    /// Time step of TOTP in seconds; 30 if absent.
    pub(in crate::rpc) timer: Option<u32>,
    /// Driver that programs its tokens, such as `ykoath`; empty if none does.
    #[serde(default)]
    pub(in crate::rpc) driver: String,
    /// Whether its tokens are apps, whose secret can be handed out.
    #[serde(default)]
    pub(in crate::rpc) software: bool,
}

fn sha1() -> String {
    "SHA1".to_owned()
}

fn six() -> u8 {
    6
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct RepositoryAttrs {
    /// Name; unique.
    pub(in crate::rpc) name: String,
    /// Free text, at most 255 characters.
    #[serde(default)]
    pub(in crate::rpc) description: String,
    /// The repository that it lies in; none if absent.
    pub(in crate::rpc) parent: Option<Selector>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct DomainChangeAttrs {
    /// New name; unique, in any case.
    pub(in crate::rpc) name: Option<String>,
    /// Free text, at most 255 characters.
    pub(in crate::rpc) description: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct UserChangeAttrs {
    /// New login name; unique in the domain.
    pub(in crate::rpc) login_name: Option<String>,
    /// First name.
    pub(in crate::rpc) first_name: Option<String>,
    /// Last name.
    pub(in crate::rpc) last_name: Option<String>,
    /// E-mail address.
    pub(in crate::rpc) email: Option<String>,
    /// Number of the mobile telephone.
    pub(in crate::rpc) mobile: Option<String>,
    /// Telephone number.
    pub(in crate::rpc) telephone: Option<String>,
    /// Name in a directory, such as `john@example.com`.
    pub(in crate::rpc) user_principal_name: Option<String>,
    /// `ACTIVE`, `INACTIVE`, `LOCKED` or `DISABLED`.
    pub(in crate::rpc) status: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ProductChangeAttrs {
    /// New name.
    pub(in crate::rpc) name: Option<String>,
    /// Driver that programs its tokens, such as `ykoath`; empty if none does.
    pub(in crate::rpc) driver: Option<String>,
    /// `OATH HOTP` or `OATH TOTP`. Needed to change `hash`, `digits` or `timer`, which fall back to their defaults.
    pub(in crate::rpc) algorithm: Option<String>,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub(in crate::rpc) hash: Option<String>,
    /// Digits of a passcode, 6 to 10.
    pub(in crate::rpc) digits: Option<u8>,
    /// Time step of TOTP in seconds.
    pub(in crate::rpc) timer: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct RepositoryChangeAttrs {
    /// New name; unique.
    pub(in crate::rpc) name: Option<String>,
    /// Free text, at most 255 characters.
    pub(in crate::rpc) description: Option<String>,
    /// The repository that it is to lie in; null for none.
    #[serde(default, deserialize_with = "nullable")]
    pub(in crate::rpc) parent: Option<Option<Selector>>,
}

/// `product/clocks`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct ProductClocks {
    /// The product.
    pub(in crate::rpc) product: Selector,
}
