//! The OATH applet of a YubiKey (Yubico, "YKOATH Protocol Specification").
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

use crate::apdu::Command;
use crate::applets::{Applet, Refusal, Touch};
use crate::credential::{Credential, Hash, Kind, parse_type};
use crate::entropy::Entropy;
use crate::firmware::Firmware;
use crate::otp;
use crate::status::Status;
use crate::tlv::{Reader, push};

#[cfg(test)]
mod tests;

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
    pub(super) const SEND_REMAINING: u8 = 0xA5;
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

const ONLY_INCREASING: u8 = 0x01;
const REQUIRE_TOUCH: u8 = 0x02;
const NAME_MAX: usize = 64;
const SECRET_MAX: usize = 64;
const CHALLENGE_MAX: usize = 64;

/// The access code as the device keeps it.
#[derive(Clone, Copy)]
struct AccessCode {
    /// Type/algorithm byte as the host wrote it, told back in SELECT.
    algorithm: u8,
    key: [u8; 16],
}

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
}

impl YkOath {
    /// An empty applet; the seed decides its id and its challenges.
    #[must_use]
    pub fn new(firmware: Firmware, seed: u64) -> Self {
        Self::with_entropy(firmware, Entropy::from_seed(seed))
    }

    fn with_entropy(firmware: Firmware, mut entropy: Entropy) -> Self {
        let id = entropy.draw();
        Self { firmware, entropy, id, code: None, credentials: Vec::new(), challenge: None, unlocked: false }
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

    /// The 16-byte access key, if a code is set.
    #[must_use]
    pub fn access_key(&self) -> Option<[u8; 16]> {
        self.code.map(|code| code.key)
    }

    /// Sets or removes the access key past the protocol, as another program would have.
    pub fn set_access_key(&mut self, key: Option<[u8; 16]>) {
        self.code = key.map(|key| AccessCode { algorithm: 0x21, key });
        self.unlocked = key.is_none();
    }

    /// The 8-byte id, which is also the salt of the access key.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    fn position(&self, name: &[u8]) -> Result<usize, Status> {
        self.credentials.iter().position(|credential| credential.name == name).ok_or(Status::NO_SUCH_OBJECT)
    }

    fn put(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let credential = self.parse_put(data)?;
        let others = self.credentials.iter().filter(|other| other.name != credential.name);
        let names = others.map(|other| other.name.len()).chain([credential.name.len()]);
        if !self.firmware.capacity.holds(names) {
            return Err(Status::NO_SPACE);
        }
        self.install(credential);
        Ok(Vec::new())
    }

    fn parse_put(&self, data: &[u8]) -> Result<Credential, Status> {
        let mut reader = Reader::new(data);
        let name = name(&mut reader)?;
        let [type_byte, digits, secret @ ..] = reader.expect(tag::KEY)? else {
            return Err(Status::WRONG_DATA);
        };
        let property = reader.optional_bare(tag::PROPERTY)?.unwrap_or(0);
        let imf = match reader.optional(tag::IMF)? {
            Some(bytes) => u32::from_be_bytes(bytes.try_into().map_err(|_| Status::WRONG_DATA)?),
            None => 0,
        };
        reader.finish()?;

        let (kind, hash) = parse_type(*type_byte).ok_or(Status::WRONG_DATA)?;
        let touch = property & REQUIRE_TOUCH != 0;
        let refused = (hash == Hash::Sha512 && !self.firmware.sha512)
            || (touch && !self.firmware.touch)
            || property & !(ONLY_INCREASING | REQUIRE_TOUCH) != 0
            || !(self.firmware.secret_min..=SECRET_MAX).contains(&secret.len());
        if refused {
            return Err(Status::WRONG_DATA);
        }
        Ok(Credential {
            name: name.to_vec(),
            kind,
            hash,
            digits: *digits,
            secret: secret.to_vec(),
            counter: u64::from(imf),
            touch,
            only_increasing: property & ONLY_INCREASING != 0,
            last_challenge: Vec::new(),
        })
    }

