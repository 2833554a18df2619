//! Taking token, slot and a new secret for a job, all in one commit, before anything is sent.

use zeroize::Zeroizing;

use super::{ProgramRequest, Target};
use crate::access::Caller;
use crate::app::App;
use crate::devices::DeviceView;
use crate::model::id::{AssignmentId, JobId, ProductId, TokenId, UserId};
use crate::otp::credential::{Credential, Kind as Otp};
use crate::service::assign::{Grant, assign_in};
use crate::service::error::{Error, Kind};
use crate::service::inventory::Selector;
use crate::service::job::refuse_busy_slot;
use crate::service::lifecycle::refuse_retired;
use crate::service::{create, device, random};
use crate::store::jobs::{Action, NewJob, Undo};
use crate::store::tokens::NewToken;
use crate::store::{Tx, objects};

/// A reserved job.
pub(super) struct Reserved {
    pub(super) job: JobId,
    pub(super) token: TokenId,
    pub(super) slot: String,
    pub(super) credential: Credential,
    /// HOTP: the counter to start from. Not every device can start at 0.
    pub(super) counter: u64,
}

/// Refuses a slot at work before the device is asked: that would wait with it for a touch.
pub(super) async fn refuse_early(
    app: &App,
    device: &DeviceView,
    request: &ProgramRequest,
) -> Result<(), Error> {
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

/// Takes token, slot and a new secret, all in one commit.
pub(super) fn reserve(
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
    refuse_retired(tx, token)?;
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
        Some(user) => assign_anew(tx, caller, token, user, request.pin.clone())?,
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
    let counter = device.info.as_ref().map_or(0, |info| info.capabilities.first_counter);
    Ok(Reserved { job, token, slot, credential, counter })
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
    if !can.algorithms.contains(&device::to_driver(parameters.algorithm)) {
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
