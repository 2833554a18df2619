//! The applet behind the key's FIDO interface: commands in reports of its own kind, not CTAPHID.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | 21 |
//! | 1 | 1 | high nibble: 2 more follows, 0 last, C busy (from the key only); low nibble: number modulo 16 |
//! | 2 | 1 | length, 61 at most |
//! | 3 | 61 | a piece of the command, or of the answer and its status |
//!
//! No applet has to be selected. While the key waits for its button it says so ten times a second (assumed). What
//! follows no rule is thrown away, with what came before it.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Model, PinPlus};
use crate::apdu::Command;
use crate::applets::{Refusal, Touch};
use crate::ctaphid;
use crate::hid::{HidChip, HidFace, Moment, Stall, VirtualHid};

const MAGIC: u8 = 0x21;
const CHUNK: usize = 61;
const BUSY_EVERY: Duration = Duration::from_millis(100);

/// The key, and what is on its way in and out.
pub(super) struct Tunnel {
    pub(super) key: PinPlus,
    incoming: Vec<u8>,
    pieces: u8,
    /// A command that waits for the button, and when the key last said so.
    waiting: Option<(Vec<u8>, Duration)>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Model {
    /// A key of this model on a USB port.
    #[must_use]
    pub fn hid(self) -> VirtualHid {
        let face = HidFace {
            model: self.name,
            vendor_id: 0x349E,
            product_id: self.product_id,
            release: 0x0100,
            manufacturer: "TOKEN2",
            product: "FIDO2 Security Key",
            serial: None,
            interface: 0,
            usage: ctaphid::USAGE,
            descriptor: ctaphid::DESCRIPTOR,
            feature_length: 0,
            report_length: ctaphid::PACKET,
        };
        // Behind the tunnel the whole configuration is told, and the serial at once.
        let pin = self.pin && self.pin_over_hid;
        let model = Self { config_bytes: 10, wants_prelude: false, serial_from_fido: false, pin, ..self };
        let mut tunnel = Tunnel {
            key: PinPlus::new(model),
            incoming: Vec::new(),
            pieces: 0,
            waiting: None,
            outgoing: VecDeque::new(),
        };
        tunnel.reset();
        VirtualHid::new(face, Box::new(tunnel))
    }
}

impl Tunnel {
    fn run(&mut self, command: Vec<u8>, touch: Touch, moment: &mut Moment) {
        let answer = match Command::parse(&command, true) {
            Ok(command) => self.key.run(&command, touch),
            Err(status) => Err(status.into()),
        };
        let answer = match answer {
            Ok(mut data) => {
                data.extend([0x90, 0x00]);
                data
            }
            Err(Refusal::Status(status)) => status.bytes().to_vec(),
            Err(Refusal::TouchNeeded) => {
                moment.touch();
                self.waiting = Some((command, moment.now));
                return;
            }
        };
        let last = answer.len().div_ceil(CHUNK) - 1;
        for (number, piece) in answer.chunks(CHUNK).enumerate() {
            let flag = if number < last { 0x20 } else { 0x00 };
            self.outgoing.push_back(report(flag | (number % 16) as u8, piece));
        }
    }
}

fn report(flags: u8, piece: &[u8]) -> Vec<u8> {
    let mut report = vec![MAGIC, flags, piece.len() as u8];
    report.extend(piece);
    report.resize(ctaphid::PACKET, 0);
    report
}

impl HidChip for Tunnel {
    fn output(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        // A new command ends the one that waits (assumed).
        self.outgoing.clear();
        if self.waiting.take().is_some() {
            moment.forget_touch();
        }
        let piece = match report {
            [MAGIC, flags, length, rest @ ..] if flags & 0x0F == self.pieces % 16 => {
                rest.get(..usize::from(*length)).filter(|_| usize::from(*length) <= CHUNK)
            }
            _ => None,
        };
        let Some(piece) = piece else {
            self.incoming.clear();
            self.pieces = 0;
            return Ok(());
        };
        self.incoming.extend_from_slice(piece);
        self.pieces = self.pieces.wrapping_add(1);
        if report.get(1).is_some_and(|flags| flags & 0xF0 == 0) {
            self.pieces = 0;
            let command = std::mem::take(&mut self.incoming);
            self.run(command, Touch::NotAsked, moment);
        }
        Ok(())
    }

    fn input(&mut self, moment: &mut Moment) -> Option<Vec<u8>> {
        if let Some((command, told)) = self.waiting.take() {
            match moment.touch() {
                Touch::NotAsked if moment.now >= told + BUSY_EVERY => {
                    self.waiting = Some((command, moment.now));
                    return Some(report(0xC0, &[]));
                }
                Touch::NotAsked => self.waiting = Some((command, told)),
                touch => self.run(command, touch, moment),
            }
        }
        self.outgoing.pop_front()
    }

    fn reset(&mut self) {
        self.key.forget();
        // Nothing is read first over USB.
        self.key.told = 1;
        self.incoming.clear();
        self.pieces = 0;
        self.waiting = None;
        self.outgoing.clear();
    }
}
