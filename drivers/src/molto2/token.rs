//! The Molto2 as a [`Token`].
//!
//! Each call that writes proves again that it knows the customer key: two exchanges, and no other program that used
//! the token in between can be in the way. Three commands ask for no key at all, deletion among them; that is the
//! token's way.
//!
//! A profile is written title first, then parameters and clock, then the secret. So whatever goes wrong before the
//! parameters leaves the credential as it was.

use std::time::Duration;

use super::commands::{
    Clock, Config, DeleteSeed, FactoryReset, GetProfile, NewKey, Profile, Seed, Title, wrong_key,
};
use super::customer_key::CustomerKey;
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::status::StatusWord;
use crate::token::{
    Attendant, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token, TokenInfo, Unattended,
    UnixTime,
};
use crate::token2_wire::{
    Cipher, GetChallenge, Parameters, Secured, Session, clock, hmac_key, invalid, unsupported, visit,
};
use crate::transport::CardConnection;

/// Most bytes of a title.
const MAX_TITLE: usize = 12;

/// How often a token that asks for its button is looked at. The maker's own program does the same.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often at most: a minute in all.
const LOOKS: u32 = 30;

/// The profile that tokens are sold with: it may be there again after a reset.
const FACTORY_PROFILE: (u8, &[u8]) = (0, b"Token2");

pub(super) struct Molto2Token {
    connection: Box<dyn CardConnection>,
    info: TokenInfo,
    last_profile: u8,
    key: Option<Cipher>,
}

impl Molto2Token {
    pub(super) fn new(connection: Box<dyn CardConnection>, info: TokenInfo, last_profile: u8) -> Self {
        Self { connection, info, last_profile, key: None }
    }

    fn profile(&self, slot: &SlotId) -> Result<u8, Error> {
        let number = match slot {
            SlotId::Index(number) => Some(*number),
            SlotId::Name(_) => None,
        };
        number
            .filter(|number| *number <= self.last_profile)
            .ok_or_else(|| invalid("slot", format!("the slots of this token are 0 to {}", self.last_profile)))
    }

    /// Proves that the customer key is known, then works.
    fn visit_with_key<T>(
        &mut self,
        attendant: &dyn Attendant,
        mut work: impl FnMut(&mut Session<'_>, &Cipher) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let key = self.key.as_ref().ok_or(Error::Locked)?;
        let result = visit(self.connection.as_mut(), attendant, |session| {
            authenticate(session, key)?;
            work(session, key)
        });
        if matches!(result, Err(Error::WrongLockCode { .. } | Error::Blocked { .. })) {
            // Somebody changed it: presenting the old one again would cost another attempt.
            self.key = None;
        }
        result
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        let p2 = self.profile(slot)?;
        let written = Written::check(config, &self.info.capabilities.digits)?;
        self.visit_with_key(attendant, |session, cipher| {
            if let Some(title) = written.title {
                session.write(&Secured { cipher, p2, body: Title(title) })?;
            }
            let parameters = Config { parameters: written.parameters, digits: config.digits };
            *state = SlotState::Unknown;
            session.write(&Secured { cipher, p2, body: parameters }).inspect_err(|error| {
                if is_clean_refusal(error) {
                    *state = SlotState::Unchanged;
                }
            })?;
            session.write(&Secured { cipher, p2, body: Seed(&written.key) })
        })
    }

    /// A profile that will show whether a reset has been done, since it holds something now. `None` if none does.
    fn find_witness(&mut self, attendant: &dyn Attendant) -> Result<Option<(u8, Profile)>, Error> {
        let profiles = 0..=self.last_profile;
        visit(self.connection.as_mut(), attendant, |session| {
            for profile in profiles.clone() {
                let told = session.call(&GetProfile { profile })?;
                let from_factory = (profile, told.title.as_slice()) == FACTORY_PROFILE;
                if (told.has_seed || !told.title.is_empty()) && !from_factory {
                    return Ok(Some((profile, told)));
                }
            }
            Ok(None)
        })
    }
}

fn authenticate(session: &mut Session<'_>, key: &Cipher) -> Result<(), Error> {
    session.authenticate(key, GetChallenge { data: &[] }, wrong_key)
}

/// Whether the token said no before it changed anything.
fn is_clean_refusal(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => StatusWord(*status).is_clean_refusal(),
        Error::Cancelled => true,
        _ => false,
    }
}

/// What is written into a profile, checked before the first exchange.
struct Written<'a> {
    title: Option<&'a str>,
    parameters: Parameters,
    key: zeroize::Zeroizing<Vec<u8>>,
}

