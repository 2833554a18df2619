//! Driver for the secrets app of the Nitrokey 3, over CCID and over CTAPHID (vendor command 70).
//!
//! A slot is a named entry of kind HOTP or TOTP. Entries of other kinds (reverse HOTP, challenge-response, passwords)
//! are neither listed nor overwritten nor erased, except by `reset`. The key keeps no time step: its host has the clock
//! and says which step, and Nitrokey's own programs assume 30 s.
//!
//! | call | exchanges (over CCID after a SELECT) |
//! |---|---|
//! | slots | LIST |
//! | program | PUT; over a slot in use PUT (refused), LIST, DELETE, PUT |
//! | erase | LIST, DELETE |
//! | calculate | CALCULATE; the first one of a slot not seen before looks it up first |
//!
//! **Touch.** DELETE, RESET and everything about the PIN want one, and so do PUT and CALCULATE for an entry that asks
//! for it. CTAPHID keep-alives do not come, so whoever waits is told beforehand.
//!
//! **PIN.** It is a text of 1 to 127 bytes that locks nothing by itself: it encrypts the entries that were written so,
//! and those are not there for whoever does not give it. `unlock` proves it (one touch, one of 8 attempts if it is
//! wrong) and lists them; each later use of one presents it again. An entry keeps its encryption when it is
//! overwritten; new entries have none.
//!
//! **Replacing.** From version 4.13 PUT overwrites nothing, so DELETE goes first. It is sent once PUT has been refused
//! for no other reason than the name, and PUT follows at once: only a loss of power in between, or nobody to give an
//! entry with touch its second touch, leaves the slot empty. That is reported as unknown.
//!
//! Source: Nitrokey/trussed-secrets-app (docs/ctaphid.md and src), trussed-dev/apdu-dispatch, nitrokey-sdk-py.

mod commands;
mod credential;
mod entry;
mod features;
mod program;
mod token;
mod wire;

use crate::ctaphid::CtapHid;
use crate::error::Error;
use crate::models;
use crate::token::{Driver, Token, TokenInfo, Unattended};
use crate::transport::{Candidate, Connection};
use commands::Select;
use features::Features;
use token::SecretsToken;
use wire::{Wire, visit};

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nk3Driver;

impl Driver for Nk3Driver {
    fn name(&self) -> &'static str {
        "nk3"
    }

    /// Besides what the table of models knows, any card that no row claims: an NFC reader may have made up the answer
    /// to reset, and the reply to SELECT tells this app from the others with its AID.
    fn matches(&self, candidate: &Candidate) -> bool {
        let kept = models::kept_for(candidate, self.name());
        kept.unwrap_or(matches!(candidate, Candidate::Card { .. }))
    }

    fn open(&self, candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let mut wire = match connection {
            Connection::Card(connection) => Wire::Card(connection),
            Connection::Hid(connection) => Wire::Hid(CtapHid::open(connection, &Unattended)?),
        };
        let selected = match visit(&mut wire, &Unattended, true, |_, selected| Ok(selected)) {
            Ok(Some(selected)) => selected,
            Ok(None) => return Ok(None),
            Err(error) if Select::means_absent(&error) => return Ok(None),
            // Something answered to the AID, but not in this protocol.
            Err(Error::Malformed { command: "SELECT", .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The table knows a Nitrokey by sight; other cards have to tell what no YubiKey does.
        if models::kept_for(candidate, self.name()) != Some(true) && !selected.is_nitrokey() {
            return Ok(None);
        }
        let features = Features::of(selected.version)?;
        let info = TokenInfo {
            maker: "Nitrokey".to_owned(),
            model: "Nitrokey 3".to_owned(),
            serial: selected.serial.map(|serial| format!("{:08x}", u32::from_be_bytes(serial))),
            firmware: selected.version.to_string(),
            locked: false,
            capabilities: features.capabilities(),
        };
        Ok(Some(Box::new(SecretsToken::new(wire, info, features, selected.pin))))
    }
}
