//! Delete: a token with its secret and assignments leaves the inventory. The audit log keeps its serial.

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::model::id::TokenId;
use crate::model::status::TokenStatus;
use crate::store::{Store, objects};

/// Deletes a token.
///
/// # Errors
/// [`Kind::TokenNotFound`]; [`Kind::InUse`] while its credential is in a slot of a device, which nobody would
/// know of any more. A token that is `DECEASED` goes all the same: its device may be lost.
pub async fn delete(store: &Store, caller: &Caller, token: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let token = TokenId(token.find(tx.reader(), &objects::TOKEN)?);
            let serial = tx.reader().serial_of(token)?;
            let lost = tx.reader().status_of(token)? == TokenStatus::Deceased;
            if let Some((device, slot)) = tx.reader().place_of(token)?.filter(|_| !lost) {
                let text = format!("token {serial} lives in slot `{slot}` of {device}: erase that first, or set the token DECEASED");
                return Err(Error::new(Kind::InUse, text));
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
