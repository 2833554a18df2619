//! The one writer: takes all that is waiting into one transaction, commits, then answers.
//!
//! An fsync takes 0.25 ms on a quiet disk and 4 ms on a busy one, so sharing it is what decides throughput. A
//! lone write never waits for a timer: the batch is whatever queued up while the last commit was under way.
//!
//! Decisions ([`super::hot`]) that follow each other share one load and one flush. Other work gets a savepoint
//! of its own: its error or panic undoes its own changes and no others. A failed commit, or a decision that
//! panics, fails the whole batch and forgets all memory of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use super::audit::{Additions, Entry, Log, Tail};
use super::hot::{Decision, Keys, Rows};
use super::jobs::{Observer, Row};
use super::sealing::Vault;
use super::{StoreError, Tx};
use crate::audit::SignedHead;
use crate::metrics::Commits;
use crate::model::scope::Scope;
use crate::otp::time::{Clock, Timestamp};

/// Requests that may wait for the writer; more are refused, so that a stuck disk does not eat the memory.
const QUEUE: usize = 8192;
/// Most requests of one commit. It bounds how long the first of them waits for the others.
const MAX_BATCH: usize = 1024;

/// Pages after which the write-ahead log is folded into the database: 4 MiB. Counted in pages, because that is what
/// folding costs: a thousand rows of an import share some dozens of them, a thousand verifies hardly any.
const FOLD_AFTER_PAGES: i32 = 1000;

/// Sends the answer, once it is known whether the commit stands.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Who waits for a signed head.
type Signature = oneshot::Sender<Result<Option<SignedHead>, StoreError>>;

