//! A Nitrokey 3 and its secrets app, behind two wires with one flash: a smart card (CCID) and CTAPHID vendor command
//! 70 (Nitrokey/trussed-secrets-app, docs/ctaphid.md).
//!
//! Differences between firmware are data, [`SecretsFirmware`]. Over CTAPHID an answer begins with its status word, and
//! no keep-alive is sent while a touch is awaited: usbd-ctaphid has them for CBOR only. Over CCID the card answers only
//! as much as Le asks for and keeps the rest for GET RESPONSE (trussed-dev/apdu-dispatch), so a command without Le gets
//! `61xx` and no data.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::card::{Face, VirtualCard};
use crate::chip::Chip;
use crate::ctaphid::{self, CtapHid, Handler, Outcome, Traits};
use crate::hid::{HidFace, VirtualHid};
use crate::status::Status;

pub use secrets::{Entry, EntryKind, Pin, Secrets};
pub use specimen::{Nitrokey3Specimen, Wire};

mod secrets;
mod specimen;

/// CTAPHID vendor command of the secrets app.
const SECRETS: u8 = 0x70;

/// What differs between versions of the secrets app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretsFirmware {
    /// Name for command lines and test output.
    pub model: &'static str,
    /// Version that SELECT tells: 4, minor, patch.
    pub version: [u8; 3],
    /// bcdDevice: version of the whole firmware.
    pub release: u16,
    /// Whether SELECT tells the serial (from 4.11).
    pub serial_told: bool,
    /// Whether LIST tells properties if asked to, and password entries and HMAC slots exist (from 4.11).
    pub properties: bool,
    /// Most entries there may be; none counted before 4.11.
    pub limit: Option<usize>,
    /// Whether DELETE wants a touch, PUT never overwrites, UPDATE exists, and reverse HOTP takes a PIN (from 4.13).
    pub update: bool,
    /// How often a keep-alive comes while a touch is awaited, if at all.
    pub keepalive: Option<Duration>,
}

impl SecretsFirmware {
    /// Version 4.14.0, in firmware 1.8.2.
    pub const V4_14: Self = Self {
        model: "nitrokey3-4.14.0",
        version: [4, 14, 0],
        release: 0x0108,
        serial_told: true,
        properties: true,
        limit: Some(50),
        update: true,
        keepalive: None,
    };

    /// Version 4.13.0, in firmware 1.6.0 to 1.8.1.
    pub const V4_13: Self =
        Self { model: "nitrokey3-4.13.0", version: [4, 13, 0], release: 0x0107, ..Self::V4_14 };

    /// Version 4.11.0, in firmware 1.5.0.
    pub const V4_11: Self = Self {
        model: "nitrokey3-4.11.0",
        version: [4, 11, 0],
        release: 0x0105,
        update: false,
        ..Self::V4_14
    };

    /// Version 4.10.0, in firmware 1.4.0.
    pub const V4_10: Self = Self {
        model: "nitrokey3-4.10.0",
        version: [4, 10, 0],
        release: 0x0104,
        serial_told: false,
        properties: false,
        limit: None,
        ..Self::V4_11
    };

    /// Every version that was released with a PIN per entry.
    pub const ALL: [Self; 4] = [Self::V4_14, Self::V4_13, Self::V4_11, Self::V4_10];
}

/// An emulated Nitrokey 3. Clones mean the same device.
#[derive(Clone, Debug)]
pub struct Nitrokey3 {
    app: Shared,
    firmware: SecretsFirmware,
    card: VirtualCard,
    hid: VirtualHid,
}

/// The flash that both wires lead to.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<Secrets>>);

