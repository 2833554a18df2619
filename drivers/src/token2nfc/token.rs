//! A single-profile token as a [`Token`].
//!
//! The configuration goes first, since on most models it takes the secret along; from then on the slot is not what
//! it was, whatever happens to the secret. Everything that could make the token refuse the secret is checked before.

use super::Product;
use super::commands::{Config, DIGITS, GET_CHALLENGE, GetInfo, Seed, cipher, filled_up};
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::status::StatusWord;
use crate::token::{
    Algorithm, Attendant, LockCode, MovingFactor, Passcode, SlotConfig, SlotId, SlotInfo, Token, TokenInfo,
    Unattended, UnixTime,
};
use crate::token2_wire::{Cipher, Parameters, Secured, Session, hmac_key, invalid, unsupported, visit};
use crate::transport::CardConnection;

/// "Authentication method blocked": a wrong answer, a token that locked itself, and in the maker's firmware also a
/// command without authentication.
const BLOCKED: StatusWord = StatusWord(0x6983);

/// The command whose refusal may be the last thing that a token says.
const ANSWER: &str = "ANSWER CHALLENGE";

pub(super) struct SingleProfileToken {
    connection: Box<dyn CardConnection>,
    info: TokenInfo,
    product: Option<&'static Product>,
    cipher: Cipher,
    /// What was written since the token was opened.
    written: Option<Written>,
    /// It has refused an answer: it is given no other.
    refused: bool,
}

/// What the slot is known to hold.
#[derive(Clone, Copy)]
struct Written {
    algorithm: Algorithm,
    time_step: u32,
}

impl SingleProfileToken {
    pub(super) fn new(
        connection: Box<dyn CardConnection>,
        info: TokenInfo,
        product: Option<&'static Product>,
    ) -> Self {
        Self { connection, info, product, cipher: cipher(), written: None, refused: false }
    }

    /// The model, if it may be written to.
    fn writable(&self) -> Result<&'static Product, Error> {
        self.product
            .ok_or_else(|| unsupported("being written to", "a known model; these commands damage others"))
    }

    /// Makes sure that the clock may be set without losing the secret.
    fn check_settable(&self) -> Result<(), Error> {
        if self.writable()?.keeps_secret {
            return Ok(());
        }
        let needs = "a model that keeps its secret then; this one has to be programmed again";
        Err(unsupported("set_clock", needs))
    }

    /// Authenticates, then works.
    fn visit_authenticated<T>(
        &mut self,
        attendant: &dyn Attendant,
        mut work: impl FnMut(&mut Session<'_>, &Cipher) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.refused {
            return Err(BLOCKED.refused(ANSWER));
        }
        let cipher = &self.cipher;
        let result = visit(self.connection.as_mut(), attendant, |session| {
            authenticate(session, cipher)?;
            work(session, cipher)
        });
        self.refused = matches!(result, Err(Error::Refused { command: ANSWER, .. }));
        result
    }

    fn try_program(
        &mut self,
        slot: &SlotId,
        config: &SlotConfig,
        attendant: &dyn Attendant,
        state: &mut SlotState,
    ) -> Result<(), Error> {
        check_slot(slot)?;
        self.writable()?;
        let parameters = Parameters::of(config)?;
        if config.digits != DIGITS {
            return Err(unsupported("this length", "a passcode of 6 digits"));
        }
        let secret = filled_up(&hmac_key(config)?);
        let result = self.visit_authenticated(attendant, |session, cipher| {
            *state = SlotState::Unknown;
            configure(session, cipher, parameters).inspect_err(|error| {
                if is_clean_refusal(error) {
                    *state = SlotState::Unchanged;
                }
            })?;
            let seed = Secured { cipher, p2: 0x00, body: Seed(&secret) };
            match session.write(&seed) {
                // The configuration may end what the challenge was answered for.
                Err(Error::Refused { status, .. }) if StatusWord(status) == BLOCKED => {
                    authenticate(session, cipher)?;
                    session.write(&seed)
                }
                result => result,
            }
        });
        if *state == SlotState::Unknown {
            self.written = None;
        }
        result?;
        let time_step = u32::from(parameters.time_step);
        self.written = Some(Written { algorithm: config.algorithm, time_step });
        Ok(())
    }
}

fn authenticate(session: &mut Session<'_>, cipher: &Cipher) -> Result<(), Error> {
    session.authenticate(cipher, GET_CHALLENGE, |_| None)
}

fn configure(session: &mut Session<'_>, cipher: &Cipher, parameters: Parameters) -> Result<(), Error> {
    session.write(&Secured { cipher, p2: 0x00, body: Config(parameters) })
}

/// Whether the token said no before it changed anything.
fn is_clean_refusal(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => StatusWord(*status).is_clean_refusal(),
        Error::Cancelled => true,
        _ => false,
    }
}

fn check_slot(slot: &SlotId) -> Result<(), Error> {
    match slot {
        SlotId::Index(0) => Ok(()),
        _ => Err(invalid("slot", "the one slot of this token is 0")),
    }
}

impl Token for SingleProfileToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    /// Asks nothing: there is no code to give.
    fn unlock(&mut self, _: &LockCode) -> Result<(), Error> {
        Ok(())
    }

    fn forget_code(&mut self) {}

    fn set_lock_code(&mut self, _: Option<&LockCode>) -> Result<(), Error> {
        Err(unsupported("a lock code", "another token; all of these have one key, which is public"))
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        Err(unsupported("listing its slots", "a token that tells what it holds"))
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

    /// There is no command for it. On models that forget their secret with the configuration, that is written, with
    /// the time that the token has.
    fn erase(&mut self, slot: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        check_slot(slot)?;
        if self.writable()?.keeps_secret {
            return Err(unsupported("erase", "another secret over this one; nothing else removes it"));
        }
        let told = visit(self.connection.as_mut(), attendant, |session| session.call(&GetInfo))?;
        let parameters = Parameters::new(Algorithm::Sha1, 30, UnixTime(u64::from(told.clock)))?;
        self.visit_authenticated(attendant, |session, cipher| configure(session, cipher, parameters))?;
        self.written = None;
        Ok(())
    }

    fn calculate(&mut self, slot: &SlotId, _: MovingFactor, _: &dyn Attendant) -> Result<Passcode, Error> {
        check_slot(slot)?;
        Err(unsupported("calculate", "somebody who reads the passcode off its display"))
    }

    fn set_clock(&mut self, now: UnixTime) -> Result<(), Error> {
        self.check_settable()?;
        let needs = "its hash and time step: they are written with the clock, and it does not tell them";
        let written = self.written.ok_or_else(|| unsupported("set_clock", needs))?;
        let parameters = Parameters::new(written.algorithm, written.time_step, now)?;
        self.visit_authenticated(&Unattended, |session, cipher| configure(session, cipher, parameters))
    }

    fn set_clock_of(&mut self, held: &SlotInfo, now: UnixTime) -> Result<(), Error> {
        check_slot(&held.slot)?;
        self.check_settable()?;
        let needed =
            |field| invalid(field, "it is written together with the clock, and the token does not tell it");
        let algorithm = held.algorithm.ok_or_else(|| needed("algorithm"))?;
        let time_step = held.time_step.ok_or_else(|| needed("time_step"))?;
        let parameters = Parameters::new(algorithm, time_step, now)?;
        self.visit_authenticated(&Unattended, |session, cipher| configure(session, cipher, parameters))
    }

    fn reset(&mut self, _: &dyn Attendant) -> Result<(), Error> {
        Err(unsupported("reset", "a command for it, which it does not have"))
    }
}
