//! Assignments of tokens to users, with their PINs.

use rusqlite::OptionalExtension as _;

use super::hot::{one_row, read_text};
use super::imports::ImportId;
use super::{Reader, StoreError, Tx};
use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::model::status::AssignmentStatus;
use crate::otp::pin::PinRecord;
use crate::otp::time::Timestamp;

/// An assignment to be.
#[derive(Clone, Copy, Debug)]
pub struct NewAssignment {
    /// The token.
    pub token: TokenId,
    /// The user.
    pub user: UserId,
    /// Status from the start.
    pub status: AssignmentStatus,
    /// The user owns the token; otherwise it is shared with the user.
    pub is_owner: bool,
    /// The batch that makes it; invisible until that is published.
    pub import: Option<ImportId>,
}

/// Which attributes of an assignment to write; the others stay.
#[derive(Clone, Debug, Default)]
pub struct AssignmentChanges {
    /// New status.
    pub status: Option<AssignmentStatus>,
    /// Order among the assignments of a user, lowest first.
    pub priority: Option<i64>,
    /// Owner or shared.
    pub is_owner: Option<bool>,
    /// From when on it is good; `Some(None)` is from ever.
    pub starts: Option<Option<Timestamp>>,
    /// Until when it is good; `Some(None)` is for ever.
    pub expires: Option<Option<Timestamp>>,
    /// Accepted passcodes it is good for; 0 is without limit. Counting starts afresh.
    pub usage_limit: Option<u32>,
    /// The user is to choose another PIN.
    pub must_change_pin: Option<bool>,
    /// The PIN does not age.
    pub pin_never_expires: Option<bool>,
}

impl Tx<'_> {
    /// Assigns a token to a user, without a PIN.
    ///
    /// # Errors
    /// [`StoreError`] also if it is assigned to that user already.
    pub fn insert_assignment(&self, assignment: &NewAssignment) -> Result<AssignmentId, StoreError> {
        self.guard(assignment.token)?;
        self.guard(assignment.user)?;
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO assignments (token_id, user_id, status, priority, is_owner, import_id, created_ms,
             updated_ms) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?6)",
        )?;
        Ok(AssignmentId(insert.insert((
            assignment.token.0,
            assignment.user.0,
            assignment.status.as_str(),
            assignment.is_owner,
            assignment.import.map(|import| import.0),
            self.now().as_millis(),
        ))?))
    }

    /// Sets the PIN of an assignment, or removes it.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such assignment.
    pub fn put_pin(&self, assignment: AssignmentId, pin: Option<&PinRecord>) -> Result<(), StoreError> {
        self.guard(assignment)?;
        let mut put = self.connection().prepare_cached(
            "UPDATE assignments SET pin_salt = ?2, pin_mac = ?3, updated_ms = ?4, last_change_pin_ms = ?4,
             must_change_pin = 0 WHERE id = ?1",
        )?;
        let (salt, mac) = (pin.map(|pin| &pin.salt[..]), pin.map(|pin| &pin.mac[..]));
        one_row(put.execute((assignment.0, salt, mac, self.now().as_millis()))?)
    }

    /// Ends an assignment.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such assignment.
    pub fn delete_assignment(&self, assignment: AssignmentId) -> Result<(), StoreError> {
        self.guard(assignment)?;
        let mut delete = self.connection().prepare_cached("DELETE FROM assignments WHERE id = ?1")?;
        one_row(delete.execute([assignment.0])?)
    }

    /// Changes an assignment.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such assignment.
    pub fn change_assignment(
        &self,
        assignment: AssignmentId,
        changes: &AssignmentChanges,
    ) -> Result<(), StoreError> {
        self.guard(assignment)?;
        let connection = self.connection();
        let mut update = connection.prepare_cached(
            "UPDATE assignments SET status = coalesce(?2, status), priority = coalesce(?3, priority),
             is_owner = coalesce(?4, is_owner), must_change_pin = coalesce(?5, must_change_pin),
             pin_never_expires = coalesce(?6, pin_never_expires), updated_ms = ?7 WHERE id = ?1",
        )?;
        one_row(update.execute((
            assignment.0,
            changes.status.map(AssignmentStatus::as_str),
            changes.priority,
            changes.is_owner,
            changes.must_change_pin,
            changes.pin_never_expires,
            self.now().as_millis(),
        ))?)?;
        if let Some(starts) = changes.starts {
            let mut update =
                connection.prepare_cached("UPDATE assignments SET starts_ms = ?2 WHERE id = ?1")?;
            one_row(update.execute((assignment.0, starts.map(Timestamp::as_millis)))?)?;
        }
        if let Some(expires) = changes.expires {
            let mut update =
                connection.prepare_cached("UPDATE assignments SET expires_ms = ?2 WHERE id = ?1")?;
            one_row(update.execute((assignment.0, expires.map(Timestamp::as_millis)))?)?;
        }
        if let Some(limit) = changes.usage_limit {
            let mut update = connection
                .prepare_cached("UPDATE assignments SET usage_limit = ?2, used = 0 WHERE id = ?1")?;
            one_row(update.execute((assignment.0, limit))?)?;
        }
        Ok(())
    }

    /// Hands an assignment, with its PIN, over to another token.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such assignment, or the user has that token already.
    pub fn move_assignment(&self, assignment: AssignmentId, token: TokenId) -> Result<(), StoreError> {
        self.guard(assignment)?;
        self.guard(token)?;
        let mut update = self
            .connection()
            .prepare_cached("UPDATE assignments SET token_id = ?2, updated_ms = ?3 WHERE id = ?1")?;
        one_row(update.execute((assignment.0, token.0, self.now().as_millis()))?)
    }
}

