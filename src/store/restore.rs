//! A backup becomes the database again: copied under another name, checked, changed in one transaction so that nothing
//! that was good after the backup is good twice, and only then given its name.
//!
//! What was accepted after the backup was taken is in no file any more. So no counter of the backup is trusted: HOTP
//! waits for a resync, TOTP accepts only what cannot have been used yet
//! ([`FactorState::after_restore`](crate::otp::factor::FactorState::after_restore)), and what stood for a login or was
//! good once is gone. The rules are in `apply_rules`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::hot::{FACTOR_COLUMNS, one_row, read_factor, read_parameters};
use super::sealing::{MasterKey, Vault};
use super::{Location, StoreError, Synchronous, audit, policies, preauth, resends, schema};
use crate::files;
use crate::model::id::{ProductId, TokenId};
use crate::otp::credential::Kind;
use crate::otp::time::Timestamp;

/// Why something is no more what it was.
const WHY: &str = "the database was restored from a backup";
/// Tokens of one look.
const PAGE: i64 = 10_000;

/// A backup that is being restored. Dropped before it is installed, it leaves nothing.
pub struct Restoring {
    location: Location,
    path: PathBuf,
    /// No server starts meanwhile.
    _lock: File,
}

/// What the rules changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// HOTP credentials that wait for a resync.
    pub to_resync: u64,
    /// TOTP credentials.
    pub totp: u64,
    /// Sessions and tokens of OAuth 2.0 that were ended.
    pub sessions: u64,
    /// Links for secrets that were ended.
    pub downloads: u64,
    /// Pre-auth tokens that were available.
    pub preauth_tokens: u64,
    /// Provisioning jobs that were under way.
    pub jobs: u64,
}

impl Restoring {
    /// Copies a backup into a data directory, under a name that no server takes for a database.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a server runs there, [`StoreError::AlreadyThere`] if there is a database that is
    /// not to be replaced.
    pub fn copy(backup: &Path, location: &Location, replace: bool) -> Result<Self, StoreError> {
        let lock = super::lock_directory(&location.data_dir)?;
        let database = location.database();
        if database.exists() && !replace {
            return Err(StoreError::AlreadyThere(database));
        }
        sweep(&location.data_dir);
        let path = unfinished(&location.data_dir);
        let this = Self { location: location.clone(), path: path.clone(), _lock: lock };
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { path, source }
        };
        let mut from = File::open(backup).map_err(at(backup))?;
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
        let mut to = options.open(&path).map_err(at(&path))?;
        let mut block = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut block).map_err(at(backup))?;
            if read == 0 {
                return Ok(this);
            }
            to.write_all(&block[..read]).map_err(at(&path))?;
        }
    }

    /// Where the copy is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the tables up to date and applies the rules. The audit log goes on as a new node, with one row that says
    /// what was done.
    ///
    /// # Errors
    /// [`StoreError`] also if the master key is another one.
    pub fn apply(
        &self,
        master: &MasterKey,
        now: Timestamp,
        entry: impl FnOnce(&Changed) -> audit::Entry,
    ) -> Result<Changed, StoreError> {
        let mut connection = schema::open(&self.path)?;
        let vault = Vault::open(&connection, master)?;
        schema::prepare_writer(&mut connection, &self.path, Synchronous::Full)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = apply_rules(&transaction, now)?;
        let additions = audit::Additions { entries: vec![entry(&changed)], sign: true, cut: None };
        audit::create(&transaction, &vault, now)?.append(&transaction, now, &additions)?;
        transaction.commit()?;
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(changed)
    }

    /// Gives the copy its name. A database that had it is kept beside, under the name that is returned.
    ///
    /// # Errors
    /// [`StoreError::File`]; the old database is there then, under one of the two names.
    pub fn install(self, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
        let database = self.location.database();
        let at = |source| StoreError::File { path: database.clone(), source };
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(at)?;
        let names = (0_u32..).map(|n| beside(&database, &format!(".replaced-{}-{n}", now.as_secs())));
        let kept = names.into_iter().find(|name| !name.exists()).unwrap_or_default();
        let replaced = database.exists();
        if replaced {
            fold(&database);
        }
        // The database first: a log without one is nothing, a database without its log would be one that is too old.
        for suffix in ["", "-wal", "-shm"] {
            let (from, to) = (beside(&database, suffix), beside(&kept, suffix));
            if from.exists() {
                fs::rename(&from, &to).map_err(at)?;
            }
        }
        let placed = files::sync_directory_of(&database)
            .and_then(|()| fs::rename(&self.path, &database))
            .and_then(|()| files::sync_directory_of(&database));
        placed.map_err(at)?;
        Ok(replaced.then_some(kept))
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        sweep(&self.location.data_dir);
    }
}

