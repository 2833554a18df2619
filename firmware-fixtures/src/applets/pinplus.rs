//! The OTP applet of Token2's second and later FIDO keys (PIN+, Bio3), for a card or behind a HID tunnel.
//!
//! | P1 P2 of `80 C5` | command | data | answer |
//! |---|---|---|---|
//! | 0000 | WRITE HOTP SEED (the button's slot) | sealed: digits, length, seed; `00 00` deletes | |
//! | 0100 | GET ECDH PUBKEY | | X, Y |
//! | 0200 | READ CONFIG | or ten zeros | 1 or 10 bytes |
//! | 0202, 0204, 0206 | HOTP: Enter, long touch, keypad | 1 byte | |
//! | 0300 | what R3.1 wants before it tells its serial | `04` | |
//! | 0500 | ENUM CODES | `03` time; `01` time, names | a page; one record with its code |
//! | 0501 | ENUM CODES CONTINUE | time | the next page |
//! | 0502 | WRITE SEED | sealed or protected record; nothing erases all | |
//! | 0504 | READ OTP PIN FLAG | 4, 9 or 41 zeros | as many bytes |
//! | 0505, 0506, 0508 | SET, VERIFY (`00` locks), CHANGE OTP PIN | | |
//! | 0509 | READ AGREEMENT PUBKEY | X, Y | X, Y, signature of 132 bytes |
//!
//! `80 33` tells the serial, as `D1`, length, decimal digits. Times are Unix seconds: the key has no clock. Flash
//! (records with their counters, the button's slot, the PIN and its retries) survives everything but erasing.
//! Refused: records out of range, PINs that are too simple, what a session was not opened for. Not emulated:
//! SET DEVICE TYPE, ENABLE TOTP, the five minutes after which a verified PIN is forgotten.

use p256::SecretKey;

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::credential::Kind;
use crate::entropy::Entropy;
use crate::otp;
use crate::status::Status;
use cipher::Session;
pub use model::Model;
use pin::Pin;
pub use record::Record;

mod cipher;
mod fido;
mod model;
mod pin;
mod record;
mod specimen;
#[cfg(test)]
mod tests;
mod tunnel;

pub use specimen::PinPlusSpecimen;

/// Most records that a key holds.
const CAPACITY: usize = 50;

/// Statuses with a meaning of the maker's own.
mod status {
    use crate::status::Status;

    pub(super) const BLOCKED: Status = Status(0x6983);
    pub(super) const NOT_IN_THIS_STATE: Status = Status(0x6A81);
    pub(super) const BUTTON_TIMEOUT: Status = Status(0x6FF9);
    pub(super) const FRAMING: Status = Status(0x6AF8);
}

/// HOTP that the key types when its button is touched.
#[derive(Clone, PartialEq, Eq)]
pub struct Button {
    /// Passcode length: 6 or 8.
    pub digits: u8,
    /// The key of HMAC-SHA-1.
    pub seed: Vec<u8>,
    /// The moving factor of the next passcode.
    pub counter: u64,
}

/// The applet: flash, and what is lost with the power.
pub struct PinPlus {
    model: Model,
    entropy: Entropy,
    // Flash.
    records: Vec<Record>,
    button: Option<Button>,
    pin: Option<Pin>,
    /// Enter suppressed, long press, numeric keypad.
    typing: [u8; 3],
    // Volatile.
    /// 1 once the host has read the configuration, which the serial is told after; R3.1 wants 2.
    told: u8,
    seal_key: Option<SecretKey>,
    session: Option<Session>,
    /// The PIN flag was read, as SET wants it.
    flag_read: bool,
    rand: Option<[u8; 16]>,
    /// The PIN was verified.
    open: bool,
    /// Where the next page begins.
    page: Option<usize>,
}

impl PinPlus {
    /// A key as it leaves the factory.
    #[must_use]
    pub fn new(model: Model) -> Self {
        let seed = model.serial.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        Self::with_entropy(model, Entropy::from_seed(seed))
    }

