//! The configuration of a slot as it goes to the key: 52 bytes, and behind them the access code that opens the slot.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 16 | fixed: token identifier, public identity, first keys of a password |
//! | 16 | 6 | private identity; HMAC: key bytes 16 to 19; HOTP: then IMF / 16, big-endian |
//! | 22 | 16 | key; HMAC: key bytes 0 to 15 |
//! | 38 | 6 | access code from now on, zeros for none |
//! | 44 | 1 | length of fixed |
//! | 45 | 3 | EXT, TKT, CFG flags |
//! | 48 | 2 | zero |
//! | 50 | 2 | CRC-16 of bytes 0 to 49, complemented, little-endian |
//!
//! 52 zeros empty the slot. Sources: yubikey-personalization, `ykdef.h`; yubikey-manager, `yubikit/yubiotp.py`.

use std::fmt;

use zeroize::Zeroizing;

use super::flags::Flags;
use super::frame::{PAYLOAD, Payload, crc16};

/// Length of a configuration.
pub(super) const LENGTH: usize = 52;
/// Longest fixed part.
pub(super) const FIXED: usize = 16;
/// Length of an HMAC key.
pub(super) const HMAC_KEY: usize = 20;
/// Most keys of a password.
pub(super) const SCAN_CODES: usize = 38;
/// HOTP counters are multiples of this.
pub(super) const IMF_UNIT: u64 = 16;
/// Highest HOTP counter to begin with.
pub(super) const IMF_MAX: u64 = 0xFFFF * IMF_UNIT;

/// The access code of a slot. Never zeros, which stand for none.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AccessCode(Zeroizing<[u8; 6]>);

impl AccessCode {
    /// Reads a code: 12 hexadecimal digits, or 6 bytes as they are. `None` for anything else, and for zeros.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut code = Zeroizing::new([0; 6]);
        if text.len() == 12 {
            for (byte, pair) in code.iter_mut().zip(text.chunks_exact(2)) {
                let digits = std::str::from_utf8(pair).ok()?;
                // from_str_radix takes a sign as well.
                *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
            }
        } else {
            *code = text.try_into().ok()?;
        }
        code.iter().any(|byte| *byte != 0).then_some(Self(code))
    }
}

impl fmt::Debug for AccessCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is written into a slot.
pub(super) struct Config {
    /// At most [`FIXED`] bytes.
    pub(super) fixed: Zeroizing<Vec<u8>>,
    pub(super) uid: Zeroizing<[u8; 6]>,
    pub(super) key: Zeroizing<[u8; 16]>,
    pub(super) flags: Flags,
}

impl Config {
    /// No key, no identity: for an update, which leaves them.
    pub(super) fn of_flags(flags: Flags) -> Self {
        let fixed = Zeroizing::new(vec![0; FIXED]);
        Self { fixed, uid: Zeroizing::default(), key: Zeroizing::default(), flags }
    }

    /// An HMAC key of at most [`HMAC_KEY`] bytes, zeros behind it, which change no HMAC.
    pub(super) fn of_hmac_key(key: &[u8], flags: Flags) -> Self {
        let mut config =
            Self { fixed: Zeroizing::default(), uid: Zeroizing::default(), key: Zeroizing::default(), flags };
        let places = config.key.iter_mut().chain(config.uid.iter_mut().take(HMAC_KEY - 16));
        for (place, byte) in places.zip(key) {
            *place = *byte;
        }
        config
    }

    /// The same for HOTP, which counts from `counter`, a multiple of [`IMF_UNIT`] up to [`IMF_MAX`].
    pub(super) fn of_hotp(key: &[u8], counter: u64, identifier: Vec<u8>, flags: Flags) -> Self {
        let mut config = Self::of_hmac_key(key, flags);
        let imf = u16::try_from(counter / IMF_UNIT).unwrap_or(u16::MAX).to_be_bytes();
        for (place, byte) in config.uid.iter_mut().skip(4).zip(imf) {
            *place = byte;
        }
        config.fixed = Zeroizing::new(identifier);
        config
    }

    /// Keys of a password, at most [`SCAN_CODES`].
    pub(super) fn of_scan_codes(codes: &[u8], flags: Flags) -> Self {
        let mut config = Self::of_flags(flags);
        let Self { fixed, uid, key, .. } = &mut config;
        for (place, code) in fixed.iter_mut().chain(uid.iter_mut()).chain(key.iter_mut()).zip(codes) {
            *place = *code;
        }
        config
    }

    /// Configuration and current code. `new` is the code from now on.
    pub(super) fn payload(&self, new: Option<&AccessCode>, current: Option<&AccessCode>) -> Payload {
        let Flags { ext, tkt, cfg } = self.flags;
        let length = u8::try_from(self.fixed.len()).unwrap_or(u8::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(PAYLOAD));
        bytes.extend(self.fixed.iter().copied().chain(std::iter::repeat(0)).take(FIXED));
        bytes.extend_from_slice(&*self.uid);
        bytes.extend_from_slice(&*self.key);
        bytes.extend_from_slice(&*code_bytes(new));
        bytes.extend_from_slice(&[length, ext, tkt, cfg, 0, 0]);
        let sum = !crc16(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(&*code_bytes(current));
        Payload::new(&bytes)
    }
}

/// The payload that empties a slot.
pub(super) fn deletion(current: Option<&AccessCode>) -> Payload {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PAYLOAD));
    bytes.extend_from_slice(&[0; LENGTH]);
    bytes.extend_from_slice(&*code_bytes(current));
    Payload::new(&bytes)
}

