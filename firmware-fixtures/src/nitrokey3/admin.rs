//! The admin app, as far as other programs ask it before they use the secrets app (Nitrokey/admin-app).
//!
//! | command | answer |
//! |---|---|
//! | 61 VERSION | as text if 01 was sent with it, else 32 bits: 10 major, 16 minor, 6 patch |
//! | 62 UUID | 16 bytes, the serial first |
//!
//! Over CCID the command is INS, over CTAPHID the vendor command itself. Everything else is refused.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::status::Status;

const VERSION: u8 = 0x61;
const UUID: u8 = 0x62;

/// The app: nothing in it changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin {
    pub(super) version: [u8; 3],
    pub(super) serial: [u8; 4],
}

impl Admin {
    /// What a command answers; `None` if there is no such command.
    pub(super) fn told(self, command: u8, with: Option<u8>) -> Option<Vec<u8>> {
        let [major, minor, patch] = self.version;
        match (command, with) {
            (VERSION, Some(1)) => Some(format!("{major}.{minor}.{patch}").into_bytes()),
            (VERSION, _) => {
                let number = u32::from(major) << 22 | u32::from(minor) << 6 | u32::from(patch);
                Some(number.to_be_bytes().to_vec())
            }
            (UUID, _) => Some([&self.serial[..], &[0x55; 12]].concat()),
            _ => None,
        }
    }
}

impl Applet for Admin {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x08, 0x47, 0x00, 0x00, 0x00, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        Ok(Vec::new())
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, _: Touch) -> Result<Vec<u8>, Refusal> {
        let with = command.data.first().copied().or(Some(command.p2));
        self.told(command.ins, with).ok_or(Refusal::Status(Status::WRONG_INS))
    }

    fn answers_what_le_asks(&self) -> bool {
        true
    }
}