    fn with_entropy(model: Model, entropy: Entropy) -> Self {
        Self {
            model,
            entropy,
            records: Vec::new(),
            button: None,
            pin: None,
            typing: [0; 3],
            told: 0,
            seal_key: None,
            session: None,
            flag_read: false,
            rand: None,
            open: false,
            page: None,
        }
    }

    /// What lies in flash, in the order in which it is told.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Writes a record past the protocol, over one of the same names.
    pub fn install(&mut self, record: Record) {
        match self.records.iter_mut().find(|other| other.is_called(&record.app, &record.account)) {
            Some(slot) => *slot = record,
            None => self.records.push(record),
        }
    }

    /// The button's slot.
    #[must_use]
    pub fn button(&self) -> Option<&Button> {
        self.button.as_ref()
    }

    /// Writes the button's slot past the protocol.
    pub fn set_button(&mut self, button: Option<Button>) {
        self.button = button;
    }

    /// The button is touched: the key types the next passcode.
    pub fn press(&mut self) -> Option<String> {
        let button = self.button.as_mut()?;
        let record = Record { digits: button.digits, ..Record::hotp("", "", &button.seed, button.counter) };
        button.counter = button.counter.wrapping_add(1);
        Some(record.passcode(record.counter))
    }

    /// A human reads the next passcode of a record in another program; HOTP counts on.
    pub fn read_off(&mut self, app: &[u8], account: &[u8], time: u64) -> Option<String> {
        self.records.iter_mut().find(|record| record.is_called(app, account)).map(|record| record.code(time))
    }

    /// The OTP PIN, if one is set, and the wrong attempts that are left.
    #[must_use]
    pub fn pin(&self) -> Option<(&[u8], u8)> {
        self.pin.as_ref().map(|pin| (pin.text.as_slice(), pin.retries))
    }

    /// Sets (with so many attempts) or removes the OTP PIN past the protocol.
    pub fn set_pin(&mut self, pin: Option<(&[u8], u8)>) {
        self.pin = pin.map(|(text, retries)| Pin { text: text.to_vec(), retries, max: retries });
        self.open = false;
    }

    /// A command that is already taken apart, however it came.
    fn run(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        if command.cla != 0x80 {
            return Err(Status::WRONG_CLA.into());
        }
        match command.ins {
            0xC5 => {}
            0x33 => return Ok(self.serial(command.data)?),
            _ => return Err(Status::WRONG_INS.into()),
        }
        let data = command.data;
        match (command.p1, command.p2) {
            (0x00, 0x00) => Ok(self.write_hotp_seed(data)?),
            (0x01, 0x00) => Ok(self.ecdh_pubkey(data)?),
            (0x02, 0x00) => Ok(self.read_config(data)?),
            (0x02, 0x02) => Ok(self.set_typing(0, data)?),
            (0x02, 0x04) => Ok(self.set_typing(1, data)?),
            (0x02, 0x06) => Ok(self.set_typing(2, data)?),
            (0x03, 0x00) => {
                self.told = 2;
                Ok(Vec::new())
            }
            (0x05, 0x00) => self.enumerate(data, touch),
            (0x05, 0x01) => Ok(self.next_page(data)?),
            (0x05, 0x02) => self.write_seed(data, touch),
            (0x05, p2 @ (0x04..=0x06 | 0x08 | 0x09)) if self.model.pin => Ok(self.pin_command(p2, data)?),
            _ => Err(Status::WRONG_P1_P2.into()),
        }
    }

    fn serial(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if data != [&[0xD1, 0x10][..], &[0; 16]].concat() {
            return Err(Status::WRONG_DATA);
        }
        if self.model.serial_from_fido || self.told < u8::from(self.model.wants_prelude) + 1 {
            return Err(Status::WRONG_INS);
        }
        Ok(self.model.serial_object())
    }

    fn read_config(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if !data.is_empty() && data != [0; 10] {
            return Err(status::FRAMING);
        }
        self.told = self.told.max(1);
        let [enter, long, keypad] = self.typing;
        let button = u8::from(self.button.is_some()) << 7;
        let mut config = vec![0x00, 0x04 | 0x10 | enter | long << 5 | button];
        config.extend([0, 0, 0, 0, 1, 0, 0]);
        config.push(0x01 | 0x02 | 0x10 | keypad << 3 | u8::from(!self.model.button) << 5);
        config.truncate(self.model.config_bytes);
        Ok(config)
    }

