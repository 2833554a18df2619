//! CTAPHID: messages to an authenticator over its HID interface (FIDO CTAP 2.1 §11.2; U2FHID is its first version).
//!
//! [`CtapHid::open`] asks for a channel. After that [`CtapHid::transact`] sends one message and waits for the answer
//! to it. Everybody who has the device open sees all packets, so what belongs to other channels is left alone.
//!
//! - While the device says that it is busy with another program, the message is sent again every 100 ms.
//! - Keep-alives are passed over; the first that says so tells the attendant that a touch is needed. Some firmware
//!   sends none: how long nothing at all may come is the caller's choice, since only it knows whether a touch is
//!   waited for.
//! - When the attendant cancels, CANCEL is sent and the answer awaited for another second.
//! - After an answer that did not come, or could not be read, INIT on the channel clears what may be left of it.
//!
//! A [`TransactionError`] says whether the device may have carried out what it was told. Nothing here resends a
//! message that may have been.

mod packet;

use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::Error;
use crate::iso7816::Malformed;
use crate::token::Attendant;
use crate::transport::{HidConnection, TransportError};
use packet::{Assembly, Body, Packet, packets};

/// MSG: a U2F command APDU, in extended length (FIDO U2F Raw Message Formats §3).
pub const MSG: u8 = 0x03;
const INIT: u8 = 0x06;
const CANCEL: u8 = 0x11;
const KEEPALIVE: u8 = 0x3B;
const ERROR: u8 = 0x3F;

/// KEEPALIVE: the device waits for a touch.
const TOUCH_NEEDED: u8 = 0x02;

const BROADCAST: u32 = 0xFFFF_FFFF;

/// How long a device may say nothing that has nothing to wait for.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How often somebody is asked whether to go on.
const SLICE: Duration = Duration::from_millis(100);
/// How long to leave a busy device alone.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// How often to come back to a busy device: for half a minute, longer than it waits for a touch.
const BUSY_TRIES: u32 = 300;
/// How long the answer to a cancelled message is awaited.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);
/// Keep-alives of one message. They come every 100 ms or more slowly, so this is a minute at least.
const MAX_KEEPALIVES: u32 = 600;
/// Packets of other channels, or of nobody's, during one message.
const MAX_STRAY: u32 = 1000;

/// What INIT tells of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Version of CTAPHID: 2, also on U2F devices.
    pub protocol: u8,
    /// The device's own version: major, minor, build.
    pub version: [u8; 3],
    /// Capability bits: 01 WINK, 04 CBOR, 08 no MSG.
    pub capabilities: u8,
}

/// One message did not go through.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct TransactionError {
    /// Whether the device may have carried it out all the same.
    pub carried_out: bool,
    /// Why.
    #[source]
    pub source: Error,
}

impl TransactionError {
    fn before(source: impl Into<Error>) -> Self {
        Self { carried_out: false, source: source.into() }
    }
}

impl From<TransactionError> for Error {
    fn from(error: TransactionError) -> Self {
        error.source
    }
}

/// An open channel.
pub struct CtapHid {
    connection: Box<dyn HidConnection>,
    channel: u32,
    device: Device,
    /// An earlier answer may still be under way.
    unsettled: bool,
}

/// What came back for a message.
enum Answer {
    Message(Zeroizing<Vec<u8>>),
    Error(u8),
}

impl CtapHid {
    /// Asks the device for a channel.
    ///
    /// # Errors
    /// [`Error::Transport`] if the device is silent, [`Error::Malformed`] if it speaks something else.
    pub fn open(connection: Box<dyn HidConnection>, attendant: &dyn Attendant) -> Result<Self, Error> {
        let device = Device { protocol: 0, version: [0; 3], capabilities: 0 };
        let mut this = Self { connection, channel: BROADCAST, device, unsettled: false };
        this.allocate(attendant)?;
        Ok(this)
    }

