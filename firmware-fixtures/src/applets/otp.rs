//! The OTP applet, as far as other applets need it: status and serial (Yubico, "OTP application").
//!
//! SELECT and READ STATUS (`00 03 00 00`) answer version, program sequence and touch level; before the YubiKey
//! 5 four bytes of mode follow on SELECT. `00 01 10 00` answers the serial, four bytes, most significant
//! first. Both slots are empty and stay so: configuring them is refused.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::firmware::Firmware;
use crate::status::Status;

const API_REQUEST: u8 = 0x01;
const READ_STATUS: u8 = 0x03;
const GET_SERIAL: u8 = 0x10;

/// The applet that tells the serial of older keys.
#[derive(Debug)]
pub struct Otp {
    firmware: Firmware,
    mode: [u8; 4],
    serial: u32,
}

impl Otp {
    /// The applet of one key; `None` where the key does not have it on the card interface.
    #[must_use]
    pub fn new(firmware: Firmware, serial: u32) -> Option<Self> {
        firmware.otp_mode.map(|mode| Self { firmware, mode, serial })
    }

    /// Version, program sequence 0 and touch level 0: nothing is configured.
    fn status(&self) -> Vec<u8> {
        [&self.firmware.version[..], &[0; 3]].concat()
    }
}

impl Applet for Otp {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Ok([self.status(), self.mode.to_vec()].concat())
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        match (command.ins, command.p1, command.p2) {
            (API_REQUEST, GET_SERIAL, 0) => Ok(self.serial.to_be_bytes().to_vec()),
            (READ_STATUS, 0, 0) => Ok(self.status()),
            (API_REQUEST | READ_STATUS, ..) => Err(self.firmware.wrong_parameters.into()),
            _ => Err(Status::WRONG_INS.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neo_tells_its_serial_here() {
        let mut applet = Otp::new(Firmware::YUBIKEY_NEO_3_4_9, 7_050_602).unwrap();
        assert_eq!(applet.select().unwrap(), [3, 4, 9, 0, 0, 0, 2, 15, 0, 0]);
        let command = Command { cla: 0, ins: 1, p1: 0x10, p2: 0, data: &[], extended: false };
        assert_eq!(applet.call(&command, Touch::NotAsked).unwrap(), [0x00, 0x6B, 0x95, 0x6A]);
    }

    #[test]
    fn a_yubikey_5_does_not_have_it_on_the_card_interface() {
        assert!(Otp::new(Firmware::YUBIKEY_5_4_3, 1).is_none());
    }
}
