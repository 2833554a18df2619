//! What runs on an emulated card: one applet per AID.
//!
//! An applet gets commands that are already taken apart and answers with data or with a status; chaining is
//! the card's business. A command that waits for a touch is called twice: first with [`Touch::NotAsked`],
//! where it must change nothing and say [`Refusal::TouchNeeded`], then with what the human did.

use std::any::Any;

use crate::apdu::Command;
use crate::status::Status;

pub mod admin;
pub mod feitian;
pub mod management;
pub mod molto2;
pub mod otp;
pub mod pinplus;
pub mod single_profile;
mod sm4_messaging;
pub mod ykoath;

/// One application on a card.
pub trait Applet: Any + Send {
    /// Its whole name; a host may select it by the first bytes.
    fn aid(&self) -> &'static [u8];

    /// It was selected: volatile state starts anew. Returns the data of the SELECT response.
    ///
    /// # Errors
    /// The status that refuses the selection.
    fn select(&mut self) -> Result<Vec<u8>, Status>;

    /// It was selected while it was already. By default like any other selection.
    ///
    /// # Errors
    /// The status that refuses the selection.
    fn reselect(&mut self) -> Result<Vec<u8>, Status> {
        self.deselect();
        self.select()
    }

    /// Another applet was selected, or the card was reset or lost power: volatile state is gone.
    fn deselect(&mut self);

    /// One command while it is selected, SELECT excepted.
    ///
    /// # Errors
    /// The status to answer with, or the wish to be touched first.
    fn call(&mut self, command: &Command<'_>, touch: Touch) -> Result<Vec<u8>, Refusal>;

    /// One command of a card that is one program instead of applets ([`crate::chip::Chip::whole`]), in the bytes it
    /// came in, of any class.
    ///
    /// # Errors
    /// As [`Applet::call`].
    fn call_whole(&mut self, bytes: &[u8], extended: bool, touch: Touch) -> Result<Vec<u8>, Refusal> {
        let command = Command::parse(bytes, extended)?;
        self.call(&command, touch)
    }

    /// The answer to bytes that are no APDU, without a status word, where such a card speaks like that.
    fn frame(&mut self, _bytes: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Whether it shows a question on a screen of its own and goes on meanwhile. The card has it answered.
    fn asks(&self) -> bool {
        false
    }

    /// Somebody answered that question, or (no) nobody did for long.
    fn answer(&mut self, _yes: bool) {}

    /// Whether it knows commands of this class. SELECT and GET RESPONSE have class 00 whatever it says.
    fn knows_class(&self, cla: u8) -> bool {
        cla == 0x00
    }

    /// The instruction that fetches the rest of a long response: GET RESPONSE unless the protocol has its own.
    fn continuation(&self) -> u8 {
        0xC0
    }

    /// How a response that is too long is cut: the bytes of its first part, at most `most`, and what SW2 says of the
    /// rest.
    fn cut(&self, response: &[u8], most: usize) -> (usize, u8) {
        (most, u8::try_from(response.len() - most).unwrap_or(u8::MAX))
    }

    /// Whether no more of an answer goes out at once than Le asks for: nothing, if Le is left out.
    fn answers_what_le_asks(&self) -> bool {
        false
    }
}

/// What the human did so far about the command at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Nobody was asked.
    NotAsked,
    /// The device was touched.
    Given,
    /// Nobody touched it in time.
    TimedOut,
}

/// Why an applet does not answer with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It answers with this status and nothing else.
    Status(Status),
    /// It wants to be touched; call again with the outcome.
    TouchNeeded,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}