enum Request {
    Decide(Box<dyn AnyDecision>),
    Work(Scope, Box<dyn FnOnce(&Tx<'_>) -> WorkDone + Send>),
    /// Signs the end of the audit log.
    Sign(Signature),
    Stop,
}

/// What became of one piece of work inside its savepoint.
struct WorkDone {
    keep: bool,
    answer: Answer,
}

/// What is to be told once it is known whether a commit stands.
#[derive(Default)]
struct After {
    answers: Vec<Answer>,
    /// Jobs that were begun or moved on.
    jobs: Vec<Row>,
    signatures: Vec<Signature>,
}

/// A [`Decision`] with its way back to the caller.
trait AnyDecision: Send {
    fn keys(&self) -> Keys;
    fn decide(self: Box<Self>, rows: &mut Rows, now: Timestamp) -> (Entry, Answer);
    fn refuse(self: Box<Self>, error: StoreError);
}

struct Asked<D: Decision> {
    decision: D,
    scope: Scope,
    reply: oneshot::Sender<Result<D::Reply, StoreError>>,
}

impl<D: Decision> AnyDecision for Asked<D> {
    fn keys(&self) -> Keys {
        self.decision.keys()
    }

    fn decide(self: Box<Self>, rows: &mut Rows, now: Timestamp) -> (Entry, Answer) {
        let Self { decision, scope, reply } = *self;
        let (value, entry) = rows.seen_by(&scope, |rows| decision.decide(rows, now));
        // A caller that went away does not undo what was decided.
        (entry, Box::new(move |stands| drop(reply.send(stands.map(|()| value)))))
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.reply.send(Err(error)));
    }
}

/// The handle by which requests reach the writer.
pub(super) struct Writer {
    requests: SyncSender<Request>,
    healthy: Arc<AtomicBool>,
    /// Requests that wait for their answer.
    waiting: AtomicUsize,
    /// The newest audit row on the disk.
    newest: watch::Receiver<i64>,
    sign_after_ms: Arc<AtomicU64>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        mut connection: Connection,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        (observer, commits): (Arc<OnceLock<Observer>>, Commits),
        log: Log,
    ) -> Result<Self, StoreError> {
        let (requests, waiting) = sync_channel(QUEUE);
        let log_pages = Arc::new(AtomicI32::new(0));
        let pages_after = Arc::clone(&log_pages);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            pages_after.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        let healthy = Arc::new(AtomicBool::new(true));
        let sign_after_ms = log.sign_after_ms();
        let (newest, watched) = watch::channel(log.newest());
        let state = State {
            connection,
            log,
            newest,
            vault,
            clock,
            rows: Rows::default(),
            healthy: Arc::clone(&healthy),
            broken: None,
            log_pages,
            observer,
            commits,
        };
        let thread = std::thread::Builder::new()
            .name("fobd-writer".to_owned())
            .spawn(move || state.run(&waiting))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            requests,
            healthy,
            waiting: AtomicUsize::new(0),
            newest: watched,
            sign_after_ms,
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    /// Whether the last commit reached the disk.
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    pub(super) async fn decide<D: Decision>(
        &self,
        decision: D,
        scope: Scope,
    ) -> Result<D::Reply, StoreError> {
        let _waiting = Waiting::new(&self.waiting);
        let (reply, answer) = oneshot::channel();
        self.send(Request::Decide(Box::new(Asked { decision, scope, reply })))?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    pub(super) async fn work<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
        scope: Scope,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let _waiting = Waiting::new(&self.waiting);
        let (reply, answer) = oneshot::channel::<Result<T, E>>();
        // What it logs belongs to the request that asks.
        let span = tracing::Span::current();
        let work = Box::new(move |tx: &Tx<'_>| {
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| work(tx))))
                .unwrap_or_else(|_| Err(E::from(StoreError::Panicked)));
            WorkDone {
                keep: outcome.is_ok(),
                // Without its commit not even a refusal stands: it may rest on a change of the same batch.
                answer: Box::new(move |stands: Result<(), StoreError>| {
                    drop(reply.send(stands.map_err(E::from).and(outcome)));
                }),
            }
        });
        self.send(Request::Work(scope, work)).map_err(E::from)?;
        answer.await.map_err(|_| E::from(StoreError::Stopped))?
    }

    pub(super) async fn sign(&self) -> Result<Option<SignedHead>, StoreError> {
        let _waiting = Waiting::new(&self.waiting);
        let (reply, answer) = oneshot::channel();
        self.send(Request::Sign(reply))?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Changes how long an audit row may be without a signed head after it.
    pub(super) fn sign_after(&self, after: Duration) {
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.sign_after_ms.store(millis, Ordering::Relaxed);
    }

    /// The newest audit row on the disk.
    pub(super) fn watch(&self) -> watch::Receiver<i64> {
        self.newest.clone()
    }

    /// How many requests wait for their answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn send(&self, request: Request) -> Result<(), StoreError> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })
    }

    /// Finishes what is waiting and closes the file.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // `send` and not `try_send`: a full queue is worked off, not given up.
            drop(self.requests.send(Request::Stop));
            drop(thread.join());
        }
    }
}

/// One request that waits, for as long as this lives.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn new(waiting: &'w AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct State {
    connection: Connection,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    rows: Rows,
    log: Log,
    newest: watch::Sender<i64>,
    healthy: Arc<AtomicBool>,
    /// Why nothing more is written until a restart.
    broken: Option<String>,
    /// Pages of the write-ahead log after the last commit.
    log_pages: Arc<AtomicI32>,
    /// Who is told of jobs that were moved on.
    observer: Arc<OnceLock<Observer>>,
    commits: Commits,
}

impl Drop for State {
    /// However the thread ends: without a writer nothing can be saved.
    fn drop(&mut self) {
        self.healthy.store(false, Ordering::Release);
    }
}

