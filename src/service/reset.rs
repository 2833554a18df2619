//! Reset: clears failures, lock and drift, also the failures of those who have the token: the helpdesk resets a
//! token to let somebody in.
//!
//! The counter and the last accepted time step stay, unless a caller who may rewind asks for a lower counter; then
//! only a resync revives the token, and no later reset: spent passcodes are within its reach again.

use super::error::{Error, Kind};
use crate::access::Caller;
use crate::model::id::{TokenId, UserId};
use crate::model::role::Permission;
use crate::otp::credential::Kind as Otp;
use crate::otp::time::Timestamp;
use crate::store::hot::{Decision, Keys, Rows};
use crate::store::{Store, audit};

/// Resets a token.
///
/// # Errors
/// [`Kind::Forbidden`] for a lower counter without [`Permission::TokenRewind`]; [`Kind::Invalid`] for a counter
/// with a TOTP token, which has none.
pub async fn reset(
    store: &Store,
    caller: &Caller,
    token: TokenId,
    counter: Option<u64>,
) -> Result<(), Error> {
    let may_rewind = caller.role.grants(Permission::TokenRewind);
    store.decide(Reset { operator: caller.name.clone(), token, counter, may_rewind }).await?
}

struct Reset {
    operator: String,
    token: TokenId,
    counter: Option<u64>,
    may_rewind: bool,
}

impl Decision for Reset {
    type Reply = Result<(), Error>;

    fn keys(&self) -> Keys {
        Keys { token: Some(self.token), ..Keys::default() }
    }

    fn decide(&self, rows: &mut Rows, _: Timestamp) -> (Self::Reply, audit::Entry) {
        let reply = self.reset(rows);
        let (outcome, detail) = match &reply {
            Ok(Some((from, to))) if to < from => ("rewound", format!("counter {from} to {to}")),
            Ok(Some((from, to))) => ("reset", format!("counter {from} to {to}")),
            Ok(None) => ("reset", String::new()),
            Err(_) => ("refused", String::new()),
        };
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: "token/reset",
            token: Some(self.token),
            user: None,
            outcome,
            detail,
        };
        (reply.map(|_| ()), entry)
    }
}

impl Reset {
    /// Returns the counter before and after, where one was given.
    fn reset(&self, rows: &mut Rows) -> Result<Option<(u64, u64)>, Error> {
        let holders: Vec<UserId> =
            rows.assignments.values().filter(|row| row.token == self.token).map(|row| row.user).collect();
        let token = rows.tokens.get_mut(&self.token).ok_or_else(|| Error::not_found("token"))?;
        let mut moved = None;
        if let Some(counter) = self.counter {
            let kind = token.credential.as_ref().map(|credential| credential.parameters.kind);
            if matches!(kind, Some(Otp::Totp { .. })) {
                return Err(Error::invalid("attrs.counter", "belongs to HOTP tokens; this one is TOTP"));
            }
            if counter < token.factor.next && !self.may_rewind {
                return Err(Error::new(Kind::Forbidden, "setting a counter back needs the role admin"));
            }
            moved = Some((token.factor.next, counter));
        }
        token.throttle.clear();
        token.factor.forget_drift();
        if let Some((_, counter)) = moved {
            token.factor.rewind(counter);
        }
        for user in holders {
            if let Some(row) = rows.users.get_mut(&user) {
                row.throttle.clear();
            }
        }
        Ok(moved)
    }
}
