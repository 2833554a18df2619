//! PINs: set by staff, changed by who knows the old one, and locks taken off.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::random;
use crate::access::Caller;
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::AssignmentStatus;
use crate::otp::pin::{self, PinKey, PinRecord};
use crate::otp::policy::Policy;
use crate::otp::time::Timestamp;
use crate::store::assignments::AssignmentChanges;
use crate::store::hot::{Decision, Keys, Rows};
use crate::store::{Store, Tx, audit};

/// Sets the PIN of an assignment, or removes it, as part of a larger change.
pub(super) fn put(tx: &Tx<'_>, assignment: AssignmentId, new_pin: &str) -> Result<(), Error> {
    let record = record(tx.vault().pin_key(), assignment, new_pin, "attrs.pin")?;
    Ok(tx.put_pin(assignment, Some(&record))?)
}

fn record(key: &PinKey, assignment: AssignmentId, new_pin: &str, field: &str) -> Result<PinRecord, Error> {
    pin::check(new_pin).map_err(|error| Error::new(Kind::Invalid, format!("`{field}`: {error}")))?;
    Ok(key.record(assignment.0, random::bytes()?, new_pin))
}

/// Sets the PIN of an assignment; without one, removes it.
///
/// # Errors
/// [`Kind::AssignmentNotFound`], [`Kind::Invalid`] for a PIN that cannot be one.
pub async fn set(
    store: &Store,
    caller: &Caller,
    token: TokenId,
    user: UserId,
    new_pin: Option<Zeroizing<String>>,
) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let assignment = assignment_of(tx, token, user)?;
            match &new_pin {
                Some(new_pin) => put(tx, assignment, new_pin)?,
                None => tx.put_pin(assignment, None)?,
            }
            let mut entry = caller.did("token/setPin");
            (entry.token, entry.user) = (Some(token), Some(user));
            if new_pin.is_none() { "removed" } else { "set" }.clone_into(&mut entry.detail);
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Takes locks and failures off a token, its user and their assignment.
///
/// # Errors
/// [`Kind::AssignmentNotFound`].
pub async fn unlock(store: &Store, caller: &Caller, token: TokenId, user: UserId) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let assignment = assignment_of(tx, token, user)?;
            let (_, status) = (tx.clear_user_failures(user)?, tx.reader().assignment_status(assignment)?);
            tx.clear_token_failures(token)?;
            if status == AssignmentStatus::Locked {
                let active = AssignmentChanges {
                    status: Some(AssignmentStatus::Active),
                    ..AssignmentChanges::default()
                };
                tx.change_assignment(assignment, &active)?;
            }
            let mut entry = caller.did("token/unlock");
            (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "unlocked");
            tx.audit(entry);
            Ok(())
        })
        .await
}

pub(super) fn assignment_of(tx: &Tx<'_>, token: TokenId, user: UserId) -> Result<AssignmentId, Error> {
    tx.reader().assignment_of(token, user)?.ok_or_else(|| Error::not_found("tokenAssignment"))
}

/// A PIN to be changed by who knows the old one.
pub struct PinChange {
    /// The token.
    pub token: TokenId,
    /// Its user.
    pub user: UserId,
    /// The client address that the caller reports.
    pub source: Option<String>,
    /// The PIN as it is.
    pub old: Zeroizing<String>,
    /// The PIN to be.
    pub new: Zeroizing<String>,
}

/// Changes a PIN. A wrong old PIN counts like a wrong passcode.
///
/// # Errors
/// [`Kind::IncorrectCredentials`], without a hint whether the PIN was wrong or something is locked.
pub async fn change(
    store: &Store,
    policy: &Arc<Policy>,
    caller: &Caller,
    change: PinChange,
) -> Result<(), Error> {
    pin::check(&change.new).map_err(|error| Error::new(Kind::Invalid, format!("`attrs.pin`: {error}")))?;
    let decision = ChangePin {
        operator: caller.name.clone(),
        policy: Arc::clone(policy),
        key: store.pin_key().clone(),
        salt: random::bytes()?,
        change,
    };
    store.decide(decision).await?
}

struct ChangePin {
    operator: String,
    policy: Arc<Policy>,
    key: PinKey,
    salt: [u8; 16],
    change: PinChange,
}

impl Decision for ChangePin {
    type Reply = Result<(), Error>;

    fn keys(&self) -> Keys {
        Keys {
            user: Some(self.change.user),
            token: Some(self.change.token),
            source: self.change.source.clone(),
            request: None,
        }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let outcome = self.change(rows, now);
        let reply = match outcome {
            "changed" => Ok(()),
            _ => Err(Error::new(Kind::IncorrectCredentials, "Incorrect credentials")),
        };
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: "token/changePin",
            token: Some(self.change.token),
            user: Some(self.change.user),
            outcome,
            detail: String::new(),
        };
        (reply, entry)
    }
}

impl ChangePin {
    fn change(&self, rows: &mut Rows, now: Timestamp) -> &'static str {
        let PinChange { token, user, source, old, new } = &self.change;
        let mut source = source.as_ref().and_then(|name| rows.sources.get_mut(name));
        let found = rows.assignments.iter_mut().find(|(_, row)| row.token == *token && row.user == *user);
        let (Some(user), Some(token)) = (rows.users.get_mut(user), rows.tokens.get_mut(token)) else {
            return "nobody_to_ask";
        };
        for throttle in [&mut user.throttle, &mut token.throttle].into_iter().chain(source.as_deref_mut()) {
            throttle.shorten(now, &self.policy);
        }
        let source_is_locked = source.as_ref().is_some_and(|throttle| throttle.locked(now).is_some());
        if source_is_locked || user.throttle.locked(now).is_some() || token.throttle.locked(now).is_some() {
            return "locked";
        }
        // Where no PIN is set, nobody knows the old one: setting the first is for the helpdesk.
        let fits = found.as_ref().is_some_and(|(id, row)| {
            row.pin.as_ref().is_some_and(|record| self.key.matches(id.0, record, old))
        });
        match found.filter(|(_, row)| fits && row.is_good(now)) {
            Some((id, row)) => {
                row.pin = Some(self.key.record(id.0, self.salt, new));
                row.pin_changed = true;
                "changed"
            }
            None => {
                user.throttle.fail(now, &self.policy);
                token.throttle.fail(now, &self.policy);
                if let Some(throttle) = &mut source {
                    throttle.fail(now, &self.policy);
                }
                "wrong_pin"
            }
        }
    }
}
