//! Driver for the Token2 Molto2: a USB token with a display that holds 50 (Molto2) or 100 (Molto2v2) TOTP profiles.
//!
//! A slot is a profile, numbered from 0 as the maker counts. The token shows its passcodes, or types them over its
//! keyboard; its host is never told one, nor a secret. Titles, parameters and which profiles are in use it tells
//! anybody.
//!
//! | call | exchanges |
//! |---|---|
//! | open | GET INFO, GET PROFILE (of the last one, to see which generation it is) |
//! | slots | GET PROFILE for each |
//! | program | GET CHALLENGE, ANSWER CHALLENGE, SET TITLE (if there is a label), SET CONFIG, SET SEED |
//! | erase | DELETE SEED; the title stays, no command removes it |
//! | set the clock | GET CHALLENGE, ANSWER CHALLENGE, SET CONFIG for one profile, or for each |
//!
//! The lock code is the customer key: 16 bytes of text as they are, or 32 hexadecimal digits. No key is ever tried
//! that was not given, not even the one that tokens are sold with, since the token counts wrong ones and then locks
//! itself. Changing it, and a factory reset, wait for the ▲ button: `reset` waits for it, `set_lock_code` cannot
//! see it and returns once the token asks on its screen.
//!
//! Not here: the lock of the screen (firmware 2.1), the choice of 15, 60 or 120 s until the display goes dark (it
//! is 30 s). Firmware is not told. Sources: Token2, "Molto2v2 Wire Protocol Specification"; what was seen on tokens,
//! from keyroost 0.15 (crates.io).

mod commands;
mod customer_key;
mod token;

use crate::error::Error;
use crate::models;
use crate::token::{Addressing, Algorithm, Capabilities, Driver, Token, TokenInfo, Unattended};
use crate::token2_wire::{MAX_SECRET, TIME_STEPS, visit};
use crate::transport::{Candidate, Connection};
use commands::{GetInfo, GetProfile};
use token::Molto2Token;

/// The last profile of the second generation.
const LAST_PROFILE_V2: u8 = 99;
/// The last profile of the first one.
const LAST_PROFILE_V1: u8 = 49;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Molto2Driver;

impl Driver for Molto2Driver {
    fn name(&self) -> &'static str {
        "molto2"
    }

    /// By the reader's name only. Token2's security keys are cards as well and take none of these commands, and a
    /// Molto2 is reset by a SELECT for any of their applets.
    fn matches(&self, candidate: &Candidate) -> bool {
        models::kept_for(candidate, self.name()).unwrap_or(false)
    }

    fn open(&self, _candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let Connection::Card(mut connection) = connection else { return Ok(None) };
        let found = visit(connection.as_mut(), &Unattended, |session| {
            let info = session.call(&GetInfo)?;
            let last = match session.call(&GetProfile { profile: LAST_PROFILE_V2 }) {
                Ok(_) => LAST_PROFILE_V2,
                Err(Error::Refused { .. }) => LAST_PROFILE_V1,
                Err(error) => return Err(error),
            };
            Ok((info, last))
        });
        let (info, last) = match found {
            Ok(found) => found,
            // Whatever else sits in a reader of that name.
            Err(
                Error::Refused { command: "GET INFO", .. } | Error::Malformed { command: "GET INFO", .. },
            ) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let model = if last == LAST_PROFILE_V2 { "Molto2v2" } else { "Molto2" };
        let info = TokenInfo {
            maker: "Token2".to_owned(),
            model: model.to_owned(),
            serial: Some(info.serial),
            firmware: "unknown".to_owned(),
            locked: false,
            capabilities: capabilities(last),
        };
        Ok(Some(Box::new(Molto2Token::new(connection, info, last))))
    }
}

fn capabilities(last: u8) -> Capabilities {
    Capabilities {
        algorithms: vec![Algorithm::Sha1, Algorithm::Sha256],
        digits: vec![4, 6, 8, 10],
        hotp: false,
        totp: true,
        calculate: false,
        hotp_by_hand: false,
        first_counter: 0,
        touch: false,
        max_slots: Some(u16::from(last) + 1),
        max_secret_bytes: MAX_SECRET,
        addressing: Addressing::Numbered {
            // Empty: none takes HOTP.
            hotp: std::ops::RangeInclusive::new(1, 0),
            totp: 0..=last,
        },
        time_steps: TIME_STEPS.to_vec(),
        clock: true,
    }
}
