//! The OTP applet: the slots of [`crate::ykotp`] over APDUs (Yubico, "OTP application").
//!
//! | INS | command | P1 P2 | answer |
//! |---|---|---|---|
//! | A4 | SELECT | 04 00 | status; before the YubiKey 5 mode and timeouts follow, 4 bytes |
//! | 01 | API REQUEST | command 00 | status, or what the command answers |
//! | 03 | READ STATUS | 00 00 | status |
//!
//! The commands are those of [`crate::ykotp::slots`], without CRC. A refused write answers the status as it was. A
//! question without an answer (an empty slot, a hidden serial) is answered with no data (so a published clone). In
//! the field of a reader no challenge waits for a touch (assumed): being held there is one.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::firmware::Firmware;
use crate::status::Status;
use crate::ykotp::Flash;
use crate::ykotp::slots::{OtpSlots, Outcome};

const API_REQUEST: u8 = 0x01;
const READ_STATUS: u8 = 0x03;

/// The applet of one key.
pub struct Otp {
    firmware: Firmware,
    flash: Flash,
    /// The touch level when it was selected.
    touch_level: u8,
}

impl Otp {
    /// The applet of one key with slots of its own; `None` where the key does not have it on the card interface.
    #[must_use]
    pub fn new(firmware: Firmware, serial: u32) -> Option<Self> {
        Self::with_flash(firmware, Flash::new(OtpSlots::new(firmware, serial)))
    }

    /// The same with slots that another interface shows as well.
    #[must_use]
    pub fn with_flash(firmware: Firmware, flash: Flash) -> Option<Self> {
        firmware.otp_applet.then_some(Self { firmware, flash, touch_level: 0 })
    }

    /// The slots.
    #[must_use]
    pub fn flash(&self) -> &Flash {
        &self.flash
    }

    fn status(&self) -> Vec<u8> {
        let flash = self.flash.open();
        let mut status = flash.status();
        if flash.generation().keeps_touch_level {
            status[4] = self.touch_level;
        }
        status.to_vec()
    }

    fn request(&mut self, command: u8, data: &[u8], touch: Touch) -> Result<Vec<u8>, Refusal> {
        let mut payload = [0; 64];
        payload.get_mut(..data.len()).ok_or(Status::WRONG_LENGTH)?.copy_from_slice(data);
        let touch = if self.firmware.contactless { Touch::Given } else { touch };
        let outcome = self.flash.open().run(command, &payload, touch);
        match outcome {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::TouchNeeded => Err(Refusal::TouchNeeded),
            Outcome::Status if command >= 0x10 && !matches!(command, 0x11 | 0x12 | 0x15) => Ok(Vec::new()),
            Outcome::Status => Ok(self.status()),
        }
    }
}

impl Applet for Otp {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        self.touch_level = self.flash.open().status()[4];
        Ok([self.status(), self.firmware.otp_mode.map(Vec::from).unwrap_or_default()].concat())
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        match (command.ins, command.p1, command.p2) {
            (API_REQUEST, request @ (0x01..=0x15 | 0x20 | 0x28 | 0x30 | 0x38), 0) => {
                self.request(request, command.data, touch)
            }
            (READ_STATUS, 0, 0) => Ok(self.status()),
            (API_REQUEST | READ_STATUS, ..) => Err(self.firmware.wrong_parameters.into()),
            _ => Err(Status::WRONG_INS.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(applet: &mut Otp, ins: u8, p1: u8, data: &[u8]) -> Result<Vec<u8>, Refusal> {
        let command = Command { cla: 0, ins, p1, p2: 0, data, extended: false };
        applet.call(&command, Touch::NotAsked)
    }

    fn hmac_slot() -> Vec<u8> {
        let mut config = vec![0; 52];
        config[16..20].copy_from_slice(b"7890");
        config[22..38].copy_from_slice(b"1234567890123456");
        config[45..48].copy_from_slice(&[0x24, 0x40, 0x26]);
        config[50..].copy_from_slice(&[0xD8, 0x28]);
        config
    }

    #[test]
    fn a_neo_tells_its_serial_here() {
        let mut applet = Otp::new(Firmware::YUBIKEY_NEO_3_4_9, 7_050_602).unwrap();
        assert_eq!(applet.select().unwrap(), [3, 4, 9, 0, 0, 0, 2, 15, 0, 0]);
        assert_eq!(call(&mut applet, 1, 0x10, &[]).unwrap(), [0x00, 0x6B, 0x95, 0x6A]);
    }

    #[test]
    fn a_yubikey_5_has_it_in_the_field_of_a_reader_only() {
        assert!(Otp::new(Firmware::YUBIKEY_5_4_3, 1).is_none());
        let mut applet = Otp::new(Firmware::YUBIKEY_5_4_3_NFC, 1).unwrap();
        assert_eq!(applet.select().unwrap(), [5, 4, 3, 0, 0, 0]);
    }

    #[test]
    fn a_recorded_exchange_with_a_challenge_is_repeated() {
        let mut applet = Otp::new(Firmware::YUBIKEY_4_3_5, 1).unwrap();
        applet.select().unwrap();
        let write = [hmac_slot(), vec![0; 6]].concat();
        assert_eq!(call(&mut applet, 1, 0x03, &write).unwrap(), [4, 3, 5, 1, 2, 0]);
        let response = call(&mut applet, 1, 0x38, &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 56]].concat());
        assert_eq!(response.unwrap()[..4], [0x75, 0xA4, 0x8A, 0x19]);
        assert_eq!(call(&mut applet, 1, 0x30, &[0; 64]).unwrap(), [], "an empty slot says nothing");
        assert_eq!(call(&mut applet, 1, 0x03, &[0; 65]), Err(Status::WRONG_LENGTH.into()));
    }

    #[test]
    fn firmware_before_5_4_3_tells_an_old_touch_level_until_it_is_selected_again() {
        let firmware = Firmware { version: [5, 2, 7], ..Firmware::YUBIKEY_5_4_3_NFC };
        let mut applet = Otp::new(firmware, 1).unwrap();
        assert_eq!(applet.select().unwrap()[3..5], [0, 0]);
        assert_eq!(call(&mut applet, 1, 0x03, &hmac_slot()).unwrap()[3..5], [1, 0]);
        assert_eq!(applet.select().unwrap()[3..5], [1, 2]);
        assert_eq!(call(&mut applet, 1, 0x03, &[0; 58]).unwrap()[3..5], [0, 2]);
        assert_eq!(applet.select().unwrap()[3..5], [0, 0]);
    }
}
