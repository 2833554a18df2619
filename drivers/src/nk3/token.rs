//! An open secrets app as a [`Token`].
//!
//! What is known of entries is remembered: LIST tells kind and (from 4.11) touch, `program` and CALCULATE the length of
//! passcodes. Entries that are encrypted with the PIN are seen once, when `unlock` proves it, and stay listed for as
//! long as the PIN is kept: seeing them again would take a touch each time.

use super::commands::{
    Calculate, ChangePin, Delete, List, PinState, Reset, Select, Selected, SetPin, VerifyPin,
};
use super::entry::{self, Entry, invalid, slot_name};
use super::features::Features;
use super::wire::{Session, Touch, Wire, visit};
use crate::error::{Error, ProgramError, SlotState};
use crate::token::{
    Attendant, Kind, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token, TokenInfo,
    Unattended,
};

/// Longest PIN: the app takes 128 bytes, but this is the longest whose length all its parsers read alike.
const MAX_PIN: usize = 127;

pub(super) struct SecretsToken {
    wire: Wire,
    info: TokenInfo,
    memory: Memory,
}

/// What is known of the key between two calls.
pub(super) struct Memory {
    pub(super) features: Features,
    /// As SELECT told last.
    pub(super) pin_state: PinState,
    /// The PIN, once it was proven.
    pub(super) pin: Option<LockCode>,
    /// The entries as last seen.
    pub(super) known: Vec<Entry>,
}

impl SecretsToken {
    pub(super) fn new(wire: Wire, info: TokenInfo, features: Features, pin_state: PinState) -> Self {
        Self { wire, info, memory: Memory { features, pin_state, pin: None, known: Vec::new() } }
    }

    /// Goes to the app and works; `select` if it matters how the PIN stands now.
    fn visit<T>(
        &mut self,
        attendant: &dyn Attendant,
        select: bool,
        mut work: impl FnMut(&mut Session<'_>, &mut Memory) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { wire, memory, .. } = self;
        let result = visit(wire, attendant, select, |session, selected| {
            if let Some(selected) = selected {
                memory.learn(selected);
            }
            work(session, memory)
        });
        if matches!(result, Err(Error::WrongLockCode { .. } | Error::Blocked { .. })) {
            // Somebody changed the PIN: presenting the old one again would cost another attempt.
            memory.forget_pin();
        }
        result
    }
}

impl Memory {
    fn learn(&mut self, selected: Selected) {
        self.pin_state = selected.pin;
        if selected.pin == PinState::Unset {
            self.forget_pin();
        }
    }

    fn forget_pin(&mut self) {
        self.pin = None;
        self.known.retain(|entry| !entry.is_encrypted());
    }

    /// The entry in a slot, if it is known.
    pub(super) fn find(&self, slot: &str) -> Option<&Entry> {
        entry::find(slot, &self.known)
    }

    /// The entry that is stored under exactly this name, if it is known.
    pub(super) fn stored(&self, name: &str) -> Option<&Entry> {
        self.known.iter().find(|entry| entry.name == name.as_bytes())
    }

    /// What it means that an entry is not known: it is not there, or cannot be seen without the PIN.
    pub(super) fn missing(&self, slot: &str) -> Error {
        match (self.pin_state, &self.pin) {
            (PinState::Set { .. }, None) => Error::Locked,
            _ => Error::SlotEmpty { slot: slot.to_owned() },
        }
    }

    /// Lists the entries that can be seen without the PIN; those seen with it stay.
    pub(super) fn look(&mut self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut entries = self.list(session)?;
        let encrypted = self.known.iter().filter(|entry| entry.is_encrypted());
        let hidden = encrypted.filter(|old| entries.iter().all(|entry| entry.name != old.name)).cloned();
        let hidden: Vec<Entry> = hidden.collect();
        for entry in &mut entries {
            // Whatever is seen now is not encrypted.
            entry.pin = Some(false);
        }
        entries.extend(hidden);
        self.remember(entries);
        Ok(())
    }

