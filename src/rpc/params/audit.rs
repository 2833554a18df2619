//! Parameters of `audit/*`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Order;
use crate::service::audit::Wanted;
use crate::service::inventory::Selector;

/// `audit/search`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AuditSearch {
    /// Rows from this time on, such as `2026-11-21T08:00:00Z`.
    from: Option<String>,
    /// Rows before this time.
    until: Option<String>,
    /// Rows of this operator.
    operator: Option<String>,
    /// Rows of this method, such as `auth/verify`.
    action: Option<String>,
    /// Rows about this token; by its id, even if it was deleted.
    token: Option<Selector>,
    /// Rows about this user; by the id, even if it was deleted.
    user: Option<Selector>,
    /// Rows that ended so, such as `accepted`.
    outcome: Option<String>,
    /// Newest (`desc`, the default) or oldest first.
    order: Option<Order>,
    /// Most rows of the answer, at most 1000; 100 if absent.
    max: Option<u32>,
    /// Goes on where an earlier answer ended: its `cursor`.
    cursor: Option<String>,
}

impl From<AuditSearch> for Wanted {
    fn from(params: AuditSearch) -> Self {
        Self {
            from: params.from,
            until: params.until,
            operator: params.operator,
            action: params.action,
            token: params.token,
            user: params.user,
            outcome: params.outcome,
            ascending: params.order == Some(Order::Asc),
            cursor: params.cursor,
            max: params.max,
        }
    }
}

/// `audit/prune`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rpc) struct AuditPrune {
    /// Rows from before this time go; it must be past.
    pub(in crate::rpc) before: String,
}
