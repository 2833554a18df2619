//! An open device as a [`Token`].
//!
//! `unlock` sends the PINs once; after that a random temporary password stands in for each. It goes when another
//! program authenticates, and on firmware up to 0.7 one command uses it up: then the PIN makes a new one, once, and
//! the command that was refused is sent again. The admin PIN is kept for that, for changing it and for a reset,
//! which want the PIN itself.
//!
//! Attempts are read before any PIN is sent, and the last one is never spent: a wrong PIN would then block the token
//! for good. A refused PIN is forgotten at once.

use super::commands::slots::{
    EraseSlot, GetCode, Piece, ReadSlot, ReadSlotName, SendOtpData, WriteAtOnce, WriteToSlot,
};
use super::commands::{Command, GetStatus, SetTime};
use super::features::{Features, LONGEST_STEP};
use super::link::Link;
use super::session::Sessions;
use super::slot::{Place, Written, invalid};
use super::{pin, status};
use crate::error::{Error, ProgramError, SlotState};
use crate::token::{
    Algorithm, Attendant, Kind, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token,
    TokenInfo, Unattended, UnixTime,
};

pub(super) struct NitrokeyToken {
    link: Link,
    info: TokenInfo,
    features: Features,
    sessions: Sessions,
}

impl NitrokeyToken {
    pub(super) fn new(link: Link, info: TokenInfo, features: Features) -> Self {
        Self { link, info, features, sessions: Sessions::new(features) }
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        let written = Written::check(slot, config, self.features)?;
        if self.features.authorizes_by_crc() {
            let write = WriteAtOnce {
                slot: written.place.wire(),
                name: &written.name,
                secret: &written.secret,
                eight_digits: written.eight_digits,
                number: written.number_field(self.features),
            };
            self.sessions.authorize(&mut self.link, &write.request(), attendant)?;
            *state = SlotState::Unknown;
            return self.link.call(&write, attendant).map_err(|error| settled(error, state));
        }
        let temporary = &self.sessions.admin_password(&mut self.link, attendant)?;
        let link = &mut self.link;
        let mut send = |piece, data: &[u8]| link.call(&SendOtpData { temporary, piece, data }, attendant);
        send(Piece::Name, &written.name)?;
        let (first, second) = written.secret.expose().split_at(written.secret.expose().len().min(30));
        // What somebody sent ahead and never wrote is still there; a short secret must not get its end.
        let others = send(Piece::First, first)?;
        if others || !second.is_empty() {
            send(Piece::Second, second)?;
        }
        let write = WriteToSlot {
            temporary,
            slot: written.place.wire(),
            number: written.number,
            eight_digits: written.eight_digits,
        };
        *state = SlotState::Unknown;
        self.link.call(&write, attendant).map_err(|error| settled(error, state))?;
        if self.features.hides_refusals() {
            self.check_written(&written, state)?;
        }
        Ok(())
    }

    /// Looks whether a write that was answered with OK took place.
    fn check_written(&mut self, written: &Written, state: &mut SlotState) -> Result<(), Error> {
        let read = match self.link.call(&ReadSlot { slot: written.place.wire() }, &Unattended) {
            Err(error) if !status::is_not_programmed(&error) => return Err(error),
            read => read.ok(),
        };
        let digits = if written.eight_digits { 8 } else { 6 };
        let is_there = read.is_some_and(|read| {
            (read.name, read.digits, read.number) == (written.name, digits, written.number)
        });
        if is_there {
            return Ok(());
        }
        *state = SlotState::Unchanged;
        Err(Error::Locked)
    }

    /// Works as the admin; if the device has forgotten him, once more after he has shown his PIN again.
    fn as_admin<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let mut result = work(self);
        if matches!(result, Err(Error::Locked)) && self.sessions.lose_admin_password() {
            result = work(self);
        }
        if is_refusal(&result) {
            self.sessions.end_admin();
        }
        result
    }

    fn erase_place(&mut self, place: Place, attendant: &dyn Attendant) -> Result<(), Error> {
        let slot = place.wire();
        if !self.sessions.is_admin() {
            return Err(Error::Locked);
        }
        self.link.call(&ReadSlotName { slot }, attendant).map_err(|error| empty(error, place))?;
        if self.features.authorizes_by_crc() {
            let erase = EraseSlot { slot, temporary: None };
            self.sessions.authorize(&mut self.link, &erase.request(), attendant)?;
            return self.link.call(&erase, attendant);
        }
        let temporary = self.sessions.admin_password(&mut self.link, attendant)?;
        self.link.call(&EraseSlot { slot, temporary: Some(&temporary) }, attendant)?;
        if !self.features.hides_refusals() {
            return Ok(());
        }
        match self.link.call(&ReadSlotName { slot }, &Unattended) {
            Ok(()) => Err(Error::Locked),
            Err(error) if status::is_not_programmed(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn set_time(
        &mut self,
        time: Option<u64>,
        field: &'static str,
        attendant: &dyn Attendant,
    ) -> Result<(), Error> {
        let time = time.filter(|time| *time <= self.features.latest_time());
        let time = time.ok_or_else(|| invalid(field, "the token's clock ends before".to_owned()))?;
        self.link.call(&SetTime { time }, attendant)
    }

    fn compute(
        &mut self,
        place: Place,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        if let (Kind::Totp, MovingFactor::TimeStep(step)) = (place.kind, factor) {
            let read = self.link.call(&ReadSlot { slot: place.wire() }, attendant);
            let seconds = read.map_err(|error| empty(error, place))?.number;
            if !(1..=u64::from(LONGEST_STEP)).contains(&seconds) {
                let what = "a time step that the token cannot count";
                return Err(Error::Malformed { command: ReadSlot::NAME, what, offset: 36 });
            }
            self.set_time(step.checked_mul(seconds), "factor", attendant)?;
        }
        let by_crc = self.features.authorizes_by_crc();
        let temporary = if by_crc { None } else { self.sessions.user_password(&mut self.link, attendant)? };
        let once = place.kind == Kind::Hotp || by_crc;
        let get = GetCode { slot: place.wire(), once, temporary: temporary.as_ref() };
        if by_crc {
            self.sessions.authorize_user(&mut self.link, &get.request(), attendant)?;
        }
        let code = self.link.call(&get, attendant).map_err(|error| empty(error, place))?;
        if code.empty && self.features.hides_refusals() && self.link.call(&GetStatus, attendant)?.user_pin {
            return Err(Error::Locked);
        }
        Ok(Passcode::new(code.text))
    }
}

fn is_refusal<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Locked | Error::WrongLockCode { .. }))
}

