//! Keys of a US keyboard: the HID usage codes (HID usage tables, page 7) that a key types, `80` added for Shift.

/// Enter.
pub const ENTER: u8 = 0x28;
/// Tab.
pub const TAB: u8 = 0x2B;
const SHIFT: u8 = 0x80;
/// Left Shift in the first byte of an input report.
const LEFT_SHIFT: u8 = 0x02;

/// Every key that types something, unshifted and shifted.
const KEYS: &[(u8, char, char)] = &[
    (0x1E, '1', '!'),
    (0x1F, '2', '@'),
    (0x20, '3', '#'),
    (0x21, '4', '$'),
    (0x22, '5', '%'),
    (0x23, '6', '^'),
    (0x24, '7', '&'),
    (0x25, '8', '*'),
    (0x26, '9', '('),
    (0x27, '0', ')'),
    (ENTER, '\n', '\n'),
    (TAB, '\t', '\t'),
    (0x2C, ' ', ' '),
    (0x2D, '-', '_'),
    (0x2E, '=', '+'),
    (0x2F, '[', '{'),
    (0x30, ']', '}'),
    (0x31, '\\', '|'),
    (0x33, ';', ':'),
    (0x34, '\'', '"'),
    (0x35, '`', '~'),
    (0x36, ',', '<'),
    (0x37, '.', '>'),
    (0x38, '/', '?'),
];

/// What a key types on a US keyboard; `None` if nothing.
#[must_use]
pub fn character(code: u8) -> Option<char> {
    let (key, shifted) = (code & !SHIFT, code & SHIFT != 0);
    if (0x04..0x1E).contains(&key) {
        let letter = char::from(b'a' + key - 0x04);
        return Some(if shifted { letter.to_ascii_uppercase() } else { letter });
    }
    KEYS.iter().find(|row| row.0 == key).map(|row| if shifted { row.2 } else { row.1 })
}

/// What keys type on a US keyboard.
#[must_use]
pub fn text(codes: &[u8]) -> String {
    codes.iter().filter_map(|code| character(*code)).collect()
}

/// The keys that type a text. Characters that no key types are left out.
#[must_use]
pub fn of_text(text: &str) -> Vec<u8> {
    text.chars().filter_map(|wanted| (0x04..=0xFF).find(|code| character(*code) == Some(wanted))).collect()
}

/// The input reports that press and release a key: modifiers, a zero, six keys.
#[must_use]
pub fn reports(code: u8) -> [[u8; 8]; 2] {
    let modifiers = if code & SHIFT != 0 { LEFT_SHIFT } else { 0 };
    [[modifiers, 0, code & !SHIFT, 0, 0, 0, 0, 0], [0; 8]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_through_keys_and_back() {
        let ascii: String = (' '..='~').collect();
        assert_eq!(text(&of_text(&ascii)), ascii);
        assert_eq!(of_text("a1A!"), [0x04, 0x1E, 0x84, 0x9E]);
        assert_eq!(of_text("cbdefghijklnrtuv")[..4], [0x06, 0x05, 0x07, 0x08]);
        assert_eq!(reports(0x84), [[2, 0, 4, 0, 0, 0, 0, 0], [0; 8]]);
    }
}
