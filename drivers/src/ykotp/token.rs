//! The token: the trait's calls in terms of commands.
//!
//! A key tells little of its slots: whether they are in use, and whether they want a touch. So what was written in
//! this session is remembered (kind, flags, digits) until the program sequence says that somebody else wrote.
//!
//! Access codes lie in slots. There is no command that tries one: `unlock` only keeps the code, and each write to a
//! slot in use presents it and writes it again; a slot that was empty gets it. A refusal forgets it. `set_lock_code`
//! changes flags and code together (UPDATE), and flags cannot be read; so it changes the slots that this session has
//! written, and no others.

use zeroize::Zeroizing;

use super::config::{AccessCode, Config, deletion};
use super::features::Features;
use super::flags::{Flags, cfg, tkt};
use super::plan::{self, invalid};
use super::response;
use super::status::{Effect, Slot, Status};
use super::wire::{Answer, Length, Request, Wire, Written, unchanged};
use crate::error::{Error, ProgramError, SlotState};
use crate::token::task::{Task, Typing};
use crate::token::{
    Algorithm, Attendant, FactorConfig, Kind, LockCode, MovingFactor, Passcode, SecretBytes, SlotConfig,
    SlotId, SlotInfo, Token, TokenInfo, Unattended,
};

/// Length of an HMAC.
const MAC: usize = 20;

/// What is known of a slot besides what the key tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) kind: Option<Kind>,
    /// What was written in this session.
    pub(super) flags: Option<Flags>,
    pub(super) digits: Option<u8>,
}

/// An open key.
pub(super) struct OtpToken {
    pub(super) wire: Box<dyn Wire>,
    info: TokenInfo,
    pub(super) features: Features,
    pub(super) codes: [Option<AccessCode>; 2],
    pub(super) known: [Known; 2],
    /// Program sequence after the last write of this session.
    sequence: Option<u8>,
}

/// What a write looked like to the key.
#[derive(Default)]
struct Presented {
    in_use: bool,
    code: bool,
}

impl OtpToken {
    pub(super) fn new(wire: Box<dyn Wire>, info: TokenInfo, features: Features) -> Self {
        let (codes, known) = ([None, None], [Known::default(); 2]);
        Self { wire, info, features, codes, known, sequence: None }
    }

    /// Writes to a slot: `request` gets the code to present, and the one to set.
    pub(super) fn write(
        &mut self,
        slot: Slot,
        effect: Effect,
        attendant: &dyn Attendant,
        mut request: impl FnMut(Status, Option<&AccessCode>, Option<&AccessCode>) -> Result<Request, Error>,
    ) -> Result<(), ProgramError> {
        let features = self.features;
        let code = slot.of([&self.codes[0], &self.codes[1]]).clone();
        let mut presented = Presented::default();
        let mut plan = |status: Status| {
            // An empty slot has no code, whatever the others have.
            let in_use = status.in_use(slot, features);
            let current = code.as_ref().filter(|_| in_use);
            presented = Presented { in_use, code: current.is_some() };
            Ok((request(status, current, code.as_ref())?, effect))
        };
        match self.wire.write(features, &mut plan, attendant) {
            Ok(Written::Done(status)) => {
                self.note(status);
                Ok(())
            }
            Ok(Written::Refused) => Err(unchanged(self.refusal(slot, &presented))),
            Err(error) => {
                if error.slot == SlotState::Unknown {
                    *self.known_mut(slot) = Known::default();
                    self.sequence = None;
                }
                Err(error)
            }
        }
    }

    /// Why a key refused to write a slot.
    fn refusal(&mut self, slot: Slot, presented: &Presented) -> Error {
        match presented {
            Presented { code: true, .. } => {
                *self.code_mut(slot) = None;
                Error::WrongLockCode { attempts_left: None }
            }
            Presented { in_use: true, .. } => Error::Locked,
            Presented { .. } => Error::Rejected {
                command: "CONFIGURE SLOT",
                meaning: "slot 1 may protect slot 2, or the key is set up not to be written",
            },
        }
    }

    fn code_mut(&mut self, slot: Slot) -> &mut Option<AccessCode> {
        let [one, two] = &mut self.codes;
        slot.of([one, two])
    }

    pub(super) fn known_mut(&mut self, slot: Slot) -> &mut Known {
        let [one, two] = &mut self.known;
        slot.of([one, two])
    }

