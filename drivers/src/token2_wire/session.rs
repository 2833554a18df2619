//! One visit to the token: a transaction, and in it the commands of one call.
//!
//! [`visit`] starts over once when another program has reset the card, unless the visit has sent something that
//! must not be sent twice. An answer to the challenge is such a thing, since wrong ones are counted.

use super::cipher::Cipher;
use super::commands::{Answer, GetChallenge};
use crate::error::Error;
use crate::iso7816::Command;
use crate::iso7816::card::{Card, GET_RESPONSE};
use crate::iso7816::status::StatusWord;
use crate::token::Attendant;
use crate::transport::{CardConnection, TransportError};

/// The token during one transaction, and the attendant who may cancel.
pub(crate) struct Session<'c> {
    card: Card<'c>,
    attendant: &'c dyn Attendant,
    /// Something was sent that must not be sent twice: from here on nothing is started over.
    once: bool,
    /// Something was written: from here on nothing is cancelled.
    wrote: bool,
}

impl Session<'_> {
    /// Sends a command that only asks.
    pub(crate) fn call<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        if !self.wrote && self.attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        self.card.call(command)
    }

    /// Sends a command that changes the token.
    pub(crate) fn write<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        if !self.wrote && self.attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        (self.once, self.wrote) = (true, true);
        self.card.call(command)
    }

    /// Asks for a challenge and answers it.
    ///
    /// # Errors
    /// What `refusal` makes of a wrong answer.
    pub(crate) fn authenticate(
        &mut self,
        cipher: &Cipher,
        ask: GetChallenge,
        refusal: fn(StatusWord) -> Option<Error>,
    ) -> Result<(), Error> {
        let challenge = self.call(&ask)?;
        self.once = true;
        self.call(&Answer { answer: cipher.answer(challenge), refusal })
    }
}

/// Works with the token, in one transaction.
///
/// # Errors
/// Whatever `work` fails with, or the way there.
pub(crate) fn visit<T>(
    connection: &mut dyn CardConnection,
    attendant: &dyn Attendant,
    mut work: impl FnMut(&mut Session<'_>) -> Result<T, Error>,
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
        let card = Card::new(transaction, GET_RESPONSE);
        let mut session = Session { card, attendant, once: false, wrote: false };
        match work(&mut session) {
            Err(Error::Transport(TransportError::Reset)) if !session.once && visits > 0 => visits -= 1,
            result => return result,
        }
    }
}
