//! Searching the log, and the index by which it is searched.
//!
//! The index is filled in the background, in the order of the log; `audit_progress` says how far. Rows behind that are
//! looked through one by one, so that a search misses none. Pages are in the order of time, then of sequence, and
//! go on from a row, not from a count: the log grows while somebody reads.

use std::time::{Duration, Instant};

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::rows;
use crate::audit::Row;
use crate::store::{Reader, StoreError, Tx};

/// Rows of a page at most.
pub const MOST_ROWS: u32 = 1000;

/// The name of the index in `audit_progress`.
const PROGRESS: &str = "index";
/// Rows indexed between two looks at the clock.
const STEP: i64 = 50;
/// Entries counted to choose between two columns.
const COUNTED: i64 = 1000;

/// What a row is found by. The numbers are in the table and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Time = 1,
    Operator = 2,
    Action = 3,
    Token = 4,
    User = 5,
    Outcome = 6,
}

impl Kind {
    fn column(self) -> &'static str {
        match self {
            Self::Time => "0",
            Self::Operator => "operator",
            Self::Action => "action",
            Self::Token => "token_id",
            Self::User => "user_id",
            Self::Outcome => "outcome",
        }
    }
}

/// The entries of the index for a row.
fn keys(row: &Row) -> impl Iterator<Item = (Kind, Sql)> {
    let text = |text: &String| Sql::Text(text.clone());
    [
        (Kind::Time, Some(Sql::Integer(0))),
        (Kind::Operator, Some(text(&row.operator))),
        (Kind::Action, Some(text(&row.action))),
        (Kind::Token, row.token.map(Sql::Integer)),
        (Kind::User, row.user.map(Sql::Integer)),
        (Kind::Outcome, Some(text(&row.outcome))),
    ]
    .into_iter()
    .filter_map(|(kind, value)| Some((kind, value?)))
}

/// Takes a row out of the index.
pub(super) fn unindex(connection: &Connection, row: &Row) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM audit_index WHERE kind = ?1 AND value = ?2 AND at_ms = ?3 AND sequence = ?4",
    )?;
    for (kind, value) in keys(row) {
        delete.execute((kind as i64, value, row.at_ms, row.sequence))?;
    }
    Ok(())
}

impl Tx<'_> {
    /// Indexes rows for as long as it may take; `true` once all are.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn index_audit(&self, most: Duration) -> Result<bool, StoreError> {
        let started = Instant::now();
        let mut indexed = self.reader().audit_progress(PROGRESS)?.unwrap_or(0);
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO audit_index (kind, value, at_ms, sequence) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut done = false;
        while !done && started.elapsed() < most {
            let page = rows::after(self.connection(), indexed, STEP)?;
            for row in &page {
                for (kind, value) in keys(row) {
                    insert.execute((kind as i64, value, row.at_ms, row.sequence))?;
                }
                indexed = row.sequence;
            }
            done = i64::try_from(page.len()).is_ok_and(|len| len < STEP);
        }
        self.set_audit_progress(PROGRESS, indexed)?;
        Ok(done)
    }
}

/// A place in the order of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Time of the row in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Its sequence.
    pub sequence: i64,
}

/// What to look for; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditSearch {
    /// From this time on, in milliseconds since the Unix epoch.
    pub from_ms: Option<i64>,
    /// Before this time.
    pub until_ms: Option<i64>,
    /// Name of the operator.
    pub operator: Option<String>,
    /// The API method.
    pub action: Option<String>,
    /// The token.
    pub token: Option<i64>,
    /// The user.
    pub user: Option<i64>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Oldest first.
    pub ascending: bool,
    /// Goes on behind this row of an earlier answer.
    pub behind: Option<Position>,
    /// Rows of the answer.
    pub max: u32,
}

/// A row with the names of what it is about, as far as that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// The row.
    pub row: Row,
    /// Serial of its token.
    pub serial: Option<String>,
    /// Login name of its user.
    pub login_name: Option<String>,
}

