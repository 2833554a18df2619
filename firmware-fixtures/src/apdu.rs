//! Command APDUs as a card takes them apart (ISO/IEC 7816-4:2005 §5.1).
//!
//! | case | bytes after `CLA INS P1 P2` |
//! |---|---|
//! | 1 | none |
//! | 2 short, extended | `Le`; `00 Le Le` |
//! | 3 short, extended | `Lc data`; `00 Lc Lc data` |
//! | 4 short, extended | `Lc data Le`; `00 Lc Lc data Le Le` |
//!
//! Anything else is refused with 6700, and so is the extended form on a card without it. Most emulated applets answer
//! as much as they have, whatever Le asks for, chained where it is long.

use crate::status::Status;

/// One command, its data still in the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Class byte.
    pub cla: u8,
    /// Instruction byte.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// The Nc data bytes.
    pub data: &'a [u8],
    /// Whether Lc or Le came in the extended form, so that the answer may be longer than 256 bytes.
    pub extended: bool,
}

impl<'a> Command<'a> {
    /// Takes a command apart.
    ///
    /// # Errors
    /// [`Status::WRONG_LENGTH`] if the lengths do not add up, or on the extended form where the card has none.
    pub fn parse(bytes: &'a [u8], accepts_extended: bool) -> Result<Self, Status> {
        let Some((&[cla, ins, p1, p2], body)) = bytes.split_first_chunk() else {
            return Err(Status::WRONG_LENGTH);
        };
        let (data, extended): (&[u8], bool) = match body {
            [] | [_] => (&[], false),
            [0, _, _] => (&[], true),
            [0, high, low, rest @ ..] => {
                let lc = usize::from(u16::from_be_bytes([*high, *low]));
                (field(rest, lc, 2)?, true)
            }
            [lc, rest @ ..] => (field(rest, usize::from(*lc), 1)?, false),
        };
        if extended && !accepts_extended {
            return Err(Status::WRONG_LENGTH);
        }
        Ok(Self { cla, ins, p1, p2, data, extended })
    }

    /// How many bytes Le asks for (Ne), given the bytes that this was parsed from: none if it is left out.
    #[must_use]
    pub fn asked(&self, bytes: &[u8]) -> usize {
        let body = bytes.get(4..).unwrap_or_default();
        let le = match (body, self.data) {
            ([_] | [_, _, _], []) => body,
            (_, data) => body.get(data.len() + if self.extended { 3 } else { 1 }..).unwrap_or_default(),
        };
        match *le {
            [] => 0,
            [0] => 0x100,
            [0, 0] | [0, 0, 0] => 0x1_0000,
            [le] => usize::from(le),
            [.., high, low] => usize::from(u16::from_be_bytes([high, low])),
        }
    }
}

/// The `lc` data bytes at the start of `rest`, which may end with an Le of `le_bytes`.
fn field(rest: &[u8], lc: usize, le_bytes: usize) -> Result<&[u8], Status> {
    match rest.split_at_checked(lc) {
        Some((data, le)) if lc > 0 && (le.is_empty() || le.len() == le_bytes) => Ok(data),
        _ => Err(Status::WRONG_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(bytes: &[u8]) -> Result<(&[u8], bool), Status> {
        Command::parse(bytes, true).map(|command| (command.data, command.extended))
    }

    #[test]
    fn all_seven_forms_are_taken_apart() {
        let none: &[u8] = &[];
        assert_eq!(data(&[0, 0xA1, 0, 0]), Ok((none, false)));
        assert_eq!(data(&[0, 0xA1, 0, 0, 0]), Ok((none, false)));
        assert_eq!(data(&[0, 0xA1, 0, 0, 0, 0, 0]), Ok((none, true)));
        assert_eq!(data(&[0, 2, 0, 0, 2, 7, 8]), Ok((&[7, 8][..], false)));
        assert_eq!(data(&[0, 2, 0, 0, 2, 7, 8, 0]), Ok((&[7, 8][..], false)));
        assert_eq!(data(&[0, 2, 0, 0, 0, 0, 2, 7, 8]), Ok((&[7, 8][..], true)));
        assert_eq!(data(&[0, 2, 0, 0, 0, 0, 2, 7, 8, 0, 0]), Ok((&[7, 8][..], true)));
    }

    #[test]
    fn le_says_how_much_is_wanted() {
        let asked = |bytes: &[u8]| Command::parse(bytes, true).map(|command| command.asked(bytes));
        assert_eq!(asked(&[0, 0xA1, 0, 0]), Ok(0));
        assert_eq!(asked(&[0, 0xA1, 0, 0, 0]), Ok(256));
        assert_eq!(asked(&[0, 0xA1, 0, 0, 7]), Ok(7));
        assert_eq!(asked(&[0, 0xA1, 0, 0, 0, 1, 0]), Ok(256));
        assert_eq!(asked(&[0, 0xA1, 0, 0, 0, 0, 0]), Ok(65_536));
        assert_eq!(asked(&[0, 2, 0, 0, 2, 7, 8]), Ok(0));
        assert_eq!(asked(&[0, 2, 0, 0, 2, 7, 8, 9]), Ok(9));
        assert_eq!(asked(&[0, 2, 0, 0, 0, 0, 2, 7, 8]), Ok(0));
        assert_eq!(asked(&[0, 2, 0, 0, 0, 0, 2, 7, 8, 1, 2]), Ok(258));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        for wrong in [
            &[][..],
            &[0, 0xA4, 4],
            &[0, 2, 0, 0, 0, 0],
            &[0, 2, 0, 0, 3, 7, 8],
            &[0, 2, 0, 0, 2, 7, 8, 0, 0],
            &[0, 2, 0, 0, 0, 0, 0, 7],
            &[0, 2, 0, 0, 0, 0, 2, 7, 8, 0],
        ] {
            assert_eq!(data(wrong), Err(Status::WRONG_LENGTH), "{wrong:02X?}");
        }
    }

    #[test]
    fn the_extended_form_is_refused_by_a_card_without_it() {
        let extended = [0, 2, 0, 0, 0, 0, 1, 7];
        assert_eq!(Command::parse(&extended, false), Err(Status::WRONG_LENGTH));
    }
}
