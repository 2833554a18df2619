//! Requests and replies: feature reports of 64 bytes, pure. Integers are little-endian.
//!
//! | request | offset | reply | offset |
//! |---|---|---|---|
//! | command | 0 | device status, 0 if it is ready | 0 |
//! | payload, zero padded | 1 | last command | 1 |
//! | CRC of 0..60 | 60 | CRC of the last request | 2 |
//! | | | status of the last command | 6 |
//! | | | payload | 7 |
//! | | | CRC of 0..60 with byte 0 as 0 | 60 |
//!
//! The device keeps its reply until the next request, so reading it twice does no harm. A reply counts only if it
//! names the command and the CRC of *this* request: a device that has not begun yet, or has dropped the request,
//! still shows an older reply, and some firmware then even says that it is ready. No command uses the last byte of
//! the payload, so two equal requests in a row are made to differ there.
//!
//! The CRC is that of the STM32's unit: 15 words of 4 bytes little-endian, most significant bit first, polynomial
//! 04C11DB7, from FFFFFFFF, no final exclusive or.

use zeroize::Zeroizing;

/// Bytes of a report.
pub(super) const REPORT: usize = 64;

/// Bytes under a CRC.
const BODY: usize = 60;

/// The last byte of the payload, which no command uses.
const SPARE: usize = 59;

/// A request in the making. Wiped on drop: it may hold PINs and secrets.
#[derive(Clone)]
pub(super) struct Request(Zeroizing<[u8; BODY]>);

impl Request {
    pub(super) fn new(command: u8) -> Self {
        let mut request = Self(Zeroizing::new([0; BODY]));
        request.put(0, &[command]);
        request
    }

    /// Puts a field at its offset in the report.
    pub(super) fn put(&mut self, at: usize, field: &[u8]) {
        for (slot, byte) in self.0.iter_mut().skip(at).zip(field) {
            *slot = *byte;
        }
    }

    /// Another request with the same meaning.
    pub(super) fn vary(&mut self) {
        if let Some(byte) = self.0.get_mut(SPARE) {
            *byte ^= 1;
        }
    }

    pub(super) fn command(&self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    pub(super) fn crc(&self) -> [u8; 4] {
        crc(&self.0).to_le_bytes()
    }

    /// The report as it goes out.
    pub(super) fn report(&self) -> Zeroizing<Vec<u8>> {
        let mut report = Zeroizing::new(Vec::with_capacity(REPORT));
        report.extend_from_slice(&*self.0);
        report.extend_from_slice(&self.crc());
        report
    }
}

/// What a device answered to a request. Wiped on drop: some replies repeat what was sent.
pub(super) struct Reply {
    /// Status of the command, 0 for OK.
    pub(super) status: u8,
    pub(super) payload: Payload,
}

/// The 53 bytes after the status, read at fixed offsets.
pub(super) struct Payload(Zeroizing<[u8; 53]>);

impl Payload {
    #[cfg(test)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut payload = [0; 53];
        payload[..bytes.len()].copy_from_slice(bytes);
        Self(Zeroizing::new(payload))
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(super) fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|tail| tail.first_chunk().copied()).unwrap_or([0; N])
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

/// Why a report is not the reply yet; it is worth reading again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotYet {
    /// The device says that it is at work.
    Busy,
    /// It answers another request.
    Stale,
    /// It is too short, or its CRC is wrong: half made, or damaged on the way.
    Damaged,
}

impl NotYet {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Busy => "the token stays busy",
            Self::Stale => "the token answers another request",
            Self::Damaged => "the answer is damaged",
        }
    }
}

/// Commands that a Storage hands to a task of their own; the reply then has a block about that task.
const STORAGE_COMMANDS: std::ops::Range<u8> = 0x20..0x60;

/// Reads a report as the reply to a request.
pub(super) fn read(report: &[u8], request: &Request) -> Result<Reply, NotYet> {
    let Some((body, rest)) = report.split_first_chunk::<BODY>() else { return Err(NotYet::Damaged) };
    let [device_status, last_command, crc_a, crc_b, crc_c, crc_d, status, payload @ ..] = body;
    let mut plain = Zeroizing::new(*body);
    if let Some(first) = plain.first_mut() {
        *first = 0;
    }
    // Before a word of it is believed but "busy": a reply in the making has no CRC yet.
    if *device_status != 0 {
        return Err(NotYet::Busy);
    }
    if rest != crc(&plain).to_le_bytes() {
        return Err(NotYet::Damaged);
    }
    if *last_command != request.command() || [*crc_a, *crc_b, *crc_c, *crc_d] != request.crc() {
        return Err(NotYet::Stale);
    }
    let payload = Payload(Zeroizing::new(*payload));
    let status = if STORAGE_COMMANDS.contains(last_command) && *status == 0 {
        storage_status(&payload, *last_command)?
    } else {
        *status
    };
    Ok(Reply { status, payload })
}

