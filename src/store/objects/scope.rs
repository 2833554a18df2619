//! What a narrowed caller sees of the objects: one condition per kind of object, added to every statement that is
//! built from the table, and asked again before a row is changed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Object;
use super::query::Select;
use crate::model::scope::Scope;
use crate::store::{Reader, StoreError};

/// Which rows of a kind of object a narrowed caller sees.
pub enum Narrowed {
    /// All: they belong to no domain and no repository.
    Not,
    /// None at all.
    Away,
    /// Those that fulfil all of these.
    By(&'static [Within]),
}

/// One condition; `{}` stands for the alias of the object's table.
pub enum Within {
    /// The column is the id of a domain of the scope.
    Domain(&'static str),
    /// The column is the id of a repository of the scope.
    Repository(&'static str),
    /// The column is the id of a user whose domain is.
    UserOfDomain(&'static str),
    /// The column is the id of a token whose repository is.
    TokenOfRepository(&'static str),
}

/// The condition on `alias`; none where everything is seen.
pub(super) fn condition(object: &'static Object, alias: &str, scope: &Scope) -> Option<String> {
    let within = match &object.narrowed {
        Narrowed::Not => return None,
        Narrowed::Away if scope.is_all() => return None,
        Narrowed::Away => return Some("1 = 0".to_owned()),
        Narrowed::By(within) => within,
    };
    let domains = scope.domains().map(|ids| list(&ids.iter().map(|id| id.0).collect()));
    let repositories = scope.repositories().map(|ids| list(&ids.iter().map(|id| id.0).collect()));
    let parts: Vec<String> = within
        .iter()
        .filter_map(|within| {
            Some(match within {
                Within::Domain(column) => format!("{column} IN {}", domains.as_ref()?),
                Within::Repository(column) => format!("{column} IN {}", repositories.as_ref()?),
                Within::UserOfDomain(column) => format!(
                    "EXISTS (SELECT 1 FROM users within WHERE within.id = {column} AND within.domain_id IN {})",
                    domains.as_ref()?
                ),
                Within::TokenOfRepository(column) => format!(
                    "EXISTS (SELECT 1 FROM tokens within WHERE within.id = {column} AND within.repository_id IN {})",
                    repositories.as_ref()?
                ),
            })
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(" AND ").replace("{}", alias))
}

/// Ids as a list. One without elements holds 0, which is no row's id.
fn list(ids: &BTreeSet<i64>) -> String {
    let mut text = "(0".to_owned();
    for id in ids {
        let _ = write!(text, ", {id}");
    }
    text.push(')');
    text
}

/// Whether a row is there and the reader may see it, rows of unfinished imports included.
///
/// # Errors
/// [`StoreError`] if the file cannot be read.
pub(in crate::store) fn sees(
    reader: &Reader<'_>,
    object: &'static Object,
    id: i64,
) -> Result<bool, StoreError> {
    let select = Select::new(object, reader.scope);
    let sql = format!("SELECT 1 {}", select.tail_by_id());
    Ok(reader.connection.prepare_cached(&sql)?.exists([id])?)
}
