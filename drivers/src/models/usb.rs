//! Keys by their USB ids, and the interfaces that drivers need of them: for people who ask why a key cannot be reached.
//!
//! Some keys can switch interfaces off, and have another product id then. What the table of models says of HID is not
//! said again here.
//!
//! Sources: Info.plist of libccid 1.5.2; yubikey-manager, `yubikit/core/__init__.py` (product ids).

use super::{MODELS, Sight};

/// An interface that a driver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The driver.
    pub driver: &'static str,
    /// The interface.
    pub interface: Interface,
    /// What switches it on, for keys that can switch it off.
    pub switch_on: Option<&'static str>,
}

/// A kind of interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// A smart card reader in the key (USB class 0B).
    Card,
    /// A HID interface that is in the table of models.
    Hid,
}

/// `YubiKey`s, whichever of their interfaces are on: NEO, 4 and 5.
const YUBIKEYS: &[u16] = &[
    0x0110, 0x0111, 0x0112, 0x0113, 0x0114, 0x0115, 0x0116, 0x0401, 0x0402, 0x0403, 0x0404, 0x0405, 0x0406,
    0x0407,
];

/// Keys with a card interface.
const CARDS: &[(u16, &[u16], &str)] = &[
    (0x1050, YUBIKEYS, "ykoath"),
    (0x20A0, &[0x42B2], "nk3"),
    (0x20A0, &[0x42D4], "ykoath"),
    (0x1209, &[0xBEEE], "ykoath"),
    (0x349E, &[0x0300], "molto2"),
];

/// What drivers need of a key. Empty if it is none that they know.
#[must_use]
pub fn needs(vendor: u16, product: u16) -> Vec<Need> {
    let is_yubikey = vendor == 0x1050 && YUBIKEYS.contains(&product);
    let mut needs: Vec<Need> = CARDS
        .iter()
        .filter(|(known, products, _)| *known == vendor && products.contains(&product))
        .map(|&(_, _, driver)| Need {
            driver,
            interface: Interface::Card,
            switch_on: is_yubikey
                .then_some("`ykman config usb --enable OATH`; NEO and 4: `ykman config mode OTP+FIDO+CCID`"),
        })
        .collect();
    for model in MODELS {
        let Sight::Hid { vendor: known, products, .. } = model.sight else { continue };
        // With its keyboard off, a key has a product id that no row has.
        let is_this_key = products.contains(&product) || is_yubikey;
        let need = Need {
            driver: model.driver,
            interface: Interface::Hid,
            switch_on: is_yubikey
                .then_some("`ykman config usb --enable OTP`; NEO and 4: `ykman config mode OTP+FIDO+CCID`"),
        };
        if known == vendor && is_this_key && !needs.contains(&need) {
            needs.push(need);
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(vendor: u16, product: u16) -> Vec<(&'static str, Interface, bool)> {
        needs(vendor, product).iter().map(|n| (n.driver, n.interface, n.switch_on.is_some())).collect()
    }

    #[test]
    fn a_key_needs_what_its_drivers_need() {
        assert_eq!(named(0x1050, 0x0402)[0], ("ykoath", Interface::Card, true));
        assert_eq!(named(0x20A0, 0x42B2), [("nk3", Interface::Card, false), ("nk3", Interface::Hid, false)]);
        assert_eq!(named(0x20A0, 0x4108), [("nkpro", Interface::Hid, false)]);
        assert_eq!(named(0x349E, 0x0300), [("molto2", Interface::Card, false)]);
        // A security key without one-time passwords, and somebody's mouse.
        assert_eq!(named(0x1050, 0x0120), []);
        assert_eq!(named(0x046D, 0xC077), []);
    }

    #[test]
    fn every_card_key_names_a_driver() {
        for (_, _, driver) in CARDS {
            assert!(crate::DRIVERS.iter().any(|known| known.name() == *driver), "{driver}");
        }
    }
}