    /// Lists all entries, right after the PIN was verified.
    pub(super) fn look_with_pin(&mut self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut entries = self.list(session)?;
        for entry in &mut entries {
            // Before 4.11 it is not told: what was not seen without the PIN is encrypted.
            let seen = self.known.iter().any(|old| old.name == entry.name && !old.is_encrypted());
            entry.pin = entry.pin.or(Some(!seen));
        }
        self.remember(entries);
        Ok(())
    }

    fn list(&self, session: &mut Session<'_>) -> Result<Vec<Entry>, Error> {
        let listed = match self.features.properties() {
            true => session.call(&List::<true>, Touch::Never),
            false => session.call(&List::<false>, Touch::Never),
        };
        match listed.map_err(Error::from) {
            // Where nothing was ever written, there is no folder to list.
            Err(Error::Refused { status: 0x6A88, .. }) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Takes what was listed; what LIST does not tell of an entry that is still the same stays known.
    fn remember(&mut self, mut entries: Vec<Entry>) {
        for entry in &mut entries {
            let same = |old: &&Entry| old.name == entry.name && old.kind == entry.kind;
            if let Some(old) = self.known.iter().find(same) {
                entry.digits = old.digits;
                entry.touch = entry.touch.or(old.touch);
            }
        }
        self.known = entries;
    }

    /// Presents the PIN, so that the next command sees what is encrypted with it.
    ///
    /// # Errors
    /// [`Error::Locked`] without one, [`Error::WrongLockCode`] if it is refused.
    pub(super) fn verify(&self, session: &mut Session<'_>) -> Result<(), Error> {
        let pin = self.pin.as_ref().ok_or(Error::Locked)?;
        prove(session, pin.expose())
    }
}

/// Sends VERIFY PIN, once. If it is refused, SELECT tells how many attempts are left.
fn prove(session: &mut Session<'_>, pin: &[u8]) -> Result<(), Error> {
    let verified = session.call_once(&VerifyPin(pin), Touch::Maybe).map_err(Error::from);
    verified.map_err(|error| with_attempts(session, error))
}

fn with_attempts(session: &mut Session<'_>, error: Error) -> Error {
    let Error::WrongLockCode { .. } = error else { return error };
    let attempts_left = match session.call(&Select, Touch::Never) {
        Ok(Selected { pin: PinState::Set { attempts }, .. }) => attempts,
        _ => None,
    };
    Error::WrongLockCode { attempts_left }
}

fn check_pin(code: &LockCode) -> Result<&[u8], Error> {
    let pin = code.expose();
    if (1..=MAX_PIN).contains(&pin.len()) {
        Ok(pin)
    } else {
        Err(invalid("code", "a PIN has 1 to 127 bytes"))
    }
}

/// A blocked PIN is refused like a wrong one, so it is not even tried.
fn check_blocked(state: PinState) -> Result<(), Error> {
    match state {
        PinState::Set { attempts: Some(0) } => Err(Error::Blocked {
            way_out: "a reset of the secrets app erases it, and everything else in the app",
        }),
        _ => Ok(()),
    }
}

impl Token for SecretsToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        self.memory.forget_pin();
        let pin = check_pin(code)?;
        self.visit(&Unattended, true, |session, memory| {
            if memory.pin_state == PinState::Unset {
                return Ok(());
            }
            check_blocked(memory.pin_state)?;
            if !memory.features.properties() {
                memory.look(session)?;
            }
            prove(session, pin)?;
            memory.pin = Some(code.clone());
            memory.look_with_pin(session)
        })
    }

    fn forget_code(&mut self) {
        self.memory.forget_pin();
    }

