//! What outlives power: the slots, their counters, the settings, and the PINs in the `OpenPGP` card inside.

use super::firmware::{KeptSecret, NitrokeyFirmware};

/// PINs are C strings in fields of this size.
pub(super) const PIN_LENGTH: usize = 25;

/// One programmed slot.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: [u8; 15],
    pub(super) secret: Vec<u8>,
    /// Bit 0: eight digits. The others are about typing.
    pub(super) config: u8,
    pub(super) token_id: [u8; 13],
    /// TOTP: seconds in a step.
    pub(super) interval: u64,
}

impl Slot {
    pub(super) fn digits(&self) -> u8 {
        if self.config & 1 == 1 { 8 } else { 6 }
    }
}

/// A place for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Hotp(usize),
    Totp(usize),
}

impl Place {
    /// What a number on the wire means.
    pub(super) fn of(number: u8, firmware: &NitrokeyFirmware) -> Option<Self> {
        let hotp_slots = if firmware.verify_slot { 4 } else { 3 };
        match (number >> 4, usize::from(number & 0x0F)) {
            (1, index) if index < hotp_slots => Some(Self::Hotp(index)),
            (2, index) if index < 15 => Some(Self::Totp(index)),
            _ => None,
        }
    }

    /// The slot that only `VERIFY_OTP_CODE` reads.
    pub(super) fn is_reserved(self) -> bool {
        self == Self::Hotp(3)
    }
}

/// Slots, counters and settings.
pub(super) struct Flash {
    hotp: [Option<Slot>; 4],
    pub(super) counters: [u64; 4],
    totp: [Option<Slot>; 15],
    /// HOTP slot after num, caps and scroll lock; whether `GET_CODE` wants the user PIN; whether that is forgotten.
    pub(super) settings: [u8; 5],
    /// Minutes since 2014, if the clock was ever set.
    pub(super) minutes: Option<u32>,
}

impl Flash {
    pub(super) fn new() -> Self {
        Self {
            hotp: Default::default(),
            counters: [u64::MAX; 4],
            totp: Default::default(),
            settings: [0xFF, 0xFF, 0xFF, 0, 0],
            minutes: None,
        }
    }

    pub(super) fn slot(&self, place: Place) -> Option<&Slot> {
        match place {
            Place::Hotp(index) => self.hotp.get(index)?.as_ref(),
            Place::Totp(index) => self.totp.get(index)?.as_ref(),
        }
    }

    pub(super) fn set_slot(&mut self, place: Place, slot: Option<Slot>) {
        let found = match place {
            Place::Hotp(index) => self.hotp.get_mut(index),
            Place::Totp(index) => self.totp.get_mut(index),
        };
        if let Some(found) = found {
            *found = slot;
        }
    }

    /// Writes a slot as the firmware does: an empty secret leaves the old one in place.
    pub(super) fn write(&mut self, place: Place, mut slot: Slot, firmware: &NitrokeyFirmware) {
        let is_none = match firmware.kept_secret {
            KeptSecret::FirstByteZero => slot.secret.first() == Some(&0),
            KeptSecret::AllZero => slot.secret.iter().all(|byte| *byte == 0),
            KeptSecret::Never => false,
        };
        if is_none {
            // Erased flash reads as FF.
            slot.secret = self
                .slot(place)
                .map_or_else(|| vec![0xFF; firmware.secret_length()], |old| old.secret.clone());
        }
        self.set_slot(place, Some(slot));
    }

    pub(super) fn counter(&mut self, place: Place) -> Option<&mut u64> {
        match place {
            Place::Hotp(index) => self.counters.get_mut(index),
            Place::Totp(_) => None,
        }
    }

    /// Empties all slots; settings stay.
    pub(super) fn erase_slots(&mut self) {
        self.hotp = Default::default();
        self.totp = Default::default();
        self.counters = [u64::MAX; 4];
    }
}

/// A PIN and how often it may still be wrong.
pub(super) struct Pin {
    text: Vec<u8>,
    shortest: usize,
    pub(super) retries: u8,
}

impl Pin {
    fn new(text: &[u8], shortest: usize) -> Self {
        Self { text: text.to_vec(), shortest, retries: 3 }
    }

    /// VERIFY of the `OpenPGP` card.
    pub(super) fn verify(&mut self, text: &[u8]) -> bool {
        if self.retries == 0 {
            return false;
        }
        if self.text != text {
            self.retries -= 1;
            return false;
        }
        self.retries = 3;
        true
    }

    /// The card takes no PIN that is shorter than it demands.
    pub(super) fn set(&mut self, text: &[u8]) -> bool {
        if text.len() < self.shortest || text.len() > PIN_LENGTH {
            return false;
        }
        self.text = text.to_vec();
        self.retries = 3;
        true
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// The `OpenPGP` card inside, as far as this protocol reaches it.
pub(super) struct Card {
    pub(super) serial: u32,
    pub(super) admin: Pin,
    pub(super) user: Pin,
}

impl Card {
    pub(super) fn new(serial: u32) -> Self {
        Self { serial, admin: Pin::new(b"12345678", 8), user: Pin::new(b"123456", 6) }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.serial);
    }
}
