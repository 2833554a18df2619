//! Links by which the secret of a software token can be fetched once. Only the hash of a link is here.

use std::time::Duration;

use rusqlite::OptionalExtension as _;

use super::hot::one_row;
use super::{StoreError, Tx};
use crate::model::id::{TokenId, UserId};
use crate::otp::time::Timestamp;

/// How long a link is good.
pub const LIFE: Duration = Duration::from_secs(10 * 60);

impl Tx<'_> {
    /// Keeps the hash of a link, and forgets those that are too old.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn insert_download(
        &self,
        link_hash: &[u8; 32],
        token: TokenId,
        user: Option<UserId>,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        self.guard(token)?;
        user.map_or(Ok(()), |user| self.guard(user))?;
        let connection = self.connection();
        connection
            .prepare_cached("DELETE FROM downloads WHERE expires_ms <= ?1")?
            .execute([self.now().as_millis()])?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO downloads (link_hash, token_id, user_id, expires_ms) VALUES (?1, ?2, ?3, ?4)",
        )?;
        one_row(insert.execute((link_hash, token.0, user.map(|id| id.0), expires.as_millis()))?)
    }

    /// Spends a link: what it was for, if it was good.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn take_download(
        &self,
        link_hash: &[u8; 32],
    ) -> Result<Option<(TokenId, Option<UserId>)>, StoreError> {
        let mut delete = self.connection().prepare_cached(
            "DELETE FROM downloads WHERE link_hash = ?1 RETURNING token_id, user_id, expires_ms",
        )?;
        let found = delete
            .query_row([link_hash], |row| {
                let user = row.get::<_, Option<i64>>(1)?.map(UserId);
                Ok((TokenId(row.get(0)?), user, Timestamp::from_millis(row.get(2)?)))
            })
            .optional()?;
        Ok(found
            .filter(|(_, _, expires)| expires.ends_after(self.now(), LIFE))
            .map(|(token, user, _)| (token, user)))
    }
}
