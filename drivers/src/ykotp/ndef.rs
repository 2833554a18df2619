//! NDEF records: what a key shows to a phone that it is held against, before the passcode.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 1 | length of the record |
//! | 1 | 1 | `U` for a URI, `T` for text |
//! | 2 | 54 | URI: a number for its beginning, then the rest; text: length of the language, language, text |
//! | 56 | 6 | current access code |
//!
//! Sources: NFC Forum, URI and Text record type definitions 1.0; yubikey-manager, `yubikit/yubiotp.py`.

use zeroize::Zeroizing;

use super::config::{AccessCode, code_bytes};
use super::frame::Payload;
use crate::error::Error;
use crate::token::task::NdefRecord;

/// Longest record.
const RECORD: usize = 54;
/// Most bytes of a language (NFC Forum, Text record type: six bits).
const LANGUAGE: usize = 0x3F;

/// Beginnings of a URI by number, from 1 on. The first that fits is taken, so the longer stand before the shorter.
const BEGINNINGS: [&str; 35] = [
    "http://www.",
    "https://www.",
    "http://",
    "https://",
    "tel:",
    "mailto:",
    "ftp://anonymous:anonymous@",
    "ftp://ftp.",
    "ftps://",
    "sftp://",
    "smb://",
    "nfs://",
    "ftp://",
    "dav://",
    "news:",
    "telnet://",
    "imap:",
    "rtsp://",
    "urn:",
    "pop:",
    "sip:",
    "sips:",
    "tftp:",
    "btspp://",
    "btl2cap://",
    "btgoep://",
    "tcpobex://",
    "irdaobex://",
    "file://",
    "urn:epc:id:",
    "urn:epc:tag:",
    "urn:epc:pat:",
    "urn:epc:raw:",
    "urn:epc:",
    "urn:nfc:",
];

/// The payload of a record.
///
/// # Errors
/// [`Error::Invalid`] if it is too long.
pub(super) fn payload(record: &NdefRecord, current: Option<&AccessCode>) -> Result<Payload, Error> {
    let (kind, data) = match record {
        NdefRecord::Uri(uri) => (b'U', of_uri(uri)),
        NdefRecord::Text { language, text } => {
            let length = u8::try_from(language.len()).ok().filter(|length| usize::from(*length) <= LANGUAGE);
            let length = length.ok_or_else(|| invalid("the language is too long"))?;
            (b'T', [&[length], language.as_bytes(), text.as_bytes()].concat())
        }
    };
    let length = u8::try_from(data.len()).ok().filter(|_| data.len() <= RECORD);
    let length = length.ok_or_else(|| invalid("a slot holds 54 bytes at most"))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    bytes.extend_from_slice(&[length, kind]);
    bytes.extend(data.into_iter().chain(std::iter::repeat(0)).take(RECORD));
    bytes.extend_from_slice(&*code_bytes(current));
    Ok(Payload::new(&bytes))
}

fn invalid(problem: &str) -> Error {
    Error::Invalid { field: "record", problem: problem.to_owned() }
}

fn of_uri(uri: &str) -> Vec<u8> {
    let known = (1_u8..)
        .zip(BEGINNINGS)
        .find_map(|(number, beginning)| uri.strip_prefix(beginning).map(|rest| (number, rest)));
    let (number, rest) = known.unwrap_or((0, uri));
    [&[number], rest.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(record: &NdefRecord) -> Vec<u8> {
        payload(record, None).unwrap().used().to_vec()
    }

    #[test]
    fn records_are_those_of_yubikit() {
        let uri = encoded(&NdefRecord::Uri("https://www.my.yubico.com/neo/".to_owned()));
        assert_eq!((&uri[..21], uri.len()), (&b"\x13U\x02my.yubico.com/neo/"[..], 62));
        let other = encoded(&NdefRecord::Uri("otpauth://".to_owned()));
        assert_eq!(&other[..13], b"\x0BU\0otpauth://");
        let text = encoded(&NdefRecord::Text { language: "en".to_owned(), text: "hi".to_owned() });
        assert_eq!(&text[..7], b"\x05T\x02enhi");
        let code = AccessCode::parse(b"123456");
        let locked = payload(&NdefRecord::Uri(String::new()), code.as_ref()).unwrap();
        assert_eq!(&locked.used()[56..], b"123456");
    }

    #[test]
    fn a_record_holds_54_bytes() {
        let uri = |length| NdefRecord::Uri("x".repeat(length));
        assert!(payload(&uri(53), None).is_ok());
        assert!(payload(&uri(54), None).is_err());
        let text = NdefRecord::Text { language: "x".repeat(64), text: String::new() };
        assert!(payload(&text, None).is_err());
    }
}
