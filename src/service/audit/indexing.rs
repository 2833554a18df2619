//! Fills the index of the log in the background, and takes away what a pruning that was cut off has left.
//!
//! While logins keep the writer busy the index may fall behind: a search looks through the rest row by row.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::sweep;
use crate::app::App;
use crate::service::error::Error;

/// How long one piece may hold the writer.
const PIECE: Duration = Duration::from_millis(4);
/// How long new rows wait: there will be more.
const REST: Duration = Duration::from_secs(1);
/// Rows that the index may be behind a busy writer. To index one costs more than the verify that wrote it, and a search
/// looks through so many in a fraction of a second.
const MOST_BEHIND: i64 = 200_000;

/// Runs until told to stop.
pub async fn run(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    if let Err(error) = sweep(&app.store).await {
        tracing::warn!(%error, "pruned audit rows are taken away at the next start");
    }
    let mut newest = app.store.watch_audit();
    newest.mark_changed();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            changed = newest.changed() => if changed.is_err() { return },
        }
        if tokio::time::timeout(REST, stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let until = *newest.borrow_and_update();
        if let Err(error) = index(&app, until, &stopping).await {
            tracing::debug!(%error, "the audit log is indexed later");
        }
    }
}

/// Indexes what is there, unless others need the writer more.
async fn index(app: &App, newest: i64, stopping: &watch::Receiver<bool>) -> Result<(), Error> {
    loop {
        let indexed = app.store.read(|reader| Ok::<_, Error>(reader.audit_progress("index")?)).await?;
        let behind = newest - indexed.unwrap_or(0);
        if *stopping.borrow() || behind <= 0 || (app.store.is_busy() && behind < MOST_BEHIND) {
            return Ok(());
        }
        if app.store.write(|tx| Ok::<_, Error>(tx.index_audit(PIECE)?)).await? {
            return Ok(());
        }
    }
}
