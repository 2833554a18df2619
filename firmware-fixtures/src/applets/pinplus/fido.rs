//! The FIDO applet, as far as it tells the serial: SELECT may say 6A81 and selects all the same.

use super::Model;
use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::status::Status;

pub(super) struct Fido(pub(super) Model);

impl Applet for Fido {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x06, 0x47, 0x2F, 0x00, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        if self.0.serial_from_fido { Err(super::status::NOT_IN_THIS_STATE) } else { Ok(b"U2F_V2".to_vec()) }
    }

    fn deselect(&mut self) {}

    fn knows_class(&self, cla: u8) -> bool {
        matches!(cla, 0x00 | 0x80)
    }

    fn call(&mut self, command: &Command<'_>, _touch: Touch) -> Result<Vec<u8>, Refusal> {
        match (command.cla, command.ins) {
            (0x80, 0x33) => Ok(self.0.serial_object()),
            _ => Err(Status::WRONG_INS.into()),
        }
    }
}
