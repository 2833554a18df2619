//! The keyboard interface of a YubiKey: frames of 70 bytes in feature reports of 8.
//!
//! A frame is 64 bytes of payload, the command, the CRC-16 of the payload (little-endian, not complemented) and
//! three bytes of filler, cut into slices of 7. Byte 7 of a report says what it is:
//!
//! | byte 7 | host to key | key to host |
//! |---|---|---|
//! | 00 | | status: a zero, version (3), program sequence, touch level (2) |
//! | 80 + n | slice n; 9 runs the command; above 9 aborts | the last slice is not taken yet |
//! | 40 + n | | slice n of an answer; 0 again after the last |
//! | 20 + n | | waits for a touch, n seconds left |
//!
//! Slices of zeros may be left out. An answer ends with its complemented CRC-16 and is gone a second after it began.
//! Assumed: a slice counts as not taken for exactly one report; a report without 80 is ignored; after a time on the
//! card interface commands are swallowed whole.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Flash, crc16, keys};
use crate::applets::Touch;
use crate::card::VirtualCard;
use crate::firmware::Firmware;
use crate::hid::{HidChip, HidFace, Moment, Stall};
use crate::ykotp::slots::Outcome;

const REPORT: usize = 8;
const SLICE: usize = 7;
const FRAME: usize = 70;
const PAYLOAD: usize = 64;
const LAST_SLICE: u8 = 9;

const WRITE: u8 = 0x80;
const ANSWER: u8 = 0x40;
const TOUCH: u8 = 0x20;

/// How long an answer waits to be fetched.
const ANSWER_LIFE: Duration = Duration::from_secs(1);

/// Boot keyboard with an 8-byte vendor feature report, no report ids. Compatible with the real one, not equal to it.
const DESCRIPTOR: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, // Keyboard
    0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81,
    0x02, // Modifiers
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01, // Reserved
    0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x95, 0x05, 0x75, 0x01, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91,
    0x01, // Lights
    0x05, 0x07, 0x19, 0x00, 0x29, 0xFF, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x95, 0x06, 0x75, 0x08, 0x81,
    0x00, // Keys
    0x06, 0x00, 0xFF, 0x09, 0x01, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, 0x08, 0xB1,
    0x02, // Feature
    0xC0,
];

/// What a host sees of the keyboard interface.
#[must_use]
pub fn face(firmware: &Firmware, product_id: u16, product: &'static str) -> HidFace {
    let [major, minor, patch] = firmware.version;
    HidFace {
        model: firmware.model,
        vendor_id: 0x1050,
        product_id,
        release: u16::from(major) << 8 | u16::from(minor) << 4 | u16::from(patch & 0x0F),
        manufacturer: "Yubico",
        product,
        serial: None,
        interface: 0,
        usage: (1, 6),
        descriptor: DESCRIPTOR,
        feature_length: REPORT,
        report_length: REPORT,
    }
}

/// The inside of the keyboard interface.
pub struct OtpChip {
    flash: Flash,
    /// The status as the interface tells it.
    status: [u8; 6],
    received: [u8; FRAME],
    /// A slice that is not taken yet.
    busy: Option<u8>,
    state: State,
    /// Keys on their way to the host.
    typed: VecDeque<[u8; REPORT]>,
    reclaim: Option<Reclaim>,
}

enum State {
    Idle,
    /// `seen`: the host was told at least once, as it would be of the quickest finger.
    Touching {
        command: u8,
        payload: [u8; PAYLOAD],
        seen: bool,
    },
    Answering {
        slices: Vec<[u8; SLICE]>,
        next: usize,
        since: Duration,
    },
}

/// The card interface of the same key: while it was used a moment ago, commands here are swallowed.
struct Reclaim {
    card: VirtualCard,
    seen: u64,
    time: Duration,
    until: Duration,
}

impl OtpChip {
    /// The interface of a key with these slots.
    #[must_use]
    pub fn new(flash: Flash) -> Self {
        let status = flash.open().status();
        Self {
            flash,
            status,
            received: [0; FRAME],
            busy: None,
            state: State::Idle,
            typed: VecDeque::new(),
            reclaim: None,
        }
    }

    /// Swallows commands for so long after each use of this card.
    pub fn reclaim_after(&mut self, card: &VirtualCard, time: Duration) {
        self.reclaim =
            Some(Reclaim { card: card.clone(), seen: card.exchanges(), time, until: Duration::ZERO });
    }

    /// A human presses the button for a slot: the keys go to the host as input reports, and what they type on a US
    /// keyboard is returned. `None` if the slot types nothing.
    pub fn press(&mut self, slot: u8) -> Option<String> {
        let typed = self.flash.open().press(slot)?;
        self.typed.extend(typed.iter().flat_map(|code| keys::reports(*code)));
        Some(keys::text(&typed))
    }

