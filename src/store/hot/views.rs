//! The tables of states as they must be seen: on every connection of the store, their names mean views that lay the
//! unfolded states over them. So no query can forget to, and what is written has to name the table itself (`main.`),
//! which [`super::unfolded`] does, and whoever has settled the row before.

use std::panic::UnwindSafe;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value as Sql, ValueRef};

use super::super::StoreError;
use super::columns::{Key, SOURCES, State, TOKENS, Table, USERS};
use crate::model::id::{TokenId, UserId};

/// What a connection has to lay over its tables.
pub(in crate::store) trait Newer: Clone + Send + UnwindSafe + 'static {
    /// A column of a state that is newer than its table.
    fn column(&self, key: &Key, number: usize) -> Option<Option<i64>>;

    /// All of it.
    fn state(&self, key: &Key) -> Option<State>;
}

/// Puts the views over the tables of a connection.
pub(in crate::store) fn install(connection: &Connection, newer: impl Newer) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    // For who reads the states of many tokens, beside `main.token_states`: one call for all columns of a row.
    let whole = newer.clone();
    connection.create_scalar_function("unfolded_token", 1, flags, move |context| {
        let state = whole.state(&Key::Token(TokenId(context.get(0)?)));
        Ok(state.map_or(Sql::Null, |state| Sql::Blob(state.into_vec())))
    })?;
    let look = move |key: &Key, column| newer.column(key, column);
    connection.create_scalar_function("unfolded", 4, flags, move |context| {
        let (kind, column): (i64, i64) = (context.get(0)?, context.get(2)?);
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        let found = match (kind, context.get_raw(1)) {
            (0, ValueRef::Integer(id)) => look(&Key::User(UserId(id)), column),
            (1, ValueRef::Integer(id)) => look(&Key::Token(TokenId(id)), column),
            (2, ValueRef::Text(name)) => {
                look(&Key::Source(String::from_utf8_lossy(name).into_owned()), column)
            }
            _ => None,
        };
        match found {
            Some(value) => Ok(value.map_or(Sql::Null, Sql::Integer)),
            None => context.get::<Sql>(3),
        }
    })?;
    for (kind, table) in [&USERS, &TOKENS, &SOURCES].into_iter().enumerate() {
        connection.execute_batch(&view(connection, kind, table)?)?;
    }
    Ok(())
}

fn view(connection: &Connection, kind: usize, table: &Table) -> Result<String, StoreError> {
    let Table { name, key, columns } = table;
    let whole = connection.prepare(&format!("SELECT * FROM main.{name} LIMIT 0"))?;
    let shown =
        whole.column_names().map(|column| match columns.iter().position(|moving| *moving == column) {
            Some(place) => format!("unfolded({kind}, {key}, {place}, {column}) AS {column}"),
            None => column.to_owned(),
        });
    let shown = shown.collect::<Vec<_>>().join(", ");
    Ok(format!("CREATE TEMP VIEW {name} AS SELECT {shown} FROM main.{name}"))
}