    fn unlocks_by_touch(&self) -> bool {
        self.memory.pin_state != PinState::Unset
    }

    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error> {
        let Some(code) = code else {
            return Err(Error::Unsupported {
                what: "a key without its PIN again",
                needs: "a reset, which erases everything".to_owned(),
            });
        };
        let new = check_pin(code)?;
        self.visit(&Unattended, true, |session, memory| {
            let set = match memory.pin_state {
                PinState::Unset => session.call_once(&SetPin(new), Touch::Maybe).map_err(Error::from),
                PinState::Set { .. } => {
                    let old = memory.pin.take().ok_or(Error::Locked)?;
                    check_blocked(memory.pin_state)?;
                    let changed = session.call_once(&ChangePin { old: old.expose(), new }, Touch::Maybe);
                    if changed.as_ref().is_err_and(|failure| !failure.carried_out) {
                        memory.pin = Some(old);
                    }
                    changed.map_err(|failure| with_attempts(session, failure.source))
                }
            };
            set?;
            memory.pin_state = PinState::Set { attempts: None };
            memory.pin = Some(code.clone());
            Ok(())
        })
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        self.visit(&Unattended, false, |session, memory| {
            memory.look(session)?;
            let slots = memory.known.iter().filter(|entry| entry.kind.is_some());
            Ok(slots
                .map(|entry| SlotInfo {
                    slot: SlotId::Name(entry.address()),
                    in_use: true,
                    kind: entry.kind,
                    algorithm: entry.algorithm,
                    digits: entry.digits,
                    time_step: None,
                    touch: entry.touch,
                })
                .collect())
        })
    }

    fn program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        let mut state = SlotState::Unchanged;
        let capabilities = self.info.capabilities.clone();
        super::program::Order::check(slot, config, &capabilities)
            .and_then(|order| {
                self.visit(attendant, false, |session, memory| order.carry_out(session, memory, &mut state))
            })
            .map_err(|source| ProgramError { slot: state, source })
    }

    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        let slot = slot_name(slot)?;
        self.visit(attendant, false, |session, memory| {
            memory.look(session)?;
            let entry = memory.find(slot).cloned().ok_or_else(|| memory.missing(slot))?;
            entry.check_loss()?;
            if entry.is_encrypted() {
                memory.verify(session)?;
            }
            let touch = Touch::maybe(memory.features.touch_to_delete());
            session.call_once(&Delete { name: &entry.name }, touch).map_err(|failure| failure.source)?;
            memory.known.retain(|other| other.name != entry.name);
            Ok(())
        })
    }

    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        let slot = slot_name(slot)?;
        self.visit(attendant, false, |session, memory| {
            let mut looked = false;
            loop {
                let entry = memory.find(slot).cloned();
                let result = entry.map(|entry| calculate(session, memory, &entry, factor));
                match result {
                    // It may be there by now, or be gone.
                    None | Some(Err(Error::SlotEmpty { .. })) if !looked => {
                        memory.look(session)?;
                        looked = true;
                    }
                    None | Some(Err(Error::SlotEmpty { .. })) => return Err(memory.missing(slot)),
                    Some(result) => return result,
                }
            }
        })
    }

    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        self.visit(attendant, false, |session, memory| {
            session.call_once(&Reset, Touch::Maybe)?;
            memory.pin_state = PinState::Unset;
            memory.pin = None;
            memory.known.clear();
            Ok(())
        })
    }
}

fn calculate(
    session: &mut Session<'_>,
    memory: &mut Memory,
    entry: &Entry,
    factor: MovingFactor,
) -> Result<Passcode, Error> {
    let step = match (factor, entry.check_kind()?) {
        (MovingFactor::OnToken, Kind::Hotp) => 0,
        (MovingFactor::TimeStep(step), Kind::Totp) => step,
        (MovingFactor::OnToken, Kind::Totp) => {
            return Err(invalid("factor", "a TOTP credential needs the number of the time step"));
        }
        (MovingFactor::TimeStep(_), Kind::Hotp) => {
            return Err(invalid("factor", "an HOTP credential counts by itself"));
        }
    };
    if entry.is_encrypted() {
        memory.verify(session)?;
    }
    // Who presents the PIN is not asked for another touch.
    let touch = Touch::maybe(entry.touch != Some(false) && !entry.is_encrypted());
    let command = Calculate { name: &entry.name, step };
    let truncated = match factor {
        MovingFactor::OnToken => session.call_once(&command, touch),
        MovingFactor::TimeStep(_) => session.call(&command, touch),
    };
    let truncated = truncated.map_err(|failure| {
        if !failure.carried_out {
            session.nothing_happened();
        }
        failure.source
    })?;
    if let Some(known) = memory.known.iter_mut().find(|known| known.name == entry.name) {
        known.digits = Some(truncated.digits);
    }
    Ok(Passcode::new(truncated.passcode()))
}