    /// What INIT told.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Sends a message and returns the answer to it. `name` is the command in the words of its protocol, for errors;
    /// `patience` is how long the device may be silent.
    ///
    /// # Errors
    /// [`TransactionError`]; a CTAPHID ERROR is [`Error::Refused`] with its code as the status.
    pub fn transact(
        &mut self,
        name: &'static str,
        command: u8,
        message: &[u8],
        patience: Duration,
        attendant: &dyn Attendant,
    ) -> Result<Zeroizing<Vec<u8>>, TransactionError> {
        let mut reopened = false;
        for _ in 0..BUSY_TRIES {
            if attendant.cancelled() {
                return Err(TransactionError::before(Error::Cancelled));
            }
            if self.unsettled {
                self.settle(attendant).map_err(TransactionError::before)?;
            }
            self.send(command, message)?;
            match self.receive(name, command, patience, attendant)? {
                Answer::Message(message) => return Ok(message),
                Answer::Error(code::CHANNEL_BUSY) => {
                    self.connection.pause(BUSY_PAUSE);
                    self.drain().map_err(TransactionError::before)?;
                }
                // Another program reset the device.
                Answer::Error(code::INVALID_CHANNEL) if !reopened => {
                    reopened = true;
                    self.allocate(attendant).map_err(TransactionError::before)?;
                }
                Answer::Error(code) => {
                    let source = Error::Refused {
                        command: name,
                        status: u16::from(code),
                        meaning: code::meaning(code),
                    };
                    return Err(TransactionError { carried_out: !code::is_clean(code), source });
                }
            }
        }
        Err(TransactionError::before(TransportError::Busy))
    }

    /// Writes the packets of a message.
    fn send(&mut self, command: u8, message: &[u8]) -> Result<(), TransactionError> {
        let packets = packets(self.channel, command, message).ok_or_else(|| {
            let problem = format!("{} bytes, 7609 can be sent", message.len());
            TransactionError::before(Error::Invalid { field: "message", problem })
        })?;
        let last = packets.len() - 1;
        for (index, packet) in packets.iter().enumerate() {
            if let Err(error) = self.connection.write(packet.as_slice()) {
                self.unsettled = true;
                // A report that failed may have arrived; without its last packet a message is nothing.
                return Err(TransactionError { carried_out: index == last, source: error.into() });
            }
        }
        Ok(())
    }

    fn receive(
        &mut self,
        name: &'static str,
        command: u8,
        patience: Duration,
        attendant: &dyn Attendant,
    ) -> Result<Answer, TransactionError> {
        // Anything but an answer leaves one that may still come.
        self.unsettled = true;
        let answer = self.await_answer(name, command, patience, attendant);
        self.unsettled = answer.is_err();
        answer.map_err(|source| TransactionError { carried_out: true, source })
    }

    fn await_answer(
        &mut self,
        name: &'static str,
        command: u8,
        patience: Duration,
        attendant: &dyn Attendant,
    ) -> Result<Answer, Error> {
        let malformed = |malformed: Malformed| malformed.of(name);
        let (mut silent, mut keepalives, mut stray) = (Duration::ZERO, 0, 0);
        let (mut touch_told, mut cancelled) = (false, false);
        let mut assembly: Option<Assembly> = None;
        loop {
            let report = self.connection.read(SLICE)?;
            let packet = report.as_deref().map(Packet::parse);
            match packet {
                None => silent += SLICE,
                Some(Some(Packet { channel, body })) if channel == self.channel => {
                    silent = Duration::ZERO;
                    match (body, &mut assembly) {
                        (Body::Initialization { command: KEEPALIVE, data, .. }, _) => {
                            keepalives += 1;
                            if data.first() == Some(&TOUCH_NEEDED) && !touch_told {
                                touch_told = true;
                                attendant.touch_needed();
                            }
                        }
                        (Body::Initialization { command: ERROR, length: 1, data }, _) => {
                            return Ok(Answer::Error(data.first().copied().unwrap_or(code::OTHER)));
                        }
                        (Body::Initialization { command: told, length, data }, None) if told == command => {
                            assembly = Some(Assembly::begin(length, data).map_err(malformed)?);
                        }
                        (Body::Initialization { .. }, _) => {
                            return Err(malformed(Malformed::new("answer to another command", 4)));
                        }
                        (Body::Continuation { sequence, data }, Some(assembly)) => {
                            assembly.go_on(sequence, data).map_err(malformed)?;
                        }
                        (Body::Continuation { .. }, None) => stray += 1,
                    }
                }
                Some(_) => stray += 1,
            }
            if let Some(complete) = assembly.take_if(|assembly| assembly.is_complete()) {
                return Ok(Answer::Message(complete.message()));
            }
            if !cancelled && attendant.cancelled() {
                cancelled = true;
                silent = Duration::ZERO;
                self.send(CANCEL, &[])?;
            }
            let patience = match (cancelled, &assembly) {
                (true, _) => CANCEL_PATIENCE,
                (false, Some(_)) => PATIENCE,
                (false, None) => patience,
            };
            if silent >= patience || keepalives > MAX_KEEPALIVES || stray > MAX_STRAY {
                return Err(if cancelled { Error::Cancelled } else { silence(name).into() });
            }
        }
    }

