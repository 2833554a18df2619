//! Names: what the key stores, and what a slot is called.
//!
//! Keys that go by **name** store issuer and account with `_#_` between, and for TOTP the time step with a colon in
//! front: `60:Acme_#_bob`. The slot is called `Acme:bob` whatever its time step: writing or erasing it means all that
//! is stored under it. A name that cannot be said so is called by the hexadecimal digits of what is stored without
//! the time step, `0x613a62`.
//!
//! **Numbered** slots store a name as well, by which the key wants to be asked. It is the label, at least 4 bytes as
//! the maker's programs want it, with the time step in front if that is not 30 s. A `HyperFIDO` stores 8 characters.

use crate::error::Error;
use crate::token::Kind;

/// Time steps that a stored name can tell, in seconds.
pub(super) const TIME_STEPS: [u32; 2] = [30, 60];

/// The time step of a TOTP name that tells none.
const DEFAULT_TIME_STEP: u32 = 30;

/// Longest stored name, in bytes.
const MAX_NAME: usize = 64;
/// Shortest one of a numbered slot.
const MIN_LABEL: usize = 4;
/// Length of a `HyperFIDO`'s.
const HYPERFIDO_NAME: usize = 8;

/// Splits the time step off what is stored: `None` for HOTP.
pub(super) fn split(kind: Option<Kind>, stored: &[u8]) -> (Option<u32>, &[u8]) {
    match (kind, stored) {
        (Some(Kind::Totp), [b'3', b'0', b':', name @ ..]) if !name.is_empty() => (Some(30), name),
        (Some(Kind::Totp), [b'6', b'0', b':', name @ ..]) if !name.is_empty() => (Some(60), name),
        (Some(Kind::Totp), name) => (Some(DEFAULT_TIME_STEP), name),
        (_, name) => (None, name),
    }
}

/// What a slot with this name stores, without a time step.
pub(super) fn of_slot(slot: &str) -> Vec<u8> {
    match unhex(slot) {
        Some(bytes) => bytes,
        None => slot.replacen(':', "_#_", 1).into_bytes(),
    }
}

/// What a slot is called that stores this, time step removed.
pub(super) fn address(name: &[u8]) -> String {
    let told = std::str::from_utf8(name).ok().map(|name| name.replacen("_#_", ":", 1));
    told.filter(|told| of_slot(told) == name).unwrap_or_else(|| hex(name))
}

/// What is stored for a slot that goes by name.
///
/// # Errors
/// [`Error::Invalid`] if that is nothing or too much.
pub(super) fn stored(slot: &str, time_step: Option<u32>) -> Result<Vec<u8>, Error> {
    let mut stored = time_step.map(|step| format!("{step}:").into_bytes()).unwrap_or_default();
    let name = of_slot(slot);
    if name.is_empty() {
        return Err(invalid("the name is empty"));
    }
    stored.extend_from_slice(&name);
    if stored.len() > MAX_NAME {
        let problem = format!("the name takes {} bytes, the token has room for {MAX_NAME}", stored.len());
        return Err(Error::Invalid { field: "slot", problem });
    }
    Ok(stored)
}

/// What is stored for a numbered slot: the label, cut or filled up.
pub(super) fn label(label: Option<&str>, slot: u8, time_step: Option<u32>) -> Vec<u8> {
    let default = format!("slot-{slot}");
    let mut name = label.filter(|label| !label.is_empty()).unwrap_or(&default).to_owned();
    while name.len() < MIN_LABEL {
        name.push('_');
    }
    // A label that looks like a time step needs one in front.
    let ambiguous = time_step.is_some() && split(Some(Kind::Totp), name.as_bytes()).1 != name.as_bytes();
    let step = time_step.filter(|step| *step != DEFAULT_TIME_STEP || ambiguous);
    let mut stored = step.map(|step| format!("{step}:")).unwrap_or_default();
    for character in name.chars() {
        if stored.len() + character.len_utf8() > MAX_NAME {
            break;
        }
        stored.push(character);
    }
    stored.into_bytes()
}

