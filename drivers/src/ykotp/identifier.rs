//! Token identifiers: what an HOTP slot types before a passcode (OATH token identifier specification).
//!
//! A manufacturer (OMP) and a type (TT) of two characters each and a number, for example `ubhe11032475`. A key holds
//! bytes: the first none, one, two or all of them are typed in modhex (`cbdefghijklnrtuv`), the rest in hexadecimal.

use super::config::FIXED;
use super::flags::cfg;
use crate::error::Error;

const MODHEX: &str = "cbdefghijklnrtuv";
const HEX: &str = "0123456789abcdef";

/// The bytes of an identifier, and the flags that make a key type them as it was given.
///
/// # Errors
/// [`Error::Invalid`] if no key can type it.
pub(super) fn parse(identifier: &str) -> Result<(Vec<u8>, u8), Error> {
    if identifier.len() > 2 * FIXED {
        return Err(invalid("it has more than 32 characters"));
    }
    if !identifier.len().is_multiple_of(2) {
        return Err(invalid("it has an odd number of characters"));
    }
    let ways = [
        (0, 0),
        (2, cfg::OATH_FIXED_MODHEX1),
        (4, cfg::OATH_FIXED_MODHEX2),
        (identifier.len(), cfg::OATH_FIXED_MODHEX1 | cfg::OATH_FIXED_MODHEX2),
    ];
    ways.into_iter()
        .find_map(|(in_modhex, flags)| Some((bytes(identifier, in_modhex)?, flags)))
        .ok_or_else(|| invalid("it is neither hexadecimal in small letters nor begins in modhex"))
}

fn invalid(problem: &str) -> Error {
    Error::Invalid { field: "identifier", problem: problem.to_owned() }
}

fn bytes(identifier: &str, in_modhex: usize) -> Option<Vec<u8>> {
    let nibble = |(at, letter): (usize, char)| {
        let alphabet = if at < in_modhex { MODHEX } else { HEX };
        alphabet.find(letter).and_then(|value| u8::try_from(value).ok())
    };
    let nibbles: Option<Vec<u8>> = identifier.char_indices().map(nibble).collect();
    nibbles?.chunks_exact(2).map(|pair| pair.iter().try_fold(0, |byte: u8, n| Some(byte << 4 | n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_those_of_the_maker() {
        for (identifier, bytes, flags) in [
            ("", &[][..], 0x00),
            ("ubhe11032475", &[0xE1, 0x63, 0x11, 0x03, 0x24, 0x75], 0x40),
            ("ubud01234567", &[0xE1, 0xE2, 0x01, 0x23, 0x45, 0x67], 0x40),
            ("ub991122", &[0xE1, 0x99, 0x11, 0x22], 0x10),
            ("9911", &[0x99, 0x11], 0x00),
            ("ubheub", &[0xE1, 0x63, 0xE1], 0x50),
            // Letters of both alphabets mean what is typed either way.
            ("cb", &[0xCB], 0x00),
        ] {
            assert_eq!(parse(identifier).unwrap(), (bytes.to_vec(), flags), "{identifier}");
        }
    }

    #[test]
    fn what_no_key_types_is_refused() {
        for wrong in ["ubh", "UBHE1122", "ubhe1122zz", "99ub", "ubhé", &"c".repeat(34)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
