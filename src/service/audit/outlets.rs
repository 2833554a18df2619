//! Where the log goes besides the database: heads to the server's own log and to a file, rows and heads to syslog.
//!
//! An outlet reads the database behind the writer and never holds it up. Syslog: what could not be sent is sent later,
//! from where it stopped, also after a restart; a warning tells when sending fails and how many rows wait. Over UDP
//! nobody says whether a message arrived, and over a stream the last few before a break may be lost: the chain shows
//! the receiver what it lacks. A row may arrive twice after a crash, with the same sequence.

mod sink;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::sink::Target;
use self::sink::{SendError, Sink};
use crate::app::App;
use crate::audit::syslog::{self, Origin};
use crate::audit::{Row, SignedHead};
use crate::otp::time::Timestamp;
use crate::service::error::Error;
use crate::store::objects;

/// How long nobody looks for heads after somebody did.
const REST: Duration = Duration::from_millis(100);
/// Rows read at once.
const PAGE: i64 = 500;
/// How long to wait before a new try; doubled with each failure up to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often it is kept how far syslog has come.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// How long a stop waits for what is not sent yet.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// The name in `audit_progress`.
const PROGRESS: &str = "syslog";

/// Tells new heads, in the log and in a file if one is given, until told to stop.
pub async fn tell_heads(app: Arc<App>, file: Option<PathBuf>, mut stopping: watch::Receiver<bool>) {
    let mut newest = app.store.watch_audit();
    let mut told = *newest.borrow_and_update();
    loop {
        let stop = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => true,
            changed = newest.changed() => changed.is_err(),
        };
        let from = told;
        let heads = app.store.read(move |reader| Ok::<_, Error>(reader.audit_heads(from, i64::MAX)?)).await;
        match heads {
            Ok(heads) => {
                for head in heads {
                    told = head.head.sequence;
                    tell(&head, file.as_ref()).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the heads of the audit log cannot be read"),
        }
        if stop {
            return;
        }
        // Rows come with every commit, heads hardly ever: a look for each would take readers from those who wait.
        let _ = tokio::time::timeout(REST, stopping.wait_for(|stop| *stop)).await;
    }
}

async fn tell(head: &SignedHead, file: Option<&PathBuf>) {
    let text = serde_json::to_string(head).unwrap_or_default();
    tracing::info!(head = text, "the audit log was signed");
    let Some(path) = file else { return };
    let (path, line) = (path.clone(), format!("{text}\n"));
    let _ = tokio::task::spawn_blocking(move || {
        if let Err(error) = append(&path, &line) {
            tracing::error!(file = %path.display(), %error, "a head of the audit log is not in its file");
        }
    })
    .await;
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

/// Sends rows and heads to syslog until told to stop.
pub async fn send(app: Arc<App>, target: Target, mut stopping: watch::Receiver<bool>) {
    let mut newest = app.store.watch_audit();
    // A new outlet begins with what is new. One of a database that was restored may be ahead of it.
    let now = *newest.borrow_and_update();
    let kept = app.store.read(|reader| Ok::<_, Error>(reader.audit_progress(PROGRESS)?)).await;
    let sent = kept.unwrap_or_default().map_or(now, |kept| kept.min(now));
    newest.mark_changed();
    let (sink, told) = (Sink::new(target), sent - 1);
    let mut outlet = Outlet { app, sink, sent, told, kept: None, origin: origin() };
    let (mut pause, mut failing) = (FIRST_PAUSE, false);
    let mut kept_at = tokio::time::Instant::now();
    loop {
        let stop = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => true,
            changed = newest.changed() => changed.is_err(),
            () = tokio::time::sleep(pause), if failing => false,
        };
        let patience = if stop { LAST_PATIENCE } else { Duration::MAX };
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(patience, outlet.send_all()) => outcome.unwrap_or(Err(SendError::Slow)),
            // A receiver that takes nothing must not hold up a stop: that goes round once more, with its patience.
            _ = stopping.wait_for(|stop| *stop), if !stop => continue,
        };
        match outcome {
            Ok(()) => {
                if failing {
                    tracing::info!("audit rows reach syslog again");
                }
                (pause, failing) = (FIRST_PAUSE, false);
            }
            Err(error) => {
                let waiting = *newest.borrow() - outlet.sent;
                if !failing || stop {
                    tracing::warn!(%error, waiting, "audit rows do not reach syslog; they are sent later");
                }
                if failing {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                failing = true;
            }
        }
        if stop || kept_at.elapsed() >= KEEP_EVERY || outlet.kept.is_none() {
            outlet.keep().await;
            kept_at = tokio::time::Instant::now();
        }
        if stop {
            return;
        }
    }
}

fn origin() -> Origin {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    Origin { host: if host.is_empty() { "-".to_owned() } else { host }, process: std::process::id() }
}

struct Outlet {
    app: Arc<App>,
    sink: Sink,
    /// The newest row that was sent.
    sent: i64,
    /// The newest row whose head was sent.
    told: i64,
    /// The newest one of which the database knows.
    kept: Option<i64>,
    origin: Origin,
}

impl Outlet {
    async fn send_all(&mut self) -> Result<(), SendError> {
        loop {
            let (after, told) = (self.sent, self.told);
            let read = self
                .app
                .store
                .read(move |reader| {
                    let rows = reader.audit_rows(after, PAGE)?;
                    let last = rows.last().map_or(after, |row| row.sequence);
                    Ok::<_, Error>((rows, reader.audit_heads(told, last)?))
                })
                .await;
            let (rows, heads) = read.map_err(|_| SendError::Unreadable)?;
            let mut heads = heads.into_iter().peekable();
            let done = rows.is_empty();
            if let Some(first) = rows.first().filter(|row| row.sequence > after + 1) {
                tracing::warn!(
                    rows = first.sequence - after - 1,
                    "audit rows were pruned before they were sent"
                );
            }
            for row in rows {
                self.sink.send(&self.row(&row)).await?;
                self.sent = row.sequence;
                while let Some(head) = heads.next_if(|head| head.head.sequence <= row.sequence) {
                    self.send_head(&head).await?;
                }
            }
            // Signed since its row was sent.
            for head in heads {
                self.send_head(&head).await?;
            }
            if done {
                return Ok(());
            }
        }
    }

    fn row(&self, row: &Row) -> String {
        syslog::row(&self.origin, &time(row.at_ms), row)
    }

    async fn send_head(&mut self, head: &SignedHead) -> Result<(), SendError> {
        let message = syslog::head(&self.origin, &time(head.head.at_ms), head);
        self.sink.send(&message).await?;
        self.told = head.head.sequence;
        Ok(())
    }

    async fn keep(&mut self) {
        let sent = self.sent;
        if self.kept == Some(sent) {
            return;
        }
        let write = self.app.store.write(move |tx| Ok::<_, Error>(tx.set_audit_progress(PROGRESS, sent)?));
        match write.await {
            Ok(()) => self.kept = Some(sent),
            Err(error) => tracing::debug!(%error, "how far syslog has come is kept later"),
        }
    }
}

fn time(at_ms: i64) -> String {
    let text = objects::iso(Timestamp::from_millis(at_ms));
    if text.is_empty() { "-".to_owned() } else { text }
}
