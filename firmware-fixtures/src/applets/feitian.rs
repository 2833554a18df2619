//! Feitian's OTP applet, in three generations: keys with two slots, keys that hold many credentials by name, and the
//! `HyperFIDO` with its one slot behind U2FHID.
//!
//! | INS | command | P2 | data | answer |
//! |---|---|---|---|---|
//! | A4 | SELECT | | AID | `59` version `51` id |
//! | 07 | RESET | 00 | | |
//! | 08 | DELETE | slot | `51` name | |
//! | 09 | PUT | slot | `53` hash kind digits secret `51` name [`5C` touch] [`5A` counter] | |
//! | 17 | LIST | slot | | `52` kind and hash, name; repeated |
//! | A2 | CALCULATE, P1 01 truncated | slot | `54` challenge `51` name | `55` digits HMAC, or `76` digits 4 bytes |
//! | E6 | GET DEFAULT | slot | | nothing, or `52` object |
//! | E7 | SWAP | 00 | | |
//!
//! P2 is 00 or 01 for a slot, F0 for the names. The length of `53` is one too small: hash, kind, digits and secret
//! are one byte more than it says. Kinds are 10 HOTP, 20 TOTP; 30 and 40 (a password, challenge-response) are refused
//! here. Flash survives everything but RESET, which also changes the id. Not emulated: the access code, SET DEFAULT,
//! the keyboard's language, CALCULATE ALL.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::card::{Face, VirtualCard};
use crate::chip::{Chip, Reply};
use crate::credential::{Credential, Hash, Kind, parse_type};
use crate::ctaphid::{self, CtapHid, Handler, Outcome, Traits};
use crate::entropy::Entropy;
use crate::hid::{HidFace, VirtualHid};
use crate::otp;
use crate::status::Status;
use crate::tlv::{Reader, push};

mod specimen;
#[cfg(test)]
mod tests;

pub use specimen::FeitianSpecimen;

mod tag {
    pub(super) const NAME: u8 = 0x51;
    pub(super) const NAME_LIST: u8 = 0x52;
    pub(super) const KEY: u8 = 0x53;
    pub(super) const CHALLENGE: u8 = 0x54;
    pub(super) const RESPONSE: u8 = 0x55;
    pub(super) const VERSION: u8 = 0x59;
    pub(super) const COUNTER: u8 = 0x5A;
    pub(super) const TOUCH: u8 = 0x5C;
    pub(super) const TRUNCATED: u8 = 0x76;
}

/// P2 of the credentials that go by name.
const NAMES: u8 = 0xF0;
/// No touch in time.
const TOUCH_TIMEOUT: Status = Status(0x6984);
const NAME_MAX: usize = 64;
const SECRET_MAX: usize = 64;

/// What tells one generation from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Name for command lines and test output, for example `feitian-a9`.
    pub name: &'static str,
    /// Answer to reset; empty behind U2FHID.
    pub atr: &'static [u8],
    /// Reader name, without the numbers that pcscd appends.
    pub reader: &'static str,
    /// Version that SELECT tells.
    pub version: [u8; 3],
    /// How many slots there are.
    pub slots: u8,
    /// How many credentials go by name; 0 if none are seen to.
    pub names: usize,
    /// Whether PUT, DELETE and RESET want a touch. On keys without, PUT wants it where the credential does (assumed).
    pub touch_to_write: bool,
}

impl Model {
    /// A9-3301, version 1.0.2: two slots. Face, version and exchanges are those of a real key.
    pub const A9: Self = Self {
        name: "feitian-a9",
        atr: &[
            0x3B, 0xDD, 0x18, 0xFF, 0x81, 0x91, 0xFE, 0x1F, 0xC3, 0x00, 0x66, 0x46, 0x53, 0x08, 0x03, 0x00,
            0x36, 0x71, 0xDF, 0x00, 0x00, 0x80, 0x68,
        ],
        reader: "FT U2F CCID KB [CCID]",
        version: [1, 0, 2],
        slots: 2,
        names: 0,
        touch_to_write: false,
    };