    /// Reads away what a busy device said to the further packets of a message. INIT would do it too, but on some
    /// firmware it cancels what the other program is waiting for.
    fn drain(&mut self) -> Result<(), TransportError> {
        for _ in 0..MAX_STRAY {
            if self.connection.read(Duration::ZERO)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Asks for a new channel.
    fn allocate(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        self.channel = BROADCAST;
        let told = match self.initialise(attendant)? {
            Ok(told) => told,
            Err(code) => return Err(refused_init(code)),
        };
        let [a, b, c, d, protocol, version @ .., capabilities] = told;
        let channel = u32::from_be_bytes([a, b, c, d]);
        if channel == 0 || channel == BROADCAST {
            return Err(Malformed::new("no channel", 8).of("INIT"));
        }
        self.channel = channel;
        self.device = Device { protocol, version, capabilities };
        self.unsettled = false;
        Ok(())
    }

    /// Makes the device forget what it was told on this channel, and reads away what it answered.
    fn settle(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        match self.initialise(attendant)? {
            Ok(_) => {
                self.unsettled = false;
                Ok(())
            }
            // Another program reset the device.
            Err(code::INVALID_CHANNEL) => self.allocate(attendant),
            Err(code) => Err(refused_init(code)),
        }
    }

    /// INIT on the channel in use: what follows the nonce in the answer, or the code of an ERROR.
    fn initialise(&mut self, attendant: &dyn Attendant) -> Result<Result<[u8; 9], u8>, Error> {
        const NAME: &str = "INIT";
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce)
            .map_err(|error| TransportError::Failed { call: "getrandom", detail: error.to_string() })?;
        self.send(INIT, &nonce)?;
        let (mut silent, mut stray) = (Duration::ZERO, 0);
        while silent < PATIENCE && stray <= MAX_STRAY {
            if attendant.cancelled() {
                return Err(Error::Cancelled);
            }
            let Some(report) = self.connection.read(SLICE)? else {
                silent += SLICE;
                continue;
            };
            match Packet::parse(&report) {
                Some(Packet { channel, body: Body::Initialization { command, length, data } })
                    if channel == self.channel =>
                {
                    match (command, length, data.split_first_chunk::<8>()) {
                        (INIT, 17.., Some((echo, told))) if *echo == nonce => {
                            let told = told.first_chunk().copied();
                            return told.map(Ok).ok_or(Malformed::new("packet is cut off", 8).of(NAME));
                        }
                        (ERROR, 1, _) => return Ok(Err(data.first().copied().unwrap_or(code::OTHER))),
                        // Somebody else's INIT, or a late answer.
                        _ => stray += 1,
                    }
                }
                _ => stray += 1,
            }
        }
        Err(silence(NAME).into())
    }
}

fn silence(call: &'static str) -> TransportError {
    TransportError::Failed { call, detail: "no answer in time".to_owned() }
}

fn refused_init(code: u8) -> Error {
    Error::Refused { command: "INIT", status: u16::from(code), meaning: code::meaning(code) }
}

/// Codes of an ERROR (CTAP 2.1 §11.2.9.1.6).
mod code {
    pub(super) const CHANNEL_BUSY: u8 = 0x06;
    pub(super) const INVALID_CHANNEL: u8 = 0x0B;
    pub(super) const OTHER: u8 = 0x7F;

    /// Whether the device stopped before it passed the message on.
    pub(super) fn is_clean(code: u8) -> bool {
        matches!(code, 0x01..=0x06 | 0x0A | 0x0B)
    }

    pub(super) fn meaning(code: u8) -> &'static str {
        match code {
            0x01 => "invalid command",
            0x02 => "invalid parameter",
            0x03 => "invalid length",
            0x04 => "invalid sequence number",
            0x05 => "message timed out",
            CHANNEL_BUSY => "channel busy",
            0x0A => "channel lock required",
            INVALID_CHANNEL => "invalid channel",
            _ => "unspecified error",
        }
    }
}

#[cfg(test)]
mod tests;
