//! User tokens: a pair of userCode and passCode by which a program logs in as its operator. Only the SHA-256 of the
//! passCode is kept. A token is obsolete once its operator is gone or its time is over.

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::operators::{COLUMNS, Operator, read_operator};
use super::{Reader, StoreError, Tx};
use crate::model::id::OperatorId;
use crate::otp::time::Timestamp;

/// Length of a userCode in letters and digits.
pub const CODE_LENGTH: usize = 8;

/// A user token as its administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserToken {
    /// Its public half.
    pub user_code: String,
    /// Name of the operator who made it.
    pub username: String,
    /// When it was made.
    pub created: Timestamp,
    /// From then on it is no good.
    pub expires: Option<Timestamp>,
}

/// Whose user token it is.
pub enum Owner {
    /// Somebody who is let in.
    Active(Box<Operator>),
    /// Somebody who is not.
    Disabled,
    /// Nobody any more, or the time of the token is over: it is obsolete.
    Gone,
}

/// Which tokens are obsolete at `?1`.
const OBSOLETE: &str = "(operator_id NOT IN (SELECT id FROM operators) OR expires_ms <= ?1)";

impl Tx<'_> {
    /// Keeps the token of an operator who has none.
    ///
    /// # Errors
    /// [`StoreError`] also if the operator has one.
    pub fn insert_user_token(
        &self,
        operator: OperatorId,
        token: &UserToken,
        pass_hash: &[u8; 32],
    ) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO user_tokens (user_code, pass_hash, operator_id, username, created_ms, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        one_row(insert.execute((
            &token.user_code,
            pass_hash,
            operator.0,
            &token.username,
            token.created.as_millis(),
            token.expires.map(Timestamp::as_millis),
        ))?)
    }

    /// Removes the token of an operator. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn delete_user_token_of(&self, operator: OperatorId) -> Result<bool, StoreError> {
        let mut delete =
            self.connection().prepare_cached("DELETE FROM user_tokens WHERE operator_id = ?1")?;
        Ok(delete.execute([operator.0])? == 1)
    }

    /// Removes a token by its userCode. Returns whose it was.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn delete_user_token(&self, user_code: &str) -> Result<Option<String>, StoreError> {
        let mut delete = self
            .connection()
            .prepare_cached("DELETE FROM user_tokens WHERE user_code = ?1 RETURNING username")?;
        Ok(delete.query_row([user_code], |row| row.get(0)).optional()?)
    }

    /// Removes a token if it is obsolete.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn delete_obsolete_user_token(&self, user_code: &str) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM user_tokens WHERE {OBSOLETE} AND user_code = ?2");
        self.connection().prepare_cached(&sql)?.execute((self.now().as_millis(), user_code))?;
        Ok(())
    }

    /// Removes all tokens that are obsolete. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn purge_user_tokens(&self) -> Result<usize, StoreError> {
        let sql = format!("DELETE FROM user_tokens WHERE {OBSOLETE}");
        Ok(self.connection().prepare_cached(&sql)?.execute([self.now().as_millis()])?)
    }

    /// Sets what an admin may set of the server; none goes back to the default.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn put_setting(&self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.prepare_cached("DELETE FROM settings WHERE name = ?1")?.execute([name])?;
        if let Some(value) = value {
            let mut insert =
                connection.prepare_cached("INSERT INTO settings (name, value) VALUES (?1, ?2)")?;
            one_row(insert.execute((name, value))?)?;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// The hash of the passCode of a token, and whose it is.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn user_token_owner(
        &self,
        user_code: &str,
        now: Timestamp,
    ) -> Result<Option<([u8; 32], Owner)>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT pass_hash, operator_id, expires_ms FROM user_tokens WHERE user_code = ?1",
        )?;
        let found = select
            .query_row([user_code], |row| {
                Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
            })
            .optional()?;
        let Some((hash, operator, expires)) = found else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM operators WHERE id = ?1");
        let operator =
            self.connection.prepare_cached(&sql)?.query_row([operator], read_operator).optional()?;
        let expired = expires.is_some_and(|expires| Timestamp::from_millis(expires) <= now);
        let owner = match operator {
            Some(operator) if !expired => {
                let operator = self.with_scope(operator)?;
                if operator.disabled { Owner::Disabled } else { Owner::Active(Box::new(operator)) }
            }
            _ => Owner::Gone,
        };
        Ok(Some((hash, owner)))
    }

    /// The token of an operator.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn user_token_of(&self, operator: OperatorId) -> Result<Option<UserToken>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT user_code, username, created_ms, expires_ms FROM user_tokens WHERE operator_id = ?1",
        )?;
        Ok(select.query_row([operator.0], read_user_token).optional()?)
    }

    /// The token of somebody of that name, also of one who is gone.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn user_token_of_name(&self, username: &str) -> Result<Option<UserToken>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT user_code, username, created_ms, expires_ms FROM user_tokens WHERE username = ?1
             ORDER BY created_ms DESC LIMIT 1",
        )?;
        Ok(select.query_row([username], read_user_token).optional()?)
    }

    /// All tokens that were made from one time on and before another, in the order of their making.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn user_tokens(
        &self,
        from: Option<Timestamp>,
        before: Option<Timestamp>,
    ) -> Result<Vec<UserToken>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT user_code, username, created_ms, expires_ms FROM user_tokens
             WHERE created_ms >= ?1 AND created_ms < ?2 ORDER BY created_ms, user_code",
        )?;
        let bounds =
            (from.map_or(i64::MIN, Timestamp::as_millis), before.map_or(i64::MAX, Timestamp::as_millis));
        let found = select.query_map(bounds, read_user_token)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether a userCode is in use.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn has_user_code(&self, user_code: &str) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM user_tokens WHERE user_code = ?1")?;
        Ok(select.exists([user_code])?)
    }

    /// What an admin has set; none for the default.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
        Ok(select.query_row([name], |row| row.get(0)).optional()?)
    }
}

fn read_user_token(row: &rusqlite::Row<'_>) -> rusqlite::Result<UserToken> {
    Ok(UserToken {
        user_code: row.get(0)?,
        username: row.get(1)?,
        created: Timestamp::from_millis(row.get(2)?),
        expires: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
    })
}
