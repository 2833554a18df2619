//! Entries of the secrets app as LIST tells them, and how slots are called.
//!
//! A slot is called as its entry is: up to 127 bytes of UTF-8. Bytes that are not UTF-8 are shown as `0x` and hexadecimal
//! digits; such slots can be erased, not written. `HmacSlot1` and `HmacSlot2` belong to challenge-response.

use crate::error::Error;
use crate::token::{Algorithm, Kind, SlotId};

/// Longest name: the app stores 128 bytes, but this is the longest whose length all its parsers read alike.
const MAX_NAME: usize = 127;

/// Names with a meaning of their own.
const RESERVED: [&str; 2] = ["HmacSlot1", "HmacSlot2"];

/// One entry, and what else is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name as stored.
    pub(super) name: Vec<u8>,
    /// HOTP or TOTP; `None` for entries that make no passcodes.
    pub(super) kind: Option<Kind>,
    /// Hash function.
    pub(super) algorithm: Option<Algorithm>,
    /// Whether it demands a touch, if told or remembered.
    pub(super) touch: Option<bool>,
    /// Whether it is encrypted with the PIN, if told.
    pub(super) pin: Option<bool>,
    /// Whether it holds a login or password besides.
    pub(super) safe: bool,
    /// Passcode length, if remembered: LIST does not tell it.
    pub(super) digits: Option<u8>,
}

impl Entry {
    /// What its slot is called.
    pub(super) fn address(&self) -> String {
        match std::str::from_utf8(&self.name) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                let digits = self.name.iter().map(|byte| format!("{byte:02x}"));
                format!("0x{}", digits.collect::<String>())
            }
        }
    }

    /// Whether it is encrypted with the PIN.
    pub(super) fn is_encrypted(&self) -> bool {
        self.pin == Some(true)
    }

    /// Whether it makes passcodes.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is for something else.
    pub(super) fn check_kind(&self) -> Result<Kind, Error> {
        self.kind.ok_or_else(|| {
            invalid("slot", "another kind of entry goes by that name, which Nitrokey's own program manages")
        })
    }

    /// Whether nothing but a credential is lost with it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if something else is.
    pub(super) fn check_loss(&self) -> Result<(), Error> {
        self.check_kind()?;
        if self.safe {
            return Err(invalid(
                "slot",
                "the entry also holds a login or password, which Nitrokey's own program manages",
            ));
        }
        Ok(())
    }
}

/// The entry in a slot.
pub(super) fn find<'e>(slot: &str, all: &'e [Entry]) -> Option<&'e Entry> {
    let stored = all.iter().find(|entry| entry.name == slot.as_bytes());
    stored.or_else(|| all.iter().find(|entry| entry.address() == slot))
}

/// The name in a slot id.
///
/// # Errors
/// [`Error::Invalid`] for a number.
pub(super) fn slot_name(slot: &SlotId) -> Result<&str, Error> {
    match slot {
        SlotId::Name(name) => Ok(name),
        SlotId::Index(_) => Err(invalid("slot", "the slots of this token have names, not numbers")),
    }
}

/// Whether an entry can be written under this name.
///
/// # Errors
/// [`Error::Invalid`] if it is empty, too long, or has another meaning.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(invalid("slot", "the name is empty"));
    }
    if name.len() > MAX_NAME {
        let problem = format!("the name takes {} bytes, the token has room for {MAX_NAME}", name.len());
        return Err(Error::Invalid { field: "slot", problem });
    }
    if RESERVED.contains(&name) {
        return Err(invalid("slot", "the token keeps this name for challenge-response"));
    }
    Ok(())
}

pub(super) fn invalid(field: &'static str, problem: &str) -> Error {
    Error::Invalid { field, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8]) -> Entry {
        Entry {
            name: name.to_vec(),
            kind: Some(Kind::Hotp),
            algorithm: None,
            touch: None,
            pin: None,
            safe: false,
            digits: None,
        }
    }

    #[test]
    fn names_that_are_not_utf_8_have_addresses_too() {
        let all = [entry(&[0xFF, 0x00]), entry(b"0xff00"), entry(&[0xFF, 0x01])];
        assert_eq!(all[2].address(), "0xff01");
        assert_eq!(find("0xff01", &all), Some(&all[2]));
        assert_eq!(find("0xff00", &all), Some(&all[1]), "who is really called so goes first");
        assert_eq!(find("x", &all), None);
    }

    #[test]
    fn names_are_measured_in_bytes() {
        assert!(check_name(&"x".repeat(127)).is_ok());
        let error = check_name(&"ü".repeat(64)).unwrap_err();
        assert_eq!(error.to_string(), "slot: the name takes 128 bytes, the token has room for 127");
        assert_eq!(check_name("").unwrap_err().to_string(), "slot: the name is empty");
        assert!(check_name("HmacSlot1").is_err() && check_name("HmacSlot3").is_ok());
    }

    #[test]
    fn only_what_is_nothing_but_a_credential_may_be_lost() {
        assert!(entry(b"a").check_loss().is_ok());
        assert!(Entry { safe: true, ..entry(b"a") }.check_loss().is_err());
        assert!(Entry { safe: true, ..entry(b"a") }.check_kind().is_ok());
        assert!(Entry { kind: None, ..entry(b"a") }.check_loss().is_err());
    }
}
