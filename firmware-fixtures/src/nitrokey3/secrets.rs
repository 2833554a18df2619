//! The secrets app itself: entries, PIN, and the commands about them (Nitrokey/trussed-secrets-app).
//!
//! | INS | command | P1 P2 | data | touch |
//! |---|---|---|---|---|
//! | A4 | SELECT | 04 00 | AID | |
//! | 01 | PUT | 00 00 | `71` name `73` type digits secret [`78 pp`] [`7A` counter] [`83` `84` `85`] | if the entry wants one and no PIN |
//! | 02 | DELETE | 00 00 | `71` name | from 4.13 |
//! | 04 | RESET | DE AD | | yes |
//! | A1 | LIST | 00 00 | [version] | |
//! | A2 | CALCULATE | 00 01 | `71` name `74` challenge | if the entry wants one and no PIN |
//! | A5 | SEND REMAINING | 00 00 | | |
//! | B1 | VERIFY CODE | 00 00 | `71` name `75` passcode | as CALCULATE |
//! | B2 | VERIFY PIN | 00 00 | `80` PIN | yes |
//! | B3 | CHANGE PIN | 00 00 | `80` old `81` new | yes |
//! | B4 | SET PIN | 00 00 | `80` PIN | yes |
//! | B5 | GET CREDENTIAL | 00 00 | `71` name | as CALCULATE |
//! | B7 | UPDATE CREDENTIAL | 00 00 | `71` name [`71` new name] [`78 01 pp`] [`83` `84` `85`] | yes |
//!
//! The PIN opens one command: entries encrypted with it can be seen by the next command after VERIFY PIN and are not
//! there for others. HOTP counts on before it answers. Refused: SHA-512 at CALCULATE, long lengths.

use sha2::{Digest, Sha256};

use crate::apdu::Command;
use crate::applets::Touch;
use crate::credential::Hash;
use crate::entropy::Entropy;
use crate::otp;
use crate::status::Status;
use crate::tlv::{Reader, push};

use super::SecretsFirmware;

pub(super) const AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01];

/// A touch was awaited and the host cancelled; also what the app says of a counter that cannot count on.
pub(super) const INTERRUPTED: Status = Status(0x6500);
const VERIFICATION_FAILED: Status = Status(0x6300);
const OPERATION_BLOCKED: Status = Status(0x6983);
const FUNCTION_NOT_SUPPORTED: Status = Status(0x6A81);
const MORE_AVAILABLE: Status = Status(0x61FF);

/// Longest answer.
const ANSWER_MAX: usize = 3072;
/// Longest name, secret and PIN.
const FIELD_MAX: usize = 128;
/// Wrong PINs until it is blocked.
const PIN_RETRIES: u8 = 8;
/// How far VERIFY CODE looks ahead.
const LOOK_AHEAD: u32 = 9;

const REQUIRE_TOUCH: u8 = 0x02;
const PIN_ENCRYPTED: u8 = 0x04;

mod tag {
    pub(super) const NAME: u8 = 0x71;
    pub(super) const NAME_LIST: u8 = 0x72;
    pub(super) const KEY: u8 = 0x73;
    pub(super) const CHALLENGE: u8 = 0x74;
    pub(super) const RESPONSE: u8 = 0x75;
    pub(super) const TRUNCATED: u8 = 0x76;
    pub(super) const NO_RESPONSE: u8 = 0x77;
    pub(super) const PROPERTY: u8 = 0x78;
    pub(super) const VERSION: u8 = 0x79;
    pub(super) const COUNTER: u8 = 0x7A;
    pub(super) const PIN: u8 = 0x80;
    pub(super) const NEW_PIN: u8 = 0x81;
    pub(super) const PIN_RETRIES: u8 = 0x82;
    pub(super) const LOGIN: u8 = 0x83;
    pub(super) const PASSWORD: u8 = 0x84;
    pub(super) const METADATA: u8 = 0x85;
    pub(super) const SERIAL: u8 = 0x8F;
}

/// What an entry is for: high nibble of its type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `1x`.
    Hotp,
    /// `2x`.
    Totp,
    /// The key checks passcodes of its host: `3x`.
    ReverseHotp,
    /// Challenge-response: `4x`.
    Hmac,
    /// Only a login and a password: `Fx`.
    None,
}