impl<'a> Written<'a> {
    fn check(config: &'a SlotConfig, digits: &[u8]) -> Result<Self, Error> {
        let parameters = Parameters::of(config)?;
        if !digits.contains(&config.digits) {
            return Err(unsupported("this length", "a passcode of 4, 6, 8 or 10 digits"));
        }
        let key = hmac_key(config)?;
        if key.iter().all(|byte| *byte == 0) {
            return Err(invalid("secret", "nothing but zeros; to this token that is no secret"));
        }
        Ok(Self { title: config.label.as_deref().and_then(title), parameters, key })
    }
}

/// As much of a label as fits into a title, in whole characters.
fn title(label: &str) -> Option<&str> {
    let label = label.trim();
    let cut = label.floor_char_boundary(MAX_TITLE);
    label.get(..cut).map(str::trim_end).filter(|title| !title.is_empty())
}

impl Token for Molto2Token {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        self.key = None;
        let key = CustomerKey::parse(code.expose())?.cipher();
        visit(self.connection.as_mut(), &Unattended, |session| authenticate(session, &key))?;
        self.key = Some(key);
        Ok(())
    }

    fn forget_code(&mut self) {
        self.key = None;
    }

    /// `None` sets the key that tokens are sold with. The new one is in force when ▲ was pressed, which is not seen
    /// here: writing before that costs an attempt, and the key kept.
    fn set_lock_code(&mut self, code: Option<&LockCode>) -> Result<(), Error> {
        let key = match code {
            Some(code) => CustomerKey::parse(code.expose())?,
            None => CustomerKey::factory(),
        };
        self.visit_with_key(&Unattended, |session, cipher| {
            session.write(&Secured { cipher, p2: 0x00, body: NewKey(&key) })
        })?;
        self.key = Some(key.cipher());
        Ok(())
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        let profiles = 0..=self.last_profile;
        visit(self.connection.as_mut(), &Unattended, |session| {
            let look = |profile| Ok(session.call(&GetProfile { profile })?.slot_info(profile));
            profiles.clone().map(look).collect()
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
        let delete = DeleteSeed { profile: self.profile(slot)? };
        match visit(self.connection.as_mut(), attendant, |session| session.write(&delete)) {
            // The maker's document asks for the key here, the tokens seen so far do not.
            Err(Error::Locked) => self.visit_with_key(attendant, |session, _| session.write(&delete)),
            result => result,
        }
    }

    fn calculate(&mut self, slot: &SlotId, _: MovingFactor, _: &dyn Attendant) -> Result<Passcode, Error> {
        self.profile(slot)?;
        Err(unsupported("calculate", "somebody who reads the passcode off its display"))
    }

    /// Through every profile, in use or not.
    fn set_clock(&mut self, now: UnixTime) -> Result<(), Error> {
        let clock = clock(now)?;
        let profiles = 0..=self.last_profile;
        self.visit_with_key(&Unattended, |session, cipher| {
            profiles.clone().try_for_each(|p2| session.write(&Secured { cipher, p2, body: Clock(clock) }))
        })
    }

    fn set_clock_of(&mut self, held: &SlotInfo, now: UnixTime) -> Result<(), Error> {
        let (p2, clock) = (self.profile(&held.slot)?, clock(now)?);
        self.visit_with_key(&Unattended, |session, cipher| {
            session.write(&Secured { cipher, p2, body: Clock(clock) })
        })
    }

    /// Needs no key, but somebody who presses ▲ within a minute. On a token that holds nothing (but its factory's
    /// profile) nothing shows whether that was done; there the call returns as soon as the token asks.
    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        let witness = self.find_witness(attendant)?;
        visit(self.connection.as_mut(), attendant, |session| session.write(&FactoryReset))?;
        self.key = None;
        attendant.touch_needed();
        let Some((profile, before)) = witness else { return Ok(()) };
        for _ in 0..LOOKS {
            let told =
                visit(self.connection.as_mut(), attendant, |session| session.call(&GetProfile { profile }))?;
            if told != before {
                return Ok(());
            }
            self.connection.pause(LOOK_EVERY);
        }
        Err(Error::TouchTimedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_cut_to_whole_characters() {
        for (label, expected) in [
            ("hello", Some("hello")),
            (" hello ", Some("hello")),
            ("exactly12345", Some("exactly12345")),
            ("exactly123456", Some("exactly12345")),
            ("elevenbytes\u{fc}", Some("elevenbytes")),
            ("eleven byte and more", Some("eleven byte")),
            ("\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}", Some("\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}")),
            ("", None),
            ("   ", None),
        ] {
            assert_eq!(title(label), expected, "{label:?}");
        }
    }
}
