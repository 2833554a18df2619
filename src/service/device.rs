//! Looking at devices, and letting one compute a passcode.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fobd_drivers::error::Error as DriverError;
use fobd_drivers::token::{
    self as driver, Addressing, Attendant, LockCode, MovingFactor, Passcode, TokenInfo, Unattended,
};
use fobd_drivers::transport::TransportError;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::shown::{
    BusShown, CapabilitiesShown, DeviceShown, DevicesShown, InterfaceShown, List, NumbersShown, SlotShown,
    TokenShown,
};
use super::slots;
use crate::access::Caller;
use crate::app::App;
use crate::devices::{BusView, DeviceError, DeviceId, DeviceState, DeviceView, InterfaceView, Reach};
use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Kind as Otp, Parameters};
use crate::otp::time::Timestamp;
use crate::otp::totp::TimeStep;
use crate::store::{Reader, audit};

/// What a failure at a device means for the caller.
#[must_use]
pub fn kind_of(error: &DeviceError) -> Kind {
    match error {
        DeviceError::NoSuchDevice { .. } => Kind::DeviceNotFound,
        DeviceError::Ambiguous { .. } => Kind::Ambiguous,
        DeviceError::Gone { .. } => Kind::DeviceGone,
        DeviceError::QueueFull { .. } => Kind::DeviceBusy,
        DeviceError::TimedOut { .. } => Kind::DeviceTimeout,
        DeviceError::Unusable { .. } | DeviceError::DriverPanicked { .. } => Kind::DeviceFailed,
        DeviceError::Stopping => Kind::Unavailable,
        DeviceError::Driver { source, .. } => match source {
            DriverError::Transport(
                TransportError::Gone { .. } | TransportError::ServiceUnavailable { .. },
            ) => Kind::DeviceGone,
            DriverError::Transport(TransportError::Busy) => Kind::DeviceBusy,
            DriverError::Transport(_)
            | DriverError::Refused { .. }
            | DriverError::Rejected { .. }
            | DriverError::Malformed { .. }
            | DriverError::Cancelled => Kind::DeviceFailed,
            DriverError::Full => Kind::DeviceFull,
            DriverError::Locked => Kind::DeviceLocked,
            DriverError::WrongLockCode { .. } => Kind::DeviceCodeWrong,
            DriverError::Blocked { .. } => Kind::DeviceBlocked,
            DriverError::SlotEmpty { .. } => Kind::SlotEmpty,
            DriverError::TouchTimedOut => Kind::DeviceTimeout,
            DriverError::Unsupported { .. } => Kind::DeviceUnsupported,
            DriverError::Invalid { .. } => Kind::Invalid,
        },
    }
}

/// The access code of a device, as a driver takes it.
#[must_use]
pub fn unlock(code: Option<Zeroizing<String>>) -> Option<LockCode> {
    code.map(|code| LockCode::new(code.as_bytes().to_vec()))
}

/// Lists what is plugged in.
#[must_use]
pub fn list(app: &App) -> Json {
    json!(shown(&app.devices.list(), &app.devices.buses()))
}

/// The form of the list on the wire.
pub(super) fn shown<'a>(devices: &'a [DeviceView], buses: &'a [BusView]) -> DevicesShown<'a> {
    DevicesShown {
        total: devices.len(),
        rows: devices.iter().map(show).collect(),
        buses: buses.iter().map(|bus| BusShown { name: bus.name, error: bus.error.as_deref() }).collect(),
    }
}

/// The form of a device on the wire.
pub(super) fn show(device: &DeviceView) -> DeviceShown<'_> {
    let info = device.info.as_ref();
    let capabilities = info.map(|info| {
        let can = &info.capabilities;
        CapabilitiesShown {
            algorithms: can.algorithms.iter().map(|algorithm| algorithm_name(*algorithm)).collect(),
            digits: &can.digits,
            hotp: can.hotp,
            totp: can.totp,
            calculate: can.calculate,
            hotp_by_hand: can.hotp && can.calculate && can.hotp_by_hand,
            touch: can.touch,
            timers: &can.time_steps,
            clock: can.clock,
            numbers: match &can.addressing {
                Addressing::Named => None,
                Addressing::Numbered { hotp, totp } => {
                    Some(NumbersShown { hotp: numbers(hotp), totp: numbers(totp) })
                }
            },
        }
    });
    DeviceShown {
        id: device.id.to_string(),
        driver: device.id.driver(),
        serial: device.id.serial(),
        maker: info.map(|info| info.maker.as_str()),
        model: info.map(|info| info.model.as_str()),
        firmware: info.map(|info| info.firmware.as_str()),
        transport: device.transport(),
        station: None,
        place: device.place(),
        state: device.state.as_str(),
        slots: info.and_then(|info| info.capabilities.max_slots),
        capabilities,
        interfaces: device.interfaces.iter().map(show_interface).collect(),
        error: device.error.as_deref(),
    }
}