    /// ePass FIDO: many credentials by name, after one published client. Version and room are assumed.
    pub const EPASS: Self = Self {
        name: "feitian-epass",
        atr: &[
            0x3B, 0xFD, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x45, 0x41, 0x37, 0x30, 0x30, 0x35, 0x43, 0x47,
            0x20, 0x32, 0x34, 0x32, 0x52, 0x31, 0xD5,
        ],
        reader: "FT FIDO KB [CCID]",
        version: [2, 0, 0],
        slots: 0,
        names: 50,
        touch_to_write: true,
    };

    /// `HyperFIDO`: one slot for HOTP, behind U2FHID. What SELECT answers there is assumed.
    pub const HYPERFIDO: Self = Self {
        name: "hyperfido",
        atr: &[],
        reader: "",
        version: [1, 0, 0],
        slots: 1,
        names: 0,
        touch_to_write: true,
    };

    /// Every model with a card interface.
    pub const CARDS: [Self; 2] = [Self::A9, Self::EPASS];

    fn face(&self) -> Face {
        Face {
            model: self.name,
            atr: self.atr,
            reader: self.reader,
            contactless: false,
            chunk: 254,
            extended_length: false,
        }
    }

    fn chip(self) -> Chip {
        Chip::with_applets(self.face(), vec![Box::new(Feitian::new(self))])
    }

    /// A key of this model in a reader.
    #[must_use]
    pub fn card(self) -> VirtualCard {
        VirtualCard::with_chip(self.chip(), "")
    }

    /// A key of this model on a USB port. It sends no keep-alives: the published tool reads one report and expects
    /// the answer in it.
    #[must_use]
    pub fn hid(self) -> VirtualHid {
        let face = HidFace {
            model: self.name,
            vendor_id: 0x2CCF,
            product_id: 0x0854,
            release: 0x0100,
            manufacturer: "HS",
            product: "HyperFIDO Token",
            serial: None,
            interface: 1,
            usage: ctaphid::USAGE,
            descriptor: ctaphid::DESCRIPTOR,
            feature_length: 0,
            report_length: ctaphid::PACKET,
        };
        let traits = Traits { version: [1, 0, 0], capabilities: 1, keepalive: None, longest: 1024 };
        let mut chip = self.chip();
        chip.reset();
        VirtualHid::new(face, Box::new(CtapHid::new(traits, U2f(chip))))
    }
}

/// A chip whose commands come as U2F messages.
pub struct U2f(Chip);

