//! Many rows through the one writer, in pieces so small that logins go on meanwhile. All of them or none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{Error, Kind};
use crate::app::App;
use crate::store::imports::ImportId;
use crate::store::{Store, Tx};

/// How long one piece may hold the writer.
const PIECE: Duration = Duration::from_millis(5);

/// Writes every row by `each`, then publishes them all by `last`, in one small commit. An error takes back what was
/// written. It runs to its end even if the caller goes away.
///
/// # Errors
/// The first error of `each` or `last`; nothing is left of the rows then.
pub async fn write_all<T, R>(
    app: &Arc<App>,
    kind: &'static str,
    rows: Vec<T>,
    each: impl Fn(&Tx<'_>, ImportId, T) -> Result<(), Error> + Send + Sync + 'static,
    last: impl FnOnce(&Tx<'_>, ImportId) -> Result<R, Error> + Send + 'static,
) -> Result<R, Error>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let (done, finished) = tokio::sync::oneshot::channel();
    let server = Arc::clone(app);
    app.spawn(async move {
        let _ = done.send(run(&server.store, kind, rows, Arc::new(each), last).await);
    });
    finished.await.map_err(|_| Error::new(Kind::Internal, "the work ended early"))?
}

async fn run<T, R>(
    store: &Store,
    kind: &'static str,
    rows: Vec<T>,
    each: Arc<impl Fn(&Tx<'_>, ImportId, T) -> Result<(), Error> + Send + Sync + 'static>,
    last: impl FnOnce(&Tx<'_>, ImportId) -> Result<R, Error> + Send + 'static,
) -> Result<R, Error>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let import = store.write(move |tx| Ok::<_, Error>(tx.begin_import(kind)?)).await?;
    let mut left = rows.into_iter();
    while left.len() > 0 {
        let each = Arc::clone(&each);
        let written = store
            .write(move |tx| {
                let started = Instant::now();
                while started.elapsed() < PIECE
                    && let Some(row) = left.next()
                {
                    each(tx, import, row)?;
                }
                Ok::<_, Error>(left)
            })
            .await;
        left = match written {
            Ok(left) => left,
            Err(error) => return Err(take_back(store, import, error).await),
        };
    }
    let published = store
        .write(move |tx| {
            let answer = last(tx, import)?;
            tx.publish_import(import)?;
            Ok::<_, Error>(answer)
        })
        .await;
    match published {
        Ok(answer) => Ok(answer),
        Err(error) => Err(take_back(store, import, error).await),
    }
}

async fn take_back(store: &Store, import: ImportId, error: Error) -> Error {
    if let Err(failed) = sweep(store, import).await {
        tracing::error!(error = %failed, "a failed import is swept at the next start only");
    }
    error
}

/// Takes back an import, in pieces.
///
/// # Errors
/// If the store cannot be written.
pub async fn sweep(store: &Store, import: ImportId) -> Result<(), Error> {
    while !store.write(move |tx| Ok::<_, Error>(tx.sweep_import(import)?)).await? {}
    Ok(())
}
