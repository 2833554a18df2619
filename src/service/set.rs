//! Set: attributes of objects. What is not named stays.

use super::create::{
    check_driver, check_login_name, check_name, check_no_driver, check_text, find_optional,
    refuse_taken_by_another,
};
use super::error::{Error, Kind};
use super::inventory::Selector;
use super::lifecycle::refuse_retired;
use super::pin;
use crate::access::Caller;
use crate::model::id::{AssignmentId, DomainId, ProductId, RepositoryId, TokenId, UserId};
use crate::model::status::{TokenStatus, UserStatus};
use crate::store::assignments::AssignmentChanges;
use crate::store::catalogue::{DEFAULT_REPOSITORY, ProductChanges, RepositoryChanges};
use crate::store::directory::{DomainChanges, UserChanges};
use crate::store::tokens::TokenChanges;
use crate::store::{Store, objects};
use zeroize::Zeroizing;

/// Changes a domain.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken.
pub async fn domain(
    store: &Store,
    caller: &Caller,
    domain: Selector,
    changes: DomainChanges,
) -> Result<(), Error> {
    check_optional_name("attrs.name", changes.name.as_deref())?;
    check_text("attrs.description", changes.description.as_deref().unwrap_or_default())?;
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = DomainId(domain.find(tx.reader(), &objects::DOMAIN)?);
            if let Some(name) = &changes.name {
                refuse_taken_by_another(tx, &objects::DOMAIN, id.0, &[("name", name)])?;
            }
            tx.change_domain(id, &changes)?;
            let mut entry = caller.did("domain/set");
            entry.detail = id.to_string();
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Changes a user.
///
/// # Errors
/// [`Kind::Exists`] if the login name is taken in the domain.
pub async fn user(store: &Store, caller: &Caller, user: Selector, changes: UserChanges) -> Result<(), Error> {
    if let Some(name) = &changes.login_name {
        check_login_name(name)?;
    }
    let texts = [
        ("attrs.firstName", &changes.first_name),
        ("attrs.lastName", &changes.last_name),
        ("attrs.email", &changes.email),
        ("attrs.mobile", &changes.mobile),
        ("attrs.telephone", &changes.telephone),
        ("attrs.userPrincipalName", &changes.principal_name),
    ];
    for (field, text) in texts {
        check_text(field, text.as_deref().unwrap_or_default())?;
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = UserId(user.find(tx.reader(), &objects::USER)?);
            if let Some(name) = &changes.login_name {
                let domain = tx.reader().domain_of(id)?.to_string();
                let named = [("loginName", name.as_str()), ("domain.id", domain.as_str())];
                refuse_taken_by_another(tx, &objects::USER, id.0, &named)?;
            }
            tx.change_user(id, &changes)?;
            let mut entry = caller.did("user/set");
            entry.user = Some(id);
            if let Some(status) = changes.status {
                entry.detail = format!("status {}", UserStatus::as_str(status));
            }
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Changes a product. Tokens that are there keep what they were made with.
///
/// # Errors
/// [`Kind::ProductNotFound`].
pub async fn product(
    store: &Store,
    caller: &Caller,
    product: Selector,
    changes: ProductChanges,
) -> Result<(), Error> {
    check_optional_name("attrs.name", changes.name.as_deref())?;
    check_driver(changes.driver.as_deref().unwrap_or_default())?;
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = ProductId(product.find(tx.reader(), &objects::PRODUCT)?);
            if tx.reader().product(id)?.is_some_and(|product| product.software) {
                check_no_driver(changes.driver.as_deref().unwrap_or_default())?;
            }
            tx.change_product(id, &changes)?;
            let mut entry = caller.did("product/set");
            entry.detail = id.to_string();
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// What to change of a repository.
pub struct RepositoryChange {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New parent; `Some(None)` makes it a root.
    pub parent: Option<Option<Selector>>,
}

/// Changes a repository.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken; [`Kind::Invalid`] if it would lie in itself.
pub async fn repository(
    store: &Store,
    caller: &Caller,
    repository: Selector,
    change: RepositoryChange,
) -> Result<(), Error> {
    check_optional_name("attrs.name", change.name.as_deref())?;
    check_text("attrs.description", change.description.as_deref().unwrap_or_default())?;
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = RepositoryId(repository.find(tx.reader(), &objects::REPOSITORY)?);
            if let Some(name) = &change.name {
                if tx.reader().repository_name(id)? == DEFAULT_REPOSITORY && name != DEFAULT_REPOSITORY {
                    return Err(Error::invalid(
                        "attrs.name",
                        "of the repository for all other tokens is fixed",
                    ));
                }
                refuse_taken_by_another(tx, &objects::REPOSITORY, id.0, &[("name", name)])?;
            }
            let parent = match &change.parent {
                None => None,
                Some(parent) => {
                    Some(find_optional(tx.reader(), &objects::REPOSITORY, parent.as_ref())?.map(RepositoryId))
                }
            };
            if let Some(Some(parent)) = parent
                && tx.reader().repository_lies_in(parent, id)?
            {
                return Err(Error::invalid("attrs.parent", "lies in this repository"));
            }
            let RepositoryChange { name, description, .. } = change;
            tx.change_repository(id, &RepositoryChanges { name, description, parent })?;
            let mut entry = caller.did("repository/set");
            entry.detail = id.to_string();
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// What to change of a token.
pub struct TokenChange {
    /// New status.
    pub status: Option<TokenStatus>,
    /// New description.
    pub description: Option<String>,
    /// New stock.
    pub repository: Option<Selector>,
    /// What it types before each passcode; `Some(None)` for nothing.
    pub token_identifier: Option<Option<String>>,
}

/// Longest OATH token identifier: those of YubiKeys have 12 characters.
const MOST_OF_TOKEN_IDENTIFIER: usize = 16;

/// Changes a token.
///
/// # Errors
/// The not-found kinds, [`Kind::Invalid`] for a text that is too long or a token identifier that cannot be one,
/// [`Kind::InUse`] to bring back a token that is `DECEASED`, and [`Kind::NoSecret`] for a token identifier of a token
/// without a secret.
pub async fn token(
    store: &Store,
    caller: &Caller,
    token: Selector,
    change: TokenChange,
) -> Result<(), Error> {
    check_text("attrs.description", change.description.as_deref().unwrap_or_default())?;
    if let Some(Some(identifier)) = &change.token_identifier {
        check_token_identifier(identifier)?;
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            let token = TokenId(token.find(tx.reader(), &objects::TOKEN)?);
            let repository = find_optional(tx.reader(), &objects::REPOSITORY, change.repository.as_ref())?
                .map(RepositoryId);
            let TokenChange { status, description, token_identifier, .. } = change;
            if status.is_some_and(|status| status != TokenStatus::Deceased) {
                refuse_retired(tx, token)?;
            }
            tx.change_token(token, &TokenChanges { status, description, repository })?;
            let identified = token_identifier.is_some();
            if let Some(identifier) = token_identifier
                && !tx.put_token_identifier(token, identifier.as_deref())?
            {
                let text =
                    "the token has no secret yet: program or import it before it gets a token identifier";
                return Err(Error::new(Kind::NoSecret, text));
            }
            let mut entry = caller.did("token/set");
            entry.token = Some(token);
            // What decides whether passcodes are accepted.
            let status = status.map(|status| format!("status {}", status.as_str()));
            let identifier = identified.then(|| "token identifier".to_owned());
            entry.detail = status.into_iter().chain(identifier).collect::<Vec<_>>().join(", ");
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Changes an assignment; with a PIN, sets that too.
///
/// # Errors
/// [`Kind::AssignmentNotFound`], [`Kind::Invalid`] for a PIN that cannot be one.
pub async fn assignment(
    store: &Store,
    caller: &Caller,
    assignment: Selector,
    changes: AssignmentChanges,
    new_pin: Option<Zeroizing<String>>,
) -> Result<(), Error> {
    if let (Some(Some(starts)), Some(Some(expires))) = (changes.starts, changes.expires)
        && expires <= starts
    {
        return Err(Error::new(Kind::Invalid, "`attrs.expires` must be later than `attrs.starts`"));
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            let id = AssignmentId(assignment.find(tx.reader(), &objects::ASSIGNMENT)?);
            tx.change_assignment(id, &changes)?;
            if let Some(new_pin) = &new_pin {
                pin::put(tx, id, new_pin)?;
                // Setting a PIN clears the wish to have it changed; saying so in the same call wins.
                if changes.must_change_pin == Some(true) {
                    let again =
                        AssignmentChanges { must_change_pin: Some(true), ..AssignmentChanges::default() };
                    tx.change_assignment(id, &again)?;
                }
            }
            let (token, user) = tx.reader().assigned(id)?;
            let mut entry = caller.did("tokenAssignment/set");
            (entry.token, entry.user) = (Some(token), Some(user));
            if new_pin.is_some() {
                "with a new PIN".clone_into(&mut entry.detail);
            } else if let Some(status) = changes.status {
                entry.detail = format!("status {}", status.as_str());
            }
            tx.audit(entry);
            Ok(())
        })
        .await
}

/// Most assignments that are put into an order at once: logins wait meanwhile.
const MOST_SORTED: usize = 1000;

/// Puts assignments of a user into this order of priority.
///
/// # Errors
/// [`Kind::AssignmentNotFound`]; [`Kind::Invalid`] if they belong to different users, or are too many.
pub async fn sort_assignments(store: &Store, caller: &Caller, ids: Vec<Selector>) -> Result<(), Error> {
    if ids.len() > MOST_SORTED {
        return Err(Error::invalid("ids", &format!("may have at most {MOST_SORTED} elements")));
    }
    let caller = caller.clone();
    store
        .write(move |tx| {
            let mut owner = None;
            for (priority, selector) in (0i64..).zip(&ids) {
                let id = AssignmentId(selector.find(tx.reader(), &objects::ASSIGNMENT)?);
                let (_, user) = tx.reader().assigned(id)?;
                if *owner.get_or_insert(user) != user {
                    return Err(Error::invalid("ids", "must be assignments of one user"));
                }
                let changes = AssignmentChanges { priority: Some(priority), ..AssignmentChanges::default() };
                tx.change_assignment(id, &changes)?;
            }
            let mut entry = caller.did("tokenAssignment/sort");
            entry.user = owner;
            tx.audit(entry);
            Ok(())
        })
        .await
}

fn check_token_identifier(text: &str) -> Result<(), Error> {
    let fits = (1..=MOST_OF_TOKEN_IDENTIFIER).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let problem = format!("must be 1 to {MOST_OF_TOKEN_IDENTIFIER} ASCII letters and digits");
    Err(Error::invalid("attrs.tokenIdentifier", &problem))
}

fn check_optional_name(field: &str, name: Option<&str>) -> Result<(), Error> {
    name.map_or(Ok(()), |name| check_name(field, name))
}
