//! Driver for the single-profile programmable TOTP cards and fobs of Token2 (OTPC-P1, OTPC-P2, miniOTP-2,
//! miniOTP-3, C301, C302), over NFC. They have to be switched on while they lie on the reader.
//!
//! There is one slot, 0. It shows six digits on a display of its own; its host is never told a passcode, nor a
//! secret, nor whether there is one: `calculate` and `slots` are not supported.
//!
//! | call | exchanges |
//! |---|---|
//! | open | GET INFO |
//! | program | GET CHALLENGE, ANSWER CHALLENGE, SET CONFIG, SET SEED |
//! | erase | GET INFO, GET CHALLENGE, ANSWER CHALLENGE, SET CONFIG |
//! | set the clock | GET CHALLENGE, ANSWER CHALLENGE, SET CONFIG |
//!
//! One key is in all these tokens, and published: there is no lock code, and whoever listens beside the reader knows
//! the secret that is written. What is refused before the first exchange, because it cannot be taken back:
//! - writing to a model that is not in the table below. The maker warns that these commands damage others;
//! - setting the clock of a model that forgets its secret with that;
//! - answering a second challenge after a wrong answer, since tokens made before 2025 lock themselves for good.
//!
//! Not here: Protectimus Slim NFC and Deepnet `SafeID`, whose commands for writing are not public; Molto-1. Sources:
//! token2/openT2OTP (the maker's firmware); `token2/t2nfc_burner`, `Token2Protocol.kt`, for the models.

mod commands;
mod token;

use crate::error::Error;
use crate::models;
use crate::token::{Addressing, Algorithm, Capabilities, Driver, Token, TokenInfo, Unattended};
use crate::token2_wire::{MAX_SECRET, TIME_STEPS, visit};
use crate::transport::{Candidate, Connection};
use commands::GetInfo;
use token::SingleProfileToken;

/// One model, as its serials begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Product {
    prefix: &'static str,
    model: &'static str,
    /// Whether the secret survives a new configuration, which is how the clock is set.
    keeps_secret: bool,
}

const fn product(prefix: &'static str, model: &'static str, keeps_secret: bool) -> Product {
    Product { prefix, model, keeps_secret }
}

/// What the maker's own programs write to.
const PRODUCTS: [Product; 8] = [
    product("8659612", "OTPC-P1-i", true),
    product("8659622", "OTPC-P2-i", false),
    product("8659621", "OTPC-P2-i-NB", false),
    product("8659600", "miniOTP-2-i", true),
    product("8659601", "miniOTP-3-i", false),
    product("8659609", "miniOTP-3-i-NB", false),
    product("8659610", "C301-i", false),
    product("8659632", "C302-i", true),
];

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Token2NfcDriver;

impl Driver for Token2NfcDriver {
    fn name(&self) -> &'static str {
        "token2nfc"
    }

    /// Any card in a field that the table of models gives to nobody else: nothing in the answer to reset tells these
    /// tokens. Asking is one command that other cards refuse.
    fn matches(&self, candidate: &Candidate) -> bool {
        let Candidate::Card { atr, .. } = candidate else { return false };
        models::kept_for(candidate, self.name()).unwrap_or_else(|| models::is_contactless(atr))
    }

    fn open(&self, _candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let Connection::Card(mut connection) = connection else { return Ok(None) };
        let info = match visit(connection.as_mut(), &Unattended, |session| session.call(&GetInfo)) {
            Ok(info) => info,
            Err(Error::Refused { .. } | Error::Malformed { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let product = PRODUCTS.iter().find(|product| info.serial.starts_with(product.prefix));
        let info = TokenInfo {
            maker: "Token2".to_owned(),
            model: product.map_or("unknown model", |product| product.model).to_owned(),
            serial: Some(info.serial),
            firmware: "unknown".to_owned(),
            locked: false,
            capabilities: capabilities(product.is_some()),
        };
        Ok(Some(Box::new(SingleProfileToken::new(connection, info, product))))
    }
}

/// A model that is not known can do nothing.
fn capabilities(known: bool) -> Capabilities {
    Capabilities {
        algorithms: if known { vec![Algorithm::Sha1, Algorithm::Sha256] } else { Vec::new() },
        digits: if known { vec![commands::DIGITS] } else { Vec::new() },
        hotp: false,
        totp: known,
        calculate: false,
        hotp_by_hand: false,
        first_counter: 0,
        touch: false,
        max_slots: Some(1),
        max_secret_bytes: MAX_SECRET,
        addressing: Addressing::Numbered {
            // Empty: it takes no HOTP.
            hotp: std::ops::RangeInclusive::new(1, 0),
            totp: 0..=0,
        },
        time_steps: TIME_STEPS.to_vec(),
        clock: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(reader: &str, atr: &[u8]) -> Candidate {
        Candidate::Card { reader: reader.to_owned(), atr: atr.to_vec(), insertion: 1 }
    }

    #[test]
    fn only_cards_in_a_field_that_are_nobody_elses_are_asked() {
        let nfc = "ACS ACR1252 Dual Reader 00 00";
        for (reader, atr, expected) in [
            (nfc, &[0x3B, 0x80, 0x80, 0x01, 0x01][..], true),
            (nfc, &[0x3B, 0x84, 0x80, 0x01, 1, 2, 3, 4, 0x01], true),
            (nfc, &[0x3B, 0xF8, 0x13, 0x00, 0x00], false),
            (nfc, &[], false),
            ("TOKEN2 Molto2 [CCID Interface] 00 00", &[0x3B, 0x80, 0x80, 0x01, 0x01], false),
            ("Yubico YubiKey CCID 00 00", &[0x3B, 0x80, 0x80, 0x01, 0x01], false),
        ] {
            assert_eq!(Token2NfcDriver.matches(&candidate(reader, atr)), expected, "{reader} {atr:02X?}");
        }
    }
}
