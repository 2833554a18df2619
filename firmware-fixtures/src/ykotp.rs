//! The OTP application of a YubiKey: two slots that type passcodes or answer challenges.
//!
//! One flash ([`slots::OtpSlots`]) behind two doors: feature reports of the keyboard interface ([`hid::OtpChip`]) and
//! the OTP applet ([`crate::applets::otp::Otp`]). A slot holds 52 bytes of configuration ([`config`]); what a
//! firmware knows of it is a row of a table ([`generation`]). A refused write is told by nothing but a program
//! sequence that stays as it was.
//!
//! Sources: yubikey-personalization (`ykdef.h`, `ykcore.c`), yubikey-manager (`yubikit/yubiotp.py`,
//! `yubikit/core/otp.py`), Yubico.NET.SDK manual, "OTP application". What they leave open is marked "assumed".

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub mod config;
pub mod generation;
pub mod hid;
pub mod keys;
pub mod slots;

use slots::OtpSlots;

/// A handle to the slots of one key; clones mean the same flash.
#[derive(Clone)]
pub struct Flash(Arc<Mutex<OtpSlots>>);

impl Flash {
    /// Puts slots where several doors reach them.
    #[must_use]
    pub fn new(slots: OtpSlots) -> Self {
        Self(Arc::new(Mutex::new(slots)))
    }

    /// Looks into the flash, or changes it past any protocol.
    pub fn open(&self) -> MutexGuard<'_, OtpSlots> {
        // A test that panicked elsewhere must not make the device unreadable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CRC-16 of the OTP application: polynomial 8408 (least significant bit first), initial value FFFF, not
/// complemented.
#[must_use]
pub fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x8408 } else { 0 })
    })
}

/// What [`crc16`] gives over data that its complemented CRC follows.
pub const CRC_RESIDUE: u16 = 0xF0B8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_application() {
        assert_eq!(crc16(b"123456789"), 0x6F91);
        assert_eq!(crc16(&[0; 64]), 0x5B6B);
        assert_eq!(crc16(&[0x00, 0xA8, 0x57, 0x9B, 0x6E, 0x81]), CRC_RESIDUE);
    }
}
