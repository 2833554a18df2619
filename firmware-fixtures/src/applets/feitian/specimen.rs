//! A key with Feitian's applet as a [`Specimen`]. Slots are called by number, or by the name without what the maker's
//! programs put in front (`30:`) and between (`_#_`).

use super::{Feitian, Model, U2f};
use crate::card::VirtualCard;
use crate::chip::Chip;
use crate::credential::{Credential, Kind};
use crate::ctaphid::CtapHid;
use crate::hid::VirtualHid;
use crate::specimen::{Door, Specimen, Stored};

/// A key, seen through its wire.
pub enum FeitianSpecimen {
    /// In a reader.
    Card(Model, VirtualCard),
    /// On a USB port.
    Hid(VirtualHid),
}

impl FeitianSpecimen {
    /// A key of this model in a reader.
    #[must_use]
    pub fn card(model: Model) -> Self {
        Self::Card(model, model.card())
    }

    /// A `HyperFIDO`.
    #[must_use]
    pub fn hyperfido() -> Self {
        Self::Hid(Model::HYPERFIDO.hid())
    }

    /// Reaches past the protocol.
    pub fn with<T>(&self, reach: impl FnOnce(&mut Feitian) -> T) -> T {
        match self {
            Self::Card(_, card) => card.with_applet(reach),
            Self::Hid(hid) => hid
                .with_chip(|front: &mut CtapHid<U2f>| {
                    let chip: &mut Chip = &mut front.handler.0;
                    chip.applet_mut().map(reach)
                })
                .flatten(),
        }
        .unwrap_or_else(|| unreachable!("a specimen is made with its applet"))
    }

    fn goes_by_name(&self) -> bool {
        matches!(self, Self::Card(model, _) if model.names > 0)
    }
}

/// Splits the time step off a stored name.
fn time_step(credential: &Credential) -> (Option<u32>, String) {
    let name = credential.name().into_owned();
    match (credential.kind, name.get(..3)) {
        (Kind::Hotp, _) => (None, name),
        (Kind::Totp, Some("30:")) => (Some(30), name[3..].to_owned()),
        (Kind::Totp, Some("60:")) => (Some(60), name[3..].to_owned()),
        (Kind::Totp, _) => (Some(30), name),
    }
}

fn stored(credential: &Credential) -> Stored {
    Stored {
        kind: credential.kind,
        hash: credential.hash,
        digits: Some(credential.digits),
        time_step: time_step(credential).0,
        touch: credential.touch,
        ..Stored::hotp(&credential.secret, credential.counter)
    }
}

impl Specimen for FeitianSpecimen {
    fn model(&self) -> String {
        match self {
            Self::Card(model, _) => model.name.to_owned(),
            Self::Hid(_) => Model::HYPERFIDO.name.to_owned(),
        }
    }

    fn door(&self) -> Door {
        match self {
            Self::Card(_, card) => Door::Card(card.clone()),
            Self::Hid(hid) => Door::Hid(hid.clone()),
        }
    }

    fn serial(&self) -> Option<String> {
        None
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        self.with(|applet| {
            let (slots, names) = applet.credentials();
            let numbered = slots.iter().enumerate().filter_map(|(slot, credential)| {
                credential.as_ref().map(|credential| ((slot + 1).to_string(), stored(credential)))
            });
            let named = names
                .iter()
                .map(|credential| (time_step(credential).1.replace("_#_", ":"), stored(credential)));
            numbered.chain(named).collect()
        })
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let number = slot.parse::<usize>().ok().map(|number| number - 1).filter(|_| !self.goes_by_name());
        let name = if number.is_some() { "slot".to_owned() } else { slot.replacen(':', "_#_", 1) };
        let name = stored.time_step.map_or(name.clone(), |step| format!("{step}:{name}"));
        let credential = Credential {
            kind: stored.kind,
            hash: stored.hash,
            digits: stored.digits.unwrap_or(6),
            touch: stored.touch,
            ..Credential::hotp(&name, &stored.secret, stored.counter)
        };
        self.with(|applet| applet.install(number, credential));
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let number = slot.parse::<usize>().ok().map(|number| number - 1).filter(|_| !self.goes_by_name());
        self.with(|applet| {
            let names: Vec<Vec<u8>> =
                applet.credentials().1.iter().map(|credential| credential.name.clone()).collect();
            let find = |applet: &Feitian, name: &[u8]| {
                let found = applet.credentials().1.iter().find(|credential| credential.name == name);
                found.is_some_and(|credential| time_step(credential).1.replace("_#_", ":") == slot)
            };
            let name = names.into_iter().find(|name| find(applet, name)).unwrap_or_default();
            let credential = applet.credential_mut(number, &name)?;
            let mac = match time_step(credential).0 {
                None => credential.next_hmac(8),
                Some(step) => credential.hmac(&(now / u64::from(step)).to_be_bytes()),
            };
            Some(credential.passcode(&mac))
        })
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_lock_code(&self, _code: Option<&[u8]>) {}

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        None
    }
}
