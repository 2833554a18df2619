//! The HID tunnel: commands in reports on the key's FIDO interface. It is not CTAPHID.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | 21 |
//! | 1 | 1 | high nibble: 2 more follows, 0 last, C the key is busy; low nibble: number modulo 16 |
//! | 2 | 1 | length, 61 at most |
//! | 3 | 61 | a piece of the command, or of the answer and its status; zeros behind it |
//!
//! A busy key is asked again without a new number; the third time somebody is told to touch it, and may cancel. To
//! the card layer a tunnel is a transaction, so what is above it knows no difference.

use std::cell::Cell;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::token::Attendant;
use crate::transport::{CardTransaction, HidConnection, TransportError};

const REPORT: usize = 64;
const CHUNK: usize = 61;
const MAGIC: u8 = 0x21;
const MORE: u8 = 0x20;
const BUSY: u8 = 0xC0;

/// How long the key may say nothing: as its maker's clients wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same for the first command, to which keys without the applet say nothing.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// How often somebody is asked whether to go on.
const SLICE: Duration = Duration::from_millis(100);
/// From which busy report on the key is thought to wait for its button.
const BUSY_MEANS_TOUCH: u32 = 3;
/// Busy reports to one command: more than a key sends in the half minute it waits for its button.
const MAX_BUSY: u32 = 20_000;
/// Reports to read away before a command.
const MAX_STRAY: u32 = 1000;
/// Longest answer.
const MAX_ANSWER: usize = 0x1_0000;

/// What a silent key fails with.
const SILENCE: &str = "no answer in time";

/// Whether a call failed because the key said nothing.
pub(super) fn is_silence(error: &TransportError) -> bool {
    matches!(error, TransportError::Failed { detail, .. } if detail == SILENCE)
}

/// A command's reports.
fn reports(command: &[u8]) -> Vec<Zeroizing<[u8; REPORT]>> {
    let last = command.len().div_ceil(CHUNK).saturating_sub(1);
    let frame = |(number, piece): (usize, &[u8])| {
        let mut report = Zeroizing::new([0; REPORT]);
        // The remainder is below 16, a piece has 61 bytes at most.
        let number_bits = u8::try_from(number % 16).unwrap_or_default();
        let flags = if number < last { MORE } else { 0x00 };
        let header = [MAGIC, flags | number_bits, u8::try_from(piece.len()).unwrap_or_default()];
        for (slot, byte) in report.iter_mut().zip(header.iter().chain(piece)) {
            *slot = *byte;
        }
        report
    };
    command.chunks(CHUNK).enumerate().map(frame).collect()
}

/// What a report of an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Part<'r> {
    Busy,
    Piece { bytes: &'r [u8], more: bool },
}

/// Reads the report with this number.
fn parse(report: &[u8], number: u8) -> Result<Part<'_>, &'static str> {
    let [MAGIC, flags, length, rest @ ..] = report else {
        return Err("a report that does not begin with 21");
    };
    if flags & 0xF0 == BUSY {
        return Ok(Part::Busy);
    }
    if flags & 0x0F != number {
        return Err("a report out of order");
    }
    let bytes = rest.get(..usize::from(*length)).filter(|bytes| bytes.len() <= CHUNK);
    let bytes = bytes.ok_or("a report shorter than it says")?;
    Ok(Part::Piece { bytes, more: flags & MORE != 0 })
}

/// The attendant during one visit, who is told of a touch once: before the command that is known to want one, or
/// else when the key turns out to wait.
pub(super) struct Prompt<'c> {
    attendant: &'c dyn Attendant,
    told: Cell<bool>,
}

impl<'c> Prompt<'c> {
    pub(super) fn new(attendant: &'c dyn Attendant) -> Self {
        Self { attendant, told: Cell::new(false) }
    }

    /// The next command wants a touch.
    pub(super) fn announce(&self) {
        self.told.set(true);
        self.attendant.touch_needed();
    }

    /// The key waits, for a touch it seems.
    fn wait(&self) {
        if !self.told.replace(true) {
            self.attendant.touch_needed();
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        self.attendant.cancelled()
    }
}

/// The tunnel during one visit.
pub(super) struct Tunnel<'c> {
    connection: &'c mut dyn HidConnection,
    prompt: &'c Prompt<'c>,
    patience: Duration,
}

