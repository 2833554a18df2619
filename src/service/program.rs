//! Program: the closed loop that puts a new secret into a device and proves it.
//!
//! | step | on disk before it | if everything stops here |
//! |---|---|---|
//! | reserve token, slot, secret | | |
//! | write the secret into the slot | state `writing` | `wipe_before_use` (`undone` if still `reserved`) |
//! | let the device compute a passcode | state `proving` | `awaiting_passcode` |
//! | compare, spend it, make the secret the token's | one commit: `ready` | done |
//!
//! The secret is made here and never leaves but into the device. The token's old secret stays until the new one
//! is proven. A job runs to its end whether or not anybody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fobd_drivers::error::SlotState;
use fobd_drivers::token::{self as driver, Attendant, LockCode, MovingFactor, SecretBytes, SlotConfig};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::assign::assign_in;
use super::device::{kind_of, slot_id};
use super::error::{Error, Kind};
use super::inventory::Selector;
use super::shown::{JobShown, TokenShown};
use super::{create, random};
use crate::access::Caller;
use crate::app::App;
use crate::devices::{DeviceError, DeviceId, DeviceState, DeviceView};
use crate::model::id::{AssignmentId, JobId, ProductId, TokenId, UserId};
use crate::model::status::JobState;
use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Credential, Kind as Otp};
use crate::otp::passcode::Passcode;
use crate::store::jobs::{Action, NewJob, Undo};
use crate::store::tokens::NewToken;
use crate::store::{Reader, Tx, objects};

/// Which token gets the credential.
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
    /// The slot; by default one named after the token.
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

/// A reserved job.
struct Reserved {
    job: JobId,
    token: TokenId,
    slot: String,
    credential: Credential,
}

/// Starts a job and waits for its end as long as asked. Answers with the job as it stands then.
///
/// # Errors
/// Only from before the job: not-found kinds, [`Kind::SlotInUse`], [`Kind::DeviceUnsupported`] and the like.
/// What happens to the job itself is in its state and error.
pub async fn program(app: &Arc<App>, caller: &Caller, request: ProgramRequest) -> Result<Json, Error> {
    let device = find(app, &request.device)?;
    if request.pin.is_some() && request.user.is_none() {
        return Err(Error::invalid("attrs.pin", "needs `attrs.user`: a PIN belongs to an assignment"));
    }
    if let Some(slot) = &request.slot {
        create::check_name("slot", slot)?;
    }
    refuse_early(app, &device, &request).await?;
    let (unlock, touch, wait) = (request.unlock.clone(), request.touch, request.wait);
    // What the slot holds already is asked first: a credential that is not ours is never overwritten.
    let taken = app.devices.slots(&device.id, unlock.clone()).await?;
    let taken: Vec<String> =
        taken.iter().filter(|slot| slot.in_use).map(|slot| slot.slot.to_string()).collect();
    let by = caller.clone();
    let seen = device.clone();
    let reserved = app.store.write(move |tx| reserve(tx, &by, &seen, &request, &taken)).await?;
    let job = reserved.job;
    let run = Run { app: Arc::clone(app), device: device.id, unlock, touch, caller: caller.clone() };
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    app.spawn(async move {
        run.finish(reserved).await;
        drop(done);
    });
    // Without an answer in time the caller asks again by `job/get`.
    let _ = tokio::time::timeout(wait, finished).await;
    show(app, job).await
}

/// Shows a job.
///
/// # Errors
/// [`Kind::JobNotFound`].
pub async fn show(app: &App, job: JobId) -> Result<Json, Error> {
    let shown = app
        .store
        .read(move |reader| {
            let wanted = [json!("*"), json!({"token": ["id", "serial"]})];
            Ok::<_, Error>(objects::get(reader, &objects::JOB, job.0, &wanted)?)
        })
        .await?;
    if shown.is_null() { Err(Error::not_found("job")) } else { Ok(shape(&shown)) }
}

