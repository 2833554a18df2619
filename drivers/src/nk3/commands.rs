//! The commands of the secrets app and their replies.
//!
//! | command | INS | data | reply |
//! |---|---|---|---|
//! | SELECT | A4, P1 04 | AID | `79` version, `82` attempts left if a PIN is set, `8F` serial |
//! | LIST | A1 | from 4.11: `01` | per entry `72`: type and algorithm, name, from 4.11 properties |
//! | PUT | 01 | `71` name, `73` key, `78 pp` properties, HOTP `7A` counter | |
//! | DELETE | 02 | `71` name | |
//! | CALCULATE | A2, P2 01 | `71` name, `74` challenge | `76`: digits, 4 bytes |
//! | VERIFY PIN | B2 | `80` PIN | |
//! | CHANGE PIN | B3 | `80` old, `81` new | |
//! | SET PIN | B4 | `80` PIN | |
//! | RESET | 04, P1 P2 DEAD | | |
//!
//! The challenge is the number of the time step as 8 bytes, most significant first; HOTP ignores it. Lengths in a LIST
//! are one plain byte up to FF, which BER would write with `81` before it. Source: Nitrokey/trussed-secrets-app,
//! docs/ctaphid.md and src/command.rs.

use super::entry::Entry;
use super::features::Version;
use crate::error::Error;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing, tlv};
use crate::token::{Algorithm, Kind};

/// Application identifier of the app.
const AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01];

mod tag {
    pub(super) const NAME: u8 = 0x71;
    pub(super) const NAME_LIST: u8 = 0x72;
    pub(super) const KEY: u8 = 0x73;
    pub(super) const CHALLENGE: u8 = 0x74;
    pub(super) const TRUNCATED: u8 = 0x76;
    pub(super) const PROPERTY: u8 = 0x78;
    pub(super) const VERSION: u8 = 0x79;
    pub(super) const COUNTER: u8 = 0x7A;
    pub(super) const PIN: u8 = 0x80;
    pub(super) const NEW_PIN: u8 = 0x81;
    pub(super) const PIN_COUNTER: u8 = 0x82;
    pub(super) const SERIAL: u8 = 0x8F;
}

/// Properties in a PUT.
const REQUIRE_TOUCH: u8 = 0x02;
const PIN_ENCRYPTED: u8 = 0x04;

/// Properties in a LIST.
mod listed {
    pub(super) const TOUCH: u8 = 0x01;
    pub(super) const PIN: u8 = 0x02;
    pub(super) const SAFE: u8 = 0x04;
}

/// What SELECT tells of the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PinState {
    Unset,
    Set {
        /// Attempts until it is blocked, if told.
        attempts: Option<u8>,
    },
}

/// What SELECT tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) version: Version,
    pub(super) pin: PinState,
    /// The first 4 bytes of the key's UUID; from 4.11.
    pub(super) serial: Option<[u8; 4]>,
}

