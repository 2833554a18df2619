//! One table of objects, attributes and links; selectors, `match`, `return` and sorting are all read from it.
//!
//! A path such as `product.name` walks links from one object to another; each link becomes one join. What a
//! caller names and this table does not know is an error that names it.

mod query;
mod scope;
mod secrets;
mod tables;
mod terms;

use rusqlite::types::{Value as Sql, ValueRef};
use serde_json::Value as Json;

pub use self::query::{
    Condition, FindError, QueryError, Search, explain, find_one, get, imported, search, shows,
};
pub(in crate::store) use self::scope::sees;
pub use self::scope::{Narrowed, Within};
pub use self::secrets::{Held, secrets};
pub use self::tables::{
    AGENT, ALL, ASSIGNMENT, CLIENT, DOMAIN, GROUP, JOB, OPERATOR, PRODUCT, REPOSITORY, TOKEN, USER,
};
use crate::model::id;
use crate::otp::time::Timestamp;

/// A kind of object.
pub struct Object {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// First letter of its ids.
    pub letter: char,
    table: &'static str,
    /// Simple values.
    pub attributes: &'static [Attribute],
    /// References to one other object.
    pub links: &'static [Link],
    /// Other objects that belong to it.
    pub collections: &'static [Collection],
    /// Which rows anybody may see: rows of an unfinished import are invisible.
    visibility: Option<Visibility>,
    /// What of it a caller sees whose scope is narrowed.
    narrowed: Narrowed,
    /// A table that counts the rows, and the attributes and links by which it can be asked.
    counted: Option<Counted>,
}

impl Object {
    /// What its table is called in a statement: its name, unless that is a word of SQL.
    fn alias(&self) -> &'static str {
        if self.name == "group" { "one_group" } else { self.name }
    }

    /// Whether objects of this kind refer to one other object by that name.
    #[must_use]
    pub fn has_link(&self, name: &str) -> bool {
        self.links.iter().any(|link| link.name == name)
    }
}

/// Two conditions of which every row fulfils one.
#[derive(Clone, Copy)]
struct Visibility {
    /// Anybody may see it.
    shown: &'static str,
    /// Nobody may see it yet. These are few and found by an index.
    hidden: &'static str,
}

/// A table of counts: it has some of the object's columns under the same names, and `tokens`, the number.
struct Counted {
    table: &'static str,
    condition: &'static str,
    by: &'static [&'static str],
}

/// A simple value of an object. In SQL texts `{}` stands for the alias of the object's table.
pub struct Attribute {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it says, with its unit.
    pub about: &'static str,
    /// Its type.
    pub kind: Kind,
    column: &'static str,
    /// A table with at most one row for each object, joined when the attribute is asked for.
    extra: Option<Extra>,
    /// An index in any case serves what begins with some text.
    by_prefix: bool,
}

/// A one-to-one table; `{}` in `on` stands for the object's alias, `{}_NAME` is the alias of this table.
#[derive(Clone, Copy)]
struct Extra {
    name: &'static str,
    table: &'static str,
    key: &'static str,
}

/// A reference to one other object.
pub struct Link {
    /// Its name on the wire.
    pub name: &'static str,
    /// What the other object is to this one.
    pub about: &'static str,
    /// The kind of the other object.
    pub target: &'static Object,
    column: &'static str,
    /// There are few of those objects, and every row has one: conditions on them are looked up before the search.
    few: bool,
}

/// Other objects that belong to one.
pub struct Collection {
    /// Its name on the wire.
    pub name: &'static str,
    /// Which objects are in it.
    pub about: &'static str,
    /// Their kind.
    pub target: &'static Object,
    /// Condition on the target's alias `{}`; `?1` is the id of the object.
    condition: &'static str,
}

/// How a column is read and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An id of the kind with this letter.
    Id(char),
    /// Text.
    Text,
    /// Text that is the same in any case; compared in this column, which holds it in lower case.
    AnyCase(&'static str),
    /// A whole number.
    Integer,
    /// The bits of a `u64`.
    Unsigned,
    /// True or false.
    Bool,
    /// Milliseconds in the table, ISO 8601 in UTC on the wire.
    Time,
}

impl Kind {
    /// What a caller has to send, for errors.
    fn expected(self) -> &'static str {
        match self {
            Self::Id(_) | Self::Text | Self::AnyCase(_) => "text",
            Self::Integer | Self::Unsigned => "a whole number",
            Self::Bool => "true or false",
            Self::Time => "a time such as 2026-11-21T08:00:00Z",
        }
    }

    /// Wire to table; `None` if the value has the wrong type.
    fn to_sql(self, value: &Json) -> Option<Sql> {
        Some(match (self, value) {
            // No row has id 0, so what is no id of this kind finds nothing.
            (Self::Id(letter), Json::String(text)) => Sql::Integer(id::from_wire(letter, text).unwrap_or(0)),
            (Self::Text, Json::String(text)) => Sql::Text(text.clone()),
            (Self::AnyCase(_), Json::String(text)) => Sql::Text(text.to_lowercase()),
            (Self::Integer, Json::Number(number)) => Sql::Integer(number.as_i64()?),
            (Self::Unsigned, Json::Number(number)) => Sql::Integer(number.as_u64()? as i64),
            (Self::Bool, Json::Bool(flag)) => Sql::Integer(i64::from(*flag)),
            (Self::Time, Json::String(text)) => Sql::Integer(time(text)?.as_millis()),
            _ => return None,
        })
    }

    /// Table to wire.
    fn to_json(self, value: ValueRef<'_>) -> Json {
        match (self, value) {
            (Self::Id(letter), ValueRef::Integer(number)) => Json::String(id::to_wire(letter, number)),
            (Self::Integer, ValueRef::Integer(number)) => Json::from(number),
            (Self::Unsigned, ValueRef::Integer(number)) => Json::from(number as u64),
            (Self::Bool, ValueRef::Integer(number)) => Json::Bool(number != 0),
            (Self::Time, ValueRef::Integer(millis)) => Json::String(iso(Timestamp::from_millis(millis))),
            (_, ValueRef::Text(text)) => Json::String(String::from_utf8_lossy(text).into_owned()),
            _ => Json::Null,
        }
    }
}

/// Reads a time in ISO 8601 with its offset from UTC.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    Some(Timestamp::from_millis(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
}

/// A time as ISO 8601 in UTC; empty for one that no calendar has.
#[must_use]
pub fn iso(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis()).map(|t| t.to_string()).unwrap_or_default()
}