/// First and last, if there are any.
fn numbers(range: &RangeInclusive<u8>) -> Option<(u8, u8)> {
    (!range.is_empty()).then(|| (*range.start(), *range.end()))
}

fn show_interface(interface: &InterfaceView) -> InterfaceShown<'_> {
    InterfaceShown {
        transport: interface.transport,
        place: &interface.place,
        kind: interface.reach.map(Reach::as_str),
        state: interface.state.as_str(),
        error: interface.error.as_deref(),
    }
}

pub(super) fn algorithm_name(algorithm: driver::Algorithm) -> &'static str {
    match algorithm {
        driver::Algorithm::Sha1 => "SHA1",
        driver::Algorithm::Sha256 => "SHA256",
        driver::Algorithm::Sha512 => "SHA512",
    }
}

/// Lists the slots of a device, each with the token whose credential is in it. Of a device that tells nobody what it
/// holds these are the slots with a token.
///
/// # Errors
/// The device kinds.
pub async fn slots(app: &App, device: &DeviceId, unlock: Option<LockCode>) -> Result<Json, Error> {
    let shown = find_any(app, device)?;
    let slots = app.devices.slots(device, unlock).await?;
    let id = device.to_string();
    let tokens = app.store.read(move |reader| Ok::<_, Error>(reader.tokens_on(&id)?)).await?;
    let tokens: HashMap<_, _> =
        tokens.into_iter().map(|(slot, token, serial)| (slot, (token, serial))).collect();
    let slots = match slots {
        Some(slots) => slots,
        None => {
            let addressing = &info(&shown)?.capabilities.addressing;
            tokens.keys().filter_map(|slot| Some(unseen(slots::parse(addressing, slot).ok()?))).collect()
        }
    };
    let rows = slots
        .iter()
        .map(|slot| {
            let name = slot.slot.to_string();
            SlotShown {
                token: tokens
                    .get(&name)
                    .map(|(token, serial)| TokenShown { id: token.to_string(), serial: serial.clone() }),
                slot: name.clone(),
                name,
                kind: slot.kind.map(|kind| match kind {
                    driver::Kind::Hotp => "HOTP",
                    driver::Kind::Totp => "TOTP",
                }),
                algorithm: slot.algorithm.map(algorithm_name),
                digits: slot.digits,
                timer: slot.time_step,
                touch: slot.touch,
                in_use: slot.in_use,
            }
        })
        .collect();
    Ok(json!(List::of(rows)))
}