/// The form of a job on the wire.
fn shape(row: &Json) -> Json {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let of_token = |name: &str| row["token"][name].as_str().map(str::to_owned);
    json!(JobShown {
        job: text("id"),
        action: text("action"),
        state: text("state"),
        step: text("state"),
        device: text("device"),
        slot: text("slot"),
        token: of_token("id").zip(of_token("serial")).map(|(id, serial)| TokenShown { id, serial }),
        error: Some(text("error")).filter(|text| !text.is_empty()),
        operator: text("operator"),
        date_created: text("dateCreated"),
        last_updated: text("lastUpdated"),
    })
}

/// Confirms a job by a passcode that somebody read off the device.
///
/// # Errors
/// [`Kind::JobState`] if no passcode is awaited, [`Kind::NotProven`] if it is not one of the new credential.
pub async fn confirm(
    app: &App,
    caller: &Caller,
    job: JobId,
    typed: Zeroizing<String>,
) -> Result<Json, Error> {
    let (caller, policy) = (caller.clone(), Arc::clone(&app.rules.policy));
    app.store
        .write(move |tx| {
            let found = tx.reader().job(job)?.ok_or_else(|| Error::not_found("job"))?;
            if found.state != JobState::AwaitingPasscode {
                let text = format!("the job is {}: it awaits no passcode", found.state.as_str());
                return Err(Error::new(Kind::JobState, text));
            }
            let (Some(token), Some(credential)) = (found.token, found.credential) else {
                return Err(Error::not_found("token"));
            };
            let window = match credential.parameters.kind {
                Otp::Hotp => 0..=u64::from(policy.hotp_look_ahead),
                Otp::Totp { time_step } => {
                    let step = time_step.step_at(tx.now());
                    let reach = u64::from(policy.totp_accept);
                    step.saturating_sub(reach)..=step.saturating_add(reach)
                }
            };
            let factor = fitting(&credential, &typed, window).ok_or_else(|| {
                Error::new(Kind::NotProven, "this passcode is not one of the new credential")
            })?;
            prove(tx, &caller, job, token, &credential, factor)?;
            Ok(())
        })
        .await?;
    show(app, job).await
}

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
/// [`Kind::SlotEmpty`], [`Kind::SlotInUse`] if a job is at work there, and the device kinds.
pub async fn erase(app: &Arc<App>, caller: &Caller, request: EraseRequest) -> Result<Json, Error> {
    let device = find(app, &request.device)?;
    let (place, slot, by) = (device.id.to_string(), request.slot.clone(), caller.clone());
    let job = app
        .store
        .write(move |tx| {
            give_up_waiting(tx, &by, &place, &slot)?;
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
            Ok::<_, Error>(job)
        })
        .await?;
    // A caller that goes away must not leave the two halves apart, so the rest runs by itself.
    let (done, finished) = tokio::sync::oneshot::channel();
    let run = Run {
        app: Arc::clone(app),
        device: device.id,
        unlock: request.unlock,
        touch: false,
        caller: caller.clone(),
    };
    app.spawn(async move {
        let _ = done.send(run.erase(job, request.slot).await);
    });
    finished.await.map_err(|_| Error::new(Kind::Internal, "the job ended early"))??;
    show(app, job).await
}

/// The device, if it takes calls.
fn find(app: &App, id: &DeviceId) -> Result<DeviceView, Error> {
    let device = app.devices.list().into_iter().find(|device| device.id == *id);
    let device = device.ok_or_else(|| DeviceError::NoSuchDevice { id: id.clone() })?;
    if device.id.serial().is_none() {
        let text = format!("{id} tells no serial: only devices with one can be programmed");
        return Err(Error::new(Kind::DeviceUnsupported, text));
    }
    if device.state == DeviceState::Ambiguous {
        return Err(DeviceError::Ambiguous { id: id.clone(), places: 2 }.into());
    }
    Ok(device)
}