impl Selected {
    /// Whether it says what no other applet with this AID says.
    pub(super) fn is_nitrokey(&self) -> bool {
        self.serial.is_some() || self.pin != PinState::Unset
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Select;

impl Select {
    /// Whether this refusal says that there is no such app: a card says so by status, CTAPHID by an unknown command.
    pub(super) fn means_absent(error: &Error) -> bool {
        matches!(
            error,
            Error::Refused {
                status: 0x0001 | 0x6A82 | 0x6985 | 0x6999 | 0x6D00 | 0x6B00 | 0x6E00 | 0x6A86,
                ..
            }
        )
    }
}

impl Command for Select {
    const NAME: &'static str = "SELECT";
    const INS: u8 = 0xA4;
    type Response = Selected;

    fn p1_p2(&self) -> (u8, u8) {
        (0x04, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(AID);
    }

    fn decode(data: &[u8]) -> Result<Selected, Malformed> {
        let (mut version, mut pin, mut serial) = (None, PinState::Unset, None);
        let mut reader = tlv::Reader::new(data);
        loop {
            let offset = reader.offset();
            let Some((tag, value)) = reader.read()? else { break };
            match (tag, value) {
                (tag::VERSION, &[major, minor, patch]) => version = Some(Version(major, minor, patch)),
                (tag::VERSION, _) => return Err(Malformed::new("version is not 3 bytes", offset)),
                (tag::PIN_COUNTER, value) => pin = PinState::Set { attempts: value.first().copied() },
                (tag::SERIAL, value) => {
                    let value = value.try_into();
                    serial = Some(value.map_err(|_| Malformed::new("serial is not 4 bytes", offset))?);
                }
                // 71 is a salt for which nothing has a use any more.
                _ => {}
            }
        }
        let version = version.ok_or(Malformed::new("version is missing", 0))?;
        Ok(Selected { version, pin, serial })
    }
}

/// Type in the high nibble, algorithm in the low one.
fn type_algorithm(kind: Kind, algorithm: Algorithm) -> u8 {
    let kind = match kind {
        Kind::Hotp => 0x10,
        Kind::Totp => 0x20,
    };
    let algorithm = match algorithm {
        Algorithm::Sha1 => 0x01,
        Algorithm::Sha256 => 0x02,
        Algorithm::Sha512 => 0x03,
    };
    kind | algorithm
}

/// Reverse HOTP (`3x`), challenge-response (`4x`) and passwords (`Fx`) make no passcodes.
fn parse_type_algorithm(byte: u8) -> (Option<Kind>, Option<Algorithm>) {
    let kind = match byte >> 4 {
        1 => Some(Kind::Hotp),
        2 => Some(Kind::Totp),
        _ => None,
    };
    let algorithm = match byte & 0x0F {
        1 => Some(Algorithm::Sha1),
        2 => Some(Algorithm::Sha256),
        3 => Some(Algorithm::Sha512),
        _ => None,
    };
    (kind, algorithm)
}

/// LIST, with properties or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<const PROPERTIES: bool>;

impl<const PROPERTIES: bool> Command for List<PROPERTIES> {
    const NAME: &'static str = "LIST";
    const INS: u8 = 0xA1;
    type Response = Vec<Entry>;

    fn encode(&self, data: &mut Vec<u8>) {
        if PROPERTIES {
            data.push(0x01);
        }
    }

    fn decode(data: &[u8]) -> Result<Vec<Entry>, Malformed> {
        let mut entries = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let offset = data.len() - rest.len();
            let [tag, length, body @ ..] = rest else {
                return Err(Malformed::new("data object is cut off", offset));
            };
            if *tag != tag::NAME_LIST {
                return Err(Malformed::new("another tag than expected", offset));
            }
            let (value, after) = body
                .split_at_checked(usize::from(*length))
                .ok_or(Malformed::new("data object is cut off", offset))?;
            rest = after;
            let (&first, value) =
                value.split_first().ok_or(Malformed::new("type and algorithm are missing", offset))?;
            let (name, properties) = match value.split_last() {
                Some((last, name)) if PROPERTIES => (name, Some(*last)),
                None if PROPERTIES => return Err(Malformed::new("properties are missing", offset)),
                _ => (value, None),
            };
            let (kind, algorithm) = parse_type_algorithm(first);
            let has = |bit| properties.map(|properties| properties & bit != 0);
            entries.push(Entry {
                name: name.to_vec(),
                kind,
                algorithm,
                touch: has(listed::TOUCH),
                pin: has(listed::PIN),
                safe: has(listed::SAFE) == Some(true),
                digits: None,
            });
        }
        Ok(entries)
    }
}

/// PUT writes an entry. The parts of its data must come in this order.
#[derive(Clone, Copy)]
pub(super) struct Put<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) algorithm: Algorithm,
    pub(super) digits: u8,
    pub(super) secret: &'a [u8],
    pub(super) touch: bool,
    /// Encrypt it with the PIN that was just verified.
    pub(super) pin: bool,
    /// First counter value; HOTP only.
    pub(super) counter: u32,
}

impl Put<'_> {
    /// An entry of that name is there already.
    pub(super) fn is_in_use(error: &Error) -> bool {
        matches!(error, Error::Refused { status: 0x6983, .. })
    }
}