    /// Takes note of the status after a write of this session.
    pub(super) fn note(&mut self, status: Status) {
        self.sequence = Some(status.sequence);
    }

    /// Forgets what was written here if somebody else has written since.
    fn doubt(&mut self, status: Status) {
        if self.sequence.is_some_and(|known| known != status.sequence) {
            for known in &mut self.known {
                *known = Known { digits: known.digits, ..Known::default() };
            }
            self.sequence = None;
        }
    }

    pub(super) fn look(&mut self, attendant: &dyn Attendant) -> Result<Status, Error> {
        let status = self.wire.status(self.features, attendant)?;
        self.doubt(status);
        Ok(status)
    }

    /// Writes a configuration.
    pub(super) fn configure_slot(
        &mut self,
        slot: Slot,
        config: &Config,
        known: Known,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        self.write(slot, Effect::Fills(slot), attendant, |_, current, new| {
            Ok(Request::configure(slot, config.payload(new, current)))
        })?;
        *self.known_mut(slot) = Known { flags: Some(config.flags), ..known };
        Ok(())
    }

    pub(super) fn write_credential(
        &mut self,
        slot: &SlotId,
        wish: &SlotConfig,
        identifier: &str,
        typing: &Typing,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let planned = plan::slot(slot, self.features)
            .and_then(|slot| Ok((slot, plan::credential(wish, identifier, typing, slot, self.features)?)));
        let (slot, config) = planned.map_err(unchanged)?;
        let kind = match wish.factor {
            FactorConfig::Hotp { .. } => Kind::Hotp,
            FactorConfig::Totp { .. } => Kind::Totp,
        };
        let known = Known { kind: Some(kind), flags: None, digits: Some(wish.digits) };
        self.configure_slot(slot, &config, known, attendant)
    }

    fn delete(&mut self, slot: Slot, attendant: &dyn Attendant) -> Result<(), ProgramError> {
        let features = self.features;
        self.write(slot, Effect::Empties(slot), attendant, |status, current, _| {
            if !status.in_use(slot, features) {
                return Err(empty(slot));
            }
            Ok(Request::configure(slot, deletion(current)))
        })?;
        *self.known_mut(slot) = Known::default();
        Ok(())
    }

    /// Changes flags, and the code if it is to be another.
    pub(super) fn update(
        &mut self,
        slot: Slot,
        flags: Flags,
        code: Option<&AccessCode>,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let features = self.features;
        let config =
            Config::of_flags(Flags { tkt: flags.tkt & tkt::UPDATE, cfg: flags.cfg & cfg::UPDATE, ..flags });
        self.write(slot, Effect::Hidden, attendant, |status, current, _| {
            if !status.in_use(slot, features) {
                return Err(empty(slot));
            }
            Ok(Request::update(slot, config.payload(code, current)))
        })
    }

    /// Lets a slot answer a challenge of less than 64 bytes.
    fn challenge(
        &mut self,
        slot: Slot,
        challenge: &[u8],
        attendant: &dyn Attendant,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (features, known, sequence) = (self.features, slot.of(self.known), self.sequence);
        let padded = response::pad(challenge);
        // Where the status may be an old one, only the answer tells.
        let certain = !features.keeps_hid_status();
        let mut plan = |status: Status| {
            if certain && !status.in_use(slot, features) {
                return Err(empty(slot));
            }
            let ours = sequence.is_none_or(|known| known == status.sequence);
            if ours && known.flags.is_some_and(|flags| !flags.answers_any_length()) {
                return Err(no_answer());
            }
            Ok(Request::challenge(slot, &*padded))
        };
        match self.wire.ask(features, &mut plan, Length::Of(MAC), attendant)? {
            Answer::Data(response) => Ok(response),
            Answer::Nothing if certain || self.look(attendant)?.in_use(slot, features) => Err(no_answer()),
            Answer::Nothing => Err(empty(slot)),
        }
    }
}

pub(super) fn unsupported(what: &'static str, needs: &str) -> Error {
    Error::Unsupported { what, needs: needs.to_owned() }
}

pub(super) fn empty(slot: Slot) -> Error {
    Error::SlotEmpty { slot: slot.number().to_string() }
}

fn no_answer() -> Error {
    Error::Rejected {
        command: "CHALLENGE HMAC",
        meaning: "the slot holds no key for challenges of any length: it types, or answers others",
    }
}

fn only_source(error: ProgramError) -> Error {
    error.source
}

