//! The only room that says SQL: one SQLite file, one writer, some readers.
//!
//! - [`Store::decide`] runs a hot write (verify, resync, reset): data, shared load and flush ([`hot`]).
//! - [`Store::write`] runs any other change as a closure over [`Tx`], with a savepoint of its own.
//! - [`Store::read`] runs on a connection that cannot write.
//!
//! Both kinds of change are answered only after their commit has reached the disk (`store/writer.rs`).

pub mod agents;
pub mod assignments;
pub mod audit;
pub mod backup;
pub mod bearers;
pub mod catalogue;
pub mod clients;
pub mod clocks;
pub mod directory;
pub mod downloads;
pub mod figures;
pub mod findings;
pub mod groups;
mod guard;
pub mod hot;
pub mod imports;
pub mod jobs;
pub mod names;
pub mod objects;
pub mod operators;
pub mod policies;
pub mod preauth;
pub mod resends;
pub mod restore;
pub mod rotation;
mod schema;
pub mod sealing;
pub mod server_clock;
pub mod tokens;
pub mod user_tokens;
mod writer;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, watch};

use self::hot::{Memory, Overlay, ReaderView, Unfolded};
use self::names::Names;
pub use self::schema::Synchronous;
use self::sealing::{KeyError, MasterKey, Vault};
use self::writer::Writer;
use crate::audit::SignedHead;
use crate::files;
use crate::metrics::Commits;
use crate::model::id::JobId;
use crate::model::scope::{self, Scope};
use crate::otp::pin::PinKey;
use crate::otp::time::{Clock, Timestamp};

/// Readers at the same time. Reads are short and come from the page cache; two cores serve no more.
const READERS: usize = 4;

/// Longest time that a read may take.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine between two looks at the clock.
const PROGRESS_OPS: std::ffi::c_int = 10_000;

/// Why the store cannot do something. None of these is the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory holds no database.
    #[error("{} is missing: make it with `fobd init`", .0.display())]
    NotInitialised(PathBuf),
    /// `init` was called twice.
    #[error("{} is there already: nothing was changed", .0.display())]
    AlreadyThere(PathBuf),
    /// The file was written by a later version of this program.
    #[error("{} has schema version {found}, this program knows up to {known}: use a newer fobd", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Version of the program.
        known: i64,
    },
    /// Another server works on the same directory.
    #[error("{} is held by another fobd: one server at a time", .0.display())]
    InUse(PathBuf),
    /// The file cannot be used.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file cannot be read as a database.
    #[error("{} cannot be used: {source}; nothing of it was changed", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
    /// A read took longer than it may.
    #[error("the read took longer than {} s", READ_LIMIT.as_secs())]
    TooSlow,
    /// Keys or sealed values.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A column holds what this program never writes.
    #[error("a value in {place} cannot be read")]
    Unreadable {
        /// Table and column.
        place: &'static str,
    },
    /// A statement changed another number of rows than it must.
    #[error("a statement changed {changed} rows instead of {expected}")]
    RowCount {
        /// Rows that it must change.
        expected: usize,
        /// Rows that it changed.
        changed: usize,
    },
    /// The commit failed; nothing of the batch stands.
    #[error("the change could not be saved: {0}")]
    NotCommitted(String),
    /// Too many changes are waiting.
    #[error("too many changes are waiting to be saved")]
    Overloaded,
    /// The writer has ended.
    #[error("the store is closed")]
    Stopped,
    /// The row is outside what the caller sees, or gone.
    #[error("{0} not found")]
    OutOfScope(&'static str),
    /// A caller who sees some objects of a kind cannot make new ones, which it would not see.
    #[error("a caller who is narrowed to some objects of the kind {0} cannot make more of them")]
    Narrowed(&'static str),
    /// A thread could not be started.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
    /// The work panicked; its changes were undone.
    #[error("an internal fault ended the work; nothing was changed")]
    Panicked,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    /// Whether a later try may fare better: the store is busy or going down, or the disk refuses.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Self::Overloaded | Self::Stopped | Self::NotCommitted(_) => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                )
            ),
            _ => false,
        }
    }
}

/// Where a store lives.
#[derive(Clone, Debug)]
pub struct Location {
    /// The directory of the database.
    pub data_dir: PathBuf,
    /// The master key, outside the database.
    pub key_file: PathBuf,
}

impl Location {
    /// The database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("fobd.db")
    }
}

