//! States that are newer than their tables: decisions move them in memory and in the decision log, and only now and then
//! they are folded into the tables. **A row that is not here is as its table says.**
//!
//! Whoever changes such a table other than by a decision has the row settled first, that is folded at once: the guard of
//! [`super::super::Tx`] does it for every row that a change names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::super::StoreError;
use super::columns::{self, Key, SOURCES, State, TOKENS, Table, USERS};
use super::views::Newer;

/// A state that is in its table now.
pub(in crate::store) type Settled = (Key, State);

/// The states, and how they are folded.
pub(in crate::store) struct Unfolded {
    states: Mutex<HashMap<Key, State>>,
    users: String,
    tokens: String,
    sources: String,
}

impl Default for Unfolded {
    fn default() -> Self {
        let text = |table: &Table| text(table, table.columns);
        Self { states: Mutex::default(), users: text(&USERS), tokens: text(&TOKENS), sources: text(&SOURCES) }
    }
}

/// The statement that writes these columns. The tables themselves are named with their schema: without it, the names
/// mean the views of [`super::views`].
fn text(table: &Table, columns: &[&str]) -> String {
    let Table { name, key, .. } = table;
    let set = columns.iter().zip(2..).map(|(column, place)| format!("{column} = ?{place}"));
    let set = set.collect::<Vec<_>>().join(", ");
    if *name != SOURCES.name {
        return format!("UPDATE main.{name} SET {set} WHERE {key} = ?1");
    }
    // Only a source comes to be by a decision.
    let places: Vec<String> = (1..=columns.len() + 1).map(|place| format!("?{place}")).collect();
    format!(
        "INSERT INTO main.{name} ({key}, {}) VALUES ({}) ON CONFLICT ({key}) DO UPDATE SET {set}",
        columns.join(", "),
        places.join(", "),
    )
}

impl Newer for Arc<Unfolded> {
    fn column(&self, key: &Key, number: usize) -> Option<Option<i64>> {
        columns::column(self.lock().get(key)?, number)
    }

    fn state(&self, key: &Key) -> Option<State> {
        self.get(key)
    }
}

impl Unfolded {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &Key) -> Option<State> {
        self.lock().get(key).cloned()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    pub(super) fn put(&self, key: Key, state: State) {
        self.lock().insert(key, state);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// All of them, in the order of their tables.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.lock().keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// Folds one state, if it is here; returns it.
    pub(in crate::store) fn settle(
        &self,
        connection: &Connection,
        key: &Key,
    ) -> Result<Option<State>, StoreError> {
        let Some(state) = self.lock().remove(key) else { return Ok(None) };
        if let Err(error) = self.write(connection, key, &state) {
            self.put(key.clone(), state);
            return Err(error);
        }
        Ok(Some(state))
    }

    /// Takes a settling back, with the change that it was made for.
    pub(in crate::store) fn unsettle(&self, settled: Vec<Settled>) {
        self.lock().extend(settled);
    }

    /// Writes a state into its table. One of an older program may have fewer columns; the others stay. A row that is
    /// gone is none to write.
    pub(super) fn write(&self, connection: &Connection, key: &Key, state: &[u8]) -> Result<(), StoreError> {
        let columns = columns::decode(state).ok_or(columns::unreadable("decision_log.changes"))?;
        let (name, whole) = match key {
            Key::User(id) => (Sql::Integer(id.0), &self.users),
            Key::Token(id) => (Sql::Integer(id.0), &self.tokens),
            Key::Source(source) => (Sql::Text(source.clone()), &self.sources),
        };
        let table = key.table();
        let named = table.columns.get(..columns.len()).ok_or(columns::unreadable("decision_log.changes"))?;
        let values = columns.into_iter().map(|value| value.map_or(Sql::Null, Sql::Integer));
        let values = params_from_iter(std::iter::once(name).chain(values));
        if named.len() == table.columns.len() {
            connection.prepare_cached(whole)?.execute(values)?;
        } else {
            connection.execute(&text(table, named), values)?;
        }
        Ok(())
    }
}
