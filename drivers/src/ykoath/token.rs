//! An open OATH applet as a [`Token`].
//!
//! What changes the card looks first: `program` and `erase` list the credentials in the same transaction, so
//! that a slot name means what is there now. What only computes trusts the memory of earlier calls, and looks
//! again when the card knows better.
//!
//! Whether a credential wants a touch is told by CALCULATE ALL for TOTP, and by nothing for HOTP. So it is
//! remembered from `program`, learnt by CALCULATE ALL otherwise, and for an HOTP credential that this session
//! did not write the attendant is told that a touch *may* be needed: a needless prompt vanishes at once, a
//! missing one leaves somebody waiting without a hint.

use super::access::{AccessKey, SetCode};
use super::calculate::{Calculate, CalculateAll};
use super::commands::{Delete, List, Put, Reset, Select};
use super::credential::Written;
use super::features::{Emptying, Features};
use super::name::{self, Entry, invalid};
use super::session::{Applet, random_challenge, visit};
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed};
use crate::token::{
    Attendant, Kind, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token, TokenInfo,
    Unattended,
};
use crate::transport::{CardConnection, Interface};

pub(super) struct OathToken {
    connection: Box<dyn CardConnection>,
    info: TokenInfo,
    features: Features,
    /// Salt of the access key, as told when the token was opened.
    id: [u8; 8],
    key: Option<AccessKey>,
    /// The credentials as last seen, with what is remembered of them.
    known: Vec<Entry>,
}

impl OathToken {
    pub(super) fn new(
        connection: Box<dyn CardConnection>,
        info: TokenInfo,
        features: Features,
        id: [u8; 8],
    ) -> Self {
        Self { connection, info, features, id, key: None, known: Vec::new() }
    }