/// An open store, as somebody sees it. Dropping the last of its handles finishes what is waiting and closes the file.
#[derive(Clone)]
pub struct Store {
    file: Arc<Opened>,
    scope: Scope,
}

struct Opened {
    writer: Writer,
    commits: Commits,
    /// Who is told of jobs that were moved on.
    observer: Arc<OnceLock<jobs::Observer>>,
    readers: Arc<Readers>,
    names: Arc<Names>,
    vault: Arc<Vault>,
    location: Location,
    /// Held as long as the store is open. The system lets go of it when the process ends, however it ends.
    _lock: File,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<ReadConnection>>,
    places: Semaphore,
    overlay: Arc<Overlay>,
}

struct ReadConnection {
    connection: Connection,
    /// When its reader came in, as the overlay counts.
    epoch: Arc<AtomicU64>,
}

impl Store {
    /// Makes a new store: all of it, or nothing that a later start would take for one.
    ///
    /// # Errors
    /// [`StoreError::AlreadyThere`] if there is a database.
    pub fn create(
        location: &Location,
        now: Timestamp,
        fill: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let path = location.database();
        if path.exists() {
            return Err(StoreError::AlreadyThere(path));
        }
        let master = MasterKey::make(&location.key_file)?;
        let unfinished = path.with_extension("new");
        let at = |source| StoreError::File { path: unfinished.clone(), source };
        if unfinished.exists() {
            // Left by a start that was cut off before anything was promised to anybody.
            std::fs::remove_file(&unfinished).map_err(at)?;
        }
        let mut connection = schema::create(&unfinished)?;
        let transaction = connection.transaction()?;
        Vault::create(&transaction, &master)?;
        let vault = Vault::open(&transaction, &master)?;
        let unfolded = Unfolded::default();
        let tx = Tx::new(&transaction, &vault, now, &scope::ALL, &unfolded);
        fill(&tx)?;
        let (additions, _) = tx.finish()?;
        audit::create(&transaction, &vault, now)?.append(&transaction, now, &additions)?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        std::fs::rename(&unfinished, &path).map_err(at)?;
        files::sync_directory_of(&path).map_err(at)
    }

    /// Opens the store of a data directory.
    ///
    /// # Errors
    /// [`StoreError`] says which file cannot be used and why; nothing is changed then.
    pub fn open(
        location: &Location,
        synchronous: Synchronous,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let path = location.database();
        let lock = lock(location)?;
        backup::sweep(&location.data_dir);
        restore::sweep(&location.data_dir);
        let master = MasterKey::load(&location.key_file)?;
        // What SQLite says of a file that it cannot read does not name it.
        let damaged = |error| match error {
            StoreError::Sqlite(source) => StoreError::Damaged { path: path.clone(), source },
            error => error,
        };
        let mut connection = schema::open(&path).map_err(damaged)?;
        let vault = Arc::new(Vault::open(&connection, &master).map_err(damaged)?);
        schema::prepare_writer(&mut connection, &path, synchronous).map_err(damaged)?;
        let overlay = Arc::new(Overlay::default());
        let readers = Arc::new(Readers {
            path: path.clone(),
            idle: Mutex::default(),
            places: Semaphore::new(READERS),
            overlay: Arc::clone(&overlay),
        });
        let names = Arc::new(Names::default());
        let memory = Memory::new(&mut connection, overlay, Arc::clone(&names)).map_err(damaged)?;
        let log = audit::open(&mut connection, &vault, clock.now()).map_err(damaged)?;
        let observer = Arc::default();
        let commits = Commits::default();
        let telling = (Arc::clone(&observer), commits.clone());
        let writer = Writer::start(connection, Arc::clone(&vault), clock, telling, log, memory)?;
        Ok(Self {
            file: Arc::new(Opened {
                writer,
                commits,
                observer,
                readers,
                names,
                vault,
                location: location.clone(),
                _lock: lock,
            }),
            scope: Scope::default(),
        })
    }

    /// The same store for a caller who sees only a part of it. What is outside is neither read nor changed.
    #[must_use]
    pub fn seen_by(&self, scope: &Scope) -> Self {
        Self { file: Arc::clone(&self.file), scope: scope.clone() }
    }

    /// The same store, all of it: for what the server does of itself.
    #[must_use]
    pub fn whole(&self) -> Self {
        self.seen_by(&scope::ALL)
    }

