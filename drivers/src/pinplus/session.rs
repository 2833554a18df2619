//! One visit to the OTP applet: a transaction with the applet selected and, if there is a PIN, verified.
//!
//! Other programs may use the key between two calls, so every call selects the applet again, agrees on new keys,
//! answers for the PIN again, and locks at the end. [`visit`] is the one place that begins transactions: when another
//! program has reset the card, it starts over once, unless the visit has sent a command that must not be sent twice.

use zeroize::Zeroizing;

use super::MORE;
use super::commands::{AID, ReadFlag};
use super::frame::{Prompt, Tunnel};
use super::pin::{self, ChangePin, LOCK, ReadAgreement, SetPin, VerifyPin};
use super::seal::{Agreement, Session, random};
use crate::error::Error;
use crate::iso7816::card::{self, Card};
use crate::iso7816::{Command, Malformed};
use crate::token::{Attendant, LockCode};
use crate::transport::{CardConnection, CardTransaction, HidConnection, TransportError};

/// The key's wire.
pub(super) enum Wire {
    Card(Box<dyn CardConnection>),
    Hid(Box<dyn HidConnection>),
}

impl Wire {
    fn begin<'c>(
        &'c mut self,
        prompt: &'c Prompt<'c>,
        known: bool,
    ) -> Result<Box<dyn CardTransaction + 'c>, TransportError> {
        match self {
            Self::Card(connection) => connection.begin(),
            Self::Hid(connection) => Ok(Box::new(Tunnel::new(connection.as_mut(), prompt, known))),
        }
    }
}

/// Whose decision it is to spend an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Somebody has just given the code.
    Asked,
    /// The driver presents a code that was right before. Never the last attempt: another program may have changed it.
    Again,
}

/// The selected applet, and the attendant who may cancel.
pub(super) struct Applet<'c> {
    card: Card<'c>,
    prompt: &'c Prompt<'c>,
    is_card: bool,
    /// Something was sent that must not be sent twice; from here on nothing is cancelled or started over.
    committed: bool,
    /// The keys of an agreement.
    session: Option<Session>,
    /// The PIN was verified: records are protected by the session, and the key has to be locked again.
    verified: bool,
}

