//! CTAPHID as an authenticator speaks it (FIDO CTAP 2.1 §11.2), in front of whatever handles its messages.
//!
//! | packet | bytes |
//! |---|---|
//! | initialization | CID (4), command with bit 7, length (2), up to 57 bytes |
//! | continuation | CID (4), sequence from 0, up to 59 bytes |
//!
//! The front gives out channels, assembles messages, answers PING, WINK and INIT by itself and hands everything else
//! to a [`Handler`]: U2F APDUs, CBOR, vendor commands. One message is in work at a time; other channels are told that
//! the device is busy. While a touch is awaited it sends keep-alives, if its firmware does that ([`Traits`]). A
//! message whose packets stop coming is given up after 550 ms.

use std::any::Any;
use std::collections::VecDeque;
use std::time::Duration;

use crate::applets::Touch;
use crate::hid::{HidChip, Moment, Stall};

/// Commands, without bit 7.
pub mod command {
    /// Echo.
    pub const PING: u8 = 0x01;
    /// A U2F command APDU.
    pub const MSG: u8 = 0x03;
    /// A channel, or a fresh start on one.
    pub const INIT: u8 = 0x06;
    /// Blink.
    pub const WINK: u8 = 0x08;
    /// A CTAP2 command.
    pub const CBOR: u8 = 0x10;
    /// Give up waiting for a touch.
    pub const CANCEL: u8 = 0x11;
    /// Still at it.
    pub const KEEPALIVE: u8 = 0x3B;
    /// What is wrong, in one byte.
    pub const ERROR: u8 = 0x3F;
}

/// Codes of an ERROR.
pub mod error {
    /// Invalid command.
    pub const INVALID_COMMAND: u8 = 0x01;
    /// Invalid length.
    pub const INVALID_LENGTH: u8 = 0x03;
    /// Invalid sequence number.
    pub const INVALID_SEQUENCE: u8 = 0x04;
    /// The rest of a message did not come.
    pub const MESSAGE_TIMEOUT: u8 = 0x05;
    /// Another channel is being served.
    pub const CHANNEL_BUSY: u8 = 0x06;
    /// The channel was never given out.
    pub const INVALID_CHANNEL: u8 = 0x0B;
}

/// Usage page and usage of the HID collection.
pub const USAGE: (u16, u16) = (0xF1D0, 0x01);

/// Report descriptor: 64 bytes in, 64 bytes out, no report id.
pub const DESCRIPTOR: &[u8] = &[
    0x06, 0xD0, 0xF1, 0x09, 0x01, 0xA1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95,
    0x40, 0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02, 0xC0,
];

/// Length of a report.
pub const PACKET: usize = 64;
const FIRST: usize = PACKET - 7;
const NEXT: usize = PACKET - 5;
const BROADCAST: u32 = 0xFFFF_FFFF;
/// How long the rest of a message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(550);

/// What differs from device to device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Version that INIT tells: major, minor, build.
    pub version: [u8; 3],
    /// Capability bits that INIT tells: 01 WINK, 04 CBOR, 08 no MSG.
    pub capabilities: u8,
    /// How often a keep-alive is sent while a touch is awaited; `None` on firmware that sends none for such messages.
    pub keepalive: Option<Duration>,
    /// Longest message that is taken.
    pub longest: usize,
}

/// What lies behind the front.
pub trait Handler: Any + Send {
    /// One message. Called with [`Touch::NotAsked`] first, where it may change nothing if it wants a touch, and then
    /// again with what the human did.
    fn message(&mut self, command: u8, message: &[u8], touch: Touch) -> Outcome;

    /// The host cancelled the message that waits for a touch: what to answer it with.
    fn cancelled(&mut self, command: u8, message: &[u8]) -> Outcome {
        self.message(command, message, Touch::TimedOut)
    }

    /// Power was lost or the bus reset.
    fn reset(&mut self);
}

