//! The commands: 60 bytes in, a status and 53 bytes out. Offsets count from the command byte, which is 0; those of
//! answers from the payload. Integers are little-endian.
//!
//! Not here: the password safe, the Storage's volumes, the boot loader. A Pro answers 9 to a command that it does
//! not know, a Storage 0.

mod pins;

use std::time::Duration;

use super::firmware::{Authorization, NitrokeyFirmware};
use super::flash::{Card, Flash, PIN_LENGTH, Place, Slot};
use crate::credential::Hash;
use crate::entropy::Entropy;
use crate::otp;

/// Status of a command.
pub(super) mod status {
    pub(in crate::nitrokey_pro) const OK: u8 = 0;
    pub(in crate::nitrokey_pro) const WRONG_SLOT: u8 = 2;
    pub(in crate::nitrokey_pro) const NOT_PROGRAMMED: u8 = 3;
    pub(in crate::nitrokey_pro) const WRONG_PASSWORD: u8 = 4;
    pub(in crate::nitrokey_pro) const NOT_AUTHORIZED: u8 = 5;
    pub(in crate::nitrokey_pro) const TIMESTAMP: u8 = 6;
    pub(in crate::nitrokey_pro) const NO_NAME: u8 = 7;
    pub(in crate::nitrokey_pro) const UNKNOWN_COMMAND: u8 = 9;
    pub(in crate::nitrokey_pro) const USER_PIN: u8 = 12;
    pub(in crate::nitrokey_pro) const ADMIN_PIN: u8 = 13;
    pub(in crate::nitrokey_pro) const UNBLOCKING: u8 = 14;
    pub(in crate::nitrokey_pro) const UNKNOWN_ERROR: u8 = 100;
}

/// 2014-01-01T00:00:00Z: the stored clock counts minutes from here.
const EPOCH: u64 = 1_388_534_400;

type Payload = [u8; 53];

/// The device with what it forgets without power.
pub(super) struct Session {
    firmware: NitrokeyFirmware,
    pub(super) flash: Flash,
    pub(super) card: Card,
    admin: Option<[u8; PIN_LENGTH]>,
    user: Option<[u8; PIN_LENGTH]>,
    /// CRCs of the requests that AUTHORIZE and `USER_AUTHORIZE` let pass.
    admin_crc: Option<u32>,
    user_crc: Option<u32>,
    /// AUTHORIZE was asked of a Storage that knows it no more.
    silent: bool,
    /// What `SEND_OTP_DATA` has gathered.
    pending: Option<(Vec<u8>, Vec<u8>)>,
    /// Unix time when it was set, and when that was.
    clock: (u64, Duration),
    /// Storage: the admin PIN between `SEND_PASSWORD` and `SEND_NEW_PASSWORD`.
    announced: Option<Vec<u8>>,
    /// Storage: what the next report carries besides.
    pub(super) status_data: Option<Vec<u8>>,
    commands: u8,
    entropy: Entropy,
}

/// What a command answers.
enum Answer {
    Status(u8),
    Payload(Payload),
}

fn payload(pieces: &[(usize, &[u8])]) -> Answer {
    let mut payload = [0; 53];
    for (at, piece) in pieces {
        payload[*at..at + piece.len()].copy_from_slice(piece);
    }
    Answer::Payload(payload)
}

