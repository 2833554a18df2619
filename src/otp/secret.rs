//! The shared secret (K in RFC 4226) as one type: wiped on drop, compared in constant time, never shown.
//!
//! It holds 1 to 128 bytes. RFC 4226 R6 wants 16 or more; a shorter one is taken because tokens that carry it exist,
//! and refusing it is a matter for the policy of an import. 128 bytes is the block of SHA-512, beyond which HMAC
//! would hash the secret anyway. Text is decoded only here; errors say what is wrong and where, and never quote it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Longest secret in bytes.
pub const MAX_SECRET_BYTES: usize = 128;

/// Longest text that can still spell such a secret, separators included.
const MAX_TEXT_BYTES: usize = 4 * MAX_SECRET_BYTES;

/// Why something is not a secret. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No bytes at all.
    #[error("the secret is empty")]
    Empty,
    /// More than [`MAX_SECRET_BYTES`].
    #[error("the secret is longer than {MAX_SECRET_BYTES} bytes")]
    TooLong,
    /// Not hexadecimal.
    #[error("the secret is not hexadecimal: see character {position}")]
    NotHex {
        /// Where, counted in characters from 1.
        position: usize,
    },
    /// An odd number of hexadecimal digits.
    #[error("the secret has an odd number of hexadecimal digits")]
    OddHex,
    /// Not base32 (RFC 4648 §6).
    #[error("the secret is not base32: see character {position}")]
    NotBase32 {
        /// Where, counted in characters from 1.
        position: usize,
    },
    /// A number of base32 characters that no number of bytes gives.
    #[error("the secret is not base32: characters are missing at its end")]
    CutBase32,
    /// Not base64 (RFC 4648 §4).
    #[error("the secret is not base64")]
    NotBase64,
}

/// A shared secret of 1 to 128 bytes.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    ///
    /// # Errors
    /// [`SecretError::Empty`] and [`SecretError::TooLong`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretError> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            0 => Err(SecretError::Empty),
            1..=MAX_SECRET_BYTES => Ok(Self(bytes)),
            _ => Err(SecretError::TooLong),
        }
    }

    /// Reads hexadecimal of either case. Whitespace is skipped.
    ///
    /// # Errors
    /// [`SecretError`] if it is anything else, or of no fitting length.
    pub fn from_hex(text: &str) -> Result<Self, SecretError> {
        check_length(text)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2 + 1));
        let mut high = None;
        for (index, character) in text.chars().enumerate().filter(|(_, c)| !c.is_ascii_whitespace()) {
            // A hexadecimal digit is at most 15.
            let digit = character.to_digit(16).ok_or(SecretError::NotHex { position: index + 1 })? as u8;
            match high.take() {
                None => high = Some(digit),
                Some(high) => bytes.push(high << 4 | digit),
            }
        }
        if high.is_some() {
            return Err(SecretError::OddHex);
        }
        Self::new(std::mem::take(&mut *bytes))
    }

    /// Reads base32 (RFC 4648 §6) of either case, padded or not. Whitespace and hyphens, with which people group
    /// it, are skipped; bits left over at the end are dropped.
    ///
    /// # Errors
    /// [`SecretError`] if it is anything else, or of no fitting length.
    pub fn from_base32(text: &str) -> Result<Self, SecretError> {
        check_length(text)?;
        let mut letters = Zeroizing::new(String::with_capacity(text.len()));
        let unpadded = text.trim_end().trim_end_matches('=');
        for (index, character) in unpadded.chars().enumerate() {
            match character.to_ascii_uppercase() {
                letter @ ('A'..='Z' | '2'..='7') => letters.push(letter),
                '-' => {}
                space if space.is_ascii_whitespace() => {}
                _ => return Err(SecretError::NotBase32 { position: index + 1 }),
            }
        }
        if matches!(letters.len() % 8, 1 | 3 | 6) {
            return Err(SecretError::CutBase32);
        }
        let alphabet = base32::Alphabet::Rfc4648 { padding: false };
        Self::new(base32::decode(alphabet, &letters).ok_or(SecretError::CutBase32)?)
    }

    /// Reads base64 (RFC 4648 §4), padded or not. Whitespace, with which XML wraps it, is skipped.
    ///
    /// # Errors
    /// [`SecretError`] if it is anything else, or of no fitting length.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        check_length(text)?;
        let mut letters = Zeroizing::new(String::with_capacity(text.len()));
        letters.extend(text.chars().filter(|c| !c.is_ascii_whitespace()));
        let engine = if letters.ends_with('=') { &STANDARD } else { &STANDARD_NO_PAD };
        Self::new(engine.decode(letters.as_bytes()).map_err(|_| SecretError::NotBase64)?)
    }

    /// The bytes, for the one who computes with them, seals them or writes them to a device.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Bounds the work on hostile text before any of it is decoded.
