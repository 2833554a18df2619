//! Emulated Nitrokey Pro, Nitrokey Storage and Librem Key: one-time passcodes over HID feature reports.
//!
//! [`NitrokeyPro`] is the device with a hand that reaches into it. Slots go by the number that is printed in the
//! maker's own program, with 10 in front for HOTP (11 to 13) and 20 for TOTP (21 to 35); on the wire they are
//! `10..13` and `20..2F` hexadecimal. `firmware.rs` has the generations, `chip.rs` the wire, `commands.rs` what is
//! said over it. The lock code is the admin PIN.
//!
//! Sources: published firmware, see `firmware.rs`; frames recorded from libnitrokey 3.7, see `tests.rs`.

mod chip;
mod commands;
mod firmware;
mod flash;
#[cfg(test)]
mod tests;

pub use chip::Pace;
pub use firmware::{Authorization, Device, KeptSecret, NitrokeyFirmware};

use crate::credential::Hash;
use crate::hid::VirtualHid;
use crate::otp;
use crate::specimen::{Door, Specimen, Stored};
use chip::Chip;
use flash::{Place, Slot};

/// An emulated device; clones mean the same one.
#[derive(Clone, Debug)]
pub struct NitrokeyPro {
    hid: VirtualHid,
    firmware: NitrokeyFirmware,
    serial: u32,
}

impl NitrokeyPro {
    /// A device as it leaves the factory.
    #[must_use]
    pub fn new(firmware: NitrokeyFirmware, serial: u32) -> Self {
        let hid = VirtualHid::new(firmware.face(serial), Box::new(Chip::new(firmware, serial)));
        Self { hid, firmware, serial }
    }

    /// Its wire.
    #[must_use]
    pub fn hid(&self) -> &VirtualHid {
        &self.hid
    }

    /// Which firmware it has.
    #[must_use]
    pub fn firmware(&self) -> &NitrokeyFirmware {
        &self.firmware
    }

    /// How long its commands take from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.with_chip(|chip| chip.pace = pace);
    }

    /// Whether `GET_CODE` wants the user PIN.
    pub fn set_user_pin_needed(&self, needed: bool) {
        self.with_chip(|chip| chip.session.flash.settings[3] = u8::from(needed));
    }

    /// Takes the temporary passwords away, as another program that authenticates would.
    pub fn end_sessions(&self) {
        self.with_chip(|chip| chip.session.end());
    }

    /// How often the admin PIN and the user PIN may still be wrong.
    #[must_use]
    pub fn retries(&self) -> (u8, u8) {
        self.with_chip(|chip| (chip.session.card.admin.retries, chip.session.card.user.retries))
            .unwrap_or_default()
    }

    /// Sets both retry counters, as wrong PINs elsewhere would have.
    pub fn set_retries(&self, admin: u8, user: u8) {
        self.with_chip(|chip| {
            chip.session.card.admin.retries = admin;
            chip.session.card.user.retries = user;
        });
    }

    /// The name in a slot, zeros at its end left out.
    #[must_use]
    pub fn name(&self, slot: &str) -> Option<Vec<u8>> {
        self.with_chip(|chip| {
            let name = chip.session.flash.slot(place(slot)?)?.name;
            let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            Some(name[..end].to_vec())
        })
        .flatten()
    }

    fn with_chip<T>(&self, reach: impl FnOnce(&mut Chip) -> T) -> Option<T> {
        self.hid.with_chip(reach)
    }
}

/// What a number in the maker's counting means.
fn place(slot: &str) -> Option<Place> {
    match slot.parse().ok()? {
        number @ 11..=13 => Some(Place::Hotp(number - 11)),
        number @ 21..=35 => Some(Place::Totp(number - 21)),
        _ => None,
    }
}

fn places() -> impl Iterator<Item = (String, Place)> {
    let hotp = (0..3).map(|index| ((index + 11).to_string(), Place::Hotp(index)));
    hotp.chain((0..15).map(|index| ((index + 21).to_string(), Place::Totp(index))))
}

impl Specimen for NitrokeyPro {
    fn model(&self) -> String {
        self.firmware.model.to_owned()
    }

    fn door(&self) -> Door {
        Door::Hid(self.hid.clone())
    }

    fn serial(&self) -> Option<String> {
        Some(format!("{:08x}", self.serial))
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let stored = |chip: &mut Chip| {
            let flash = &chip.session.flash;
            let tell = |(number, place): (String, Place)| {
                let slot = flash.slot(place)?;
                let stored = match place {
                    Place::Hotp(index) => Stored::hotp(&slot.secret, *flash.counters.get(index)?),
                    Place::Totp(_) => {
                        Stored { time_step: u32::try_from(slot.interval).ok(), ..Stored::totp(&slot.secret) }
                    }
                };
                Some((number, Stored { digits: Some(slot.digits()), ..stored }))
            };
            places().filter_map(tell).collect()
        };
        self.with_chip(stored).unwrap_or_default()
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let Some(place) = place(slot) else { return };
        let mut secret = stored.secret.clone();
        secret.resize(self.firmware.secret_length(), 0);
        let mut name = [0; 15];
        name[..7].copy_from_slice(b"another");
        let written = Slot {
            name,
            secret,
            config: u8::from(stored.digits == Some(8)),
            token_id: [0; 13],
            interval: stored.time_step.map_or(0, u64::from),
        };
        self.with_chip(|chip| {
            let flash = &mut chip.session.flash;
            if let Some(counter) = flash.counter(place) {
                *counter = stored.counter;
            }
            flash.set_slot(place, Some(written));
        });
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let place = place(slot)?;
        self.with_chip(|chip| {
            let flash = &mut chip.session.flash;
            let found = flash.slot(place)?.clone();
            let factor = match flash.counter(place) {
                Some(counter) => {
                    *counter = counter.wrapping_add(1);
                    counter.wrapping_sub(1)
                }
                None => now.checked_div(found.interval)?,
            };
            let mac = otp::hmac(Hash::Sha1, &found.secret, &factor.to_be_bytes());
            Some(otp::passcode(otp::truncate(&mac), found.digits()))
        })
        .flatten()
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        self.with_chip(|chip| chip.session.card.admin.text().to_vec())
    }

    fn set_lock_code(&self, code: Option<&[u8]>) {
        self.with_chip(|chip| chip.session.card.admin.set(code.unwrap_or(b"12345678")));
    }

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        Some(b"another admin pin".to_vec())
    }
}