/// Refuses a slot at work before the device is asked: that would wait with it for a touch.
async fn refuse_early(app: &App, device: &DeviceView, request: &ProgramRequest) -> Result<(), Error> {
    let (place, named) = (device.id.to_string(), request.slot.clone());
    let token = match &request.target {
        Target::Token(selector) => Some(selector.clone()),
        Target::Product(..) => None,
    };
    app.store
        .read(move |reader| {
            let home = match token {
                Some(selector) => reader.place_of(TokenId(selector.find(reader, &objects::TOKEN)?))?,
                None => None,
            };
            let slot = named.or_else(|| home.filter(|(at, _)| *at == place).map(|(_, slot)| slot));
            slot.map_or(Ok(()), |slot| refuse_busy_slot(reader, &place, &slot))
        })
        .await
}

fn refuse_busy_slot(reader: &Reader<'_>, device: &str, slot: &str) -> Result<(), Error> {
    match reader.unfinished_job_at(device, slot)? {
        Some((job, JobState::AwaitingPasscode)) => {
            let text = format!(
                "job {job} waits for a passcode of slot `{slot}` of {device}: confirm the job, or erase the slot"
            );
            Err(Error::new(Kind::SlotInUse, text))
        }
        Some((job, _)) => {
            let text = format!("job {job} is at work on slot `{slot}` of {device}");
            Err(Error::new(Kind::SlotInUse, text))
        }
        None => Ok(()),
    }
}

/// A job that only waits for somebody to read a passcode ends here, or its slot could never be emptied: not
/// every key shows its passcodes to everybody.
fn give_up_waiting(tx: &Tx<'_>, caller: &Caller, device: &str, slot: &str) -> Result<(), Error> {
    if let Some((job, JobState::AwaitingPasscode)) = tx.reader().unfinished_job_at(device, slot)? {
        let token = tx.reader().token_at(device, slot)?;
        tx.move_job(job, JobState::WipeBeforeUse, "given up when the slot was to be erased")?;
        journal(tx, caller, job, token, JobState::WipeBeforeUse.as_str());
    }
    Ok(())
}

/// Takes token, slot and a new secret, all in one commit.
fn reserve(
    tx: &Tx<'_>,
    caller: &Caller,
    device: &DeviceView,
    request: &ProgramRequest,
    taken: &[String],
) -> Result<Reserved, Error> {
    let place = device.id.to_string();
    let (token, made) = match &request.target {
        Target::Token(selector) => (TokenId(selector.find(tx.reader(), &objects::TOKEN)?), false),
        Target::Product(product, repository) => {
            let product = ProductId(product.find(tx.reader(), &objects::PRODUCT)?);
            let serial = free_serial(tx, device.id.serial().unwrap_or_default())?;
            let token = tx.insert_token(&NewToken {
                identifier: serial.clone(),
                serial,
                product,
                repository: create::repository_or_default(tx.reader(), repository.as_ref())?,
                description: String::new(),
                import: None,
            })?;
            (token, true)
        }
    };
    let serial = tx.reader().serial_of(token)?;
    if tx.reader().custody_of(token)?.confined {
        return Err(Error::new(Kind::Confined, format!("token {serial} is confined: release it first")));
    }
    let home = tx.reader().place_of(token)?;
    let named = request.slot.clone();
    let slot = named
        .or_else(|| home.clone().filter(|(at, _)| *at == place).map(|(_, slot)| slot))
        .unwrap_or_else(|| format!("fobd:{serial}"));
    refuse_busy_slot(tx.reader(), &place, &slot)?;
    let undo = match home {
        Some((at, in_slot)) if at == place && in_slot == slot => Undo::Nothing,
        Some((at, in_slot)) => {
            let text = format!("token {serial} lives in slot `{in_slot}` of {at}: erase that first");
            return Err(Error::new(Kind::InUse, text));
        }
        None => {
            let owner = tx.reader().token_at(&place, &slot)?;
            if owner.is_some() || taken.contains(&slot) {
                let text = format!("slot `{slot}` of {place} holds another credential: erase it first");
                return Err(Error::new(Kind::SlotInUse, text));
            }
            tx.put_place(token, &place, &slot)?;
            if made { Undo::Token } else { Undo::Place }
        }
    };
    let product = tx.reader().product_of(token)?;
    let model = tx.reader().product(product)?.ok_or_else(|| Error::not_found("product"))?;
    if model.driver != device.id.driver() {
        let text = format!("products of driver `{}` do not go into {}", model.driver, device.id);
        return Err(Error::new(Kind::DeviceUnsupported, text));
    }
    let credential =
        Credential { secret: random::secret(model.parameters.algorithm)?, parameters: model.parameters };
    check_capabilities(device, &credential, request.touch)?;
    let assignment = match &request.user {
        Some(user) => assign_anew(tx, caller, token, user, request.pin.as_ref().map(|pin| pin.as_str()))?,
        None => None,
    };
    let job = tx.insert_job(&NewJob {
        action: Action::Program,
        token: Some(token),
        device: &place,
        slot: &slot,
        credential: Some(&credential),
        touch: request.touch,
        undo,
        assignment,
        operator: &caller.name,
    })?;
    let mut entry = caller.did("device/program");
    (entry.token, entry.outcome) = (Some(token), "reserved");
    entry.detail = format!("job {job}, slot `{slot}` of {place}");
    tx.audit(entry);
    Ok(Reserved { job, token, slot, credential })
}

