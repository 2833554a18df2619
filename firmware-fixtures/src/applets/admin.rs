//! The applets by which CanoKey and Solo 2 say who they are. Everything else of them is refused.
//!
//! | maker | AID | command | answer |
//! |---|---|---|---|
//! | CanoKeys | F000000000 | 32, P1 P2 0 | serial, 4 bytes |
//! | SoloKeys | A00000084700000001 | 62 | UUID, 16 bytes |
//! | SoloKeys | | 61 | firmware version, 4 bytes: 10 bits major, 16 minor, 6 patch |
//!
//! A CanoKey answers other instructions with 6982 until its PIN was verified, and so does this one.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::status::Status;

/// CanoKey's admin applet.
#[derive(Debug)]
pub struct CanoKeyAdmin {
    serial: u32,
}

impl CanoKeyAdmin {
    /// The applet of one key.
    #[must_use]
    pub fn new(serial: u32) -> Self {
        Self { serial }
    }
}

impl Applet for CanoKeyAdmin {
    fn aid(&self) -> &'static [u8] {
        &[0xF0, 0x00, 0x00, 0x00, 0x00]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Ok(Vec::new())
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        match (command.ins, command.p1, command.p2) {
            (0x32, 0, 0) => Ok(self.serial.to_be_bytes().to_vec()),
            (0x32, ..) => Err(Status::WRONG_P1_P2.into()),
            _ => Err(Status::SECURITY.into()),
        }
    }
}

/// Solo 2's admin applet.
#[derive(Debug)]
pub struct SoloAdmin {
    uuid: [u8; 16],
    version: u32,
}

impl SoloAdmin {
    /// The applet of one key; the serial ends the UUID.
    #[must_use]
    pub fn new(serial: u32, [major, minor, patch]: [u8; 3]) -> Self {
        let version = u32::from(major) << 22 | u32::from(minor) << 6 | u32::from(patch);
        Self { uuid: uuid(serial), version }
    }
}

/// The UUID of the emulated Solo 2 with this serial.
#[must_use]
pub fn uuid(serial: u32) -> [u8; 16] {
    let [a, b, c, d] = serial.to_be_bytes();
    [0x50, 0x10, 0x2A, 0x11, 0xCE, 0x00, 0x4F, 0x0B, 0xB0, 0xBD, 0x00, 0x00, a, b, c, d]
}

impl Applet for SoloAdmin {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x08, 0x47, 0x00, 0x00, 0x00, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Ok(Vec::new())
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        match command.ins {
            0x61 => Ok(self.version.to_be_bytes().to_vec()),
            0x62 => Ok(self.uuid.to_vec()),
            _ => Err(Status::WRONG_INS.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(applet: &mut dyn Applet, ins: u8) -> Result<Vec<u8>, Refusal> {
        applet.call(&Command { cla: 0, ins, p1: 0, p2: 0, data: &[], extended: false }, Touch::NotAsked)
    }

    #[test]
    fn each_tells_its_serial_and_nothing_else() {
        let mut canokey = CanoKeyAdmin::new(0x00AB_CDEF);
        assert_eq!(ask(&mut canokey, 0x32), Ok(vec![0x00, 0xAB, 0xCD, 0xEF]));
        assert_eq!(ask(&mut canokey, 0x05), Err(Refusal::Status(Status::SECURITY)));
        let mut solo = SoloAdmin::new(7, [2, 196, 0]);
        assert_eq!(ask(&mut solo, 0x61), Ok(vec![0x00, 0x80, 0x31, 0x00]));
        assert_eq!(ask(&mut solo, 0x62).unwrap()[12..], [0, 0, 0, 7]);
        assert_eq!(ask(&mut solo, 0x51), Err(Refusal::Status(Status::WRONG_INS)));
    }
}
