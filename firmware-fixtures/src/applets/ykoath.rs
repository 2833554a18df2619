//! The OATH applet of a YubiKey (Yubico, "YKOATH Protocol Specification"), and of other makers by their quirks.
//!
//! | INS | command | P1 P2 | data | answer |
//! |---|---|---|---|---|
//! | A4 | SELECT | 04 00 | AID | `79` version `71` id [`74` challenge `7B` algorithm] |
//! | 01 | PUT | 00 00 | `71` name `73` type digits secret [`78` property] [`7A` IMF] | |
//! | 02 | DELETE | 00 00 | `71` name | |
//! | 03 | SET CODE | 00 00 | `73` type key `74` challenge `75` response; `73 00` removes | |
//! | 04 | RESET | DE AD | | |
//! | 05 | RENAME | 00 00 | `71` old `71` new | |
//! | A1 | LIST | 00 00 | | `72` type name, repeated |
//! | A2 | CALCULATE | 00 00/01 | `71` name `74` challenge | `75` digits HMAC, or `76` digits 4 bytes |
//! | A3 | VALIDATE | 00 00 | `75` response `74` challenge | `75` response |
//! | A4 | CALCULATE ALL | 00 00/01 | `74` challenge | `71` name, then `75`/`76`, `77` HOTP, `7C` touch |
//!
//! The property is the one field without a length. Flash (id, access code, credentials with their counters)
//! survives everything but RESET; the unlocked state lasts until the next SELECT, reset or loss of power.
//! SEND REMAINING (A5) is done by the chip. Refused: fields out of order, long lengths, names over 64 bytes.
//!
//! On a JavaCard commands and responses share one buffer, and PUT looks for property and IMF behind its data
//! without asking where the data ends: what lies there from before counts.

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::credential::{Credential, Kind};
use crate::entropy::Entropy;
use crate::firmware::{DeleteMissing, Firmware, Quirks, ResetRule};
use crate::otp;
use crate::status::Status;
use crate::tlv::{Reader, push};

mod access_code;
mod put;
#[cfg(test)]
mod tests;

use access_code::AccessCode;

mod ins {
    pub(super) const PUT: u8 = 0x01;
    pub(super) const DELETE: u8 = 0x02;
    pub(super) const SET_CODE: u8 = 0x03;
    pub(super) const RESET: u8 = 0x04;
    pub(super) const RENAME: u8 = 0x05;
    pub(super) const LIST: u8 = 0xA1;
    pub(super) const CALCULATE: u8 = 0xA2;
    pub(super) const VALIDATE: u8 = 0xA3;
    pub(super) const CALCULATE_ALL: u8 = 0xA4;
}

mod tag {
    pub(super) const NAME: u8 = 0x71;
    pub(super) const NAME_LIST: u8 = 0x72;
    pub(super) const KEY: u8 = 0x73;
    pub(super) const CHALLENGE: u8 = 0x74;
    pub(super) const RESPONSE: u8 = 0x75;
    pub(super) const TRUNCATED: u8 = 0x76;
    pub(super) const HOTP: u8 = 0x77;
    pub(super) const PROPERTY: u8 = 0x78;
    pub(super) const VERSION: u8 = 0x79;
    pub(super) const IMF: u8 = 0x7A;
    pub(super) const ALGORITHM: u8 = 0x7B;
    pub(super) const TOUCH: u8 = 0x7C;
}

const NAME_MAX: usize = 64;
const CHALLENGE_MAX: usize = 64;
/// Header, Lc, 255 bytes of data, Le.
const BUFFER: usize = 261;

/// The applet: flash, and what is lost with the power.
pub struct YkOath {
    firmware: Firmware,
    entropy: Entropy,
    // Flash.
    id: [u8; 8],
    code: Option<AccessCode>,
    credentials: Vec<Credential>,
    // Volatile.
    challenge: Option<[u8; 8]>,
    unlocked: bool,
    /// What commands and responses left in the APDU buffer of a JavaCard.
    buffer: Vec<u8>,
}

