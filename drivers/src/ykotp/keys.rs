//! Passwords as keys: a key types no letters, it presses keys, and the host's layout makes letters of them.
//!
//! A key is its HID usage code (HID usage tables, page 7), `80` added for Shift.

use zeroize::Zeroizing;

use super::config::SCAN_CODES;
use crate::error::Error;
use crate::token::task::{Layout, Password};

const SHIFT: u8 = 0x80;

/// The keys of a US keyboard besides letters, unshifted and shifted.
const US: &[(char, char, u8)] = &[
    ('1', '!', 0x1E),
    ('2', '@', 0x1F),
    ('3', '#', 0x20),
    ('4', '$', 0x21),
    ('5', '%', 0x22),
    ('6', '^', 0x23),
    ('7', '&', 0x24),
    ('8', '*', 0x25),
    ('9', '(', 0x26),
    ('0', ')', 0x27),
    ('\n', '\n', 0x28),
    ('\t', '\t', 0x2B),
    (' ', ' ', 0x2C),
    ('-', '_', 0x2D),
    ('=', '+', 0x2E),
    ('[', '{', 0x2F),
    (']', '}', 0x30),
    ('\\', '|', 0x31),
    (';', ':', 0x33),
    ('\'', '"', 0x34),
    ('`', '~', 0x35),
    (',', '<', 0x36),
    ('.', '>', 0x37),
    ('/', '?', 0x38),
];

/// The letters that are on the same keys nearly everywhere.
const MODHEX: &str = "cbdefghijklnrtuv";

/// The keys of a password.
///
/// # Errors
/// [`Error::Invalid`] if it is empty, too long, or has a character that the layout has no key for. The character is
/// not named.
pub(super) fn of_password(password: &Password) -> Result<Zeroizing<Vec<u8>>, Error> {
    let codes = match password {
        Password::Scancodes(codes) => Zeroizing::new(codes.expose().to_vec()),
        Password::Text { text, layout } => {
            let text = std::str::from_utf8(text.expose()).map_err(|_| invalid("it is not UTF-8"))?;
            let mut codes = Zeroizing::new(Vec::with_capacity(text.len()));
            for letter in text.chars() {
                let code = key(letter, *layout);
                codes.push(
                    code.ok_or_else(|| invalid("the keyboard layout has no key for a character of it"))?,
                );
            }
            codes
        }
    };
    match codes.len() {
        0 => Err(invalid("it is empty")),
        1..=SCAN_CODES => Ok(codes),
        _ => Err(invalid("a slot holds 38 keys at most")),
    }
}

fn invalid(problem: &str) -> Error {
    Error::Invalid { field: "password", problem: problem.to_owned() }
}

fn key(letter: char, layout: Layout) -> Option<u8> {
    let shift = if letter.is_ascii_uppercase() { SHIFT } else { 0 };
    let lower = letter.to_ascii_lowercase();
    match (layout, lower) {
        (Layout::Modhex, _) if !MODHEX.contains(lower) => None,
        (_, 'a'..='z') => u8::try_from(lower).ok().map(|byte| (byte - b'a' + 0x04) | shift),
        (Layout::Us, _) => US.iter().find_map(|(plain, shifted, code)| match letter {
            letter if letter == *plain => Some(*code),
            letter if letter == *shifted => Some(*code | SHIFT),
            _ => None,
        }),
        (Layout::Modhex, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::SecretBytes;

    fn codes(text: &str, layout: Layout) -> Result<Vec<u8>, String> {
        let password = Password::Text { text: SecretBytes::new(text.as_bytes().to_vec()), layout };
        of_password(&password).map(|codes| codes.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_scan_map_of_the_maker_is_met() {
        let expected =
            [0x06, 0x05, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x11, 0x15, 0x17, 0x18, 0x19];
        for layout in [Layout::Modhex, Layout::Us] {
            assert_eq!(codes(MODHEX, layout).unwrap(), expected);
            assert_eq!(codes(&MODHEX.to_uppercase(), layout).unwrap(), expected.map(|code| code | 0x80));
        }
        let digits = [0x27, 0x1E, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x9E, 0x2B];
        assert_eq!(codes("0123456789!\t", Layout::Us).unwrap(), digits);
    }

    #[test]
    fn every_printable_character_has_a_us_key_of_its_own() {
        let printable: Vec<char> = (' '..='~').collect();
        let mut keys: Vec<u8> = printable.iter().filter_map(|letter| key(*letter, Layout::Us)).collect();
        assert_eq!(keys.len(), printable.len());
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), printable.len());
    }

    #[test]
    fn what_cannot_be_typed_is_refused_without_saying_it() {
        for (text, layout, problem) in [
            ("", Layout::Us, "password: it is empty"),
            ("secreté", Layout::Us, "password: the keyboard layout has no key for a character of it"),
            ("abc", Layout::Modhex, "password: the keyboard layout has no key for a character of it"),
            (&"c".repeat(39), Layout::Modhex, "password: a slot holds 38 keys at most"),
        ] {
            assert_eq!(codes(text, layout), Err(problem.to_owned()));
        }
        let raw = Password::Scancodes(SecretBytes::new(vec![0xFF; 38]));
        assert_eq!(of_password(&raw).unwrap().len(), 38);
    }
}
