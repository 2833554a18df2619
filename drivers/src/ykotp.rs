//! Driver for the OTP slots of a `YubiKey`, over its keyboard interface (feature reports) and its OTP applet (APDUs).
//!
//! Slots are numbered 1 and 2 as the maker does. An HOTP slot types its passcode when the key is touched and computes
//! none for its host; a TOTP slot is a key for challenges (HMAC-SHA-1), and the host's time step is the challenge: time
//! step and digits are the host's business and are not stored. What else a slot can do is a
//! [`crate::token::task::Task`].
//!
//! | call | exchanges over HID (reports) | over the card interface |
//! |---|---|---|
//! | slots | 2 | SELECT, READ STATUS |
//! | program | 1, then 1 to 3 for each 7 bytes that are not all zero | SELECT, API REQUEST |
//! | erase | 6 | SELECT, API REQUEST |
//! | calculate | about 15 | SELECT, API REQUEST |
//!
//! Access codes are 6 bytes, one for each slot: given as 12 hexadecimal digits, or as 6 bytes of text. `status.rs` says
//! how a refused write is noticed, `token.rs` what becomes of codes, `features.rs` what each firmware can do. A
//! `YubiKey` 5 on USB is left to its keyboard interface: slots are not written over its card interface.
//!
//! Not here: AES challenges, static tickets made by the key, scan maps, switching interfaces, FIPS mode.

mod applet;
mod config;
mod features;
mod flags;
mod frame;
mod identifier;
mod keyboard;
mod keys;
mod ndef;
mod plan;
mod response;
mod status;
mod tasks;
mod token;
mod wire;

use crate::error::Error;
use crate::models;
use crate::token::{Driver, Token, TokenInfo, Unattended};
use crate::transport::{Candidate, Connection, HidCandidate};
use crate::yubikey::{DeviceInfo, Version};
use applet::Applet;
use features::Features;
use keyboard::Keyboard;
use token::OtpToken;
use wire::{Answer, Length, Request, Wire};

/// USB product ids of keys with a keyboard interface.
pub(crate) const PRODUCTS: &[u16] =
    &[0x0010, 0x0110, 0x0111, 0x0114, 0x0116, 0x0401, 0x0403, 0x0405, 0x0407, 0x0410];
/// Those of keys that have nothing else.
const ALONE: &[u16] = &[0x0010, 0x0110, 0x0401];
const PLUS: u16 = 0x0410;
/// Most pages of device info.
const PAGES: u8 = 8;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct YkotpDriver;

impl Driver for YkotpDriver {
    fn name(&self) -> &'static str {
        "ykotp"
    }

    /// Keyboard interfaces that are in the table of models; any card that the table does not give to another driver.
    fn matches(&self, candidate: &Candidate) -> bool {
        let stranger = matches!(candidate, Candidate::Card { .. });
        models::kept_for(candidate, self.name()).unwrap_or(stranger)
    }

    fn open(&self, candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let product = match candidate {
            Candidate::Hid(HidCandidate { product_id, .. }) => Some(*product_id),
            Candidate::Card { .. } => None,
        };
        let (mut wire, status): (Box<dyn Wire>, _) = match connection {
            Connection::Hid(connection) => {
                let composite = product.is_none_or(|product| !ALONE.contains(&product));
                let (keyboard, status) = Keyboard::open(connection, composite, &Unattended)?;
                (Box::new(keyboard), status)
            }
            Connection::Card(connection) => {
                let Some((applet, status)) = Applet::open(connection)? else { return Ok(None) };
                let on_usb = !applet.is_contactless();
                if on_usb && status.version >= Version(5, 0, 0) {
                    return Ok(None);
                }
                (Box::new(applet), status)
            }
        };
        let features = Features::new(status.version, wire.is_contactless());
        let identity = identify(wire.as_mut(), features)?;
        let model = match (&identity, product) {
            (_, Some(PLUS)) => "YubiKey Plus".to_owned(),
            (Identity { info: Some(info), .. }, _) => info.model(status.version),
            (Identity { info: None, .. }, _) => format!("YubiKey {}", generation(status.version)),
        };
        let firmware = identity.info.and_then(|info| info.firmware).unwrap_or(status.version);
        let info = TokenInfo {
            maker: "Yubico".to_owned(),
            model,
            serial: identity.serial.map(|serial| serial.to_string()),
            firmware: firmware.to_string(),
            locked: false,
            capabilities: features.capabilities(),
        };
        Ok(Some(Box::new(OtpToken::new(wire, info, features))))
    }
}

/// The name of a family.
fn generation(version: Version) -> &'static str {
    match version.0 {
        0 | 1 => "1",
        2 => "2",
        3 => "NEO",
        4 => "4",
        _ => "5",
    }
}

/// What a key tells of itself. A key may hide its serial.
#[derive(Default)]
struct Identity {
    info: Option<DeviceInfo>,
    serial: Option<u32>,
}

fn identify(wire: &mut dyn Wire, features: Features) -> Result<Identity, Error> {
    if features.device_info()
        && let Some(info) = device_info(wire, features)?
    {
        return Ok(Identity { serial: info.serial, info: Some(info) });
    }
    if !features.serial() {
        return Ok(Identity::default());
    }
    let serial = match wire.ask(features, &mut |_| Ok(Request::serial()), Length::Of(4), &Unattended)? {
        Answer::Data(serial) => serial.first_chunk().copied().map(u32::from_be_bytes),
        Answer::Nothing => None,
    };
    Ok(Identity { info: None, serial })
}

/// Reads pages until they tell serial and firmware.
fn device_info(wire: &mut dyn Wire, features: Features) -> Result<Option<DeviceInfo>, Error> {
    let mut info: Option<DeviceInfo> = None;
    for page in 0..PAGES {
        let mut request = |_| Ok(Request::device_info(page));
        let told = match wire.ask(features, &mut request, Length::Told, &Unattended) {
            Ok(Answer::Data(told)) => told,
            Ok(Answer::Nothing) | Err(Error::Refused { .. }) => break,
            Err(error) => return Err(error),
        };
        let told = DeviceInfo::decode(&told).map_err(|malformed| malformed.of("DEVICE INFO"))?;
        let joined = match info.take() {
            Some(info) => info.join(told),
            None => told,
        };
        let complete = joined.serial.is_some() && joined.firmware.is_some();
        let last = complete || !joined.more;
        info = Some(joined);
        if last {
            break;
        }
    }
    Ok(info)
}