    /// Whether changes reach the disk.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.file.writer.is_healthy()
    }

    /// What it counts of its commits.
    #[must_use]
    pub fn commits(&self) -> &Commits {
        &self.file.commits
    }

    /// Saves something of no matter, to find out whether the disk takes changes again after it refused one.
    ///
    /// # Errors
    /// [`StoreError`] if it does not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.write(|tx| tx.rewrite_version()).await
    }

    /// Whether a change is waiting to be saved right now. Long work takes smaller pieces then.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.file.writer.waiting() > 0
    }

    /// Where it lives.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.file.location
    }

    /// The key under which PINs are kept.
    #[must_use]
    pub fn pin_key(&self) -> &PinKey {
        self.file.vault.pin_key()
    }

    /// Decides and changes hot rows; returns once the change is on the disk.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn decide<D: hot::Decision>(&self, decision: D) -> Result<D::Reply, StoreError> {
        self.file.writer.decide(decision, self.scope.clone()).await
    }

    /// Runs a change; returns once it is on the disk. An error of the closure undoes all it did.
    ///
    /// # Errors
    /// What the closure returned, or a [`StoreError`] if the change could not be saved.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.file.writer.work(work, self.scope.clone()).await
    }

    /// Reads a consistent state of the file.
    ///
    /// # Errors
    /// What the closure returned, or a [`StoreError`] if the file cannot be read.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.file.readers);
        let vault = Arc::clone(&self.file.vault);
        let scope = self.scope.clone();
        // The semaphore is never closed.
        let _place = self.file.readers.places.acquire().await.map_err(|_| E::from(StoreError::Stopped))?;
        // What it logs belongs to the request that asks.
        let span = tracing::Span::current();
        let read = move || span.in_scope(|| readers.read(&vault, &scope, work));
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(E::from(StoreError::Panicked)))
    }

    /// Reads like [`Self::read`], on the thread of the caller: for what an index finds in some microseconds. To hand
    /// that to another thread and back would take several times as long.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn look_up<T, E>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        // Where all places are taken, one waits for them off this thread.
        let Ok(_place) = self.file.readers.places.try_acquire() else { return self.read(work).await };
        let read = || self.file.readers.read(&self.file.vault, &self.scope, work);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(E::from(StoreError::Panicked)))
    }

    /// Says who is told of jobs that were begun or moved on, once their commit stands and before anybody is answered.
    /// Only the first one is; called on the writer's thread, so it must be quick.
    pub fn observe_jobs(&self, observer: jobs::Observer) {
        let _ = self.file.observer.set(observer);
    }

    /// Signs the end of the audit log, unless that is signed already; `None` if the log is empty.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be saved.
    pub async fn sign_audit(&self) -> Result<Option<SignedHead>, StoreError> {
        self.file.writer.sign().await
    }

    /// Changes how long an audit row may be without a signed head after it; a minute at first.
    pub fn sign_audit_after(&self, after: Duration) {
        self.file.writer.sign_after(after);
    }

    /// Sequence of the newest audit row that is on the disk, each time that changes.
    #[must_use]
    pub fn watch_audit(&self) -> watch::Receiver<i64> {
        self.file.writer.watch()
    }

    /// Finishes what is waiting and closes the file.
    pub fn stop(&self) {
        self.file.writer.stop();
    }
}

/// Two servers on one file would each trust a memory that the other one changes.
fn lock(location: &Location) -> Result<File, StoreError> {
    if !location.database().exists() {
        return Err(StoreError::NotInitialised(location.database()));
    }
    lock_directory(&location.data_dir)
}

fn lock_directory(data_dir: &Path) -> Result<File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data_dir.join("fobd.lock");
    let at = |source| StoreError::File { path: path.clone(), source };
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(at(source)),
    }
}

impl Readers {
    fn open(&self) -> Result<ReadConnection, StoreError> {
        let connection = schema::open_reader(&self.path)?;
        let epoch = Arc::new(AtomicU64::new(0));
        let view = ReaderView { overlay: Arc::clone(&self.overlay), epoch: Arc::clone(&epoch) };
        hot::install_views(&connection, view)?;
        Ok(ReadConnection { connection, epoch })
    }

