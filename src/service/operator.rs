//! Operators: made, changed, switched off and removed by an admin.
//!
//! Every change raises the generation of the operator, which ends its sessions, its OAuth tokens and its remembered
//! logins before the change is answered. There is always an admin who is let in.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::create::refuse_taken_by_another;
use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::access::login::Logins;
use crate::access::password::{self, TooMany};
use crate::app::App;
use crate::model::id::{DomainId, OperatorId, RepositoryId};
use crate::model::role::Role;
use crate::store::objects::{self, Object};
use crate::store::operators::OperatorChanges;
use crate::store::{Reader, Tx};

/// Longest name of an operator or a client, in bytes.
const MOST_NAME_BYTES: usize = 64;

/// What an operator shall see: `Some(None)` is all, `None` leaves it.
pub type Set = Option<Option<Vec<Selector>>>;

/// An operator to make.
pub struct NewOperator {
    /// Name to log in with.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its password.
    pub password: Zeroizing<String>,
    /// Domains that it sees; all if absent.
    pub domains: Option<Vec<Selector>>,
    /// Repositories that it sees; all if absent.
    pub repositories: Option<Vec<Selector>>,
}

/// What to change of an operator besides its password.
#[derive(Default)]
pub struct OperatorChange {
    /// New role.
    pub role: Option<Role>,
    /// Switched off or on.
    pub disabled: Option<bool>,
    /// Domains that it sees.
    pub domains: Set,
    /// Repositories that it sees.
    pub repositories: Set,
}

/// Makes an operator.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken; [`Kind::Invalid`] for a bad name or password, and for an admin who shall not
/// see everything.
pub async fn create(
    app: &App,
    caller: &Caller,
    new: NewOperator,
    mut wanted: Vec<Json>,
) -> Result<Json, Error> {
    check_name("attrs.name", &new.name)?;
    let hash = hashed(app, new.password).await?;
    let caller = caller.clone();
    let NewOperator { name, role, domains, repositories, .. } =
        NewOperator { password: Zeroizing::default(), ..new };
    wanted.insert(0, "id".into());
    app.store
        .write(move |tx| {
            refuse_taken_by_another(tx, &objects::OPERATOR, 0, &[("name", &name)])?;
            // A program that logs in with that name must not meet somebody else's userCode.
            if tx.reader().has_user_code(&name)? {
                return Err(Error::new(Kind::Exists, format!("there is an operator `{name}` already")));
            }
            let id = tx.insert_operator(&name, &hash, role)?;
            let narrowed = OperatorChange {
                domains: domains.map(Some),
                repositories: repositories.map(Some),
                ..OperatorChange::default()
            };
            tx.change_operator(id, &resolved(tx, narrowed)?)?;
            check_scope(tx, id)?;
            let mut entry = caller.did("operator/create");
            entry.outcome = "created";
            entry.detail = format!("{name} as {}", role.as_str());
            tx.audit(entry);
            Ok(objects::get(tx.reader(), &objects::OPERATOR, id.0, &wanted)?)
        })
        .await
}

/// Changes role, scope or state of an operator.
///
/// # Errors
/// [`Kind::OperatorNotFound`], [`Kind::LastAdmin`], [`Kind::Invalid`] for an admin who shall not see everything.
pub async fn change(
    app: &App,
    caller: &Caller,
    action: &'static str,
    operator: Selector,
    change: OperatorChange,
) -> Result<(), Error> {
    let (caller, logins) = (caller.clone(), Arc::clone(&app.logins));
    app.store
        .write(move |tx| {
            let id = find(tx.reader(), &operator)?;
            let said = said(&change);
            let changes = resolved(tx, change)?;
            apply(tx, &logins, id, &changes)?;
            done(tx, &caller, action, id, &said)
        })
        .await
}

/// Gives an operator another password.
///
/// # Errors
/// [`Kind::OperatorNotFound`], [`Kind::Invalid`] for a password that cannot be one.
pub async fn set_password(
    app: &App,
    caller: &Caller,
    operator: Selector,
    password: Zeroizing<String>,
) -> Result<(), Error> {
    let hash = hashed(app, password).await?;
    let (caller, logins) = (caller.clone(), Arc::clone(&app.logins));
    app.store
        .write(move |tx| {
            let id = find(tx.reader(), &operator)?;
            let changes = OperatorChanges { password_hash: Some(hash), ..OperatorChanges::default() };
            apply(tx, &logins, id, &changes)?;
            done(tx, &caller, "operator/setPassword", id, "new password")
        })
        .await
}