impl Reader<'_> {
    /// The assignment of a token to a user. One of a batch that is under way is not there yet.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn assignment_of(&self, token: TokenId, user: UserId) -> Result<Option<AssignmentId>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id FROM assignments WHERE token_id = ?1 AND user_id = ?2
             AND (import_id IS NULL OR import_id NOT IN (SELECT id FROM imports))",
        )?;
        Ok(select.query_row((token.0, user.0), |row| row.get(0).map(AssignmentId)).optional()?)
    }

    /// Whether anybody but `user` owns the token.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn is_owned_by_another(&self, token: TokenId, user: UserId) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT 1 FROM assignments WHERE token_id = ?1 AND user_id <> ?2 AND is_owner = 1",
        )?;
        Ok(select.exists((token.0, user.0))?)
    }

    /// Whether a batch that is under way has assigned the token.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn is_in_a_batch(&self, token: TokenId) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT 1 FROM assignments WHERE token_id = ?1 AND import_id IN (SELECT id FROM imports)",
        )?;
        Ok(select.exists([token.0])?)
    }

    /// The status of an assignment.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such assignment.
    pub fn assignment_status(&self, assignment: AssignmentId) -> Result<AssignmentStatus, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT status FROM assignments WHERE id = ?1")?;
        Ok(select.query_row([assignment.0], |row| read_text(row, 0, AssignmentStatus::parse))?)
    }

    /// Token and user of an assignment.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such assignment.
    pub fn assigned(&self, assignment: AssignmentId) -> Result<(TokenId, UserId), StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT token_id, user_id FROM assignments WHERE id = ?1")?;
        Ok(select.query_row([assignment.0], |row| Ok((TokenId(row.get(0)?), UserId(row.get(1)?))))?)
    }

    /// The assignments of a token, the first one first, and those of a batch that is under way with them.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn assignments_of(&self, token: TokenId) -> Result<Vec<AssignmentId>, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT id FROM assignments WHERE token_id = ?1 ORDER BY id")?;
        let found = select.query_map([token.0], |row| row.get(0).map(AssignmentId))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// The assignments of a user, those of a batch that is under way with them.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn assignments_of_user(&self, user: UserId) -> Result<Vec<AssignmentId>, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT id FROM assignments WHERE user_id = ?1 ORDER BY id")?;
        let found = select.query_map([user.0], |row| row.get(0).map(AssignmentId))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether a token and a user are both there.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn exists_both(&self, token: TokenId, user: UserId) -> Result<bool, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT 1 FROM tokens t JOIN users u ON u.id = ?2 WHERE t.id = ?1")?;
        Ok(select.exists((token.0, user.0))?)
    }
}