impl<'c> Tunnel<'c> {
    /// Begins a visit. `known` says that the key has answered before.
    pub(super) fn new(connection: &'c mut dyn HidConnection, prompt: &'c Prompt<'c>, known: bool) -> Self {
        Self { connection, prompt, patience: if known { PATIENCE } else { FIRST_PATIENCE } }
    }

    /// Reads away what came too late for an earlier command.
    fn drain(&mut self) -> Result<(), TransportError> {
        for _ in 0..MAX_STRAY {
            if self.connection.read(Duration::ZERO)?.is_none() {
                return Ok(());
            }
        }
        Err(failed("reports without end"))
    }

    fn answer(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut answer = Zeroizing::new(Vec::new());
        let (mut silent, mut busy, mut number) = (Duration::ZERO, 0, 0);
        loop {
            let Some(report) = self.connection.read(SLICE)?.map(Zeroizing::new) else {
                silent += SLICE;
                if silent >= self.patience {
                    return Err(failed(SILENCE));
                }
                continue;
            };
            silent = Duration::ZERO;
            match parse(&report, number).map_err(failed)? {
                Part::Busy => {
                    busy += 1;
                    if busy == BUSY_MEANS_TOUCH {
                        self.prompt.wait();
                    }
                    if busy > MAX_BUSY {
                        return Err(failed("busy without end"));
                    }
                    if busy >= BUSY_MEANS_TOUCH && self.prompt.cancelled() {
                        return Err(failed("cancelled"));
                    }
                }
                Part::Piece { bytes, more } => {
                    answer.extend_from_slice(bytes);
                    number = (number + 1) % 16;
                    if !more {
                        return Ok(answer.to_vec());
                    }
                    if answer.len() > MAX_ANSWER {
                        return Err(failed("an answer without end"));
                    }
                }
            }
        }
    }
}

impl CardTransaction for Tunnel<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.drain()?;
        for report in reports(command) {
            self.connection.write(&*report)?;
        }
        let answer = self.answer()?;
        self.patience = PATIENCE;
        Ok(answer)
    }
}

fn failed(detail: &str) -> TransportError {
    TransportError::Failed { call: "HID tunnel", detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::hex;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reports_are_those_of_the_sheet() {
        let list = reports(&hex("80c5050009 03 000000000000003b"));
        assert_eq!(list.len(), 1);
        assert_eq!(list[0][..17], hex("21000e 80c5050009 03 000000000000003b"));
        assert_eq!(list[0][17..], [0; 47]);
        let write = reports(&[&hex("80c5050260")[..], &[7; 96]].concat());
        assert_eq!(write.len(), 2);
        assert_eq!(write[0][..8], hex("21203d 80c5050260"));
        assert_eq!(write[1][..4], hex("210128 07"));
        let numbers: Vec<u8> = reports(&[0; 61 * 18]).iter().map(|report| report[1]).collect();
        assert_eq!((numbers.len(), numbers[15], numbers[16], numbers[17]), (18, 0x2F, 0x20, 0x01));
    }

    #[test]
    fn answers_are_put_together_and_busy_has_no_number() {
        let piece = |bytes, more| Ok(Part::Piece { bytes, more });
        assert_eq!(parse(&hex("210002 9000 00"), 0), piece(&[0x90, 0x00][..], false));
        assert_eq!(parse(&hex("212101 07"), 1), piece(&[7][..], true));
        assert_eq!(parse(&hex("21C000"), 5), Ok(Part::Busy));
        assert_eq!(parse(&hex("210102 9000"), 0), Err("a report out of order"));
        assert_eq!(parse(&hex("210003 9000"), 0), Err("a report shorter than it says"));
        assert_eq!(parse(&[&hex("21003E")[..], &[0; 62]].concat(), 0), Err("a report shorter than it says"));
        assert_eq!(parse(&hex("FFFFFFFF86"), 0), Err("a report that does not begin with 21"));
    }

    proptest! {
        #[test]
        fn no_report_makes_it_panic(report in proptest::collection::vec(any::<u8>(), 0..70), number in 0_u8..16) {
            let _ = parse(&report, number);
        }
    }
}