/// The code, or the zeros that stand for none.
pub(super) fn code_bytes(code: Option<&AccessCode>) -> Zeroizing<[u8; 6]> {
    code.map(|code| code.0.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::flags::{ext, tkt};
    use super::*;

    const SEED: &[u8] = b"12345678901234567890";
    const CODE: &[u8] = b"010203040506";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn flags(ext: u8, tkt: u8, cfg: u8) -> Flags {
        Flags { ext, tkt, cfg }
    }

    fn shown(payload: &Payload) -> Vec<u8> {
        payload.used().to_vec()
    }

    /// Fixed part, private identity, and from the access code on; the key is ASCII `1234567890123456`.
    fn expected(fixed: &str, uid: &str, rest: &str) -> Vec<u8> {
        hex(&format!("{fixed:0<32}{uid}31323334353637383930313233343536{rest}"))
    }

    #[test]
    fn hotp_is_encoded_as_yubikit_does() {
        let none = "000000000000";
        let plain = Config::of_hotp(SEED, 0, Vec::new(), flags(0x34, 0x60, 0x00));
        let rest = format!("{none} 00 34 60 00 0000 29C6 {none}");
        assert_eq!(shown(&plain.payload(None, None)), expected("", "373839300000", &rest));

        let eight = Config::of_hotp(SEED, 256, hex("E1E201234567"), flags(0x34, 0x60, 0x42));
        let rest = format!("{none} 06 34 60 42 0000 9770 {none}");
        assert_eq!(shown(&eight.payload(None, None)), expected("E1E201234567", "373839300010", &rest));

        let code = AccessCode::parse(CODE);
        let locked = Config::of_hotp(SEED, 0, Vec::new(), flags(0x34, 0x60, 0x40));
        let rest = format!("010203040506 00 34 60 40 0000 086A {none}");
        assert_eq!(shown(&locked.payload(code.as_ref(), None)), expected("", "373839300000", &rest));
        let rest = format!("{none} 00 34 60 40 0000 5FC0 010203040506");
        assert_eq!(shown(&locked.payload(None, code.as_ref())), expected("", "373839300000", &rest));
    }

    #[test]
    fn an_hmac_key_is_encoded_as_yubikit_does() {
        let none = "000000000000";
        for (cfg, sum) in [(0x26, "D828"), (0x2E, "1AEE")] {
            let config = Config::of_hmac_key(SEED, flags(0x24, 0x40, cfg));
            let rest = format!("{none} 00 24 40 {cfg:02X} 0000 {sum} {none}");
            assert_eq!(shown(&config.payload(None, None)), expected("", "373839300000", &rest));
            assert!(config.flags.answers_any_length());
        }
        let short = Config::of_hmac_key(b"key", Flags::default());
        assert_eq!((&short.key[..4], &short.uid[..]), (&b"key\0"[..], &[0; 6][..]));
    }

    #[test]
    fn other_configurations_are_those_that_were_published() {
        let otp = Config {
            fixed: Zeroizing::new(hex(&"DEADBEEF".repeat(4))),
            ..Config::of_flags(flags(ext::ALLOW_UPDATE, tkt::APPEND_CR, 0xA0))
        };
        let expected = hex(&format!("{}{}1020 20A0 0000 2AAC", "DEADBEEF".repeat(4), "00".repeat(28)));
        assert_eq!(shown(&otp.payload(None, None))[..LENGTH], expected);

        let update = Config::of_flags(flags(0x34, 0, 0)).payload(None, None);
        assert_eq!(shown(&update)[44..52], hex("10 34 00 00 0000 64F4"));
        let code = AccessCode::parse(b"123456");
        assert_eq!(shown(&deletion(code.as_ref())), [&[0; 52][..], b"123456"].concat());

        let codes: Vec<u8> = (1..=38).collect();
        let password = Config::of_scan_codes(&codes, flags(0x34, 0x20, 0x02)).payload(None, None);
        assert_eq!((&shown(&password)[..38], shown(&password)[44]), (&codes[..], 16));
    }

    #[test]
    fn a_code_is_twelve_digits_or_six_bytes() {
        assert_eq!(AccessCode::parse(CODE), AccessCode::parse(&[1, 2, 3, 4, 5, 6]));
        assert_eq!(AccessCode::parse(b"aBcDeF012345"), AccessCode::parse(&hex("ABCDEF012345")));
        for wrong in [
            &b""[..],
            b"12345",
            b"1234567",
            b"01020304050",
            b"01020304050g",
            b"+1+2+3+4+5+6",
            b"000000000000",
            &[0; 6],
            "äöüß1234".as_bytes(),
        ] {
            assert_eq!(AccessCode::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(format!("{:?}", AccessCode::parse(CODE)), "Some([redacted])");
    }
}
