//! The commands, named as in the maker's firmware. Pure: fields in, bytes out, and back.
//!
//! Offsets of requests count from the command byte, those of replies from the payload. What is not here: the
//! password safe, the slot for verification, the Storage's volumes, firmware update.
//!
//! Sources: Nitrokey/nitrokey-pro-firmware, `src/inc/report_protocol.h`; Nitrokey/nitrokey-storage-firmware,
//! `src/OTP/report_protocol.h`; Nitrokey/libnitrokey, `stick10_commands_0.8.h`, for what hosts send.

pub(super) mod authentication;
pub(super) mod slots;

use std::time::Duration;

use super::frame::{Payload, Request};
use crate::error::Error;

/// How long flash and computation may take.
const PLAIN: Duration = Duration::from_secs(2);

/// How long the card inside may take.
const CARD: Duration = Duration::from_secs(10);

/// How long a factory reset may take.
const RESET: Duration = Duration::from_secs(60);

/// One command.
pub(super) trait Command {
    const NAME: &'static str;
    const ID: u8;
    /// How long to wait for a reply.
    const PATIENCE: Duration = PLAIN;
    type Response;

    /// Puts the fields where they belong.
    fn fill(&self, request: &mut Request);

    /// Whether it must not be sent twice, nor left alone once it was sent.
    fn changes(&self) -> bool;

    /// Reads the reply of a command that went well.
    fn decode(&self, payload: &Payload) -> Result<Self::Response, Error>;

    fn request(&self) -> Request {
        let mut request = Request::new(Self::ID);
        self.fill(&mut request);
        request
    }
}

/// A reply that does not follow the protocol.
fn malformed<C: Command>(what: &'static str, at: usize) -> Error {
    const HEAD: usize = 7;
    Error::Malformed { command: C::NAME, what, offset: at + HEAD }
}

/// `GET_STATUS`: version, serial, settings.
pub(super) struct GetStatus;

/// What `GET_STATUS` tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) major: u8,
    pub(super) minor: u8,
    /// Serial of the card inside; a Storage tells it elsewhere, and 0 here.
    pub(super) serial: u32,
    /// Whether passcodes want the user PIN.
    pub(super) user_pin: bool,
}

impl Command for GetStatus {
    const NAME: &'static str = "GET_STATUS";
    const ID: u8 = 0x00;
    type Response = Status;

    fn fill(&self, _request: &mut Request) {}

    fn changes(&self) -> bool {
        false
    }

    fn decode(&self, payload: &Payload) -> Result<Status, Error> {
        Ok(Status {
            minor: payload.byte(0),
            major: payload.byte(1),
            serial: payload.u32(2),
            user_pin: payload.byte(9) == 1,
        })
    }
}

/// `GET_DEVICE_STATUS` of a Storage. Its data come with one report only: a second look finds none.
pub(super) struct GetDeviceStatus;

/// What `GET_DEVICE_STATUS` tells, as far as it is of use here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeviceStatus {
    /// Serial of the card inside.
    pub(super) serial: u32,
    /// A build between two versions: it has what the next one has.
    pub(super) development: bool,
}

impl Command for GetDeviceStatus {
    const NAME: &'static str = "GET_DEVICE_STATUS";
    const ID: u8 = 0x2E;
    const PATIENCE: Duration = CARD;
    type Response = DeviceStatus;

    fn fill(&self, _request: &mut Request) {}

    fn changes(&self) -> bool {
        false
    }

    fn decode(&self, payload: &Payload) -> Result<DeviceStatus, Error> {
        const STATUS_DATA: u8 = 3;
        if payload.byte(19) != STATUS_DATA {
            return Err(malformed::<Self>("no status data", 19));
        }
        Ok(DeviceStatus { serial: payload.u32(42), development: payload.byte(29) != 0 })
    }
}

/// `SET_TIME`, forced: without that the device refuses to go back.
pub(super) struct SetTime {
    /// Unix time in seconds.
    pub(super) time: u64,
}

impl Command for SetTime {
    const NAME: &'static str = "SET_TIME";
    const ID: u8 = 0x0B;
    type Response = ();

    fn fill(&self, request: &mut Request) {
        request.put(1, &[1]);
        request.put(2, &self.time.to_le_bytes());
    }

    fn changes(&self) -> bool {
        // The clock, but the same way each time.
        false
    }

    fn decode(&self, _payload: &Payload) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nkpro::frame;
    use crate::nkpro::hex::hex;

    /// The body of a request, zeros at its end left out, and its CRC; as the sheet of recorded frames has them.
    pub(in crate::nkpro) fn frame_of<C: Command>(command: &C) -> (String, String) {
        let report = command.request().report();
        let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let end = report[..60].iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        (text(&report[..end]), text(&report[60..]))
    }

    pub(in crate::nkpro) fn owned(frame: (&str, &str)) -> (String, String) {
        (frame.0.to_owned(), frame.1.to_owned())
    }

    /// Reads a recorded reply to a command.
    pub(in crate::nkpro) fn reply_to<C: Command>(
        command: &C,
        body: &str,
        crc: &str,
    ) -> Result<C::Response, String> {
        let mut report = hex(body);
        report.resize(60, 0);
        report.extend(hex(crc));
        let reply = frame::read(&report, &command.request()).map_err(frame::NotYet::text)?;
        match crate::nkpro::status::error(C::NAME, reply.status) {
            None => command.decode(&reply.payload).map_err(|error| error.to_string()),
            Some(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn status_is_asked_and_read() {
        assert_eq!(frame_of(&GetStatus), owned(("00", "dfb76eef")));
        let told = reply_to(&GetStatus, "0000dfb76eef000f005f000006ffffff", "c6171fad");
        assert_eq!(told, Ok(Status { major: 0, minor: 15, serial: 0x0600_005F, user_pin: false }));
    }

    #[test]
    fn the_clock_is_set() {
        assert_eq!(frame_of(&SetTime { time: 1_111_111_109 }), owned(("0b01c5353a42", "59db8ac9")));
        assert_eq!(reply_to(&SetTime { time: 1_111_111_109 }, "000b59db8ac9", "0b6db504"), Ok(()));
    }

    #[test]
    fn the_status_of_a_storage_is_read_where_it_has_come() {
        let mut told = [0; 53];
        told[19] = 3;
        told[42..46].copy_from_slice(&0x5F11_u32.to_le_bytes());
        let expected = DeviceStatus { serial: 0x5F11, development: false };
        assert_eq!(GetDeviceStatus.decode(&Payload::of(&told)).unwrap(), expected);
        told[29] = 1;
        assert!(GetDeviceStatus.decode(&Payload::of(&told)).unwrap().development);
        told[19] = 0;
        assert!(GetDeviceStatus.decode(&Payload::of(&told)).is_err());
    }
}
