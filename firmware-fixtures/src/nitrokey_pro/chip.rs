//! The wire side: feature reports of 64 bytes, how long a command takes, and what is read meanwhile.
//!
//! | request | offset | answer | offset |
//! |---|---|---|---|
//! | command | 0 | device status: 0 ready, 1 busy, 3 received | 0 |
//! | payload | 1..60 | last command | 1 |
//! | CRC of 0..60, little-endian | 60 | CRC of the last request | 2..6 |
//! | | | status of the last command | 6 |
//! | | | payload | 7..60 |
//! | | | CRC of 0..60 with byte 0 as 0 | 60 |
//!
//! A Pro drops a request that comes while it is not ready. A Storage takes it, and never says in byte 0 that it is
//! busy: until it has begun, the old answer is read. A command takes effect when it arrives; its answer comes later.

use std::time::Duration;

use super::commands::Session;
use super::firmware::NitrokeyFirmware;
use crate::hid::{HidChip, Moment, Stall};

pub(super) const REPORT: usize = 64;
const BODY: usize = 60;

/// How long a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the request to the begin of work.
    pub received: Duration,
    /// Work on flash and computation.
    pub busy: Duration,
    /// Work of the card inside, where a PIN is in play.
    pub card: Duration,
}

impl Pace {
    /// Nothing takes time.
    pub const AT_ONCE: Self = Self { received: Duration::ZERO, busy: Duration::ZERO, card: Duration::ZERO };
}

impl Default for Pace {
    /// Assumed: the documents tell none.
    fn default() -> Self {
        Self {
            received: Duration::from_millis(2),
            busy: Duration::from_millis(15),
            card: Duration::from_millis(300),
        }
    }
}

/// CRC of 60 bytes as the STM32's unit computes it: words of 4 bytes little-endian, most significant bit first,
/// polynomial 04C11DB7, from FFFFFFFF, no final exclusive or.
pub(super) fn crc(body: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for word in body.chunks_exact(4) {
        crc ^= u32::from(word[3]) << 24
            | u32::from(word[2]) << 16
            | u32::from(word[1]) << 8
            | u32::from(word[0]);
        for _ in 0..32 {
            let carry = crc >> 31 == 1;
            crc <<= 1;
            if carry {
                crc ^= 0x04C1_1DB7;
            }
        }
    }
    crc
}

/// A command on its way to its answer.
struct Running {
    begins: Duration,
    ends: Duration,
    old: [u8; REPORT],
}

/// The inside of the device.
pub(super) struct Chip {
    pub(super) firmware: NitrokeyFirmware,
    pub(super) pace: Pace,
    pub(super) session: Session,
    answer: [u8; REPORT],
    running: Option<Running>,
}

impl Chip {
    pub(super) fn new(firmware: NitrokeyFirmware, serial: u32) -> Self {
        Self {
            firmware,
            pace: Pace::default(),
            session: Session::new(firmware, serial),
            answer: [0; REPORT],
            running: None,
        }
    }

    fn execute(&mut self, request: &[u8; REPORT], now: Duration) -> [u8; REPORT] {
        let (body, told) = request.split_at(BODY);
        let told = [told[0], told[1], told[2], told[3]];
        let computed = crc(body);
        let mut answer = [0; REPORT];
        answer[1] = request[0];
        // The Storage repeats what it was told.
        let echoed = if self.firmware.is_storage() { told } else { computed.to_le_bytes() };
        answer[2..6].copy_from_slice(&echoed);
        if computed.to_le_bytes() == told {
            let (status, payload) = self.session.execute(body, computed, now);
            answer[6] = status;
            answer[7..BODY].copy_from_slice(&payload);
        } else {
            answer[6] = 1;
        }
        let sum = crc(&answer[..BODY]);
        answer[BODY..].copy_from_slice(&sum.to_le_bytes());
        answer
    }

    fn takes(&self, command: u8) -> Duration {
        match command {
            0x07 | 0x09 | 0x0E | 0x0F | 0x11 | 0x13..=0x15 | 0x2E | 0x32 | 0x33 => self.pace.card,
            _ => self.pace.busy,
        }
    }

    /// What a command of its own kind on the Storage still has to say: its answer tells the state of the work, and
    /// the data of `GET_DEVICE_STATUS` are read only once.
    fn storage_state(&mut self, mut answer: [u8; REPORT], done: bool) -> [u8; REPORT] {
        if !self.firmware.is_storage() || !(0x20..0x60).contains(&answer[1]) || answer[6] != 0 {
            return answer;
        }
        if !done {
            answer[22] = 2;
        } else if let Some(data) = self.session.status_data.take() {
            answer[25..25 + data.len()].copy_from_slice(&data);
        }
        let sum = crc(&answer[..BODY]);
        answer[BODY..].copy_from_slice(&sum.to_le_bytes());
        answer
    }
}

impl HidChip for Chip {
    fn set_feature(&mut self, report: &[u8], moment: &mut Moment) -> Result<(), Stall> {
        // A shorter report leaves the rest of the buffer as zeros (assumed).
        let mut request = [0; REPORT];
        let length = report.len().min(REPORT);
        request[..length].copy_from_slice(&report[..length]);
        let busy = self.running.as_ref().is_some_and(|running| moment.now < running.ends);
        if busy && !self.firmware.is_storage() {
            return Ok(());
        }
        let begins = moment.now + self.pace.received;
        let ends = begins + self.takes(request[0]);
        let old = self.answer;
        self.session.status_data = None;
        self.answer = self.execute(&request, moment.now);
        self.running = Some(Running { begins, ends, old });
        Ok(())
    }

    fn get_feature(&mut self, moment: &mut Moment) -> Result<Vec<u8>, Stall> {
        let Some(running) = &self.running else { return Ok(self.answer.to_vec()) };
        let (begins, ends, old) = (running.begins, running.ends, running.old);
        let tells = !self.firmware.is_storage();
        let own = !tells && (0x20..0x60).contains(&self.answer[1]);
        if moment.now < begins {
            let mut answer = old;
            answer[0] = if tells { 3 } else { 0 };
            return Ok(answer.to_vec());
        }
        if moment.now < ends && own {
            return Ok(self.storage_state(self.answer, false).to_vec());
        }
        if moment.now < ends {
            // Half made: the head is there, the rest is not.
            let mut answer = [0; REPORT];
            answer[1..6].copy_from_slice(&self.answer[1..6]);
            answer[0] = u8::from(tells);
            return Ok(answer.to_vec());
        }
        Ok(self.storage_state(self.answer, true).to_vec())
    }

    fn output(&mut self, _report: &[u8], _moment: &mut Moment) -> Result<(), Stall> {
        // The keyboard's lights: pressing num lock twice would type a passcode, which nobody reads here.
        Ok(())
    }

    fn reset(&mut self) {
        self.session.lose_power();
        self.answer = [0; REPORT];
        self.running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_of_zeros_is_the_documented_one() {
        assert_eq!(crc(&[0; BODY]), 0xEF6E_B7DF);
    }
}