impl Applet<'_> {
    /// Whether it is reached as a card, with other applets beside it.
    pub(super) fn is_card(&self) -> bool {
        self.is_card
    }

    /// Selects the applet; over the tunnel there is no other.
    ///
    /// # Errors
    /// As [`Card::call`].
    pub(super) fn select(&mut self) -> Result<(), Error> {
        if self.is_card { self.call(&card::Select { aid: AID }).map(drop) } else { Ok(()) }
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
        if !self.committed && self.prompt.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn send<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        self.card.call(command).map_err(|error| match error {
            // Somebody cancelled while the key waited for its button; that is told as a failure of the tunnel.
            Error::Transport(TransportError::Failed { .. }) if self.prompt.cancelled() => Error::Cancelled,
            error => error,
        })
    }

    /// Tells the people around that the key waits for a touch from the next command on.
    pub(super) fn announce_touch(&self) {
        self.prompt.announce();
    }

    /// Whether the PIN was verified, so that records are protected by the session.
    pub(super) fn is_verified(&self) -> bool {
        self.verified
    }

    /// Protects a record.
    ///
    /// # Errors
    /// [`Error::Locked`] without a session.
    pub(super) fn protect(&self, clear: &[u8]) -> Result<Vec<u8>, Error> {
        let session = self.session.as_ref().ok_or(Error::Locked)?;
        Ok(session.protect(&random()?, clear))
    }

    /// A page or record in clear, whether it came protected or not.
    ///
    /// # Errors
    /// [`Malformed`] if it was touched on its way.
    pub(super) fn clear(&self, told: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        match &self.session {
            Some(session) if self.verified => session.unprotect(&told),
            _ => Ok(told),
        }
    }

    /// Answers for the PIN if one is set.
    ///
    /// # Errors
    /// [`Error::WrongLockCode`] or [`Error::Blocked`].
    pub(super) fn verify(&mut self, code: &LockCode, attempt: Attempt) -> Result<(), Error> {
        if !self.agree(attempt)? {
            return Ok(());
        }
        let rand = self.challenge()?;
        let data = {
            let session = self.session.as_ref().ok_or(Error::Locked)?;
            pin::verify_data(session, &random()?, code.expose(), &rand)
        };
        let verified = self.call_once_if(attempt, &VerifyPin { data: &data });
        verified.map_err(|error| self.count(error))?;
        self.verified = true;
        Ok(())
    }

    /// An attempt with a code that may be wrong is not repeated; a code known to be right may be.
    fn call_once_if<C: Command>(&mut self, attempt: Attempt, command: &C) -> Result<C::Response, Error> {
        match attempt {
            Attempt::Asked => self.call_once(command),
            Attempt::Again => self.call(command),
        }
    }

    /// Reads the flag and agrees on keys. `false` if no PIN is set.
    fn agree(&mut self, attempt: Attempt) -> Result<bool, Error> {
        let flag = self.call(&ReadFlag::<9>)?;
        match flag.retries {
            0 if flag.is_set() => return Err(Error::Blocked { way_out: pin::WAY_OUT }),
            1 if flag.is_set() && flag.max > 1 && attempt == Attempt::Again => {
                return Err(Error::WrongLockCode { attempts_left: Some(1) });
            }
            _ => {}
        }
        if flag.is_set() {
            self.start_session()?;
        }
        Ok(flag.is_set())
    }

    fn start_session(&mut self) -> Result<(), Error> {
        let agreement = Agreement::new()?;
        let point = self.call(&ReadAgreement { point: &agreement.point() })?;
        let session = agreement.session(&point).map_err(|error| error.of(ReadAgreement::NAME))?;
        self.session = Some(session);
        Ok(())
    }

    /// The random block that a proof of the PIN is made from.
    fn challenge(&mut self) -> Result<Zeroizing<[u8; 16]>, Error> {
        let missing = || Malformed::new("flag has no challenge", 9).of(ReadFlag::<41>::NAME);
        let flag = self.call(&ReadFlag::<41>)?;
        let (iv, block) = flag.challenge.ok_or_else(missing)?;
        let session = self.session.as_ref().ok_or(Error::Locked)?;
        session.decrypt_block(&iv, &block).ok_or_else(missing)
    }

    /// Adds to a refused PIN how many attempts are left.
    fn count(&mut self, error: Error) -> Error {
        if !matches!(error, Error::WrongLockCode { .. }) {
            return error;
        }
        match self.send(&ReadFlag::<4>) {
            Ok(flag) if flag.retries == 0 => Error::Blocked { way_out: pin::WAY_OUT },
            Ok(flag) => Error::WrongLockCode { attempts_left: Some(flag.retries) },
            Err(_) => error,
        }
    }

    /// Sets, changes or removes the PIN.
    ///
    /// # Errors
    /// [`Error::Locked`] if one is set and the old one is not known; [`Error::WrongLockCode`], [`Error::Blocked`].
    pub(super) fn set_pin(&mut self, old: Option<&LockCode>, new: Option<&LockCode>) -> Result<(), Error> {
        let new = new.map(LockCode::expose).unwrap_or_default();
        if self.agree(Attempt::Again)? {
            let old = old.ok_or(Error::Locked)?;
            // The maker's clients read a challenge here too, though nothing is made from it.
            self.challenge()?;
            let data = {
                let session = self.session.as_ref().ok_or(Error::Locked)?;
                pin::change_data(session, &random()?, old.expose(), new)
            };
            return self.call_once(&ChangePin { data: &data }).map_err(|error| self.count(error));
        }
        if new.is_empty() {
            return Ok(());
        }
        self.start_session()?;
        let data = {
            let session = self.session.as_ref().ok_or(Error::Locked)?;
            pin::set_data(session, &random()?, new)
        };
        self.call_once(&SetPin { data: &data })
    }

    /// Locks the key again, so that nobody else finds it open.
    ///
    /// # Errors
    /// As [`Card::call`].
    pub(super) fn lock(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.verified) { self.send(&LOCK) } else { Ok(()) }
    }
}

/// Selects the applet and works with it, in one transaction.
///
/// # Errors
/// Whatever `work` fails with, or the way there.
pub(super) fn visit<T>(
    wire: &mut Wire,
    attendant: &dyn Attendant,
    work: impl FnMut(&mut Applet<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    visit_again(wire, attendant, false, work)
}

/// The same with a key that has answered before, and is therefore given more time.
///
/// # Errors
/// As [`visit`].
pub(super) fn visit_again<T>(
    wire: &mut Wire,
    attendant: &dyn Attendant,
    known: bool,
    mut work: impl FnMut(&mut Applet<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    // A reset is told once for each begin that it upsets, and at most once more in the middle of a visit.
    let (mut begins, mut visits) = (2, 1);
    loop {
        if attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        let is_card = matches!(wire, Wire::Card(_));
        let prompt = Prompt::new(attendant);
        let transaction = match wire.begin(&prompt, known) {
            Err(TransportError::Reset) if begins > 0 => {
                begins -= 1;
                continue;
            }
            begun => begun?,
        };
        let mut applet = Applet {
            card: Card::new(transaction, MORE),
            prompt: &prompt,
            is_card,
            committed: false,
            session: None,
            verified: false,
        };
        let result = applet.select().and_then(|()| work(&mut applet));
        // What was done is done, whether or not the key hears this.
        let _ = applet.lock();
        match result {
            Err(Error::Transport(TransportError::Reset)) if !applet.committed && visits > 0 => visits -= 1,
            result => return result,
        }
    }
}
