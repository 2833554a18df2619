//! The PIN of an assignment, kept as HMAC-SHA-256 under a key that is not in the database.
//!
//! A PIN of four digits falls to any offline search, however slow the hash, so what protects it is the key. The MAC
//! covers the assignment and a salt: a record copied to another row, or the same PIN twice, tells nothing. A PIN is
//! 1 to 64 characters without control characters, compared byte by byte as typed; how long it must be is policy.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::mac::{Tag, hmac_sha256};

/// Longest PIN in characters.
pub const MAX_PIN_CHARS: usize = 64;

/// Keeps these MACs apart from whatever else the key may be used for.
const PURPOSE: &[u8] = b"fobd assignment PIN, version 1";

/// Why a text cannot be a PIN. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// No characters; having no PIN is no record, not an empty one.
    #[error("the PIN is empty")]
    Empty,
    /// More than [`MAX_PIN_CHARS`].
    #[error("the PIN is longer than {MAX_PIN_CHARS} characters")]
    TooLong,
    /// It holds a control character, such as a tab or a line end.
    #[error("the PIN holds a control character")]
    ControlCharacter,
}

/// Checks that a text can be a PIN.
///
/// # Errors
/// [`PinError`] says why it cannot.
pub fn check(pin: &str) -> Result<(), PinError> {
    if pin.is_empty() {
        return Err(PinError::Empty);
    }
    if pin.chars().nth(MAX_PIN_CHARS).is_some() {
        return Err(PinError::TooLong);
    }
    if pin.chars().any(char::is_control) {
        return Err(PinError::ControlCharacter);
    }
    Ok(())
}

/// What is kept of a PIN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PinRecord {
    /// Random, fresh for every PIN.
    pub salt: [u8; 16],
    /// HMAC-SHA-256 over purpose, assignment, salt and PIN.
    pub mac: [u8; 32],
}

impl PinRecord {
    /// A record that no PIN matches in practice, for comparisons that are only made to take their time.
    pub(super) const STAND_IN: Self = Self { salt: [0; 16], mac: [0; 32] };
}

impl fmt::Debug for PinRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinRecord([redacted])")
    }
}

/// The key under which PINs are kept.
#[derive(Clone)]
pub struct PinKey(Zeroizing<[u8; 32]>);

impl PinKey {
    /// Takes the key over.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Makes the record of a PIN. The caller has [`check`]ed the PIN and made the salt at random.
    #[must_use]
    pub fn record(&self, assignment_id: i64, salt: [u8; 16], pin: &str) -> PinRecord {
        PinRecord { salt, mac: self.mac(assignment_id, &salt, pin) }
    }

    /// Whether a record is of this PIN, in time that depends only on the length of what was typed.
    #[must_use]
    pub fn matches(&self, assignment_id: i64, record: &PinRecord, pin: &str) -> bool {
        self.mac(assignment_id, &record.salt, pin).ct_eq(&record.mac).into()
    }

    /// A key for another purpose: it tells nothing of this one.
    pub(super) fn derive(&self, purpose: &[u8]) -> Tag {
        hmac_sha256(&self.0, &[purpose])
    }

    fn mac(&self, assignment_id: i64, salt: &[u8; 16], pin: &str) -> Tag {
        hmac_sha256(&self.0, &[PURPOSE, &assignment_id.to_be_bytes(), salt, pin.as_bytes()])
    }
}

impl fmt::Debug for PinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_fits_its_pin_assignment_salt_and_key_only() {
        let key = PinKey::new([1; 32]);
        let record = key.record(7, [2; 16], "1234");
        assert!(key.matches(7, &record, "1234"));
        assert!(!key.matches(7, &record, "1235"));
        assert!(!key.matches(7, &record, "12345"));
        assert!(!key.matches(7, &record, ""));
        assert!(!key.matches(8, &record, "1234"));
        assert!(!key.matches(7, &PinRecord { salt: [3; 16], ..record }, "1234"));
        assert!(!PinKey::new([4; 32]).matches(7, &record, "1234"));
    }

    #[test]
    fn a_pin_is_1_to_64_characters() {
        assert_eq!(check(""), Err(PinError::Empty));
        assert_eq!(check("1"), Ok(()));
        assert_eq!(check(&"ü".repeat(64)), Ok(()));
        assert_eq!(check(&"ü".repeat(65)), Err(PinError::TooLong));
        assert_eq!(check("12\t34"), Err(PinError::ControlCharacter));
        assert_eq!(check("1234\u{85}"), Err(PinError::ControlCharacter));
    }

    #[test]
    fn neither_key_nor_record_nor_error_shows_anything() {
        let key = PinKey::new([0xaa; 32]);
        assert_eq!(
            format!("{key:?} {:?}", key.record(1, [0xbb; 16], "1234")),
            "PinKey([redacted]) PinRecord([redacted])"
        );
        assert_eq!(check("secret\n").unwrap_err().to_string(), "the PIN holds a control character");
    }
}
