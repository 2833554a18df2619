//! A PIN+ key, on a card reader or a USB port, as a [`Specimen`].
//!
//! A slot is called `application:account`, or by the account alone if there is no application; what the button
//! types is in the slot `(button)`.

use super::tunnel::Tunnel;
use super::{Button, Model, PinPlus, Record, fido};
use crate::card::VirtualCard;
use crate::chip::Chip;
use crate::credential::Kind;
use crate::hid::VirtualHid;
use crate::specimen::{Door, Specimen, Stored};

/// A key, seen through one of its wires.
pub enum PinPlusSpecimen {
    /// In a reader, or with its CCID interface.
    Card(Model, VirtualCard),
    /// With its FIDO interface.
    Hid(Model, VirtualHid),
}

impl Model {
    /// A key of this model in a reader.
    #[must_use]
    pub fn card(self) -> VirtualCard {
        let chip =
            Chip::with_applets(self.face(), vec![Box::new(PinPlus::new(self)), Box::new(fido::Fido(self))]);
        VirtualCard::with_chip(chip, self.serial)
    }
}

impl PinPlusSpecimen {
    /// A key of this model in a reader.
    #[must_use]
    pub fn card(model: Model) -> Self {
        Self::Card(model, model.card())
    }

    /// A key of this model on a USB port.
    #[must_use]
    pub fn hid(model: Model) -> Self {
        Self::Hid(model, model.hid())
    }

    /// Reaches past the protocol.
    pub fn with<T>(&self, reach: impl FnOnce(&mut PinPlus) -> T) -> T {
        match self {
            Self::Card(_, card) => card.with_applet(reach),
            Self::Hid(_, hid) => hid.with_chip(|tunnel: &mut Tunnel| reach(&mut tunnel.key)),
        }
        .unwrap_or_else(|| unreachable!("a specimen is made with its key"))
    }

    fn wire(&self) -> (&Model, &'static str) {
        match self {
            Self::Card(model, _) => (model, ""),
            Self::Hid(model, _) => (model, "-hid"),
        }
    }
}

const BUTTON: &str = "(button)";

fn names(slot: &str) -> (&str, &str) {
    slot.split_once(':').unwrap_or(("", slot))
}

fn slot(record: &Record) -> String {
    let [app, account] = [&record.app, &record.account].map(|name| String::from_utf8_lossy(name));
    if app.is_empty() { account.into_owned() } else { format!("{app}:{account}") }
}

fn stored(record: &Record) -> Stored {
    Stored {
        kind: record.kind,
        hash: record.hash,
        digits: Some(record.digits),
        time_step: (record.kind == Kind::Totp).then_some(u32::from(record.step)),
        touch: record.button,
        ..Stored::hotp(&record.seed, record.counter)
    }
}

impl Specimen for PinPlusSpecimen {
    fn model(&self) -> String {
        let (model, wire) = self.wire();
        format!("{}{wire}", model.name)
    }

    fn door(&self) -> Door {
        match self {
            Self::Card(_, card) => Door::Card(card.clone()),
            Self::Hid(_, hid) => Door::Hid(hid.clone()),
        }
    }

    fn serial(&self) -> Option<String> {
        Some(self.wire().0.serial.to_owned())
    }

    fn stored(&self) -> Vec<(String, Stored)> {
        self.with(|key| {
            let button = key.button().map(|button| {
                let stored = Stored::hotp(&button.seed, button.counter);
                (BUTTON.to_owned(), Stored { digits: Some(button.digits), ..stored })
            });
            let records = key.records().iter().map(|record| (slot(record), stored(record)));
            records.chain(button).collect()
        })
    }

    fn install(&self, slot: &str, stored: &Stored) {
        let digits = stored.digits.unwrap_or(6);
        let (app, account) = names(slot);
        let record = Record {
            kind: stored.kind,
            hash: stored.hash,
            step: stored.time_step.and_then(|step| u16::try_from(step).ok()).unwrap_or(0),
            digits,
            button: stored.touch,
            ..Record::hotp(app, account, &stored.secret, stored.counter)
        };
        self.with(|key| match slot {
            BUTTON => {
                let button = Button { digits, seed: stored.secret.clone(), counter: stored.counter };
                key.set_button(Some(button));
            }
            _ => key.install(record),
        });
    }

    fn read_off(&self, slot: &str, now: u64) -> Option<String> {
        let (app, account) = names(slot);
        self.with(|key| match slot {
            BUTTON => key.press(),
            _ => key.read_off(app.as_bytes(), account.as_bytes(), now),
        })
    }

    fn lock_code(&self) -> Option<Vec<u8>> {
        self.with(|key| key.pin().map(|(text, _)| text.to_vec()))
    }

    fn set_lock_code(&self, code: Option<&[u8]>) {
        self.with(|key| key.set_pin(code.map(|code| (code, 100))));
    }

    fn spare_lock_code(&self) -> Option<Vec<u8>> {
        let known = match self {
            Self::Card(model, _) => model.pin,
            Self::Hid(model, _) => model.pin && model.pin_over_hid,
        };
        let other = self.lock_code().is_some_and(|code| code == b"1357924");
        known.then(|| if other { b"Correct horse".to_vec() } else { b"1357924".to_vec() })
    }
}
