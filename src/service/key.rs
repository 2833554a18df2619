//! Changing the keys that seal the database, while logins go on.
//!
//! The order of commits and files is that of [`crate::store::rotation`]: whenever it is cut off, the next start goes on
//! with it. A server that may not write its key file is given the next key in another one, waits, and goes on once it
//! is started with that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::chunks;
use super::error::{Error, Kind};
use crate::access::Caller;
use crate::app::App;
use crate::store::rotation::{Cursor, Rotation};
use crate::store::sealing::{KeyError, MasterKey};
use crate::store::{Reader, Tx, audit};

/// After a failure, until it is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How a change of keys stands in this process.
#[derive(Default)]
pub struct KeyChange(Mutex<Counts>);

#[derive(Clone, Copy, Default)]
struct Counts {
    /// Somebody is at work.
    running: bool,
    total: u64,
    done: u64,
    damaged: u64,
}

impl KeyChange {
    fn look<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to work on the keys. One at a time.
struct Turn(Arc<App>);

impl Turn {
    fn take(app: &Arc<App>) -> Result<Self, Error> {
        let free = app.key_change.look(|counts| !std::mem::replace(&mut counts.running, true));
        if free { Ok(Self(Arc::clone(app))) } else { Err(under_way()) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.key_change.look(|counts| counts.running = false);
    }
}

/// How the keys stand.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct KeysShown {
    /// `idle`; `working`: values are being sealed anew; `waiting`: for a start with the next master key.
    state: &'static str,
    /// Id of the master key that opens the database.
    key_id: String,
    /// Id of the one that will; null if none is to follow.
    next_key_id: Option<String>,
    /// Values to be sealed anew by the change that is under way, or was the last one since the start.
    total: u64,
    /// How many of them are.
    done: u64,
    /// How many do not open, and stay as they are.
    damaged: u64,
}

/// A change of keys that was begun.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RotationShown {
    /// `working`, `waiting`, or `idle` for one that was given up.
    state: &'static str,
    /// Id of the master key until now.
    old_key_id: String,
    /// Id of the one that follows; null if none does.
    key_id: Option<String>,
    /// Where that one is, on the server.
    key_file: Option<String>,
}

fn under_way() -> Error {
    Error::new(Kind::KeyRotating, "a change of keys is under way: see `key/status`")
}

fn file_refused(error: &KeyError, in_place: bool) -> Error {
    let advice = if in_place {
        ": make a key elsewhere with `fobd key new FILE`, and name it by `newKeyFile`"
    } else {
        ""
    };
    Error::new(Kind::KeyFile, format!("{error}{advice}"))
}

async fn rotation(app: &App) -> Result<Option<Rotation>, Error> {
    app.store.read(|reader| Ok(reader.rotation()?)).await
}

/// How the keys stand.
///
/// # Errors
/// If the store cannot be read.
pub async fn status(app: &App) -> Result<Json, Error> {
    let (rotation, master) =
        app.store.read(|reader| Ok::<_, Error>((reader.rotation()?, reader.master_key_id()?))).await?;
    let counts = app.key_change.look(|counts| *counts);
    let next = rotation.as_ref().and_then(|rotation| rotation.next.clone());
    let state = match &rotation {
        None => "idle",
        Some(_) if next.is_some() && !counts.running => "waiting",
        Some(_) => "working",
    };
    let Counts { total, done, damaged, .. } = counts;
    Ok(json!(KeysShown { state, key_id: master, next_key_id: next, total, done, damaged }))
}

/// Begins a change of all keys. It goes on by itself, or once the server is started with the key that it was given.
///
/// # Errors
/// [`Kind::KeyRotating`], [`Kind::KeyFile`] if the next key cannot be written or read.
pub async fn rotate(app: &Arc<App>, caller: &Caller, new_key_file: Option<PathBuf>) -> Result<Json, Error> {
    // Between the commit and the file nobody may let go.
    let (done, finished) = tokio::sync::oneshot::channel();
    let (server, caller) = (app.whole(), caller.clone());
    app.spawn(async move {
        let _ = done.send(begin(&server, &caller, new_key_file).await);
    });
    finished.await.map_err(|_| Error::new(Kind::Internal, "the work ended early"))?.map(|shown| json!(shown))
}

