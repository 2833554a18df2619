//! Many rows through the one writer, in pieces so small that logins go on meanwhile. All of them or none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::error::{Error, Kind};
use crate::app::App;
use crate::store::imports::ImportId;
use crate::store::{Store, Tx};

/// How long one piece may hold the writer.
const PIECE: Duration = Duration::from_millis(5);
/// How long while others wait for it.
const PIECE_BESIDE_OTHERS: Duration = Duration::from_millis(1);
/// Rows that are made ready at once, away from the writer.
const PAGE: usize = 500;

/// How long a piece of long work may hold the writer now.
#[must_use]
pub fn piece(store: &Store) -> Duration {
    if store.is_busy() { PIECE_BESIDE_OTHERS } else { PIECE }
}

/// Writes every row by `each`, then publishes them all by `last`, in one small commit. An error takes back what was
/// written. It runs to its end even if the caller goes away.
///
/// # Errors
/// The first error of `each` or `last`; nothing is left of the rows then.
pub async fn write_all<T, R>(
    app: &Arc<App>,
    kind: &'static str,
    rows: impl Iterator<Item = T> + Send + 'static,
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
    rows: impl Iterator<Item = T> + Send + 'static,
    each: Arc<impl Fn(&Tx<'_>, ImportId, T) -> Result<(), Error> + Send + Sync + 'static>,
    last: impl FnOnce(&Tx<'_>, ImportId) -> Result<R, Error> + Send + 'static,
) -> Result<R, Error>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let import = store.write(move |tx| Ok::<_, Error>(tx.begin_import(kind)?)).await?;
    let mut next = make_ready(rows);
    loop {
        let Ok((page, rest)) = next.await else {
            let error = Error::new(Kind::Internal, "making rows ready ended early");
            return Err(take_back(store, import, error).await);
        };
        if page.is_empty() {
            break;
        }
        // While these are written, the next ones are read.
        next = make_ready(rest);
        if let Err(error) = write_page(store, import, page, &each).await {
            return Err(take_back(store, import, error).await);
        }
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

/// Takes a page of rows away from the others.
fn make_ready<T: Send + 'static, I: Iterator<Item = T> + Send + 'static>(
    mut rows: I,
) -> JoinHandle<(Vec<T>, I)> {
    tokio::task::spawn_blocking(move || (rows.by_ref().take(PAGE).collect(), rows))
}

/// Writes rows in pieces, each in a commit of its own.
async fn write_page<T: Send + 'static>(
    store: &Store,
    import: ImportId,
    page: Vec<T>,
    each: &Arc<impl Fn(&Tx<'_>, ImportId, T) -> Result<(), Error> + Send + Sync + 'static>,
) -> Result<(), Error> {
    let mut left = page.into_iter();
    while left.len() > 0 {
        let each = Arc::clone(each);
        let most = piece(store);
        left = store
            .write(move |tx| {
                let started = Instant::now();
                while started.elapsed() < most
                    && let Some(row) = left.next()
                {
                    each(tx, import, row)?;
                }
                Ok::<_, Error>(left)
            })
            .await?;
    }
    Ok(())
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
