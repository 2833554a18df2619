//! One visit to the OATH applet: a transaction with the applet selected.
//!
//! Other programs may use the card between two calls, so every call selects the applet again and answers for
//! the access code again; Solo 2 wants that before every command. [`visit`] is the one place that begins
//! transactions: when another program has reset the card, it starts over once, unless the visit has sent a command
//! that must not be sent twice.

use super::access::{AccessKey, Validate};
use super::commands::{SEND_REMAINING, Select, Selected};
use super::features::Features;
use crate::error::Error;
use crate::iso7816::Command;
use crate::iso7816::card::{Card, GET_RESPONSE};
use crate::iso7816::status::StatusWord;
use crate::token::Attendant;
use crate::transport::{CardConnection, CardTransaction, TransportError};

/// The selected applet, and the attendant who may cancel.
pub(super) struct Applet<'c> {
    card: Card<'c>,
    attendant: &'c dyn Attendant,
    /// What SELECT told.
    pub(super) selected: Selected,
    /// Something was sent that must not be sent twice; from here on nothing is cancelled or started over.
    committed: bool,
    /// The access code is not in the way (any more).
    open: bool,
    /// What unlocks the applet again, if it locks itself after each command.
    again: Option<AccessKey>,
    /// The next command finds it unlocked.
    unlocked: bool,
}

impl<'c> Applet<'c> {
    fn select(
        transaction: Box<dyn CardTransaction + 'c>,
        attendant: &'c dyn Attendant,
        features: Option<Features>,
    ) -> Result<Self, Error> {
        let mut card = Card::new(transaction, SEND_REMAINING);
        if features.is_some_and(Features::drops_command_after_long_reply) {
            card.set_dummy_after_long();
        }
        if features.is_some_and(Features::uses_get_response) {
            card.fetch_with(GET_RESPONSE);
        }
        let selected = card.call(&Select)?;
        let open = selected.challenge.is_none();
        Ok(Self { card, attendant, selected, committed: false, open, again: None, unlocked: false })
    }

    /// Sends a command that does no harm if it is sent again after a reset.
    pub(super) fn call<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        self.check_cancelled()?;
        self.send(command)
    }

    /// Sends a command that must not be sent twice.
    pub(super) fn call_once<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        self.check_cancelled()?;
        self.committed = true;
        self.send(command)
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if !self.committed && self.attendant.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn send<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        if !std::mem::take(&mut self.unlocked)
            && let Some(key) = self.again.clone()
        {
            self.selected = self.card.call(&Select)?;
            self.validate(&key)?;
        }
        self.card.call(command).map_err(|error| match error {
            // Nothing is locked, so the card means something else by it.
            Error::Locked if self.open => StatusWord::SECURITY.refused(C::NAME),
            error => error,
        })
    }

    /// Tells the people around that the card waits for a touch from the next command on.
    pub(super) fn announce_touch(&self) {
        self.attendant.touch_needed();
    }

    /// The card below, to ask other applets. The OATH applet is deselected by that.
    pub(super) fn card(&mut self) -> &mut Card<'c> {
        &mut self.card
    }

    /// Answers for the access code, if the applet has one, and checks that the card knows it as well. The card
    /// is reset afterwards, so that nobody else finds it unlocked.
    ///
    /// # Errors
    /// [`Error::Locked`] without a key for this applet, [`Error::WrongLockCode`] if the card refuses it.
    pub(super) fn open(&mut self, key: Option<&AccessKey>, features: Features) -> Result<(), Error> {
        if self.selected.challenge.is_none() {
            return Ok(());
        }
        let key = key.filter(|key| key.fits(self.selected.id)).ok_or(Error::Locked)?;
        self.check_cancelled()?;
        self.validate(key)?;
        self.card.reset_at_end();
        self.open = true;
        if features.unlocks_once() {
            (self.again, self.unlocked) = (Some(key.clone()), true);
        }
        Ok(())
    }

    /// Answers the challenge of the last SELECT.
    fn validate(&mut self, key: &AccessKey) -> Result<(), Error> {
        let theirs = self.selected.challenge.clone().unwrap_or_default();
        let ours = random_challenge()?;
        let answer = self.card.call(&Validate { key, theirs: &theirs, ours })?;
        if !key.is_proven_by(&answer, &ours) {
            return Err(Error::Malformed {
                command: Validate::NAME,
                what: "the card does not know the access code itself",
                offset: 2,
            });
        }
        Ok(())
    }
}

/// Selects the applet and works with it, in one transaction.
///
/// # Errors
/// Whatever `work` fails with, or the way there.
pub(super) fn visit<T>(
    connection: &mut dyn CardConnection,
    attendant: &dyn Attendant,
    features: Option<Features>,
    mut work: impl FnMut(&mut Applet<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    // A reset is told once for each begin that it upsets, and at most once more in the middle of a visit.
    let (mut begins, mut visits) = (2, 1);
    loop {
        if attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        let transaction = match connection.begin() {
            Err(TransportError::Reset) if begins > 0 => {
                begins -= 1;
                continue;
            }
            begun => begun?,
        };
        let (result, committed) = match Applet::select(transaction, attendant, features) {
            Ok(mut applet) => (work(&mut applet), applet.committed),
            Err(error) => (Err(error), false),
        };
        match result {
            Err(Error::Transport(TransportError::Reset)) if !committed && visits > 0 => visits -= 1,
            result => return result,
        }
    }
}

/// 8 random bytes from the operating system.
pub(super) fn random_challenge() -> Result<[u8; 8], Error> {
    let mut challenge = [0; 8];
    getrandom::fill(&mut challenge)
        .map_err(|error| TransportError::Failed { call: "getrandom", detail: error.to_string() })?;
    Ok(challenge)
}
