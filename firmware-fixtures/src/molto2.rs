//! Token2 Molto2: a USB token with a display and 50 or 100 TOTP profiles, as data, as a card and as a specimen.
//!
//! What differs between the generations stands in [`Molto2Firmware`]. No document names the ATR, the number of
//! attempts, or the status words of refusals: those are assumed. The profile that tokens leave the factory with
//! (0, "Token2") is left out.

use std::cell::RefCell;

use crate::applets::molto2::{Molto2, Profile, customer_key};
use crate::card::{Face, VirtualCard};
use crate::chip::Chip;
use crate::credential::Hash;
use crate::otp;
use crate::specimen::{Door, Specimen, Stored};

/// One generation of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Molto2Firmware {
    /// Name for command lines, for example `molto2v2`.
    pub model: &'static str,
    /// How many profiles there are.
    pub profiles: u8,
    /// Whether the screen can be locked (from 2.1).
    pub screen_lock: bool,
    /// Whether a seed is deleted only for a host that authenticated itself. The maker's document says so; keyroost
    /// saw a token that does not care.
    pub delete_needs_key: bool,
    /// Wrong customer keys until the token locks itself. Seen: 7 left after a wrong one.
    pub attempts: u8,
}

impl Molto2Firmware {
    /// The first generation.
    pub const MOLTO2: Self = Self { model: "molto2", profiles: 50, screen_lock: false, ..Self::MOLTO2_V2_1 };

    /// Twice the profiles.
    pub const MOLTO2_V2: Self = Self { model: "molto2v2", screen_lock: false, ..Self::MOLTO2_V2_1 };

    /// With a screen that can be locked.
    pub const MOLTO2_V2_1: Self =
        Self { model: "molto2v2.1", profiles: 100, screen_lock: true, delete_needs_key: false, attempts: 8 };

    /// As the maker's document has it.
    pub const MOLTO2_V2_STRICT: Self =
        Self { model: "molto2v2-strict", delete_needs_key: true, ..Self::MOLTO2_V2 };

    /// Every generation.
    pub const ALL: [Self; 4] = [Self::MOLTO2, Self::MOLTO2_V2, Self::MOLTO2_V2_1, Self::MOLTO2_V2_STRICT];

    /// What a reader sees of it.
    #[must_use]
    pub const fn face(&self) -> Face {
        Face {
            model: self.model,
            // Assumed: T=1 without historical bytes.
            atr: &[0x3B, 0x80, 0x01, 0x81],
            reader: "TOKEN2 Molto2 [CCID Interface]",
            contactless: false,
            chunk: 256,
            extended_length: false,
        }
    }
}

/// A Molto2 as a specimen. Its slots are the numbers of its profiles.
pub struct Molto2Specimen {
    card: VirtualCard,
    firmware: Molto2Firmware,
    /// Codes by which the key in the token may be known: it keeps only what is made from them.
    codes: RefCell<Vec<Vec<u8>>>,
}

impl Molto2Specimen {
    /// The customer key that tokens are sold with.
    pub const FACTORY_CODE: &'static [u8] = b"TOKEN2MOLTO1-KEY";

    /// A token as it leaves the factory, but empty.
    #[must_use]
    pub fn new(firmware: Molto2Firmware, serial: &str) -> Self {
        let program = Box::new(Molto2::new(firmware, serial));
        let card = VirtualCard::with_chip(Chip::whole(firmware.face(), program), serial);
        let codes = vec![Self::FACTORY_CODE.to_vec(), b"0123456789abcdef".to_vec()];
        Self { card, firmware, codes: RefCell::new(codes) }
    }

    /// The card.
    #[must_use]
    pub fn card(&self) -> &VirtualCard {
        &self.card
    }

    /// Reaches into the token past its protocol.
    pub fn reach<T>(&self, reach: impl FnOnce(&mut Molto2) -> T) -> Option<T> {
        self.card.with_applet(reach)
    }

    /// One profile, as it lies in flash.
    #[must_use]
    pub fn profile(&self, number: u8) -> Option<Profile> {
        self.reach(|molto2| molto2.profile_mut(number).cloned()).flatten()
    }
}