/// Assigns the token, unless the user has it already. What a job that gives up cannot take back, it must not
/// do: so it sets the PIN of a new assignment only.
fn assign_anew(
    tx: &Tx<'_>,
    caller: &Caller,
    token: TokenId,
    user: &Selector,
    pin: Option<&str>,
) -> Result<Option<AssignmentId>, Error> {
    let user = UserId(user.find(tx.reader(), &objects::USER)?);
    match (tx.reader().assignment_of(token, user)?, pin) {
        (None, pin) => Ok(Some(assign_in(tx, caller, "device/program", token, user, pin)?)),
        (Some(_), None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::invalid(
            "attrs.pin",
            "must not be given: the user has this token, and `token/assign` changes the PIN",
        )),
    }
}

/// The first credential of a device takes the device's serial, further ones get a number behind it.
fn free_serial(tx: &Tx<'_>, device_serial: &str) -> Result<String, Error> {
    let mut serial = device_serial.to_owned();
    let mut number = 1;
    while tx.reader().has_serial(&serial)? {
        number += 1;
        serial = format!("{device_serial}-{number}");
    }
    Ok(serial)
}

fn check_capabilities(device: &DeviceView, credential: &Credential, touch: bool) -> Result<(), Error> {
    let Some(info) = &device.info else { return Ok(()) };
    let can = &info.capabilities;
    let parameters = &credential.parameters;
    let unsupported = |what: String| {
        Err(Error::new(
            Kind::DeviceUnsupported,
            format!("{} ({}) cannot do {what}", info.model, info.firmware),
        ))
    };
    match parameters.kind {
        Otp::Hotp if !can.hotp => return unsupported("HOTP".to_owned()),
        Otp::Totp { .. } if !can.totp => return unsupported("TOTP".to_owned()),
        _ => {}
    }
    if !can.algorithms.contains(&to_driver(parameters.algorithm)) {
        return unsupported(format!("HMAC-{}", parameters.algorithm.as_str()));
    }
    if !can.digits.contains(&parameters.digits.get()) {
        return unsupported(format!("{} digits", parameters.digits.get()));
    }
    if touch && !can.touch {
        return unsupported("passcodes that need a touch".to_owned());
    }
    Ok(())
}

/// A job under way.
struct Run {
    app: Arc<App>,
    device: DeviceId,
    unlock: Option<LockCode>,
    touch: bool,
    caller: Caller,
}

