//! The charset that a request names for its text.
//!
//! Labels are those of the WHATWG Encoding Standard, in any case: `UTF-8`, `windows-1252`, `ISO-8859-1` (which there
//! means windows-1252), `UTF-16LE`, `Shift_JIS` and so on.
//!
//! Text inside JSON is Unicode already: whoever wrote the request has decoded it, and the label beside it says what
//! the file was before. It changes nothing then, and [`check`] only refuses one that is no charset, rather than
//! swallow a mistake. Where the bytes themselves arrive, [`decode`] turns them into text; a byte order mark wins
//! over the label, and bytes that mean nothing in the charset are an error, never a replacement character: they
//! would become part of a name or of a PIN.

use encoding_rs::{Encoding, UTF_8};

use super::Location;
use super::error::{FormatError, Problem};

/// Checks the label of text that is decoded already.
///
/// # Errors
/// [`Problem::UnknownCharset`].
pub fn check(label: &str) -> Result<(), FormatError> {
    encoding(label).map(drop)
}

/// Decodes bytes; an empty label means UTF-8. The byte order mark is not part of the text.
///
/// # Errors
/// [`Problem::UnknownCharset`], and [`Problem::NotInCharset`] with the line.
pub fn decode(bytes: &[u8], label: &str) -> Result<String, FormatError> {
    let (text, _, malformed) = encoding(label)?.decode(bytes);
    if malformed {
        // The first replacement character stands for the first bad byte, unless the file holds one of its own.
        let before = text.split('\u{fffd}').next().unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() as u64 + 1;
        return Err(FormatError::new(Location::Line(line), Problem::NotInCharset));
    }
    Ok(text.into_owned())
}

fn encoding(label: &str) -> Result<&'static Encoding, FormatError> {
    if label.trim().is_empty() {
        return Ok(UTF_8);
    }
    // "Replacement" stands for charsets that are too dangerous to decode, such as ISO-2022-KR.
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| FormatError::new(Location::File, Problem::UnknownCharset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_decoded_by_their_label() {
        for (bytes, label) in [
            ("Zoë;1".as_bytes(), "UTF-8"),
            ("Zoë;1".as_bytes(), ""),
            ("\u{feff}Zoë;1".as_bytes(), " utf8 "),
            (b"Zo\xeb;1", "ISO-8859-1"),
            (b"Zo\xeb;1", "windows-1252"),
            (b"Z\0o\0\xeb\0;\x001\0", "UTF-16LE"),
            (b"\xfe\xff\0Z\0o\0\xeb\0;\x001", "UTF-16"),
        ] {
            assert_eq!(decode(bytes, label).as_deref(), Ok("Zoë;1"), "{label}");
        }
        assert_eq!(decode(b"\x83\x7d", "Shift_JIS").as_deref(), Ok("マ"));
    }

    #[test]
    fn a_byte_order_mark_wins_over_the_label() {
        assert_eq!(decode("\u{feff}ë".as_bytes(), "windows-1252").as_deref(), Ok("ë"));
        assert_eq!(decode(b"\xff\xfe\xeb\0", "UTF-8").as_deref(), Ok("ë"));
    }

    #[test]
    fn bytes_that_mean_nothing_are_refused_with_their_line() {
        let at = |line| Err(FormatError::new(Location::Line(line), Problem::NotInCharset));
        assert_eq!(decode(b"Zo\xeb", "UTF-8"), at(1));
        assert_eq!(decode(b"a\r\nb\r\nZo\xeb,\xeb\r\n", "UTF-8"), at(3));
        assert_eq!(decode(b"Z\0o", "UTF-16LE"), at(1));
    }

    #[test]
    fn a_label_that_is_no_charset_is_refused() {
        let error = FormatError::new(Location::File, Problem::UnknownCharset);
        for label in ["UTF-88", "latin", "ISO-2022-KR", "\0", "ＵＴＦ－８"] {
            assert_eq!(check(label), Err(error.clone()), "{label}");
            assert_eq!(decode(b"", label), Err(error.clone()), "{label}");
        }
        for label in ["", "UTF-8", "utf-8", "latin1", "Big5"] {
            assert_eq!(check(label), Ok(()), "{label}");
        }
    }
}
