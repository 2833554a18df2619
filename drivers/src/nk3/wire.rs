//! One visit to the secrets app, over either of its wires.
//!
//! | | CCID | CTAPHID |
//! |---|---|---|
//! | SELECT | first in each transaction | only where its answer is wanted |
//! | Le | always: without it the card keeps the answer back | never |
//! | status word | after the data | before them |
//! | rest of a long answer | GET RESPONSE | SEND REMAINING |
//! | while a touch is awaited | the exchange blocks | nothing comes, and CANCEL is heard |
//!
//! [`visit`] is the one place that begins transactions: when another program has reset the card, it starts over once,
//! unless the visit has sent a command that must not be sent twice.

use std::time::Duration;

use zeroize::Zeroizing;

use super::commands::{Select, Selected};
use crate::ctaphid::CtapHid;
use crate::error::Error;
use crate::iso7816::apdu::{self, Header};
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed};
use crate::token::Attendant;
use crate::transport::{CardConnection, CardTransaction, TransportError};

/// CTAPHID vendor command of the app.
const SECRETS: u8 = 0x70;
/// The rest of an answer: ISO/IEC 7816-4 §11.8.1 on a card, the app's own instruction otherwise.
const GET_RESPONSE: &[u8] = &[0x00, 0xC0, 0x00, 0x00, 0x00];
const SEND_REMAINING: &[u8] = &[0x00, 0xA5, 0x00, 0x00];

/// How long the key may be busy with a command that waits for nobody: it erases flash and decrypts 50 files.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same with a touch, for which the app waits 15 s.
const TOUCH_PATIENCE: Duration = Duration::from_secs(20);

/// Most parts of one answer, and most bytes.
const MAX_PARTS: usize = 64;
const MAX_ANSWER: usize = 0x1_0000;

/// What the app answers when a touch was awaited and the host cancelled.
const INTERRUPTED: StatusWord = StatusWord(0x6500);

/// The way to the app.
pub(super) enum Wire {
    Card(Box<dyn CardConnection>),
    Hid(CtapHid),
}

/// Whether a command may wait for a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Never,
    Maybe,
}

impl Touch {
    pub(super) fn maybe(maybe: bool) -> Self {
        if maybe { Self::Maybe } else { Self::Never }
    }
}

/// A command failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// Whether the key may have carried it out.
    pub(super) carried_out: bool,
    pub(super) source: Error,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.source
    }
}

/// The app during one visit.
pub(super) struct Session<'s> {
    exchange: Exchange<'s>,
    attendant: &'s dyn Attendant,
    /// Something was sent that must not be sent twice; from here on nothing is cancelled or started over.
    committed: bool,
}

