//! An open key as a [`Token`].
//!
//! What a key lists is remembered, since it wants to be asked by the name it stores. Digits and touch are not in the
//! list: they are known of what this session wrote, and otherwise the attendant is told that a touch may be needed.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Layout;
use super::commands::{Calculate, Delete, GetDefault, HYPERFIDO_SECRET, List, Listed, Put, Reset};
use super::name::{self, TIME_STEPS};
use super::session::{Applet, Wire, visit};
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::status::StatusWord;
use crate::token::{
    Algorithm, Attendant, FactorConfig, Kind, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo,
    Token, TokenInfo, Unattended,
};

/// Block length of SHA-1 and SHA-256: an HMAC key that is longer is hashed first (RFC 2104 §2).
const BLOCK: usize = 64;

/// One credential as the key tells of it, and what else is known of it.
#[derive(Clone, Debug)]
struct Entry {
    /// Slot counted from 0; `None` if it goes by name.
    slot: Option<u8>,
    listed: Listed,
    digits: Option<u8>,
    touch: Option<bool>,
}

/// Where a credential is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Counted from 0.
    Slot(u8),
    /// What is stored, without a time step.
    Name(Vec<u8>),
}

impl Place {
    fn slot(&self) -> Option<u8> {
        match self {
            Self::Slot(slot) => Some(*slot),
            Self::Name(_) => None,
        }
    }

    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Self::Slot(slot) => entry.slot == Some(*slot),
            Self::Name(name) => {
                entry.slot.is_none() && name::split(entry.listed.kind, &entry.listed.stored).1 == name
            }
        }
    }
}

pub(super) struct FeitianToken {
    wire: Wire,
    info: TokenInfo,
    layout: Layout,
    /// The credentials as last seen.
    known: Vec<Entry>,
}

/// What programming writes, checked.
struct Written {
    kind: Kind,
    stored: Vec<u8>,
    secret: Zeroizing<Vec<u8>>,
    touch: Option<u8>,
    counter: Option<u32>,
}

impl FeitianToken {
    pub(super) fn new(wire: Wire, info: TokenInfo, layout: Layout) -> Self {
        Self { wire, info, layout, known: Vec::new() }
    }

