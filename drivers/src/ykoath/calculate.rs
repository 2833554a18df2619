//! Passcodes: CALCULATE and CALCULATE ALL (YKOATH).
//!
//! | command | INS | data | reply |
//! |---|---|---|---|
//! | CALCULATE | A2, P2 01 | `71` name, `74` challenge | `76`: digits, 4 bytes |
//! | CALCULATE ALL | A4, P2 01 | `74` challenge | per credential `71` name, then `76`, `77` or `7C` |
//!
//! The challenge is the number of the time step as 8 bytes, most significant first, and empty for HOTP. P2 01 asks
//! for the value after dynamic truncation (RFC 4226 §5.3); the digits are still to be cut from it. A length of 4 to
//! 10 digits is taken, whatever the card was told.

use super::commands::{empty, locked, tag};
use super::name::Entry;
use crate::error::Error;
use crate::iso7816::status::StatusWord;
use crate::iso7816::{Command, Malformed, tlv};
use crate::token::Kind;

/// A value after dynamic truncation (RFC 4226 §5.3), with the length the card was told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated {
    digits: u8,
    value: u32,
}

impl Truncated {
    /// Reads `digits` and 4 bytes.
    fn parse(value: &[u8], offset: usize) -> Result<Self, Malformed> {
        let &[digits, a, b, c, d] = value else {
            return Err(Malformed::new("truncated value is not 5 bytes", offset));
        };
        if !(4..=10).contains(&digits) {
            return Err(Malformed::new("passcode length is not 4 to 10", offset));
        }
        // Not every applet clears the top bit.
        Ok(Self { digits, value: u32::from_be_bytes([a, b, c, d]) & 0x7FFF_FFFF })
    }

    /// The passcode as text, leading zeros included.
    pub(super) fn passcode(self) -> String {
        let modulus = 10_u64.pow(u32::from(self.digits));
        format!("{:0width$}", u64::from(self.value) % modulus, width = usize::from(self.digits))
    }
}

/// CALCULATE, truncated. For HOTP the challenge is empty, but present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calculate<'a> {
    pub(super) name: &'a [u8],
    pub(super) challenge: &'a [u8],
}

impl Command for Calculate<'_> {
    const NAME: &'static str = "CALCULATE";
    const INS: u8 = 0xA2;
    type Response = Truncated;

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, 0x01)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::NAME, self.name);
        tlv::push(data, tag::CHALLENGE, self.challenge);
    }

    fn decode(data: &[u8]) -> Result<Truncated, Malformed> {
        let mut reader = tlv::Reader::new(data);
        let truncated = Truncated::parse(reader.expect(tag::TRUNCATED)?, 0)?;
        reader.finish()?;
        Ok(truncated)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        empty(status, self.name).or_else(|| locked(status))
    }
}

/// CALCULATE ALL, truncated. Used for what it tells besides: digits, and which credentials want a touch. It
/// never counts an HOTP credential on. The challenge is step 0, which no increasing-only credential accepts as
/// progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct CalculateAll;

impl Command for CalculateAll {
    const NAME: &'static str = "CALCULATE ALL";
    const INS: u8 = 0xA4;
    type Response = Vec<Entry>;

    fn p1_p2(&self) -> (u8, u8) {
        (0x00, 0x01)
    }

    fn encode(&self, data: &mut Vec<u8>) {
        tlv::push(data, tag::CHALLENGE, &[0; 8]);
    }

    fn decode(data: &[u8]) -> Result<Vec<Entry>, Malformed> {
        let mut entries = Vec::new();
        let mut reader = tlv::Reader::new(data);
        while reader.offset() < data.len() {
            let name = reader.expect(tag::NAME)?;
            let offset = reader.offset();
            let (tag, value) = reader.read()?.ok_or(Malformed::new("data object is missing", offset))?;
            let (kind, touch) = match tag {
                tag::TRUNCATED | tag::RESPONSE => (Some(Kind::Totp), Some(false)),
                // An HOTP credential is not calculated here, and so does not tell whether it wants a touch.
                tag::HOTP => (Some(Kind::Hotp), None),
                tag::TOUCH => (None, Some(true)),
                _ => return Err(Malformed::new("another tag than expected", offset)),
            };
            let digits = value.first().copied();
            entries.push(Entry { stored: name.to_vec(), kind, algorithm: None, digits, touch });
        }
        Ok(entries)
    }

    fn refusal(&self, status: StatusWord) -> Option<Error> {
        locked(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso7816::apdu::{Header, encode};
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn apdu<C: Command>(command: &C) -> Vec<u8> {
        let mut data = Vec::new();
        command.encode(&mut data);
        let (p1, p2) = command.p1_p2();
        let apdus = encode(Header { ins: C::INS, p1, p2 }, &data);
        assert_eq!(apdus.len(), 1, "{} is short", C::NAME);
        apdus[0].to_vec()
    }

    #[test]
    fn calculate_gives_the_passcodes_of_rfc_4226() {
        let command = Calculate { name: b"Example:alice", challenge: &1_u64.to_be_bytes() };
        assert_eq!(apdu(&command), hex("00A2000119710D4578616D706C653A616C69636574080000000000000001"));
        assert_eq!(
            apdu(&Calculate { name: b"Corp:hotp", challenge: &[] }),
            hex("00A200010D7109436F72703A686F74707400")
        );
        for (reply, passcode) in [
            ("76050641397EEA", "287082"),
            ("76050633C083D4", "254676"),
            ("7605067256C032", "287922"),
            ("76050841397EEA", "94287082"),
            // The top bit belongs to the hash, not to the passcode.
            ("760506C1397EEA", "287082"),
            ("7605063610F84C", "081804"),
        ] {
            assert_eq!(Calculate::decode(&hex(reply)).unwrap().passcode(), passcode, "{reply}");
        }
        for (reply, what) in [
            ("76040641397E", "truncated value is not 5 bytes"),
            ("76050341397EEA", "passcode length is not 4 to 10"),
            ("76050B41397EEA", "passcode length is not 4 to 10"),
            ("76050641397EEA00", "data after the end"),
            ("770106", "another tag than expected"),
            ("", "data object is missing"),
        ] {
            assert_eq!(Calculate::decode(&hex(reply)).err().map(|error| error.what), Some(what), "{reply}");
        }
    }

    #[test]
    fn calculate_all_tells_digits_and_touch() {
        assert_eq!(apdu(&CalculateAll), hex("00A400010A74080000000000000000"));
        let entries =
            CalculateAll::decode(&hex("710161 76050641397EEA 710162 770106 710163 7C0108 710164 7700"))
                .unwrap();
        let told: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.digits, entry.touch)).collect();
        assert_eq!(
            told,
            [
                (Some(Kind::Totp), Some(6), Some(false)),
                (Some(Kind::Hotp), Some(6), None),
                (None, Some(8), Some(true)),
                (Some(Kind::Hotp), None, None),
            ]
        );
        assert_eq!(CalculateAll::decode(&hex("710161")).unwrap_err().what, "data object is missing");
    }

    proptest! {
        #[test]
        fn no_reply_makes_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = CalculateAll::decode(&data);
            let _ = Calculate::decode(&data).map(Truncated::passcode);
        }
    }
}
