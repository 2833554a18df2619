//! Set: status, description and repository of a token.

use super::create::check_text;
use super::error::Error;
use super::inventory::Selector;
use crate::access::Caller;
use crate::model::id::{RepositoryId, TokenId};
use crate::model::status::TokenStatus;
use crate::store::tokens::TokenChanges;
use crate::store::{Store, objects};

/// What to change; the rest stays.
pub struct TokenChange {
    /// New status.
    pub status: Option<TokenStatus>,
    /// New description.
    pub description: Option<String>,
    /// New stock.
    pub repository: Option<Selector>,
}

/// Changes a token.
///
/// # Errors
/// The not-found kinds, and `request.invalid` for a text that is too long.
pub async fn set(store: &Store, caller: &Caller, token: Selector, change: TokenChange) -> Result<(), Error> {
    check_text("attrs.description", change.description.as_deref().unwrap_or_default())?;
    let caller = caller.clone();
    store
        .write(move |tx| {
            let token = TokenId(token.find(tx.reader(), &objects::TOKEN)?);
            let repository = match &change.repository {
                Some(selector) => Some(RepositoryId(selector.find(tx.reader(), &objects::REPOSITORY)?)),
                None => None,
            };
            tx.change_token(
                token,
                &TokenChanges { status: change.status, description: change.description, repository },
            )?;
            let mut entry = caller.did("token/set");
            entry.token = Some(token);
            if let Some(status) = change.status {
                entry.detail = format!("status {}", status.as_str());
            }
            tx.audit(entry);
            Ok(())
        })
        .await
}