    fn swallows(&mut self, now: Duration) -> bool {
        let Some(reclaim) = &mut self.reclaim else { return false };
        let exchanges = reclaim.card.exchanges();
        if exchanges != reclaim.seen {
            reclaim.seen = exchanges;
            reclaim.until = now + reclaim.time;
        }
        now < reclaim.until
    }

    fn abort(&mut self, moment: &mut Moment) {
        self.state = State::Idle;
        self.received = [0; FRAME];
        moment.forget_touch();
    }

    /// The frame is complete.
    fn execute(&mut self, moment: &mut Moment) {
        let frame = self.received;
        let Some((payload, tail)) = frame.split_first_chunk::<PAYLOAD>() else { return };
        if tail[1..3] != crc16(payload).to_le_bytes() {
            return;
        }
        self.run(tail[0], *payload, Touch::NotAsked, moment);
    }

    fn run(&mut self, command: u8, payload: [u8; PAYLOAD], touch: Touch, moment: &mut Moment) {
        let mut flash = self.flash.open();
        let outcome = flash.run(command, &payload, touch);
        self.status = flash.status();
        self.state = match outcome {
            Outcome::Status => State::Idle,
            Outcome::Answer(answer) => {
                State::Answering { slices: slices(&answer), next: 0, since: moment.now }
            }
            Outcome::TouchNeeded => {
                // The light goes on with the command.
                moment.touch();
                State::Touching { command, payload, seen: false }
            }
        };
    }

    fn status_report(&self) -> [u8; REPORT] {
        let mut report = [0; REPORT];
        let status = self.flash.open();
        let now = if status.generation().keeps_hid_status { self.status } else { status.status() };
        report[1..7].copy_from_slice(&now);
        report
    }
}

/// An answer with its CRC, in slices; the last is padded with zeros.
fn slices(answer: &[u8]) -> Vec<[u8; SLICE]> {
    let mut bytes = answer.to_vec();
    bytes.extend((!crc16(answer)).to_le_bytes());
    bytes
        .chunks(SLICE)
        .map(|chunk| {
            let mut slice = [0; SLICE];
            slice[..chunk.len()].copy_from_slice(chunk);
            slice
        })
        .collect()
}

fn report(slice: [u8; SLICE], flags: u8) -> Vec<u8> {
    [&slice[..], &[flags]].concat()
}

impl HidChip for OtpChip {
    fn set_feature(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        let (slice, flags) = match report {
            [slice @ .., flags] if slice.len() == SLICE => (slice, *flags),
            _ => return Err(Stall),
        };
        let number = flags & 0x1F;
        if flags & WRITE == 0 || self.swallows(moment.now) {
            return Ok(());
        }
        if number > LAST_SLICE {
            self.abort(moment);
            return Ok(());
        }
        if number == 0 {
            self.abort(moment);
        }
        let start = SLICE * usize::from(number);
        self.received[start..start + SLICE].copy_from_slice(slice);
        self.busy = Some(number);
        if number == LAST_SLICE {
            self.execute(moment);
        }
        Ok(())
    }

    fn get_feature(&mut self, moment: &mut Moment) -> Result<Vec<u8>, Stall> {
        if let Some(number) = self.busy.take() {
            return Ok(report([0; SLICE], WRITE | number));
        }
        if let State::Touching { command, payload, seen } = &mut self.state {
            let left = moment.touch_time_left();
            let first = !std::mem::replace(seen, true) && left > Duration::ZERO;
            let (command, payload) = (*command, *payload);
            match if first { Touch::NotAsked } else { moment.touch() } {
                Touch::NotAsked => {
                    return Ok(report([0; SLICE], TOUCH | left.as_secs().min(0x1F) as u8));
                }
                touch => self.run(command, payload, touch, moment),
            }
        }
        if let State::Answering { slices, next, since } = &mut self.state {
            if moment.now.saturating_sub(*since) <= ANSWER_LIFE {
                let number = *next;
                *next += 1;
                return Ok(match slices.get(number) {
                    Some(slice) => report(*slice, ANSWER | number as u8),
                    None => report([0; SLICE], ANSWER),
                });
            }
            self.state = State::Idle;
        }
        Ok(self.status_report().to_vec())
    }

    fn output(&mut self, _lights: &[u8], _moment: &mut Moment) -> Result<(), Stall> {
        Ok(())
    }

    fn input(&mut self, _moment: &mut Moment) -> Option<Vec<u8>> {
        self.typed.pop_front().map(Vec::from)
    }

    fn reset(&mut self) {
        self.status = self.flash.open().status();
        self.received = [0; FRAME];
        self.busy = None;
        self.state = State::Idle;
        self.typed.clear();
    }
}

#[cfg(test)]
mod tests;