/// What a handler makes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answers under the same command.
    Answer(Vec<u8>),
    /// It wants to be touched and has changed nothing yet.
    TouchNeeded,
    /// The front answers with ERROR and this code.
    Error(u8),
}

/// A HID chip that speaks CTAPHID.
pub struct CtapHid<H> {
    /// What lies behind.
    pub handler: H,
    traits: Traits,
    /// Channels 1 to this one are given out.
    last_channel: u32,
    receiving: Option<Receiving>,
    waiting: Option<Waiting>,
    outgoing: VecDeque<Vec<u8>>,
}

/// A message of which packets are missing.
struct Receiving {
    channel: u32,
    command: u8,
    length: usize,
    message: Vec<u8>,
    next: u8,
    since: Duration,
}

/// A message that waits for a touch.
struct Waiting {
    channel: u32,
    command: u8,
    message: Vec<u8>,
    told_at: Duration,
}

impl<H: Handler> CtapHid<H> {
    /// A front for this.
    #[must_use]
    pub fn new(traits: Traits, handler: H) -> Self {
        Self { handler, traits, last_channel: 0, receiving: None, waiting: None, outgoing: VecDeque::new() }
    }

    fn packet(&mut self, packet: &[u8; PACKET], moment: &mut Moment) {
        let [a, b, c, d, head, rest @ ..] = packet;
        let channel = u32::from_be_bytes([*a, *b, *c, *d]);
        if *head & 0x80 == 0 {
            return self.continuation(channel, *head, rest, moment);
        }
        let [high, low, data @ ..] = rest;
        let (command, length) = (*head & 0x7F, usize::from(u16::from_be_bytes([*high, *low])));
        let known = channel == BROADCAST || (1..=self.last_channel).contains(&channel);
        if !known || (channel == BROADCAST && command != command::INIT) {
            return self.error(channel, error::INVALID_CHANNEL);
        }
        match command {
            command::INIT => self.init(channel, length, data, moment),
            command::CANCEL => self.cancel(channel, moment),
            _ => match self.busy_with() {
                Some(other) if other != channel => self.error(channel, error::CHANNEL_BUSY),
                Some(_) => {
                    self.abort(moment);
                    self.error(channel, error::INVALID_SEQUENCE);
                }
                None if length > self.traits.longest => self.error(channel, error::INVALID_LENGTH),
                None => {
                    let message = data[..length.min(FIRST)].to_vec();
                    self.receiving =
                        Some(Receiving { channel, command, length, message, next: 0, since: moment.now });
                    self.dispatch_if_complete(moment);
                }
            },
        }
    }

    fn continuation(&mut self, channel: u32, sequence: u8, data: &[u8], moment: &mut Moment) {
        // What belongs to no message is ignored.
        let Some(receiving) = self.receiving.as_mut().filter(|receiving| receiving.channel == channel) else {
            return;
        };
        if sequence != receiving.next {
            self.receiving = None;
            return self.error(channel, error::INVALID_SEQUENCE);
        }
        receiving.next += 1;
        let missing = receiving.length - receiving.message.len();
        receiving.message.extend_from_slice(&data[..missing.min(NEXT)]);
        self.dispatch_if_complete(moment);
    }

    fn init(&mut self, channel: u32, length: usize, data: &[u8], moment: &mut Moment) {
        if length != 8 {
            return self.error(channel, error::INVALID_LENGTH);
        }
        let given = if channel == BROADCAST {
            self.last_channel += 1;
            self.last_channel
        } else {
            if self.busy_with() == Some(channel) {
                self.abort(moment);
            }
            channel
        };
        let [major, minor, build] = self.traits.version;
        let told = [2, major, minor, build, self.traits.capabilities];
        self.send(channel, command::INIT, &[&data[..8], &given.to_be_bytes(), &told].concat());
    }