impl Handler for U2f {
    fn message(&mut self, command: u8, message: &[u8], touch: Touch) -> Outcome {
        if command != ctaphid::command::MSG {
            return Outcome::Error(ctaphid::error::INVALID_COMMAND);
        }
        match self.0.transmit(message, touch) {
            Reply::Answer(answer) => Outcome::Answer(answer),
            Reply::TouchNeeded => Outcome::TouchNeeded,
        }
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// The applet: all of it is flash.
pub struct Feitian {
    model: Model,
    entropy: Entropy,
    id: [u8; 8],
    slots: [Option<Credential>; 2],
    names: Vec<Credential>,
}

impl Feitian {
    /// An empty applet.
    #[must_use]
    pub fn new(model: Model) -> Self {
        let mut entropy = Entropy::from_seed(u64::from(model.slots));
        Self { model, id: entropy.draw(), entropy, slots: [None, None], names: Vec::new() }
    }

    /// The credentials in the slots and by name. Their own names are as stored.
    #[must_use]
    pub fn credentials(&self) -> (&[Option<Credential>; 2], &[Credential]) {
        (&self.slots, &self.names)
    }

    /// Writes a credential into a slot (0 or 1) past the protocol, or by its name.
    pub fn install(&mut self, slot: Option<usize>, credential: Credential) {
        match slot.and_then(|slot| self.slots.get_mut(slot)) {
            Some(slot) => *slot = Some(credential),
            None => match self.names.iter_mut().find(|other| other.name == credential.name) {
                Some(other) => *other = credential,
                None => self.names.push(credential),
            },
        }
    }

    /// Reaches a credential by slot, or by its name.
    pub fn credential_mut(&mut self, slot: Option<usize>, name: &[u8]) -> Option<&mut Credential> {
        match slot {
            Some(slot) => self.slots.get_mut(slot)?.as_mut(),
            None => self.names.iter_mut().find(|credential| credential.name == name),
        }
    }

    /// Which slot P2 means; `None` for the names.
    fn place(&self, p2: u8) -> Result<Option<usize>, Status> {
        match p2 {
            NAMES => Ok(None),
            slot if slot < self.model.slots => Ok(Some(usize::from(slot))),
            _ => Err(Status::WRONG_PARAMETERS),
        }
    }

    fn put(&mut self, p2: u8, data: &[u8], touch: Touch) -> Result<Vec<u8>, Refusal> {
        let place = self.place(p2)?;
        let credential = parse_put(data)?;
        if place.is_none() {
            if self.model.names == 0 {
                return Err(Status::CONDITIONS.into());
            }
            let there = self.names.iter().any(|other| other.name == credential.name);
            if !there && self.names.len() >= self.model.names {
                return Err(Status::NO_SPACE.into());
            }
        }
        if self.model.touch_to_write || credential.touch {
            ask(touch)?;
        }
        self.install(place, credential);
        Ok(Vec::new())
    }

    fn delete(&mut self, p2: u8, data: &[u8], touch: Touch) -> Result<Vec<u8>, Refusal> {
        let place = self.place(p2)?;
        let mut reader = Reader::new(data);
        let name = reader.expect(tag::NAME)?;
        reader.finish()?;
        let known = self.credential_mut(place, name).is_some_and(|credential| credential.name == name);
        if !known {
            return Err(Status::WRONG_DATA.into());
        }
        if self.model.touch_to_write {
            ask(touch)?;
        }
        match place.and_then(|slot| self.slots.get_mut(slot)) {
            Some(slot) => *slot = None,
            None => self.names.retain(|credential| credential.name != name),
        }
        Ok(Vec::new())
    }

    fn reset(&mut self, touch: Touch) -> Result<Vec<u8>, Refusal> {
        if self.model.touch_to_write {
            ask(touch)?;
        }
        self.slots = [None, None];
        self.names.clear();
        self.id = self.entropy.draw();
        Ok(Vec::new())
    }

    fn list(&self, p2: u8) -> Result<Vec<u8>, Status> {
        let place = self.place(p2)?;
        let mut out = Vec::new();
        let listed: Vec<&Credential> = match place {
            Some(slot) => self.slots.get(slot).into_iter().flatten().collect(),
            None => self.names.iter().collect(),
        };
        for credential in listed {
            push_listed(&mut out, credential);
        }
        Ok(out)
    }

    fn calculate(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        let place = self.place(command.p2)?;
        let mut reader = Reader::new(command.data);
        let challenge = reader.expect(tag::CHALLENGE)?;
        let name = reader.expect(tag::NAME)?;
        reader.finish()?;
        let credential = self.credential_mut(place, name).filter(|credential| credential.name == name);
        let credential = credential.ok_or(Status::WRONG_DATA)?;
        if credential.kind == Kind::Totp && challenge.len() != 8 {
            return Err(Status::WRONG_DATA.into());
        }
        if credential.touch {
            ask(touch)?;
        }
        let mac = match credential.kind {
            Kind::Hotp => credential.next_hmac(8),
            Kind::Totp => credential.hmac(challenge),
        };
        let mut out = Vec::new();
        match command.p1 {
            0x01 => {
                let word = otp::truncate(&mac).to_be_bytes();
                push(&mut out, tag::TRUNCATED, &[&[credential.digits], &word[..]].concat());
            }
            _ => push(&mut out, tag::RESPONSE, &[&[credential.digits], mac.as_slice()].concat()),
        }
        Ok(out)
    }

    fn default_of(&self, p2: u8) -> Result<Vec<u8>, Status> {
        let place = self.place(p2)?;
        let mut out = Vec::new();
        // On the HyperFIDO what was put is the default (published tool); on the others one has to be set.
        if let (1, Some(credential)) =
            (self.model.slots, place.and_then(|slot| self.slots.get(slot)?.as_ref()))
        {
            push_listed(&mut out, credential);
        }
        Ok(out)
    }
}

/// The object with which a credential is listed.
fn push_listed(out: &mut Vec<u8>, credential: &Credential) {
    let entry = [&[credential.type_byte()], credential.name.as_slice()].concat();
    push(out, tag::NAME_LIST, &entry);
}

fn ask(touch: Touch) -> Result<(), Refusal> {
    match touch {
        Touch::NotAsked => Err(Refusal::TouchNeeded),
        Touch::TimedOut => Err(TOUCH_TIMEOUT.into()),
        Touch::Given => Ok(()),
    }
}

fn parse_put(data: &[u8]) -> Result<Credential, Status> {
    // One byte more than its length says.
    let [tag::KEY, length, rest @ ..] = data else { return Err(Status::WRONG_DATA) };
    let (key, rest) = rest.split_at_checked(usize::from(*length) + 1).ok_or(Status::WRONG_DATA)?;
    let [hash, kind, digits, secret @ ..] = key else { return Err(Status::WRONG_DATA) };
    let mut reader = Reader::new(rest);
    let name = reader.expect(tag::NAME)?;
    let touch = reader.optional(tag::TOUCH)?;
    let counter = match reader.optional(tag::COUNTER)? {
        Some(bytes) => u32::from_be_bytes(bytes.try_into().map_err(|_| Status::WRONG_DATA)?),
        None => 0,
    };
    reader.finish()?;
    let (kind, hash) = parse_type(kind | hash)
        .filter(|(_, hash)| *hash != Hash::Sha512)
        .filter(|_| kind & 0x0F == 0 && hash & 0xF0 == 0)
        .ok_or(Status::WRONG_DATA)?;
    let in_range = matches!(digits, 6 | 8)
        && (1..=SECRET_MAX).contains(&secret.len())
        && (1..=NAME_MAX).contains(&name.len());
    if !in_range {
        return Err(Status::WRONG_DATA);
    }
    let name = name.to_vec();
    let plain = Credential::hotp("", secret, u64::from(counter));
    Ok(Credential {
        name,
        kind,
        hash,
        digits: *digits,
        touch: touch.is_some_and(|touch| touch != [0]),
        ..plain
    })
}

impl Applet for Feitian {
    fn aid(&self) -> &'static [u8] {
        &[0xD1, 0x56, 0x00, 0x01, 0x32, 0x83, 0x26, 0x01, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        let mut out = Vec::new();
        push(&mut out, tag::VERSION, &self.model.version);
        push(&mut out, tag::NAME, &self.id);
        Ok(out)
    }

    fn deselect(&mut self) {}

    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        match command.ins {
            0x07 => self.reset(touch),
            0x08 => self.delete(command.p2, command.data, touch),
            0x09 => self.put(command.p2, command.data, touch),
            0x17 => Ok(self.list(command.p2)?),
            0xA2 => self.calculate(command, touch),
            0xE6 => Ok(self.default_of(command.p2)?),
            0xE7 if self.model.slots == 2 => {
                self.slots.swap(0, 1);
                Ok(Vec::new())
            }
            _ => Err(Status::WRONG_INS.into()),
        }
    }
}