    fn set_typing(&mut self, which: usize, data: &[u8]) -> Result<Vec<u8>, Status> {
        match (data, self.typing.get_mut(which)) {
            _ if !self.model.button => Err(Status::WRONG_P1_P2),
            ([value @ 0..=1], Some(slot)) => {
                *slot = *value;
                Ok(Vec::new())
            }
            _ => Err(Status::WRONG_DATA),
        }
    }

    fn ecdh_pubkey(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if !data.is_empty() {
            return Err(Status::WRONG_LENGTH);
        }
        if self.pin.is_some() {
            return Err(status::NOT_IN_THIS_STATE);
        }
        let key = cipher::new_key(&mut self.entropy);
        let point = cipher::point(&key);
        self.seal_key = Some(key);
        Ok(point.to_vec())
    }

    /// The clear text under a seal, for which this key was asked. Each key opens one seal (assumed).
    fn unseal(&mut self, sealed: &[u8], iv: &[u8; 16]) -> Result<Vec<u8>, Status> {
        let key = self.seal_key.take().ok_or(Status::CONDITIONS)?;
        let (point, text) = sealed.split_at_checked(64).ok_or(Status::WRONG_DATA)?;
        let shared = cipher::agree(&key, point).ok_or(Status::WRONG_DATA)?;
        cipher::open(&cipher::sha256(&shared), iv, text).ok_or(Status::WRONG_DATA)
    }

    fn write_hotp_seed(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        if !self.model.button {
            return Err(Status::WRONG_P1_P2);
        }
        if self.pin.is_some() {
            return Err(Status::SECURITY);
        }
        let clear = self.unseal(data, &[0; 16])?;
        match *clear.as_slice() {
            [0, 0] => self.button = None,
            [digits @ (6 | 8), length, ref seed @ ..]
                if (1..=64).contains(&length) && seed.len() == usize::from(length) =>
            {
                self.button = Some(Button { digits, seed: seed.to_vec(), counter: 0 });
            }
            _ => return Err(Status::WRONG_DATA),
        }
        Ok(Vec::new())
    }

    fn write_seed(&mut self, data: &[u8], touch: Touch) -> Result<Vec<u8>, Refusal> {
        if data.is_empty() {
            return self.erase_all(touch);
        }
        let clear = if self.pin.is_some() {
            let session = self.session.as_ref().filter(|_| self.open).ok_or(Status::SECURITY)?;
            session.unprotect(data).ok_or(Status::WRONG_DATA)?
        } else {
            self.unseal(data, &cipher::SEAL_IV)?
        };
        let (record, deletes) = Record::parse(&clear).ok_or(Status::WRONG_DATA)?;
        let place = self.records.iter().position(|other| other.is_called(&record.app, &record.account));
        match (place, deletes) {
            (Some(place), true) => drop(self.records.remove(place)),
            (None, true) => return Err(self.model.not_found.into()),
            (None, false) if self.records.len() >= CAPACITY => return Err(Status::NO_SPACE.into()),
            (_, false) => self.install(record),
        }
        Ok(Vec::new())
    }

    /// The only way out when the PIN is forgotten. That the button's slot stays is assumed.
    fn erase_all(&mut self, touch: Touch) -> Result<Vec<u8>, Refusal> {
        match touch {
            Touch::NotAsked => Err(Refusal::TouchNeeded),
            Touch::TimedOut => Err(status::BUTTON_TIMEOUT.into()),
            Touch::Given => {
                self.records.clear();
                self.set_pin(None);
                self.session = None;
                Ok(Vec::new())
            }
        }
    }

