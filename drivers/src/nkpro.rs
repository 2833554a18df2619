//! Driver for Nitrokey Pro, Nitrokey Storage and Librem Key: the maker's protocol over HID feature reports.
//!
//! Three HOTP slots (11 to 13) and fifteen TOTP slots (21 to 35), 6 or 8 digits, SHA-1; `slot.rs` says how they are
//! numbered. The lock code is the admin PIN, with the user PIN behind a colon where passcodes want it (`pin.rs`);
//! the maker's are 12345678 and 123456. `features.rs` has what firmware versions do differently. A command and its
//! reply are two exchanges and more, since the device is asked until it has answered (`link.rs`).
//!
//! | call | commands from 0.8, Storage 0.54 | up to 0.7, Storage 0.53 |
//! |---|---|---|
//! | open | `GET_STATUS`; Storage: `GET_DEVICE_STATUS` | the same |
//! | unlock | `GET_PASSWORD_RETRY_COUNT`, `FIRST_AUTHENTICATE` | the same |
//! | slots | `READ_SLOT` for each | the same |
//! | program | `SEND_OTP_DATA` two or three times, `WRITE_TO_SLOT`; Storage: `READ_SLOT` | `AUTHORIZE`, `WRITE_TO_SLOT` |
//! | erase | `READ_SLOT_NAME`, `ERASE_SLOT`; Storage: `READ_SLOT_NAME` | `READ_SLOT_NAME`, `AUTHORIZE`, `ERASE_SLOT` |
//! | calculate HOTP | `GET_CODE` | the same |
//! | calculate TOTP | `READ_SLOT`, `SET_TIME`, `GET_CODE` | the same |
//!
//! Not here: the password safe, the slot for verification, typing on num lock, the user PIN's change, the Storage's
//! volumes, updates; the Crypto Stick 1.x. The card inside belongs to `OpenPGP` programs.

mod commands;
mod features;
mod frame;
mod link;
mod pin;
mod session;
mod slot;
mod status;
mod token;

use crate::error::Error;
use crate::models::{self, Model};
use crate::token::{Driver, Token, TokenInfo, Unattended};
use crate::transport::{Candidate, Connection};
use commands::{DeviceStatus, GetDeviceStatus, GetStatus};
use features::Features;
use link::Link;
use token::NitrokeyToken;

/// USB product id of the Storage.
const STORAGE: u16 = 0x4109;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct NitrokeyProDriver;

impl NitrokeyProDriver {
    fn model(self, candidate: &Candidate) -> Option<&'static Model> {
        models::of(candidate).find(|model| model.driver == self.name())
    }
}

impl Driver for NitrokeyProDriver {
    fn name(&self) -> &'static str {
        "nkpro"
    }

    fn matches(&self, candidate: &Candidate) -> bool {
        self.model(candidate).is_some()
    }

    fn open(&self, candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let (Candidate::Hid(place), Connection::Hid(hid)) = (candidate, connection) else { return Ok(None) };
        let Some(model) = self.model(candidate) else { return Ok(None) };
        let mut link = Link::new(hid);
        let status = link.call(&GetStatus, &Unattended)?;
        let mut features = Features { storage: place.product_id == STORAGE, minor: status.minor };
        let mut serial = status.serial;
        if features.storage {
            let told = storage_status(&mut link)?;
            serial = told.serial;
            features.minor = features.minor.saturating_add(u8::from(told.development));
        }
        let info = TokenInfo {
            maker: model.maker.to_owned(),
            model: model.model.to_owned(),
            // As the maker's program shows it; 0 if the card inside does not tell.
            serial: (serial != 0).then(|| format!("{serial:08x}")),
            firmware: format!("{}.{}", status.major, status.minor),
            locked: false,
            capabilities: features.capabilities(),
        };
        Ok(Some(Box::new(NitrokeyToken::new(link, info, features))))
    }
}

/// Asks a Storage for what a Pro tells at once. The data come with one report only, so one that was damaged on the
/// way costs another try.
fn storage_status(link: &mut Link) -> Result<DeviceStatus, Error> {
    let mut result = link.call(&GetDeviceStatus, &Unattended);
    for _ in 0..2 {
        if matches!(result, Err(Error::Malformed { .. })) {
            result = link.call(&GetDeviceStatus, &Unattended);
        }
    }
    result
}

#[cfg(test)]
mod hex {
    pub(super) fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }
}
