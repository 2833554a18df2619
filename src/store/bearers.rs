//! Tokens that stand for a login: of sessions and of OAuth 2.0. Only their SHA-256 is kept.

use std::time::Duration;

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::operators::{COLUMNS, Operator, WIDTH, read_operator};
use super::{Reader, StoreError, Tx};
use crate::model::id::{ClientId, OperatorId};
use crate::otp::time::Timestamp;

/// How long one is good.
pub const LIFE: Duration = Duration::from_secs(3600);

/// A token to be, or one that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The agent of a session; empty for none.
    pub agent: String,
    /// The client of OAuth 2.0; none for a session.
    pub client: Option<ClientId>,
    /// From then on it is no good.
    pub expires: Timestamp,
}

impl Tx<'_> {
    /// Keeps a token of an operator in some generation, and forgets those that have expired.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn insert_bearer(
        &self,
        token_hash: &[u8; 32],
        operator: OperatorId,
        generation: i64,
        bearer: &Bearer,
    ) -> Result<(), StoreError> {
        let connection = self.connection();
        connection
            .prepare_cached("DELETE FROM bearers WHERE expires_ms <= ?1")?
            .execute([self.now().as_millis()])?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO bearers (token_hash, operator_id, generation, agent, client_id, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        one_row(insert.execute((
            token_hash,
            operator.0,
            generation,
            &bearer.agent,
            bearer.client.map(|id| id.0),
            bearer.expires.as_millis(),
        ))?)
    }
}

impl Reader<'_> {
    /// The operator whom a token stands for, if it is good at that time.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn bearer(
        &self,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Operator, Bearer)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, bearers.agent, bearers.client_id, bearers.expires_ms
             FROM bearers JOIN operators ON operators.id = bearers.operator_id
             WHERE bearers.token_hash = ?1 AND bearers.generation = operators.generation
             AND operators.disabled = 0 AND bearers.expires_ms > ?2"
        );
        let found = self
            .connection
            .prepare_cached(&sql)?
            .query_row((token_hash, now.as_millis()), |row| {
                let bearer = Bearer {
                    agent: row.get(WIDTH)?,
                    client: row.get::<_, Option<i64>>(WIDTH + 1)?.map(ClientId),
                    expires: Timestamp::from_millis(row.get(WIDTH + 2)?),
                };
                Ok((read_operator(row)?, bearer))
            })
            .optional()?;
        let found = found.filter(|(_, bearer)| bearer.expires.ends_after(now, LIFE));
        found.map(|(operator, bearer)| Ok((self.with_scope(operator)?, bearer))).transpose()
    }
}
