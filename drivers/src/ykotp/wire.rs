//! One set of commands over two wires: feature reports of the keyboard interface, and APDUs of the OTP applet.
//!
//! | command | name |
//! |---|---|
//! | 01, 03 | CONFIGURE SLOT 1, 2: also empties them |
//! | 04, 05 | UPDATE SLOT 1, 2 |
//! | 06 | SWAP SLOTS |
//! | 08, 09 | CONFIGURE NDEF 1, 2 |
//! | 10 | DEVICE SERIAL |
//! | 12 | SCAN MAP |
//! | 13 | DEVICE INFO |
//! | 30, 38 | CHALLENGE HMAC 1, 2 |

use zeroize::Zeroizing;

use super::features::Features;
use super::frame::Payload;
use super::status::{Effect, Slot, Status};
use crate::error::{Error, ProgramError, SlotState};
use crate::iso7816::Malformed;
use crate::token::Attendant;

/// A command and what it says.
pub(super) struct Request {
    pub(super) name: &'static str,
    pub(super) command: u8,
    pub(super) payload: Payload,
    /// The slot that answers a challenge, and may want a touch for that.
    pub(super) challenged: Option<Slot>,
}

impl Request {
    fn new(name: &'static str, command: u8, payload: Payload) -> Self {
        Self { name, command, payload, challenged: None }
    }

    pub(super) fn configure(slot: Slot, payload: Payload) -> Self {
        Self::new("CONFIGURE SLOT", slot.of([0x01, 0x03]), payload)
    }

    pub(super) fn update(slot: Slot, payload: Payload) -> Self {
        Self::new("UPDATE SLOT", slot.of([0x04, 0x05]), payload)
    }

    /// Both clients of the maker send six zeros or more, never a code.
    pub(super) fn swap() -> Self {
        Self::new("SWAP SLOTS", 0x06, Payload::new(&[0; 6]))
    }

    pub(super) fn ndef(slot: Slot, payload: Payload) -> Self {
        Self::new("CONFIGURE NDEF", slot.of([0x08, 0x09]), payload)
    }

    pub(super) fn serial() -> Self {
        Self::new("DEVICE SERIAL", 0x10, Payload::new(&[]))
    }

    /// A scan map that no key takes: 45 codes of `c`, and a wrong access code. On a NEO it makes the status new.
    pub(super) fn refresh() -> Self {
        Self::new("SCAN MAP", 0x12, Payload::new(&[b'c'; 51]))
    }

    pub(super) fn device_info(page: u8) -> Self {
        Self::new("DEVICE INFO", 0x13, Payload::new(&[page]))
    }

    pub(super) fn challenge(slot: Slot, challenge: &[u8]) -> Self {
        let request = Self::new("CHALLENGE HMAC", slot.of([0x30, 0x38]), Payload::new(challenge));
        Self { challenged: Some(slot), ..request }
    }

    pub(super) fn malformed(&self, what: &'static str, offset: usize) -> Error {
        Malformed::new(what, offset).of(self.name)
    }
}

/// How long an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// So many bytes.
    Of(usize),
    /// The first byte says how many follow.
    Told,
}

impl Length {
    /// The whole length, as far as `answer` tells already.
    pub(super) fn of(self, answer: &[u8]) -> Option<usize> {
        match self {
            Self::Of(length) => Some(length),
            Self::Told => answer.first().map(|length| usize::from(*length) + 1),
        }
    }
}

/// What comes back to a question.
pub(super) enum Answer {
    /// The key answered.
    Data(Zeroizing<Vec<u8>>),
    /// The key has nothing to say, for example because the slot is empty.
    Nothing,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It was done; this is the status now.
    Done(Status),
    /// The key refused it, and nothing has changed.
    Refused,
}

/// What to send, once the status is known. It may be asked again, and then has to say the same of the same status.
pub(super) type Plan<'p, T> = &'p mut dyn FnMut(Status) -> Result<T, Error>;

/// An open wire.
pub(super) trait Wire: Send {
    /// Asks how the application is.
    fn status(&mut self, features: Features, attendant: &dyn Attendant) -> Result<Status, Error>;

    /// Asks for something that changes nothing, again if the answer is spoilt.
    fn ask(
        &mut self,
        features: Features,
        plan: Plan<'_, Request>,
        length: Length,
        attendant: &dyn Attendant,
    ) -> Result<Answer, Error>;

    /// Writes, once.
    fn write(
        &mut self,
        features: Features,
        plan: Plan<'_, (Request, Effect)>,
        attendant: &dyn Attendant,
    ) -> Result<Written, ProgramError>;

    /// Whether a key in the field of a reader is meant.
    fn is_contactless(&self) -> bool {
        false
    }
}

/// It was not sent, or refused.
pub(super) fn unchanged(source: Error) -> ProgramError {
    ProgramError { slot: SlotState::Unchanged, source }
}

/// It was sent, and nobody knows.
pub(super) fn unknown(source: Error) -> ProgramError {
    ProgramError { slot: SlotState::Unknown, source }
}
