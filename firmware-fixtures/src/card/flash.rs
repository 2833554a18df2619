//! What lies in the flash of an emulated card, for tests: no program has this door.
//!
//! It reads and writes past the protocol, costs no exchange, meets no fault, and works without power. The
//! passcodes are what a human would see in the maker's own program.

use super::VirtualCard;
use crate::applets::ykoath::YkOath;
use crate::credential::{Credential, Kind};

impl VirtualCard {
    /// The credentials in flash, in the order in which LIST tells them.
    #[must_use]
    pub fn credentials(&self) -> Vec<Credential> {
        self.with_oath(|oath| oath.credentials().to_vec()).unwrap_or_default()
    }

    /// One credential by its name.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<Credential> {
        self.credentials().into_iter().find(|credential| credential.name == name.as_bytes())
    }

    /// Writes a credential as another program would have, over one of the same name.
    pub fn install(&self, credential: Credential) {
        self.with_oath(|oath| oath.install(credential));
    }

    /// The 16-byte access key, if a code is set.
    #[must_use]
    pub fn access_key(&self) -> Option<[u8; 16]> {
        self.with_oath(|oath| oath.access_key()).flatten()
    }

    /// Sets or removes the access key as another program would have.
    pub fn set_access_key(&self, key: Option<[u8; 16]>) {
        self.with_oath(|oath| oath.set_access_key(key));
    }

    /// The 8-byte id of the OATH applet, salt of the access key; new after a RESET.
    #[must_use]
    pub fn oath_id(&self) -> [u8; 8] {
        self.with_oath(|oath| oath.id()).unwrap_or_default()
    }

    /// A human reads the next HOTP passcode in another program; the counter counts on. `None` if there is no
    /// HOTP credential of that name.
    #[must_use]
    pub fn press(&self, name: &str) -> Option<String> {
        self.with_oath(|oath| oath.press(name.as_bytes())).flatten()
    }

    /// A human reads the TOTP passcode of a time step (a number, not seconds) in another program. `None` if
    /// there is no TOTP credential of that name.
    #[must_use]
    pub fn show(&self, name: &str, time_step: u64) -> Option<String> {
        let credential = self.credential(name).filter(|credential| credential.kind == Kind::Totp)?;
        Some(credential.passcode(&credential.hmac(&time_step.to_be_bytes())))
    }

    fn with_oath<T>(&self, use_it: impl FnOnce(&mut YkOath) -> T) -> Option<T> {
        self.with_applet(use_it)
    }
}
