//! Tells the format of a seed file by its beginning.
//!
//! A few kilobytes are enough: the first tag of XML, or the first line of text that is no comment. Formats that are
//! known but not read yet are refused by name, so that nobody goes looking for a typing error in them.

use super::error::{FormatError, Problem, Unsupported};
use super::{Format, Location};

/// As much of the beginning of a file as detection looks at.
pub const DETECT_BYTES: usize = 16 * 1024;

/// Tells the format by the beginning of a file, of which the first [`DETECT_BYTES`] are looked at.
///
/// # Errors
/// [`FormatError`] for a file that is empty, of another format, or not UTF-8 text.
pub fn detect(beginning: &[u8]) -> Result<Format, FormatError> {
    recognise(beginning.get(..DETECT_BYTES).unwrap_or(beginning))
        .map_err(|problem| FormatError::new(Location::File, problem))
}

fn recognise(head: &[u8]) -> Result<Format, Problem> {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::Utf16);
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    // The beginning may be cut within a character: only what comes before it is looked at.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => head
            .get(..error.valid_up_to())
            .and_then(|whole| std::str::from_utf8(whole).ok())
            .unwrap_or_default(),
        Err(_) => return Err(Problem::NotUtf8),
    };
    if text.contains('\0') {
        return Err(Problem::Unrecognised);
    }
    let text = text.trim_start();
    if text.starts_with('<') { recognise_xml(text) } else { recognise_csv(text) }
}

/// By the name of the first element.
fn recognise_xml(text: &str) -> Result<Format, Problem> {
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let comment =
            tag.strip_prefix("!--").map(|comment| comment.split_once("-->").map_or("", |(_, rest)| rest));
        match comment {
            Some(after) => rest = after,
            None if tag.starts_with('?') => rest = tag,
            None if tag.starts_with('!') => return Err(Problem::Dtd),
            None => {
                let name = tag
                    .split(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))
                    .next()
                    .unwrap_or_default();
                let local = name.rsplit(':').next().unwrap_or_default();
                return match local {
                    "KeyContainer" => Ok(Format::Pskc),
                    "data" => Ok(Format::Deepnet),
                    "tokenList" => Err(Problem::Unsupported(Unsupported::UapTokenList)),
                    _ => Err(Problem::Unsupported(Unsupported::OtherXml)),
                };
            }
        }
    }
    Err(Problem::Unrecognised)
}

/// By the first line that is neither empty nor a comment.
fn recognise_csv(text: &str) -> Result<Format, Problem> {
    let line = text
        .split(['\n', '\r'])
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .ok_or(Problem::NoKeys)?;
    let columns: Vec<_> = line.split(',').map(|column| column.trim().to_ascii_lowercase()).collect();
    let has = |name: &str| columns.iter().any(|column| column == name);
    if has("secret key") && (has("upn") || has("time interval")) {
        return Err(Problem::Unsupported(Unsupported::EntraCsv));
    }
    // JSON, PEM and prose may hold commas too; what they do not have is a key in the second column.
    let key = columns.get(1).ok_or(Problem::Unrecognised)?;
    let is_hex = key.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b' ' || byte == b'"');
    let header = columns.first().is_some_and(|serial| serial.contains("serial"));
    let looks_like_it =
        !key.is_empty() && is_hex || header || columns.iter().any(|c| matches!(c.as_str(), "hotp" | "totp"));
    if looks_like_it { Ok(Format::OathCsv) } else { Err(Problem::Unrecognised) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pskc_is_known_by_its_first_element() {
        for text in [
            "<KeyContainer Version=\"1.0\">",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- <Tokens> -->\n<pskc:KeyContainer\n xmlns:pskc=\"x\">",
            "  \n<KeyContainer/>",
        ] {
            assert_eq!(detect(text.as_bytes()), Ok(Format::Pskc), "{text}");
        }
    }

    #[test]
    fn a_dualshield_token_file_is_known_by_its_first_element() {
        for text in ["<data>", "<?xml version=\"1.0\"?>\r\n<!-- tokens -->\r\n<data >\r\n<header>"] {
            assert_eq!(detect(text.as_bytes()), Ok(Format::Deepnet), "{text}");
        }
    }

    #[test]
    fn csv_is_known_by_its_first_line() {
        for text in [
            "F1,3132333435363738393031323334353637383930",
            "\u{feff}# exported today, by hand\r\n\r\n F1 , 3132 , hotp\r\n",
            "serial,key,type\nF1,3132\n",
            "\"F1\",\"3132\"\n",
            "F1,not hexadecimal,totp",
        ] {
            assert_eq!(detect(text.as_bytes()), Ok(Format::OathCsv), "{text}");
        }
    }

    #[test]
    fn other_files_are_refused_by_name_where_they_have_one() {
        for (file, problem) in [
            (
                &b"upn,serial number,secret key,time interval,manufacturer,model\n"[..],
                Problem::Unsupported(Unsupported::EntraCsv),
            ),
            (b"<?xml version=\"1.0\"?><Tokens>", Problem::Unsupported(Unsupported::OtherXml)),
            (b"<tokenList><tokenInfo>", Problem::Unsupported(Unsupported::UapTokenList)),
            (b"<Data>", Problem::Unsupported(Unsupported::OtherXml)),
            (b"<!DOCTYPE KeyContainer><KeyContainer>", Problem::Dtd),
            (b"<?xml version=\"1.0\"?>", Problem::Unrecognised),
            (b"<!-- <KeyContainer>", Problem::Unrecognised),
            (b"", Problem::NoKeys),
            (b"# nothing but a comment\n", Problem::NoKeys),
            (b"{\"version\":1, \"entries\":[]}", Problem::Unrecognised),
            (b"-----BEGIN PGP MESSAGE-----\n", Problem::Unrecognised),
            (b"Dear customer, please find enclosed\n", Problem::Unrecognised),
            (b"PK\x03\x04\0\0", Problem::Unrecognised),
            (b"F1,31\xe932", Problem::NotUtf8),
            (b"\xff\xfeF\x001\0", Problem::Utf16),
        ] {
            assert_eq!(detect(file).unwrap_err().problem, problem, "{}", String::from_utf8_lossy(file));
        }
    }

    #[test]
    fn a_beginning_may_end_within_a_character() {
        let mut file = b"F1,3132,hotp # ".to_vec();
        file.resize(DETECT_BYTES - 1, b'x');
        file.extend("é".as_bytes());
        assert_eq!(detect(&file), Ok(Format::OathCsv));
    }
}
