//! Domains and users.

use super::hot::one_row;
use super::{StoreError, Tx};
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
    /// Status from the start.
    pub status: UserStatus,
}

impl Tx<'_> {
    /// Adds a domain.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken.
    pub fn insert_domain(&self, domain: &NewDomain) -> Result<DomainId, StoreError> {
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
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO users (domain_id, login_name, login_key, first_name, last_name, email, status, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let id = insert.insert((
            user.domain.0,
            &user.login_name,
            user.login_name.to_lowercase(),
            &user.first_name,
            &user.last_name,
            &user.email,
            user.status.as_str(),
            self.now().as_millis(),
        ))?;
        let mut state =
            self.connection().prepare_cached("INSERT INTO user_states (user_id, failures) VALUES (?1, 0)")?;
        one_row(state.execute([id])?)?;
        Ok(UserId(id))
    }
}