    /// Selects the applet, answers for the access code, works.
    fn visit<T>(
        &mut self,
        attendant: &dyn Attendant,
        mut work: impl FnMut(&mut Applet<'_>, &mut Vec<Entry>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { connection, info, features, key, known, .. } = self;
        let result = visit(connection.as_mut(), attendant, Some(*features), |applet| {
            // Another program may have set or removed the code.
            info.locked = applet.selected.challenge.is_some();
            applet.open(key.as_ref(), *features)?;
            work(applet, known)
        });
        if matches!(result, Err(Error::WrongLockCode { .. })) {
            // Somebody changed the code: presenting the old one again would be pointless.
            self.key = None;
        }
        result.map_err(|error| self.explain(error))
    }

    /// A FIPS key says over NFC that its conditions of use are not satisfied, and means a secure channel.
    fn explain(&self, error: Error) -> Error {
        let by_nfc = self.connection.interface() == Interface::Contactless;
        match error {
            Error::Refused { status: 0x6985, .. } if self.features.needs_code() && by_nfc => {
                let needs = "a secure channel (SCP), which this driver does not speak, or USB".to_owned();
                Error::Unsupported { what: "this over NFC", needs }
            }
            error => error,
        }
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        let slot = name::slot_name(slot)?;
        let written = Written::check(slot, config, &self.info, self.features)?;
        let features = self.features;
        self.visit(attendant, |applet, known| {
            check_code(applet, features)?;
            look(applet, known)?;
            let plan = name::plan(slot, written.kind, &written.stored, known)?;
            check_overwrite(features, &plan.stored, known)?;
            let emptied = features.never_overwrites() && known.iter().any(|old| old.stored == plan.stored);
            if emptied {
                *state = SlotState::Unknown;
                applet.call_once(&Delete { name: &plan.stored }).inspect_err(|error| {
                    if is_clean_refusal(error) {
                        *state = SlotState::Unchanged;
                    }
                })?;
                known.retain(|entry| entry.stored != plan.stored);
            }
            let put = Put {
                name: &plan.stored,
                kind: written.kind,
                algorithm: config.algorithm,
                digits: config.digits,
                secret: &written.key,
                touch: config.touch,
                imf: written.imf,
                in_full: features.reads_past_the_end(),
            };
            *state = SlotState::Unknown;
            if let Err(error) = applet.call_once(&put) {
                if is_clean_refusal(&error) && !emptied && !may_have_torn(features, &error) {
                    *state = SlotState::Unchanged;
                }
                return Err(match error {
                    Error::Refused { status: 0x6F00, .. } if features.says_full_as_6f00() => Error::Full,
                    error => error,
                });
            }
            known.retain(|entry| entry.stored != plan.stored);
            known.push(Entry {
                stored: plan.stored.clone(),
                kind: Some(written.kind),
                algorithm: Some(config.algorithm),
                digits: Some(config.digits),
                touch: Some(config.touch),
            });
            for old in &plan.remove {
                applet.call_once(&Delete { name: old })?;
                known.retain(|entry| entry.stored != *old);
            }
            Ok(())
        })
    }
}

impl Token for OathToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        self.key = None;
        let Self { connection, features, .. } = self;
        let key = visit(connection.as_mut(), &Unattended, Some(*features), |applet| {
            let (Some(id), Some(_)) = (applet.selected.id, &applet.selected.challenge) else {
                return Ok(None);
            };
            let key = AccessKey::derive(code.expose(), id);
            applet.open(Some(&key), *features)?;
            Ok(Some(key))
        })?;
        self.info.locked = key.is_some();
        self.key = key;
        Ok(())
    }

    fn forget_code(&mut self) {
        self.key = None;
    }

    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error> {
        if code.is_some_and(|code| code.expose().is_empty()) {
            return Err(invalid("code", "it is empty; no code at all removes it"));
        }
        if code.is_none() && self.features.needs_code() {
            return Err(Error::Unsupported {
                what: "removing the access code",
                needs: "a YubiKey that is no FIPS one: this can only change it".to_owned(),
            });
        }
        let known_id = self.id;
        let key = self.visit(&Unattended, |applet, _| {
            let id = certain_id(applet, known_id)?;
            let key = code.map(|code| AccessKey::derive(code.expose(), id));
            let challenge = random_challenge()?;
            applet.call_once(&SetCode { key: key.as_ref(), challenge })?;
            Ok(key)
        })?;
        self.info.locked = key.is_some();
        self.key = key;
        Ok(())
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        self.visit(&Unattended, |applet, known| {
            look(applet, known)?;
            if !known.is_empty() {
                match applet.call(&CalculateAll) {
                    Ok(told) => learn(known, told),
                    Err(error @ (Error::Transport(_) | Error::Cancelled)) => return Err(error),
                    // An increasing-only credential of another program makes the card refuse; digits and
                    // touch then stay untold.
                    Err(_) => {}
                }
            }
            Ok(known
                .iter()
                .map(|entry| SlotInfo {
                    slot: SlotId::Name(name::address(entry, known)),
                    in_use: true,
                    kind: entry.kind,
                    algorithm: entry.algorithm,
                    digits: entry.digits,
                    time_step: entry.time_step(),
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
        self.try_program(slot, config, attendant, &mut state)
            .map_err(|source| ProgramError { slot: state, source })
    }

    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        let slot = name::slot_name(slot)?;
        self.visit(attendant, |applet, known| {
            look(applet, known)?;
            let doomed: Vec<_> =
                name::members(slot, known).into_iter().map(|entry| entry.stored.clone()).collect();
            if doomed.is_empty() {
                return Err(Error::SlotEmpty { slot: slot.to_owned() });
            }
            for stored in doomed {
                applet.call_once(&Delete { name: &stored }).map_err(|error| named(error, slot))?;
                known.retain(|entry| entry.stored != stored);
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
        let slot = name::slot_name(slot)?;
        let touchable = self.features.touch();
        self.visit(attendant, |applet, known| {
            let mut looked = false;
            if !name::find(slot, known).is_ok_and(|entry| entry.tells_enough(touchable)) {
                look_for_touch(applet, known, touchable)?;
                looked = true;
            }
            loop {
                match calculate(applet, slot, known, factor, touchable) {
                    Err(Error::SlotEmpty { .. }) if !looked => {
                        look_for_touch(applet, known, touchable)?;
                        looked = true;
                    }
                    result => return result,
                }
            }
        })
    }

    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        match self.features.emptying() {
            Emptying::Reset => {
                let Self { connection, features, .. } = self;
                // Whoever holds the key may empty it.
                visit(connection.as_mut(), attendant, Some(*features), |applet| applet.call_once(&Reset))?;
            }
            Emptying::ResetWhenUnlocked => self.visit(attendant, |applet, _| applet.call_once(&Reset))?,
            Emptying::OneByOne => self.visit(attendant, delete_all)?,
        }
        self.key = None;
        self.known.clear();
        self.info.locked = false;
        Ok(())
    }
}

impl Entry {
    /// Whether one can calculate without looking at the card first.
    fn tells_enough(&self, touchable: bool) -> bool {
        self.touch.is_some() || !touchable || self.kind == Some(Kind::Hotp)
    }
}

/// The salt for a new access key. One misread byte in it would lock everybody out for good, so it has to be the
/// one known from before, or proven by VALIDATE, or (another program has reset the applet) told twice.
fn certain_id(applet: &mut Applet<'_>, known: [u8; 8]) -> Result<[u8; 8], Error> {
    match applet.selected.id {
        Some(id) if id == known || applet.selected.challenge.is_some() => Ok(id),
        first => match applet.call(&Select)?.id {
            Some(id) if first == Some(id) => Ok(id),
            _ => Err(Malformed::new("another id than before", 5).of(Select::NAME)),
        },
    }
}

/// Deletes every credential, then the access code.
fn delete_all(applet: &mut Applet<'_>, known: &mut Vec<Entry>) -> Result<(), Error> {
    look(applet, known)?;
    while let Some(entry) = known.last() {
        applet.call_once(&Delete { name: &entry.stored })?;
        known.pop();
    }
    if applet.selected.challenge.is_some() {
        applet.call_once(&SetCode { key: None, challenge: [0; 8] })?;
    }
    Ok(())
}

/// Lists the credentials; what is remembered of one that is still there stays.
fn look(applet: &mut Applet<'_>, known: &mut Vec<Entry>) -> Result<(), Error> {
    let mut entries = applet.call(&List)?;
    for entry in &mut entries {
        let same = |old: &&Entry| old.stored == entry.stored && old.kind == entry.kind;
        if let Some(old) = known.iter().find(same) {
            entry.digits = old.digits;
            entry.touch = old.touch;
        }
    }
    *known = entries;
    Ok(())
}

/// Looks the credentials up with the one command that tells of touch as well, where touch exists.
fn look_for_touch(applet: &mut Applet<'_>, known: &mut Vec<Entry>, touchable: bool) -> Result<(), Error> {
    if !touchable {
        return look(applet, known);
    }
    match applet.call(&CalculateAll) {
        Ok(told) => {
            known.retain(|entry| told.iter().any(|told| told.stored == entry.stored));
            learn(known, told);
            Ok(())
        }
        Err(error @ (Error::Transport(_) | Error::Cancelled)) => Err(error),
        Err(_) => look(applet, known),
    }
}

/// Adds what CALCULATE ALL told.
fn learn(known: &mut Vec<Entry>, told: Vec<Entry>) {
    for told in told {
        match known.iter_mut().find(|entry| entry.stored == told.stored) {
            Some(entry) => {
                entry.kind = told.kind.or(entry.kind);
                entry.digits = told.digits.or(entry.digits);
                entry.touch = told.touch.or(entry.touch);
            }
            None => known.push(told),
        }
    }
}

/// Puts the slot's own name into an error that has the stored one.
fn named(error: Error, slot: &str) -> Error {
    match error {
        Error::SlotEmpty { .. } => Error::SlotEmpty { slot: slot.to_owned() },
        error => error,
    }
}

fn calculate(
    applet: &mut Applet<'_>,
    slot: &str,
    known: &[Entry],
    factor: MovingFactor,
    touchable: bool,
) -> Result<Passcode, Error> {
    let entry = name::find(slot, known)?;
    let step;
    let challenge = match (factor, entry.kind) {
        (MovingFactor::OnToken, Some(Kind::Totp)) => {
            return Err(invalid("factor", "a TOTP credential needs the number of the time step"));
        }
        (MovingFactor::TimeStep(_), Some(Kind::Hotp)) => {
            return Err(invalid("factor", "an HOTP credential counts by itself"));
        }
        (MovingFactor::OnToken, _) => &[][..],
        (MovingFactor::TimeStep(number), _) => {
            step = number.to_be_bytes();
            &step[..]
        }
    };
    let may_touch = touchable && entry.touch != Some(false);
    if may_touch {
        applet.announce_touch();
    }
    let command = Calculate { name: &entry.stored, challenge };
    let result = match factor {
        MovingFactor::OnToken => applet.call_once(&command),
        MovingFactor::TimeStep(_) => applet.call(&command),
    };
    match result {
        Ok(truncated) => Ok(Passcode::new(truncated.passcode())),
        // The access code is not in the way, so this is the other thing that the card says so.
        Err(Error::Refused { status, .. }) if may_touch && StatusWord(status) == StatusWord::SECURITY => {
            Err(Error::TouchTimedOut)
        }
        Err(error) => Err(named(error, slot)),
    }
}

/// Whether the card said no before it changed anything.
fn is_clean_refusal(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => StatusWord(*status).is_clean_refusal(),
        Error::Full | Error::Locked => true,
        // call_once asks before it sends.
        Error::Cancelled => true,
        _ => false,
    }
}

/// Whether a refusal may have come after the applet had switched off the credential that was to be replaced.
fn may_have_torn(features: Features, error: &Error) -> bool {
    features.reads_past_the_end() && matches!(error, Error::Refused { status: 0x6A80, .. })
}

/// A FIPS key refuses credentials until it has an access code.
fn check_code(applet: &Applet<'_>, features: Features) -> Result<(), Error> {
    if features.needs_code() && applet.selected.challenge.is_none() {
        return Err(Error::Unsupported {
            what: "a credential without an access code",
            needs: "that the access code be set first, for this is a FIPS key".to_owned(),
        });
    }
    Ok(())
}

fn check_overwrite(features: Features, stored: &[u8], known: &[Entry]) -> Result<(), Error> {
    let overwrites = known.iter().any(|entry| entry.stored == stored);
    let begins_another =
        known.iter().any(|entry| entry.stored.len() > stored.len() && entry.stored.starts_with(stored));
    if features.overwrite_harms_longer_names() && overwrites && begins_another {
        return Err(Error::Unsupported {
            what: "overwriting a credential whose name begins another one's",
            needs: "firmware 4.3.5, or erasing it first".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_from_checking_is_a_clean_refusal() {
        let refused = |status| Error::Refused { command: "PUT", status, meaning: "" };
        assert!(is_clean_refusal(&refused(0x6A80)));
        assert!(is_clean_refusal(&Error::Full));
        assert!(!is_clean_refusal(&refused(0x6581)));
        assert!(!is_clean_refusal(&refused(0x6F00)));
        assert!(!is_clean_refusal(&Error::Malformed { command: "PUT", what: "", offset: 0 }));
    }
}