impl Shared {
    fn app(&self) -> MutexGuard<'_, Secrets> {
        // A test that panicked elsewhere must not make the device unreadable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nitrokey3 {
    /// A device as it leaves the factory; the serial is the beginning of its UUID.
    #[must_use]
    pub fn new(firmware: SecretsFirmware, serial: [u8; 4]) -> Self {
        let app = Shared(Arc::new(Mutex::new(Secrets::new(firmware, serial))));
        let traits = Traits {
            version: [1, firmware.release.to_be_bytes()[1], 0],
            capabilities: 0x01 | 0x04,
            keepalive: firmware.keepalive,
            longest: 3072,
        };
        let face = Face {
            model: firmware.model,
            atr: &[0x3B, 0x8C, 0x01, 0x80, 0x5A, 0x4E, 0x69, 0x74, 0x72, 0x6F, 0x6B, 0x65, 0x79, 0x33, 0x7D],
            reader: "Nitrokey Nitrokey 3",
            contactless: false,
            chunk: 256,
            extended_length: true,
        };
        let hid_face = HidFace {
            model: firmware.model,
            vendor_id: 0x20A0,
            product_id: 0x42B2,
            release: firmware.release,
            manufacturer: "Nitrokey",
            product: "Nitrokey 3",
            serial: None,
            interface: 1,
            usage: ctaphid::USAGE,
            descriptor: ctaphid::DESCRIPTOR,
            feature_length: 0,
            report_length: ctaphid::PACKET,
        };
        let text = serial.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let applet = SecretsApplet(app.clone());
        let card = VirtualCard::with_chip(Chip::with_applets(face, vec![Box::new(applet)]), &text);
        let hid = VirtualHid::new(hid_face, Box::new(CtapHid::new(traits, SecretsHandler(app.clone()))));
        Self { app, firmware, card, hid }
    }

    /// Which version of the app it has.
    #[must_use]
    pub fn firmware(&self) -> SecretsFirmware {
        self.firmware
    }

    /// Its CCID wire.
    #[must_use]
    pub fn card(&self) -> VirtualCard {
        self.card.clone()
    }

    /// Its CTAPHID wire.
    #[must_use]
    pub fn hid(&self) -> VirtualHid {
        self.hid.clone()
    }

    /// Reaches past the protocol into the app: no exchange, no fault, no power needed.
    pub fn with_app<T>(&self, reach: impl FnOnce(&mut Secrets) -> T) -> T {
        reach(&mut self.app.app())
    }
}

/// The app on the card.
struct SecretsApplet(Shared);

impl Applet for SecretsApplet {
    fn aid(&self) -> &'static [u8] {
        secrets::AID
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Ok(self.0.app().select())
    }

    /// The app does nothing then; only power or reset makes it forget, and the card does not tell them apart.
    fn deselect(&mut self) {
        self.0.app().forget();
    }

    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        let (data, status) = self.0.app().respond(command, touch).ok_or(Refusal::TouchNeeded)?;
        // The card drops the data of an answer that does not end with 9000, also that of the first part of a list.
        if status == Status::OK { Ok(data) } else { Err(status.into()) }
    }

    fn answers_what_le_asks(&self) -> bool {
        true
    }
}

/// The app behind CTAPHID.
struct SecretsHandler(Shared);

impl Handler for SecretsHandler {
    fn message(&mut self, command: u8, message: &[u8], touch: Touch) -> Outcome {
        if command != SECRETS {
            return Outcome::Error(ctaphid::error::INVALID_COMMAND);
        }
        let Ok(command) = Command::parse(message, true) else {
            return Outcome::Error(ctaphid::error::INVALID_LENGTH);
        };
        match self.0.app().respond(&command, touch) {
            Some((data, status)) => Outcome::Answer([&status.bytes()[..], &data].concat()),
            None => Outcome::TouchNeeded,
        }
    }

    fn cancelled(&mut self, _: u8, _: &[u8]) -> Outcome {
        self.0.app().interrupted();
        Outcome::Answer(secrets::INTERRUPTED.bytes().to_vec())
    }

    fn reset(&mut self) {
        self.0.app().forget();
    }
}

#[cfg(test)]
mod tests;
