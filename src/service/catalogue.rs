//! The products that come with the program: what existing clients name, what comes in import files, and what the drivers
//! can program ([`fobd_drivers::models::products`]).
//!
//! | codes | product | passcodes |
//! |---|---|---|
//! | DN/MT | MobileID, in an app | TOTP, 6 digits, 30 s |
//! | GG/GT | Google Authenticator, in an app | TOTP, 6 digits, 30 s |
//! | DN/ST | SafeID, time-based | TOTP, 6 digits, 60 s |
//! | DN/STE | SafeID Enterprise | TOTP, 6 digits, 30 s |
//! | OATH/HOTP, OATH/TOTP | any token that comes in an import file | 6 digits, 30 s, SHA-1 |

use fobd_drivers::models::products::{PRODUCTS, Product};
use fobd_drivers::token as driver;

use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Kind, Parameters};
use crate::otp::passcode::Digits;
use crate::otp::totp::TimeStep;
use crate::store::catalogue::NewProduct;

/// All of them.
#[must_use]
pub fn products() -> Vec<NewProduct> {
    let (hotp, totp) = (Parameters::HOTP, Parameters::TOTP);
    let minute = Parameters { kind: Kind::Totp { time_step: TimeStep::SECONDS_60 }, ..totp };
    let others = [
        ("DN/MT", "MobileID", totp, true),
        ("GG/GT", "Google Authenticator", totp, true),
        ("DN/ST", "SafeID/Time-Based", minute, false),
        ("DN/STE", "SafeID/Enterprise", totp, false),
        ("OATH/HOTP", "OATH HOTP token", hotp, false),
        ("OATH/TOTP", "OATH TOTP token", totp, false),
    ];
    let others = others
        .into_iter()
        .filter_map(|(codes, name, parameters, software)| product(codes, name, parameters, "", software));
    others.chain(PRODUCTS.iter().filter_map(of_driver)).collect()
}

fn of_driver(made: &Product) -> Option<NewProduct> {
    let parameters = Parameters {
        kind: match made.kind {
            driver::Kind::Hotp => Kind::Hotp,
            driver::Kind::Totp => Kind::Totp { time_step: TimeStep::from_secs(made.time_step).ok()? },
        },
        algorithm: match made.algorithm {
            driver::Algorithm::Sha1 => Algorithm::Sha1,
            driver::Algorithm::Sha256 => Algorithm::Sha256,
            driver::Algorithm::Sha512 => Algorithm::Sha512,
        },
        digits: Digits::new(made.digits).ok()?,
    };
    product(made.codes, made.name, parameters, made.driver, false)
}

fn product(
    codes: &str,
    name: &str,
    parameters: Parameters,
    driver: &str,
    software: bool,
) -> Option<NewProduct> {
    let (manufacturer, product) = codes.split_once('/')?;
    Some(NewProduct {
        name: name.to_owned(),
        manufacturer_code: manufacturer.to_owned(),
        product_code: product.to_owned(),
        parameters,
        driver: driver.to_owned(),
        software,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_product_of_a_driver_is_lost_and_no_code_used_twice() {
        let products = products();
        assert_eq!(products.len(), 6 + PRODUCTS.len());
        let codes: HashSet<_> =
            products.iter().map(|product| (&product.manufacturer_code, &product.product_code)).collect();
        assert_eq!(codes.len(), products.len());
    }
}
