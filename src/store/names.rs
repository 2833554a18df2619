//! Ids of users and tokens by what callers name them with, remembered until something is changed that could make one
//! untrue: most logins need no look at the file before they are decided.
//!
//! Only what names one object for ever, unless somebody changes or deletes it, may be remembered. What is remembered
//! carries the count of such changes from before it was read; the writer counts one once its commit stands and before
//! anybody is told of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::{OptionalExtension as _, ToSql};

use super::{Reader, Store, StoreError};
use crate::model::id::{TokenId, UserId};

/// Most names that are remembered; then all are forgotten.
const MOST: usize = 200_000;

macro_rules! token_by {
    ($column:literal) => {
        concat!(
            "SELECT id FROM tokens WHERE ",
            $column,
            " = ?1 AND (import_id IS NULL OR import_id NOT IN (SELECT id FROM imports))"
        )
    };
}

/// A name that no second object can have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Of a user: domain and login name, in any case.
    Login {
        /// The name of the domain.
        domain: String,
        /// The login name.
        login: String,
    },
    /// Of a token: its serial.
    Serial(String),
    /// Of a user: its id.
    User(UserId),
    /// Of a token: its id.
    Token(TokenId),
}

/// The names.
#[derive(Default)]
pub(super) struct Names {
    changes: AtomicU64,
    known: Mutex<HashMap<Name, Known>>,
}

struct Known {
    id: i64,
    changes: u64,
}

impl Names {
    /// Something was changed.
    pub(super) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// A moment before which a change may have been made.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

impl Store {
    /// Whether it is all of the inventory that is seen.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.scope.is_all()
    }

    /// Recalls the id of what has a name. Otherwise `Err`, with what [`Self::remember`] needs once it was read.
    /// For those who see all of the inventory ([`Self::sees_all`]).
    ///
    /// # Errors
    /// If it must be looked for.
    pub fn recall(&self, name: &Name) -> Result<i64, Moment> {
        let names = &self.file.names;
        let changes = names.changes.load(Ordering::Acquire);
        let known = names.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(name) {
            Some(known) if known.changes == changes => Ok(known.id),
            _ => Err(Moment(changes)),
        }
    }

    /// Remembers the id of what has a name, which was read after the moment.
    pub fn remember(&self, name: Name, id: i64, Moment(changes): Moment) {
        let mut known = self.file.names.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(name, Known { id, changes });
    }
}

impl Reader<'_> {
    /// The id of what has a name, in all of the inventory.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn named(&self, name: &Name) -> Result<Option<i64>, StoreError> {
        let select = |text, key: &[&dyn ToSql]| {
            self.connection.prepare_cached(text)?.query_row(key, |row| row.get(0)).optional()
        };
        Ok(match name {
            Name::Login { domain, login } => select(
                "SELECT u.id FROM domains d JOIN users u ON u.domain_id = d.id AND u.login_key = ?2
                 WHERE d.name_key = ?1",
                &[&domain.to_lowercase(), &login.to_lowercase()],
            ),
            Name::User(id) => select("SELECT id FROM users WHERE id = ?1", &[&id.0]),
            Name::Serial(serial) => select(token_by!("serial"), &[serial]),
            Name::Token(id) => select(token_by!("id"), &[&id.0]),
        }?)
    }
}
