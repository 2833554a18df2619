//! Driver for the OATH applet of `YubiKey` NEO, 4 and 5 (protocol YKOATH), of CanoKey, Solo 2 and JavaCards, over
//! contacts and NFC. `features.rs` says where they differ.
//!
//! A slot is a named credential; `name.rs` says how names are stored. Opening selects the applet and asks the
//! key's other applets for its serial, 3 exchanges (CanoKey 4, Solo 2 5). After that each call is one transaction:
//!
//! | call | exchanges, without access code |
//! |---|---|
//! | slots | SELECT, LIST, CALCULATE ALL |
//! | program | SELECT, LIST, PUT (DELETE follows if the time step of a slot changes, and precedes if a CanoKey is to write over a name) |
//! | erase | SELECT, LIST, DELETE |
//! | calculate | SELECT, CALCULATE; the first one of a slot not seen before looks it up first |
//!
//! With an access code VALIDATE follows each SELECT; Solo 2 wants both before each command. A CanoKey is emptied by
//! LIST and DELETE, for it has no RESET here. Not here: renaming, Steam's alphabet, the increasing-only property,
//! secure channels, CanoKey's HOTP on touch. The secrets app of the Nitrokey 3 has the same AID and another protocol: it is
//! told by its SELECT reply (no 8-byte id) and left to a driver of its own.

mod access;
mod calculate;
mod commands;
mod credential;
mod features;
mod identity;
mod name;
mod others;
mod session;
mod token;
mod yubikey;

use crate::error::Error;
use crate::models;
use crate::token::{Driver, Token, TokenInfo, Unattended};
use crate::transport::trace::{CommandDisclosure, Disclosure, Reveal};
use crate::transport::{Candidate, Connection};
use commands::Select;
use features::Features;
use session::visit;
use token::OathToken;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct YkoathDriver;

impl Driver for YkoathDriver {
    fn name(&self) -> &'static str {
        "ykoath"
    }

    /// Any card that the table of models does not give to another driver: an ATR tells little (NFC readers make
    /// their own), and asking a foreign card for the applet is one SELECT that it refuses.
    fn matches(&self, candidate: &Candidate) -> bool {
        matches!(candidate, Candidate::Card { .. })
            && models::kept_for(candidate, self.name()).unwrap_or(true)
    }

    /// Which application is selected and its version. In this protocol `A4` is CALCULATE ALL as well: its challenge is a
    /// time step, and its response has no version.
    fn disclosure(&self) -> Disclosure {
        const SELECT: CommandDisclosure =
            CommandDisclosure { ins: 0xA4, command: Reveal::Everything, response: Reveal::Tags(&[0x79]) };
        Disclosure { commands: &[SELECT], report: &[] }
    }

    fn open(&self, _candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let Connection::Card(mut connection) = connection else { return Ok(None) };
        let found = visit(connection.as_mut(), &Unattended, None, |applet| {
            let selected = applet.selected.clone();
            let Some(id) = selected.id else { return Ok(None) };
            let identity = identity::identify(applet.card(), selected.version)?;
            Ok(Some((selected, id, identity)))
        });
        let (selected, id, identity) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) if Select::means_absent(&error) => return Ok(None),
            // Something answered to the AID, but not in this protocol.
            Err(Error::Malformed { command: "SELECT", .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let features = Features::new(identity.family, selected.version);
        let info = TokenInfo {
            maker: identity.maker.to_owned(),
            model: identity.model,
            serial: identity.serial,
            firmware: identity.firmware.unwrap_or_else(|| selected.version.to_string()),
            locked: selected.challenge.is_some(),
            capabilities: features.capabilities(),
        };
        Ok(Some(Box::new(OathToken::new(connection, info, features, id))))
    }
}
