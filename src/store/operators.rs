//! Operators: who may call the API.

use rusqlite::OptionalExtension as _;

use super::{Reader, StoreError, Tx};
use crate::model::id::OperatorId;
use crate::model::role::Role;

/// An operator as the login needs it.
#[derive(Clone)]
pub struct Operator {
    /// Row id.
    pub id: OperatorId,
    /// The argon2id hash in PHC form.
    pub password_hash: String,
    /// What the operator may do.
    pub role: Role,
    /// Raised by every change that must end remembered logins.
    pub generation: i64,
    /// Switched off.
    pub disabled: bool,
}

impl Tx<'_> {
    /// Adds an operator.
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
}

impl Reader<'_> {
    /// Reads an operator by name.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn operator(&self, name: &str) -> Result<Option<Operator>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, password_hash, role, generation, disabled FROM operators WHERE name = ?1",
        )?;
        let found = select.query_row([name], |row| {
            Ok(Operator {
                id: OperatorId(row.get(0)?),
                password_hash: row.get(1)?,
                role: super::hot::read_text(row, 2, Role::parse)?,
                generation: row.get(3)?,
                disabled: row.get(4)?,
            })
        });
        Ok(found.optional()?)
    }
}