    fn read<T, E: From<StoreError>>(
        &self,
        vault: &Vault,
        scope: &Scope,
        work: impl FnOnce(&Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let ReadConnection { mut connection, epoch } = match idle {
            Some(connection) => connection,
            None => self.open().map_err(E::from)?,
        };
        let visit = self.overlay.enter();
        epoch.store(visit.epoch, Ordering::Relaxed);
        let deadline = Instant::now() + READ_LIMIT;
        connection
            .progress_handler(PROGRESS_OPS, Some(move || Instant::now() > deadline))
            .map_err(|error| E::from(StoreError::from(error)))?;
        let outcome = {
            let transaction =
                connection.unchecked_transaction().map_err(|error| E::from(StoreError::from(error)))?;
            work(&Reader { connection: &transaction, vault, scope })
        };
        drop(visit);
        let idle = ReadConnection { connection, epoch };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        outcome
    }
}

/// A consistent view of the file, as far as a caller sees it.
pub struct Reader<'c> {
    connection: &'c Connection,
    vault: &'c Vault,
    scope: &'c Scope,
}

impl<'c> Reader<'c> {
    /// The same view without a scope, to see what is taken by others.
    #[must_use]
    pub fn whole(&self) -> Reader<'c> {
        Reader { connection: self.connection, vault: self.vault, scope: &scope::ALL }
    }
}

impl Reader<'_> {
    /// Reads one row, to see whether reading works.
    ///
    /// # Errors
    /// [`StoreError`] if it does not.
    pub fn is_readable(&self) -> Result<(), StoreError> {
        self.connection.prepare_cached("SELECT count(*) FROM meta")?.query_row([], |_| Ok(()))?;
        Ok(())
    }
}

/// A change under way. Nothing of it is seen by anybody before its commit.
pub struct Tx<'c> {
    reader: Reader<'c>,
    now: Timestamp,
    entries: RefCell<Vec<audit::Entry>>,
    /// The jobs that were begun or moved on.
    moved_jobs: RefCell<Vec<JobId>>,
    /// The newest audit row that is to be given up.
    cut: Cell<Option<i64>>,
    /// How many tokens were added.
    added: RefCell<BTreeMap<tokens::Home, i64>>,
    /// States that decisions have moved and no table has yet.
    unfolded: &'c Unfolded,
    /// Those of them that this change has settled.
    settled: RefCell<Vec<hot::Settled>>,
}

impl<'c> Tx<'c> {
    fn new(
        connection: &'c Connection,
        vault: &'c Vault,
        now: Timestamp,
        scope: &'c Scope,
        unfolded: &'c Unfolded,
    ) -> Self {
        Self {
            reader: Reader { connection, vault, scope },
            now,
            entries: RefCell::default(),
            moved_jobs: RefCell::default(),
            cut: Cell::default(),
            added: RefCell::default(),
            unfolded,
            settled: RefCell::default(),
        }
    }

    /// The time of this commit.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sees what this change has done so far.
    #[must_use]
    pub fn reader(&self) -> &Reader<'c> {
        &self.reader
    }

    /// The keys of the store.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        self.reader.vault
    }

    /// Adds a row to the audit log, in the same commit.
    pub fn audit(&self, entry: audit::Entry) {
        self.entries.borrow_mut().push(entry);
    }

    fn connection(&self) -> &'c Connection {
        self.reader.connection
    }

    /// Writes a page of the file without changing what it says. An UPDATE would not: SQLite leaves a page alone
    /// whose rows stay what they were.
    fn rewrite_version(&self) -> Result<(), StoreError> {
        let version: i64 = self.connection().query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok(self.connection().pragma_update(None, "user_version", version)?)
    }

    /// The change is taken back, and what it has settled with it.
    fn unsettle(self) {
        self.unfolded.unsettle(self.settled.into_inner());
    }

    /// Writes what was put off to the end of the change, its counts. Returns what is put off to the end of the commit,
    /// its audit rows; and the jobs that the change has moved on, as they stand now.
    fn finish(self) -> Result<(audit::Additions, Vec<jobs::Row>), StoreError> {
        self.count_added()?;
        let whole = self.reader.whole();
        let jobs = self.moved_jobs.into_inner().into_iter().map(|job| whole.job_row(job));
        let jobs = jobs.collect::<Result<_, _>>()?;
        let additions =
            audit::Additions { entries: self.entries.into_inner(), cut: self.cut.get(), sign: false };
        Ok((additions, jobs))
    }
}

/// Whether a path is inside a directory, as far as their names tell.
#[must_use]
pub fn lies_in(path: &Path, directory: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute(path).starts_with(absolute(directory))
}