impl EntryKind {
    fn parse(byte: u8) -> Result<Self, Status> {
        Ok(match byte & 0xF0 {
            0x10 => Self::Hotp,
            0x20 => Self::Totp,
            0x30 => Self::ReverseHotp,
            0x40 => Self::Hmac,
            0xF0 => Self::None,
            _ => return Err(Status::WRONG_DATA),
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Hotp => 0x10,
            Self::Totp => 0x20,
            Self::ReverseHotp => 0x30,
            Self::Hmac => 0x40,
            Self::None => 0xF0,
        }
    }
}

/// One entry in flash.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Up to 128 bytes.
    pub name: Vec<u8>,
    /// What it is for.
    pub kind: EntryKind,
    /// The hash under the HMAC.
    pub hash: Hash,
    /// Length of the passcode, as the host wrote it.
    pub digits: u8,
    /// The key as the host wrote it.
    pub secret: Vec<u8>,
    /// HOTP: the moving factor of the next passcode.
    pub counter: u32,
    /// Whether each use needs a touch.
    pub touch: bool,
    /// Whether it is encrypted with the PIN.
    pub pin: bool,
    /// Login, password and metadata of a password entry.
    pub safe: [Option<Vec<u8>>; 3],
}

impl Entry {
    /// A six-digit HOTP entry with SHA-1.
    #[must_use]
    pub fn hotp(name: &str, secret: &[u8], counter: u32) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            kind: EntryKind::Hotp,
            hash: Hash::Sha1,
            digits: 6,
            secret: secret.to_vec(),
            counter,
            touch: false,
            pin: false,
            safe: [None, None, None],
        }
    }

    fn type_byte(&self) -> u8 {
        let hash = match self.hash {
            Hash::Sha1 => 1,
            Hash::Sha256 => 2,
            Hash::Sha512 => 3,
        };
        self.kind.byte() | hash
    }

    fn properties(&self) -> u8 {
        let [login, password, _] = &self.safe;
        u8::from(self.touch) | u8::from(self.pin) << 1 | u8::from(login.is_some() || password.is_some()) << 2
    }

    fn truncated(&self, challenge: &[u8]) -> u32 {
        otp::truncate(&otp::hmac(self.hash, &self.secret, challenge))
    }

    /// The passcode for a moving factor, as text.
    #[must_use]
    pub fn passcode(&self, factor: u64) -> String {
        otp::passcode(self.truncated(&factor.to_be_bytes()), self.digits)
    }

    /// Entries are files, named by this.
    fn file(&self) -> [u8; 8] {
        file(&self.name)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, hash, digits, counter, touch, pin, .. } = self;
        let name = String::from_utf8_lossy(&self.name);
        write!(f, "Entry({name} {kind:?} {hash:?} {digits} {counter} touch {touch} PIN {pin})")
    }
}

fn file(name: &[u8]) -> [u8; 8] {
    Sha256::digest(name).first_chunk().copied().unwrap_or_default()
}

/// The PIN and what is left of its attempts.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin {
    /// The PIN as the host wrote it.
    pub code: Vec<u8>,
    /// Wrong ones until it is blocked.
    pub retries: u8,
}

/// The app: flash, and what is lost with the power.
#[derive(Debug)]
pub struct Secrets {
    firmware: SecretsFirmware,
    serial: [u8; 4],
    entropy: Entropy,
    // Flash.
    entries: Vec<Entry>,
    pin: Option<Pin>,
    salt: [u8; 8],
    // Volatile.
    /// The PIN was verified for the next command.
    authorised: bool,
    /// LIST is to go on with this entry, in this version.
    remaining: Option<(usize, u8)>,
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({} retries)", self.retries)
    }
}

type Answer = Result<Vec<u8>, Refused>;

