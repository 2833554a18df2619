//! A Nitrokey 3 as a [`Specimen`], by one of its wires.

use super::Nitrokey3;
use super::secrets::{Entry, EntryKind};
use crate::credential::Kind;
use crate::specimen::{Door, Specimen, Stored};

/// Which of the wires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Smart card.
    Ccid,
    /// HID.
    CtapHid,
}

/// A Nitrokey 3 by one of its wires. It wants no code: its PIN is not asked for where entries are not encrypted with
/// it.
#[derive(Clone, Debug)]
pub struct Nitrokey3Specimen {
    device: Nitrokey3,
    wire: Wire,
}

impl Nitrokey3Specimen {
    /// Sees this device as a specimen.
    #[must_use]
    pub fn new(device: &Nitrokey3, wire: Wire) -> Self {
        Self { device: device.clone(), wire }
    }
}

impl Specimen for Nitrokey3Specimen {
    fn model(&self) -> String {
        let wire = match self.wire {
            Wire::Ccid => "ccid",
            Wire::CtapHid => "ctaphid",
        };
        format!("{}-{wire}", self.device.firmware.model)
    }

    fn door(&self) -> Door {
        match self.wire {
            Wire::Ccid => Door::Card(self.device.card()),
            Wire::CtapHid => Door::Hid(self.device.hid()),
        }
    }

    fn serial(&self) -> Option<String> {
        self.device.firmware.serial_told.then(|| self.device.card.serial().to_owned())
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let stored = |entry: &Entry| {
            let kind = match entry.kind {
                EntryKind::Hotp => Kind::Hotp,
                EntryKind::Totp => Kind::Totp,
                EntryKind::ReverseHotp | EntryKind::Hmac | EntryKind::None => return None,
            };
            let stored = Stored {
                kind,
                hash: entry.hash,
                digits: Some(entry.digits),
                touch: entry.touch,
                ..Stored::hotp(&entry.secret, u64::from(entry.counter))
            };
            Some((String::from_utf8_lossy(&entry.name).into_owned(), stored))
        };
        self.device.with_app(|app| app.entries().iter().filter_map(stored).collect())
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let kind = match stored.kind {
            Kind::Hotp => EntryKind::Hotp,
            Kind::Totp => EntryKind::Totp,
        };
        let counter = u32::try_from(stored.counter).unwrap_or(u32::MAX);
        let plain = Entry::hotp(slot, &stored.secret, counter);
        let digits = stored.digits.unwrap_or(6);
        let entry = Entry { kind, hash: stored.hash, digits, touch: stored.touch, ..plain };
        self.device.with_app(|app| app.install(entry));
    }

    /// Time steps are the host's business here: 30 s.
    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        self.device.with_app(|app| {
            let entry = app.entry_mut(slot)?;
            match entry.kind {
                EntryKind::Hotp => {
                    let counter = entry.counter;
                    entry.counter += 1;
                    Some(entry.passcode(u64::from(counter)))
                }
                EntryKind::Totp => Some(entry.passcode(now / 30)),
                EntryKind::ReverseHotp | EntryKind::Hmac | EntryKind::None => None,
            }
        })
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_lock_code(&self, code: Option<&[u8]>) {
        self.device.with_app(|app| app.set_pin(code));
    }

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        None
    }
}
