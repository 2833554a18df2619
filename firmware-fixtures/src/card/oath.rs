//! A card with Yubico's OATH applet as a [`Specimen`].

use std::cell::RefCell;

use super::VirtualCard;
use crate::credential::{Credential, Kind};
use crate::otp;
use crate::specimen::{Door, Specimen, Stored};

/// A card with the OATH applet. The access code is kept beside it as text, since the applet holds only a key made
/// from it.
pub struct OathSpecimen {
    card: VirtualCard,
    code: RefCell<Option<Vec<u8>>>,
}

impl OathSpecimen {
    /// Sees this card as a specimen. It must have no access code yet.
    #[must_use]
    pub fn new(card: &VirtualCard) -> Self {
        Self { card: card.clone(), code: RefCell::new(None) }
    }

    /// The access code whose key is on the card: one that a host set may differ from the one remembered.
    fn known_codes(&self) -> impl Iterator<Item = Vec<u8>> {
        [self.code.borrow().clone(), self.spare_lock_code()].into_iter().flatten()
    }

    fn key(&self, code: &[u8]) -> [u8; 16] {
        otp::pbkdf2_sha1(code, &self.card.oath_id(), 1000)
    }
}

/// The name that lies in flash for a slot: YKOATH puts a time step other than 30 s in front.
fn stored_name(slot: &str, stored: &Stored) -> String {
    match (stored.kind, stored.time_step) {
        (Kind::Totp, Some(step)) if step != 30 => format!("{step}/{slot}"),
        _ => slot.to_owned(),
    }
}

fn slot_name(credential: &Credential) -> String {
    let name = credential.name();
    match (credential.kind, name.split_once('/')) {
        (Kind::Totp, Some((step, rest))) if step.parse::<u64>().is_ok() => rest.to_owned(),
        _ => name.into_owned(),
    }
}

impl Specimen for OathSpecimen {
    fn model(&self) -> String {
        self.card.face().model.to_owned()
    }

    fn door(&self) -> Door {
        Door::Card(self.card.clone())
    }

    fn serial(&self) -> Option<String> {
        Some(self.card.serial().to_owned()).filter(|serial| !serial.is_empty())
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        let stored = |credential: Credential| {
            let plain = Stored::hotp(&credential.secret, credential.counter);
            let stored = Stored {
                kind: credential.kind,
                hash: credential.hash,
                digits: Some(credential.digits),
                time_step: match credential.kind {
                    Kind::Hotp => None,
                    Kind::Totp => u32::try_from(credential.time_step_seconds()).ok(),
                },
                touch: credential.touch,
                ..plain
            };
            (slot_name(&credential), stored)
        };
        self.card.credentials().into_iter().map(stored).collect()
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let name = stored_name(slot, stored);
        self.card.install(Credential {
            kind: stored.kind,
            hash: stored.hash,
            digits: stored.digits.unwrap_or(6),
            touch: stored.touch,
            ..Credential::hotp(&name, &stored.secret, stored.counter)
        });
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let found = self.card.credentials().into_iter().find(|credential| slot_name(credential) == slot)?;
        match found.kind {
            Kind::Hotp => self.card.press(&found.name()),
            Kind::Totp => self.card.show(&found.name(), now / found.time_step_seconds()),
        }
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        let key = self.card.access_key()?;
        self.known_codes().find(|code| self.key(code) == key)
    }

    fn set_lock_code(&self, code: Option<&[u8]>) {
        self.card.set_access_key(code.map(|code| self.key(code)));
        *self.code.borrow_mut() = code.map(<[u8]>::to_vec);
    }

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        Some("pässwörd".as_bytes().to_vec())
    }
}