impl Run {
    async fn finish(self, reserved: Reserved) {
        let job = reserved.job;
        if let Err(error) = self.write_and_prove(reserved).await {
            // The journal itself cannot be written: the next start settles the job by where it stands.
            tracing::error!(%job, %error, "the job cannot be journalled");
        }
    }

    async fn write_and_prove(&self, reserved: Reserved) -> Result<(), Error> {
        let Reserved { job, token, slot, credential } = reserved;
        self.move_job(job, JobState::Writing, String::new()).await?;
        let config = slot_config(&credential, self.touch);
        let attendant = Arc::new(Watching::default());
        let written = self
            .app
            .devices
            .program(&self.device, slot_id(&slot), config, self.unlock.clone(), attendant.clone())
            .await;
        if let Err(failure) = written {
            let text = failure.source.to_string();
            return match failure.slot {
                SlotState::Unchanged => self.undo(job, token, text).await,
                SlotState::Unknown => {
                    let text = format!("{text}: the slot may hold the old or the new secret");
                    self.end(job, token, JobState::WipeBeforeUse, text).await
                }
            };
        }
        self.move_job(job, JobState::Proving, String::new()).await?;
        let (factor, expected) = match credential.parameters.kind {
            // The step before this one: proving spends it, and the user can log in with the current one.
            Otp::Totp { time_step } => {
                let step = time_step.step_at(self.app.clock.now()).saturating_sub(1);
                (MovingFactor::TimeStep(step), step)
            }
            Otp::Hotp => (MovingFactor::OnToken, 0),
        };
        match self.ask(job, &slot, factor).await {
            Ok(passcode) => {
                let caller = self.caller.clone();
                self.app
                    .store
                    .write(move |tx| match fitting(&credential, passcode.expose(), expected..=expected) {
                        Some(factor) => prove(tx, &caller, job, token, &credential, factor),
                        None => {
                            let text = "the device computes other passcodes than the new secret gives";
                            end(tx, &caller, job, token, JobState::WipeBeforeUse, text)
                        }
                    })
                    .await
            }
            // The device confirmed the write, so a passcode that somebody reads off it settles the job.
            Err(error) => {
                let text = format!("{error}: confirm the job with a passcode of the device");
                self.end(job, token, JobState::AwaitingPasscode, text).await
            }
        }
    }

    /// Lets the device compute, and journals that it waits for a touch if it does.
    async fn ask(
        &self,
        job: JobId,
        slot: &str,
        factor: MovingFactor,
    ) -> Result<driver::Passcode, DeviceError> {
        let attendant = Arc::new(Watching::default());
        let asked = self.app.devices.calculate(
            &self.device,
            slot_id(slot),
            factor,
            self.unlock.clone(),
            attendant.clone(),
        );
        tokio::pin!(asked);
        let touch = attendant.wanted.notified();
        tokio::select! {
            answer = &mut asked => return answer,
            () = touch => {}
        }
        if let Err(error) = self.move_job(job, JobState::AwaitingTouch, String::new()).await {
            tracing::warn!(%job, %error, "the prompt for a touch could not be journalled");
        }
        asked.await
    }

    async fn erase(&self, job: JobId, slot: String) -> Result<(), Error> {
        let attendant = Arc::new(Watching::default());
        let erased =
            self.app.devices.erase(&self.device, slot_id(&slot), self.unlock.clone(), attendant).await;
        let (caller, device) = (self.caller.clone(), self.device.to_string());
        match erased {
            Ok(()) => {
                self.app
                    .store
                    .write(move |tx| {
                        let token = tx.clear_place(&device, &slot)?;
                        tx.move_job(job, JobState::Ready, "")?;
                        let mut entry = caller.did("device/erase");
                        (entry.token, entry.outcome) = (token, "erased");
                        entry.detail = format!("job {job}, slot `{slot}` of {device}");
                        tx.audit(entry);
                        Ok(())
                    })
                    .await
            }
            Err(error) => {
                let (kind, text) = (kind_of(&error), error.to_string());
                // Only a clear refusal says that the slot is as it was.
                let refused = matches!(
                    kind,
                    Kind::SlotEmpty | Kind::DeviceLocked | Kind::DeviceUnsupported | Kind::Invalid
                );
                let state = if refused { JobState::Undone } else { JobState::WipeBeforeUse };
                let message = text.clone();
                self.app.store.write(move |tx| Ok::<_, Error>(tx.move_job(job, state, &message)?)).await?;
                Err(Error::new(kind, text))
            }
        }
    }