    fn visit<T>(
        &mut self,
        attendant: &dyn Attendant,
        mut work: impl FnMut(&mut Applet<'_>, &mut Vec<Entry>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { wire, known, .. } = self;
        let result = visit(wire, attendant, |applet| work(applet, known));
        if matches!(result, Err(Error::Locked)) {
            self.info.locked = true;
        }
        result
    }

    fn place(&self, slot: &SlotId) -> Result<Place, Error> {
        match (self.layout, slot) {
            (Layout::Names, SlotId::Name(name)) => {
                // Checks the name as well, with the longer of its forms.
                name::stored(name, None)?;
                Ok(Place::Name(name::of_slot(name)))
            }
            (Layout::Names, SlotId::Index(_)) => {
                Err(invalid("slot", "the slots of this token have names, not numbers"))
            }
            (_, SlotId::Index(number)) if (1..=self.layout.slots()).contains(number) => {
                Ok(Place::Slot(number - 1))
            }
            (Layout::OneSlot, _) => Err(invalid("slot", "this token has slot 1 only")),
            (_, _) => Err(invalid("slot", "this token has slots 1 and 2")),
        }
    }

    fn check(&self, slot: &SlotId, config: &SlotConfig) -> Result<Written, Error> {
        let (kind, counter, time_step) = match config.factor {
            FactorConfig::Hotp { counter } => (Kind::Hotp, counter, None),
            FactorConfig::Totp { .. } if !self.info.capabilities.totp => {
                return Err(unsupported("TOTP", "a key that its host can ask"));
            }
            FactorConfig::Totp { time_step } if TIME_STEPS.contains(&time_step) => {
                (Kind::Totp, 0, Some(time_step))
            }
            FactorConfig::Totp { .. } => return Err(invalid("time_step", "the token has 30 and 60 seconds")),
        };
        if !self.info.capabilities.digits.contains(&config.digits) {
            return Err(invalid("digits", "the token makes passcodes of 6 or 8 digits"));
        }
        if !self.info.capabilities.algorithms.contains(&config.algorithm) {
            let needs = if self.layout == Layout::OneSlot { "SHA-1" } else { "SHA-1 or SHA-256" };
            return Err(unsupported("this hash function", needs));
        }
        if config.touch && !self.info.capabilities.touch {
            return Err(unsupported("a choice about touch", "nothing; this key is always touched"));
        }
        // Recorded with two slots only; what no client writes is not tried.
        let counter = match self.layout {
            Layout::TwoSlots => Some(u32::try_from(counter).map_err(|_| Error::Invalid {
                field: "counter",
                problem: format!("the token starts at {} at most", u32::MAX),
            })?),
            _ if counter == 0 => None,
            _ => return Err(invalid("counter", "the token starts at 0")),
        };
        let stored = match (self.layout, slot) {
            (Layout::Names, SlotId::Name(name)) => name::stored(name, time_step)?,
            (Layout::OneSlot, _) => name::hyperfido(config.label.as_deref()),
            (_, SlotId::Index(number)) => name::label(config.label.as_deref(), *number, time_step),
            (_, SlotId::Name(_)) => return Err(invalid("slot", "this token has slots 1 and 2")),
        };
        let touch = config.touch.then_some(if self.layout == Layout::Names { 0x01 } else { 0x5C });
        Ok(Written { kind, stored, secret: self.secret(config)?, touch, counter })
    }

    /// The secret as the key takes it; the HMAC is the same.
    fn secret(&self, config: &SlotConfig) -> Result<Zeroizing<Vec<u8>>, Error> {
        let secret = config.secret.expose();
        if secret.is_empty() {
            return Err(invalid("secret", "it is empty"));
        }
        let mut key = Zeroizing::new(match config.algorithm {
            _ if secret.len() <= BLOCK => secret.to_vec(),
            Algorithm::Sha1 => Sha1::digest(secret).to_vec(),
            Algorithm::Sha256 | Algorithm::Sha512 => Sha256::digest(secret).to_vec(),
        });
        if self.layout == Layout::OneSlot {
            if key.len() > HYPERFIDO_SECRET {
                return Err(invalid("secret", "the token holds 20 bytes"));
            }
            // HMAC fills a short key up with zeros anyway.
            key.resize(HYPERFIDO_SECRET, 0);
        }
        Ok(key)
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        let place = self.place(slot)?;
        let written = self.check(slot, config)?;
        let layout = self.layout;
        self.visit(attendant, |applet, known| {
            if layout == Layout::Names {
                look(applet, layout, None, known)?;
            }
            let p2 = layout.p2(place.slot().unwrap_or_default());
            let put = Put {
                p2,
                name: &written.stored,
                kind: written.kind,
                algorithm: config.algorithm,
                digits: config.digits,
                secret: &written.secret,
                touch: written.touch,
                counter: written.counter,
            };
            applet.announce_touch();
            *state = SlotState::Unknown;
            if let Err(error) = applet.call_once(&put) {
                if is_clean_refusal(&error) || applet.was_never_carried_out() {
                    *state = SlotState::Unchanged;
                }
                return Err(error);
            }
            let replaced: Vec<Vec<u8>> = known
                .iter()
                .filter(|entry| place.holds(entry) && entry.listed.stored != written.stored)
                .map(|entry| entry.listed.stored.clone())
                .collect();
            known.retain(|entry| !place.holds(entry));
            known.push(Entry {
                slot: place.slot(),
                listed: Listed {
                    stored: written.stored.clone(),
                    kind: Some(written.kind),
                    algorithm: Some(config.algorithm),
                },
                digits: Some(config.digits),
                touch: Some(config.touch),
            });
            // The same name with another time step, or of another kind. In a numbered slot PUT replaces it.
            if layout == Layout::Names {
                for name in replaced {
                    applet.announce_touch();
                    applet.call_once(&Delete { p2, name: &name })?;
                }
            }
            Ok(())
        })
    }

    fn slot_info(&self, entry: &Entry) -> SlotInfo {
        let (time_step, name) = name::split(entry.listed.kind, &entry.listed.stored);
        SlotInfo {
            slot: match entry.slot {
                Some(slot) => SlotId::Index(slot + 1),
                None => SlotId::Name(name::address(name)),
            },
            in_use: true,
            kind: entry.listed.kind,
            algorithm: entry.listed.algorithm,
            digits: entry.digits,
            time_step,
            touch: entry.touch,
        }
    }
}

impl Token for FeitianToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, _code: &LockCode) -> Result<(), Error> {
        Err(unsupported("an access code", "commands that its maker has not published"))
    }

    fn forget_code(&mut self) {}

    fn set_lock_code(&mut self, _code: Option<&LockCode>) -> Result<(), Error> {
        Err(unsupported("an access code", "commands that its maker has not published"))
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        let layout = self.layout;
        if layout == Layout::OneSlot {
            let in_use = self.visit(&Unattended, |applet, _| applet.call(&GetDefault))?;
            return Ok(vec![SlotInfo { kind: in_use.then_some(Kind::Hotp), in_use, ..nothing_in(0) }]);
        }
        self.visit(&Unattended, |applet, known| look(applet, layout, None, known))?;
        if layout == Layout::Names {
            // Several of one name are one slot, of which nothing is told but that it is in use.
            let mut slots: Vec<SlotInfo> = Vec::new();
            for info in self.known.iter().map(|entry| self.slot_info(entry)) {
                match slots.iter_mut().find(|other| other.slot == info.slot) {
                    Some(other) => *other = SlotInfo { slot: info.slot, in_use: true, ..nothing_in(0) },
                    None => slots.push(info),
                }
            }
            return Ok(slots);
        }
        let told = |slot| {
            let found = self.known.iter().find(|entry| entry.slot == Some(slot));
            found.map_or_else(|| nothing_in(slot), |entry| self.slot_info(entry))
        };
        Ok((0..layout.slots()).map(told).collect())
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
        let place = self.place(slot)?;
        let layout = self.layout;
        self.visit(attendant, |applet, known| {
            let empty = || Error::SlotEmpty { slot: slot.to_string() };
            if layout == Layout::OneSlot {
                if !applet.call(&GetDefault)? {
                    return Err(empty());
                }
                applet.announce_touch();
                return applet.call_once(&Reset);
            }
            look(applet, layout, place.slot(), known)?;
            let doomed: Vec<Vec<u8>> = known
                .iter()
                .filter(|entry| place.holds(entry))
                .map(|entry| entry.listed.stored.clone())
                .collect();
            if doomed.is_empty() {
                return Err(empty());
            }
            let p2 = layout.p2(place.slot().unwrap_or_default());
            for stored in doomed {
                applet.announce_touch();
                applet.call_once(&Delete { p2, name: &stored })?;
                known.retain(|entry| !(place.holds(entry) && entry.listed.stored == stored));
            }
            Ok(())
        })
    }

    fn calculate(
        &mut self,
        slot: &SlotId,
        factor: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        if self.layout == Layout::OneSlot {
            return Err(unsupported("a passcode for its host", "its button, which types it"));
        }
        let place = self.place(slot)?;
        let layout = self.layout;
        self.visit(attendant, |applet, known| {
            let mut looked = false;
            loop {
                if !known.iter().any(|entry| place.holds(entry)) && !looked {
                    look(applet, layout, place.slot(), known)?;
                    looked = true;
                }
                match calculate(applet, layout, &place, known, factor) {
                    // Another program has changed the name meanwhile.
                    Err(Error::SlotEmpty { .. }) if !looked => known.retain(|entry| !place.holds(entry)),
                    Err(Error::SlotEmpty { .. }) => return Err(Error::SlotEmpty { slot: slot.to_string() }),
                    result => return result,
                }
            }
        })
    }

    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        self.visit(attendant, |applet, known| {
            applet.announce_touch();
            applet.call_once(&Reset)?;
            known.clear();
            Ok(())
        })
    }
}