fn check_length(text: &str) -> Result<(), SecretError> {
    if text.len() > MAX_TEXT_BYTES { Err(SecretError::TooLong) } else { Ok(()) }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_secret() -> Secret {
        Secret::new(b"12345678901234567890".to_vec()).unwrap()
    }

    #[test]
    fn one_to_128_bytes_are_a_secret() {
        assert_eq!(Secret::new(vec![]), Err(SecretError::Empty));
        assert_eq!(Secret::new(vec![0; 1]).unwrap().expose(), [0]);
        assert_eq!(Secret::new(vec![9; 128]).unwrap().expose(), [9; 128]);
        assert_eq!(Secret::new(vec![0; 129]), Err(SecretError::TooLong));
    }

    #[test]
    fn hex_is_read_in_either_case_and_with_spaces() {
        assert_eq!(Secret::from_hex("3132333435363738393031323334353637383930"), Ok(rfc_secret()));
        assert_eq!(Secret::from_hex(" Ab cD\t0f\r\n").unwrap().expose(), [0xab, 0xcd, 0x0f]);
    }

    #[test]
    fn bad_hex_is_refused_with_its_place() {
        assert_eq!(Secret::from_hex("31 3x"), Err(SecretError::NotHex { position: 5 }));
        assert_eq!(Secret::from_hex("313"), Err(SecretError::OddHex));
        assert_eq!(Secret::from_hex(" \n"), Err(SecretError::Empty));
        assert_eq!(Secret::from_hex(&"00".repeat(129)), Err(SecretError::TooLong));
        assert_eq!(Secret::from_hex(&"0".repeat(100_000)), Err(SecretError::TooLong));
        assert_eq!(Secret::from_hex("3１"), Err(SecretError::NotHex { position: 2 }));
    }

    #[test]
    fn base32_is_read_as_people_write_it() {
        for text in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ\n",
        ] {
            assert_eq!(Secret::from_base32(text), Ok(rfc_secret()), "{text}");
        }
        assert_eq!(Secret::from_base32("MZXW6YQ=").unwrap().expose(), b"foob");
        assert_eq!(Secret::from_base32("MZXW6YQ").unwrap().expose(), b"foob");
        assert_eq!(Secret::from_base32("MZXW6YTBOI======").unwrap().expose(), b"foobar");
    }

    #[test]
    fn bad_base32_is_refused_with_its_place() {
        assert_eq!(Secret::from_base32("MZ8W"), Err(SecretError::NotBase32 { position: 3 }));
        assert_eq!(Secret::from_base32("MZ=W"), Err(SecretError::NotBase32 { position: 3 }));
        assert_eq!(Secret::from_base32("MZXW6Y"), Err(SecretError::CutBase32));
        assert_eq!(Secret::from_base32("M"), Err(SecretError::CutBase32));
        assert_eq!(Secret::from_base32("===="), Err(SecretError::Empty));
        assert_eq!(Secret::from_base32("MZXWé"), Err(SecretError::NotBase32 { position: 5 }));
    }

    #[test]
    fn base64_is_read_wrapped_and_unpadded() {
        for text in [
            "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=",
            "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA",
            " MTIzNDU2Nzg5MDEy\n  MzQ1Njc4OTA= ",
        ] {
            assert_eq!(Secret::from_base64(text), Ok(rfc_secret()), "{text}");
        }
        for text in ["MTIz!", "M", "M===", "MTIzNDU=2"] {
            assert_eq!(Secret::from_base64(text), Err(SecretError::NotBase64), "{text}");
        }
        assert_eq!(Secret::from_base64(""), Err(SecretError::Empty));
    }

    #[test]
    fn neither_a_secret_nor_its_errors_show_it() {
        assert_eq!(format!("{:?}", rfc_secret()), "[redacted, 20 bytes]");
        let error = Secret::from_hex("c0ffee c0ffeeX").unwrap_err();
        assert_eq!(error.to_string(), "the secret is not hexadecimal: see character 14");
    }
}
