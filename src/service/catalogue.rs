//! The products that come with the program: what existing clients name, and what the drivers can program.
//!
//! | codes | product | passcodes |
//! |---|---|---|
//! | DN/MT | MobileID, in an app | TOTP, 6 digits, 30 s |
//! | GG/GT | Google Authenticator, in an app | TOTP, 6 digits, 30 s |
//! | DN/ST | SafeID, time-based | TOTP, 6 digits, 60 s |
//! | DN/STE | SafeID Enterprise | TOTP, 6 digits, 30 s |
//! | YK/HOTP, YK/TOTP | YubiKey, OATH application | 6 digits, 30 s, SHA-1 |
//! | YK/TOTP256 | YubiKey, OATH application | TOTP, 6 digits, 30 s, SHA-256 |
//! | OATH/HOTP, OATH/TOTP | any token that comes in an import file | 6 digits, 30 s, SHA-1 |

use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Kind, Parameters};
use crate::otp::totp::TimeStep;
use crate::store::catalogue::NewProduct;

/// All of them.
#[must_use]
pub fn products() -> Vec<NewProduct> {
    let (hotp, totp) = (Parameters::HOTP, Parameters::TOTP);
    let minute = Parameters { kind: Kind::Totp { time_step: TimeStep::SECONDS_60 }, ..totp };
    let sha256 = Parameters { algorithm: Algorithm::Sha256, ..totp };
    let all = [
        ("DN/MT", "MobileID", totp, "", true),
        ("GG/GT", "Google Authenticator", totp, "", true),
        ("DN/ST", "SafeID/Time-Based", minute, "", false),
        ("DN/STE", "SafeID/Enterprise", totp, "", false),
        ("YK/HOTP", "YubiKey OATH-HOTP", hotp, "ykoath", false),
        ("YK/TOTP", "YubiKey OATH-TOTP", totp, "ykoath", false),
        ("YK/TOTP256", "YubiKey OATH-TOTP SHA-256", sha256, "ykoath", false),
        ("OATH/HOTP", "OATH HOTP token", hotp, "", false),
        ("OATH/TOTP", "OATH TOTP token", totp, "", false),
    ];
    all.into_iter()
        .filter_map(|(codes, name, parameters, driver, software)| {
            let (manufacturer, product) = codes.split_once('/')?;
            Some(NewProduct {
                name: name.to_owned(),
                manufacturer_code: manufacturer.to_owned(),
                product_code: product.to_owned(),
                parameters,
                driver: driver.to_owned(),
                software,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_has_a_product_and_every_product_a_driver_that_exists() {
        let products = products();
        assert_eq!(products.len(), 9);
        for driver in fobd_drivers::DRIVERS {
            assert!(products.iter().any(|product| product.driver == driver.name()), "{}", driver.name());
        }
        for product in products.iter().filter(|product| !product.driver.is_empty()) {
            assert!(fobd_drivers::DRIVERS.iter().any(|driver| driver.name() == product.driver));
        }
    }
}