impl YkOath {
    /// An empty applet; the seed decides its id and its challenges.
    #[must_use]
    pub fn new(firmware: Firmware, seed: u64) -> Self {
        Self::with_entropy(firmware, Entropy::from_seed(seed))
    }

    fn with_entropy(firmware: Firmware, mut entropy: Entropy) -> Self {
        let id = entropy.draw();
        Self {
            firmware,
            entropy,
            id,
            code: None,
            credentials: Vec::new(),
            challenge: None,
            unlocked: false,
            buffer: vec![0; BUFFER],
        }
    }

    /// What lies in flash, in the order in which LIST tells it.
    #[must_use]
    pub fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// One credential by its name.
    pub fn credential_mut(&mut self, name: &[u8]) -> Option<&mut Credential> {
        self.credentials.iter_mut().find(|credential| credential.name == name)
    }

    /// Writes a credential past the protocol, over one of the same name.
    pub fn install(&mut self, credential: Credential) {
        match self.credential_mut(&credential.name) {
            Some(slot) => *slot = credential,
            None => self.credentials.push(credential),
        }
    }

    /// The 8-byte id, which is also the salt of the access key.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// The next HOTP passcode of this credential, past the protocol.
    pub fn press(&mut self, name: &[u8]) -> Option<String> {
        let bytes = self.firmware.quirks.counter_bytes;
        let credential = self.credential_mut(name).filter(|credential| credential.kind == Kind::Hotp)?;
        let mac = credential.next_hmac(bytes);
        Some(credential.passcode(&mac))
    }

    fn position(&self, name: &[u8]) -> Result<usize, Status> {
        let position = self.credentials.iter().position(|credential| credential.name == name);
        position.ok_or(self.firmware.quirks.missing)
    }

    fn delete(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let mut reader = Reader::new(data);
        let name = name(&mut reader)?;
        reader.finish()?;
        match self.position(name) {
            Ok(position) => drop(self.credentials.remove(position)),
            Err(_) if self.firmware.quirks.delete_missing == DeleteMissing::Done => {}
            Err(status) => return Err(status),
        }
        Ok(Vec::new())
    }

    fn rename(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let mut reader = Reader::new(data);
        let old = name(&mut reader)?;
        let new = name(&mut reader)?;
        reader.finish()?;
        self.position(old)?;
        // A name in use answers like a missing one in the published JavaCard forks; assumed for the YubiKey.
        if self.position(new).is_ok() {
            let overwrites = self.firmware.quirks.overwrites;
            return Err(if overwrites { Status::NO_SUCH_OBJECT } else { Status::CONDITIONS });
        }
        if let Some(credential) = self.credential_mut(old) {
            credential.name = new.to_vec();
        }
        Ok(Vec::new())
    }

    fn reset(&mut self) -> Vec<u8> {
        self.id = self.entropy.draw();
        self.code = None;
        self.credentials.clear();
        self.challenge = None;
        self.unlocked = true;
        Vec::new()
    }

    fn list(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for credential in &self.credentials {
            let entry = [&[credential.type_byte()], credential.name.as_slice()].concat();
            push(&mut out, tag::NAME_LIST, &entry);
        }
        out
    }

    fn calculate(&mut self, data: &[u8], truncated: bool, touch: Touch) -> Result<Vec<u8>, Refusal> {
        let mut reader = Reader::new(data);
        let name = name(&mut reader)?;
        let challenge = reader.expect(tag::CHALLENGE)?;
        reader.finish()?;
        let Quirks { missing, counter_bytes, .. } = self.firmware.quirks;
        let credential = self.credential_mut(name).ok_or(missing)?;
        if credential.kind == Kind::Totp {
            check_challenge(credential, challenge)?;
        }
        match touch {
            Touch::NotAsked if credential.touch => return Err(Refusal::TouchNeeded),
            Touch::TimedOut => return Err(Status::SECURITY.into()),
            Touch::NotAsked | Touch::Given => {}
        }
        let mac = match credential.kind {
            Kind::Hotp => credential.next_hmac(counter_bytes),
            Kind::Totp => totp(credential, challenge),
        };
        let mut out = Vec::new();
        push_response(&mut out, credential.digits, &mac, truncated);
        Ok(out)
    }

