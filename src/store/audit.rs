//! The audit log: one row per decision and per change, written in the same commit.
//!
//! An entry says who did what to which token and user and how it ended. It never holds a secret, a PIN or a
//! passcode, right or wrong.

use rusqlite::Connection;

use super::StoreError;
use crate::model::id::{TokenId, UserId};
use crate::otp::time::Timestamp;

/// One row to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name of the operator who called.
    pub operator: String,
    /// The API method, for example `auth/verify`.
    pub action: &'static str,
    /// The token, if one was named or found.
    pub token: Option<TokenId>,
    /// The user, if one was named or found.
    pub user: Option<UserId>,
    /// How it ended, for example `accepted`.
    pub outcome: &'static str,
    /// Facts for the reader, for example which object was made.
    pub detail: String,
}

/// Appends entries. Their order is the order of the decisions.
pub(super) fn append(connection: &Connection, now: Timestamp, entries: &[Entry]) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO audit (at_ms, operator, action, token_id, user_id, outcome, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for entry in entries {
        insert.execute((
            now.as_millis(),
            &entry.operator,
            entry.action,
            entry.token.map(|id| id.0),
            entry.user.map(|id| id.0),
            entry.outcome,
            &entry.detail,
        ))?;
    }
    Ok(())
}