async fn begin(
    app: &Arc<App>,
    caller: &Caller,
    new_key_file: Option<PathBuf>,
) -> Result<RotationShown, Error> {
    let turn = Turn::take(app)?;
    if rotation(app).await?.is_some() {
        return Err(under_way());
    }
    let key_file = app.store.location().key_file.clone();
    let in_place = new_key_file.is_none();
    let (beside, elsewhere) = (key_file.clone(), new_key_file);
    let next = on_disk(move || match elsewhere {
        Some(path) => MasterKey::load(&path),
        None => MasterKey::make_successor(&beside),
    });
    let next = Arc::new(next.await?.map_err(|error| file_refused(&error, in_place))?);
    let old = app.store.read(|reader: &Reader<'_>| Ok::<_, Error>(reader.master_key_id()?)).await?;
    let new = next.id();
    if new == old {
        return Err(Error::invalid("newKeyFile", "holds the key that is in use"));
    }
    let mut entry = caller.did("key/rotate");
    entry.outcome = "begun";
    entry.detail = format!("master key {old}, to be followed by {new}");
    let (key, operator) = (Arc::clone(&next), caller.name.clone());
    app.store
        .write(move |tx: &Tx<'_>| {
            tx.begin_rotation(&key, &operator)?;
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await?;
    let mut shown = RotationShown {
        state: "waiting",
        old_key_id: old,
        key_id: Some(new),
        key_file: Some(next.path().display().to_string()),
    };
    if in_place {
        let path = key_file.clone();
        match on_disk(move || MasterKey::install_successor(&path)).await? {
            Ok(()) => {
                shown.state = "working";
                shown.key_file = Some(key_file.display().to_string());
                app.keep(|app, stopping| go_on(app, stopping, Some(next), turn));
            }
            // Both keys open the database: nothing is lost, and a later start tries again.
            Err(error) => tracing::error!(%error, "the next master key could not be put into its place"),
        }
    }
    Ok(shown)
}

/// Gives up a change that waits for its master key.
///
/// # Errors
/// [`Kind::KeyNotWaiting`].
pub async fn abandon(app: &Arc<App>, caller: &Caller) -> Result<Json, Error> {
    let _turn = Turn::take(app)?;
    let mut entry = caller.did("key/rotate");
    entry.outcome = "abandoned";
    let old = app
        .store
        .write(move |tx| {
            let waiting = tx.reader().rotation()?.filter(|rotation| rotation.next.is_some());
            let Some(Rotation { master, .. }) = waiting else {
                return Err(Error::new(Kind::KeyNotWaiting, "no change of keys waits for its master key"));
            };
            tx.abandon_rotation()?;
            entry.detail = format!("master key {master} stays");
            tx.audit(entry);
            Ok(master)
        })
        .await?;
    Ok(json!(RotationShown { state: "idle", old_key_id: old, key_id: None, key_file: None }))
}

/// Goes on with a change that an earlier run of the server has begun.
///
/// # Errors
/// If the store cannot be read.
pub async fn resume(app: &Arc<App>) -> Result<(), Error> {
    let Some(rotation) = rotation(app).await? else { return Ok(()) };
    let turn = Turn::take(app)?;
    let next = match rotation.next {
        None => None,
        Some(id) => {
            let path = app.store.location().key_file.clone();
            let wanted = id.clone();
            let found = on_disk(move || find_next(&path, &wanted)).await?;
            let Some(next) = found else {
                tracing::warn!(key = id, "a change of keys waits for a start with the next master key");
                return Ok(());
            };
            Some(Arc::new(next))
        }
    };
    tracing::info!("going on with a change of keys");
    app.keep(|app, stopping| go_on(app, stopping, next, turn));
    Ok(())
}

/// The next master key: the server was started with it, or it is beside and takes its place now.
fn find_next(key_file: &Path, id: &str) -> Option<MasterKey> {
    let own = MasterKey::load(key_file).ok().filter(|key| key.id() == id);
    own.or_else(|| {
        let next = MasterKey::load_successor(key_file).ok()?.filter(|key| key.id() == id)?;
        MasterKey::install_successor(key_file)
            .inspect_err(|error| tracing::error!(%error, "the next master key is not in its place"))
            .ok()?;
        Some(next)
    })
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::new(Kind::Internal, "work on a file ended early"))
}

/// Brings a change to its end, or as far as it comes until the server stops.
async fn go_on(
    app: Arc<App>,
    mut stopping: watch::Receiver<bool>,
    next: Option<Arc<MasterKey>>,
    _turn: Turn,
) {
    loop {
        match finish(&app, &stopping, next.as_ref()).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "a change of keys was held up"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            _ = stopping.changed() => return,
        }
    }
}