    async fn move_job(&self, job: JobId, state: JobState, error: String) -> Result<(), Error> {
        self.app.store.write(move |tx| Ok(tx.move_job(job, state, &error)?)).await
    }

    async fn undo(&self, job: JobId, token: TokenId, error: String) -> Result<(), Error> {
        let caller = self.caller.clone();
        self.app
            .store
            .write(move |tx| {
                tx.undo_job(job, &error)?;
                journal(tx, &caller, job, Some(token), "undone");
                Ok(())
            })
            .await
    }

    async fn end(&self, job: JobId, token: TokenId, state: JobState, error: String) -> Result<(), Error> {
        let caller = self.caller.clone();
        self.app.store.write(move |tx| end(tx, &caller, job, token, state, &error)).await
    }
}

fn end(
    tx: &Tx<'_>,
    caller: &Caller,
    job: JobId,
    token: TokenId,
    state: JobState,
    error: &str,
) -> Result<(), Error> {
    tx.move_job(job, state, error)?;
    journal(tx, caller, job, Some(token), state.as_str());
    Ok(())
}

/// The new secret is proven: it becomes the token's, the proof is spent, the job is done.
fn prove(
    tx: &Tx<'_>,
    caller: &Caller,
    job: JobId,
    token: TokenId,
    credential: &Credential,
    factor: u64,
) -> Result<(), Error> {
    tx.put_credential(token, credential, factor.saturating_add(1), 0)?;
    end(tx, caller, job, token, JobState::Ready, "")
}

fn journal(tx: &Tx<'_>, caller: &Caller, job: JobId, token: Option<TokenId>, outcome: &'static str) {
    let mut entry = caller.did("device/program");
    (entry.token, entry.outcome) = (token, outcome);
    entry.detail = format!("job {job}");
    tx.audit(entry);
}

/// The moving factor in the window whose passcode was given. The whole window is searched whatever is found.
fn fitting(credential: &Credential, typed: &str, window: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let typed = Passcode::parse(typed, credential.parameters.digits)?;
    let generator = credential.generator();
    window.fold(None, |found, factor| if generator.at(factor) == typed { Some(factor) } else { found })
}

/// From the server's terms to a driver's. The two stay apart: RFC limits here, what a firmware can hold there.
fn slot_config(credential: &Credential, touch: bool) -> SlotConfig {
    SlotConfig {
        factor: match credential.parameters.kind {
            Otp::Hotp => driver::FactorConfig::Hotp { counter: 0 },
            Otp::Totp { time_step } => driver::FactorConfig::Totp { time_step: time_step.as_secs() },
        },
        algorithm: to_driver(credential.parameters.algorithm),
        digits: credential.parameters.digits.get(),
        secret: SecretBytes::new(credential.secret.expose().to_vec()),
        touch,
    }
}

fn to_driver(algorithm: Algorithm) -> driver::Algorithm {
    match algorithm {
        Algorithm::Sha1 => driver::Algorithm::Sha1,
        Algorithm::Sha256 => driver::Algorithm::Sha256,
        Algorithm::Sha512 => driver::Algorithm::Sha512,
    }
}

/// Passes the prompt for a touch on, from the device's thread to the job.
#[derive(Default)]
struct Watching {
    wanted: Notify,
    told: AtomicBool,
}

impl Attendant for Watching {
    fn touch_needed(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.wanted.notify_one();
        }
    }

    fn cancelled(&self) -> bool {
        false
    }
}
