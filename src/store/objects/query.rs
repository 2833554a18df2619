//! From paths to SQL and from rows to JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension as _, params_from_iter};
use serde_json::{Map, Value as Json};

use super::scope;
use super::terms::Term;
use super::{Attribute, Collection, Kind, Object, Visibility};
use crate::model::scope::{ALL, Scope};
use crate::store::imports::ImportId;
use crate::store::{Reader, StoreError};

/// Rows of one answer, unless the caller asks for fewer or more.
const DEFAULT_MAX: u64 = 100;
/// Most rows of one answer; more are had by `offset`.
const MOST_ROWS: u64 = 10_000;
/// Most rows of a collection inside a row.
const MOST_ELEMENTS: u64 = 100;

/// Most values of one row.
const MOST_COLUMNS: usize = 500;
/// Most collections of one row: each costs a statement of its own.
const MOST_COLLECTIONS: usize = 16;
/// Most links that the paths of one request may follow.
const MOST_LINKS: usize = 32;

/// What a caller asked that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The object has no such attribute.
    #[error("{object} has no attribute `{attribute}`")]
    UnknownAttribute {
        /// Name of the object.
        object: &'static str,
        /// The path as sent.
        attribute: String,
    },
    /// A value of the wrong type.
    #[error("`{attribute}` must be {expected}")]
    WrongType {
        /// The path as sent.
        attribute: String,
        /// What it must be.
        expected: &'static str,
    },
    /// No such comparison.
    #[error("`{0}` is no comparison: use =, !=, <, <=, >, >=, like or in")]
    UnknownOperator(String),
    /// A member of the request has the wrong form.
    #[error("`{member}` must be {expected}")]
    Form {
        /// The member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// More than anybody needs, and more than the database takes.
    #[error("`{member}` may have at most {most} {of}")]
    TooMany {
        /// The member of the request, or the path of the attribute.
        member: String,
        /// How many.
        most: usize,
        /// Of what.
        of: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses what is over a limit.
pub(super) fn bounded(count: usize, most: usize, member: &str, of: &'static str) -> Result<(), QueryError> {
    let too_many = || QueryError::TooMany { member: member.to_owned(), most, of };
    (count <= most).then_some(()).ok_or_else(too_many)
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Why a selector does not name one object.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing fits.
    #[error("{0} not found")]
    None(&'static str),
    /// More than one fits.
    #[error("the selector fits more than one {0}: name more of its attributes")]
    Ambiguous(&'static str),
    /// The selector itself is wrong.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// One comparison: a path, an operator and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Path of the attribute, for example `product.name`.
    pub path: String,
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `like` or `in`.
    pub operator: String,
    /// A value, or a list of values for `in`.
    pub value: Json,
}

impl Condition {
    /// `path = value`.
    #[must_use]
    pub fn equal(path: &str, value: Json) -> Self {
        Self { path: path.to_owned(), operator: "=".to_owned(), value }
    }
}

/// What to search and what to show.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// The `return` list as sent; empty means the id.
    pub wanted: Vec<Json>,
    /// Path to sort by; the id if absent.
    pub sort: Option<String>,
    /// Largest first.
    pub descending: bool,
    /// Rows of this page.
    pub max: Option<u64>,
    /// Rows to skip.
    pub offset: u64,
}

/// Finds the id of the one object that fits.
///
/// # Errors
/// [`FindError::None`], [`FindError::Ambiguous`], or a [`QueryError`].
pub fn find_one(
    reader: &Reader<'_>,
    object: &'static Object,
    conditions: &[Condition],
) -> Result<i64, FindError> {
    let mut select = Select::new(object, reader.scope);
    select.conditions(reader, conditions)?;
    let sql = format!("SELECT {}.id {} LIMIT 2", select.alias, select.tail());
    let mut statement = reader.connection.prepare_cached(&sql).map_err(QueryError::from)?;
    let mut rows = statement.query(params_from_iter(&select.values)).map_err(QueryError::from)?;
    let Some(row) = rows.next().map_err(QueryError::from)? else { return Err(FindError::None(object.name)) };
    let id = row.get(0).map_err(QueryError::from)?;
    match rows.next().map_err(QueryError::from)? {
        None => Ok(id),
        Some(_) => Err(FindError::Ambiguous(object.name)),
    }
}

/// Reads attributes of one object by its row id; `null` if it is not there.
///
/// # Errors
/// [`QueryError`] if `wanted` names what the object does not have.
pub fn get(
    reader: &Reader<'_>,
    object: &'static Object,
    id: i64,
    wanted: &[Json],
) -> Result<Json, QueryError> {
    let mut select = Select::new(object, reader.scope);
    let shape = select.shape(wanted)?;
    select.terms.push(Term::fixed(format!("{}.id = ?1", select.alias)));
    let sql = format!("SELECT {} {}", select.columns(), select.tail());
    let mut statement = reader.connection.prepare_cached(&sql)?;
    let found = statement.query_row([id], |row| Ok(shape.read(row))).optional()?;
    match found {
        Some(found) => shape.fill_collections(reader, found),
        None => Ok(Json::Null),
    }
}

/// Reads a page of the rows that an import has written, in their order in the file: those with ids above the last one
/// of the page before. Returns them with that id.
///
/// # Errors
/// [`QueryError`] if `wanted` names what the object does not have.
pub fn imported(
    reader: &Reader<'_>,
    object: &'static Object,
    import: ImportId,
    wanted: &[Json],
    (after, most): (i64, u64),
) -> Result<(Vec<Json>, i64), QueryError> {
    let mut select = Select::new(object, reader.scope);
    let shape = select.shape(wanted)?;
    select.terms.push(Term::fixed(format!("{0}.import_id = ?1 AND {0}.id > ?2", select.alias)));
    let (columns, tail) = (select.columns(), select.tail());
    let sql = format!("SELECT {columns} {tail} ORDER BY {}.id LIMIT {most}", select.alias);
    let found = shape.read_rows(reader, &sql, &[Sql::Integer(import.0), Sql::Integer(after)])?;
    let last = found.last().map_or(after, |(id, _)| *id);
    Ok((shape.fill_all(reader, found)?, last))
}

/// Searches: one page of rows and the number of all that fit.
///
/// # Errors
/// [`QueryError`] if the search names what the object does not have.
pub fn search(reader: &Reader<'_>, object: &'static Object, search: &Search) -> Result<Json, QueryError> {
    let page = Page::plan(reader, object, search)?;
    let rows = page.shape.read_all(reader, &page.sql, &page.values)?;
    // Not `json!`, which copies what it is given.
    Ok(Json::Object(Map::from_iter([
        ("total".to_owned(), page.total.into()),
        ("rows".to_owned(), Json::Array(rows)),
    ])))
}

/// How SQLite goes about a search: the steps of its plan, those for the total first.
///
/// # Errors
/// As [`search`].
pub fn explain(
    reader: &Reader<'_>,
    object: &'static Object,
    search: &Search,
) -> Result<Vec<String>, QueryError> {
    let page = Page::plan(reader, object, search)?;
    let mut steps = Vec::new();
    for (part, sql) in [("total", &page.total_sql), ("rows", &page.sql)] {
        let mut statement = reader.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let found = statement.query_map(params_from_iter(&page.values), |row| row.get::<_, String>(3))?;
        for step in found {
            steps.push(format!("{part}: {}", step?));
        }
    }
    Ok(steps)
}

/// A search that is counted and ready to be read.
struct Page {
    total: i64,
    total_sql: String,
    sql: String,
    values: Vec<Sql>,
    shape: Shape,
}

impl Page {
    fn plan(reader: &Reader<'_>, object: &'static Object, search: &Search) -> Result<Self, QueryError> {
        let mut select = Select::new(object, reader.scope);
        select.conditions(reader, &search.conditions)?;
        let total_sql = select.total();
        let total: i64 = reader
            .connection
            .prepare_cached(&total_sql)?
            .query_row(params_from_iter(&select.values), |row| row.get(0))?;
        let shape = select.shape(&search.wanted)?;
        let direction = if search.descending { "DESC" } else { "ASC" };
        let mut order = format!("{}.id {direction}", select.alias);
        let sort = search.sort.as_deref().filter(|path| *path != "id");
        if let Some(path) = sort {
            order = format!("{} {direction}, {order}", select.column(path)?.0);
        }
        // By one value each, an index finds the rows in the order of their ids. Otherwise it finds them in another
        // order than the page's, which is no matter while they are few.
        let exact = sort.is_none() && select.terms.iter().all(|term| term.exact);
        let way = if exact || total <= SORTED_AT_MOST { Way::Narrow } else { Way::Walk };
        let sql = format!(
            "SELECT {} {} ORDER BY {order} LIMIT {} OFFSET {}",
            select.columns(),
            select.tail_of(object.table, select.shown(), way),
            search.max.unwrap_or(DEFAULT_MAX).min(MOST_ROWS),
            search.offset.min(i64::MAX as u64),
        );
        Ok(Self { total, total_sql, sql, values: select.values, shape })
    }
}

/// Rows that are sorted to show a page of them. With more, the page's order is walked and what does not fit skipped.
const SORTED_AT_MOST: i64 = 10_000;

/// What chooses the index of a statement.
#[derive(Clone, Copy)]
enum Way {
    /// The conditions.
    Narrow,
    /// The order.
    Walk,
}

/// Whether a `return` list shows anything of objects of another kind, by a link or in a collection.
///
/// # Errors
/// [`QueryError`] if `wanted` names what the object does not have.
pub fn shows(object: &'static Object, wanted: &[Json], kind: &'static Object) -> Result<bool, QueryError> {
    let mut select = Select::new(object, &ALL);
    let shape = select.shape(wanted)?;
    if select.linked.contains(kind.name) {
        return Ok(true);
    }
    for (_, collection, elements) in &shape.collections {
        if collection.target.name == kind.name || shows(collection.target, elements, kind)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A statement in the making.
pub(super) struct Select {
    pub(super) object: &'static Object,
    pub(super) alias: String,
    /// Alias to join clause. Aliases are paths, so their order puts each after the one it hangs on.
    joins: BTreeMap<String, String>,
    columns: Vec<String>,
    pub(super) terms: Vec<Term>,
    pub(super) values: Vec<Sql>,
    /// First names of the paths that conditions go by.
    pub(super) asked: Vec<String>,
    /// Kinds of objects that paths led to.
    linked: BTreeSet<&'static str>,
    /// What the caller sees.
    scope: Scope,
}

impl Select {
    /// A statement about the objects that this scope holds: there is no other way to begin one.
    pub(super) fn new(object: &'static Object, scope: &Scope) -> Self {
        let alias = object.alias().to_owned();
        let seen = scope::condition(object, &alias, scope).map(Term::of_scope);
        Self {
            asked: Vec::new(),
            linked: BTreeSet::new(),
            object,
            alias,
            joins: BTreeMap::new(),
            columns: Vec::new(),
            terms: seen.into_iter().collect(),
            values: Vec::new(),
            scope: scope.clone(),
        }
    }

    /// FROM and WHERE for the row with the id `?1`, whether or not it is published.
    pub(super) fn tail_by_id(mut self) -> String {
        self.terms.push(Term::fixed(format!("{}.id = ?1", self.alias)));
        self.tail_of(self.object.table, None, Way::Narrow)
    }

    fn columns(&self) -> String {
        self.columns.join(", ")
    }

    /// FROM and WHERE: the conditions, and only what may be seen.
    pub(super) fn tail(&self) -> String {
        self.tail_of(self.object.table, self.shown(), Way::Narrow)
    }

    /// The same for a statement that goes by a condition of its own and by no index on what was asked.
    pub(super) fn walking_tail(&self) -> String {
        self.tail_of(self.object.table, self.shown(), Way::Walk)
    }

    fn shown(&self) -> Option<&'static str> {
        self.object.visibility.map(|visibility| visibility.shown)
    }

    fn tail_of(&self, table: &str, first: Option<&str>, way: Way) -> String {
        let joins: String = self.joins.values().map(String::as_str).collect();
        let mut text = format!("FROM {table} {}{joins}", self.alias);
        let first = first.map(|condition| condition.replace("{}", &self.alias));
        let terms = self.terms.iter().map(|term| match way {
            Way::Narrow => &term.narrow,
            Way::Walk => &term.walk,
        });
        for (index, condition) in first.iter().chain(terms).enumerate() {
            let _ = write!(text, " {} {condition}", if index == 0 { "WHERE" } else { "AND" });
        }
        text
    }

    /// The statement that counts all rows that fit: from the table of counts where that can tell. Otherwise all that
    /// fit are counted, which an index alone may tell, and then the few that must not be seen taken off.
    fn total(&self) -> String {
        if let Some(counted) = &self.object.counted
            && self.asked.iter().all(|name| counted.by.contains(&name.as_str()))
        {
            let tail = self.tail_of(counted.table, Some(counted.condition), Way::Narrow);
            return format!("SELECT coalesce(sum({}.tokens), 0) {tail}", self.alias);
        }
        let all = format!("SELECT count(*) {}", self.tail_of(self.object.table, None, Way::Narrow));
        match self.object.visibility {
            None => all,
            Some(Visibility { hidden, .. }) => {
                let hidden = self.tail_of(self.object.table, Some(hidden), Way::Walk);
                format!("SELECT ({all}) - (SELECT count(*) {hidden})")
            }
        }
    }

    /// Walks a path; returns the column to show, the column to compare, and the attribute.
    pub(super) fn column(&mut self, path: &str) -> Result<(String, String, &'static Attribute), QueryError> {
        let (object, alias, name) = self.walk(path)?;
        let unknown =
            || QueryError::UnknownAttribute { object: self.object.name, attribute: path.to_owned() };
        let attribute = object.attributes.iter().find(|a| a.name == name).ok_or_else(unknown)?;
        if let Some(extra) = attribute.extra {
            let joined = format!("{alias}_{}", extra.name);
            let clause =
                format!(" LEFT JOIN {} {joined} ON {joined}.{} = {alias}.id", extra.table, extra.key);
            self.joins.insert(joined, clause);
        }
        let show = attribute.column.replace("{}", &alias);
        let compare = match attribute.kind {
            Kind::AnyCase(column) => column.replace("{}", &alias),
            _ => show.clone(),
        };
        Ok((show, compare, attribute))
    }

    /// Joins a table by a clause of its own.
    pub(super) fn join(&mut self, alias: &str, clause: &str) {
        self.joins.insert(alias.to_owned(), clause.to_owned());
    }

    /// Follows the links of a path up to its last name.
    fn walk<'p>(&mut self, path: &'p str) -> Result<(&'static Object, String, &'p str), QueryError> {
        let mut object = self.object;
        let mut alias = self.alias.clone();
        let mut rest = path;
        while let Some((step, after)) = rest.split_once('.') {
            let link = object.links.iter().find(|link| link.name == step).ok_or_else(|| {
                QueryError::UnknownAttribute { object: self.object.name, attribute: path.to_owned() }
            })?;
            let joined = format!("{alias}_{}", link.name);
            let mut clause = format!(
                " LEFT JOIN {} {joined} ON {joined}.id = {}",
                link.target.table,
                link.column.replace("{}", &alias)
            );
            // What is outside the scope is not there, whoever refers to it.
            if let Some(seen) = scope::condition(link.target, &joined, &self.scope) {
                let _ = write!(clause, " AND {seen}");
            }
            self.joins.insert(joined.clone(), clause);
            // Told without the path, which may be as long as the request.
            bounded(self.joins.len(), MOST_LINKS, "the paths of a request", "links to other objects")?;
            self.linked.insert(link.target.name);
            (object, alias, rest) = (link.target, joined, after);
        }
        Ok((object, alias, rest))
    }

    /// Reads a `return` list.
    fn shape(&mut self, wanted: &[Json]) -> Result<Shape, QueryError> {
        let object = self.object;
        // The row id comes first: collections are found by it.
        self.columns.push(format!("{}.id", self.alias));
        let shape = if wanted.is_empty() {
            self.members(object, "", &[Json::from("id")])?
        } else {
            self.members(object, "", wanted)?
        };
        bounded(shape.collections.len(), MOST_COLLECTIONS, "return", "collections")?;
        Ok(shape)
    }

    fn members(
        &mut self,
        object: &'static Object,
        prefix: &str,
        wanted: &[Json],
    ) -> Result<Shape, QueryError> {
        let mut shape = Shape::default();
        for item in wanted {
            match item {
                Json::String(name) if name == "*" => {
                    for attribute in object.attributes {
                        self.leaf(&mut shape, prefix, attribute.name)?;
                    }
                }
                Json::String(name) => {
                    let collection = object.collections.iter().find(|c| c.name == name && prefix.is_empty());
                    match (collection, object.links.iter().find(|link| link.name == name)) {
                        (Some(collection), _) => {
                            shape.collections.push((name.clone(), collection, Vec::new()));
                        }
                        (None, Some(link)) => {
                            let inner =
                                self.members(link.target, &format!("{prefix}{name}."), &[Json::from("*")])?;
                            shape.members.push((name.clone(), Member::Object(inner)));
                        }
                        (None, None) => self.leaf(&mut shape, prefix, name)?,
                    }
                }
                Json::Object(named) => {
                    for (name, inner) in named {
                        self.nested(&mut shape, object, prefix, name, inner)?;
                    }
                }
                _ => return Err(RETURN_FORM),
            }
        }
        Ok(shape)
    }

    fn nested(
        &mut self,
        shape: &mut Shape,
        object: &'static Object,
        prefix: &str,
        name: &str,
        inner: &Json,
    ) -> Result<(), QueryError> {
        let inner = inner.as_array().ok_or(RETURN_FORM)?;
        if let Some(link) = object.links.iter().find(|link| link.name == name) {
            let members = self.members(link.target, &format!("{prefix}{name}."), inner)?;
            shape.members.push((name.to_owned(), Member::Object(members)));
            return Ok(());
        }
        let collection = object.collections.iter().find(|c| c.name == name && prefix.is_empty());
        let collection = collection.ok_or_else(|| QueryError::UnknownAttribute {
            object: self.object.name,
            attribute: format!("{prefix}{name}"),
        })?;
        let elements = inner.iter().find_map(|item| item.get("elements")).ok_or(RETURN_FORM)?;
        let elements = elements.as_array().ok_or(RETURN_FORM)?.clone();
        // Told now what is wrong with it, and not only once a row is found.
        Select::new(collection.target, &ALL).shape(&elements)?;
        shape.collections.push((name.to_owned(), collection, elements));
        Ok(())
    }

    fn leaf(&mut self, shape: &mut Shape, prefix: &str, name: &str) -> Result<(), QueryError> {
        let (show, _, attribute) = self.column(&format!("{prefix}{name}"))?;
        let column = self.columns.len();
        shape.members.push((name.to_owned(), Member::Value { column, kind: attribute.kind }));
        self.columns.push(show);
        // Told now: a list as long as a request may be would fill the memory with columns.
        bounded(self.columns.len(), MOST_COLUMNS, "return", "attributes")
    }
}

const RETURN_FORM: QueryError = QueryError::Form {
    member: "return",
    expected: "a list of attribute names, or of objects such as {\"product\": [\"name\"]} and \
               {\"users\": [{\"elements\": [\"loginName\"]}]}",
};

/// An object and its row id, still without its collections.
type Found = (i64, Map<String, Json>);

/// How a row becomes an object.
#[derive(Default)]
struct Shape {
    members: Vec<(String, Member)>,
    /// Name, collection, and the `return` list of its elements.
    collections: Vec<(String, &'static Collection, Vec<Json>)>,
}

enum Member {
    Value { column: usize, kind: Kind },
    Object(Shape),
}

impl Shape {
    fn read_all(&self, reader: &Reader<'_>, sql: &str, values: &[Sql]) -> Result<Vec<Json>, QueryError> {
        self.fill_all(reader, self.read_rows(reader, sql, values)?)
    }

    fn read_rows(&self, reader: &Reader<'_>, sql: &str, values: &[Sql]) -> Result<Vec<Found>, QueryError> {
        let mut statement = reader.connection.prepare_cached(sql)?;
        let mut found = Vec::new();
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            found.push(self.read(row));
        }
        Ok(found)
    }

    fn fill_all(&self, reader: &Reader<'_>, found: Vec<Found>) -> Result<Vec<Json>, QueryError> {
        found.into_iter().map(|row| self.fill_collections(reader, row)).collect()
    }

    fn read(&self, row: &rusqlite::Row<'_>) -> Found {
        (row.get(0).unwrap_or_default(), self.read_members(row))
    }

    fn read_members(&self, row: &rusqlite::Row<'_>) -> Map<String, Json> {
        let mut object = Map::new();
        for (name, member) in &self.members {
            let value = match member {
                Member::Value { column, kind } => {
                    row.get_ref(*column).map_or(Json::Null, |value| kind.to_json(value))
                }
                Member::Object(inner) => Json::Object(inner.read_members(row)),
            };
            object.insert(name.clone(), value);
        }
        object
    }

    fn fill_collections(&self, reader: &Reader<'_>, (id, mut object): Found) -> Result<Json, QueryError> {
        for (name, collection, wanted) in &self.collections {
            let mut select = Select::new(collection.target, reader.scope);
            let shape = select.shape(wanted)?;
            select.terms.push(Term::fixed(collection.condition.replace("{}", &select.alias)));
            let sql = format!(
                "SELECT {} {} ORDER BY {}.id LIMIT {MOST_ELEMENTS}",
                select.columns(),
                select.tail(),
                select.alias
            );
            let mut statement = reader.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([id])?;
            let mut elements = Vec::new();
            while let Some(row) = rows.next()? {
                elements.push(Json::Object(shape.read_members(row)));
            }
            object.insert(name.clone(), serde_json::json!({ "elements": elements }));
        }
        Ok(Json::Object(object))
    }
}
