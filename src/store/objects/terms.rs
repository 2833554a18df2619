//! From comparisons to SQL conditions, each in two forms: one that an index may serve, and one that leaves the
//! choice of an index to the order that was asked for.
//!
//! With few rows that fit it is best to find them by an index and to sort them; with many it is best to walk in the
//! order of the page and to skip what does not fit. A unary plus (SQLite) is what keeps a condition from choosing
//! the index; a plain column comparison is the portable form of it.
//!
//! Conditions on the catalogue (`product.name`, `repository.id`) are looked up first and become the id that the row
//! itself holds: so they are served by the row's own index, in the order of the ids, and by the counters.

use std::collections::BTreeMap;

use rusqlite::params_from_iter;
use rusqlite::types::Value as Sql;

use super::query::{Condition, QueryError, Select, bounded};
use super::{Attribute, Kind, Link};
use crate::store::Reader;

/// Most conditions of one search.
const MOST_CONDITIONS: usize = 100;
/// Most values of one `in`.
const MOST_VALUES: usize = 1000;
/// Longest pattern of a `like`, in characters.
const MOST_PATTERN_CHARS: usize = 255;
/// Most catalogue entries that are looked up first; beyond that they are joined.
const MOST_LINKED: usize = 64;

/// One condition.
pub(super) struct Term {
    /// An index on its column may be used.
    pub(super) narrow: String,
    /// No index on its column is used.
    pub(super) walk: String,
    /// It asks for one value of one column: an index on it leaves the rows in the order of their ids.
    pub(super) exact: bool,
}

impl Term {
    /// A condition with only one form.
    pub(super) fn fixed(text: String) -> Self {
        Self { narrow: text.clone(), walk: text, exact: true }
    }

    /// What the caller may see. It may serve as a way in, but leaves the rows in an order of its own.
    pub(super) fn of_scope(text: String) -> Self {
        Self { exact: false, ..Self::fixed(text) }
    }

    fn of_column(column: &str, comparison: &str) -> Self {
        Self {
            narrow: format!("{column} {comparison}"),
            walk: format!("+{column} {comparison}"),
            exact: false,
        }
    }
}

impl Select {
    /// Adds conditions, all of which must hold.
    pub(super) fn conditions(
        &mut self,
        reader: &Reader<'_>,
        conditions: &[Condition],
    ) -> Result<(), QueryError> {
        bounded(conditions.len(), MOST_CONDITIONS, "match", "conditions")?;
        let mut linked: BTreeMap<&str, (&'static Link, Vec<Condition>)> = BTreeMap::new();
        for condition in conditions {
            let (first, rest) = match condition.path.split_once('.') {
                Some((first, rest)) => (first, Some(rest)),
                None => (condition.path.as_str(), None),
            };
            self.asked.push(first.to_owned());
            let link = self.object.links.iter().find(|link| link.few && link.name == first);
            match (link, rest) {
                (Some(link), Some(rest)) => {
                    let inner = Condition { path: rest.to_owned(), ..condition.clone() };
                    linked.entry(link.name).or_insert_with(|| (link, Vec::new())).1.push(inner);
                }
                _ => self.condition(condition)?,
            }
        }
        for (link, conditions) in linked.values() {
            self.linked(reader, link, conditions)?;
        }
        Ok(())
    }

    /// Conditions on an object of the catalogue: finds its id.
    fn linked(
        &mut self,
        reader: &Reader<'_>,
        link: &'static Link,
        conditions: &[Condition],
    ) -> Result<(), QueryError> {
        let ids =
            ids_that_fit(reader, link, conditions).map_err(|error| error.under(self.object.name, link))?;
        if ids.len() > MOST_LINKED {
            for condition in conditions {
                let path = format!("{}.{}", link.name, condition.path);
                self.condition(&Condition { path, ..condition.clone() })?;
            }
            return Ok(());
        }
        let column = link.column.replace("{}", &self.alias);
        let term = match ids.as_slice() {
            // No row has id 0.
            [] => Term { exact: true, ..Term::of_column(&column, &format!("= {}", self.bind(0.into()))) },
            [id] => {
                Term { exact: true, ..Term::of_column(&column, &format!("= {}", self.bind((*id).into()))) }
            }
            several => {
                let marks: Vec<String> = several.iter().map(|id| self.bind((*id).into())).collect();
                Term::of_column(&column, &format!("IN ({})", marks.join(", ")))
            }
        };
        self.terms.push(term);
        Ok(())
    }

    fn condition(&mut self, condition: &Condition) -> Result<(), QueryError> {
        let (_, column, attribute) = self.column(&condition.path)?;
        let kind = attribute.kind;
        let wrong = || QueryError::WrongType { attribute: condition.path.clone(), expected: kind.expected() };
        let term = match condition.operator.as_str() {
            operator @ ("=" | "!=" | "<" | "<=" | ">" | ">=") => {
                let value = self.bind(kind.to_sql(&condition.value).ok_or_else(wrong)?);
                // What an object does not have differs from everything; SQL's own <> would not say so.
                let sql = if operator == "!=" { "IS NOT" } else { operator };
                Term { exact: operator == "=", ..Term::of_column(&column, &format!("{sql} {value}")) }
            }
            "like" => {
                if !matches!(kind, Kind::Text | Kind::AnyCase(_)) {
                    let expected = "compared by another operator: `like` is for texts";
                    return Err(QueryError::WrongType { attribute: condition.path.clone(), expected });
                }
                let pattern = condition.value.as_str().ok_or_else(wrong)?;
                bounded(pattern.chars().count(), MOST_PATTERN_CHARS, &condition.path, "characters")?;
                let value = kind.to_sql(&condition.value).ok_or_else(wrong)?;
                self.like(&column, attribute, pattern, value)
            }
            "in" => {
                let list = condition.value.as_array().ok_or(QueryError::WrongType {
                    attribute: condition.path.clone(),
                    expected: "a list of values for `in`",
                })?;
                bounded(list.len(), MOST_VALUES, &condition.path, "values")?;
                let mut marks = Vec::new();
                for value in list {
                    marks.push(self.bind(kind.to_sql(value).ok_or_else(wrong)?));
                }
                Term::of_column(&column, &format!("IN ({})", marks.join(", ")))
            }
            other => return Err(QueryError::UnknownOperator(other.to_owned())),
        };
        self.terms.push(term);
        Ok(())
    }

    fn like(&mut self, column: &str, attribute: &Attribute, pattern: &str, value: Sql) -> Term {
        let mark = self.bind(value);
        // The plus in both: what SQLite makes of a LIKE depends on the value, and so would have to be planned again
        // for each.
        let like = format!("+{column} LIKE {mark} ESCAPE '\\'");
        let prefix = if attribute.by_prefix { prefix_of(pattern) } else { String::new() };
        let Some(beyond) = beyond(&prefix) else { return Term { exact: false, ..Term::fixed(like) } };
        let (low, high) = (self.bind(Sql::Text(prefix)), self.bind(Sql::Text(beyond)));
        let range = |plus: &str| {
            let column = format!("{plus}{column} COLLATE NOCASE");
            format!("{column} >= {low} AND {column} < {high} AND {like}")
        };
        Term { narrow: range(""), walk: range("+"), exact: false }
    }

    /// Adds a value; returns its mark.
    pub(super) fn bind(&mut self, value: Sql) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }
}

