//! What is written into a slot, checked before the first exchange.
//!
//! Slots go by the number that the maker's program shows, with 10 in front for HOTP and 20 for TOTP: HOTP 1 to 3 are
//! 11 to 13, TOTP 1 to 15 are 21 to 35. On the wire they count from 10 and from 20 hexadecimal.

use sha1::{Digest, Sha1};

use super::commands::slots::NAME;
use super::features::{Features, LONGEST_STEP, SHORTEST_STEP};
use crate::error::Error;
use crate::token::{Algorithm, FactorConfig, Kind, SecretBytes, SlotConfig, SlotId};

/// The block of SHA-1 in bytes: a longer key is hashed first (RFC 2104 §2).
const BLOCK: usize = 64;

/// The name of a slot that was given none: the device takes no empty one.
const NO_NAME: &str = "OTP";

/// A place for a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u8,
    pub(super) kind: Kind,
}

impl Place {
    /// Reads a slot's address.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such slot.
    pub(super) fn of(slot: &SlotId, features: Features) -> Result<Self, Error> {
        match slot {
            SlotId::Name(_) => {
                Err(invalid("slot", "the slots of this token have numbers, not names".to_owned()))
            }
            SlotId::Index(number) if features.hotp_slots().contains(number) => {
                Ok(Self { number: *number, kind: Kind::Hotp })
            }
            SlotId::Index(number) if features.totp_slots().contains(number) => {
                Ok(Self { number: *number, kind: Kind::Totp })
            }
            SlotId::Index(_) => {
                let (hotp, totp) = (features.hotp_slots(), features.totp_slots());
                let text = format!(
                    "HOTP slots are {} to {}, TOTP slots {} to {}",
                    hotp.start(),
                    hotp.end(),
                    totp.start(),
                    totp.end()
                );
                Err(invalid("slot", text))
            }
        }
    }

    /// All places, HOTP first.
    pub(super) fn all(features: Features) -> impl Iterator<Item = Self> {
        let hotp = features.hotp_slots().map(|number| Self { number, kind: Kind::Hotp });
        hotp.chain(features.totp_slots().map(|number| Self { number, kind: Kind::Totp }))
    }

    /// The number on the wire.
    pub(super) fn wire(self) -> u8 {
        match self.kind {
            Kind::Hotp => self.number.wrapping_sub(11).wrapping_add(0x10),
            Kind::Totp => self.number.wrapping_sub(21).wrapping_add(0x20),
        }
    }

    pub(super) fn id(self) -> SlotId {
        SlotId::Index(self.number)
    }
}

/// A credential in the device's terms.
pub(super) struct Written {
    pub(super) place: Place,
    pub(super) name: [u8; NAME],
    pub(super) secret: SecretBytes,
    pub(super) eight_digits: bool,
    /// HOTP: the counter. TOTP: seconds in a step.
    pub(super) number: u64,
}

impl Written {
    /// Checks a credential.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what this token cannot do, [`Error::Invalid`] for what makes no sense.
    pub(super) fn check(slot: &SlotId, config: &SlotConfig, features: Features) -> Result<Self, Error> {
        let place = Place::of(slot, features)?;
        if config.algorithm != Algorithm::Sha1 {
            return Err(unsupported("this hash function", "SHA-1"));
        }
        if config.touch {
            return Err(unsupported("touch", "another token: this one has no button"));
        }
        if !matches!(config.digits, 6 | 8) {
            return Err(invalid("digits", "the token makes passcodes of 6 or 8 digits".to_owned()));
        }
        Ok(Self {
            place,
            name: name(config.label.as_deref().unwrap_or_default()),
            secret: secret(&config.secret, features)?,
            eight_digits: config.digits == 8,
            number: number(place.kind, config.factor, features)?,
        })
    }

    /// The number as `WRITE_TO_SLOT` up to 0.7 (Storage 0.53) wants it.
    pub(super) fn number_field(&self, features: Features) -> [u8; 8] {
        if self.place.kind == Kind::Totp || !features.counts_in_digits() {
            return self.number.to_le_bytes();
        }
        let mut field = [0; 8];
        for (byte, digit) in field.iter_mut().zip(self.number.to_string().bytes()) {
            *byte = digit;
        }
        field
    }
}

fn number(kind: Kind, factor: FactorConfig, features: Features) -> Result<u64, Error> {
    match (kind, factor) {
        (Kind::Hotp, FactorConfig::Hotp { counter }) => {
            let most = if features.counts_in_digits() { 99_999_999 } else { u64::MAX - 1 };
            if counter > most {
                return Err(invalid("counter", format!("the token starts at {most} at most")));
            }
            Ok(counter)
        }
        (Kind::Totp, FactorConfig::Totp { time_step }) => {
            if !(SHORTEST_STEP..=LONGEST_STEP).contains(&time_step) {
                let text = format!("the token counts steps of {SHORTEST_STEP} to {LONGEST_STEP} seconds");
                return Err(invalid("time_step", text));
            }
            Ok(time_step.into())
        }
        (Kind::Hotp, FactorConfig::Totp { .. }) => Err(invalid("slot", "it takes HOTP only".to_owned())),
        (Kind::Totp, FactorConfig::Hotp { .. }) => Err(invalid("slot", "it takes TOTP only".to_owned())),
    }
}

fn secret(secret: &SecretBytes, features: Features) -> Result<SecretBytes, Error> {
    let bytes = secret.expose();
    if bytes.is_empty() {
        return Err(invalid("secret", "it is empty".to_owned()));
    }
    let secret =
        if bytes.len() > BLOCK { SecretBytes::new(Sha1::digest(bytes).to_vec()) } else { secret.clone() };
    let room = features.secret_length();
    if secret.expose().len() > room {
        return Err(Error::Unsupported {
            what: "a secret of this length",
            needs: format!("{room} bytes at most, or more than {BLOCK}, which are hashed"),
        });
    }
    if features.takes_for_none(secret.expose()) {
        return Err(Error::Unsupported {
            what: "this secret",
            needs: "one that does not begin with a zero byte: the token would keep its old one".to_owned(),
        });
    }
    Ok(secret)
}

