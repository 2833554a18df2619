//! Assignments of tokens to users.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{SecretText, Triple, conditions, either, nullable};
use crate::rpc::schemas::{Match, Return, Secret};
use crate::service::error::Error;
use crate::service::inventory::{Selector, Which};

/// An assignment is named by `id`, by a selector, or by its token and user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct AssignmentGet {
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
pub(in crate::rpc) struct AssignmentSet {
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
pub(in crate::rpc) struct AssignmentOnly {
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
pub(in crate::rpc) struct AssignmentChangeAttrs {
    /// New PIN, 1 to 64 characters.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) pin: Option<SecretText>,
    /// `ACTIVE`, `INACTIVE`, `LOCKED` or `DISABLED`.
    pub(in crate::rpc) status: Option<String>,
    /// Order among the tokens of the user; the smallest number first.
    pub(in crate::rpc) priority: Option<i64>,
    /// Whether the user owns the token; false if it is shared.
    pub(in crate::rpc) is_owner: Option<bool>,
    /// Not valid before this time (ISO 8601); null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    pub(in crate::rpc) starts: Option<Option<String>>,
    /// Not valid from this time on (ISO 8601); null for no limit.
    #[serde(default, deserialize_with = "nullable")]
    pub(in crate::rpc) expires: Option<Option<String>>,
    /// Accepted passcodes it is good for, 0 for no limit; counting starts afresh.
    pub(in crate::rpc) usage_limit: Option<u32>,
    /// Whether the PIN must be changed before the next login.
    pub(in crate::rpc) must_change_pin: Option<bool>,
    /// Whether the PIN is left out where policy lets PINs age.
    pub(in crate::rpc) pin_never_expires: Option<bool>,
}

impl AssignmentGet {
    pub(in crate::rpc) fn which(self) -> Result<(Which, Vec<Json>), Error> {
        let which = match self.conditions {
            Some(triples) => Which::Match(conditions(triples)),
            None => Which::Selector(assignment(self.id, self.token_assignment, self.token, self.user)?),
        };
        Ok((which, self.wanted))
    }
}

impl AssignmentSet {
    pub(in crate::rpc) fn which(self) -> Result<(Selector, AssignmentChangeAttrs), Error> {
        Ok((assignment(self.id, self.token_assignment, self.token, self.user)?, self.attrs))
    }
}

impl AssignmentOnly {
    pub(in crate::rpc) fn which(self) -> Result<Selector, Error> {
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
pub(in crate::rpc) struct AssignmentSort {
    /// Assignments of one user; the first gets priority 0, the next 1, and so on.
    pub(in crate::rpc) ids: Vec<Selector>,
}

/// A new assignment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::rpc) struct AssignmentAttrs {
    /// The token; nobody else may own it.
    pub(in crate::rpc) token: Selector,
    /// Who gets it.
    pub(in crate::rpc) user: Selector,
    /// The PIN for it, 1 to 64 characters; none if absent.
    #[schemars(with = "Option<Secret>")]
    pub(in crate::rpc) pin: Option<SecretText>,
    /// Whether the user owns the token; false shares one that somebody else may own.
    #[serde(default = "yes")]
    pub(in crate::rpc) is_owner: bool,
}

fn yes() -> bool {
    true
}
