//! Driver for the Protectimus Slim NFC: what it is, and its clock.
//!
//! How a seed is written to it is known to its maker's phone application alone, so `program` and everything else is
//! refused before the first exchange.
//!
//! It lies in the field of a reader but speaks no ISO/IEC 7816-4: frames `86 LEN DATA XOR`, answered by
//! `AA LEN DATA XOR`, where LEN counts DATA and XOR, and XOR is that of DATA. Whether a reader passes such bytes on
//! depends on the reader: one that does not leaves the card unrecognised. A card of another kind refuses the one
//! frame that it is asked (its first byte is no class that cards have), and this driver is asked last of all.
//!
//! | call | exchanges |
//! |---|---|
//! | open | INFO |
//! | set the clock | INFO, SET TIME |
//!
//! The clock is set without any authentication (CVE-2021-32033): so can anybody else.
//!
//! Source: `client/luascripts/hf_14a_protectimus_nfc.lua` of proxmark3, SYSS-2021-007; hardware scheme 70, software
//! 10.01. Where the minor version stands is not sure, so it is not told.

use crate::error::{Error, ProgramError, SlotState};
use crate::models;
use crate::token::{
    Addressing, Algorithm, Attendant, Capabilities, Driver, LockCode, MovingFactor, Passcode, SlotConfig,
    SlotId, SlotInfo, Token, TokenInfo, UnixTime,
};
use crate::transport::{Candidate, CardConnection, Connection, TransportError};

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlimDriver;

/// Command codes: the first byte of DATA.
const INFO: u8 = 0x10;
const SET_TIME: u8 = 0x12;

impl Driver for SlimDriver {
    fn name(&self) -> &'static str {
        "slim"
    }

    /// Any card in a field that the table of models gives to nobody else.
    fn matches(&self, candidate: &Candidate) -> bool {
        let Candidate::Card { atr, .. } = candidate else { return false };
        models::kept_for(candidate, self.name()).unwrap_or_else(|| models::is_contactless(atr))
    }

    fn open(&self, _candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let Connection::Card(mut connection) = connection else { return Ok(None) };
        let said = match exchange(connection.as_mut(), "INFO", &[INFO]) {
            Ok(data) => Info::read(&data),
            // A reader that passes no such bytes on, or a card that speaks in status words.
            Err(Error::Malformed { .. } | Error::Transport(TransportError::Failed { .. })) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Ok(said) = said else { return Ok(None) };
        let info = TokenInfo {
            maker: "Protectimus".to_owned(),
            model: "Slim NFC".to_owned(),
            serial: None,
            firmware: said.firmware.to_string(),
            locked: false,
            capabilities: capabilities(said.time_step),
        };
        Ok(Some(Box::new(Slim { connection, info })))
    }
}

fn capabilities(time_step: u8) -> Capabilities {
    Capabilities {
        algorithms: vec![Algorithm::Sha1],
        digits: vec![6],
        hotp: false,
        totp: false,
        calculate: false,
        hotp_by_hand: false,
        first_counter: 0,
        touch: false,
        max_slots: Some(0),
        max_secret_bytes: 0,
        addressing: Addressing::Named,
        time_steps: vec![u32::from(time_step)],
        clock: true,
    }
}

/// What INFO tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Info {
    firmware: u8,
    /// Seconds.
    time_step: u8,
}

impl Info {
    /// DATA: `10`, ?, hardware scheme, firmware, ?, ?, clock, ?, time step, ?.
    fn read(data: &[u8]) -> Result<Self, Error> {
        match data {
            [INFO, _, _, firmware, _, _, _, _, 0x00, _] => Ok(Self { firmware: *firmware, time_step: 30 }),
            [INFO, _, _, firmware, _, _, _, _, 0x10, _] => Ok(Self { firmware: *firmware, time_step: 60 }),
            _ => Err(Error::Malformed { command: "INFO", what: "no information about a Slim", offset: 0 }),
        }
    }
}

