//! An OnlyKey as a [`Specimen`]. Its PIN is entered on its own buttons, so no host has a code for it.

use super::{LABEL, OnlyKey, OnlyKeyModel, Slot, TOTP};
use crate::credential::{Hash, Kind};
use crate::hid::VirtualHid;
use crate::specimen::{Door, Specimen, Stored};

/// An OnlyKey.
pub struct OnlyKeySpecimen {
    model: OnlyKeyModel,
    device: VirtualHid,
}

impl OnlyKeySpecimen {
    /// A new one, unlocked.
    #[must_use]
    pub fn new(model: OnlyKeyModel) -> Self {
        Self { model, device: OnlyKey::plug(model) }
    }

    fn reach<T>(&self, reach: impl FnOnce(&mut OnlyKey) -> T) -> Option<T> {
        self.device.with_chip(reach)
    }
}

fn stored(slot: &Slot) -> Option<Stored> {
    let stored = Stored::totp(&slot.key);
    (slot.second_factor == TOTP && !stored.secret.is_empty()).then_some(stored)
}

impl Specimen for OnlyKeySpecimen {
    fn model(&self) -> String {
        self.model.model.to_owned()
    }

    fn door(&self) -> Door {
        Door::Hid(self.device.clone())
    }

    /// Only the first hardware has one of its own.
    fn serial(&self) -> Option<String> {
        Some(self.model.usb_serial.to_owned()).filter(|serial| serial != "1000000000")
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let slots = self.reach(|chip| chip.slots().to_vec()).unwrap_or_default();
        (1..)
            .zip(&slots)
            .filter_map(|(number, slot)| Some((i32::to_string(&number), stored(slot)?)))
            .collect()
    }

    /// HOTP, and hashes other than SHA-1, it cannot hold.
    fn install(&self, slot: &str, stored: &Stored) {
        assert_eq!((stored.kind, stored.hash), (Kind::Totp, Hash::Sha1));
        let number = slot.parse().unwrap_or_default();
        self.reach(|chip| {
            if let Some(slot) = chip.slot_mut(number) {
                slot.label = [b"other".as_slice(), &[0; LABEL - 5]].concat();
                slot.second_factor = TOTP;
                slot.key = stored.secret.clone();
            }
        });
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let number = slot.parse().ok()?;
        self.reach(|chip| chip.types(number, now)).flatten()
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_lock_code(&self, _code: Option<&[u8]>) {}

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        None
    }
}
