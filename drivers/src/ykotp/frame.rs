//! Payloads, and the frames of 70 bytes that carry them over the keyboard interface in feature reports of 8 bytes.
//!
//! | offset of the frame | length | field |
//! |---|---|---|
//! | 0 | 64 | payload, zeros behind it |
//! | 64 | 1 | command |
//! | 65 | 2 | CRC-16 of the payload, little-endian, not complemented |
//! | 67 | 3 | zeros |
//!
//! A report is 7 bytes of the frame and a byte with the number of the slice. Slices of zeros are left out, but the
//! first, which begins a frame, and the last, which runs it. Source: yubikey-manager, `yubikit/core/otp.py`.

use zeroize::Zeroizing;

/// Length of a payload.
pub(super) const PAYLOAD: usize = 64;
/// Length of a report.
pub(super) const REPORT: usize = 8;
/// Bytes of a frame or of an answer in one report.
pub(super) const SLICE: usize = 7;
/// Flag of a report that is written, and of one that was not taken yet.
pub(super) const WRITE: u8 = 0x80;
/// Aborts whatever is going on: a slice that no frame has.
pub(super) const ABORT: [u8; REPORT] = [0, 0, 0, 0, 0, 0, 0, 0x8F];

const LAST: usize = 9;
/// What [`crc16`] gives over data that its complemented sum follows.
const RESIDUE: u16 = 0xF0B8;

/// CRC-16, polynomial 8408 with the least significant bit first, initial value FFFF, not complemented.
pub(super) fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x8408 } else { 0 })
    })
}

/// Whether the complemented sum at the end of an answer is right.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    crc16(answer) == RESIDUE
}

/// What a command says: at most 64 bytes. Wiped on drop.
pub(super) struct Payload {
    bytes: Zeroizing<[u8; PAYLOAD]>,
    used: usize,
}

impl Payload {
    /// Takes at most 64 bytes; no caller has more.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut padded = Zeroizing::new([0; PAYLOAD]);
        for (place, byte) in padded.iter_mut().zip(bytes) {
            *place = *byte;
        }
        Self { bytes: padded, used: bytes.len().min(PAYLOAD) }
    }

    /// The bytes without padding, as a card takes them.
    pub(super) fn used(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// The reports that carry a command, all of them to be written in order; the last one runs it.
pub(super) fn reports(command: u8, payload: &Payload) -> Vec<Zeroizing<[u8; REPORT]>> {
    let [low, high] = crc16(&*payload.bytes).to_le_bytes();
    let mut frame = Zeroizing::new(Vec::with_capacity(SLICE * (LAST + 1)));
    frame.extend_from_slice(&*payload.bytes);
    frame.extend_from_slice(&[command, low, high, 0, 0, 0]);
    let slices = frame.chunks(SLICE).enumerate();
    slices
        .filter(|(number, slice)| *number == 0 || *number == LAST || slice.iter().any(|byte| *byte != 0))
        .map(|(number, slice)| {
            let mut report = Zeroizing::new([0; REPORT]);
            // There are ten slices, so the number fits.
            let flags = WRITE | u8::try_from(number).unwrap_or_default();
            for (place, byte) in report.iter_mut().zip(slice.iter().chain(std::iter::once(&flags))) {
                *place = *byte;
            }
            report
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(command: u8, payload: &[u8]) -> Vec<String> {
        let reports = reports(command, &Payload::new(payload));
        reports.iter().map(|report| report.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
    }

    #[test]
    fn the_sum_is_that_of_the_application() {
        assert_eq!((crc16(b"123456789"), crc16(&[0; 64])), (0x6F91, 0x5B6B));
        assert!(is_whole(&[0x00, 0xA8, 0x57, 0x9B, 0x6E, 0x81]));
        assert!(!is_whole(&[0x00, 0xA8, 0x57, 0x9B, 0x6E, 0x80]) && !is_whole(&[]));
    }

    #[test]
    fn frames_are_cut_as_yubikit_does() {
        assert_eq!(hex(0x10, &[]), ["0000000000000080", "00106b5b00000089"]);
        assert_eq!(hex(0x13, &[1]), ["0100000000000080", "001346c900000089"]);
        assert_eq!(hex(0x30, b"Sample #2")[..2], ["53616d706c652080", "2332000000000081"]);
        assert_eq!(hex(0x38, b"Sample #2")[2], "0038f82a00000089");
        assert_eq!(
            hex(0x32, &[&[0; 38][..], &[1, 2, 3]].concat())[1..],
            ["0000000102030085", "0032017300000089"]
        );
        let delete = [&[0; 52][..], b"123456"].concat();
        assert_eq!(
            hex(0x01, &delete),
            ["0000000000000080", "0000003132333487", "3536000000000088", "0001131100000089"]
        );
        assert_eq!(
            hex(0x08, b"\x13U\x02my.yubico.com/neo/"),
            ["1355026d792e7980", "756269636f2e6381", "6f6d2f6e656f2f82", "0008c02a00000089"]
        );
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(Payload::new(&[7; 100]).used(), [7; 64]);
    }
}