/// DATA of SET TIME: the number of the time step and the seconds since its beginning.
fn set_time(now: UnixTime, time_step: u8) -> Result<Vec<u8>, Error> {
    let seconds = u64::from(time_step.max(1));
    let step = u32::try_from(now.0 / seconds)
        .map_err(|_| Error::Invalid { field: "now", problem: "later than the token can count".to_owned() })?;
    let rest = u8::try_from(now.0 % seconds).unwrap_or_default();
    Ok([&[SET_TIME, 0x00, 0x00, time_step][..], &step.to_be_bytes(), &[rest]].concat())
}

fn checksum(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, byte| sum ^ byte)
}

/// One frame out, one frame in. Returns its DATA.
fn exchange(
    connection: &mut dyn CardConnection,
    command: &'static str,
    data: &[u8],
) -> Result<Vec<u8>, Error> {
    let length = u8::try_from(data.len() + 1)
        .map_err(|_| Error::Invalid { field: "frame", problem: "too long".to_owned() })?;
    let frame = [&[0x86, length][..], data, &[checksum(data)]].concat();
    let reply = connection.begin()?.transmit(&frame)?;
    let malformed = |what, offset| Error::Malformed { command, what, offset };
    let [0xAA, length, rest @ ..] = reply.as_slice() else { return Err(malformed("not a frame", 0)) };
    let Some((sum, data)) = rest.split_last().filter(|_| rest.len() == usize::from(*length)) else {
        return Err(malformed("length", 1));
    };
    if *sum != checksum(data) {
        return Err(malformed("checksum", reply.len() - 1));
    }
    Ok(data.to_vec())
}

struct Slim {
    connection: Box<dyn CardConnection>,
    info: TokenInfo,
}

fn unsupported(what: &'static str) -> Error {
    Error::Unsupported { what, needs: "the maker's own application: its commands are not public".to_owned() }
}

impl Token for Slim {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, _code: &LockCode) -> Result<(), Error> {
        Err(unsupported("a lock code"))
    }

    fn forget_code(&mut self) {}

    fn set_lock_code(&mut self, _code: Option<&LockCode>) -> Result<(), Error> {
        Err(unsupported("a lock code"))
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        Err(unsupported("a list of its slots"))
    }

    fn program(
        &mut self,
        _slot: &SlotId,
        _config: &SlotConfig,
        _attendant: &dyn Attendant,
    ) -> Result<(), ProgramError> {
        Err(ProgramError { slot: SlotState::Unchanged, source: unsupported("programming") })
    }

    fn erase(&mut self, _slot: &SlotId, _attendant: &dyn Attendant) -> Result<(), Error> {
        Err(unsupported("erasing"))
    }

    fn calculate(
        &mut self,
        _slot: &SlotId,
        _factor: MovingFactor,
        _attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        Err(unsupported("passcodes for its host"))
    }

    /// The time step is asked for again: the maker's application may have changed it since.
    fn set_clock(&mut self, now: UnixTime) -> Result<(), Error> {
        let info = Info::read(&exchange(self.connection.as_mut(), "INFO", &[INFO])?)?;
        let data = set_time(now, info.time_step)?;
        // What it answers is not published, beyond being a frame.
        exchange(self.connection.as_mut(), "SET TIME", &data).map(drop)
    }

    fn reset(&mut self, _attendant: &dyn Attendant) -> Result<(), Error> {
        Err(unsupported("a reset"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_set_by_the_published_frame() {
        let data = set_time(UnixTime(1_700_000_000), 30).unwrap();
        assert_eq!(data, [0x12, 0x00, 0x00, 0x1E, 0x03, 0x60, 0xAA, 0x2A, 0x14]);
        assert_eq!(checksum(&data), 0xFB);
        assert_eq!(checksum(&[INFO]), 0x10);
    }

    #[test]
    fn a_time_beyond_its_counter_is_refused() {
        assert!(matches!(set_time(UnixTime(u64::MAX), 30), Err(Error::Invalid { field: "now", .. })));
    }

    #[test]
    fn what_tells_no_time_step_is_no_slim() {
        let mut data = [INFO, 0, 70, 10, 1, 0, 1, 0, 0x10, 0];
        assert_eq!(Info::read(&data).unwrap(), Info { firmware: 10, time_step: 60 });
        data[8] = 0x11;
        assert!(Info::read(&data).is_err());
        assert!(Info::read(&data[..9]).is_err());
    }
}