impl QueryError {
    /// Names an attribute of a linked object as the caller did.
    fn under(self, object: &'static str, link: &Link) -> Self {
        let path = |attribute: &str| format!("{}.{attribute}", link.name);
        match self {
            Self::UnknownAttribute { attribute, .. } => {
                Self::UnknownAttribute { object, attribute: path(&attribute) }
            }
            Self::WrongType { attribute, expected } => {
                Self::WrongType { attribute: path(&attribute), expected }
            }
            Self::TooMany { member, most, of } => Self::TooMany { member: path(&member), most, of },
            error => error,
        }
    }
}

/// The ids of the linked objects that fit, or one more than are worth looking up.
fn ids_that_fit(
    reader: &Reader<'_>,
    link: &'static Link,
    conditions: &[Condition],
) -> Result<Vec<i64>, QueryError> {
    let mut select = Select::new(link.target, reader.scope);
    select.conditions(reader, conditions)?;
    let sql = format!("SELECT {}.id {} LIMIT {}", select.alias, select.tail(), MOST_LINKED + 1);
    let mut statement = reader.connection.prepare_cached(&sql)?;
    let ids = statement.query_map(params_from_iter(&select.values), |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// What a `like` pattern begins with, as far as it has no wildcards, in lower case.
fn prefix_of(pattern: &str) -> String {
    let mut prefix = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' | '_' => break,
            '\\' => prefix.extend(characters.next()),
            plain => prefix.push(plain),
        }
    }
    prefix.make_ascii_lowercase();
    prefix
}

/// The first text after all those that begin with `prefix`; none if that is empty or has no end.
fn beyond(prefix: &str) -> Option<String> {
    let mut text: Vec<char> = prefix.chars().collect();
    let last = text.pop()?;
    let next = ((last as u32 + 1)..=(char::MAX as u32)).find_map(char::from_u32)?;
    text.push(next);
    Some(text.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_with_what_comes_before_its_first_wildcard() {
        let cases =
            [("AB1%", "ab1"), ("%1", ""), ("a_b%", "a"), (r"a\%b\_%", "a%b_"), ("Äb", "Äb"), ("a\\", "a")];
        for (pattern, prefix) in cases {
            assert_eq!(prefix_of(pattern), prefix, "{pattern}");
        }
    }

    #[test]
    fn a_range_ends_right_after_all_that_begin_with_the_prefix() {
        let cases = [("ab1", Some("ab2")), ("z", Some("{")), ("", None), ("a\u{d7ff}", Some("a\u{e000}"))];
        for (prefix, end) in cases {
            assert_eq!(beyond(prefix).as_deref(), end, "{prefix}");
        }
        assert_eq!(beyond("a\u{10ffff}"), None);
    }
}
