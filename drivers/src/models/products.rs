//! What the drivers can program, as products of a server's catalogue: codes, name and the kind of credential.
//!
//! A server adds them when it starts; whoever wants others (more digits, another time step) makes them there.
//!
//! The codes are ours; nobody else's clients name them. `YK` YubiKey, `OK` OnlyKey, `T2` Token2, `FT` Feitian, `NK`
//! Nitrokey and what is built like one.

use crate::token::{Algorithm, Kind};

/// A product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Manufacturer and product code, with a slash between them.
    pub codes: &'static str,
    /// Name.
    pub name: &'static str,
    /// The driver that programs it.
    pub driver: &'static str,
    /// HOTP or TOTP.
    pub kind: Kind,
    /// The hash under the HMAC.
    pub algorithm: Algorithm,
    /// Passcode length.
    pub digits: u8,
    /// TOTP time step in seconds; nothing to HOTP.
    pub time_step: u32,
}

const fn hotp(driver: &'static str, codes: &'static str, name: &'static str) -> Product {
    Product { codes, name, driver, kind: Kind::Hotp, algorithm: Algorithm::Sha1, digits: 6, time_step: 30 }
}

const fn totp(driver: &'static str, codes: &'static str, name: &'static str) -> Product {
    Product { kind: Kind::Totp, ..hotp(driver, codes, name) }
}

/// All of them, in an order that only grows at its end: servers number them in it.
pub const PRODUCTS: &[Product] = &[
    hotp("ykoath", "YK/HOTP", "YubiKey OATH-HOTP"),
    totp("ykoath", "YK/TOTP", "YubiKey OATH-TOTP"),
    Product { algorithm: Algorithm::Sha256, ..totp("ykoath", "YK/TOTP256", "YubiKey OATH-TOTP SHA-256") },
    totp("onlykey", "OK/TOTP", "OnlyKey TOTP"),
    totp("molto2", "T2/MOLTO2", "Token2 Molto2"),
    Product { time_step: 60, ..totp("molto2", "T2/MOLTO2-60", "Token2 Molto2, 60 s") },
    totp("token2nfc", "T2/NFC", "Token2 NFC token"),
    Product { time_step: 60, ..totp("token2nfc", "T2/NFC-60", "Token2 NFC token, 60 s") },
    hotp("ykotp", "YK/SLOT-HOTP", "YubiKey slot, HOTP typed"),
    totp("ykotp", "YK/SLOT-TOTP", "YubiKey slot, TOTP by challenge"),
    hotp("pinplus", "T2/PIN-HOTP", "Token2 PIN+ HOTP"),
    totp("pinplus", "T2/PIN-TOTP", "Token2 PIN+ TOTP"),
    hotp("feitian", "FT/HOTP", "Feitian or HyperFIDO HOTP"),
    totp("feitian", "FT/TOTP", "Feitian TOTP"),
    hotp("nk3", "NK/3-HOTP", "Nitrokey 3 HOTP"),
    totp("nk3", "NK/3-TOTP", "Nitrokey 3 TOTP"),
    hotp("nkpro", "NK/PRO-HOTP", "Nitrokey Pro HOTP"),
    totp("nkpro", "NK/PRO-TOTP", "Nitrokey Pro TOTP"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_driver_that_programs_has_a_product_and_every_product_a_driver() {
        // Nobody but its maker knows how to write a seed into it.
        let programs_nothing = ["slim"];
        let drivers: HashSet<&str> = crate::DRIVERS
            .iter()
            .map(|driver| driver.name())
            .filter(|name| !programs_nothing.contains(name))
            .collect();
        let programmed: HashSet<&str> = PRODUCTS.iter().map(|product| product.driver).collect();
        assert_eq!(programmed, drivers);
        let codes: HashSet<&str> = PRODUCTS.iter().map(|product| product.codes).collect();
        assert_eq!(codes.len(), PRODUCTS.len());
        assert!(codes.iter().all(|codes| codes.split('/').count() == 2));
    }
}