/// What is stored in a `HyperFIDO`: 8 characters of ASCII.
pub(super) fn hyperfido(label: Option<&str>) -> Vec<u8> {
    let label = label.unwrap_or("00000000");
    let characters = label.bytes().filter(u8::is_ascii_graphic).chain(std::iter::repeat(b'_'));
    characters.take(HYPERFIDO_NAME).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let value = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn invalid(problem: &str) -> Error {
    Error::Invalid { field: "slot", problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_stored_as_the_maker_does() {
        assert_eq!(stored("Acme:bob", Some(60)).unwrap(), b"60:Acme_#_bob");
        assert_eq!(stored("Acme:bob", Some(30)).unwrap(), b"30:Acme_#_bob");
        assert_eq!(stored("bob", None).unwrap(), b"bob");
        assert_eq!(stored("a:b:c", None).unwrap(), b"a_#_b:c");
        assert_eq!(stored("", None).unwrap_err().to_string(), "slot: the name is empty");
        let long = stored(&"x".repeat(62), Some(30)).unwrap_err().to_string();
        assert_eq!(long, "slot: the name takes 65 bytes, the token has room for 64");
        assert!(stored(&"x".repeat(61), Some(30)).is_ok());
    }

    #[test]
    fn the_time_step_is_read_from_totp_names_only() {
        let (totp, hotp) = (Some(Kind::Totp), Some(Kind::Hotp));
        assert_eq!(split(totp, b"60:Acme_#_bob"), (Some(60), &b"Acme_#_bob"[..]));
        assert_eq!(split(totp, b"rfc6238-test-01"), (Some(30), &b"rfc6238-test-01"[..]));
        assert_eq!(split(totp, b"60:"), (Some(30), &b"60:"[..]));
        assert_eq!(split(totp, b"90:a"), (Some(30), &b"90:a"[..]));
        assert_eq!(split(hotp, b"60:a"), (None, &b"60:a"[..]));
        assert_eq!(split(None, b"60:a"), (None, &b"60:a"[..]));
    }

    #[test]
    fn what_cannot_be_said_is_called_by_its_digits() {
        for (name, slot) in [
            (&b"Acme_#_bob"[..], "Acme:bob"),
            (b"bob", "bob"),
            (b"a:b", "0x613a62"),
            (b"0x41", "0x30783431"),
            (b"\xFF", "0xff"),
            (b"a_#_b_#_c", "a:b_#_c"),
        ] {
            assert_eq!(address(name), slot);
            assert_eq!(of_slot(slot), name);
        }
    }

    #[test]
    fn labels_are_cut_and_filled_up() {
        assert_eq!(label(Some("rfc6238-test-01"), 1, Some(30)), b"rfc6238-test-01");
        assert_eq!(label(Some("alice"), 1, Some(60)), b"60:alice");
        assert_eq!(label(Some("60:alice"), 1, Some(30)), b"30:60:alice");
        assert_eq!(label(Some("60:alice"), 1, None), b"60:alice");
        assert_eq!(label(Some("ab"), 2, None), b"ab__");
        assert_eq!(label(None, 2, None), b"slot-2");
        let cut = label(Some(&"ü".repeat(40)), 1, Some(60));
        assert_eq!(cut.len(), 63);
        assert!(std::str::from_utf8(&cut).is_ok());
        assert_eq!(hyperfido(Some("alice")), b"alice___");
        assert_eq!(hyperfido(Some("a very long one")), b"averylon");
        assert_eq!(hyperfido(Some("ü")), b"________");
        assert_eq!(hyperfido(None), b"00000000");
    }

    proptest! {
        #[test]
        fn an_address_means_what_it_was_made_from(
            name in proptest::collection::vec(prop::sample::select(b"0x61:_#\xFF".to_vec()), 1..12),
        ) {
            prop_assert_eq!(of_slot(&address(&name)), name);
        }

        #[test]
        fn a_label_keeps_its_time_step(text in "[36]?0?:?[ab]{0,5}", step in prop::sample::select(vec![30_u32, 60])) {
            let stored = label(Some(&text), 1, Some(step));
            prop_assert_eq!(split(Some(Kind::Totp), &stored).0, Some(step));
        }
    }
}