/// Lets a device compute a passcode: for a TOTP slot that of `time`, or of now.
///
/// # Errors
/// [`Kind::SlotEmpty`] and the device kinds.
pub async fn calculate(
    app: &App,
    caller: &Caller,
    device: &DeviceId,
    slot: &str,
    time: Option<Timestamp>,
    unlock: Option<LockCode>,
) -> Result<Passcode, Error> {
    let shown = find_any(app, device)?;
    let can = &info(&shown)?.capabilities;
    let for_people =
        || Error::new(Kind::DeviceUnsupported, format!("{device} shows its passcodes to people only"));
    if !can.calculate {
        return Err(for_people());
    }
    let slot = slots::parse(&can.addressing, slot)?;
    let (id, place) = (device.to_string(), slot.to_string());
    let listed = app.devices.slots(device, unlock.clone()).await?;
    let listed = listed.unwrap_or_else(|| vec![unseen(slot.clone())]);
    let empty = || Error::new(Kind::SlotEmpty, format!("slot `{place}` of {device} is empty"));
    let found = listed.iter().find(|info| info.in_use && info.slot == slot).ok_or_else(empty)?;
    // What the device does not tell is known if the credential is ours.
    let ours = {
        let (id, place) = (id.clone(), place.clone());
        let read = move |reader: &Reader<'_>| known_at(reader, &id, &place);
        app.store.read(read).await?
    };
    let kind = found.kind.or(ours.map(|ours| match ours.kind {
        Otp::Hotp => driver::Kind::Hotp,
        Otp::Totp { .. } => driver::Kind::Totp,
    }));
    if let Some(kind) = kind
        && !can.calculates(kind)
    {
        return Err(for_people());
    }
    let factor = match kind {
        Some(driver::Kind::Totp) => {
            let told = found.time_step.and_then(|seconds| TimeStep::from_secs(seconds).ok());
            let known = ours.and_then(|ours| match ours.kind {
                Otp::Totp { time_step } => Some(time_step),
                Otp::Hotp => None,
            });
            let step = told.or(known).ok_or_else(|| {
                let text = format!("{device} does not tell the time step of slot `{place}`");
                Error::new(Kind::DeviceFailed, text)
            })?;
            MovingFactor::TimeStep(step.step_at(time.unwrap_or_else(|| app.clock.now())))
        }
        Some(driver::Kind::Hotp) | None => MovingFactor::OnToken,
    };
    let digits = found.digits.or(ours.map(|ours| ours.digits.get()));
    // Whoever reads a passcode off a device can log in with it: written down before it is told.
    let caller = caller.clone();
    app.store
        .write(move |tx| {
            let mut entry: audit::Entry = caller.did("device/calculate");
            entry.token = tx.reader().token_at(&id, &place)?;
            entry.detail = format!("slot `{place}` of {id}");
            tx.audit(entry);
            Ok::<_, Error>(())
        })
        .await?;
    Ok(app.devices.calculate(device, slot, (factor, digits), unlock, Arc::new(Unattended)).await?)
}

/// What is known of the credential in a slot: what is proven, or what a job has written there and somebody must prove.
fn known_at(reader: &Reader<'_>, device: &str, slot: &str) -> Result<Option<Parameters>, Error> {
    if let Some(proven) = reader.parameters_at(device, slot)? {
        return Ok(Some(proven));
    }
    let Some(token) = reader.token_at(device, slot)? else { return Ok(None) };
    Ok(reader.product(reader.product_of(token)?)?.map(|product| product.parameters))
}

/// A slot of which its device tells nothing.
fn unseen(slot: driver::SlotId) -> driver::SlotInfo {
    driver::SlotInfo {
        slot,
        in_use: true,
        kind: None,
        algorithm: None,
        digits: None,
        time_step: None,
        touch: None,
    }
}

/// The device of that address, whatever it is up to.
fn find_any(app: &App, id: &DeviceId) -> Result<DeviceView, Error> {
    let device = app.devices.list().into_iter().find(|device| device.id == *id);
    Ok(device.ok_or_else(|| DeviceError::NoSuchDevice { id: id.clone() })?)
}

/// The device, if it takes calls that change it.
pub(super) fn find(app: &App, id: &DeviceId) -> Result<DeviceView, Error> {
    let device = find_any(app, id)?;
    if device.id.serial().is_none() {
        let text = format!("{id} tells no serial: only devices with one can be programmed");
        return Err(Error::new(Kind::DeviceUnsupported, text));
    }
    if device.state == DeviceState::Ambiguous {
        return Err(DeviceError::Ambiguous { id: id.clone(), places: 2 }.into());
    }
    Ok(device)
}

/// What a device that takes calls said of itself.
pub(super) fn info(device: &DeviceView) -> Result<&TokenInfo, Error> {
    let unusable = || match &device.error {
        Some(detail) => DeviceError::Unusable { id: device.id.clone(), detail: detail.clone() },
        None => DeviceError::NoSuchDevice { id: device.id.clone() },
    };
    Ok(device.info.as_ref().ok_or_else(unusable)?)
}

pub(super) fn to_driver(algorithm: Algorithm) -> driver::Algorithm {
    match algorithm {
        Algorithm::Sha1 => driver::Algorithm::Sha1,
        Algorithm::Sha256 => driver::Algorithm::Sha256,
        Algorithm::Sha512 => driver::Algorithm::Sha512,
    }
}

/// Passes the prompt for a touch on, from the device's thread to the job.
#[derive(Default)]
pub(super) struct Watching {
    pub(super) wanted: Notify,
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