/// Lists one slot, or all there is; what is remembered of what is still there stays.
fn look(
    applet: &mut Applet<'_>,
    layout: Layout,
    only: Option<u8>,
    known: &mut Vec<Entry>,
) -> Result<(), Error> {
    let places: Vec<Option<u8>> = match (layout, only) {
        (Layout::Names, _) => vec![None],
        (_, Some(slot)) => vec![Some(slot)],
        (_, None) => (0..layout.slots()).map(Some).collect(),
    };
    for place in places {
        let p2 = layout.p2(place.unwrap_or_default());
        let listed = match layout {
            Layout::Names => applet.call(&List::<true> { p2 })?,
            _ => applet.call(&List::<false> { p2 })?,
        };
        let entry = |listed: Listed| {
            let old = known.iter().find(|old| old.slot == place && old.listed == listed);
            let (digits, touch) = old.map_or((None, None), |old| (old.digits, old.touch));
            Entry { slot: place, listed, digits, touch }
        };
        let entries: Vec<Entry> = listed.into_iter().map(entry).collect();
        known.retain(|entry| entry.slot != place);
        known.extend(entries);
    }
    Ok(())
}

fn calculate(
    applet: &mut Applet<'_>,
    layout: Layout,
    place: &Place,
    known: &[Entry],
    factor: MovingFactor,
) -> Result<Passcode, Error> {
    let mut found = known.iter().filter(|entry| place.holds(entry));
    let entry = found.next().ok_or(Error::SlotEmpty { slot: String::new() })?;
    if found.next().is_some() {
        return Err(invalid("slot", "it holds several credentials; write or erase it"));
    }
    let step;
    let challenge = match (factor, entry.listed.kind) {
        (MovingFactor::OnToken, Some(Kind::Hotp)) => &[][..],
        (MovingFactor::TimeStep(number), Some(Kind::Totp)) => {
            step = number.to_be_bytes();
            &step[..]
        }
        (MovingFactor::OnToken, Some(Kind::Totp)) => {
            return Err(invalid("factor", "a TOTP credential needs the number of the time step"));
        }
        (MovingFactor::TimeStep(_), Some(Kind::Hotp)) => {
            return Err(invalid("factor", "an HOTP credential counts by itself"));
        }
        (_, None) => return Err(unsupported("a passcode of this slot", "HOTP or TOTP in it")),
    };
    if entry.touch != Some(false) {
        applet.announce_touch();
    }
    let command = Calculate {
        truncate: layout == Layout::Names,
        p2: layout.p2(place.slot().unwrap_or_default()),
        challenge,
        name: &entry.listed.stored,
    };
    let truncated = match factor {
        MovingFactor::OnToken => applet.call_once(&command),
        MovingFactor::TimeStep(_) => applet.call(&command),
    }?;
    Ok(Passcode::new(truncated.passcode()))
}

/// An empty slot, counted from 0.
fn nothing_in(slot: u8) -> SlotInfo {
    SlotInfo {
        slot: SlotId::Index(slot + 1),
        in_use: false,
        kind: None,
        algorithm: None,
        digits: None,
        time_step: None,
        touch: None,
    }
}

/// Whether the key said no before it changed anything.
fn is_clean_refusal(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => StatusWord(*status).is_clean_refusal(),
        Error::Full | Error::Locked | Error::TouchTimedOut => true,
        _ => false,
    }
}

fn invalid(field: &'static str, problem: &str) -> Error {
    Error::Invalid { field, problem: problem.to_owned() }
}

fn unsupported(what: &'static str, needs: &str) -> Error {
    Error::Unsupported { what, needs: needs.to_owned() }
}
