//! An open key as a [`Token`].
//!
//! What a key told of its records is remembered, since it is asked for a time and not for a time step, and since
//! over a card nothing else says that a touch is needed. A record that another program changed meanwhile is looked
//! up again: its answer says what it is.

use super::commands::Config;
use super::commands::{
    EraseAll, GetEcdhPubkey, ReadAll, ReadConfig, ReadMore, ReadOne, WriteHotpSeed, WriteSeed, is_not_found,
};
use super::entry::{self, Entry, parse_one, parse_page};
use super::name::{BUTTON, Place};
use super::pin;
use super::seal::{Agreement, BUTTON_IV, RECORD_IV};
use super::session::{Applet, Attempt, Wire, visit_again};
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed};
use crate::token::{
    Algorithm, Attendant, Kind, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token,
    TokenInfo, Unattended,
};

/// Pages of a list: 50 records, at least one in each, and some to spare.
const MAX_PAGES: usize = 64;

pub(super) struct PinPlusToken {
    wire: Wire,
    info: TokenInfo,
    /// Whether this firmware has a PIN at all.
    has_pin: bool,
    config: Config,
    code: Option<LockCode>,
    /// The records as last seen.
    known: Vec<Entry>,
}

impl PinPlusToken {
    pub(super) fn new(wire: Wire, info: TokenInfo, has_pin: bool, config: Config) -> Self {
        Self { wire, info, has_pin, config, code: None, known: Vec::new() }
    }

