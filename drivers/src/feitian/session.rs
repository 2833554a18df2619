//! One visit to the applet: a transaction with the applet selected, over a card or in U2F messages.
//!
//! Other programs may use the key between two calls, so every call selects the applet again. [`visit`] is the one
//! place that begins transactions: when another program has reset the card, it starts over once, unless the visit has
//! sent a command that must not be sent twice.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::commands::{Select, Selected};
use crate::ctaphid::{self, CtapHid, TransactionError};
use crate::error::Error;
use crate::iso7816::Command;
use crate::iso7816::card::{Card, GET_RESPONSE};
use crate::token::Attendant;
use crate::transport::{CardConnection, CardTransaction, TransportError};

/// How long a `HyperFIDO` may wait for its button without a word.
const TOUCH_PATIENCE: Duration = Duration::from_secs(30);

/// The key's wire.
pub(super) enum Wire {
    Card(Box<dyn CardConnection>),
    Hid(CtapHid),
}

/// The attendant during one visit, who is told of a touch once per command.
struct Prompt<'c> {
    attendant: &'c dyn Attendant,
    announced: Cell<bool>,
    /// How the last message failed, if the card layer has only a poor word for it.
    failure: RefCell<Option<TransactionError>>,
}

impl Attendant for Prompt<'_> {
    fn touch_needed(&self) {
        if !self.announced.replace(true) {
            self.attendant.touch_needed();
        }
    }

    fn cancelled(&self) -> bool {
        self.attendant.cancelled()
    }
}

/// Commands as U2F messages: to the card layer a transaction like any other.
struct Messages<'c> {
    channel: &'c mut CtapHid,
    prompt: &'c Prompt<'c>,
}

impl CardTransaction for Messages<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let patience = if self.prompt.announced.get() { TOUCH_PATIENCE } else { ctaphid::PATIENCE };
        match self.channel.transact("MSG", ctaphid::MSG, command, patience, self.prompt) {
            Ok(answer) => Ok(answer.to_vec()),
            Err(error) => {
                let poor = TransportError::Failed { call: "MSG", detail: error.to_string() };
                *self.prompt.failure.borrow_mut() = Some(error);
                Err(poor)
            }
        }
    }
}

/// The selected applet, and the attendant who may cancel.
pub(super) struct Applet<'c> {
    card: Card<'c>,
    prompt: &'c Prompt<'c>,
    is_card: bool,
    selected: Selected,
    /// Something was sent that must not be sent twice; from here on nothing is cancelled or started over.
    committed: bool,
    /// The last command certainly was not carried out, though there is no status that says so.
    never_carried_out: bool,
}

impl Applet<'_> {
    /// What SELECT told.
    pub(super) fn selected(&self) -> Selected {
        self.selected
    }

    /// Whether the last command certainly was not carried out, whatever it failed with.
    pub(super) fn was_never_carried_out(&self) -> bool {
        self.never_carried_out
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

    /// Tells the people around that the key may wait for a touch from the next command on.
    pub(super) fn announce_touch(&self) {
        self.prompt.announced.set(false);
        self.prompt.touch_needed();
    }

    fn check_cancelled(&mut self) -> Result<(), Error> {
        if !self.committed && self.prompt.cancelled() {
            self.never_carried_out = true;
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    fn send<C: Command>(&mut self, command: &C) -> Result<C::Response, Error> {
        let result = self.card.call(command);
        self.prompt.announced.set(false);
        let failure = self.prompt.failure.borrow_mut().take();
        self.never_carried_out = failure.as_ref().is_some_and(|failure| !failure.carried_out);
        result.map_err(|error| match (failure, error) {
            (Some(failure), _) => failure.source,
            // In U2F this status says that nobody touched the key.
            (None, Error::Refused { status: 0x6985, .. }) if !self.is_card => Error::TouchTimedOut,
            (None, error) => error,
        })
    }

    fn select(&mut self) -> Result<(), Error> {
        self.selected = if self.is_card { self.call(&Select::<true>) } else { self.call(&Select::<false>) }?;
        Ok(())
    }
}

/// Selects the applet and works with it, in one transaction.
///
/// # Errors
/// Whatever `work` fails with, or the way there.
pub(super) fn visit<T>(
    wire: &mut Wire,
    attendant: &dyn Attendant,
    mut work: impl FnMut(&mut Applet<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    // A reset is told once for each begin that it upsets, and at most once more in the middle of a visit.
    let (mut begins, mut visits) = (2, 1);
    loop {
        if attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        let prompt = Prompt { attendant, announced: Cell::new(false), failure: RefCell::new(None) };
        let is_card = matches!(wire, Wire::Card(_));
        let transaction: Box<dyn CardTransaction + '_> = match wire {
            Wire::Card(connection) => match connection.begin() {
                Err(TransportError::Reset) if begins > 0 => {
                    begins -= 1;
                    continue;
                }
                begun => begun?,
            },
            Wire::Hid(channel) => Box::new(Messages { channel, prompt: &prompt }),
        };
        let mut applet = Applet {
            card: Card::new(transaction, GET_RESPONSE),
            prompt: &prompt,
            is_card,
            selected: Selected { version: None },
            committed: false,
            never_carried_out: false,
        };
        let result = applet.select().and_then(|()| work(&mut applet));
        match result {
            Err(Error::Transport(TransportError::Reset)) if !applet.committed && visits > 0 => visits -= 1,
            result => return result,
        }
    }
}
