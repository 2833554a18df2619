//! The passcode: what a device shows or types, as text of fixed length. Leading zeros are part of it.
//!
//! Digits are 6 to 10 (RFC 4226 §5.3 demands 6 at least; a truncated HMAC has 31 bits, so the tenth digit is 0 to 2
//! and an eleventh would always be 0). Comparison takes the same time wherever two passcodes differ.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// Length of a passcode: 6 to 10 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digits(u8);

/// A passcode cannot have that many digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a passcode has 6 to 10 digits, not {0}")]
pub struct DigitsOutOfRange(pub u8);

impl Digits {
    /// Six, the default of every format.
    pub const SIX: Self = Self(6);
    /// Eight.
    pub const EIGHT: Self = Self(8);

    /// Checks the range.
    ///
    /// # Errors
    /// [`DigitsOutOfRange`] below 6 and above 10.
    pub const fn new(digits: u8) -> Result<Self, DigitsOutOfRange> {
        match digits {
            6..=10 => Ok(Self(digits)),
            _ => Err(DigitsOutOfRange(digits)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The last so many decimal places of a truncated HMAC.
    pub(super) const fn last_of(self, number: u32) -> u32 {
        match 10_u32.checked_pow(self.0 as u32) {
            Some(end) => number % end,
            // Ten places hold all of its 31 bits.
            None => number,
        }
    }

    /// The number, as a length.
    pub(super) const fn length(self) -> usize {
        self.0 as usize
    }
}

impl Default for Digits {
    fn default() -> Self {
        Self::SIX
    }
}

/// A passcode of fixed length.
#[derive(Clone, Copy)]
pub struct Passcode {
    /// ASCII digits, zero bytes behind the last one.
    text: [u8; 10],
    digits: Digits,
    /// The same as a number.
    number: u64,
}

impl Passcode {
    /// The last `digits` decimal places of a number, with leading zeros.
    pub(super) fn of(mut number: u64, digits: Digits) -> Self {
        let mut text = [0; 10];
        let (mut shown, mut unit) = (0, 1);
        for place in text.iter_mut().take(digits.length()).rev() {
            // A decimal place is at most 9.
            *place = b'0' + (number % 10) as u8;
            shown += unit * (number % 10);
            unit *= 10;
            number /= 10;
        }
        Self { text, digits, number: shown }
    }

    /// A passcode that equals no other, for searches that are only made to take their time.
    pub(super) const fn impossible(digits: Digits) -> Self {
        Self { text: [0xff; 10], digits, number: u64::MAX }
    }

    /// Reads a passcode of exactly this length. `None` if it has another, or anything but ASCII digits.
    #[must_use]
    pub fn parse(text: &str, digits: Digits) -> Option<Self> {
        if text.len() != digits.length() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut passcode = Self { text: [0; 10], digits, number: 0 };
        for (place, byte) in passcode.text.iter_mut().zip(text.bytes()) {
            *place = byte;
            passcode.number = 10 * passcode.number + u64::from(byte - b'0');
        }
        Some(passcode)
    }

    /// The passcode as a number, for comparison with numbers of so many digits; one of another length equals none.
    pub(super) fn number(&self, digits: Digits) -> u64 {
        if self.digits == digits { self.number } else { u64::MAX }
    }

    /// The text, for the one who asked for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text
            .get(..self.digits.length())
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

impl PartialEq for Passcode {
    fn eq(&self, other: &Self) -> bool {
        self.text.ct_eq(&other.text).into()
    }
}

impl Eq for Passcode {}

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted passcode]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_to_ten_digits_are_allowed() {
        for digits in 6..=10 {
            assert_eq!(Digits::new(digits).unwrap().get(), digits);
        }
        assert_eq!(Digits::new(5), Err(DigitsOutOfRange(5)));
        assert_eq!(Digits::new(11), Err(DigitsOutOfRange(11)));
        assert_eq!(Digits::new(0).unwrap_err().to_string(), "a passcode has 6 to 10 digits, not 0");
    }

    #[test]
    fn leading_zeros_are_part_of_the_passcode() {
        assert_eq!(Passcode::of(1_284_755_224, Digits::SIX).as_str(), "755224");
        assert_eq!(Passcode::of(7_890, Digits::SIX).as_str(), "007890");
        assert_eq!(Passcode::of(0, Digits::EIGHT).as_str(), "00000000");
        assert_eq!(Passcode::of(0x7fff_ffff, Digits::new(10).unwrap()).as_str(), "2147483647");
        assert_ne!(Passcode::of(7_890, Digits::SIX), Passcode::of(7_890, Digits::EIGHT));
    }

    #[test]
    fn only_ascii_digits_of_the_right_number_are_a_passcode() {
        assert_eq!(Passcode::parse("007890", Digits::SIX), Some(Passcode::of(7_890, Digits::SIX)));
        for text in ["", "07890", "0007890", "00789O", " 07890", "+07890", "07890٠", "１２"] {
            assert_eq!(Passcode::parse(text, Digits::SIX), None, "{text}");
        }
    }

    #[test]
    fn the_impossible_passcode_equals_none() {
        assert!((0..1000).all(|n| Passcode::of(n, Digits::SIX) != Passcode::impossible(Digits::SIX)));
        assert_eq!(Passcode::impossible(Digits::SIX).as_str(), "");
    }

    #[test]
    fn a_passcode_is_not_shown() {
        assert_eq!(format!("{:?}", Passcode::of(7_890, Digits::SIX)), "[redacted passcode]");
    }
}
