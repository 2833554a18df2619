//! What a change has touched: SQLite names each row of the writer's connection that is added, changed or deleted, by
//! whatever statement, cascade or trigger. So nobody has to remember to say so.
//!
//! SQLite names no rows of tables `WITHOUT ROWID`: the rows of decisions must not come from one of these, but for the
//! sources, which only decisions write. A unit test looks at the statements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::Action;

use super::super::StoreError;
use super::columns::Key;
use crate::model::id::{AssignmentId, TokenId, UserId};

/// Rows that were touched.
#[derive(Debug, Default)]
pub(in crate::store) struct Touched {
    pub(super) users: BTreeSet<UserId>,
    pub(super) tokens: BTreeSet<TokenId>,
    /// With whether the row is new.
    pub(super) assignments: BTreeMap<AssignmentId, bool>,
    /// States that were written or deleted in their tables.
    pub(super) states: BTreeSet<Key>,
    /// Something that any row may hang on.
    pub(super) other: bool,
}

impl Touched {
    fn note(&mut self, action: Action, table: &str, row: i64) {
        let new = action == Action::SQLITE_INSERT;
        match table {
            // Nothing of decisions is read from these.
            "audit" | "audit_heads" | "audit_nodes" | "audit_cuts" | "decision_log" | "jobs"
            | "operators" | "clients" | "agents" | "preauth_tokens" | "server_clock" => {}
            // Numbers are given once: of a new row nothing can be known.
            "users" | "tokens" | "user_states" | "token_states" if new => {}
            "users" => _ = self.users.insert(UserId(row)),
            "tokens" | "credentials" => _ = self.tokens.insert(TokenId(row)),
            "user_states" => {
                self.users.insert(UserId(row));
                self.states.insert(Key::User(UserId(row)));
            }
            "token_states" => {
                self.tokens.insert(TokenId(row));
                self.states.insert(Key::Token(TokenId(row)));
            }
            "assignments" => {
                self.assignments.entry(AssignmentId(row)).or_insert(new);
            }
            _ => self.other = true,
        }
    }
}

/// Listens to a connection.
#[derive(Clone, Default)]
pub(super) struct Listener(Arc<Mutex<Touched>>);

impl Listener {
    pub(super) fn listen(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let touched = Arc::clone(&self.0);
        connection.update_hook(Some(move |action, _: &str, table: &str, row| {
            touched.lock().unwrap_or_else(PoisonError::into_inner).note(action, table, row);
        }))?;
        Ok(())
    }

    /// What was touched since the last time.
    pub(super) fn take(&self) -> Touched {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