impl Reader<'_> {
    /// Searches the log. The second value says whether more rows fit.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read, or it takes too long.
    pub fn search_audit(&self, search: &AuditSearch) -> Result<(Vec<FoundRow>, bool), StoreError> {
        let indexed = self.audit_progress(PROGRESS)?.unwrap_or(0);
        let cut = self.audit_cut()?.map_or(i64::MIN, |cut| cut.head.sequence);
        let max = usize::try_from(search.max.clamp(1, MOST_ROWS)).unwrap_or(1);
        // One more shows whether there are more.
        let mut found = self.by_index(search, cut, max + 1)?;
        found.extend(self.behind_index(search, indexed.max(cut), max + 1)?);
        let key = |row: &FoundRow| Position { at_ms: row.row.at_ms, sequence: row.row.sequence };
        if search.ascending {
            found.sort_by_key(key);
        } else {
            found.sort_by_key(|row| std::cmp::Reverse(key(row)));
        }
        let more = found.len() > max;
        found.truncate(max);
        Ok((found, more))
    }

    fn by_index(&self, search: &AuditSearch, cut: i64, most: usize) -> Result<Vec<FoundRow>, StoreError> {
        let wanted = search.wanted();
        let mut best: (i64, Kind, Sql) = (i64::MAX, Kind::Time, Sql::Integer(0));
        for (kind, value) in &wanted {
            let count = self.count(*kind, value)?;
            if count < best.0 {
                best = (count, *kind, value.clone());
            }
        }
        let (_, kind, value) = best;
        let mut sql = Conditions::default();
        let driver = sql.value(Sql::Integer(kind as i64));
        let key = sql.value(value);
        sql.all.push(format!("i.kind = {driver} AND i.value = {key}"));
        let after_cut = sql.value(Sql::Integer(cut));
        sql.all.push(format!("i.sequence > {after_cut}"));
        search.times(&mut sql, "i");
        for (other, value) in wanted.into_iter().filter(|(other, _)| *other != kind) {
            let value = sql.value(value);
            sql.all.push(format!("a.{} = {value}", other.column()));
        }
        // CROSS keeps the index in front.
        self.found("audit_index i CROSS JOIN audit a ON a.sequence = i.sequence", "i", search, sql, most)
    }

    /// Rows that are not indexed yet.
    fn behind_index(
        &self,
        search: &AuditSearch,
        indexed: i64,
        most: usize,
    ) -> Result<Vec<FoundRow>, StoreError> {
        let mut sql = Conditions::default();
        let indexed = sql.value(Sql::Integer(indexed));
        sql.all.push(format!("a.sequence > {indexed}"));
        search.times(&mut sql, "a");
        for (kind, value) in search.wanted() {
            let value = sql.value(value);
            sql.all.push(format!("a.{} = {value}", kind.column()));
        }
        self.found("audit a", "a", search, sql, most)
    }

    fn found(
        &self,
        from: &str,
        order: &str,
        search: &AuditSearch,
        sql: Conditions,
        most: usize,
    ) -> Result<Vec<FoundRow>, StoreError> {
        let direction = if search.ascending { "ASC" } else { "DESC" };
        let text = format!(
            "SELECT a.sequence, a.at_ms, a.operator, a.action, a.token_id, a.user_id, a.outcome, a.detail, a.hash,
             (SELECT serial FROM tokens WHERE id = a.token_id), (SELECT login_name FROM users WHERE id = a.user_id)
             FROM {from} WHERE {} ORDER BY {order}.at_ms {direction}, {order}.sequence {direction} LIMIT {most}",
            sql.all.join(" AND ")
        );
        let mut select = self.connection.prepare_cached(&text)?;
        let found = select.query_map(params_from_iter(&sql.values), |row| {
            Ok(FoundRow { row: rows::read_row(row)?, serial: row.get(9)?, login_name: row.get(10)? })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// How many rows have that value, as far as it matters.
    fn count(&self, kind: Kind, value: &Sql) -> Result<i64, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM audit_index WHERE kind = ?1 AND value = ?2 LIMIT ?3)",
        )?;
        Ok(select.query_row((kind as i64, value, COUNTED), |row| row.get(0))?)
    }
}

/// The WHERE of a statement in the making.
#[derive(Default)]
struct Conditions {
    all: Vec<String>,
    values: Vec<Sql>,
}

impl Conditions {
    /// A parameter.
    fn value(&mut self, value: Sql) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }
}

impl AuditSearch {
    fn wanted(&self) -> Vec<(Kind, Sql)> {
        let text = |text: &Option<String>| text.clone().map(Sql::Text);
        [
            (Kind::Token, self.token.map(Sql::Integer)),
            (Kind::User, self.user.map(Sql::Integer)),
            (Kind::Operator, text(&self.operator)),
            (Kind::Action, text(&self.action)),
            (Kind::Outcome, text(&self.outcome)),
        ]
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value?)))
        .collect()
    }

    fn times(&self, sql: &mut Conditions, table: &str) {
        if let Some(from) = self.from_ms {
            let from = sql.value(Sql::Integer(from));
            sql.all.push(format!("{table}.at_ms >= {from}"));
        }
        if let Some(until) = self.until_ms {
            let until = sql.value(Sql::Integer(until));
            sql.all.push(format!("{table}.at_ms < {until}"));
        }
        if let Some(behind) = self.behind {
            let compare = if self.ascending { '>' } else { '<' };
            let at = sql.value(Sql::Integer(behind.at_ms));
            let sequence = sql.value(Sql::Integer(behind.sequence));
            sql.all.push(format!("({table}.at_ms, {table}.sequence) {compare} ({at}, {sequence})"));
        }
    }
}
