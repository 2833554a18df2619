//! Operators: who may call the API.
//!
//! Whatever changes of an operator raises its generation and deletes its bearer tokens, in the same commit.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Row};

use super::hot::{one_row, read_text};
use super::{Reader, StoreError, Tx};
use crate::model::id::{DomainId, OperatorId, RepositoryId};
use crate::model::role::Role;
use crate::model::scope::Scope;

/// An operator as the login needs it.
#[derive(Clone)]
pub struct Operator {
    /// Row id.
    pub id: OperatorId,
    /// Unique.
    pub name: String,
    /// The argon2id hash in PHC form.
    pub password_hash: String,
    /// What the operator may do.
    pub role: Role,
    /// What the operator sees.
    pub scope: Scope,
    /// Raised by every change that must end remembered logins.
    pub generation: i64,
    /// Switched off.
    pub disabled: bool,
}

/// What to change of an operator; the rest stays. `Some(None)` of a set is all.
#[derive(Clone, Default)]
pub struct OperatorChanges {
    /// New password, hashed.
    pub password_hash: Option<String>,
    /// New role.
    pub role: Option<Role>,
    /// Switched off or on.
    pub disabled: Option<bool>,
    /// Domains that it sees.
    pub domains: Option<Option<BTreeSet<DomainId>>>,
    /// Repositories that it sees.
    pub repositories: Option<Option<BTreeSet<RepositoryId>>>,
}

/// The columns of an [`Operator`], in the order of [`read_operator`].
pub(super) const COLUMNS: &str = "operators.id, operators.name, operators.password_hash, operators.role, \
     operators.generation, operators.disabled, operators.all_domains, operators.all_repositories";

/// How many columns these are.
pub(super) const WIDTH: usize = 8;

impl Tx<'_> {
    /// Adds an operator who sees everything.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken.
    pub fn insert_operator(
        &self,
        name: &str,
        password_hash: &str,
        role: Role,
    ) -> Result<OperatorId, StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO operators (name, password_hash, role, generation, disabled, created_ms)
             VALUES (?1, ?2, ?3, 1, 0, ?4)",
        )?;
        Ok(OperatorId(insert.insert((name, password_hash, role.as_str(), self.now().as_millis()))?))
    }

    /// Changes an operator and ends what it was given so far. Returns its new generation.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such operator.
    pub fn change_operator(&self, id: OperatorId, changes: &OperatorChanges) -> Result<i64, StoreError> {
        let connection = self.connection();
        let mut update = connection.prepare_cached(
            "UPDATE operators SET password_hash = coalesce(?2, password_hash), role = coalesce(?3, role),
             disabled = coalesce(?4, disabled), all_domains = coalesce(?5, all_domains),
             all_repositories = coalesce(?6, all_repositories), generation = generation + 1 WHERE id = ?1",
        )?;
        one_row(update.execute((
            id.0,
            &changes.password_hash,
            changes.role.map(Role::as_str),
            changes.disabled,
            changes.domains.as_ref().map(Option::is_none),
            changes.repositories.as_ref().map(Option::is_none),
        ))?)?;
        if let Some(domains) = &changes.domains {
            connection.execute("DELETE FROM operator_domains WHERE operator_id = ?1", [id.0])?;
            let mut insert = connection
                .prepare_cached("INSERT INTO operator_domains (operator_id, domain_id) VALUES (?1, ?2)")?;
            for domain in domains.iter().flatten() {
                one_row(insert.execute((id.0, domain.0))?)?;
            }
        }
        if let Some(repositories) = &changes.repositories {
            connection.execute("DELETE FROM operator_repositories WHERE operator_id = ?1", [id.0])?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO operator_repositories (operator_id, repository_id) VALUES (?1, ?2)",
            )?;
            for repository in repositories.iter().flatten() {
                one_row(insert.execute((id.0, repository.0))?)?;
            }
        }
        connection.execute("DELETE FROM bearers WHERE operator_id = ?1", [id.0])?;
        let mut select = connection.prepare_cached("SELECT generation FROM operators WHERE id = ?1")?;
        Ok(select.query_row([id.0], |row| row.get(0))?)
    }

    /// Removes an operator with all bearer tokens and clients. Its user token stays until it is used or purged.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such operator.
    pub fn delete_operator(&self, id: OperatorId) -> Result<(), StoreError> {
        let mut delete = self.connection().prepare_cached("DELETE FROM operators WHERE id = ?1")?;
        one_row(delete.execute([id.0])?)
    }
}

impl Reader<'_> {
    /// Reads an operator by name.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn operator(&self, name: &str) -> Result<Option<Operator>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM operators WHERE name = ?1");
        let found = self.connection.prepare_cached(&sql)?.query_row([name], read_operator).optional()?;
        found.map(|found| self.with_scope(found)).transpose()
    }

    /// Reads an operator by its id.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn operator_by_id(&self, id: OperatorId) -> Result<Option<Operator>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM operators WHERE id = ?1");
        let found = self.connection.prepare_cached(&sql)?.query_row([id.0], read_operator).optional()?;
        found.map(|found| self.with_scope(found)).transpose()
    }

    /// Whether any admin is let in.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn has_admin(&self) -> Result<bool, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT 1 FROM operators WHERE role = ?1 AND disabled = 0")?;
        Ok(select.exists([Role::Admin.as_str()])?)
    }

    pub(super) fn with_scope(
        &self,
        (mut operator, all): (Operator, (bool, bool)),
    ) -> Result<Operator, StoreError> {
        if all == (true, true) {
            return Ok(operator);
        }
        let ids = |sql: &str| -> Result<Vec<i64>, StoreError> {
            let mut select = self.connection.prepare_cached(sql)?;
            let ids = select.query_map([operator.id.0], |row| row.get(0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        };
        let domains = match all.0 {
            true => None,
            false => Some(ids("SELECT domain_id FROM operator_domains WHERE operator_id = ?1")?),
        };
        let repositories = match all.1 {
            true => None,
            false => Some(ids("SELECT repository_id FROM operator_repositories WHERE operator_id = ?1")?),
        };
        operator.scope = Scope::new(
            domains.map(|ids| ids.into_iter().map(DomainId).collect()),
            repositories.map(|ids| ids.into_iter().map(RepositoryId).collect()),
        );
        Ok(operator)
    }
}

/// An operator without its scope, and whether it sees all domains and all repositories.
pub(super) fn read_operator(row: &Row<'_>) -> rusqlite::Result<(Operator, (bool, bool))> {
    let operator = Operator {
        id: OperatorId(row.get(0)?),
        name: row.get(1)?,
        password_hash: row.get(2)?,
        role: read_text(row, 3, Role::parse)?,
        scope: Scope::default(),
        generation: row.get(4)?,
        disabled: row.get(5)?,
    };
    Ok((operator, (row.get(6)?, row.get(7)?)))
}
