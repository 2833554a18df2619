//! The audit log of a database file that no server has open: a copy, or the file itself. Needs no key and changes
//! nothing.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::rows;
use crate::audit::check::Start;
use crate::audit::{Row, SignedHead};
use crate::store::StoreError;

/// The first version of the tables that has hashes.
const FIRST_VERSION: i64 = 4;
/// Rows of a page.
const PAGE: i64 = 10_000;

/// A database file, open for reading.
pub struct AuditCopy {
    path: PathBuf,
    connection: Connection,
}

impl AuditCopy {
    /// Opens a file.
    ///
    /// # Errors
    /// [`StoreError`] if it is no database of this program, or one that has no hashes yet.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
        if let Err(source) = std::fs::File::open(path) {
            return Err(StoreError::File { path: path.to_owned(), source });
        }
        let connection = connect(path).map_err(damaged)?;
        let unusable = |problem| StoreError::Unusable { path: path.to_owned(), problem };
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(damaged)?;
        if !(1..=crate::store::schema::VERSION).contains(&version) {
            return Err(unusable("it is not a fobd database, or one of a newer version"));
        }
        if version < FIRST_VERSION {
            return Err(unusable("it was written before audit rows had hashes"));
        }
        // All that is read is of one moment, whoever writes meanwhile.
        connection.execute_batch("BEGIN").map_err(damaged)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Where the log begins, its heads, and how many rows there are.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn begin(&self) -> Result<(Start, Vec<SignedHead>, u64), StoreError> {
        let connection = &self.connection;
        let start = Start { nodes: rows::nodes(connection)?, after: None, cut: rows::cut(connection)? };
        let count: i64 = connection
            .query_row("SELECT count(*) FROM audit", [], |row| row.get(0))
            .map_err(|error| self.damaged(error))?;
        Ok((start, rows::heads(connection, i64::MIN, i64::MAX)?, count.unsigned_abs()))
    }

    /// A page of rows after one of them, in order; the first page is the one after `i64::MIN`.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn rows(&self, after: i64) -> Result<Vec<Row>, StoreError> {
        rows::after(&self.connection, after, PAGE)
    }

    fn damaged(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), source }
    }
}

/// Opens without leaving anything beside the file. SQLite would make a shared-memory file for one with a write-ahead
/// log; where there is no log, it is told that nobody else writes.
pub(in crate::store) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let log = path.with_file_name(format!(
        "{}-wal",
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    ));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if log.exists() {
        return Connection::open_with_flags(path, flags);
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = "file://".to_owned();
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(absolute.as_os_str()) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
}
