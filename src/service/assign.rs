//! Assign: a token to a user, with a PIN if one is given.

use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::lifecycle::refuse_retired;
use super::pin;
use crate::access::Caller;
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::AssignmentStatus;
use crate::store::assignments::NewAssignment;
use crate::store::{Store, Tx};

/// Who gets what.
#[derive(Clone)]
pub struct Grant {
    /// The token.
    pub token: TokenId,
    /// The user.
    pub user: UserId,
    /// The PIN that the user will type in front of the passcode.
    pub pin: Option<Zeroizing<String>>,
    /// The user shares a token that somebody else may own.
    pub shared: bool,
}

/// Assigns a token. A token that the user has already gets the new PIN, if one is given; one that somebody else
/// owns can only be shared.
///
/// # Errors
/// [`Kind::InUse`] if somebody else owns it or it is `DECEASED`, [`Kind::Invalid`] for a PIN that cannot be one.
pub async fn assign(
    store: &Store,
    caller: &Caller,
    action: &'static str,
    grant: Grant,
) -> Result<AssignmentId, Error> {
    let caller = caller.clone();
    store.write(move |tx| assign_in(tx, &caller, action, &grant)).await
}

/// The same, as part of a larger change.
///
/// # Errors
/// As [`assign`].
pub fn assign_in(
    tx: &Tx<'_>,
    caller: &Caller,
    action: &'static str,
    grant: &Grant,
) -> Result<AssignmentId, Error> {
    let Grant { token, user, shared, .. } = *grant;
    let refused = |problem: &str| {
        let serial = tx.reader().serial_of(token)?;
        Err(Error::new(Kind::InUse, format!("token {serial} {problem}")))
    };
    refuse_retired(tx, token)?;
    if tx.reader().is_in_a_batch(token)? {
        return refused("is being assigned by a batch");
    }
    if !shared && tx.reader().is_owned_by_another(token, user)? {
        return refused("is assigned to somebody else");
    }
    let assignment = match tx.reader().assignment_of(token, user)? {
        Some(assignment) => assignment,
        None => tx.insert_assignment(&NewAssignment {
            token,
            user,
            status: AssignmentStatus::Active,
            is_owner: !shared,
            import: None,
        })?,
    };
    if let Some(pin) = &grant.pin {
        pin::put(tx, assignment, pin)?;
    }
    let mut entry = caller.did(action);
    (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "assigned");
    if grant.pin.is_some() {
        "with a new PIN".clone_into(&mut entry.detail);
    }
    tx.audit(entry);
    Ok(assignment)
}

/// Takes a token back from a user.
///
/// # Errors
/// [`Kind::AssignmentNotFound`] if the user does not have it.
pub async fn unassign(
    store: &Store,
    caller: &Caller,
    action: &'static str,
    token: TokenId,
    user: UserId,
) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let assignment =
                tx.reader().assignment_of(token, user)?.ok_or_else(|| Error::not_found("tokenAssignment"))?;
            tx.delete_assignment(assignment)?;
            let mut entry = caller.did(action);
            (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "unassigned");
            tx.audit(entry);
            Ok(())
        })
        .await
}
