//! The configuration of a slot as it comes from the host: 52 bytes.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 16 | fixed: public identity, token identifier, or the first keys of a password |
//! | 16 | 6 | private identity; for HMAC keys bytes 16 to 19 of the key, for HOTP then the IMF / 16, big-endian |
//! | 22 | 16 | key |
//! | 38 | 6 | access code to set, zeros for none |
//! | 44 | 1 | how much of fixed is used |
//! | 45 | 3 | flags: EXT, TKT, CFG |
//! | 48 | 2 | reserved, zero |
//! | 50 | 2 | CRC-16 of bytes 0 to 49, complemented, little-endian |

use super::{CRC_RESIDUE, crc16};
use crate::credential::Hash;
use crate::otp;

/// Length of a configuration.
pub const LENGTH: usize = 52;
/// Length of an access code.
pub const CODE_LENGTH: usize = 6;

/// EXT flags.
pub mod ext {
    /// The serial may be read by programs.
    pub const SERIAL_API_VISIBLE: u8 = 0x04;
    /// The slot may be updated.
    pub const ALLOW_UPDATE: u8 = 0x20;
    /// The slot sleeps.
    pub const DORMANT: u8 = 0x40;
    /// The light is inverted.
    pub const LED_INV: u8 = 0x80;
}

/// TKT flags.
pub mod tkt {
    /// Tab first.
    pub const TAB_FIRST: u8 = 0x01;
    /// Tab after the fixed part.
    pub const APPEND_TAB1: u8 = 0x02;
    /// Tab after the passcode.
    pub const APPEND_TAB2: u8 = 0x04;
    /// Enter at the end.
    pub const APPEND_CR: u8 = 0x20;
    /// OATH-HOTP, or challenge-response.
    pub const OATH_OR_CHALLENGE: u8 = 0x40;
    /// Slot 2 is protected by slot 1.
    pub const PROTECT_CFG2: u8 = 0x80;
    /// What an update may change.
    pub const UPDATE: u8 = 0x3F;
}

/// CFG flags.
pub mod cfg {
    /// Short ticket; eight digits of HOTP; scan codes.
    pub const SHORT_OR_HOTP8: u8 = 0x02;
    /// HMAC of less than 64 bytes.
    pub const HMAC_LT64: u8 = 0x04;
    /// A challenge wants a touch.
    pub const CHAL_BTN_TRIG: u8 = 0x08;
    /// First byte of the token identifier in modhex.
    pub const MODHEX1: u8 = 0x10;
    /// Static ticket; Yubico OTP challenge.
    pub const STATIC_OR_CHAL_YUBICO: u8 = 0x20;
    /// HMAC challenge: both bits.
    pub const CHAL_HMAC: u8 = 0x22;
    /// First two bytes of the token identifier in modhex.
    pub const MODHEX2: u8 = 0x40;
    /// What an update may change.
    pub const UPDATE: u8 = 0x0C;
}

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Types a Yubico OTP.
    YubicoOtp,
    /// Types a password from keys of the keyboard.
    ScanCodes,
    /// Types a password made from the key once and for all.
    StaticTicket,
    /// Types an HOTP passcode.
    Hotp,
    /// Answers challenges with HMAC-SHA-1.
    HmacChallenge,
    /// Answers challenges with AES.
    YubicoChallenge,
}

/// A configuration, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Fixed part, padded.
    pub fixed: [u8; 16],
    /// Private identity.
    pub uid: [u8; 6],
    /// Key.
    pub key: [u8; 16],
    /// Access code, zeros for none.
    pub code: [u8; CODE_LENGTH],
    /// How much of the fixed part is used.
    pub fixed_length: u8,
    /// EXT flags.
    pub ext: u8,
    /// TKT flags.
    pub tkt: u8,
    /// CFG flags.
    pub cfg: u8,
}