    fn enumerate(&mut self, data: &[u8], touch: Touch) -> Result<Vec<u8>, Refusal> {
        if self.pin.is_some() && !self.open {
            return Err(Status::SECURITY.into());
        }
        let (sub, time, names) = match data {
            [sub, rest @ ..] => match rest.split_first_chunk::<8>() {
                Some((time, names)) => (*sub, u64::from_be_bytes(*time), names),
                None => return Err(Status::WRONG_DATA.into()),
            },
            [] => return Err(status::FRAMING.into()),
        };
        match sub {
            0x01 => self.read_one(names, time, touch),
            0x03 if names.is_empty() && self.records.is_empty() => Err(self.model.not_found.into()),
            0x03 if names.is_empty() => Ok(self.read_page(0, time)),
            _ => Err(Status::WRONG_DATA.into()),
        }
    }

    fn read_one(&mut self, names: &[u8], time: u64, touch: Touch) -> Result<Vec<u8>, Refusal> {
        let (app, rest) = record::text(names).ok_or(Status::WRONG_DATA)?;
        let (account, rest) = record::text(rest).ok_or(Status::WRONG_DATA)?;
        if !rest.is_empty() {
            return Err(Status::WRONG_DATA.into());
        }
        let not_found = self.model.not_found;
        let record = self.records.iter_mut().find(|record| record.is_called(app, account));
        let record = record.ok_or(not_found)?;
        match touch {
            Touch::NotAsked if record.button => return Err(Refusal::TouchNeeded),
            Touch::TimedOut => return Err(status::BUTTON_TIMEOUT.into()),
            Touch::NotAsked | Touch::Given => {}
        }
        let code = record.code(time);
        let mut told = record.told();
        told.push(code.len() as u8);
        told.extend(code.bytes());
        Ok(self.protect(told))
    }

    fn next_page(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let time = u64::from_be_bytes(data.try_into().map_err(|_| Status::WRONG_DATA)?);
        let from = self.page.take().ok_or(Status::CONDITIONS)?;
        if self.pin.is_some() && !self.open {
            return Err(Status::SECURITY);
        }
        Ok(self.read_page(from, time))
    }

    /// As many records as a page holds, one at least.
    fn read_page(&mut self, from: usize, time: u64) -> Vec<u8> {
        let mut page = Vec::new();
        let mut next = from;
        for record in self.records.iter().skip(from) {
            let mut told = record.told();
            if record.kind == Kind::Totp && !record.button {
                let code = record.passcode(time / u64::from(record.step.max(1)));
                told.push(code.len() as u8);
                told.extend(code.bytes());
            }
            if next > from && page.len() + told.len() > self.model.page_bytes {
                break;
            }
            page.extend(told);
            next += 1;
        }
        self.page = (next < self.records.len()).then_some(next);
        if let (Some(first), Some(_)) = (page.first_mut(), self.page) {
            *first |= 0x80;
        }
        self.protect(page)
    }

    /// Once a PIN is set, nothing is told in clear text.
    fn protect(&mut self, clear: Vec<u8>) -> Vec<u8> {
        match &self.session {
            Some(session) if self.pin.is_some() => session.protect(&clear, self.entropy.block()),
            _ => clear,
        }
    }

    /// Volatile state starts anew: a command of the card below, or the loss of power.
    fn forget(&mut self) {
        self.told = 0;
        self.seal_key = None;
        self.session = None;
        self.flag_read = false;
        self.rand = None;
        self.open = false;
        self.page = None;
    }
}

impl Applet for PinPlus {
    fn aid(&self) -> &'static [u8] {
        &[0xF0, 0x00, 0x00, 0x01, 0x4F, 0x74, 0x70, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        self.forget();
        Ok(Vec::new())
    }

    fn deselect(&mut self) {
        self.forget();
    }

    fn knows_class(&self, cla: u8) -> bool {
        cla == 0x80
    }

    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        self.run(command, touch)
    }
}

impl Record {
    /// The passcode for this moving factor.
    fn passcode(&self, factor: u64) -> String {
        otp::passcode(otp::truncate(&otp::hmac(self.hash, &self.seed, &factor.to_be_bytes())), self.digits)
    }

    /// The passcode that is due; HOTP counts on.
    fn code(&mut self, time: u64) -> String {
        match self.kind {
            Kind::Totp => self.passcode(time / u64::from(self.step.max(1))),
            Kind::Hotp => {
                let code = self.passcode(self.counter);
                self.counter = self.counter.wrapping_add(1);
                code
            }
        }
    }
}