enum Refused {
    Status(Status),
    /// With the data before it.
    More(Vec<u8>),
    TouchNeeded,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Secrets {
    pub(super) fn new(firmware: SecretsFirmware, serial: [u8; 4]) -> Self {
        let mut entropy = Entropy::from_seed(u64::from(u32::from_be_bytes(serial)));
        let salt = entropy.draw();
        let (entries, pin) = (Vec::new(), None);
        Self { firmware, serial, entropy, entries, pin, salt, authorised: false, remaining: None }
    }

    /// What lies in flash, in the order in which LIST tells it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One entry by its name.
    pub fn entry_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.name == name.as_bytes())
    }

    /// Writes an entry past the protocol, over one of the same name.
    pub fn install(&mut self, entry: Entry) {
        self.entries.retain(|other| other.name != entry.name);
        self.entries.push(entry);
        self.entries.sort_by_key(Entry::file);
    }

    /// The PIN, if one is set.
    pub fn pin_mut(&mut self) -> &mut Option<Pin> {
        &mut self.pin
    }

    /// Sets or removes the PIN as another program would have.
    pub fn set_pin(&mut self, code: Option<&[u8]>) {
        self.pin = code.map(|code| Pin { code: code.to_vec(), retries: PIN_RETRIES });
    }

    /// Power or selection was lost.
    pub(super) fn forget(&mut self) {
        self.authorised = false;
        self.remaining = None;
    }

    /// A touch was awaited and the host cancelled.
    pub(super) fn interrupted(&mut self) {
        self.forget();
    }

    pub(super) fn select(&mut self) -> Vec<u8> {
        self.forget();
        let mut out = Vec::new();
        push(&mut out, tag::VERSION, &self.firmware.version);
        match &self.pin {
            Some(pin) => push(&mut out, tag::PIN_RETRIES, &[pin.retries]),
            None => push(&mut out, tag::NAME, &self.salt),
        }
        if self.firmware.serial_told {
            push(&mut out, tag::SERIAL, &self.serial);
        }
        out
    }

    /// One command: what it answers, or `None` if it wants to be touched first.
    pub(super) fn respond(&mut self, command: &Command<'_>, touch: Touch) -> Option<(Vec<u8>, Status)> {
        // A command that waits for a touch begins anew when the touch has come.
        let (authorised, remaining) = (self.authorised, self.remaining);
        let mut newly_authorised = false;
        let answer = self.run(command, touch, &mut newly_authorised);
        if let Err(Refused::TouchNeeded) = answer {
            (self.authorised, self.remaining) = (authorised, remaining);
            return None;
        }
        // Whoever fetches a list that the PIN has opened goes on seeing it.
        self.authorised = newly_authorised || (authorised && self.remaining.is_some());
        Some(match answer {
            Ok(data) => (data, Status::OK),
            Err(Refused::More(data)) => (data, MORE_AVAILABLE),
            Err(Refused::Status(status)) => (Vec::new(), status),
            Err(Refused::TouchNeeded) => return None,
        })
    }

    fn run(&mut self, command: &Command<'_>, touch: Touch, newly_authorised: &mut bool) -> Answer {
        let (p1_p2, data) = ((command.p1, command.p2), command.data);
        if command.cla != 0 {
            return Err(Status::WRONG_CLA.into());
        }
        if let Some(answer) = self.as_yubikey(command) {
            return Ok(answer?);
        }
        if command.ins != 0xA5 {
            self.remaining = None;
        }
        match (command.ins, p1_p2) {
            (0xA4, (0x04, 0x00)) if data == AID => Ok(self.select()),
            (0xA4, (0x04, 0x00)) => Err(Status::NOT_FOUND.into()),
            (0x01, (0, 0)) => self.put(data, touch),
            (0x02, (0, 0)) => self.delete(data, touch),
            (0x04, (0xDE, 0xAD)) => self.reset(touch),
            (0xA1, (0, 0)) => self.list(0, data.first().copied().unwrap_or(0)),
            (0xA2, (0, 1)) => self.calculate(data, touch),
            (0xA5, (0, 0)) => match self.remaining {
                Some((at, version)) => self.list(at, version),
                None => Err(Status::CONDITIONS.into()),
            },
            (0xB1, (0, 0)) => self.verify_code(data, touch),
            (0xB2, (0, 0)) => {
                self.verify_pin(data, touch)?;
                *newly_authorised = true;
                Ok(Vec::new())
            }
            (0xB3, (0, 0)) => self.change_pin(data, touch),
            (0xB4, (0, 0)) => {
                self.set_first_pin(data, touch)?;
                *newly_authorised = true;
                Ok(Vec::new())
            }
            (0xB5, (0, 0)) if self.firmware.properties => self.get(data, touch),
            (0xB7, (0, 0)) if self.firmware.update => self.update(data, touch),
            _ => Err(Status::WRONG_INS.into()),
        }
    }

    /// What a YubiKey's challenge-response applet would do, for programs that know nothing else.
    fn as_yubikey(&self, command: &Command<'_>) -> Option<Result<Vec<u8>, Status>> {
        if !self.firmware.properties {
            return None;
        }
        let name: &[u8] = match (command.ins, command.p1, command.p2) {
            (0x03, 0, 0) => return Some(Ok([&self.firmware.version[..], &[0x42; 3]].concat())),
            (0x01, 0x10, 0) => return Some(Ok(self.serial.to_vec())),
            (0x01, 0x30, 0) => b"HmacSlot1",
            (0x01, 0x38, 0) => b"HmacSlot2",
            _ => return None,
        };
        // A wrong challenge is no such command at all.
        let [padded @ .., last] = command.data else { return None };
        let padding = usize::from(*last);
        if padded.len() != 63 || !(1..64).contains(&padding) {
            return None;
        }
        let (challenge, rest) = command.data.split_at(64 - padding);
        if rest.iter().any(|byte| byte != last) {
            return None;
        }
        let entry = match self.visible(name) {
            Ok(entry) => entry,
            Err(status) => return Some(Err(status)),
        };
        if entry.kind != EntryKind::Hmac {
            return Some(Err(Status::WRONG_DATA));
        }
        Some(Ok(otp::hmac(Hash::Sha1, &entry.secret, challenge)))
    }

    fn visible(&self, name: &[u8]) -> Result<&Entry, Status> {
        self.position(name).map(|at| &self.entries[at])
    }

    fn position(&self, name: &[u8]) -> Result<usize, Status> {
        let seen = |entry: &Entry| entry.name == name && (!entry.pin || self.authorised);
        self.entries.iter().position(seen).ok_or(Status::NOT_FOUND)
    }

    fn exists(&self, name: &[u8]) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    fn put(&mut self, data: &[u8], touch: Touch) -> Answer {
        let entry = self.parse_put(data)?;
        if entry.touch && !entry.pin {
            touched(touch)?;
        }
        if self.firmware.limit.is_some_and(|limit| self.entries.len() >= limit) {
            return Err(Status::NO_SPACE.into());
        }
        if self.firmware.update && self.exists(&entry.name) {
            return Err(OPERATION_BLOCKED.into());
        }
        if self.firmware.update && entry.kind == EntryKind::ReverseHotp && !self.authorised {
            return Err(Status::SECURITY.into());
        }
        if entry.pin && !self.authorised {
            // Older firmware has deleted what it could see of that name by now.
            if let Ok(at) = self.position(&entry.name) {
                self.entries.remove(at);
            }
            return Err(Status::SECURITY.into());
        }
        self.install(entry);
        Ok(Vec::new())
    }

    fn parse_put(&self, data: &[u8]) -> Result<Entry, Status> {
        let mut reader = Reader::new(data);
        let name = reader.expect(tag::NAME)?;
        let [type_byte, digits, secret @ ..] = reader.expect(tag::KEY)? else {
            return Err(Status::WRONG_DATA);
        };
        let property = reader.optional_bare(tag::PROPERTY)?.unwrap_or(0);
        let kind = EntryKind::parse(*type_byte)?;
        let hash = match type_byte & 0x0F {
            1 => Hash::Sha1,
            2 => Hash::Sha256,
            3 => Hash::Sha512,
            _ => return Err(Status::WRONG_DATA),
        };
        let counter = match reader.optional(tag::COUNTER)? {
            Some(bytes) if matches!(kind, EntryKind::Hotp | EntryKind::ReverseHotp) => {
                bytes.try_into().map(u32::from_be_bytes).unwrap_or(0)
            }
            Some(_) => return Err(Status::WRONG_DATA),
            None => 0,
        };
        let safe = if self.firmware.properties { safe(&mut reader)? } else { [None, None, None] };
        reader.finish()?;
        if secret.is_empty() || (kind == EntryKind::Hmac && (secret.len() != 20 || hash != Hash::Sha1)) {
            return Err(Status::WRONG_DATA);
        }
        if secret.len() > FIELD_MAX || name.len() > FIELD_MAX {
            return Err(Status::NO_SPACE);
        }
        let (touch, pin) = (property & REQUIRE_TOUCH != 0, property & PIN_ENCRYPTED != 0);
        let (name, secret) = (name.to_vec(), secret.to_vec());
        Ok(Entry { name, kind, hash, digits: *digits, secret, counter, touch, pin, safe })
    }

    fn delete(&mut self, data: &[u8], touch: Touch) -> Answer {
        let mut reader = Reader::new(data);
        let name = reader.expect(tag::NAME)?;
        if self.firmware.update {
            touched(touch)?;
        }
        let at = self.position(name)?;
        self.entries.remove(at);
        Ok(Vec::new())
    }

    fn reset(&mut self, touch: Touch) -> Answer {
        touched(touch)?;
        self.entries.clear();
        self.pin = None;
        self.salt = self.entropy.draw();
        Ok(Vec::new())
    }

    fn list(&mut self, from: usize, version: u8) -> Answer {
        self.remaining = None;
        let version = if self.firmware.properties { version } else { 0 };
        let mut out = Vec::new();
        for (at, entry) in self.entries.iter().enumerate().skip(from) {
            if entry.pin && !self.authorised {
                continue;
            }
            let mut told = [&[entry.type_byte()], entry.name.as_slice()].concat();
            match version {
                0 => {}
                1 => told.push(entry.properties()),
                // A version that it does not know, it never gets done with.
                _ => return self.more(Vec::new(), at, version),
            }
            if out.len() + 2 + told.len() > ANSWER_MAX {
                return self.more(out, at, version);
            }
            // A plain byte, where BER would have 81 before it.
            out.extend([tag::NAME_LIST, told.len() as u8]);
            out.extend(told);
        }
        Ok(out)
    }

    fn more(&mut self, out: Vec<u8>, at: usize, version: u8) -> Answer {
        self.remaining = Some((at, version));
        Err(Refused::More(out))
    }

    fn calculate(&mut self, data: &[u8], touch: Touch) -> Answer {
        let mut reader = Reader::new(data);
        let name = reader.expect(tag::NAME)?;
        let challenge = reader.expect(tag::CHALLENGE)?;
        let at = self.position(name)?;
        self.touch_if_wanted(at, touch)?;
        let entry = &mut self.entries[at];
        let counter;
        let challenge = match entry.kind {
            EntryKind::Totp => challenge,
            EntryKind::Hotp => {
                counter = u64::from(entry.counter).to_be_bytes();
                entry.counter = entry.counter.checked_add(1).ok_or(INTERRUPTED)?;
                &counter
            }
            _ => return Err(Status::CONDITIONS.into()),
        };
        if entry.hash == Hash::Sha512 {
            return Err(FUNCTION_NOT_SUPPORTED.into());
        }
        let mut out = Vec::new();
        let value = entry.truncated(challenge).to_be_bytes();
        push(&mut out, tag::TRUNCATED, &[&[entry.digits], &value[..]].concat());
        Ok(out)
    }

    fn touch_if_wanted(&self, at: usize, touch: Touch) -> Result<(), Refused> {
        let entry = &self.entries[at];
        if entry.touch && !entry.pin { touched(touch) } else { Ok(()) }
    }

    fn verify_code(&mut self, data: &[u8], touch: Touch) -> Answer {
        let mut reader = Reader::new(data);
        let name = reader.expect(tag::NAME)?;
        let code = reader.expect(tag::RESPONSE)?;
        let code = u32::from_be_bytes(code.try_into().map_err(|_| Status::WRONG_DATA)?);
        let at = self.position(name)?;
        self.touch_if_wanted(at, touch)?;
        let entry = &mut self.entries[at];
        if entry.kind != EntryKind::ReverseHotp {
            return Err(Status::CONDITIONS.into());
        }
        let modulus = 10_u32.checked_pow(u32::from(entry.digits)).ok_or(INTERRUPTED)?;
        for offset in 0..=LOOK_AHEAD {
            let counter = entry.counter.checked_add(offset).ok_or(INTERRUPTED)?;
            if entry.truncated(&u64::from(counter).to_be_bytes()) % modulus == code {
                entry.counter = counter.checked_add(1).ok_or(INTERRUPTED)?;
                let mut out = Vec::new();
                push(&mut out, tag::NO_RESPONSE, &[]);
                return Ok(out);
            }
        }
        Err(VERIFICATION_FAILED.into())
    }

    fn verify_pin(&mut self, data: &[u8], touch: Touch) -> Result<(), Refused> {
        let code = code(&mut Reader::new(data), tag::PIN)?;
        let pin = self.pin.as_mut().ok_or(Status::SECURITY)?;
        touched(touch)?;
        Ok(pin.check(code)?)
    }

    fn set_first_pin(&mut self, data: &[u8], touch: Touch) -> Result<(), Refused> {
        let code = code(&mut Reader::new(data), tag::PIN)?;
        if self.pin.is_some() {
            return Err(Status::SECURITY.into());
        }
        touched(touch)?;
        self.set_pin(Some(code));
        Ok(())
    }

    fn change_pin(&mut self, data: &[u8], touch: Touch) -> Answer {
        let mut reader = Reader::new(data);
        let old = code(&mut reader, tag::PIN)?;
        let new = code(&mut reader, tag::NEW_PIN)?;
        let pin = self.pin.as_mut().ok_or(Status::SECURITY)?;
        touched(touch)?;
        pin.check(old)?;
        pin.code = new.to_vec();
        Ok(Vec::new())
    }

    fn get(&mut self, data: &[u8], touch: Touch) -> Answer {
        let name = Reader::new(data).expect(tag::NAME)?;
        let at = self.position(name)?;
        self.touch_if_wanted(at, touch)?;
        let entry = &self.entries[at];
        let mut out = Vec::new();
        push(&mut out, tag::PROPERTY, &[entry.type_byte()]);
        push(&mut out, tag::NAME, &entry.name);
        for (tag, value) in [tag::LOGIN, tag::PASSWORD, tag::METADATA].into_iter().zip(&entry.safe) {
            if let Some(value) = value {
                push(&mut out, tag, value);
            }
        }
        Ok(out)
    }

    fn update(&mut self, data: &[u8], touch: Touch) -> Answer {
        let mut reader = Reader::new(data);
        let name = reader.expect(tag::NAME)?;
        let new_name = reader.optional(tag::NAME)?;
        let property = reader.optional(tag::PROPERTY)?.and_then(|value| value.first());
        let safe = safe(&mut reader)?;
        reader.finish()?;
        touched(touch)?;
        if new_name.is_some_and(|new| self.exists(new)) {
            return Err(OPERATION_BLOCKED.into());
        }
        let at = self.position(name)?;
        let entry = &mut self.entries[at];
        if entry.kind == EntryKind::ReverseHotp {
            return Err(Status::CONDITIONS.into());
        }
        if let Some(property) = property {
            entry.touch = property & REQUIRE_TOUCH != 0;
        }
        if safe.iter().any(Option::is_some) {
            entry.safe = safe;
        }
        if let Some(new) = new_name {
            entry.name = new.to_vec();
        }
        self.entries.sort_by_key(Entry::file);
        Ok(Vec::new())
    }
}