/// Status of a Storage's own command, in the words of the others: the block at 20 of the report has a count, the
/// command, how it goes, and progress in percent.
fn storage_status(payload: &Payload, command: u8) -> Result<u8, NotYet> {
    let [_count, told, state, _percent] = payload.array(13);
    if told != command {
        return Err(NotYet::Stale);
    }
    match state {
        0 | 1 => Ok(0),
        2 | 4 => Err(NotYet::Busy),
        // Wrong password.
        3 => Ok(4),
        // No user password unlock: the AES key cannot be decrypted.
        6 => Ok(10),
        _ => Ok(100),
    }
}

fn crc(body: &[u8; BODY]) -> u32 {
    let (words, _) = body.as_chunks::<4>();
    words.iter().fold(u32::MAX, |crc, word| {
        (0..32).fold(crc ^ u32::from_le_bytes(*word), |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nkpro::hex::hex;

    fn report(body: &str, crc: &str) -> Vec<u8> {
        let mut report = hex(body);
        report.resize(BODY, 0);
        report.extend(hex(crc));
        report
    }

    fn get_code() -> Request {
        let mut request = Request::new(0x04);
        request.put(1, &[0x10]);
        request
    }

    #[test]
    fn requests_carry_the_crc_of_the_stm32() {
        assert_eq!(*Request::new(0x00).report(), report("00", "dfb76eef"));
        assert_eq!(*get_code().report(), report("0410", "c67f0275"));
    }

    #[test]
    fn the_reply_to_this_request_is_read() {
        let reply = read(&report("0004c67f02750018430d0501", "25021c5d"), &get_code()).ok().unwrap();
        assert_eq!((reply.status, reply.payload.u32(0), reply.payload.byte(4)), (0, 84_755_224, 1));
        let refused = read(&report("0004c67f027503", "e50c8348"), &get_code()).ok().unwrap();
        assert_eq!(refused.status, 3);
    }

    #[test]
    fn every_other_report_is_not_the_reply() {
        let good = report("0004c67f02750018430d0501", "25021c5d");
        let changed = |at: usize, byte: u8| {
            let mut report = good.clone();
            report[at] = byte;
            read(&report, &get_code()).err()
        };
        assert_eq!((changed(0, 1), changed(0, 3)), (Some(NotYet::Busy), Some(NotYet::Busy)));
        assert_eq!((changed(7, 0), changed(60, 0)), (Some(NotYet::Damaged), Some(NotYet::Damaged)));
        for length in 0..REPORT {
            assert_eq!(read(&good[..length], &get_code()).err(), Some(NotYet::Damaged), "{length}");
        }
        assert_eq!(read(&[0; REPORT], &get_code()).err(), Some(NotYet::Damaged));
        // GET_STATUS, and GET_CODE of another slot.
        assert_eq!(read(&good, &Request::new(0x00)).err(), Some(NotYet::Stale));
        let mut other = get_code();
        other.put(1, &[0x11]);
        assert_eq!(read(&good, &other).err(), Some(NotYet::Stale));
    }

    #[test]
    fn two_equal_requests_can_be_told_apart() {
        let (first, mut second) = (get_code(), get_code());
        second.vary();
        assert_ne!(first.crc(), second.crc());
        assert_eq!(first.report()[..59], second.report()[..59]);
    }

    #[test]
    fn the_state_of_a_storage_s_own_command_becomes_a_status() {
        let request = Request::new(0x32);
        let told = |command: u8, state: u8| {
            let mut body = [0; BODY];
            body[1] = 0x32;
            body[2..6].copy_from_slice(&request.crc());
            body[20..23].copy_from_slice(&[9, command, state]);
            let mut report = body.to_vec();
            report.extend(crc(&body).to_le_bytes());
            read(&report, &request).map(|reply| reply.status).map_err(NotYet::text)
        };
        let states: Vec<_> = (0..8).map(|state| told(0x32, state)).collect();
        let busy = Err("the token stays busy");
        assert_eq!(states, [Ok(0), Ok(0), busy, Ok(4), busy, Ok(100), Ok(10), Ok(100)]);
        assert_eq!(told(0x2E, 1), Err("the token answers another request"));
    }
}