    fn delete(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let mut reader = Reader::new(data);
        let name = name(&mut reader)?;
        reader.finish()?;
        let position = self.position(name)?;
        self.credentials.remove(position);
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
            return Err(Status::NO_SUCH_OBJECT);
        }
        if let Some(credential) = self.credential_mut(old) {
            credential.name = new.to_vec();
        }
        Ok(Vec::new())
    }

    fn set_code(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let mut reader = Reader::new(data);
        let (algorithm, key) = match reader.expect(tag::KEY)? {
            [] => {
                reader.finish()?;
                self.code = None;
                return Ok(Vec::new());
            }
            [algorithm, key @ ..] => (*algorithm, key.try_into().map_err(|_| Status::WRONG_DATA)?),
        };
        let challenge = challenge(&mut reader)?;
        let response = reader.expect(tag::RESPONSE)?;
        reader.finish()?;
        if algorithm & 0x0F != 0x01 {
            return Err(Status::WRONG_DATA);
        }
        let code = AccessCode { algorithm, key };
        if response != code.answer(challenge) {
            return Err(Status::NO_SUCH_OBJECT);
        }
        self.code = Some(code);
        if self.firmware.set_code_locks {
            self.unlocked = false;
            self.challenge = None;
        }
        Ok(Vec::new())
    }

    fn validate(&mut self, data: &[u8]) -> Result<Vec<u8>, Status> {
        let code = self.code.ok_or(Status::NO_SUCH_OBJECT)?;
        let mut reader = Reader::new(data);
        let response = reader.expect(tag::RESPONSE)?;
        let host_challenge = challenge(&mut reader)?;
        reader.finish()?;
        match self.challenge {
            Some(own) if response == code.answer(&own) => {
                self.unlocked = true;
                let mut out = Vec::new();
                push(&mut out, tag::RESPONSE, &code.answer(host_challenge));
                Ok(out)
            }
            _ => Err(Status::WRONG_DATA),
        }
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
        let credential = self.credential_mut(name).ok_or(Status::NO_SUCH_OBJECT)?;
        if credential.kind == Kind::Totp {
            check_challenge(credential, challenge)?;
        }
        match touch {
            Touch::NotAsked if credential.touch => return Err(Refusal::TouchNeeded),
            Touch::TimedOut => return Err(Status::SECURITY.into()),
            Touch::NotAsked | Touch::Given => {}
        }
        let mac = match credential.kind {
            Kind::Hotp => credential.next_hmac(),
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
                push(&mut out, tag::HOTP, &[credential.digits]);
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
        let (works_locked, parameters): (bool, bool) = match command.ins {
            ins::RESET => (true, (command.p1, command.p2) == (0xDE, 0xAD)),
            ins::VALIDATE => (true, (command.p1, command.p2) == (0, 0)),
            ins::CALCULATE | ins::CALCULATE_ALL => (false, command.p1 == 0 && command.p2 <= 1),
            ins::PUT | ins::DELETE | ins::SET_CODE | ins::LIST | ins::SEND_REMAINING => {
                (false, (command.p1, command.p2) == (0, 0))
            }
            ins::RENAME if self.firmware.rename => (false, (command.p1, command.p2) == (0, 0)),
            _ => return Err(Status::WRONG_INS),
        };
        if !parameters {
            return Err(self.firmware.wrong_parameters);
        }
        if self.unlocked || works_locked { Ok(()) } else { Err(Status::SECURITY) }
    }
}

impl AccessCode {
    fn answer(&self, challenge: &[u8]) -> Vec<u8> {
        otp::hmac(Hash::Sha1, &self.key, challenge)
    }
}

impl Applet for YkOath {
    fn aid(&self) -> &'static [u8] {
        &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01, 0x01]
    }

    fn select(&mut self) -> Result<Vec<u8>, Status> {
        let mut out = Vec::new();
        push(&mut out, tag::VERSION, &self.firmware.oath_version);
        push(&mut out, tag::NAME, &self.id);
        self.unlocked = self.code.is_none();
        self.challenge = self.code.map(|_| self.entropy.draw());
        if let (Some(code), Some(challenge)) = (self.code, self.challenge) {
            push(&mut out, tag::CHALLENGE, &challenge);
            push(&mut out, tag::ALGORITHM, &[code.algorithm]);
        }
        Ok(out)
    }

    fn deselect(&mut self) {
        self.unlocked = false;
        self.challenge = None;
    }

    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal> {
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
            // The chip answers this one while something is left to send.
            ins::SEND_REMAINING => Err(Status::CONDITIONS.into()),
            _ => Err(Status::WRONG_INS.into()),
        }
    }

    fn continuation(&self) -> u8 {
        ins::SEND_REMAINING
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
