//! A copy of the whole database, made while logins go on, for whoever may have all of it.

use std::sync::Arc;

use super::error::{Error, Kind};
use crate::access::Caller;
use crate::app::App;
use crate::audit::hex;
use crate::model::role::Permission;
use crate::store::StoreError;
use crate::store::audit::Entry;
use crate::store::backup::Copied;

/// Makes a copy. The log says so before, so that the copy tells of itself, and after.
///
/// # Errors
/// [`Kind::Forbidden`]; [`Kind::BackupBusy`] while another one is made; [`Kind::Unavailable`] where there is no room.
pub async fn make(app: &Arc<App>, caller: &Caller) -> Result<Copied, Error> {
    if !caller.role.grants(Permission::Backup) || !caller.scope.is_all() {
        return Err(Error::new(Kind::Forbidden, "you are not allowed to do that"));
    }
    let busy = |_| Error::new(Kind::BackupBusy, "a backup is being made already");
    let turn = Arc::clone(&app.backup).try_lock_owned().map_err(busy)?;
    let (done, finished) = tokio::sync::oneshot::channel();
    let (server, caller) = (app.whole(), caller.clone());
    // What is cut off must not leave a copy behind that nobody takes away.
    app.spawn(async move {
        let _turn = turn;
        let _ = done.send(copy(&server, &caller).await);
    });
    finished.await.map_err(|_| Error::new(Kind::Internal, "the work ended early"))?
}

async fn copy(app: &App, caller: &Caller) -> Result<Copied, Error> {
    let told = |outcome, detail| Entry { outcome, detail, ..caller.did("database/backup") };
    tell(app, told("begun", String::new())).await?;
    match app.store.copy_out().await {
        Ok(copied) => {
            let detail = format!("{} bytes, SHA-256 {}", copied.bytes, hex(&copied.sha256));
            tell(app, told("made", detail)).await?;
            Ok(copied)
        }
        Err(error) => {
            tracing::error!(%error, "a backup could not be made");
            let file = matches!(error, StoreError::File { .. });
            tell(app, told("failed", String::new())).await?;
            if file || error.is_passing() {
                let text = "the server has no room for the copy, or cannot write it: its log says more";
                return Err(Error::new(Kind::Unavailable, text));
            }
            Err(error.into())
        }
    }
}

async fn tell(app: &App, entry: Entry) -> Result<(), Error> {
    app.store
        .write(move |tx| {
            tx.audit(entry);
            Ok(())
        })
        .await
}