impl Config {
    /// Takes 52 bytes apart. `None` if the CRC is wrong, a reserved byte is set, or the fixed part is too long.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let [.., fixed_length, ext, tkt, cfg, reserved_0, reserved_1, _, _] = *bytes;
        if crc16(bytes) != CRC_RESIDUE || (reserved_0, reserved_1) != (0, 0) || fixed_length > 16 {
            return None;
        }
        Some(Self {
            fixed: take(bytes, 0)?,
            uid: take(bytes, 16)?,
            key: take(bytes, 22)?,
            code: take(bytes, 38)?,
            fixed_length,
            ext,
            tkt,
            cfg,
        })
    }

    /// What the slot does with it.
    #[must_use]
    pub fn function(&self) -> Function {
        let has = |bits| self.cfg & bits == bits;
        if self.tkt & tkt::OATH_OR_CHALLENGE != 0 {
            return match () {
                () if has(cfg::CHAL_HMAC) => Function::HmacChallenge,
                () if has(cfg::STATIC_OR_CHAL_YUBICO) => Function::YubicoChallenge,
                () => Function::Hotp,
            };
        }
        match () {
            () if has(cfg::STATIC_OR_CHAL_YUBICO) => Function::StaticTicket,
            () if has(cfg::SHORT_OR_HOTP8) => Function::ScanCodes,
            () => Function::YubicoOtp,
        }
    }

    /// Whether the slot types, so that it works by touch alone, or answers only when touched.
    #[must_use]
    pub fn wants_touch(&self) -> bool {
        match self.function() {
            Function::HmacChallenge | Function::YubicoChallenge => self.cfg & cfg::CHAL_BTN_TRIG != 0,
            _ => true,
        }
    }

    /// The 20 bytes of an HMAC key.
    #[must_use]
    pub fn hmac_key(&self) -> [u8; 20] {
        let mut key = [0; 20];
        let (first, last) = key.split_at_mut(16);
        first.copy_from_slice(&self.key);
        last.copy_from_slice(&self.uid[..4]);
        key
    }

    /// The moving factor of the first HOTP passcode.
    #[must_use]
    pub fn initial_counter(&self) -> u64 {
        u64::from(u16::from_be_bytes([self.uid[4], self.uid[5]])) * 16
    }

    /// HMAC-SHA-1 over 64 bytes, or over what is left of them without the run of equal bytes at the end.
    #[must_use]
    pub fn respond(&self, challenge: &[u8; 64]) -> Vec<u8> {
        let mut message = &challenge[..];
        if self.cfg & cfg::HMAC_LT64 != 0 {
            let padding = challenge[63];
            let end = message.iter().rposition(|byte| *byte != padding).map_or(0, |last| last + 1);
            message = &message[..end];
        }
        otp::hmac(Hash::Sha1, &self.hmac_key(), message)
    }

    /// The HOTP passcode of a counter.
    #[must_use]
    pub fn hotp(&self, counter: u64) -> String {
        let mac = otp::hmac(Hash::Sha1, &self.hmac_key(), &counter.to_be_bytes());
        otp::passcode(otp::truncate(&mac), self.hotp_digits())
    }

    /// Length of an HOTP passcode.
    #[must_use]
    pub fn hotp_digits(&self) -> u8 {
        if self.cfg & cfg::SHORT_OR_HOTP8 != 0 { 8 } else { 6 }
    }

    /// The token identifier as it is typed: some of it in modhex, the rest in hexadecimal.
    #[must_use]
    pub fn identifier(&self) -> String {
        let fixed = &self.fixed[..usize::from(self.fixed_length)];
        let in_modhex = match self.cfg & (cfg::MODHEX1 | cfg::MODHEX2) {
            0 => 0,
            cfg::MODHEX1 => 1,
            cfg::MODHEX2 => 2,
            _ => fixed.len(),
        };
        let mut typed = String::new();
        for (index, byte) in fixed.iter().enumerate() {
            let alphabet = if index < in_modhex { b"cbdefghijklnrtuv" } else { b"0123456789abcdef" };
            typed.extend([byte >> 4, byte & 15].map(|nibble| char::from(alphabet[usize::from(nibble)])));
        }
        typed
    }

    /// The keys of a password: fixed part, private identity and key in a row.
    #[must_use]
    pub fn scan_codes(&self) -> Vec<u8> {
        let mut codes = [&self.fixed[..], &self.uid, &self.key].concat();
        let end = codes.iter().rposition(|code| *code != 0).map_or(0, |last| last + 1);
        codes.truncate(end);
        codes
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fixed_length, ext, tkt, cfg, .. } = self;
        write!(f, "{:?} fixed {fixed_length} ext {ext:02X} tkt {tkt:02X} cfg {cfg:02X}", self.function())
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn config(fixed: &str, uid: &str, key: &str, tail: &str) -> Option<Config> {
        let fixed = format!("{fixed:0<32}");
        Config::parse(&hex(&format!("{fixed}{uid}{key}{}{tail}", "00".repeat(6))))
    }

    const KEY: &str = "31323334353637383930313233343536";

    #[test]
    fn an_hotp_configuration_counts_from_sixteen_times_its_imf() {
        let config = config("E1E201234567", "373839300010", KEY, "06 34 60 42 0000 9770").unwrap();
        assert_eq!(config.function(), Function::Hotp);
        assert_eq!(config.hmac_key(), *b"12345678901234567890");
        assert_eq!((config.initial_counter(), config.hotp_digits()), (256, 8));
        assert_eq!(config.identifier(), "ubud01234567");
        assert_eq!(config.hotp(1), "94287082");
    }

    #[test]
    fn a_challenge_loses_the_run_of_equal_bytes_at_its_end() {
        let config = config("", "373839300000", KEY, "00 24 40 26 0000 D828").unwrap();
        assert_eq!(config.function(), Function::HmacChallenge);
        let padded = |text: &[u8], padding: u8| {
            let mut challenge = [padding; 64];
            challenge[..text.len()].copy_from_slice(text);
            challenge
        };
        assert_eq!(
            config.respond(&padded(b"challenge!", 0)),
            hex("A36F4994F773AF83153F8D5B33779BAED4D8CE33")
        );
        let step_1 = padded(&1_u64.to_be_bytes(), 0);
        assert_eq!(config.respond(&step_1), hex("75A48A19D4CBE100644E8AC1397EEA747A2D33AB"));
        assert_eq!(config.respond(&padded(&1_u64.to_be_bytes(), 9)), config.respond(&step_1));
    }

    #[test]
    fn the_published_write_of_a_yubico_otp_is_read() {
        let bytes = hex(&format!("{}{}10 20 20 A0 0000 2AAC", "DEADBEEF".repeat(4), "00".repeat(28)));
        let config = Config::parse(&bytes).unwrap();
        assert_eq!((config.fixed_length, config.ext, config.tkt, config.cfg), (16, 0x20, 0x20, 0xA0));
    }

    #[test]
    fn a_wrong_sum_and_reserved_bits_are_refused() {
        assert!(config("", "373839300000", KEY, "00 24 40 26 0000 D829").is_none());
        assert!(config("", "373839300000", KEY, "00 24 40 26 0001 D828").is_none());
        assert!(Config::parse(&[]).is_none());
    }
}