impl State {
    fn run(mut self, waiting: &Receiver<Request>) {
        let mut stopping = false;
        if let Some(entry) = self.log.damage_entry() {
            self.commit(Vec::new(), Additions { entries: vec![entry], ..Additions::default() });
        }
        while !stopping {
            let mut batch = Vec::new();
            let mut next = match self.receive(waiting) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => {
                    self.sign();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while let Some(request) = next {
                match request {
                    Request::Stop => stopping = true,
                    request => batch.push(request),
                }
                next = if batch.len() < MAX_BATCH && !stopping { waiting.try_recv().ok() } else { None };
            }
            if !batch.is_empty() {
                self.commit(batch, Additions::default());
                self.fold();
            }
        }
        self.sign();
        // Leaves one file behind and nothing to replay.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the write-ahead log could not be folded into the database at the end");
        }
    }

    /// Waits for a request, but not past the time by which the newest audit rows must have a signed head.
    fn receive(&self, waiting: &Receiver<Request>) -> Result<Request, RecvTimeoutError> {
        match self.log.patience(self.clock.now()).filter(|_| self.broken.is_none()) {
            Some(patience) => waiting.recv_timeout(patience),
            None => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Signs the end of the audit log in a commit of its own.
    fn sign(&mut self) {
        if self.broken.is_none() {
            self.commit(Vec::new(), Additions { sign: true, ..Additions::default() });
        }
    }

    /// Folds the write-ahead log into the database once it is long enough, after everybody was answered.
    ///
    /// SQLite would do this by itself at the end of a commit, but it would keep a failed fsync of the database to
    /// itself, and a later try would find the pages clean and drop the log that still had them.
    fn fold(&mut self) {
        if self.broken.is_some() || self.log_pages.load(Ordering::Relaxed) < FOLD_AFTER_PAGES {
            return;
        }
        let folded = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = folded {
            tracing::error!(%error, "the write-ahead log cannot be folded into the database");
            if is_fatal(&error) {
                self.healthy.store(false, Ordering::Release);
                self.broken = Some(error.to_string());
            }
        }
    }

    fn tell(&self, jobs: Vec<Row>) {
        let Some(observer) = self.observer.get().filter(|_| !jobs.is_empty()) else { return };
        // What it does is not worth the writer.
        if catch_unwind(AssertUnwindSafe(|| observer(jobs))).is_err() {
            tracing::error!("who is told of jobs broke down");
        }
    }

    /// Runs a batch in one transaction, with these audit rows first, and answers everybody in it.
    fn commit(&mut self, batch: Vec<Request>, additions: Additions) {
        if let Some(cause) = &self.broken {
            for request in batch {
                refuse(request, cause);
            }
            return;
        }
        let now = self.clock.now();
        let answers = Vec::with_capacity(batch.len());
        let mut after = After { answers, ..After::default() };
        let (requests, begun) = (batch.len(), Instant::now());
        let outcome = self.run_batch(batch, now, additions, &mut after);
        self.commits.ended(requests, begun.elapsed(), outcome.is_ok());
        let After { answers, jobs, signatures } = after;
        match &outcome {
            Ok((tail, _)) => {
                self.healthy.store(true, Ordering::Release);
                if let Some(tail) = tail {
                    self.log.remember(*tail);
                    self.newest.send_replace(tail.sequence);
                }
                self.tell(jobs);
            }
            Err(error) => {
                tracing::error!(%error, requests = answers.len(), "a commit failed: nothing of it stands");
                self.healthy.store(false, Ordering::Release);
                self.rows = Rows::default();
                self.log.forget();
                // After a failed fsync the page cache and the disk may differ, whatever a second try says.
                if let StoreError::Sqlite(error) = error
                    && is_fatal(error)
                {
                    tracing::error!("nothing more is written until the server is started again");
                    self.broken = Some(error.to_string());
                }
            }
        }
        let told = |error: &StoreError| StoreError::NotCommitted(error.to_string());
        for answer in answers {
            answer(outcome.as_ref().map(|_| ()).map_err(told));
        }
        for signature in signatures {
            drop(signature.send(outcome.as_ref().map(|(_, head)| *head).map_err(told)));
        }
    }

    fn run_batch(
        &mut self,
        batch: Vec<Request>,
        now: Timestamp,
        mut additions: Additions,
        after: &mut After,
    ) -> Result<(Option<Tail>, Option<SignedHead>), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = match transaction {
            Ok(transaction) => transaction,
            Err(error) => {
                let text = error.to_string();
                for request in batch {
                    refuse(request, &text);
                }
                return Err(error.into());
            }
        };
        let mut batch = batch.into_iter().peekable();
        let mut failure: Option<StoreError> = None;
        while let Some(request) = batch.next() {
            if let Some(error) = &failure {
                refuse(request, &error.to_string());
                continue;
            }
            let outcome = match request {
                Request::Decide(first) => {
                    let mut run = vec![first];
                    while let Some(Request::Decide(_)) = batch.peek() {
                        if let Some(Request::Decide(more)) = batch.next() {
                            run.push(more);
                        }
                    }
                    decide(&transaction, &self.vault, &mut self.rows, run, now, &mut after.answers)
                }
                Request::Work(scope, work) => {
                    run_work(&transaction, &self.vault, &mut self.rows, &scope, work, now, after)
                }
                Request::Sign(reply) => {
                    after.signatures.push(reply);
                    Ok(Additions { sign: true, ..Additions::default() })
                }
                Request::Stop => Ok(Additions::default()),
            };
            match outcome {
                Ok(more) => additions.add(more),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        // Last of all: now the order of all rows of this commit is known, and none of them is taken back alone.
        let (tail, head) = match additions.is_empty() {
            true => (None, None),
            false => {
                let (tail, head) = self.log.append(&transaction, now, &additions)?;
                (Some(tail), head)
            }
        };
        transaction.commit()?;
        Ok((tail, head))
    }
}

/// Answers a request whose batch has failed already.
fn refuse(request: Request, cause: &str) {
    match request {
        Request::Decide(asked) => asked.refuse(StoreError::NotCommitted(cause.to_owned())),
        // Dropping the work drops its reply, and the caller reads that as a writer that is gone; both mean
        // that nothing was changed.
        Request::Work(..) | Request::Stop => {}
        Request::Sign(reply) => drop(reply.send(Err(StoreError::NotCommitted(cause.to_owned())))),
    }
}

fn decide(
    connection: &Connection,
    vault: &Vault,
    rows: &mut Rows,
    run: Vec<Box<dyn AnyDecision>>,
    now: Timestamp,
    answers: &mut Vec<Answer>,
) -> Result<Additions, StoreError> {
    let keys: Vec<Keys> = run.iter().map(|asked| asked.keys()).collect();
    rows.load(connection, vault, &keys)?;
    let mut entries = Vec::with_capacity(run.len());
    for asked in run {
        // It may have left any of the rows half changed, so that the batch cannot stand; the writer must.
        let decided = catch_unwind(AssertUnwindSafe(|| asked.decide(rows, now)));
        let (entry, answer) = decided.map_err(|_| StoreError::Panicked)?;
        entries.push(entry);
        answers.push(answer);
    }
    rows.flush(connection, now)?;
    Ok(Additions { entries, ..Additions::default() })
}

fn run_work(
    connection: &Connection,
    vault: &Vault,
    rows: &mut Rows,
    scope: &Scope,
    work: Box<dyn FnOnce(&Tx<'_>) -> WorkDone + Send>,
    now: Timestamp,
    after: &mut After,
) -> Result<Additions, StoreError> {
    connection.execute_batch("SAVEPOINT work")?;
    let tx = Tx::new(connection, vault, now, scope);
    let done = work(&tx);
    after.answers.push(done.answer);
    if done.keep {
        if tx.policies_changed.get() {
            rows.forget_policies();
        }
        let (additions, mut jobs) = tx.finish()?;
        after.jobs.append(&mut jobs);
        connection.execute_batch("RELEASE work")?;
        Ok(additions)
    } else {
        connection.execute_batch("ROLLBACK TO work; RELEASE work")?;
        Ok(Additions::default())
    }
}

/// Whether SQLite says that the file itself cannot be trusted or written any more.
fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