impl Specimen for Molto2Specimen {
    fn model(&self) -> String {
        self.firmware.model.to_owned()
    }

    fn door(&self) -> Door {
        Door::Card(self.card.clone())
    }

    fn serial(&self) -> Option<String> {
        Some(self.card.serial().to_owned())
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let numbers = 0..self.firmware.profiles;
        let stored = |number: u8| {
            let profile = self.profile(number)?;
            let seed = profile.seed.as_ref()?;
            let stored = Stored {
                hash: profile.hash,
                digits: Some(profile.digits),
                time_step: Some(u32::from(profile.step)),
                ..Stored::totp(seed)
            };
            Some((number.to_string(), stored))
        };
        numbers.filter_map(stored).collect()
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let Ok(number) = slot.parse() else { return };
        self.reach(|molto2| {
            if let Some(profile) = molto2.profile_mut(number) {
                profile.seed = Some(stored.secret.clone());
                profile.hash = stored.hash;
                profile.digits = stored.digits.unwrap_or(6);
                profile.step = stored.time_step.and_then(|step| u8::try_from(step).ok()).unwrap_or(30);
            }
        });
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let profile = self.profile(slot.parse().ok()?)?;
        let step = now / u64::from(profile.step.max(1));
        let mac = otp::hmac(profile.hash, profile.seed.as_ref()?, &step.to_be_bytes());
        Some(otp::passcode(otp::truncate(&mac), profile.digits))
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        let key = self.reach(|molto2| molto2.key())?;
        self.codes.borrow().iter().find(|code| customer_key(code) == key).cloned()
    }

    fn set_lock_code(&self, code: Option<&[u8]>) {
        let code = code.unwrap_or(Self::FACTORY_CODE);
        self.codes.borrow_mut().push(code.to_vec());
        self.reach(|molto2| molto2.set_key(customer_key(code)));
    }

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        let current = self.lock_code();
        self.codes.borrow().iter().find(|code| Some(*code) != current.as_ref()).cloned()
    }
}

/// What the specimens can hold, for tests that look into one.
impl Profile {
    /// The title as text, without the zeros behind it.
    #[must_use]
    pub fn title_text(&self) -> String {
        let end = self.title.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        String::from_utf8_lossy(&self.title[..end]).into_owned()
    }

    /// A profile as it was never used.
    #[must_use]
    pub fn unused() -> Self {
        Self {
            seed: None,
            title: [0; 16],
            written: false,
            hash: Hash::Sha1,
            digits: 6,
            step: 30,
            display_timeout: None,
            clock: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specimen_knows_its_code_whoever_set_it() {
        let specimen = Molto2Specimen::new(Molto2Firmware::MOLTO2_V2, "37806840");
        assert_eq!(specimen.lock_code().as_deref(), Some(Molto2Specimen::FACTORY_CODE));
        let spare = specimen.spare_lock_code().unwrap();
        specimen.set_lock_code(Some(&spare));
        assert_eq!(specimen.lock_code(), Some(spare));
        assert_eq!(specimen.spare_lock_code().as_deref(), Some(Molto2Specimen::FACTORY_CODE));
        specimen.set_lock_code(None);
        assert_eq!(specimen.lock_code().as_deref(), Some(Molto2Specimen::FACTORY_CODE));
    }

    #[test]
    fn a_specimen_shows_what_was_installed() {
        let specimen = Molto2Specimen::new(Molto2Firmware::MOLTO2, "37806840");
        let secret = b"12345678901234567890";
        specimen.install("49", &Stored { digits: Some(8), ..Stored::totp(secret) });
        specimen.install("50", &Stored::totp(secret));
        let stored = specimen.stored();
        assert_eq!(stored, [("49".to_owned(), Stored { digits: Some(8), ..Stored::totp(secret) })]);
        assert_eq!(specimen.read_off("49", 59).as_deref(), Some("94287082"));
        assert_eq!(specimen.read_off("48", 59), None);
    }
}