/// A label cut to what fits, between two characters.
fn name(label: &str) -> [u8; NAME] {
    let mut name = [0; NAME];
    let plain: String = label.chars().filter(|character| *character != '\0').collect();
    let text = if plain.is_empty() { NO_NAME } else { &plain };
    let end = (0..=NAME.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    for (slot, byte) in name.iter_mut().zip(text.bytes().take(end)) {
        *slot = byte;
    }
    name
}

pub(super) fn invalid(field: &'static str, problem: String) -> Error {
    Error::Invalid { field, problem }
}

fn unsupported(what: &'static str, needs: &str) -> Error {
    Error::Unsupported { what, needs: needs.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::UnixTime;

    const NEW: Features = Features { storage: false, minor: 15 };
    const OLD: Features = Features { storage: false, minor: 7 };
    const STORAGE: Features = Features { storage: true, minor: 53 };

    fn config(factor: FactorConfig, secret: &[u8]) -> SlotConfig {
        SlotConfig {
            factor,
            algorithm: Algorithm::Sha1,
            digits: 6,
            secret: SecretBytes::new(secret.to_vec()),
            touch: false,
            label: None,
            now: UnixTime(0),
        }
    }

    fn check(slot: u8, config: &SlotConfig, features: Features) -> Result<Written, String> {
        Written::check(&SlotId::Index(slot), config, features).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_the_maker_s_with_the_kind_in_front() {
        let wire =
            |number| Place::of(&SlotId::Index(number), NEW).map(|place| (place.kind, place.wire())).ok();
        assert_eq!([11, 13].map(wire), [Some((Kind::Hotp, 0x10)), Some((Kind::Hotp, 0x12))]);
        assert_eq!([21, 35].map(wire), [Some((Kind::Totp, 0x20)), Some((Kind::Totp, 0x2E))]);
        assert_eq!([0, 10, 14, 20, 36, 255].map(wire), [None; 6]);
        assert_eq!(Place::all(NEW).count(), 18);
    }

    #[test]
    fn names_are_cut_between_characters() {
        let text = |label| String::from_utf8(name(label).to_vec()).unwrap().trim_end_matches('\0').to_owned();
        for (label, stored) in [
            ("", "OTP"),
            ("\0", "OTP"),
            ("alice", "alice"),
            ("123456789012345", "123456789012345"),
            ("1234567890123456", "123456789012345"),
            ("12345678901234ü", "12345678901234"),
            ("\0a", "a"),
        ] {
            assert_eq!(text(label), stored, "{label:?}");
        }
    }

    #[test]
    fn secrets_that_do_not_fit_are_refused_or_hashed() {
        let hotp = FactorConfig::Hotp { counter: 0 };
        let length = |bytes: &[u8], features| {
            check(11, &config(hotp, bytes), features).map(|written| written.secret.expose().len())
        };
        let none = Err("this token cannot do this secret: one that does not begin with a zero byte: the \
                        token would keep its old one"
            .to_owned());
        assert_eq!(length(b"", NEW), Err("secret: it is empty".to_owned()));
        assert_eq!((length(&[1; 40], NEW), length(&[1; 20], OLD)), (Ok(40), Ok(20)));
        assert_eq!((length(&[1; 65], NEW), length(&[1; 65], OLD)), (Ok(20), Ok(20)));
        for (size, features) in [(41, NEW), (64, NEW), (21, OLD), (64, STORAGE)] {
            assert!(length(&vec![1; size], features).unwrap_err().contains("this length"), "{size}");
        }
        assert_eq!((length(&[0; 20], NEW), length(&[0, 1], OLD)), (none.clone(), none));
        assert_eq!((length(&[0, 1], NEW), length(&[0, 1], STORAGE)), (Ok(2), Ok(2)));
    }

    #[test]
    fn counters_and_time_steps_have_limits() {
        let hotp = |counter, features| {
            check(11, &config(FactorConfig::Hotp { counter }, &[1]), features)
                .map(|written| written.number_field(features))
        };
        assert_eq!(hotp(7, OLD), Ok([7, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(hotp(7, STORAGE), Ok(*b"7\0\0\0\0\0\0\0"));
        assert_eq!(hotp(99_999_999, STORAGE), Ok(*b"99999999"));
        let most = |most: &str| Err(format!("counter: the token starts at {most} at most"));
        assert_eq!(hotp(100_000_000, STORAGE), most("99999999"));
        assert_eq!(hotp(u64::MAX, NEW), most("18446744073709551614"));
        let totp = |time_step| {
            check(21, &config(FactorConfig::Totp { time_step }, &[1]), STORAGE)
                .map(|written| written.number_field(STORAGE))
        };
        assert_eq!(totp(300), Ok([0x2C, 1, 0, 0, 0, 0, 0, 0]));
        for time_step in [0, 1, 65_536] {
            assert!(totp(time_step).is_err(), "{time_step}");
        }
    }

    #[test]
    fn a_slot_takes_one_kind() {
        let hotp = config(FactorConfig::Hotp { counter: 0 }, &[1]);
        let totp = config(FactorConfig::Totp { time_step: 30 }, &[1]);
        assert_eq!(check(21, &hotp, NEW).err(), Some("slot: it takes TOTP only".to_owned()));
        assert_eq!(check(11, &totp, NEW).err(), Some("slot: it takes HOTP only".to_owned()));
    }
}
