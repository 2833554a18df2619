//! What goes over the wire: reports of 64 bytes, filled up with zeros.
//!
//! | offset | bytes | host to token |
//! |---|---|---|
//! | 0 | 4 | `FF FF FF FF` |
//! | 4 | 1 | E4 connect, E5 labels, E6 set a field |
//! | 5 | 4 | E4: Unix time, most significant byte first |
//! | 5 | 1 | E6: slot |
//! | 6 | 1 | E6: field: 1 label, 8 second factor, 9 TOTP key |
//! | 7 | 57 | E6: payload |
//!
//! Back comes ASCII. A label comes as slot, `|` and 16 bytes, `FF` where nothing was ever written; 6 are added to slots
//! from 10 on.
//!
//! The length of a TOTP key is not sent: the token takes it to end before the first four zeros in a row. So a key may
//! have 53 bytes, and none that it would cut short: zeros at its very end do not matter to an HMAC (RFC 2104 §2).

use zeroize::Zeroizing;

use crate::error::Error;
use crate::iso7816::Malformed;
use crate::token::SecretBytes;

/// Bytes of a report.
pub(super) const REPORT: usize = 64;

/// Bytes of a label.
const LABEL: usize = 16;

/// Longest TOTP key: four zeros have to follow it in the report.
pub(super) const MAX_KEY: usize = 53;

/// Block of SHA-1: a longer secret is hashed first (RFC 2104 §2).
const BLOCK: usize = 64;

/// A report on its way to the token.
pub(super) type Report = Zeroizing<[u8; REPORT]>;

/// A field of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Label = 1,
    SecondFactor = 8,
    TotpKey = 9,
}

impl Field {
    /// For errors.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Label => "SETSLOT label",
            Self::SecondFactor => "SETSLOT 2FA type",
            Self::TotpKey => "SETSLOT TOTP key",
        }
    }
}

fn report(kind: u8, rest: &[u8]) -> Report {
    let mut report = Zeroizing::new([0; REPORT]);
    let header = [0xFF, 0xFF, 0xFF, 0xFF, kind];
    for (place, byte) in report.iter_mut().zip(header.iter().chain(rest)) {
        *place = *byte;
    }
    report
}

/// Connect: tells the time, asks for state and version.
pub(super) fn connect(now: u32) -> Report {
    report(0xE4, &now.to_be_bytes())
}

/// Asks for the labels of all slots.
pub(super) fn labels() -> Report {
    report(0xE5, &[])
}

/// Sets a field of a slot; an empty payload empties it.
pub(super) fn set(slot: u8, field: Field, payload: &[u8]) -> Report {
    let mut rest = Zeroizing::new(Vec::with_capacity(2 + payload.len()));
    rest.extend([slot, field as u8]);
    rest.extend_from_slice(payload);
    report(0xE6, &rest)
}

/// The key as the token takes it.
///
/// # Errors
/// [`Error::Invalid`] if there is none, [`Error::Unsupported`] if the token would cut it short.
pub(super) fn key(secret: &SecretBytes) -> Result<Zeroizing<Vec<u8>>, Error> {
    use sha1::Digest;
    let secret = secret.expose();
    let hashed: Zeroizing<[u8; 20]>;
    let key = if secret.len() > BLOCK {
        hashed = Zeroizing::new(sha1::Sha1::digest(secret).into());
        &hashed[..]
    } else {
        secret
    };
    let end = key.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let key = key.get(..end).unwrap_or_default();
    let unsupported = |what, needs: String| Err(Error::Unsupported { what, needs });
    match key.len() {
        0 => {
            return Err(Error::Invalid {
                field: "secret",
                problem: "it is empty, or nothing but zeros".into(),
            });
        }
        1..=MAX_KEY => {}
        length => return unsupported("this secret", format!("{MAX_KEY} bytes or less; it has {length}")),
    }
    if key.windows(4).any(|window| window == [0; 4]) {
        return unsupported("this secret", "one without four zero bytes in a row".to_owned());
    }
    Ok(Zeroizing::new(key.to_vec()))
}