    fn cancel(&mut self, channel: u32, moment: &mut Moment) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.channel == channel) {
            moment.forget_touch();
            match self.handler.cancelled(waiting.command, &waiting.message) {
                Outcome::Answer(answer) => self.send(channel, waiting.command, &answer),
                Outcome::Error(code) => self.error(channel, code),
                Outcome::TouchNeeded => {}
            }
        }
    }

    fn busy_with(&self) -> Option<u32> {
        let receiving = self.receiving.as_ref().map(|receiving| receiving.channel);
        receiving.or(self.waiting.as_ref().map(|waiting| waiting.channel))
    }

    fn abort(&mut self, moment: &mut Moment) {
        self.receiving = None;
        if self.waiting.take().is_some() {
            moment.forget_touch();
        }
    }

    fn dispatch_if_complete(&mut self, moment: &mut Moment) {
        let complete = self.receiving.take_if(|receiving| receiving.message.len() == receiving.length);
        let Some(Receiving { channel, command, message, .. }) = complete else { return };
        match command {
            command::PING => self.send(channel, command, &message),
            command::WINK if self.traits.capabilities & 1 != 0 => self.send(channel, command, &[]),
            _ => {
                self.run(Waiting { channel, command, message, told_at: moment.now }, Touch::NotAsked, moment)
            }
        }
    }

    fn run(&mut self, request: Waiting, touch: Touch, moment: &mut Moment) {
        let Waiting { channel, command, .. } = request;
        match self.handler.message(command, &request.message, touch) {
            Outcome::Answer(answer) => self.send(channel, command, &answer),
            Outcome::Error(code) => self.error(channel, code),
            Outcome::TouchNeeded => {
                // The first question begins the wait.
                moment.touch();
                self.waiting = Some(request);
                self.keepalive(moment);
            }
        }
    }

    fn keepalive(&mut self, moment: &Moment) {
        if let (Some(waiting), Some(_)) = (&mut self.waiting, self.traits.keepalive) {
            waiting.told_at = moment.now;
            let channel = waiting.channel;
            self.send(channel, command::KEEPALIVE, &[2]);
        }
    }

    fn error(&mut self, channel: u32, code: u8) {
        self.send(channel, command::ERROR, &[code]);
    }

    fn send(&mut self, channel: u32, command: u8, message: &[u8]) {
        let [high, low] = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
        let (first, rest) = message.split_at(message.len().min(FIRST));
        self.push(channel, &[command | 0x80, high, low], first);
        for (sequence, part) in (0..0x80_u8).zip(rest.chunks(NEXT)) {
            self.push(channel, &[sequence], part);
        }
    }

    fn push(&mut self, channel: u32, head: &[u8], data: &[u8]) {
        let mut packet = [&channel.to_be_bytes()[..], head, data].concat();
        packet.resize(PACKET, 0);
        self.outgoing.push_back(packet);
    }
}

impl<H: Handler> HidChip for CtapHid<H> {
    fn output(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        // Packets of another size are ignored.
        if let Ok(packet) = report.try_into() {
            self.packet(packet, moment);
        }
        Ok(())
    }

    fn input(&mut self, moment: &mut Moment) -> Option<Vec<u8>> {
        if let Some(late) =
            self.receiving.take_if(|receiving| moment.now >= receiving.since + MESSAGE_TIMEOUT)
        {
            self.error(late.channel, error::MESSAGE_TIMEOUT);
        }
        if self.outgoing.is_empty()
            && let Some(waiting) = self.waiting.take()
        {
            match moment.touch() {
                Touch::NotAsked => {
                    let due =
                        self.traits.keepalive.is_some_and(|every| moment.now >= waiting.told_at + every);
                    self.waiting = Some(waiting);
                    if due {
                        self.keepalive(moment);
                    }
                }
                touch => self.run(waiting, touch, moment),
            }
        }
        self.outgoing.pop_front()
    }

    fn reset(&mut self) {
        self.last_channel = 0;
        self.receiving = None;
        self.waiting = None;
        self.outgoing.clear();
        self.handler.reset();
    }
}

#[cfg(test)]
mod tests;