    /// Selects the applet, answers for the PIN if it is known, works.
    fn visit<T>(
        &mut self,
        attendant: &dyn Attendant,
        mut work: impl FnMut(&mut Applet<'_>, &mut Vec<Entry>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { wire, code, known, .. } = self;
        let result = visit_again(wire, attendant, true, |applet| {
            if let Some(code) = code.as_ref() {
                applet.verify(code, Attempt::Again)?;
            }
            work(applet, known)
        });
        match result {
            // Somebody changed the code: presenting the old one again would cost attempts.
            Err(Error::WrongLockCode { .. } | Error::Blocked { .. }) => self.code = None,
            Err(Error::Locked) => self.info.locked = true,
            _ => {}
        }
        result
    }

    fn has_button(&self) -> Result<(), Error> {
        if self.config.button == Some(false) {
            let needs = "a key that types".to_owned();
            return Err(Error::Unsupported { what: "HOTP typed by the button", needs });
        }
        Ok(())
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        let (clear, entry) = match Place::parse(slot)? {
            Place::Record(names) => {
                let entry = Entry::check(names, config, &self.info.capabilities)?;
                (entry.written(config), Some(entry))
            }
            Place::Button => {
                self.has_button()?;
                (entry::button(config)?, None)
            }
        };
        self.visit(attendant, |applet, known| {
            let written = match entry {
                Some(_) => write_record(applet, &clear, state),
                None => write_button(applet, &clear, state),
            };
            if let Err(error) = &written
                && is_clean_refusal(error)
            {
                *state = SlotState::Unchanged;
            }
            written?;
            if let Some(entry) = &entry {
                known.retain(|old| old.names != entry.names);
                known.push(entry.clone());
            }
            Ok(())
        })
    }
}

impl Token for PinPlusToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        self.code = None;
        if !self.has_pin {
            // The tunnel of some keys knows of a PIN only that it is set.
            return if self.info.locked { Err(no_pin_here()) } else { Ok(()) };
        }
        let set = visit_again(&mut self.wire, &Unattended, true, |applet| {
            applet.verify(code, Attempt::Asked)?;
            let set = applet.is_verified();
            applet.lock()?;
            Ok(set)
        })?;
        self.info.locked = set;
        self.code = set.then(|| code.clone());
        Ok(())
    }

    fn forget_code(&mut self) {
        self.code = None;
    }

    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error> {
        if !self.has_pin {
            return Err(no_pin_here());
        }
        if let Some(code) = code {
            pin::check_new(code.expose())?;
        }
        let old = self.code.take();
        let result =
            visit_again(&mut self.wire, &Unattended, true, |applet| applet.set_pin(old.as_ref(), code));
        match &result {
            Ok(()) => {
                self.info.locked = code.is_some();
                self.code = code.cloned();
            }
            Err(error) if is_clean_refusal(error) => self.code = old,
            // Old or new: presenting either unasked could cost an attempt.
            Err(_) => {}
        }
        result
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        let may_have_button = self.config.button != Some(false) && self.config.button_set.is_some();
        self.visit(&Unattended, |applet, known| {
            *known = look(applet)?;
            let mut slots: Vec<SlotInfo> = known.iter().map(Entry::info).collect();
            if may_have_button && applet.call(&ReadConfig)?.button_set == Some(true) {
                slots.push(SlotInfo {
                    slot: SlotId::Name(BUTTON.to_owned()),
                    in_use: true,
                    kind: Some(Kind::Hotp),
                    algorithm: Some(Algorithm::Sha1),
                    digits: None,
                    time_step: None,
                    touch: None,
                });
            }
            Ok(slots)
        })
    }

    fn program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let mut state = SlotState::Unchanged;
        self.try_program(slot, config, attendant, &mut state)
            .map_err(|source| ProgramError { slot: state, source })
    }

    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        let place = Place::parse(slot)?;
        if place == Place::Button {
            self.has_button()?;
        }
        self.visit(attendant, |applet, known| {
            let empty = || Error::SlotEmpty { slot: slot.to_string() };
            match &place {
                Place::Record(names) => {
                    *known = look(applet)?;
                    if !known.iter().any(|entry| entry.names == *names) {
                        return Err(empty());
                    }
                    let clear = entry::deleted(names);
                    write_record(applet, &clear, &mut SlotState::Unchanged)
                        .map_err(|error| not_found(error).map_or_else(|error| error, |()| empty()))?;
                    known.retain(|entry| entry.names != *names);
                    Ok(())
                }
                Place::Button => {
                    if applet.call(&ReadConfig)?.button_set == Some(false) {
                        return Err(empty());
                    }
                    erase_button(applet)
                }
            }
        })
    }

    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        let Place::Record(names) = Place::parse(slot)? else {
            let needs = "a named slot; the key types this one".to_owned();
            return Err(Error::Unsupported { what: "a passcode of the button's slot", needs });
        };
        self.visit(attendant, |applet, known| {
            if !known.iter().any(|entry| entry.names == names) {
                *known = look(applet)?;
            }
            let empty = || Error::SlotEmpty { slot: names.address() };
            let entry = known.iter().find(|entry| entry.names == names).cloned().ok_or_else(empty)?;
            let (told, passcode) = match calculate(applet, &entry, factor) {
                // Somebody gave the record another time step meanwhile.
                Ok((told, _)) if told.kind == Kind::Totp && told.time_step != entry.time_step => {
                    remember(known, &told);
                    calculate(applet, &told, factor)?
                }
                Err(error @ Error::SlotEmpty { .. }) => {
                    known.retain(|entry| entry.names != names);
                    return Err(error);
                }
                result => result?,
            };
            remember(known, &told);
            if told.kind != entry.kind {
                return Err(invalid("factor", "another program made another kind of credential of it"));
            }
            Ok(passcode)
        })
    }

    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        let may_have_button = self.config.button != Some(false);
        // Erasing needs no PIN: it is what helps when that is forgotten.
        visit_again(&mut self.wire, attendant, true, |applet| {
            applet.announce_touch();
            applet.call_once(&EraseAll)?;
            if !may_have_button {
                return Ok(());
            }
            // The button's slot is another one.
            match applet.call(&ReadConfig)?.button_set {
                Some(false) => Ok(()),
                Some(true) => erase_button(applet),
                // A key that tells one byte only: try.
                None => match erase_button(applet) {
                    Err(Error::Unsupported { .. } | Error::Refused { .. }) => Ok(()),
                    result => result,
                },
            }
        })?;
        self.code = None;
        self.known.clear();
        self.info.locked = false;
        Ok(())
    }
}

fn no_pin_here() -> Error {
    let needs = "firmware R3.4, and perhaps its card interface instead of the HID tunnel".to_owned();
    Error::Unsupported { what: "an OTP PIN", needs }
}