/// Says whether the slot may have changed after an error of the command that writes it.
fn settled(error: Error, state: &mut SlotState) -> Error {
    // A status comes from checks before the first byte is written; cancelled is only what was not sent.
    if matches!(error, Error::Refused { .. } | Error::Locked | Error::WrongLockCode { .. } | Error::Cancelled)
    {
        *state = SlotState::Unchanged;
    }
    error
}

/// Puts the slot into an error about it.
fn empty(error: Error, place: Place) -> Error {
    if status::is_not_programmed(&error) {
        return Error::SlotEmpty { slot: place.id().to_string() };
    }
    error
}

impl Token for NitrokeyToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        self.sessions.unlock(&mut self.link, code)
    }

    fn forget_code(&mut self) {
        self.sessions.end();
    }

    /// Changes the admin PIN. The user PIN cannot be changed here.
    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error> {
        let code = code.ok_or_else(|| Error::Unsupported {
            what: "removing the admin PIN",
            needs: "a new one in its place".to_owned(),
        })?;
        let pins = pin::Pins::parse(code, self.features.longest_pin())?;
        if pins.user.is_some() {
            let needs = "the maker's program: `nitrocli pin set user`".to_owned();
            return Err(Error::Unsupported { what: "changing the user PIN", needs });
        }
        let new = pins.admin.ok_or_else(|| pin::invalid("it is empty"))?;
        if new.expose().len() < pin::SHORTEST_ADMIN {
            let problem = format!("an admin PIN has at least {} bytes", pin::SHORTEST_ADMIN);
            return Err(pin::invalid(&problem));
        }
        self.sessions.change_admin_pin(&mut self.link, new)
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        let mut slots = Vec::new();
        for place in Place::all(self.features) {
            let read = match self.link.call(&ReadSlot { slot: place.wire() }, &Unattended) {
                Err(error) if !status::is_not_programmed(&error) => return Err(error),
                read => read.ok(),
            };
            let step = read.as_ref().filter(|_| place.kind == Kind::Totp).map(|read| read.number);
            slots.push(SlotInfo {
                slot: place.id(),
                in_use: read.is_some(),
                kind: Some(place.kind),
                algorithm: read.is_some().then_some(Algorithm::Sha1),
                digits: read.as_ref().map(|read| read.digits),
                time_step: step.and_then(|step| u32::try_from(step).ok()),
                touch: read.is_some().then_some(false),
            });
        }
        Ok(slots)
    }

    fn program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let mut state = SlotState::Unchanged;
        self.as_admin(|token| token.try_program(slot, config, attendant, &mut state))
            .map_err(|source| ProgramError { slot: state, source })
    }

    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        let place = Place::of(slot, self.features)?;
        self.as_admin(|token| token.erase_place(place, attendant))
    }

    /// For TOTP the device's clock is set to the begin of the step, and stays there.
    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        let place = Place::of(slot, self.features)?;
        match (place.kind, factor) {
            (Kind::Hotp, MovingFactor::TimeStep(_)) => {
                return Err(invalid("factor", "an HOTP credential counts by itself".to_owned()));
            }
            (Kind::Totp, MovingFactor::OnToken) => {
                let text = "a TOTP credential needs the number of the time step";
                return Err(invalid("factor", text.to_owned()));
            }
            _ => {}
        }
        let mut result = self.compute(place, factor, attendant);
        if matches!(result, Err(Error::Locked)) && self.sessions.lose_user_password() {
            result = self.compute(place, factor, attendant);
        }
        if is_refusal(&result) {
            self.sessions.end_user();
        }
        result
    }

    fn set_clock(&mut self, now: UnixTime) -> Result<(), Error> {
        self.set_time(Some(now.0), "now", &Unattended)
    }

    /// Empties all slots and the `OpenPGP` card inside, and sets both PINs back to the maker's. The settings stay.
    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        self.sessions.factory_reset(&mut self.link, attendant)
    }
}