async fn finish(
    app: &App,
    stopping: &watch::Receiver<bool>,
    next: Option<&Arc<MasterKey>>,
) -> Result<(), Error> {
    let Some(Rotation { operator, master, next: awaited }) = rotation(app).await? else { return Ok(()) };
    if let (Some(_), Some(next)) = (awaited, next) {
        let key = Arc::clone(next);
        let entry = entry(&operator, "adopted", format!("master key {} in place of {master}", next.id()));
        let adopted = app
            .store
            .write(move |tx| {
                tx.audit(entry);
                Ok::<_, Error>(tx.adopt_master(&key)?)
            })
            .await?;
        app.store.take_data_key(adopted);
    }
    let total = count(app).await?;
    app.key_change.look(|counts| *counts = Counts { running: true, total, ..Counts::default() });
    let Some((done, damaged)) = reseal(app, stopping).await? else { return Ok(()) };
    let left = count(app).await?;
    if left > damaged {
        return Err(Error::new(Kind::Internal, format!("{left} values are under an old key still")));
    }
    let detail = match damaged {
        0 => format!("{done} values sealed anew, the old data keys are gone"),
        _ => format!("{done} values sealed anew; {damaged} do not open, so the old data keys stay"),
    };
    let entry = entry(&operator, "done", detail);
    app.store
        .write(move |tx| {
            tx.finish_rotation(damaged == 0)?;
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await?;
    if damaged == 0 {
        app.store.forget_data_keys().await?;
    }
    tracing::info!(values = done, damaged, "the keys are changed");
    Ok(())
}

fn entry(operator: &str, outcome: &'static str, detail: String) -> audit::Entry {
    let operator = operator.to_owned();
    audit::Entry { operator, action: "key/rotate", token: None, user: None, outcome, detail }
}

/// How many values are under an old data key.
async fn count(app: &App) -> Result<u64, Error> {
    let (mut next, mut values) = (Some(Cursor::START), 0);
    while let Some(cursor) = next {
        let piece = app.store.read(move |reader| Ok::<_, Error>(reader.count_to_reseal(cursor)?)).await?;
        next = piece.next;
        values += piece.values;
    }
    Ok(values)
}

/// Seals all of them anew, in pieces. Returns how many were, and how many do not open; `None` if the server stops.
async fn reseal(app: &App, stopping: &watch::Receiver<bool>) -> Result<Option<(u64, u64)>, Error> {
    let (mut next, mut done, mut damaged) = (Some(Cursor::START), 0, 0);
    while let Some(cursor) = next {
        if *stopping.borrow() {
            return Ok(None);
        }
        let most = chunks::piece(&app.store);
        let piece = app.store.write(move |tx| Ok::<_, Error>(tx.reseal(cursor, most)?)).await?;
        next = piece.next;
        done += piece.values;
        damaged += piece.damaged;
        app.key_change.look(|counts| (counts.done, counts.damaged) = (done, damaged));
    }
    Ok(Some((done, damaged)))
}