enum Exchange<'s> {
    Card(Box<dyn CardTransaction + 's>),
    Hid(&'s mut CtapHid),
}

type Answer = (Zeroizing<Vec<u8>>, StatusWord);

impl Session<'_> {
    /// Sends a command that does no harm if it is sent again after a reset.
    pub(super) fn call<C: Command>(&mut self, command: &C, touch: Touch) -> Result<C::Response, Failure> {
        let cancellable = self.check_cancelled()?;
        self.send(command, touch, cancellable)
    }

    /// Sends a command that must not be sent twice.
    pub(super) fn call_once<C: Command>(
        &mut self,
        command: &C,
        touch: Touch,
    ) -> Result<C::Response, Failure> {
        let cancellable = self.check_cancelled()?;
        self.committed = true;
        self.send(command, touch, cancellable)
    }

    /// What was sent last was refused: the visit may still be cancelled or started over.
    pub(super) fn nothing_happened(&mut self) {
        self.committed = false;
    }

    fn check_cancelled(&self) -> Result<bool, Failure> {
        if !self.committed && self.attendant.cancelled() {
            return Err(Failure { carried_out: false, source: Error::Cancelled });
        }
        Ok(!self.committed)
    }

    fn send<C: Command>(
        &mut self,
        command: &C,
        touch: Touch,
        cancellable: bool,
    ) -> Result<C::Response, Failure> {
        if touch == Touch::Maybe {
            // No keep-alive will say so.
            self.attendant.touch_needed();
        }
        let (data, status) = self.exchange(command, touch, cancellable)?;
        if status == StatusWord::SUCCESS {
            return C::decode(&data)
                .map_err(|malformed| Failure { carried_out: true, source: malformed.of(C::NAME) });
        }
        if status == INTERRUPTED && touch == Touch::Maybe && cancellable && self.attendant.cancelled() {
            return Err(Failure { carried_out: false, source: Error::Cancelled });
        }
        let source = command.refusal(status).unwrap_or_else(|| match touch {
            Touch::Maybe if status == StatusWord::SECURITY => Error::TouchTimedOut,
            _ => status.refused(C::NAME),
        });
        let carried_out = !status.is_clean_refusal() && !matches!(source, Error::WrongLockCode { .. });
        Err(Failure { carried_out, source })
    }

    fn exchange<C: Command>(
        &mut self,
        command: &C,
        touch: Touch,
        cancellable: bool,
    ) -> Result<Answer, Failure> {
        let mut data = Zeroizing::new(Vec::with_capacity(apdu::MAX_DATA + 1));
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        let mut parts = apdu::encode(Header { ins: C::INS, p1, p2 }, &data);
        let (Some(apdu), true) = (parts.pop(), parts.is_empty()) else {
            let problem = format!("{} bytes, {} can be sent", data.len(), apdu::MAX_DATA);
            return Err(Failure { carried_out: false, source: Error::Invalid { field: "command", problem } });
        };
        let (mut answer, mut status) = self.transmit(C::NAME, &apdu, touch, cancellable)?;
        for _ in 0..MAX_PARTS {
            if status.more().is_none() {
                return Ok((answer, status));
            }
            let more = match self.exchange {
                Exchange::Card(_) => GET_RESPONSE,
                Exchange::Hid(_) => SEND_REMAINING,
            };
            let (part, next) = self.transmit(C::NAME, more, Touch::Never, false)?;
            if answer.is_empty() && part.is_empty() && next != StatusWord::SUCCESS {
                return Err(Failure { carried_out: true, source: too_long(next, C::NAME) });
            }
            if answer.len() + part.len() > MAX_ANSWER {
                break;
            }
            answer = join(&answer, &part);
            status = next;
        }
        let endless = Malformed::new("answer without end", answer.len()).of(C::NAME);
        Err(Failure { carried_out: true, source: endless })
    }

    /// One command APDU out, one answer in: its data and its status.
    fn transmit(
        &mut self,
        name: &'static str,
        apdu: &[u8],
        touch: Touch,
        cancellable: bool,
    ) -> Result<Answer, Failure> {
        let (answer, status) = match &mut self.exchange {
            Exchange::Card(transaction) => {
                let answer = transaction.transmit(&apdu::with_le(apdu, 0x00));
                let answer = answer.map_err(|error| Failure { carried_out: true, source: error.into() })?;
                let answer = Zeroizing::new(answer);
                let split = apdu::split(&answer);
                split.map(|(data, status)| (Zeroizing::new(data.to_vec()), status))
            }
            Exchange::Hid(channel) => {
                // No Le: a command without data has four bytes.
                let apdu = match apdu {
                    [header @ .., 0x00] if header.len() == 4 => header,
                    apdu => apdu,
                };
                let patience = if touch == Touch::Maybe { TOUCH_PATIENCE } else { PATIENCE };
                let listener =
                    Listener { attendant: self.attendant, told: touch == Touch::Maybe, cancellable };
                let answer = channel.transact(name, SECRETS, apdu, patience, &listener);
                let answer = answer
                    .map_err(|error| Failure { carried_out: error.carried_out, source: error.source })?;
                let split = answer.split_first_chunk::<2>();
                split.map(|(status, data)| {
                    (Zeroizing::new(data.to_vec()), StatusWord(u16::from_be_bytes(*status)))
                })
            }
        }
        .ok_or_else(|| {
            let source = Malformed::new("status word is missing", 0).of(name);
            Failure { carried_out: true, source }
        })?;
        Ok((answer, status))
    }
}

/// The card drops what the app gave it of an answer in several parts.
fn too_long(status: StatusWord, command: &'static str) -> Error {
    match status.0 {
        0x6F00 | 0x6D00 => Error::Unsupported {
            what: "an answer of more than 3072 bytes over a smart-card reader",
            needs: "its FIDO interface".to_owned(),
        },
        _ => status.refused(command),
    }
}

/// Joins two parts in a new buffer, so that no copy is left unwiped by a growing vector.
fn join(first: &[u8], second: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut both = Zeroizing::new(Vec::with_capacity(first.len() + second.len()));
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both
}

/// The attendant while a message is under way.
struct Listener<'a> {
    attendant: &'a dyn Attendant,
    /// The attendant knows already that a touch is needed.
    told: bool,
    cancellable: bool,
}

impl Attendant for Listener<'_> {
    fn touch_needed(&self) {
        if !self.told {
            self.attendant.touch_needed();
        }
    }

    fn cancelled(&self) -> bool {
        self.cancellable && self.attendant.cancelled()
    }
}

/// Goes to the app and works with it. On a card that is one transaction, and SELECT begins it; over CTAPHID SELECT is
/// only sent if its answer is wanted.
///
/// # Errors
/// Whatever `work` fails with, or the way there.
pub(super) fn visit<T>(
    wire: &mut Wire,
    attendant: &dyn Attendant,
    select: bool,
    mut work: impl FnMut(&mut Session<'_>, Option<Selected>) -> Result<T, Error>,
) -> Result<T, Error> {
    // A reset is told once for each begin that it upsets, and at most once more in the middle of a visit.
    let (mut begins, mut visits) = (2, 1);
    loop {
        if attendant.cancelled() {
            return Err(Error::Cancelled);
        }
        let (exchange, select) = match wire {
            Wire::Card(connection) => match connection.begin() {
                Err(TransportError::Reset) if begins > 0 => {
                    begins -= 1;
                    continue;
                }
                begun => (Exchange::Card(begun?), true),
            },
            Wire::Hid(channel) => (Exchange::Hid(channel), select),
        };
        let mut session = Session { exchange, attendant, committed: false };
        let selected = if select { session.call(&Select, Touch::Never).map(Some) } else { Ok(None) };
        let result = selected.map_err(Error::from).and_then(|selected| work(&mut session, selected));
        match result {
            Err(Error::Transport(TransportError::Reset)) if !session.committed && visits > 0 => visits -= 1,
            result => return result,
        }
    }
}