impl Token for OtpToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        let code = AccessCode::parse(code.expose()).ok_or_else(|| {
            invalid("code", "it has to be 12 hexadecimal digits or 6 bytes, not all of them 0")
        })?;
        self.codes = [Some(code.clone()), Some(code)];
        Ok(())
    }

    fn forget_code(&mut self) {
        self.codes = [None, None];
    }

    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error> {
        let code = match code {
            None => None,
            Some(code) => Some(AccessCode::parse(code.expose()).ok_or_else(|| {
                invalid("code", "it has to be 12 hexadecimal digits or 6 bytes, not all of them 0")
            })?),
        };
        if !self.features.updates_code() {
            return Err(unsupported(
                "changing the access code of a slot in use",
                "firmware 2.3, but not 4.3.2 to 4.3.5: erase the slot, unlock with the new code, write it again",
            ));
        }
        let remembers = |known: &Known| known.flags.is_some();
        if self.known.iter().any(remembers) {
            self.look(&Unattended)?;
        }
        if !self.known.iter().any(remembers) {
            return Err(unsupported(
                "an access code by itself",
                "a slot that was written since the key was opened: no other tells how it is set up",
            ));
        }
        if self.known.iter().any(|known| known.flags.is_some_and(|flags| !flags.allows_updates())) {
            let meaning = "the slot was written so that it allows no updates";
            return Err(Error::Rejected { command: "UPDATE SLOT", meaning });
        }
        for slot in Slot::BOTH {
            let Some(flags) = slot.of(self.known).flags else { continue };
            self.update(slot, flags, code.as_ref(), &Unattended).map_err(only_source)?;
            *self.code_mut(slot) = code.clone();
        }
        Ok(())
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        let features = self.features;
        let status = self.look(&Unattended)?;
        let told = |slot: Slot| {
            let in_use = status.in_use(slot, features);
            let known = if in_use { slot.of(self.known) } else { Known::default() };
            SlotInfo {
                slot: SlotId::Index(slot.number()),
                in_use,
                kind: known.kind,
                algorithm: known.kind.map(|_| Algorithm::Sha1),
                digits: known.digits,
                time_step: None,
                touch: status.by_touch(slot, features).filter(|_| in_use),
            }
        };
        Ok(Slot::BOTH.into_iter().take(usize::from(features.slots())).map(told).collect())
    }

    fn program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        self.write_credential(slot, config, "", &Typing::default(), attendant)
    }

    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        let slot = plan::slot(slot, self.features)?;
        self.delete(slot, attendant).map_err(only_source)
    }

    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        let slot = plan::slot(slot, self.features)?;
        let MovingFactor::TimeStep(step) = factor else {
            return Err(unsupported("HOTP for its host", "a finger: the key types it when it is touched"));
        };
        if !self.features.challenges() {
            return Err(unsupported("challenge-response", "firmware 2.2"));
        }
        let response = self.challenge(slot, &step.to_be_bytes(), attendant)?;
        let digits = slot.of(self.known).digits.unwrap_or(6);
        Ok(Passcode::new(response::passcode(&response, digits)))
    }

    fn expect_digits(&mut self, slot: &SlotId, digits: u8) {
        if let (Ok(slot), 6..=10) = (plan::slot(slot, self.features), digits) {
            self.known_mut(slot).digits = Some(digits);
        }
    }

    fn configure(&mut self, task: &Task, attendant: &dyn Attendant) -> Result<(), ProgramError> {
        self.do_task(task, attendant)
    }

    fn respond(
        &mut self,
        slot: &SlotId,
        challenge: &[u8],
        attendant: &dyn Attendant,
    ) -> Result<SecretBytes, Error> {
        if !self.features.challenges() {
            return Err(unsupported("challenge-response", "firmware 2.2"));
        }
        let slot = plan::slot(slot, self.features)?;
        if challenge.len() >= response::CHALLENGE {
            return Err(invalid("challenge", "it has to have 63 bytes at most: the key cuts longer ones"));
        }
        let response = self.challenge(slot, challenge, attendant)?;
        Ok(SecretBytes::new(response.to_vec()))
    }

    /// Empties both slots. That takes their access codes.
    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        for slot in Slot::BOTH.into_iter().take(usize::from(self.features.slots())) {
            match self.delete(slot, attendant).map_err(only_source) {
                Ok(()) | Err(Error::SlotEmpty { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.codes = [None, None];
        Ok(())
    }
}