/// Folds the write-ahead log of a database that is put aside, if it can still be read.
fn fold(database: &Path) {
    let folded = Connection::open(database)
        .and_then(|connection| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
    if let Err(error) = folded {
        tracing::warn!(%error, "the old database cannot be read; it is kept as it is");
    }
}

fn unfinished(data_dir: &Path) -> PathBuf {
    data_dir.join("fobd.restoring")
}

/// A file beside another one, by a suffix of its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Takes away what is left of a restore that was cut off.
pub(super) fn sweep(data_dir: &Path) {
    let path = unfinished(data_dir);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(&path, suffix));
    }
}

/// What must be no more, or not yet, in a database that is older than what it has promised.
fn apply_rules(connection: &Connection, now: Timestamp) -> Result<Changed, StoreError> {
    let mut changed = Changed::default();
    set_factors(connection, now, &mut changed)?;
    changed.sessions = connection.execute("DELETE FROM bearers", [])? as u64;
    changed.downloads = connection.execute("DELETE FROM downloads", [])? as u64;
    changed.preauth_tokens = preauth::invalidate_all(connection, now, WHY)? as u64;
    connection.execute("UPDATE operators SET generation = generation + 1", [])?;
    resends::forget(connection)?;
    // What a device got after the backup, nobody knows; and a passcode that proved a job once must not do it again.
    changed.jobs = connection.execute(
        "UPDATE jobs SET state = 'wipe_before_use', error = ?2, updated_ms = ?1
         WHERE state NOT IN ('ready', 'undone', 'wipe_before_use')",
        (now.as_millis(), WHY),
    )? as u64;
    Ok(changed)
}

fn set_factors(connection: &Connection, now: Timestamp, changed: &mut Changed) -> Result<(), StoreError> {
    let policies = policies::load(connection)?;
    let mut select = connection.prepare(&format!(
        "SELECT s.token_id, t.product_id, c.kind, c.hash, c.digits, c.time_step_seconds, {FACTOR_COLUMNS}
         FROM token_states s JOIN credentials c ON c.token_id = s.token_id JOIN tokens t ON t.id = s.token_id
         WHERE s.token_id > ?1 ORDER BY s.token_id LIMIT ?2"
    ))?;
    let mut put = connection.prepare(
        "UPDATE token_states SET next_factor = ?2, needs_sync = ?3, pending_factor = NULL, pending_at_ms = NULL
         WHERE token_id = ?1",
    )?;
    let mut after = i64::MIN;
    loop {
        let page = select.query_map((after, PAGE), |row| {
            let ids = (TokenId(row.get(0)?), ProductId(row.get(1)?));
            Ok((ids, read_parameters(row, 2)?.kind, read_factor(row, 6)?))
        })?;
        let page = page.collect::<rusqlite::Result<Vec<_>>>()?;
        let Some(((last, _), ..)) = page.last() else { return Ok(()) };
        after = last.0;
        for ((token, product), kind, state) in page {
            let state = state.after_restore(kind, now, policies.of(token, product));
            one_row(put.execute((token.0, state.next as i64, state.needs_sync))?)?;
            *(if kind == Kind::Hotp { &mut changed.to_resync } else { &mut changed.totp }) += 1;
        }
    }
}
