//! The commands that both kinds of token know, and how a secured one is put together.
//!
//! | command | APDU | reply |
//! |---|---|---|
//! | GET INFO | `80 41 00 00`, data differs | 3 bytes, length n, n bytes of serial, 2 bytes, clock in 4 bytes |
//! | GET CHALLENGE | `80 4B 08 00`, data differs | 8 bytes |
//! | ANSWER CHALLENGE | `80 CE 00 00 10`, 16 bytes | none |
//!
//! The 3 and the 2 bytes are said nowhere to mean anything. More bytes than these are tolerated, as by the maker's
//! program; serials of other characters than letters and digits are not.

use zeroize::Zeroizing;

use super::cipher::Cipher;
use crate::error::Error;
use crate::iso7816::apdu::Header;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, nothing};

/// Class of a plain command.
pub(crate) const PLAIN: u8 = 0x80;

/// Class of a secured one.
const SECURED: u8 = 0x84;

/// What a secured command writes.
pub(crate) trait Body {
    /// The name, for errors.
    const NAME: &'static str;
    /// Instruction byte.
    const INS: u8;
    /// First parameter byte.
    const P1: u8;

    /// The bytes that go out before the MAC.
    fn write(&self, cipher: &Cipher) -> Zeroizing<Vec<u8>>;

    /// Whether a status word says that it was done.
    fn succeeds(status: StatusWord) -> bool {
        status == StatusWord::SUCCESS
    }
}

/// A secured command: its body, and the MAC behind it.
pub(crate) struct Secured<'a, B> {
    pub(crate) cipher: &'a Cipher,
    /// Second parameter byte.
    pub(crate) p2: u8,
    pub(crate) body: B,
}

impl<B: Body> Command for Secured<'_, B> {
    const NAME: &'static str = B::NAME;
    const CLA: u8 = SECURED;
    const INS: u8 = B::INS;
    type Response = ();

    fn p1_p2(&self) -> (u8, u8) {
        (B::P1, self.p2)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        let body = self.body.write(self.cipher);
        let header = Header { ins: B::INS, p1: B::P1, p2: self.p2 };
        data.extend_from_slice(&body);
        data.extend_from_slice(&self.cipher.mac(header, &body));
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn succeeds(status: StatusWord) -> bool {
        B::succeeds(status)
    }
}

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceInfo {
    /// As printed on the token.
    pub(crate) serial: String,
    /// Its clock, Unix time.
    pub(crate) clock: u32,
}

impl DeviceInfo {
    /// Reads the reply to GET INFO.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut off, or the serial is none.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let [_, _, _, length, rest @ ..] = data else {
            return Err(Malformed::new("shorter than its header", data.len()));
        };
        let (serial, rest) =
            rest.split_at_checked(usize::from(*length)).ok_or(Malformed::new("serial is cut off", 3))?;
        let serial = str::from_utf8(serial)
            .ok()
            .filter(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()))
            .ok_or(Malformed::new("no serial", 4))?;
        let [_, _, c0, c1, c2, c3, ..] = *rest else {
            return Err(Malformed::new("clock is cut off", 4 + usize::from(*length)));
        };
        Ok(Self { serial: serial.to_owned(), clock: u32::from_be_bytes([c0, c1, c2, c3]) })
    }
}

/// GET CHALLENGE. The two kinds of token are asked in two forms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GetChallenge {
    /// Data of the command.
    pub(crate) data: &'static [u8],
}

impl Command for GetChallenge {
    const NAME: &'static str = "GET CHALLENGE";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0x4B;
    type Response = [u8; 8];

    fn p1_p2(&self) -> (u8, u8) {
        (0x08, 0x00)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(self.data);
    }

    /// Exactly 8 bytes: a wrong answer is counted, so nothing else is answered.
    fn decode(data: &[u8]) -> Result<[u8; 8], Malformed> {
        data.try_into().map_err(|_| Malformed::new("challenge has not 8 bytes", data.len().min(8)))
    }
}

/// ANSWER CHALLENGE.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    /// The challenge, encrypted.
    pub(crate) answer: [u8; 16],
    /// What a refusal means to this token.
    pub(crate) refusal: fn(StatusWord) -> Option<Error>,
}

impl Command for Answer {
    const NAME: &'static str = "ANSWER CHALLENGE";
    const CLA: u8 = PLAIN;
    const INS: u8 = 0xCE;
    type Response = ();

    fn encode(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(&self.answer);
    }

    fn decode(data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        (self.refusal)(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_and_clock_are_read() {
        let told = b"\0\0\0\x041234\0\0\x65\x53\xF1\0";
        let expected = DeviceInfo { serial: "1234".to_owned(), clock: 1_700_000_000 };
        assert_eq!(DeviceInfo::parse(told), Ok(expected.clone()));
        assert_eq!(DeviceInfo::parse(&[told, &[1, 2, 3][..]].concat()), Ok(expected));
    }

    #[test]
    fn a_reply_that_is_cut_off_or_has_no_serial_is_refused() {
        let told = b"\0\0\0\x041234\0\0\x65\x53\xF1\0";
        for length in 0..told.len() {
            assert!(DeviceInfo::parse(&told[..length]).is_err(), "{length} bytes");
        }
        for serial in [&b""[..], b"12 4", b"12\0\0", b"\xFF123"] {
            let told = [&[0, 0, 0, serial.len() as u8], serial, &[0; 6]].concat();
            assert_eq!(DeviceInfo::parse(&told), Err(Malformed::new("no serial", 4)));
        }
    }

    #[test]
    fn a_challenge_has_8_bytes() {
        assert_eq!(GetChallenge::decode(&[1, 2, 3, 4, 5, 6, 7, 8]), Ok([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(GetChallenge::decode(&[1; 7]), Err(Malformed::new("challenge has not 8 bytes", 7)));
        assert_eq!(GetChallenge::decode(&[1; 9]), Err(Malformed::new("challenge has not 8 bytes", 8)));
    }
}
