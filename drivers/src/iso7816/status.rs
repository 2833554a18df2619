//! Status words: the two bytes that end every response (ISO/IEC 7816-4 §5.6, tables 5 and 6).
//!
//! Only the standard's own words for the numbers are here. What a number means to one command stands beside
//! that command: `6982` is "locked" to LIST and "nobody touched it" to CALCULATE.

use std::fmt;

use crate::error::Error;

/// SW1 SW2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusWord(pub u16);

impl StatusWord {
    /// Normal processing.
    pub const SUCCESS: Self = Self(0x9000);
    /// Security status not satisfied.
    pub const SECURITY: Self = Self(0x6982);

    /// How many more bytes wait (`61xx`); 0 stands for 256 or more.
    #[must_use]
    pub fn more(self) -> Option<u8> {
        let [sw1, sw2] = self.0.to_be_bytes();
        (sw1 == 0x61).then_some(sw2)
    }

    /// The Le that the card wants instead (`6Cxx`).
    #[must_use]
    pub fn correct_le(self) -> Option<u8> {
        let [sw1, sw2] = self.0.to_be_bytes();
        (sw1 == 0x6C).then_some(sw2)
    }

    /// Whether the card stopped while checking the command, before it changed anything: `6700` to `6EFF` are
    /// checking errors, `64xx` leaves the memory unchanged by definition. `65xx` and `6F00` say no such thing.
    #[must_use]
    pub fn is_clean_refusal(self) -> bool {
        matches!(self.0, 0x6400..=0x64FF | 0x6700..=0x6EFF)
    }

    /// The error for a command that was answered so, with the standard's words.
    #[must_use]
    pub fn refused(self, command: &'static str) -> Error {
        Error::Refused { command, status: self.0, meaning: self.meaning() }
    }

    /// The standard's words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self.0 {
            0x9000 => "normal processing",
            0x6100..=0x61FF => "more data available",
            0x6200..=0x63FF => "warning",
            0x6400..=0x64FF => "execution error, memory unchanged",
            0x6581 => "memory failure",
            0x6500..=0x65FF => "execution error, memory changed",
            0x6600..=0x66FF => "security-related issue",
            0x6700 => "wrong length",
            0x6881 => "logical channel not supported",
            0x6882 => "secure messaging not supported",
            0x6884 => "command chaining not supported",
            0x6982 => "security status not satisfied",
            0x6983 => "authentication method blocked",
            0x6984 => "reference data not usable",
            0x6985 => "conditions of use not satisfied",
            0x6A80 => "incorrect parameters in the command data field",
            0x6A81 => "function not supported",
            0x6A82 => "file or application not found",
            0x6A84 => "not enough memory space in the file",
            0x6A86 => "incorrect parameters P1-P2",
            0x6A88 => "referenced data not found",
            0x6B00 => "wrong parameters P1-P2",
            0x6C00..=0x6CFF => "wrong Le field",
            0x6D00 => "instruction code not supported or invalid",
            0x6E00 => "class not supported",
            0x6F00 => "no precise diagnosis",
            _ => "not in ISO/IEC 7816-4",
        }
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_61_announces_more_and_only_6c_corrects_le() {
        for status in 0..=u16::MAX {
            let word = StatusWord(status);
            assert_eq!(word.more().is_some(), status >> 8 == 0x61, "{word:?}");
            assert_eq!(word.correct_le().is_some(), status >> 8 == 0x6C, "{word:?}");
        }
    }

    #[test]
    fn a_memory_failure_is_no_clean_refusal() {
        for (status, clean) in [
            (0x6A84, true),
            (0x6982, true),
            (0x6700, true),
            (0x6E00, true),
            (0x6400, true),
            (0x6581, false),
            (0x6F00, false),
            (0x6300, false),
            (0x9000, false),
            (0x0000, false),
        ] {
            assert_eq!(StatusWord(status).is_clean_refusal(), clean, "{status:04X}");
        }
    }
}
