//! Erase: a slot is emptied, and the token that lived there is stock again, without a secret.

use std::sync::Arc;

use fobd_drivers::error::SlotState;
use fobd_drivers::token::{LockCode, SlotId};
use serde_json::Value as Json;

use super::device::{self, Watching};
use super::error::{Error, Kind};
use super::job::{self, journal, refuse_busy_slot};
use super::slots;
use crate::access::Caller;
use crate::app::App;
use crate::devices::DeviceId;
use crate::model::id::JobId;
use crate::model::status::JobState;
use crate::store::Tx;
use crate::store::jobs::{Action, NewJob, Undo};

/// What to erase.
pub struct EraseRequest {
    /// The device.
    pub device: DeviceId,
    /// The slot.
    pub slot: String,
    /// The device's access code, if it asks for one.
    pub unlock: Option<LockCode>,
}

/// Empties a slot. The token that lived there is stock again, without a secret.
///
/// # Errors
/// [`Kind::SlotEmpty`] if no token lived there either, [`Kind::SlotInUse`] if a job is at work there, and the device kinds.
pub async fn erase(app: &Arc<App>, caller: &Caller, request: EraseRequest) -> Result<Json, Error> {
    let device = device::find(app, &request.device)?;
    let slot = slots::parse(&device::info(&device)?.capabilities.addressing, &request.slot)?;
    let unlock = request.unlock;
    // A caller that goes away must not leave the two halves apart, so both run by themselves.
    let (done, finished) = tokio::sync::oneshot::channel();
    let (server, by) = (Arc::clone(app), caller.clone());
    app.spawn(async move {
        let erased = async {
            let begun = begin(&server, &by, &device.id, &slot.to_string()).await?;
            let job = begun.job;
            run(&server.whole(), &by, begun, device.id, slot, unlock).await?;
            Ok::<_, Error>(job)
        };
        let _ = done.send(erased.await);
    });
    let id = finished.await.map_err(|_| Error::new(Kind::Internal, "the job ended early"))??;
    job::show_own(app, id).await
}

/// A job that is written down.
#[derive(Clone)]
struct Begun {
    job: JobId,
    given_up: Option<GivenUp>,
}

/// A job that waited for a passcode, and why.
#[derive(Clone)]
struct GivenUp {
    job: JobId,
    error: String,
}

/// Writes the job down.
async fn begin(app: &App, caller: &Caller, device: &DeviceId, slot: &str) -> Result<Begun, Error> {
    let (place, slot, by) = (device.to_string(), slot.to_owned(), caller.clone());
    app.store
        .write(move |tx| {
            let given_up = give_up_waiting(tx, &by, &place, &slot)?;
            refuse_busy_slot(tx.reader(), &place, &slot)?;
            let job = tx.insert_job(&NewJob {
                action: Action::Erase,
                token: tx.reader().token_at(&place, &slot)?,
                device: &place,
                slot: &slot,
                credential: None,
                touch: false,
                undo: Undo::Nothing,
                assignment: None,
                operator: &by.name,
            })?;
            // Nothing lies between this and the first byte but the way to the device.
            tx.move_job(job, JobState::Writing, "")?;
            Ok::<_, Error>(Begun { job, given_up })
        })
        .await
}

async fn run(
    app: &Arc<App>,
    caller: &Caller,
    Begun { job, given_up }: Begun,
    device: DeviceId,
    slot: SlotId,
    unlock: Option<LockCode>,
) -> Result<(), Error> {
    let attendant = Arc::new(Watching::default());
    let erased = app.devices.erase(&device, slot.clone(), unlock, attendant).await;
    let (caller, device, slot) = (caller.clone(), device.to_string(), slot.to_string());
    let Err(error) = erased else {
        return app.store.write(move |tx| emptied(tx, &caller, job, &device, &slot)).await;
    };
    let refused = error.slot == SlotState::Unchanged;
    let error = Error::from(error.source);
    let (kind, message) = (error.kind, error.message.clone());
    let settled = app
        .store
        .write(move |tx| {
            // The key may have emptied the slot and been pulled out before it could say so, or another program has.
            // Who lived there would otherwise be bound for ever to a slot that cannot be erased.
            if kind == Kind::SlotEmpty && tx.reader().token_at(&device, &slot)?.is_some() {
                emptied(tx, &caller, job, &device, &slot)?;
                return Ok(true);
            }
            tx.move_job(job, if refused { JobState::Undone } else { JobState::WipeBeforeUse }, &message)?;
            if refused && let Some(GivenUp { job, error }) = &given_up {
                wait_again(tx, &caller, *job, error, &device, &slot)?;
            }
            Ok::<_, Error>(false)
        })
        .await?;
    if settled { Ok(()) } else { Err(error) }
}

/// The slot is empty: the token that lived there is stock, and the job is done.
fn emptied(tx: &Tx<'_>, caller: &Caller, job: JobId, device: &str, slot: &str) -> Result<(), Error> {
    let token = tx.clear_place(device, slot)?;
    tx.move_job(job, JobState::Ready, "")?;
    let mut entry = caller.did("device/erase");
    (entry.token, entry.outcome) = (token, "erased");
    entry.detail = format!("job {job}, slot `{slot}` of {device}");
    tx.audit(entry);
    Ok(())
}

/// A job that only waits for somebody to read a passcode ends here, or its slot could never be emptied: not
/// every key shows its passcodes to everybody.
fn give_up_waiting(tx: &Tx<'_>, caller: &Caller, device: &str, slot: &str) -> Result<Option<GivenUp>, Error> {
    let Some((job, JobState::AwaitingPasscode)) = tx.reader().unfinished_job_at(device, slot)? else {
        return Ok(None);
    };
    let error = tx.reader().job_row(job)?["error"].as_str().unwrap_or_default().to_owned();
    let token = tx.reader().token_at(device, slot)?;
    tx.move_job(job, JobState::WipeBeforeUse, "given up when the slot was to be erased")?;
    journal(tx, caller, job, token, JobState::WipeBeforeUse.as_str());
    Ok(Some(GivenUp { job, error }))
}

/// The slot was not erased after all (a wrong access code, a device that cannot): the job can be confirmed as before.
fn wait_again(
    tx: &Tx<'_>,
    caller: &Caller,
    job: JobId,
    error: &str,
    device: &str,
    slot: &str,
) -> Result<(), Error> {
    tx.move_job(job, JobState::AwaitingPasscode, error)?;
    journal(tx, caller, job, tx.reader().token_at(device, slot)?, JobState::AwaitingPasscode.as_str());
    Ok(())
}