/// Lists the records.
fn look(applet: &mut Applet<'_>) -> Result<Vec<Entry>, Error> {
    let mut page = match applet.call(&ReadAll) {
        Ok(page) => page,
        Err(Error::SlotEmpty { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..MAX_PAGES {
        let of = |error: Malformed| error.of(ReadAll::NAME);
        let clear = applet.clear(page).map_err(of)?;
        let (more_entries, more) = parse_page(&clear).map_err(of)?;
        entries.extend(more_entries);
        if !more {
            return Ok(entries);
        }
        page = applet.call(&ReadMore)?;
    }
    Err(Malformed::new("pages without end", 0).of(ReadAll::NAME))
}

fn remember(known: &mut Vec<Entry>, told: &Entry) {
    known.retain(|entry| entry.names != told.names);
    known.push(told.clone());
}

fn calculate(
    applet: &mut Applet<'_>,
    entry: &Entry,
    factor: MovingFactor,
) -> Result<(Entry, Passcode), Error> {
    let time = match (factor, entry.kind) {
        (MovingFactor::OnToken, Kind::Hotp) => 0,
        (MovingFactor::OnToken, Kind::Totp) => {
            return Err(invalid("factor", "a TOTP credential needs the number of the time step"));
        }
        (MovingFactor::TimeStep(_), Kind::Hotp) => {
            return Err(invalid("factor", "an HOTP credential counts by itself"));
        }
        (MovingFactor::TimeStep(number), Kind::Totp) => number
            .checked_mul(u64::from(entry.time_step))
            .ok_or_else(|| invalid("factor", "a time step after the end of time"))?,
    };
    if entry.touch {
        applet.announce_touch();
    }
    let command = ReadOne { time, names: &entry.names };
    let told = match entry.kind {
        Kind::Hotp => applet.call_once(&command),
        Kind::Totp => applet.call(&command),
    }?;
    let of = |error: Malformed| error.of(ReadOne::NAME);
    let (told, passcode) = parse_one(&applet.clear(told).map_err(of)?).map_err(of)?;
    if told.names != entry.names {
        return Err(of(Malformed::new("another record than asked for", 6)));
    }
    Ok((told, passcode))
}

/// Writes a record: protected if the PIN was verified, sealed otherwise.
fn write_record(applet: &mut Applet<'_>, clear: &[u8], state: &mut SlotState) -> Result<(), Error> {
    let data = if applet.is_verified() { applet.protect(clear)? } else { seal(applet, &RECORD_IV, clear)? };
    *state = SlotState::Unknown;
    applet.call_once(&WriteSeed { data: &data })
}

/// Writes the button's slot. What it would be protected with under a PIN is not known.
fn write_button(applet: &mut Applet<'_>, clear: &[u8], state: &mut SlotState) -> Result<(), Error> {
    if applet.is_verified() {
        let needs = "no OTP PIN to be set".to_owned();
        return Err(Error::Unsupported { what: "writing the button's slot", needs });
    }
    let data = seal(applet, &BUTTON_IV, clear)?;
    *state = SlotState::Unknown;
    applet.call_once(&WriteHotpSeed { data: &data })
}

fn erase_button(applet: &mut Applet<'_>) -> Result<(), Error> {
    write_button(applet, &[0x00, 0x00], &mut SlotState::Unchanged)
}

fn seal(applet: &mut Applet<'_>, iv: &[u8; 16], clear: &[u8]) -> Result<Vec<u8>, Error> {
    let point = applet.call(&GetEcdhPubkey)?;
    Agreement::new()?.seal(&point, iv, clear).map_err(|error| error.of(GetEcdhPubkey::NAME))
}

/// `Ok` if a write was refused because there is no such record.
fn not_found(error: Error) -> Result<(), Error> {
    match error {
        Error::Refused { status, .. } if is_not_found(StatusWord(status)) => Ok(()),
        error => Err(error),
    }
}

/// Whether the key said no before it changed anything.
fn is_clean_refusal(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => StatusWord(*status).is_clean_refusal(),
        Error::Full | Error::Locked | Error::TouchTimedOut | Error::Unsupported { .. } => true,
        _ => false,
    }
}

fn invalid(field: &'static str, problem: &str) -> Error {
    Error::Invalid { field, problem: problem.to_owned() }
}
