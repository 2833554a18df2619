//! Program: the closed loop that puts a new secret into a device and proves it.
//!
//! | step | on disk before it | if everything stops here |
//! |---|---|---|
//! | reserve token, slot, secret | | |
//! | write the secret into the slot | state `writing` | `wipe_before_use` (`undone` if still `reserved`) |
//! | let the device compute a passcode | state `proving` | `awaiting_passcode` |
//! | or, if it shows or types its passcodes only, let a person read one | state `awaiting_passcode` | the same |
//! | compare, spend it, make the secret the token's | one commit: `ready` | done |
//!
//! The secret is made here and never leaves but into the device. The token's old secret stays until the new one
//! is proven. A job runs to its end whether or not anybody waits for it.

mod fit;
mod reserve;
mod run;

use std::sync::Arc;
use std::time::Duration;

use fobd_drivers::token::LockCode;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use self::reserve::{refuse_early, reserve};
use self::run::Run;
use super::error::{Error, Kind};
use super::inventory::Selector;
use super::{device, job};
use crate::access::Caller;
use crate::app::App;
use crate::devices::DeviceId;

/// Which token gets the credential.
#[derive(Clone)]
pub enum Target {
    /// One that is there.
    Token(Selector),
    /// A new one of this product, in this stock.
    Product(Selector, Option<Selector>),
}

/// What to program.
pub struct ProgramRequest {
    /// The device.
    pub device: DeviceId,
    /// The slot; by default one named after the token, or the first free number.
    pub slot: Option<String>,
    /// The token.
    pub target: Target,
    /// Who gets it.
    pub user: Option<Selector>,
    /// The PIN of that assignment.
    pub pin: Option<Zeroizing<String>>,
    /// Whether each passcode shall need a touch.
    pub touch: bool,
    /// The device's access code, if it asks for one.
    pub unlock: Option<LockCode>,
    /// How long to wait for the end.
    pub wait: Duration,
}

/// Starts a job and waits for its end as long as asked. Answers with the job as it stands then.
///
/// # Errors
/// Only from before the job: not-found kinds, `slot.in_use`, `device.unsupported` and the like.
/// What happens to the job itself is in its state and error.
pub async fn program(app: &Arc<App>, caller: &Caller, request: ProgramRequest) -> Result<Json, Error> {
    let device = device::find(app, &request.device)?;
    if request.pin.is_some() && request.user.is_none() {
        return Err(Error::invalid("attrs.pin", "needs `attrs.user`: a PIN belongs to an assignment"));
    }
    let info = device::info(&device)?.clone();
    refuse_early(app, &device, &info, &request).await?;
    let (unlock, touch, wait) = (request.unlock.clone(), request.touch, request.wait);
    // What the slot holds already is asked first: a credential that is not ours is never overwritten. Of a device that
    // tells nobody, only what came from here is known.
    let taken = app.devices.slots(&device.id, unlock.clone()).await?.unwrap_or_default();
    let taken: Vec<String> =
        taken.iter().filter(|slot| slot.in_use).map(|slot| slot.slot.to_string()).collect();
    let by = caller.clone();
    let store = app.store.clone();
    let clock = app.guards.clock.check(&app.store).await;
    // What the caller may start, the server finishes, whatever becomes of the caller's scope.
    let run = Run {
        app: app.whole(),
        device: device.id.clone(),
        capabilities: info.capabilities.clone(),
        unlock,
        touch,
        caller: caller.clone(),
    };
    let (told, reserved) = tokio::sync::oneshot::channel();
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    // From here on it runs by itself: a caller that goes away while the job is saved must not leave one behind that
    // nobody works on.
    app.spawn(async move {
        let saved = store.write(move |tx| reserve(tx, &by, (&device, &info), &request, &taken, clock)).await;
        match saved {
            Ok(reserved) => {
                let _ = told.send(Ok(reserved.job));
                run.finish(reserved).await;
            }
            Err(error) => drop(told.send(Err(error))),
        }
        drop(done);
    });
    let id = reserved.await.map_err(|_| Error::new(Kind::Internal, "the job ended early"))??;
    // Without an answer in time the caller asks again by `job/get`.
    let _ = tokio::time::timeout(wait, finished).await;
    job::show_own(app, id).await
}
