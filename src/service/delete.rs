//! Delete: a token with its secret and assignments leaves the inventory. The audit log keeps its serial.

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::model::id::TokenId;
use crate::model::status::{JobState, TokenStatus};
use crate::store::{Store, objects};

/// Deletes a token.
///
/// # Errors
/// [`Kind::TokenNotFound`]; [`Kind::InUse`] while its credential is in a slot of a device, which nobody would
/// know of any more, and while a job is at work on it. A token that is `DECEASED` goes all the same: its device
/// may be lost, and with it the passcode that a job waits for.
pub async fn delete(store: &Store, caller: &Caller, token: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let token = TokenId(token.find(tx.reader(), &objects::TOKEN)?);
            let serial = tx.reader().serial_of(token)?;
            let lost = tx.reader().status_of(token)? == TokenStatus::Deceased;
            if let Some((device, slot)) = tx.reader().place_of(token)? {
                match tx.reader().unfinished_job_at(&device, &slot)? {
                    Some((job, JobState::AwaitingPasscode)) if lost => {
                        tx.move_job(job, JobState::WipeBeforeUse, "given up: the token was deleted")?;
                    }
                    // It would find no token to give the credential to.
                    Some((job, _)) => {
                        let text = format!("job {job} is at work on token {serial}");
                        return Err(Error::new(Kind::InUse, text));
                    }
                    None => {}
                }
                if !lost {
                    let text = format!(
                        "token {serial} lives in slot `{slot}` of {device}: erase that first, or set the token DECEASED"
                    );
                    return Err(Error::new(Kind::InUse, text));
                }
            }
            tx.delete_token(token)?;
            let mut entry = caller.did("token/delete");
            (entry.token, entry.outcome) = (Some(token), "deleted");
            entry.detail = format!("serial {serial}");
            tx.audit(entry);
            Ok(())
        })
        .await
}