/// As much of a text as a label holds.
pub(super) fn cut_label(text: &str) -> &str {
    let end = (0..=text.len().min(LABEL)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// What the token says that is no label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is unlocked; its firmware as text, and whether it has 24 slots.
    Unlocked { firmware: String, duo: bool },
    /// It waits for its PIN. Said every second as well. Whether it has 24 slots, if that was told.
    Locked { duo: Option<bool> },
    /// It has no PIN yet.
    Uninitialized,
    /// Its owner protects the slots.
    NotInConfigMode,
    /// A Duo without a PIN keeps a password or a second factor in a slot, not both.
    PasswordInTheWay,
    /// It set this field.
    Set(Field),
    /// Something else.
    Other,
}

/// Reads what the token says.
pub(super) fn said(report: &[u8]) -> Said {
    let end = report.iter().position(|byte| *byte == 0).unwrap_or(report.len());
    let (text, padding) = report.split_at_checked(end).unwrap_or((report, &[]));
    let Ok(text) = std::str::from_utf8(text) else { return Said::Other };
    if !text.is_ascii() || padding.iter().any(|byte| *byte != 0) {
        return Said::Other;
    }
    if let Some(version) = text.strip_prefix("UNLOCKED") {
        return unlocked(version);
    }
    match text {
        "INITIALIZED" => Said::Locked { duo: Some(false) },
        "INITIALIZED-D" => Said::Locked { duo: Some(true) },
        "Error device locked" => Said::Locked { duo: None },
        "Error not in config mode" => Said::NotInConfigMode,
        "Error OnlyKey must be initialized first" | "No PIN set, You must set a PIN first" => {
            Said::Uninitialized
        }
        "Error password already enabled on this slot, device PIN required" => Said::PasswordInTheWay,
        "Successfully set Label" => Said::Set(Field::Label),
        "Successfully set 2FA Type" => Said::Set(Field::SecondFactor),
        "Successfully set 2FA Key" => Said::Set(Field::TotpKey),
        _ if text.starts_with("UNINITIALIZED") => Said::Uninitialized,
        _ => Said::Other,
    }
}

/// `v3.0.4-prodc`: a version and a letter for the hardware, where firmware tells them.
fn unlocked(version: &str) -> Said {
    let version = version.strip_prefix('v').unwrap_or(version);
    let (firmware, letter) = match version.char_indices().last() {
        Some((at, letter @ ('c' | 'o' | 'n' | 'p'))) => (version.get(..at).unwrap_or_default(), Some(letter)),
        _ => (version, None),
    };
    Said::Unlocked { firmware: firmware.to_owned(), duo: matches!(letter, Some('n' | 'p')) }
}

/// Reads a label: slot and text. `None` if the report is none.
///
/// # Errors
/// [`Malformed`] if it looks like one, and is not.
pub(super) fn label(report: &[u8]) -> Option<Result<(u8, String), Malformed>> {
    let [number @ (1..=9 | 16..=30), b'|', rest @ ..] = report else { return None };
    let slot = if *number < 16 { *number } else { *number - 6 };
    let Some((text, padding)) = rest.split_at_checked(LABEL) else {
        return Some(Err(Malformed::new("label is not 16 bytes", 2)));
    };
    if padding.iter().any(|byte| *byte != 0) {
        return Some(Err(Malformed::new("data after the label", 2 + LABEL)));
    }
    let end = text.iter().position(|byte| matches!(byte, 0 | 0xFF)).unwrap_or(LABEL);
    let text = text.get(..end).unwrap_or_default();
    Some(Ok((slot, String::from_utf8_lossy(text).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> [u8; REPORT] {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        let mut report = [0; REPORT];
        for (place, pair) in report.iter_mut().zip(digits.chunks(2)) {
            *place = pair[0] << 4 | pair[1];
        }
        report
    }

    fn reply(text: &str) -> Vec<u8> {
        let mut report = text.as_bytes().to_vec();
        report.resize(REPORT, 0);
        report
    }

    #[test]
    fn frames_are_those_of_the_makers_client() {
        assert_eq!(*connect(1_700_000_000), hex("ffffffff e4 6553f100"));
        assert_eq!(*labels(), hex("ffffffff e5"));
        assert_eq!(*set(1, Field::Label, b"rfc"), hex("ffffffff e6 01 01 726663"));
        assert_eq!(
            *set(1, Field::TotpKey, b"12345678901234567890"),
            hex("ffffffff e6 01 09 3132333435363738393031323334353637383930")
        );
        assert_eq!(*set(1, Field::SecondFactor, b"g"), hex("ffffffff e6 01 08 67"));
        assert_eq!(
            *set(24, Field::TotpKey, &[0xAA; 57]),
            hex(&format!("ffffffff e6 18 09 {}", "aa".repeat(57)))
        );
    }

    #[test]
    fn what_it_says_is_understood_word_by_word() {
        let unlocked = |firmware: &str, duo| Said::Unlocked { firmware: firmware.to_owned(), duo };
        for (text, expected) in [
            ("UNLOCKEDv3.0.4-prodc", unlocked("3.0.4-prod", false)),
            ("UNLOCKEDv3.0.4-prodp", unlocked("3.0.4-prod", true)),
            ("UNLOCKEDv3.0.4-prodn", unlocked("3.0.4-prod", true)),
            ("UNLOCKEDv0.2-beta.8o", unlocked("0.2-beta.8", false)),
            ("UNLOCKEDv0.2-beta.6", unlocked("0.2-beta.6", false)),
            ("UNLOCKED", unlocked("", false)),
            ("UNINITIALIZEDv3.0.4-prodc", Said::Uninitialized),
            ("Error OnlyKey must be initialized first", Said::Uninitialized),
            ("INITIALIZED", Said::Locked { duo: Some(false) }),
            ("INITIALIZED-D", Said::Locked { duo: Some(true) }),
            ("Error device locked", Said::Locked { duo: None }),
            ("Successfully set 2FA Key", Said::Set(Field::TotpKey)),
            ("Successfully set 2FA Keys", Said::Other),
            ("", Said::Other),
        ] {
            assert_eq!(said(&reply(text)), expected, "{text}");
        }
        let mut trailing = reply("INITIALIZED");
        trailing[40] = 1;
        assert_eq!(said(&trailing), Said::Other);
    }

    #[test]
    fn labels_end_at_a_zero_or_at_erased_flash_and_numbers_skip_six() {
        let told = |number: u8, text: &[u8]| {
            let mut report = vec![number, b'|'];
            report.extend_from_slice(text);
            report.resize(REPORT, 0);
            label(&report)
        };
        assert_eq!(told(1, b"rfc"), Some(Ok((1, "rfc".to_owned()))));
        assert_eq!(told(16, &[0xFF; 16]), Some(Ok((10, String::new()))));
        assert_eq!(told(30, b"sixteen bytes ok"), Some(Ok((24, "sixteen bytes ok".to_owned()))));
        assert_eq!(told(1, b"seventeen bytes !"), Some(Err(Malformed::new("data after the label", 18))));
        assert_eq!(label(&[1, b'|', b'a']), Some(Err(Malformed::new("label is not 16 bytes", 2))));
        for number in [0, 10, 15, 31, b'E'] {
            assert_eq!(told(number, b"rfc"), None);
        }
    }

    #[test]
    fn a_key_that_the_token_would_cut_short_is_refused() {
        let key = |bytes: &[u8]| key(&SecretBytes::new(bytes.to_vec())).map(|key| key.to_vec());
        assert_eq!(key(&[7; 53]).unwrap(), [7; 53]);
        assert_eq!(key(&[1, 0, 0, 0, 2, 0, 0, 0, 0, 0]).unwrap(), [1, 0, 0, 0, 2]);
        assert!(matches!(key(&[1, 0, 0, 0, 0, 2]), Err(Error::Unsupported { .. })));
        assert!(matches!(key(&[7; 54]), Err(Error::Unsupported { .. })));
        assert!(matches!(key(&[7; 64]), Err(Error::Unsupported { .. })));
        assert_eq!(key(&[b'A'; 65]).unwrap().len(), 20);
        for nothing in [&[][..], &[0; 20]] {
            assert!(matches!(key(nothing), Err(Error::Invalid { field: "secret", .. })));
        }
    }

    #[test]
    fn a_label_is_cut_between_characters() {
        for (text, cut) in [
            ("", ""),
            ("sixteen bytes ok", "sixteen bytes ok"),
            ("sixteen bytes ok!", "sixteen bytes ok"),
            ("1234567890abcdeü", "1234567890abcde"),
        ] {
            assert_eq!(cut_label(text), cut);
        }
    }

    proptest! {
        #[test]
        fn no_report_makes_a_decoder_panic(report in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = said(&report);
            let _ = label(&report);
        }

        #[test]
        fn every_key_is_taken_whole_or_refused(bytes in proptest::collection::vec(0_u8..2, 0..70)) {
            if let Ok(key) = key(&SecretBytes::new(bytes)) {
                let sent = set(1, Field::TotpKey, &key);
                // As the token finds the end.
                let end = (7..).find(|at| sent[*at..at + 4] == [0; 4]).unwrap();
                prop_assert_eq!(&sent[7..end], &key[..]);
            }
        }
    }
}
