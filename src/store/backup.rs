//! A copy of the whole file while all goes on, and what can be said of a copy.
//!
//! The copy is made by a connection of its own, of one moment, page by page anew (`VACUUM INTO`): nothing of what was
//! deleted is in it. It never holds the master key. On the server it has no name any more before its first byte
//! leaves; what a crash leaves under that name is taken away at the next start.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension as _;
use sha2::{Digest as _, Sha256};

use super::{Store, StoreError, audit, schema, sealing};
use crate::otp::time::Timestamp;

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// A copy, about to be sent. The system takes it away with the last handle.
pub struct Copied {
    /// At its beginning.
    pub file: File,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// What a copy tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Version of the tables.
    pub version: i64,
    /// Id of the master key that opens it.
    pub master_key: String,
    /// Sequence and time of the newest audit row.
    pub newest: Option<(i64, Timestamp)>,
}

impl Store {
    /// Copies the file as it is at one moment. One copy at a time: the caller sees to that.
    ///
    /// # Errors
    /// [`StoreError`] if there is no room for it, or the file cannot be read.
    pub async fn copy_out(&self) -> Result<Copied, StoreError> {
        let location = self.location().clone();
        let copy = move || copy(&location.database(), &unfinished(&location.data_dir));
        tokio::task::spawn_blocking(copy).await.unwrap_or(Err(StoreError::Panicked))
    }
}

fn copy(database: &Path, to: &Path) -> Result<Copied, StoreError> {
    let outcome = copy_to(database, to);
    // With a name or without one: nobody is to find it.
    let _ = std::fs::remove_file(to);
    outcome
}

fn copy_to(database: &Path, to: &Path) -> Result<Copied, StoreError> {
    let at = |source| StoreError::File { path: to.to_owned(), source };
    let name = to.to_str().ok_or(StoreError::Unusable {
        path: to.to_owned(),
        problem: "the name of its directory is not UTF-8",
    })?;
    if room_beside(database).map_err(at)? < needed(database).map_err(at)? {
        return Err(StoreError::File { path: to.to_owned(), source: std::io::ErrorKind::StorageFull.into() });
    }
    // Made empty first: SQLite has no way to be told the mode of the file.
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).clone();
    let mut file = options.open(to).map_err(at)?;
    schema::open_reader(database)?.execute("VACUUM INTO ?1", [name])?;
    let (bytes, sha256) = digest(&mut file).map_err(at)?;
    file.rewind().map_err(at)?;
    Ok(Copied { file, bytes, sha256 })
}

/// Bytes that a copy may take, and a tenth more: a copy that fills the disk would keep logins from being saved.
fn needed(database: &Path) -> std::io::Result<u64> {
    let log = std::fs::metadata(super::restore::beside(database, "-wal")).map_or(0, |log| log.len());
    let bytes = std::fs::metadata(database)?.len().saturating_add(log);
    Ok(bytes.saturating_add(bytes / 10))
}

fn room_beside(database: &Path) -> std::io::Result<u64> {
    let disk = nix::sys::statvfs::statvfs(crate::files::directory_of(database))?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Length and SHA-256 of what is left of a file.
///
/// # Errors
/// If it cannot be read.
pub fn digest(file: &mut File) -> std::io::Result<(u64, [u8; 32])> {
    let (mut hasher, mut block, mut bytes) = (Sha256::new(), vec![0; BLOCK], 0);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok((bytes, hasher.finalize().into()));
        }
        hasher.update(&block[..read]);
        bytes += read as u64;
    }
}

/// The name that a copy has while it is made.
fn unfinished(data_dir: &Path) -> PathBuf {
    data_dir.join("fobd.backup")
}

/// Takes away what a crash left of copies that were being made.
pub(super) fn sweep(data_dir: &Path) {
    let path = unfinished(data_dir);
    for path in [super::restore::beside(&path, "-journal"), path] {
        if path.exists() && std::fs::remove_file(&path).is_ok() {
            tracing::warn!(file = %path.display(), "took away what was left of a backup that was cut off");
        }
    }
}

/// Checks a copy from end to end, without the master key, and changes nothing of it.
///
/// # Errors
/// [`StoreError`] says what is wrong with it.
pub fn check(path: &Path) -> Result<About, StoreError> {
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    if let Err(source) = File::open(path) {
        return Err(StoreError::File { path: path.to_owned(), source });
    }
    let connection = audit::copy::connect(path).map_err(damaged)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(damaged)?;
    let unusable = |problem| StoreError::Unusable { path: path.to_owned(), problem };
    if version < 1 {
        return Err(unusable("it is not a fobd database"));
    }
    if version > schema::VERSION {
        let (path, known) = (path.to_owned(), schema::VERSION);
        return Err(StoreError::Newer { path, found: version, known });
    }
    let sound: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    let astray =
        connection.query_row("PRAGMA foreign_key_check", [], |_| Ok(())).optional().map_err(damaged)?;
    if sound != "ok" || astray.is_some() {
        return Err(unusable("it is damaged"));
    }
    let (master_key, _) = sealing::master_ids(&connection)?;
    let newest = connection
        .query_row("SELECT sequence, at_ms FROM audit ORDER BY sequence DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?)))
        })
        .optional()
        .map_err(damaged)?;
    Ok(About { version, master_key, newest })
}