impl Pin {
    /// A wrong one and a blocked one are told alike.
    fn check(&mut self, code: &[u8]) -> Result<(), Status> {
        if self.retries == 0 {
            return Err(VERIFICATION_FAILED);
        }
        if self.code != code {
            self.retries -= 1;
            return Err(VERIFICATION_FAILED);
        }
        self.retries = PIN_RETRIES;
        Ok(())
    }
}

fn touched(touch: Touch) -> Result<(), Refused> {
    match touch {
        Touch::NotAsked => Err(Refused::TouchNeeded),
        Touch::Given => Ok(()),
        Touch::TimedOut => Err(Status::SECURITY.into()),
    }
}

fn code<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<&'a [u8], Status> {
    let code = reader.expect(tag)?;
    if code.len() > FIELD_MAX { Err(Status::WRONG_DATA) } else { Ok(code) }
}

fn safe(reader: &mut Reader<'_>) -> Result<[Option<Vec<u8>>; 3], Status> {
    let mut safe = [None, None, None];
    for (field, tag) in safe.iter_mut().zip([tag::LOGIN, tag::PASSWORD, tag::METADATA]) {
        *field = reader.optional(tag)?.filter(|value| !value.is_empty()).map(<[u8]>::to_vec);
    }
    Ok(safe)
}