fn u64_at(body: &[u8], at: usize) -> u64 {
    body[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A C string in a field.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

impl Session {
    pub(super) fn new(firmware: NitrokeyFirmware, serial: u32) -> Self {
        Self {
            firmware,
            flash: Flash::new(),
            card: Card::new(serial),
            admin: None,
            user: None,
            admin_crc: None,
            user_crc: None,
            silent: false,
            pending: None,
            clock: (0, Duration::ZERO),
            announced: None,
            status_data: None,
            commands: 0,
            entropy: Entropy::from_seed(u64::from(serial)),
        }
    }

    pub(super) fn end(&mut self) {
        self.admin = None;
        self.user = None;
    }

    pub(super) fn lose_power(&mut self) {
        self.end();
        self.admin_crc = None;
        self.user_crc = None;
        self.silent = false;
        self.pending = None;
        self.announced = None;
        self.status_data = None;
        self.commands = 0;
        self.clock = (0, Duration::ZERO);
    }

    /// Runs a command whose CRC is right.
    pub(super) fn execute(&mut self, body: &[u8], crc: u32, now: Duration) -> (u8, Payload) {
        let answer = match body[0] {
            0x00 => self.get_status(),
            0x01 if self.by_crc() => self.write_at_once(body, crc),
            0x01 => self.write_pending(body),
            0x02 => self.read_slot_name(body),
            0x03 => self.read_slot(body),
            0x04 => self.get_code(body, crc, now),
            0x05 => self.write_config(body, crc),
            0x06 => self.erase_slot(body, crc),
            0x07 => self.first_authenticate(body),
            0x08 | 0x10 if self.by_crc() => self.authorize(body),
            0x08 | 0x10 if self.firmware.authorize_silences() => {
                self.silent = true;
                Answer::Status(status::OK)
            }
            0x09 => payload(&[(0, &[self.card.admin.retries])]),
            0x0B => self.set_time(body, now),
            0x0E => self.user_authenticate(body),
            0x0F => payload(&[(0, &[self.card.user.retries])]),
            0x11 => self.unlock_user_password(body),
            0x12 => self.lock_device(),
            0x13 => self.factory_reset(body),
            0x14 if !self.firmware.is_storage() => self.change_user_pin(body),
            0x15 if !self.firmware.is_storage() => self.change_admin_pin(body),
            0x17 if !self.by_crc() => self.send_otp_data(body),
            0x18 if self.firmware.verify_slot => self.verify_otp_code(body),
            0x1B if self.firmware.random => self.get_random(body),
            0x2E | 0x32 | 0x33 if self.firmware.is_storage() => self.storage_command(body),
            _ if self.firmware.is_storage() => Answer::Status(status::OK),
            _ => Answer::Status(status::UNKNOWN_COMMAND),
        };
        if self.admin_crc == Some(crc) {
            self.admin_crc = None;
        }
        match answer {
            Answer::Status(status::NOT_AUTHORIZED) if self.silent => (status::OK, [0; 53]),
            Answer::Status(status) => (status, [0; 53]),
            Answer::Payload(payload) => (status::OK, payload),
        }
    }

    fn by_crc(&self) -> bool {
        matches!(self.firmware.authorization, Authorization::ByCrc { .. })
    }

    /// Whether a command may change the device: by its CRC, or by the temporary password in it.
    fn admin_allows(&self, body: &[u8], password_at: usize, crc: u32) -> bool {
        if self.by_crc() {
            return self.admin_crc == Some(crc);
        }
        self.admin.is_some_and(|password| body[password_at..password_at + PIN_LENGTH] == password)
    }

    fn get_status(&self) -> Answer {
        // The Storage does not tell the card's serial here.
        let serial = if self.firmware.is_storage() { 0 } else { self.card.serial };
        payload(&[(0, &[self.firmware.minor, 0]), (2, &serial.to_le_bytes()), (6, &self.flash.settings)])
    }

    fn place(&self, body: &[u8], at: usize) -> Result<Place, Answer> {
        Place::of(body[at], &self.firmware).ok_or(Answer::Status(status::WRONG_SLOT))
    }

    fn programmed(&self, body: &[u8]) -> Result<(Place, Slot), Answer> {
        let place = self.place(body, 1)?;
        let slot = self.flash.slot(place).cloned().ok_or(Answer::Status(status::NOT_PROGRAMMED))?;
        Ok((place, slot))
    }

    /// `WRITE_TO_SLOT` up to 0.7 and 0.53.
    fn write_at_once(&mut self, body: &[u8], crc: u32) -> Answer {
        if self.admin_crc != Some(crc) {
            return Answer::Status(status::NOT_AUTHORIZED);
        }
        let counter = if self.firmware.is_storage() {
            // Decimal digits, as atoi reads them.
            let digits = body[51..].iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
        } else {
            u64_at(body, 51)
        };
        let slot = Slot {
            name: array(&body[2..17]),
            secret: body[17..37].to_vec(),
            config: body[37],
            token_id: array(&body[38..51]),
            interval: u64::from(body[51]) | u64::from(body[52]) << 8,
        };
        self.store(body[1], slot, counter)
    }

    /// `WRITE_TO_SLOT` from 0.8 and 0.54.
    fn write_pending(&mut self, body: &[u8]) -> Answer {
        if !self.admin_allows(body, 1, 0) {
            return Answer::Status(status::NOT_AUTHORIZED);
        }
        let Some((name, secret)) = self.pending.take() else {
            return Answer::Status(status::NOT_AUTHORIZED);
        };
        let number = u64_at(body, 27);
        let slot = Slot {
            name: array(&name),
            secret,
            config: body[35],
            token_id: array(&body[36..49]),
            interval: number,
        };
        self.store(body[26], slot, number)
    }

    fn store(&mut self, number: u8, slot: Slot, counter: u64) -> Answer {
        if slot.name[0] == 0 {
            return Answer::Status(status::NO_NAME);
        }
        let Some(place) = Place::of(number, &self.firmware) else {
            return Answer::Status(status::WRONG_SLOT);
        };
        if place == Place::Totp(14) && self.firmware.loses_last_totp() {
            return Answer::Status(status::OK);
        }
        if let Some(stored) = self.flash.counter(place) {
            *stored = counter;
        }
        self.flash.write(place, slot, &self.firmware);
        Answer::Status(status::OK)
    }

    fn send_otp_data(&mut self, body: &[u8]) -> Answer {
        if !self.admin_allows(body, 1, 0) {
            return Answer::Status(status::NOT_AUTHORIZED);
        }
        let (kind, id, data) = (body[26], usize::from(body[27]), &body[28..58]);
        if self.firmware.is_storage() && !matches!(kind, b'N' | b'S') {
            return Answer::Status(status::UNKNOWN_ERROR);
        }
        let (name, secret) = self.pending.get_or_insert_with(|| (vec![0; 15], vec![0; 40]));
        match kind {
            b'N' => {
                name.copy_from_slice(&data[..15]);
                payload(&[(0, name)])
            }
            b'S' => {
                let at = if id * 30 > 40 { 0 } else { id * 30 };
                let length = data.len().min(40 - at);
                secret[at..at + length].copy_from_slice(&data[..length]);
                payload(&[(0, secret)])
            }
            _ => Answer::Status(status::OK),
        }
    }

    fn read_slot_name(&self, body: &[u8]) -> Answer {
        match self.programmed(body) {
            Ok((_, slot)) => payload(&[(0, &slot.name)]),
            Err(answer) => answer,
        }
    }

    fn read_slot(&mut self, body: &[u8]) -> Answer {
        let (place, slot) = match self.programmed(body) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let interval = if self.by_crc() { slot.interval & 0xFFFF } else { slot.interval };
        let counter = self.flash.counter(place).map(|counter| *counter);
        let number = match counter {
            None => interval.to_le_bytes(),
            Some(counter) if !self.firmware.is_storage() || (!self.by_crc() && body[2] == 1) => {
                counter.to_le_bytes()
            }
            // Decimal digits; what does not fit is cut.
            Some(counter) => {
                let mut digits = (counter & 0xFFFF_FFFF).to_string().into_bytes();
                digits.truncate(7);
                digits.resize(8, 0);
                array(&digits)
            }
        };
        payload(&[(0, &slot.name), (15, &[slot.config]), (16, &slot.token_id), (29, &number)])
    }

    fn get_code(&mut self, body: &[u8], crc: u32, now: Duration) -> Answer {
        if self.flash.settings[3] == 1 {
            let allowed = if self.by_crc() {
                self.user_crc == Some(crc)
            } else {
                self.user.is_some_and(|password| body[19..19 + PIN_LENGTH] == password)
            };
            if !allowed {
                return Answer::Status(status::NOT_AUTHORIZED);
            }
        }
        self.user_crc = None;
        let (place, slot) = match self.programmed(body) {
            Ok((place, _)) if place.is_reserved() => return Answer::Status(status::WRONG_SLOT),
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let factor = match self.flash.counter(place) {
            Some(counter) => {
                let factor = *counter;
                *counter = counter.wrapping_add(1);
                factor
            }
            None => self.time(now).checked_div(slot.interval & 0xFFFF).unwrap_or(0),
        };
        let code = code(&slot, factor);
        payload(&[(0, &code.to_le_bytes()), (4, &[slot.config]), (5, &slot.token_id)])
    }

    fn time(&self, now: Duration) -> u64 {
        self.clock.0.wrapping_add(now.saturating_sub(self.clock.1).as_secs())
    }

    fn set_time(&mut self, body: &[u8], now: Duration) -> Answer {
        let time = u64_at(body, 2);
        #[allow(clippy::cast_possible_truncation)]
        let minutes = (time.wrapping_sub(EPOCH) / 60) as u32 & 0x00FF_FFFF;
        if body[1] != 1 && self.flash.minutes.is_some_and(|stored| stored == 0 || stored > minutes) {
            return Answer::Status(status::TIMESTAMP);
        }
        // The old Storage keeps it in 32 bits (read as signed, which is assumed to end in 2038).
        let shown = if self.firmware.is_storage() && self.by_crc() { time & 0xFFFF_FFFF } else { time };
        self.clock = (shown, now);
        self.flash.minutes = Some(minutes);
        Answer::Status(status::OK)
    }

    fn write_config(&mut self, body: &[u8], crc: u32) -> Answer {
        if !self.admin_allows(body, 6, crc) {
            return Answer::Status(status::NOT_AUTHORIZED);
        }
        let settings: [u8; 5] = array(&body[1..6]);
        let strange = settings[..3].iter().any(|slot| *slot > 2 && *slot != 0xFF)
            || settings[3..].iter().any(|flag| *flag > 2);
        if self.firmware.authorize_silences() && strange {
            return Answer::Status(status::UNKNOWN_ERROR);
        }
        self.flash.settings = settings;
        Answer::Status(status::OK)
    }

    fn erase_slot(&mut self, body: &[u8], crc: u32) -> Answer {
        if !self.admin_allows(body, 2, crc) {
            return Answer::Status(status::NOT_AUTHORIZED);
        }
        let place = match self.place(body, 1) {
            Ok(place) => place,
            Err(answer) => return answer,
        };
        self.flash.set_slot(place, None);
        if let Some(counter) = self.flash.counter(place) {
            *counter = u64::MAX;
        }
        Answer::Status(status::OK)
    }

    /// Looks ten counters ahead in the reserved slot.
    fn verify_otp_code(&mut self, body: &[u8]) -> Answer {
        let Some(slot) = self.flash.slot(Place::Hotp(3)).cloned() else {
            return Answer::Status(status::NOT_PROGRAMMED);
        };
        let wanted = u32::from_le_bytes(array(&body[1..5]));
        let counter = self.flash.counters[3];
        let found = (0..10).find(|offset| code(&slot, counter.wrapping_add(u64::from(*offset))) == wanted);
        match found {
            Some(offset) => {
                self.flash.counters[3] = counter.wrapping_add(u64::from(offset) + 1);
                payload(&[(0, &[1, offset])])
            }
            // -2
            None => payload(&[(0, &[0, 0xFE])]),
        }
    }

    fn get_random(&mut self, body: &[u8]) -> Answer {
        let length = usize::from(body[1]).min(51);
        let bytes: Vec<u8> = (0..7).flat_map(|_| self.entropy.draw()).take(length).collect();
        #[allow(clippy::cast_possible_truncation)]
        payload(&[(0, &[1, length as u8]), (2, &bytes)])
    }
}

/// The number that `GET_CODE` tells.
pub(super) fn code(slot: &Slot, factor: u64) -> u32 {
    let mac = otp::hmac(Hash::Sha1, &slot.secret, &factor.to_be_bytes());
    otp::truncate(&mac) % 10_u32.pow(u32::from(slot.digits()))
}
