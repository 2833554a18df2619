//! Domains and users.

use super::hot::one_row;
use super::{Reader, StoreError, Tx};
use crate::model::id::{DomainId, UserId};
use crate::model::status::UserStatus;

/// A domain to be.
#[derive(Clone, Debug)]
pub struct NewDomain {
    /// Unique in any case.
    pub name: String,
    /// Free text.
    pub description: String,
}

/// A user to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The domain.
    pub domain: DomainId,
    /// Unique in its domain, in any case.
    pub login_name: String,
    /// Free text.
    pub first_name: String,
    /// Free text.
    pub last_name: String,
    /// Free text.
    pub email: String,
    /// Free text.
    pub mobile: String,
    /// Free text.
    pub telephone: String,
    /// The name in a directory, for example `john.smith@example.com`.
    pub principal_name: String,
    /// Status from the start.
    pub status: UserStatus,
}

/// Which attributes of a domain to write; the others stay.
#[derive(Clone, Debug, Default)]
pub struct DomainChanges {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
}

/// Which attributes of a user to write; the others stay.
#[derive(Clone, Debug, Default)]
pub struct UserChanges {
    /// New login name.
    pub login_name: Option<String>,
    /// New first name.
    pub first_name: Option<String>,
    /// New last name.
    pub last_name: Option<String>,
    /// New address.
    pub email: Option<String>,
    /// New number.
    pub mobile: Option<String>,
    /// New number.
    pub telephone: Option<String>,
    /// New name in a directory.
    pub principal_name: Option<String>,
    /// New status.
    pub status: Option<UserStatus>,
}

impl Tx<'_> {
    /// Adds a domain.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken.
    pub fn insert_domain(&self, domain: &NewDomain) -> Result<DomainId, StoreError> {
        self.guard_new(self.reader.scope.domains().is_some(), &super::objects::DOMAIN)?;
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO domains (name, name_key, description, created_ms) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let key = domain.name.to_lowercase();
        Ok(DomainId(insert.insert((&domain.name, key, &domain.description, self.now().as_millis()))?))
    }

    /// Adds a user, without failures.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken in its domain.
    pub fn insert_user(&self, user: &NewUser) -> Result<UserId, StoreError> {
        self.guard(user.domain)?;
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO users (domain_id, login_name, login_key, first_name, last_name, email, mobile, telephone,
             principal_name, status, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let id = insert.insert((
            user.domain.0,
            &user.login_name,
            user.login_name.to_lowercase(),
            &user.first_name,
            &user.last_name,
            &user.email,
            &user.mobile,
            &user.telephone,
            &user.principal_name,
            user.status.as_str(),
            self.now().as_millis(),
        ))?;
        let mut state = self
            .connection()
            .prepare_cached("INSERT INTO main.user_states (user_id, failures) VALUES (?1, 0)")?;
        one_row(state.execute([id])?)?;
        Ok(UserId(id))
    }

    /// Changes a domain.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such domain, or the name is taken.
    pub fn change_domain(&self, domain: DomainId, changes: &DomainChanges) -> Result<(), StoreError> {
        self.guard(domain)?;
        let mut update = self.connection().prepare_cached(
            "UPDATE domains SET name = coalesce(?2, name), name_key = coalesce(?3, name_key),
             description = coalesce(?4, description) WHERE id = ?1",
        )?;
        let key = changes.name.as_ref().map(|name| name.to_lowercase());
        one_row(update.execute((domain.0, &changes.name, key, &changes.description))?)
    }

    /// Changes a user.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such user, or the login name is taken.
    pub fn change_user(&self, user: UserId, changes: &UserChanges) -> Result<(), StoreError> {
        self.guard(user)?;
        let mut update = self.connection().prepare_cached(
            "UPDATE users SET login_name = coalesce(?2, login_name), login_key = coalesce(?3, login_key),
             first_name = coalesce(?4, first_name), last_name = coalesce(?5, last_name),
             email = coalesce(?6, email), mobile = coalesce(?7, mobile), telephone = coalesce(?8, telephone),
             principal_name = coalesce(?9, principal_name), status = coalesce(?10, status) WHERE id = ?1",
        )?;
        let key = changes.login_name.as_ref().map(|name| name.to_lowercase());
        one_row(update.execute((
            user.0,
            &changes.login_name,
            key,
            &changes.first_name,
            &changes.last_name,
            &changes.email,
            &changes.mobile,
            &changes.telephone,
            &changes.principal_name,
            changes.status.map(UserStatus::as_str),
        ))?)
    }

    /// Removes a domain that has no users.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such domain, or it has users.
    pub fn delete_domain(&self, domain: DomainId) -> Result<(), StoreError> {
        self.guard(domain)?;
        let mut delete = self.connection().prepare_cached("DELETE FROM domains WHERE id = ?1")?;
        one_row(delete.execute([domain.0])?)
    }

    /// Removes a user with all assignments; the tokens stay.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such user.
    pub fn delete_user(&self, user: UserId) -> Result<(), StoreError> {
        self.guard(user)?;
        for assignment in self.reader().assignments_of_user(user)? {
            self.guard(assignment)?;
        }
        let mut delete = self.connection().prepare_cached("DELETE FROM users WHERE id = ?1")?;
        one_row(delete.execute([user.0])?)
    }

    /// Takes the lock and the failures off a user.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such user.
    pub fn clear_user_failures(&self, user: UserId) -> Result<(), StoreError> {
        self.guard(user)?;
        let mut clear = self.connection().prepare_cached(
            "UPDATE main.user_states SET failures = 0, locked_until_ms = NULL WHERE user_id = ?1",
        )?;
        one_row(clear.execute([user.0])?)
    }
}

impl Reader<'_> {
    /// Whether a domain has users.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn domain_has_users(&self, domain: DomainId) -> Result<bool, StoreError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM users WHERE domain_id = ?1")?.exists([domain.0])?)
    }

    /// The domain of a user.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such user.
    pub fn domain_of(&self, user: UserId) -> Result<DomainId, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT domain_id FROM users WHERE id = ?1")?;
        Ok(select.query_row([user.0], |row| row.get(0).map(DomainId))?)
    }

    /// The names of a user's domain and login.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such user.
    pub fn domain_and_login_of(&self, user: UserId) -> Result<(String, String), StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT d.name, u.login_name FROM users u JOIN domains d ON d.id = u.domain_id WHERE u.id = ?1",
        )?;
        Ok(select.query_row([user.0], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }
}
