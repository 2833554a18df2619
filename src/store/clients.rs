//! Clients of OAuth 2.0. Only the SHA-256 of a client's secret is kept.

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::operators::{COLUMNS, Operator, WIDTH, read_operator};
use super::{Reader, StoreError, Tx};
use crate::model::id::{ClientId, OperatorId};

/// A client as its login needs it.
pub struct Client {
    /// Row id.
    pub id: ClientId,
    /// Of the secret.
    pub secret_hash: [u8; 32],
    /// Whom it acts as.
    pub operator: Operator,
}

impl Tx<'_> {
    /// Adds a client.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken.
    pub fn insert_client(
        &self,
        name: &str,
        secret_hash: &[u8; 32],
        operator: OperatorId,
    ) -> Result<ClientId, StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO clients (name, secret_hash, operator_id, created_ms) VALUES (?1, ?2, ?3, ?4)",
        )?;
        Ok(ClientId(insert.insert((name, secret_hash, operator.0, self.now().as_millis()))?))
    }

    /// Removes a client with its tokens.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such client.
    pub fn delete_client(&self, client: ClientId) -> Result<(), StoreError> {
        let mut delete = self.connection().prepare_cached("DELETE FROM clients WHERE id = ?1")?;
        one_row(delete.execute([client.0])?)
    }
}

impl Reader<'_> {
    /// Reads a client by its name.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn client(&self, name: &str) -> Result<Option<Client>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, clients.id, clients.secret_hash
             FROM clients JOIN operators ON operators.id = clients.operator_id WHERE clients.name = ?1"
        );
        let found = self
            .connection
            .prepare_cached(&sql)?
            .query_row([name], |row| Ok((read_operator(row)?, row.get(WIDTH)?, row.get(WIDTH + 1)?)))
            .optional()?;
        found
            .map(|(operator, id, secret_hash)| {
                Ok(Client { id: ClientId(id), secret_hash, operator: self.with_scope(operator)? })
            })
            .transpose()
    }
}