impl Command for Put<'_> {
    const NAME: &'static str = "PUT";
    const INS: u8 = 0x01;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
        let mut key = zeroize::Zeroizing::new(Vec::with_capacity(2 + self.secret.len()));
        key.push(type_algorithm(self.kind, self.algorithm));
        key.push(self.digits);
        key.extend_from_slice(self.secret);
        tlv::push(data, tag::KEY, &key);
        let touch = if self.touch { REQUIRE_TOUCH } else { 0 };
        let pin = if self.pin { PIN_ENCRYPTED } else { 0 };
        // Not a data object: the property byte follows its tag without a length.
        data.extend_from_slice(&[tag::PROPERTY, touch | pin]);
        if self.kind == Kind::Hotp {
            tlv::push(data, tag::COUNTER, &self.counter.to_be_bytes());
        }
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        match status.0 {
            0x6A84 => Some(Error::Full),
            0x6982 if self.pin => Some(Error::Locked),
            _ => None,
        }
    }
}

fn slot_empty(name: &[u8]) -> Error {
    Error::SlotEmpty { slot: String::from_utf8_lossy(name).into_owned() }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Delete<'a> {
    pub(super) name: &'a [u8],
}

impl Command for Delete<'_> {
    const NAME: &'static str = "DELETE";
    const INS: u8 = 0x02;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (status.0 == 0x6A82).then(|| slot_empty(self.name))
    }
}

/// A value after dynamic truncation (RFC 4226 §5.3), with the length the key was told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated {
    pub(super) digits: u8,
    value: u32,
}

impl Truncated {
    /// The passcode as text, leading zeros included.
    pub(super) fn passcode(self) -> String {
        let modulus = 10_u64.pow(u32::from(self.digits));
        format!("{:0width$}", u64::from(self.value) % modulus, width = usize::from(self.digits))
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Calculate<'a> {
    pub(super) name: &'a [u8],
    /// Number of the time step; 0 for HOTP.
    pub(super) step: u64,
}

impl Command for Calculate<'_> {
    const NAME: &'static str = "CALCULATE";
    const INS: u8 = 0xA2;
    type Response = Truncated;

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, 0x01)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
        tlv::push(data, tag::CHALLENGE, &self.step.to_be_bytes());
    }

    fn decode(data: &[u8]) -> Result<Truncated, Malformed> {
        let mut reader = tlv::Reader::new(data);
        let value = reader.expect(tag::TRUNCATED)?;
        let &[digits, a, b, c, d] = value else {
            return Err(Malformed::new("truncated value is not 5 bytes", 0));
        };
        reader.finish()?;
        if !(4..=10).contains(&digits) {
            return Err(Malformed::new("passcode length is not 4 to 10", 0));
        }
        Ok(Truncated { digits, value: u32::from_be_bytes([a, b, c, d]) & 0x7FFF_FFFF })
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (status.0 == 0x6A82).then(|| slot_empty(self.name))
    }
}

/// What a refused PIN is told as; how many attempts are left, SELECT tells.
fn wrong_pin(status: StatusWord) -> Option<Error> {
    (status.0 == 0x6300).then_some(Error::WrongLockCode { attempts_left: None })
}

/// VERIFY PIN opens the next command, and only that.
#[derive(Clone, Copy)]
pub(super) struct VerifyPin<'a>(pub(super) &'a [u8]);

impl Command for VerifyPin<'_> {
    const NAME: &'static str = "VERIFY PIN";
    const INS: u8 = 0xB2;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::PIN, self.0);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        wrong_pin(status)
    }
}

#[derive(Clone, Copy)]
pub(super) struct ChangePin<'a> {
    pub(super) old: &'a [u8],
    pub(super) new: &'a [u8],
}

impl Command for ChangePin<'_> {
    const NAME: &'static str = "CHANGE PIN";
    const INS: u8 = 0xB3;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::PIN, self.old);
        tlv::push(data, tag::NEW_PIN, self.new);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        wrong_pin(status)
    }
}

#[derive(Clone, Copy)]
pub(super) struct SetPin<'a>(pub(super) &'a [u8]);

impl Command for SetPin<'_> {
    const NAME: &'static str = "SET PIN";
    const INS: u8 = 0xB4;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::PIN, self.0);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

/// RESET: every entry of every kind and the PIN are gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset;

impl Command for Reset {
    const NAME: &'static str = "RESET";
    const INS: u8 = 0x04;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (0xDE, 0xAD)
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

#[cfg(test)]
mod tests;
