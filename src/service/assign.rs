//! Assign: a token to a user, with a PIN if one is given.

use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::pin;
use crate::access::Caller;
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::AssignmentStatus;
use crate::store::assignments::NewAssignment;
use crate::store::{Store, Tx};

/// Assigns a token. A token that the user has already gets the new PIN, if one is given; a token that somebody
/// else has is refused.
///
/// # Errors
/// [`Kind::InUse`] if somebody else has it, [`Kind::Invalid`] for a PIN that cannot be one.
pub async fn assign(
    store: &Store,
    caller: &Caller,
    token: TokenId,
    user: UserId,
    pin: Option<Zeroizing<String>>,
) -> Result<AssignmentId, Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let pin = pin.as_ref().map(|pin| pin.as_str());
            assign_in(tx, &caller, "token/assign", token, user, pin)
        })
        .await
}

/// The same, as part of a larger change.
///
/// # Errors
/// As [`assign`].
pub fn assign_in(
    tx: &Tx<'_>,
    caller: &Caller,
    action: &'static str,
    token: TokenId,
    user: UserId,
    pin: Option<&str>,
) -> Result<AssignmentId, Error> {
    if tx.reader().is_assigned_to_another(token, user)? {
        let serial = tx.reader().serial_of(token)?;
        return Err(Error::new(Kind::InUse, format!("token {serial} is assigned to somebody else")));
    }
    let assignment = match tx.reader().assignment_of(token, user)? {
        Some(assignment) => assignment,
        None => tx.insert_assignment(&NewAssignment {
            token,
            user,
            status: AssignmentStatus::Active,
            is_owner: true,
            import: None,
        })?,
    };
    if let Some(pin) = pin {
        pin::put(tx, assignment, pin)?;
    }
    let mut entry = caller.did(action);
    (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "assigned");
    if pin.is_some() {
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
