//! A card that says whatever it is told to say, and is gone when it has said everything.

use std::collections::VecDeque;

use fobd_drivers::transport::{CardConnection, CardTransaction, Interface, TransportError};

/// The answers that are still to come.
pub(crate) struct Babble(VecDeque<Vec<u8>>);

impl Babble {
    pub(crate) fn new(answers: Vec<Vec<u8>>) -> Self {
        Self(answers.into())
    }
}

impl CardConnection for Babble {
    fn interface(&self) -> Interface {
        Interface::Contact
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        Ok(Box::new(Babbling(self)))
    }

    /// It takes no time.
    fn pause(&mut self, _: std::time::Duration) {}
}

struct Babbling<'a>(&'a mut Babble);

impl CardTransaction for Babbling<'_> {
    fn transmit(&mut self, _command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.0.pop_front().ok_or(TransportError::Gone { detail: "said everything".to_owned() })
    }
}
