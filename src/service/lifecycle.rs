//! What becomes of a token: enabled, disabled, lost, replaced, retired; and whether its secret may be handed out.

use super::Caller;
use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::model::id::TokenId;
use crate::model::status::TokenStatus;
use crate::store::tokens::TokenChanges;
use crate::store::{Store, Tx, objects};

/// A change of a token that needs nothing more said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Usable again.
    Enable,
    /// Refused at verify until enabled.
    Disable,
    /// Out of service for good: no user, no secret, never enabled again.
    Retire,
    /// Its secret is not handed out any more, neither by download nor by programming.
    Confine,
    /// Its secret may be handed out again.
    Release,
}

impl Step {
    fn action(self) -> &'static str {
        match self {
            Self::Enable => "token/enable",
            Self::Disable => "token/disable",
            Self::Retire => "token/retire",
            Self::Confine => "token/confine",
            Self::Release => "token/release",
        }
    }
}

/// Takes a step.
///
/// # Errors
/// [`Kind::TokenNotFound`]; [`Kind::InUse`] for a step that a retired token cannot take, or to retire a token
/// whose credential is in a device.
pub async fn take(store: &Store, caller: &Caller, token: Selector, step: Step) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let token = TokenId(token.find(tx.reader(), &objects::TOKEN)?);
            refuse_retired(tx, token)?;
            match step {
                Step::Enable => put_status(tx, token, TokenStatus::Active)?,
                Step::Disable => put_status(tx, token, TokenStatus::Disabled)?,
                Step::Retire => retire(tx, token)?,
                Step::Confine => tx.confine_token(token, true)?,
                Step::Release => tx.confine_token(token, false)?,
            }
            let mut entry = caller.did(step.action());
            entry.token = Some(token);
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// A token is lost: it is disabled, and if a replacement is named, that one takes over its users and their PINs.
///
/// # Errors
/// [`Kind::TokenNotFound`]; [`Kind::InUse`] if the replacement is not free, or a batch assigns the lost token.
pub async fn lost(
    store: &Store,
    caller: &Caller,
    token: Selector,
    replacement: Option<Selector>,
) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let token = TokenId(token.find(tx.reader(), &objects::TOKEN)?);
            refuse_retired(tx, token)?;
            put_status(tx, token, TokenStatus::Disabled)?;
            let mut entry = caller.did("token/lost");
            entry.token = Some(token);
            if let Some(replacement) = replacement {
                let new = TokenId(replacement.find(tx.reader(), &objects::TOKEN)?);
                let serial = tx.reader().serial_of(new)?;
                if new == token {
                    return Err(Error::invalid("replacement", "must be another token"));
                }
                if !tx.reader().assignments_of(new)?.is_empty() {
                    return Err(Error::new(Kind::InUse, format!("token {serial} is assigned already")));
                }
                if tx.reader().status_of(new)? != TokenStatus::Active {
                    return Err(Error::new(Kind::InUse, format!("token {serial} is not ACTIVE")));
                }
                refuse_in_a_batch(tx, token)?;
                for assignment in tx.reader().assignments_of(token)? {
                    tx.move_assignment(assignment, new)?;
                }
                entry.detail = format!("replaced by {serial}");
            }
            tx.audit(entry);
            Ok(())
        })
        .await
}

fn retire(tx: &Tx<'_>, token: TokenId) -> Result<(), Error> {
    if let Some((device, slot)) = tx.reader().place_of(token)? {
        let serial = tx.reader().serial_of(token)?;
        let text = format!("token {serial} lives in slot `{slot}` of {device}: erase that first");
        return Err(Error::new(Kind::InUse, text));
    }
    refuse_in_a_batch(tx, token)?;
    for assignment in tx.reader().assignments_of(token)? {
        tx.delete_assignment(assignment)?;
    }
    tx.drop_credential(token)?;
    put_status(tx, token, TokenStatus::Deceased)
}

pub(super) fn refuse_retired(tx: &Tx<'_>, token: TokenId) -> Result<(), Error> {
    if tx.reader().status_of(token)? == TokenStatus::Deceased {
        let serial = tx.reader().serial_of(token)?;
        return Err(Error::new(Kind::InUse, format!("token {serial} is DECEASED: it stays out of service")));
    }
    Ok(())
}

/// What a batch has written and not published is not there for anybody else to move or delete.
fn refuse_in_a_batch(tx: &Tx<'_>, token: TokenId) -> Result<(), Error> {
    if tx.reader().is_in_a_batch(token)? {
        let serial = tx.reader().serial_of(token)?;
        return Err(Error::new(Kind::InUse, format!("token {serial} is being assigned by a batch")));
    }
    Ok(())
}

fn put_status(tx: &Tx<'_>, token: TokenId, status: TokenStatus) -> Result<(), Error> {
    Ok(tx.change_token(token, &TokenChanges { status: Some(status), ..TokenChanges::default() })?)
}