    fn calculate_all(&mut self, data: &[u8], truncated: bool) -> Result<Vec<u8>, Status> {
        let mut reader = Reader::new(data);
        let challenge = challenge(&mut reader)?;
        reader.finish()?;
        // The applet answers for all or for none.
        for credential in self.credentials.iter().filter(|credential| told_at_once(credential)) {
            check_challenge(credential, challenge)?;
        }
        let mut out = Vec::new();
        for credential in &mut self.credentials {
            push(&mut out, tag::NAME, &credential.name);
            if credential.kind == Kind::Hotp {
                let told =
                    if self.firmware.quirks.tells_hotp_digits { &[credential.digits][..] } else { &[] };
                push(&mut out, tag::HOTP, told);
            } else if credential.touch {
                push(&mut out, tag::TOUCH, &[credential.digits]);
            } else {
                let mac = totp(credential, challenge);
                push_response(&mut out, credential.digits, &mac, truncated);
            }
        }
        Ok(out)
    }

    /// Whether P1-P2 are right for the instruction, and whether it works on a locked applet.
    fn accepts(&self, command: &Command<'_>) -> Result<(), Status> {
        let quirks = &self.firmware.quirks;
        let (works_locked, parameters): (bool, bool) = match command.ins {
            ins::RESET if quirks.reset != ResetRule::Missing => {
                (quirks.reset == ResetRule::Anybody, (command.p1, command.p2) == (0xDE, 0xAD))
            }
            ins::VALIDATE => (true, (command.p1, command.p2) == (0, 0)),
            ins::CALCULATE | ins::CALCULATE_ALL => {
                (false, command.p1 == 0 && (command.p2 == 1 || command.p2 == 0 && quirks.full_responses))
            }
            ins::PUT | ins::DELETE | ins::SET_CODE | ins::LIST => (false, (command.p1, command.p2) == (0, 0)),
            ins if ins == quirks.continuation => (false, (command.p1, command.p2) == (0, 0)),
            ins::RENAME if self.firmware.rename => (false, (command.p1, command.p2) == (0, 0)),
            _ => return Err(Status::WRONG_INS),
        };
        if !parameters {
            return Err(self.firmware.wrong_parameters);
        }
        if self.unlocked || works_locked { Ok(()) } else { Err(quirks.locked) }
    }

    fn run(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        self.accepts(command)?;
        let data = command.data;
        match command.ins {
            ins::PUT => Ok(self.put(data)?),
            ins::DELETE => Ok(self.delete(data)?),
            ins::SET_CODE => Ok(self.set_code(data)?),
            ins::RESET => Ok(self.reset()),
            ins::RENAME => Ok(self.rename(data)?),
            ins::LIST => Ok(self.list()),
            ins::CALCULATE => self.calculate(data, command.p2 == 1, touch),
            ins::VALIDATE => Ok(self.validate(data)?),
            ins::CALCULATE_ALL => Ok(self.calculate_all(data, command.p2 == 1)?),
            // The chip answers this one while something is left to send; the status is assumed, except CanoKey's.
            _ => Err(Status::CONDITIONS.into()),
        }
    }

    /// What SELECT tells.
    fn introduce(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, tag::VERSION, &self.firmware.oath_version);
        push(&mut out, tag::NAME, &self.id);
        self.challenge = self.code.map(|_| self.entropy.draw());
        if let (Some(code), Some(challenge)) = (self.code, self.challenge) {
            push(&mut out, tag::CHALLENGE, &challenge);
            match self.firmware.quirks.code_algorithm {
                Some(0) => push(&mut out, tag::ALGORITHM, &[code.algorithm]),
                Some(algorithm) => push(&mut out, tag::ALGORITHM, &[algorithm]),
                None => {}
            }
        }
        out
    }

    /// Leaves these bytes at the start of the APDU buffer.
    fn leave_in_buffer(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.buffer.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }
}

