//! What was found out about attempts that failed. The notes are JSON of the use case; here they are texts.
//!
//! There are few of each token and user, and old ones go.

use super::{Reader, StoreError, Tx};
use crate::model::id::{TokenId, UserId};
use crate::otp::time::Timestamp;

/// Most notes kept of a token.
pub const MOST_OF_TOKEN: i64 = 20;
/// Most notes kept of a user.
pub const MOST_OF_USER: i64 = 50;
/// Notes that are swept at once.
const SWEPT_AT_ONCE: i64 = 500;

/// A note on one token of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When it was typed.
    pub at: Timestamp,
    /// The method that was called.
    pub action: String,
    /// The token.
    pub token: Option<TokenId>,
    /// The user.
    pub user: Option<UserId>,
    /// What was found out.
    pub note: String,
}

impl Tx<'_> {
    /// Keeps a note, unless its token or user is gone meanwhile, and gives up the oldest beyond the limits.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn keep_finding(&self, finding: &Finding) -> Result<(), StoreError> {
        let (token, user) = (finding.token.map(|id| id.0), finding.user.map(|id| id.0));
        let connection = self.connection();
        let mut insert = connection.prepare_cached(
            "INSERT INTO findings (at_ms, action, token_id, user_id, note) SELECT ?1, ?2, ?3, ?4, ?5
             WHERE (?3 IS NULL OR EXISTS (SELECT 1 FROM tokens WHERE id = ?3))
             AND (?4 IS NULL OR EXISTS (SELECT 1 FROM users WHERE id = ?4))",
        )?;
        insert.execute((finding.at.as_millis(), &finding.action, token, user, &finding.note))?;
        for (statement, row, most) in [
            (
                "DELETE FROM findings WHERE token_id = ?1 AND id <=
                 (SELECT id FROM findings WHERE token_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                token,
                MOST_OF_TOKEN,
            ),
            (
                "DELETE FROM findings WHERE user_id = ?1 AND id <=
                 (SELECT id FROM findings WHERE user_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                user,
                MOST_OF_USER,
            ),
        ] {
            if let Some(row) = row {
                connection.prepare_cached(statement)?.execute((row, most))?;
            }
        }
        Ok(())
    }

    /// Gives up notes from before a time, some at once. Whether that were all.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn sweep_findings(&self, before: Timestamp) -> Result<bool, StoreError> {
        // They were added in the order of time.
        let mut delete = self.connection().prepare_cached(
            "DELETE FROM findings WHERE id IN (SELECT id FROM findings ORDER BY id LIMIT ?2) AND at_ms < ?1",
        )?;
        let deleted = delete.execute((before.as_millis(), SWEPT_AT_ONCE))?;
        Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted < SWEPT_AT_ONCE))
    }
}

impl Reader<'_> {
    /// The notes on a token, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn findings_of_token(&self, token: TokenId) -> Result<Vec<Finding>, StoreError> {
        self.findings(
            "SELECT at_ms, action, token_id, user_id, note FROM findings WHERE token_id = ?1 ORDER BY id DESC",
            token.0,
        )
    }

    /// The notes on a user, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn findings_of_user(&self, user: UserId) -> Result<Vec<Finding>, StoreError> {
        self.findings(
            "SELECT at_ms, action, token_id, user_id, note FROM findings WHERE user_id = ?1 ORDER BY id DESC",
            user.0,
        )
    }

    fn findings(&self, statement: &str, row: i64) -> Result<Vec<Finding>, StoreError> {
        let mut select = self.connection.prepare_cached(statement)?;
        let found = select.query_map([row], |row| {
            Ok(Finding {
                at: Timestamp::from_millis(row.get(0)?),
                action: row.get(1)?,
                token: row.get::<_, Option<i64>>(2)?.map(TokenId),
                user: row.get::<_, Option<i64>>(3)?.map(UserId),
                note: row.get(4)?,
            })
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
