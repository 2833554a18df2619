//! Commands about PINs and temporary passwords, and those that only a Storage has.

use super::{Answer, Session, array, payload, status, text};
use crate::nitrokey_pro::firmware::Authorization;

impl Session {
    pub(super) fn first_authenticate(&mut self, body: &[u8]) -> Answer {
        if self.firmware.failure_ends_session {
            self.admin = None;
        }
        if !self.card.admin.verify(text(&body[1..26])) {
            return Answer::Status(status::WRONG_PASSWORD);
        }
        self.admin = Some(array(&body[26..51]));
        Answer::Status(status::OK)
    }

    pub(super) fn user_authenticate(&mut self, body: &[u8]) -> Answer {
        if self.firmware.failure_ends_session {
            self.user = None;
        }
        if !self.card.user.verify(text(&body[1..26])) {
            return Answer::Status(status::WRONG_PASSWORD);
        }
        self.user = Some(array(&body[26..51]));
        Answer::Status(status::OK)
    }

    /// AUTHORIZE and `USER_AUTHORIZE` up to 0.7 and 0.53. Without a temporary password they answer OK and do nothing.
    pub(super) fn authorize(&mut self, body: &[u8]) -> Answer {
        let once = self.firmware.authorization == Authorization::ByCrc { once: true };
        let (password, crc) = match body[0] {
            0x08 => (&mut self.admin, &mut self.admin_crc),
            _ => (&mut self.user, &mut self.user_crc),
        };
        match password {
            None => Answer::Status(status::OK),
            Some(known) if body[5..30] == *known => {
                *crc = Some(u32::from_le_bytes(array(&body[1..5])));
                if once {
                    *password = None;
                }
                Answer::Status(status::OK)
            }
            Some(_) => Answer::Status(status::WRONG_PASSWORD),
        }
    }

    pub(super) fn unlock_user_password(&mut self, body: &[u8]) -> Answer {
        if !self.card.admin.verify(text(&body[1..26])) {
            return Answer::Status(status::WRONG_PASSWORD);
        }
        let set = self.card.user.set(text(&body[26..51]));
        Answer::Status(if set { status::OK } else { status::UNBLOCKING })
    }

    pub(super) fn lock_device(&mut self) -> Answer {
        if self.firmware.lock_ends_session() {
            self.end();
        }
        Answer::Status(status::OK)
    }

    /// The card is as new and all slots are empty; the settings stay.
    pub(super) fn factory_reset(&mut self, body: &[u8]) -> Answer {
        if !self.card.admin.verify(text(&body[1..26])) {
            return Answer::Status(status::WRONG_PASSWORD);
        }
        self.card.reset();
        self.flash.erase_slots();
        Answer::Status(status::OK)
    }

    pub(super) fn change_user_pin(&mut self, body: &[u8]) -> Answer {
        if !self.card.user.verify(text(&body[1..26])) {
            return Answer::Status(status::WRONG_PASSWORD);
        }
        let set = self.card.user.set(text(&body[26..51]));
        Answer::Status(if set { status::OK } else { status::USER_PIN })
    }

    pub(super) fn change_admin_pin(&mut self, body: &[u8]) -> Answer {
        if !self.card.admin.verify(text(&body[1..26])) {
            return Answer::Status(status::WRONG_PASSWORD);
        }
        let set = self.card.admin.set(text(&body[26..51]));
        Answer::Status(if set { status::OK } else { status::ADMIN_PIN })
    }

    /// Commands that a Storage hands to another task: the answer's block tells how that went.
    pub(super) fn storage_command(&mut self, body: &[u8]) -> Answer {
        const OK: u8 = 1;
        const WRONG_PASSWORD: u8 = 3;
        self.commands = self.commands.wrapping_add(1);
        let pin = text(&body[2..22]).to_vec();
        let done = match (body[0], body[1]) {
            (0x2E, _) => {
                self.status_data = Some(self.device_status());
                true
            }
            (0x32, b'A') => {
                let right = self.card.admin.verify(&pin);
                self.announced = right.then_some(pin);
                right
            }
            (0x33, b'A') => self.announced.take().is_some() && self.card.admin.set(&pin),
            _ => false,
        };
        let state = if done { OK } else { WRONG_PASSWORD };
        payload(&[(13, &[self.commands, body[0], state, 0])])
    }

    /// Data of `GET_DEVICE_STATUS`, from byte 25 of the report on.
    fn device_status(&self) -> Vec<u8> {
        const STATUS: u8 = 3;
        let mut data = vec![0, STATUS, 0, 25];
        // A magic number; plain volume writable, encrypted one not; version; hidden volume not.
        data.extend([0x18, 0x13, 0, 1, 0, self.firmware.minor, 0, 0, 1]);
        // Firmware open, SD card known and filled, its id; only the plain volume is there; card known.
        data.extend([0, 0, 1, 0x11, 0x22, 0x33, 0x44, 1, 0]);
        data.extend([self.card.user.retries, self.card.admin.retries]);
        data.extend(self.card.serial.to_le_bytes());
        data.push(0);
        data
    }
}
