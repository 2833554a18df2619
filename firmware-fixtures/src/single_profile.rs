//! Token2's single-profile programmable TOTP cards and fobs over NFC, as data, as a card and as a specimen.
//!
//! A token's model is told by the first seven digits of its serial. One thing differs between models: whether
//! writing the configuration, which sets the clock, takes the seed along. One differs between generations: up to
//! 2025 a single wrong answer to the challenge locked a token for good (token2/openT2OTP, `docs/SECURITY.md`).
//! The ATR is assumed: what a reader makes up for a card of ISO/IEC 14443-4 without historical bytes.

use crate::applets::single_profile::SingleProfile;
use crate::card::{Face, VirtualCard};
use crate::chip::Chip;
use crate::credential::Kind;
use crate::otp;
use crate::specimen::{Door, Specimen, Stored};

/// One model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleProfileModel {
    /// Name for command lines, for example `c301-i`.
    pub model: &'static str,
    /// How its serials begin.
    pub prefix: &'static str,
    /// Whether the seed survives a new configuration.
    pub keeps_seed: bool,
    /// Whether a wrong answer to the challenge locks it for good.
    pub locks: bool,
}

const fn model(model: &'static str, prefix: &'static str, keeps_seed: bool) -> SingleProfileModel {
    SingleProfileModel { model, prefix, keeps_seed, locks: false }
}

impl SingleProfileModel {
    /// A card that forgets its seed with each configuration.
    pub const OTPC_P2: Self = model("otpc-p2-i", "8659622", false);
    /// A fob that keeps its seed.
    pub const C302: Self = model("c302-i", "8659632", true);
    /// What no published program knows.
    pub const UNKNOWN: Self = model("unknown", "8659699", false);
    /// A card of the generation that locks itself.
    pub const OTPC_P2_BEFORE_2025: Self = Self { locks: true, ..Self::OTPC_P2 };

    /// Every model that the maker's programs write to.
    pub const ALL: [Self; 8] = [
        model("otpc-p1-i", "8659612", true),
        Self::OTPC_P2,
        model("otpc-p2-i-nb", "8659621", false),
        model("miniotp-2-i", "8659600", true),
        model("miniotp-3-i", "8659601", false),
        model("miniotp-3-i-nb", "8659609", false),
        model("c301-i", "8659610", false),
        Self::C302,
    ];

    /// What a reader sees of it.
    #[must_use]
    pub const fn face(&self) -> Face {
        Face {
            model: self.model,
            atr: &[0x3B, 0x80, 0x80, 0x01, 0x01],
            reader: "ACS ACR1252 Dual Reader",
            contactless: true,
            chunk: 256,
            extended_length: false,
        }
    }
}

/// One of these tokens as a specimen. Its one slot is called `0`.
pub struct SingleProfileSpecimen {
    card: VirtualCard,
    model: SingleProfileModel,
}

impl SingleProfileSpecimen {
    /// A token without a seed; `number` is what follows the prefix of its serial.
    #[must_use]
    pub fn new(model: SingleProfileModel, number: u32) -> Self {
        let serial = format!("{}{number:07}", model.prefix);
        let program = Box::new(SingleProfile::new(model, &serial));
        Self { card: VirtualCard::with_chip(Chip::whole(model.face(), program), &serial), model }
    }

    /// The card.
    #[must_use]
    pub fn card(&self) -> &VirtualCard {
        &self.card
    }

    /// Reaches into the token past its protocol.
    pub fn reach<T>(&self, reach: impl FnOnce(&mut SingleProfile) -> T) -> Option<T> {
        self.card.with_applet(reach)
    }
}

impl Specimen for SingleProfileSpecimen {
    fn model(&self) -> String {
        self.model.model.to_owned()
    }

    fn door(&self) -> Door {
        Door::Card(self.card.clone())
    }

    fn serial(&self) -> Option<String> {
        Some(self.card.serial().to_owned())
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let stored = self.reach(|token| {
            let seed = token.seed.as_ref()?;
            Some(Stored { hash: token.hash, time_step: Some(token.time_step()), ..Stored::totp(seed) })
        });
        stored.flatten().map(|stored| ("0".to_owned(), stored)).into_iter().collect()
    }

    fn install(&self, slot: &str, stored: &Stored) {
        if slot != "0" || stored.kind != Kind::Totp {
            return;
        }
        self.reach(|token| {
            token.seed = Some(stored.secret.clone());
            token.hash = stored.hash;
            token.step = stored.time_step.and_then(|step| u8::try_from(step).ok()).unwrap_or(30);
        });
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        if slot != "0" {
            return None;
        }
        self.reach(|token| {
            let step = now / u64::from(token.time_step().max(1));
            let mac = otp::hmac(token.hash, token.seed.as_ref()?, &step.to_be_bytes());
            Some(otp::passcode(otp::truncate(&mac), 6))
        })
        .flatten()
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_lock_code(&self, _: Option<&[u8]>) {}

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specimen_shows_what_was_installed() {
        let specimen = SingleProfileSpecimen::new(SingleProfileModel::C302, 42);
        assert_eq!(specimen.serial().as_deref(), Some("86596320000042"));
        assert_eq!((specimen.stored(), specimen.read_off("0", 59)), (Vec::new(), None));
        let stored = Stored { time_step: Some(60), ..Stored::totp(b"12345678901234567890") };
        specimen.install("0", &stored);
        assert_eq!(specimen.stored(), [("0".to_owned(), stored)]);
        assert_eq!(specimen.read_off("0", 119).as_deref(), Some("287082"));
    }

    #[test]
    fn no_two_models_share_a_prefix() {
        let mut prefixes = SingleProfileModel::ALL.map(|model| model.prefix);
        prefixes.sort_unstable();
        assert!(prefixes.windows(2).all(|pair| pair[0] != pair[1]), "{prefixes:?}");
    }
}
