//! Delete: objects leave the inventory, where nothing else needs them. The audit log keeps what it says of them.

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::model::id::{AssignmentId, DomainId, ProductId, RepositoryId, TokenId, UserId};
use crate::model::status::{JobState, TokenStatus};
use crate::store::catalogue::DEFAULT_REPOSITORY;
use crate::store::{Store, Tx, objects};

/// Deletes a token with its secret and assignments.
///
/// # Errors
/// [`Kind::TokenNotFound`]; [`Kind::InUse`] while its credential is in a slot of a device, which nobody would
/// know of any more, and while a job is at work on it. A token that is `DECEASED` goes all the same: its device
/// may be lost, and with it the passcode that a job waits for.
pub async fn token(store: &Store, caller: &Caller, token: Selector) -> Result<(), Error> {
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

/// Deletes a domain that has no users.
///
/// # Errors
/// [`Kind::DomainNotFound`], [`Kind::InUse`].
pub async fn domain(store: &Store, caller: &Caller, domain: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = DomainId(domain.find(tx.reader(), &objects::DOMAIN)?);
            if tx.reader().domain_has_users(id)? {
                return Err(Error::new(Kind::InUse, "the domain has users: delete them first"));
            }
            tx.delete_domain(id)?;
            gone(tx, &caller, "domain/delete", id);
            Ok(())
        })
        .await
}

/// Deletes a user; the tokens go back into stock.
///
/// # Errors
/// [`Kind::UserNotFound`].
pub async fn user(store: &Store, caller: &Caller, user: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = UserId(user.find(tx.reader(), &objects::USER)?);
            tx.delete_user(id)?;
            let mut entry = caller.did("user/delete");
            (entry.user, entry.outcome) = (Some(id), "deleted");
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Deletes a product that has no tokens.
///
/// # Errors
/// [`Kind::ProductNotFound`], [`Kind::InUse`].
pub async fn product(store: &Store, caller: &Caller, product: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = ProductId(product.find(tx.reader(), &objects::PRODUCT)?);
            if tx.reader().product_has_tokens(id)? {
                return Err(Error::new(Kind::InUse, "the product has tokens: delete them first"));
            }
            tx.delete_product(id)?;
            gone(tx, &caller, "product/delete", id);
            Ok(())
        })
        .await
}

/// Deletes a repository that has neither tokens nor children.
///
/// # Errors
/// [`Kind::RepositoryNotFound`], [`Kind::InUse`].
pub async fn repository(store: &Store, caller: &Caller, repository: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = RepositoryId(repository.find(tx.reader(), &objects::REPOSITORY)?);
            if tx.reader().repository_is_used(id)? {
                return Err(Error::new(
                    Kind::InUse,
                    "the repository has tokens or children: move them first",
                ));
            }
            if tx.reader().repository_name(id)? == DEFAULT_REPOSITORY {
                return Err(Error::new(Kind::InUse, "tokens that name no repository need this one"));
            }
            tx.delete_repository(id)?;
            gone(tx, &caller, "repository/delete", id);
            Ok(())
        })
        .await
}

/// Ends an assignment.
///
/// # Errors
/// [`Kind::AssignmentNotFound`].
pub async fn assignment(store: &Store, caller: &Caller, assignment: Selector) -> Result<(), Error> {
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = AssignmentId(assignment.find(tx.reader(), &objects::ASSIGNMENT)?);
            let (token, user) = tx.reader().assigned(id)?;
            tx.delete_assignment(id)?;
            let mut entry = caller.did("tokenAssignment/delete");
            (entry.token, entry.user, entry.outcome) = (Some(token), Some(user), "unassigned");
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// An audit row for an object that is neither token nor user.
fn gone(tx: &Tx<'_>, caller: &Caller, action: &'static str, id: impl std::fmt::Display) {
    let mut entry = caller.did(action);
    entry.outcome = "deleted";
    entry.detail = id.to_string();
    tx.audit(entry);
}
