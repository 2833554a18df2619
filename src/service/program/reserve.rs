//! Taking token, slot and a new secret for a job, all in one commit, before anything is sent.

use fobd_drivers::token::{SlotId, TokenInfo};
use zeroize::Zeroizing;

use super::{ProgramRequest, Target, fit};
use crate::access::Caller;
use crate::app::App;
use crate::devices::{DeviceId, DeviceView};
use crate::model::id::{AssignmentId, JobId, ProductId, TokenId, UserId};
use crate::otp::credential::{Credential, Kind as Otp, Parameters};
use crate::otp::server_clock::Check;
use crate::service::assign::{Grant, assign_in};
use crate::service::error::{Error, Kind};
use crate::service::inventory::Selector;
use crate::service::job::refuse_busy_slot;
use crate::service::lifecycle::refuse_retired;
use crate::service::{create, random, server_clock, slots};
use crate::store::jobs::{Action, NewJob, Undo};
use crate::store::tokens::NewToken;
use crate::store::{Reader, Tx, objects};

/// A reserved job.
pub(super) struct Reserved {
    pub(super) job: JobId,
    pub(super) token: TokenId,
    /// Its serial, which is what a device with a display may show of it: whoever finds the device learns no name.
    pub(super) serial: String,
    pub(super) slot: SlotId,
    pub(super) credential: Credential,
}

/// Refuses what is wrong before the device is asked: a slot at work, which would wait with it for a touch, and what
/// the device cannot do.
pub(super) async fn refuse_early(
    app: &App,
    device: &DeviceView,
    info: &TokenInfo,
    request: &ProgramRequest,
) -> Result<(), Error> {
    let (place, named, touch) = (device.id.clone(), request.slot.clone(), request.touch);
    let (info, target) = (info.clone(), request.target.clone());
    app.store
        .read(move |reader| {
            let (product, home) = match target {
                Target::Token(selector) => {
                    let token = TokenId(selector.find(reader, &objects::TOKEN)?);
                    (reader.product_of(token)?, reader.place_of(token)?)
                }
                Target::Product(product, _) => (ProductId(product.find(reader, &objects::PRODUCT)?), None),
            };
            let model = fitting_model(reader, &place, &info, product, touch)?;
            let place = place.to_string();
            let home = home.filter(|(at, _)| *at == place).map(|(_, slot)| slot);
            let addressing = &info.capabilities.addressing;
            let named =
                named.map(|text| slots::parse_for(addressing, fit::factor(&model), &text)).transpose()?;
            let slot = named.map(|slot| slot.to_string()).or(home);
            slot.map_or(Ok(()), |slot| refuse_busy_slot(reader, &place, &slot))
        })
        .await
}

/// The parameters of a product, if this device can hold such a credential.
fn fitting_model(
    reader: &Reader<'_>,
    device: &DeviceId,
    info: &TokenInfo,
    product: ProductId,
    touch: bool,
) -> Result<Parameters, Error> {
    let model = reader.product(product)?.ok_or_else(|| Error::not_found("product"))?;
    if model.driver != device.driver() {
        let text = format!("products of driver `{}` do not go into {device}", model.driver);
        return Err(Error::new(Kind::DeviceUnsupported, text));
    }
    fit::check(info, &model.parameters, touch)?;
    Ok(model.parameters)
}

/// Takes token, slot and a new secret, all in one commit.
pub(super) fn reserve(
    tx: &Tx<'_>,
    caller: &Caller,
    (device, info): (&DeviceView, &TokenInfo),
    request: &ProgramRequest,
    taken: &[String],
    clock: Check,
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
    refuse_retired(tx, token)?;
    let serial = tx.reader().serial_of(token)?;
    if tx.reader().custody_of(token)?.confined {
        return Err(Error::new(Kind::Confined, format!("token {serial} is confined: release it first")));
    }
    let product = tx.reader().product_of(token)?;
    let parameters = fitting_model(tx.reader(), &device.id, info, product, request.touch)?;
    // A device with a clock would get the wrong time, and the proof would spend the wrong steps.
    if matches!(parameters.kind, Otp::Totp { .. }) && !clock.trusts(tx.now()) {
        return Err(server_clock::suspect());
    }
    let home = tx.reader().place_of(token)?;
    let slot = slot_for(tx.reader(), info, request, &parameters, (&place, &serial), home.as_ref(), taken)?;
    let in_slot = slot.to_string();
    refuse_busy_slot(tx.reader(), &place, &in_slot)?;
    let undo = match home {
        Some((at, lives_in)) if at == place && lives_in == in_slot => Undo::Nothing,
        Some((at, lives_in)) => {
            let text = format!("token {serial} lives in slot `{lives_in}` of {at}: erase that first");
            return Err(Error::new(Kind::InUse, text));
        }
        None => {
            let owner = tx.reader().token_at(&place, &in_slot)?;
            if owner.is_some() || taken.contains(&in_slot) {
                let text = format!("slot `{in_slot}` of {place} holds another credential: erase it first");
                return Err(Error::new(Kind::SlotInUse, text));
            }
            tx.put_place(token, &place, &in_slot)?;
            if made { Undo::Token } else { Undo::Place }
        }
    };
    let secret = random::secret(parameters.algorithm, info.capabilities.max_secret_bytes)?;
    let credential = Credential { secret, parameters };
    let assignment = match &request.user {
        Some(user) => assign_anew(tx, caller, token, user, request.pin.clone())?,
        None => None,
    };
    let job = tx.insert_job(&NewJob {
        action: Action::Program,
        token: Some(token),
        device: &place,
        slot: &in_slot,
        credential: Some(&credential),
        touch: request.touch,
        undo,
        assignment,
        operator: &caller.name,
    })?;
    let mut entry = caller.did("device/program");
    (entry.token, entry.outcome) = (Some(token), "reserved");
    entry.detail = format!("job {job}, slot `{in_slot}` of {place}");
    tx.audit(entry);
    Ok(Reserved { job, token, serial, slot, credential })
}

/// The slot that the caller named, or the one where the token lives on this device, or a free one.
fn slot_for(
    reader: &Reader<'_>,
    info: &TokenInfo,
    request: &ProgramRequest,
    parameters: &Parameters,
    (place, serial): (&str, &str),
    home: Option<&(String, String)>,
    taken: &[String],
) -> Result<SlotId, Error> {
    let (addressing, factor) = (&info.capabilities.addressing, fit::factor(parameters));
    let lives_here = home.filter(|(at, _)| at == place).map(|(_, slot)| slot);
    match request.slot.as_ref().or(lives_here) {
        Some(text) => slots::parse_for(addressing, factor, text),
        None => slots::choose(addressing, factor, serial, |slot| {
            let ours =
                reader.token_at(place, slot)?.is_some() || reader.unfinished_job_at(place, slot)?.is_some();
            Ok(!ours && !taken.iter().any(|taken| taken == slot))
        }),
    }
}

/// Assigns the token, unless the user has it already. What a job that gives up cannot take back, it must not
/// do: so it sets the PIN of a new assignment only.
fn assign_anew(
    tx: &Tx<'_>,
    caller: &Caller,
    token: TokenId,
    user: &Selector,
    pin: Option<Zeroizing<String>>,
) -> Result<Option<AssignmentId>, Error> {
    let user = UserId(user.find(tx.reader(), &objects::USER)?);
    match (tx.reader().assignment_of(token, user)?, pin) {
        (None, pin) => {
            let grant = Grant { token, user, pin, shared: false };
            Ok(Some(assign_in(tx, caller, "device/program", &grant)?))
        }
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