/// Removes an operator.
///
/// # Errors
/// [`Kind::OperatorNotFound`], [`Kind::LastAdmin`].
pub async fn delete(app: &App, caller: &Caller, operator: Selector) -> Result<(), Error> {
    let (caller, logins) = (caller.clone(), Arc::clone(&app.logins));
    app.store
        .write(move |tx| {
            let id = find(tx.reader(), &operator)?;
            done(tx, &caller, "operator/delete", id, "")?;
            tx.delete_operator(id)?;
            refuse_last_admin(tx)?;
            logins.changed(id, i64::MAX);
            Ok(())
        })
        .await
}

/// Changes the row, and forgets what was remembered of it. That comes before the commit: a login that is looked up
/// once too often does no harm, one that is remembered too long would.
fn apply(tx: &Tx<'_>, logins: &Logins, id: OperatorId, changes: &OperatorChanges) -> Result<(), Error> {
    let generation = tx.change_operator(id, changes)?;
    check_scope(tx, id)?;
    refuse_last_admin(tx)?;
    logins.changed(id, generation);
    Ok(())
}

fn refuse_last_admin(tx: &Tx<'_>) -> Result<(), Error> {
    if tx.reader().has_admin()? {
        return Ok(());
    }
    Err(Error::new(Kind::LastAdmin, "this is the last admin who is let in: make another one first"))
}

/// An admin can make operators who see everything, and so sees everything.
fn check_scope(tx: &Tx<'_>, id: OperatorId) -> Result<(), Error> {
    let operator = tx.reader().operator_by_id(id)?.ok_or_else(|| Error::not_found("operator"))?;
    if operator.role == Role::Admin && !operator.scope.is_all() {
        return Err(Error::invalid("attrs.role", "admin sees all domains and repositories"));
    }
    Ok(())
}

pub(super) fn find(reader: &Reader<'_>, operator: &Selector) -> Result<OperatorId, Error> {
    Ok(OperatorId(operator.find(reader, &objects::OPERATOR)?))
}

fn resolved(tx: &Tx<'_>, change: OperatorChange) -> Result<OperatorChanges, Error> {
    let domains = ids(tx, change.domains, &objects::DOMAIN)?;
    let repositories = ids(tx, change.repositories, &objects::REPOSITORY)?;
    Ok(OperatorChanges {
        password_hash: None,
        role: change.role,
        disabled: change.disabled,
        domains: domains.map(|set| set.map(|ids| ids.into_iter().map(DomainId).collect())),
        repositories: repositories.map(|set| set.map(|ids| ids.into_iter().map(RepositoryId).collect())),
    })
}

fn ids(tx: &Tx<'_>, set: Set, object: &'static Object) -> Result<Option<Option<BTreeSet<i64>>>, Error> {
    let find = |selectors: Vec<Selector>| {
        selectors.iter().map(|selector| selector.find(tx.reader(), object)).collect::<Result<_, _>>()
    };
    set.map(|set| set.map(find).transpose()).transpose()
}

fn said(change: &OperatorChange) -> String {
    let mut parts = Vec::new();
    parts.extend(change.role.map(|role| format!("role {}", role.as_str())));
    for (what, set) in [("domains", &change.domains), ("repositories", &change.repositories)] {
        parts.extend(set.as_ref().map(|set| match set {
            None => format!("all {what}"),
            Some(ids) => format!("{} {what}", ids.len()),
        }));
    }
    parts.join(", ")
}

fn done(tx: &Tx<'_>, caller: &Caller, action: &'static str, id: OperatorId, what: &str) -> Result<(), Error> {
    let operator = tx.reader().operator_by_id(id)?.ok_or_else(|| Error::not_found("operator"))?;
    let mut entry = caller.did(action);
    entry.detail = if what.is_empty() { operator.name } else { format!("{}: {what}", operator.name) };
    tx.audit(entry);
    Ok(())
}

async fn hashed(app: &App, password: Zeroizing<String>) -> Result<String, Error> {
    if let Some(problem) = password::problem(&password) {
        return Err(Error::invalid("attrs.password", problem));
    }
    let too_many = |TooMany| Error::new(Kind::Unavailable, "too many logins are waiting: try again later");
    app.logins.hash_password(password).await.map_err(too_many)
}

/// A name must go through HTTP Basic, and through clients that put a domain in front of it.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Error> {
    super::create::check_name(field, name)?;
    if name.len() > MOST_NAME_BYTES {
        return Err(Error::invalid(field, &format!("must have at most {MOST_NAME_BYTES} bytes")));
    }
    if name.contains([':', '\\']) {
        return Err(Error::invalid(field, "must hold neither a colon nor a backslash"));
    }
    Ok(())
}