impl Applet for YkOath {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        self.unlocked = self.code.is_none();
        Ok(self.introduce())
    }

    fn reselect(&mut self) -> Result<Vec<u8>, Status> {
        if !self.firmware.quirks.stays_unlocked {
            self.deselect();
            return self.select();
        }
        self.unlocked |= self.code.is_none();
        Ok(self.introduce())
    }

    fn deselect(&mut self) {
        self.unlocked = false;
        self.challenge = None;
        self.buffer.fill(0);
    }

    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
        let length = u8::try_from(command.data.len()).unwrap_or_default();
        self.leave_in_buffer(0, &[command.cla, command.ins, command.p1, command.p2, length]);
        self.leave_in_buffer(5, command.data);
        let answer = self.run(command, touch);
        if let Ok(answer) = &answer {
            for part in answer.chunks(self.firmware.chunk) {
                self.leave_in_buffer(0, part);
            }
        }
        if self.firmware.quirks.unlocks_once && self.code.is_some() {
            self.unlocked = command.ins == ins::VALIDATE && answer.is_ok();
        }
        answer
    }

    fn continuation(&self) -> u8 {
        self.firmware.quirks.continuation
    }

    /// A CanoKey sends as many whole entries as fit, and says that more than enough is left.
    fn cut(&self, response: &[u8], most: usize) -> (usize, u8) {
        let left = u8::try_from(response.len() - most).unwrap_or(u8::MAX);
        if !self.firmware.quirks.cuts_between_objects {
            return (most, left);
        }
        let (mut end, mut at) = (0, 0);
        while let Some([tag, length]) = response.get(at..at + 2) {
            // A name of CALCULATE ALL is not parted from what follows it.
            if *tag != tag::TRUNCATED && *tag != tag::RESPONSE && *tag != tag::HOTP && *tag != tag::TOUCH {
                end = at;
            }
            at += 2 + usize::from(*length);
            if at > most {
                break;
            }
        }
        (if end == 0 { most } else { end }, u8::MAX)
    }
}

fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Status> {
    let name = reader.expect(tag::NAME)?;
    if (1..=NAME_MAX).contains(&name.len()) { Ok(name) } else { Err(Status::WRONG_DATA) }
}

fn challenge<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Status> {
    let challenge = reader.expect(tag::CHALLENGE)?;
    if (1..=CHALLENGE_MAX).contains(&challenge.len()) { Ok(challenge) } else { Err(Status::WRONG_DATA) }
}

/// Whether CALCULATE ALL computes this credential instead of only naming it.
fn told_at_once(credential: &Credential) -> bool {
    credential.kind == Kind::Totp && !credential.touch
}

/// Refuses a challenge without length, and one below the last where that is forbidden. Changes nothing.
fn check_challenge(credential: &Credential, challenge: &[u8]) -> Result<(), Status> {
    if !(1..=CHALLENGE_MAX).contains(&challenge.len()) {
        return Err(Status::WRONG_DATA);
    }
    let (new, last) = (significant(challenge), credential.last_challenge.as_slice());
    if credential.only_increasing && (new.len(), new) < (last.len(), last) {
        return Err(Status::SECURITY);
    }
    Ok(())
}

fn totp(credential: &mut Credential, challenge: &[u8]) -> Vec<u8> {
    if credential.only_increasing {
        credential.last_challenge = significant(challenge).to_vec();
    }
    credential.hmac(challenge)
}

/// A big-endian number without its leading zeros, so that numbers of different length compare.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn push_response(out: &mut Vec<u8>, digits: u8, mac: &[u8], truncated: bool) {
    let word;
    let (tag, value) = if truncated {
        word = otp::truncate(mac).to_be_bytes();
        (tag::TRUNCATED, &word[..])
    } else {
        (tag::RESPONSE, mac)
    };
    push(out, tag, &[&[digits], value].concat());
}
