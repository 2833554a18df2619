//! The typed parameters of the methods. Unknown members are refused.
//!
//! What all objects share is here; the rest is by object.

mod agent;
mod assignment;
mod audit;
mod auth;
mod device;
mod directory;
mod key;
mod operator;
mod policy;
mod token;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::schemas::{Match, Return};
use crate::service::error::Error;
use crate::service::inventory::{Selector, Which};
use crate::store::objects::{Condition, Search};

pub(super) use self::agent::*;
pub(super) use self::assignment::*;
pub(super) use self::audit::*;
pub(super) use self::auth::*;
pub(super) use self::device::*;
pub(super) use self::directory::*;
pub(super) use self::key::*;
pub(super) use self::operator::*;
pub(super) use self::policy::*;
pub(super) use self::token::*;

/// A text that is wiped when it is dropped.
pub(in crate::rpc) type SecretText = Zeroizing<String>;

/// `create` of any object: attributes to write, attributes to show.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct Create<A> {
    /// What the new object is to be.
    pub(in crate::rpc) attrs: A,
    #[serde(default, rename = "return")]
    #[schemars(with = "Return")]
    pub(in crate::rpc) wanted: Vec<Json>,
}

/// `search` of any object.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct SearchParams {
    #[serde(default, rename = "match")]
    #[schemars(with = "Match")]
    pub(in crate::rpc) conditions: Vec<(String, String, Json)>,
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

#[derive(Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Asc,
    Desc,
}

pub(in crate::rpc) fn conditions(triples: Vec<(String, String, Json)>) -> Vec<Condition> {
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
pub(in crate::rpc) type Triple = (String, String, Json);

/// `get`, `set` and `delete` of an object name it by `id`, by a selector under the object's own name, or (`get`) by
/// `match`.
macro_rules! by_object {
    ($($field:ident $get:ident $set:ident $attrs:ident $delete:ident;)*) => {$(
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(in crate::rpc) struct $get {
            /// Its id.
            pub(in crate::rpc) id: Option<String>,
            /// The object; or give `id`.
            pub(in crate::rpc) $field: Option<Selector>,
            #[serde(rename = "match")]
            #[schemars(with = "Option<Match>")]
            pub(in crate::rpc) conditions: Option<Vec<Triple>>,
            #[serde(default, rename = "return")]
            #[schemars(with = "Return")]
            pub(in crate::rpc) wanted: Vec<Json>,
        }

        impl $get {
            pub(in crate::rpc) fn which(self) -> Result<(Which, Vec<Json>), Error> {
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
        pub(in crate::rpc) struct $set {
            /// Its id.
            id: Option<String>,
            /// The object; or give `id`.
            $field: Option<Selector>,
            /// What to change; what is absent stays.
            attrs: $attrs,
        }

        impl $set {
            pub(in crate::rpc) fn which(self) -> Result<(Selector, $attrs), Error> {
                Ok((either(self.id, self.$field, stringify!($field))?, self.attrs))
            }
        }

        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(in crate::rpc) struct $delete {
            /// Its id.
            id: Option<String>,
            /// The object; or give `id`.
            $field: Option<Selector>,
        }

        impl $delete {
            pub(in crate::rpc) fn which(self) -> Result<Selector, Error> {
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
    operator OperatorGet OperatorSet OperatorChangeAttrs OperatorOnly;
    agent AgentGet AgentSet AgentChangeAttrs AgentOnly;
}

/// `"id": "t1"` and `"token": {..}` name the same thing; one of them must be there.
pub(in crate::rpc) fn either(
    id: Option<String>,
    selector: Option<Selector>,
    field: &str,
) -> Result<Selector, Error> {
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
pub(in crate::rpc) struct Nothing {}
