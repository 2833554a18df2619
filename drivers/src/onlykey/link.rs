//! Questions and answers over raw HID.
//!
//! Every program that has the token open hears every answer, and a locked token says so every second unasked. So what
//! lies about is taken off before a question; an answer is told from other talk by its words, and anything else is
//! malformed. An answer may take 3 s (writing flash); labels follow each other in 20 ms, and the next is waited for
//! 100 ms, as the makers' client does.

use std::time::Duration;

use super::frame::{self, Field, Report, Said};
use crate::error::Error;
use crate::iso7816::Malformed;
use crate::transport::{HidConnection, TransportError};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest wait for the next label.
const NEXT_LABEL: Duration = Duration::from_millis(100);
/// Most reports that are taken off before a question: as many as Linux keeps for a reader.
const MOST_LEFT: usize = 64;
/// Most reports that nobody asked for, between a question and its answer.
const MOST_UNASKED: usize = 3;

/// Slots of the two sizes.
pub(super) const FEW_SLOTS: usize = 12;
pub(super) const MANY_SLOTS: usize = 24;

/// An open token.
pub(super) struct Link {
    connection: Box<dyn HidConnection>,
}

/// What came back when the labels were asked for.
pub(super) enum Asked {
    /// The labels, from slot 1 on; empty where there is none.
    Labels(Vec<String>),
    /// It said this instead.
    Otherwise(Said),
}

impl Link {
    pub(super) fn new(connection: Box<dyn HidConnection>) -> Self {
        Self { connection }
    }

    /// Takes off what lies about.
    fn clear(&mut self) -> Result<(), Error> {
        for _ in 0..MOST_LEFT {
            if self.connection.read(Duration::ZERO)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn ask(&mut self, report: &Report) -> Result<(), Error> {
        self.clear()?;
        Ok(self.connection.write(&report[..])?)
    }

    fn hear(&mut self) -> Result<Vec<u8>, Error> {
        let heard = self.connection.read(ANSWER)?;
        heard.ok_or_else(|| {
            let detail = "the token did not answer".to_owned();
            TransportError::Failed { call: "read", detail }.into()
        })
    }

    /// Asks for the labels. `slots` is how many there are, if that is known: otherwise the last one is waited behind.
    ///
    /// # Errors
    /// [`Error::Malformed`] if some are missing or out of order.
    pub(super) fn labels(&mut self, slots: Option<usize>) -> Result<Asked, Error> {
        const COMMAND: &str = "GETLABELS";
        self.ask(&frame::labels())?;
        let mut labels = Vec::new();
        let mut report = self.hear()?;
        loop {
            let Some(label) = frame::label(&report) else {
                if labels.is_empty() {
                    return Ok(Asked::Otherwise(frame::said(&report)));
                }
                return Err(Malformed::new("no label", 0).of(COMMAND));
            };
            let (number, text) = label.map_err(|malformed| malformed.of(COMMAND))?;
            if usize::from(number) != labels.len() + 1 {
                return Err(Malformed::new("another slot than the next", 0).of(COMMAND));
            }
            labels.push(text);
            if Some(labels.len()) == slots || labels.len() == MANY_SLOTS {
                return Ok(Asked::Labels(labels));
            }
            report = match self.connection.read(NEXT_LABEL)? {
                Some(report) => report,
                None if slots.is_none() && labels.len() == FEW_SLOTS => return Ok(Asked::Labels(labels)),
                None => return Err(Malformed::new("fewer labels than slots", 0).of(COMMAND)),
            };
        }
    }

    /// Connects: the first time since it was plugged in, the token sets its clock by this.
    ///
    /// # Errors
    /// [`Error::Locked`], or [`Error::Unsupported`] as long as the token has no PIN.
    pub(super) fn connect(&mut self, now: u32) -> Result<(String, bool), Error> {
        const COMMAND: &str = "SETTIME";
        self.ask(&frame::connect(now))?;
        match frame::said(&self.hear()?) {
            Said::Unlocked { firmware, duo } => Ok((firmware, duo)),
            said => Err(refusal(&said).unwrap_or_else(|| unexpected(COMMAND))),
        }
    }

    /// Sets a field of a slot, and reports to `sent` that the token may have it.
    ///
    /// # Errors
    /// What stands in the way, as [`refusal`] says; the field is then as it was.
    pub(super) fn set(
        &mut self,
        slot: u8,
        field: Field,
        payload: &[u8],
        sent: &mut bool,
    ) -> Result<(), Error> {
        let before = *sent;
        self.clear()?;
        *sent = true;
        self.connection.write(&frame::set(slot, field, payload)[..])?;
        for _ in 0..=MOST_UNASKED {
            let said = frame::said(&self.hear()?);
            match said {
                Said::Set(set) if set == field => return Ok(()),
                // Said when the PIN is entered, and until it is, by the way.
                Said::Unlocked { .. } | Said::Locked { duo: Some(_) } => {}
                said => {
                    let Some(refusal) = refusal(&said) else { break };
                    *sent = before;
                    return Err(refusal);
                }
            }
        }
        Err(unexpected(field.command()))
    }
}

/// What the token means by saying no.
pub(super) fn refusal(said: &Said) -> Option<Error> {
    let unsupported = |what, needs: &str| Some(Error::Unsupported { what, needs: needs.to_owned() });
    match said {
        Said::Locked { .. } => Some(Error::Locked),
        Said::Uninitialized => unsupported("anything", "a PIN, which its owner sets first"),
        Said::NotInConfigMode => {
            unsupported("a change of this slot", "its config mode, since its owner protects the slots")
        }
        Said::PasswordInTheWay => {
            unsupported("a second factor in this slot", "a slot without a password, or a PIN on the token")
        }
        Said::Unlocked { .. } | Said::Set(_) | Said::Other => None,
    }
}

fn unexpected(command: &'static str) -> Error {
    Malformed::new("another answer than expected", 0).of(command)
}
