//! The database file: how it is opened and how its tables came to be.
//!
//! Steps go forward only, one per version, in one transaction; `user_version` says which is the last one done.
//! A newer or damaged file stops the server with a clear message. Nothing is ever deleted to recover.
//! Times are integer milliseconds since the Unix epoch and end in `_ms`; moving factors are the bits of a
//! `u64` in an `i64`.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::StoreError;
use super::hot::journal;

/// One step per version. A released step is never edited.
const STEPS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
    include_str!("schema/0010.sql"),
];

/// The version this program writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// How hard a commit tries. Anything but `Full` loses acknowledged changes in a power cut; `Off` exists so that
/// the durability tests can show that they would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// The WAL is on the disk before a commit returns.
    Full,
    /// Never asks the disk for anything. For tests of the tests only.
    Off,
}

/// Makes a new database file with all tables, and nothing of the write-ahead log yet.
pub(super) fn create(path: &Path) -> Result<Connection, StoreError> {
    if path.exists() {
        return Err(StoreError::AlreadyThere(path.to_owned()));
    }
    // Made empty first: SQLite has no way to be told the mode of the file.
    private_file(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let mut connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    migrate(&mut connection, 0)?;
    Ok(connection)
}

/// Opens the write connection and looks whether this program may use the file. Nothing of it is changed yet, not
/// even by closing the connection again.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    match version(&connection)? {
        1..=VERSION => Ok(connection),
        found if found > VERSION => Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION }),
        // An empty file is such a case too: `create` leaves none behind, so something was lost.
        _ => Err(StoreError::Unusable { path: path.to_owned(), problem: "it is not a fobd database" }),
    }
}

/// Sets up the write connection and brings the tables up to date, in form and in what they hold.
pub(super) fn prepare_writer(
    connection: &mut Connection,
    path: &Path,
    synchronous: Synchronous,
) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unusable {
            path: path.to_owned(),
            problem: "it cannot use write-ahead logging",
        });
    }
    connection.pragma_update(
        None,
        "synchronous",
        match synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Off => "OFF",
        },
    )?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What would undo a part of a transaction. It is small, and a file for it would cost more than the change.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The writer does that itself, where a failure of the disk is seen.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The pages of the tables that many verifies read; a part of it is used only while they come.
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    keep_plans(connection)?;
    connection.set_prepared_statement_cache_capacity(128);
    // In the form that it was written for.
    journal::recover(connection)?;
    let version = version(connection)?;
    migrate(connection, version)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_plans(&connection)?;
    Ok(connection)
}

/// On tables with a partial index, SQLite would prepare a statement again each time a parameter of it is bound, to look
/// whether the value makes that index fit: most of what a look-up costs.
fn keep_plans(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn flags(access: OpenFlags) -> OpenFlags {
    // Each connection stays on one thread at a time, so SQLite's own mutexes are not needed.
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(|_| ())
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn migrate(connection: &mut Connection, version: i64) -> Result<(), StoreError> {
    for (number, step) in (1i64..).zip(STEPS).filter(|(number, _)| *number > version) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "user_version", number)?;
        tx.commit()?;
    }
    Ok(())
}
