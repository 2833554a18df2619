//! Driver for Feitian's OTP applet: FIDO keys that are smart cards too (A9-3301, ePass FIDO), and the `HyperFIDO`, to
//! which the same commands go as U2F messages.
//!
//! Keys differ in where credentials are:
//!
//! | key | slots | time steps | calculate | known from |
//! |---|---|---|---|---|
//! | A9-3301, version 1.0.2 | numbers 1 and 2 | 30, 60 s | yes | a recording of a real one |
//! | ePass FIDO | names | 30, 60 s | yes | one published client |
//! | `HyperFIDO` | number 1, HOTP with SHA-1 only | | no, it types | one published tool |
//!
//! Cards of another version than 1.0.2 are asked for their list of names, as that client does; if they refuse the
//! question, they have slots. Names are in `name.rs`. What writes, and what calculates with touch, may wait for one;
//! some keys do not say which, so the attendant is rather told once too often.
//!
//! | call | exchanges (numbered slots) |
//! |---|---|
//! | open | SELECT |
//! | slots | SELECT, LIST per slot |
//! | program | SELECT, PUT |
//! | erase | SELECT, LIST, DELETE |
//! | calculate | SELECT, CALCULATE; the first one of a slot not seen before lists first |
//!
//! With names LIST goes before PUT. Nothing tells a serial. Not here: the access code (its commands are not public),
//! typed passwords and challenge-response, which slot is the default, swapping, the keyboard's language.

mod commands;
mod name;
mod session;
mod token;

use crate::ctaphid::CtapHid;
use crate::error::Error;
use crate::models;
use crate::token::{Addressing, Algorithm, Capabilities, Driver, Token, TokenInfo, Unattended};
use crate::transport::{Candidate, Connection};
use commands::List;
use session::{Wire, visit};
use token::FeitianToken;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeitianDriver;

impl Driver for FeitianDriver {
    fn name(&self) -> &'static str {
        "feitian"
    }

    /// Any card that the table of models does not give to another driver, since NFC readers make up their own
    /// answers to reset. HID interfaces only if they are in the table.
    fn matches(&self, candidate: &Candidate) -> bool {
        let is_card = matches!(candidate, Candidate::Card { .. });
        models::kept_for(candidate, self.name()).unwrap_or(is_card)
    }

    fn open(&self, candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let mut wire = match connection {
            Connection::Card(connection) => Wire::Card(connection),
            Connection::Hid(connection) => Wire::Hid(CtapHid::open(connection, &Unattended)?),
        };
        let is_card = matches!(wire, Wire::Card(_));
        let found = visit(&mut wire, &Unattended, |applet| {
            let selected = applet.selected();
            if !is_card {
                return Ok((selected, Layout::OneSlot));
            }
            if selected.version == Some([1, 0, 2]) {
                return Ok((selected, Layout::TwoSlots));
            }
            match applet.call(&List::<true> { p2: Layout::Names.p2(0) }) {
                Ok(_) => Ok((selected, Layout::Names)),
                Err(Error::Refused { status: 0x6700, .. }) => Ok((selected, Layout::TwoSlots)),
                Err(error) => Err(error),
            }
        });
        let (selected, layout) = match found {
            Ok(found) => found,
            Err(error) if means_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let row = models::of(candidate).find(|model| model.driver == self.name());
        let (maker, model) = row.map_or(("Feitian", "FIDO key with OTP"), |row| (row.maker, row.model));
        let serial = match candidate {
            Candidate::Hid(hid) => hid.serial.clone(),
            Candidate::Card { .. } => None,
        };
        let firmware =
            selected.version.map_or_else(|| "unknown".to_owned(), |[a, b, c]| format!("{a}.{b}.{c}"));
        let info = TokenInfo {
            maker: maker.to_owned(),
            model: model.to_owned(),
            serial,
            firmware,
            locked: false,
            capabilities: layout.capabilities(),
        };
        Ok(Some(Box::new(FeitianToken::new(wire, info, layout))))
    }
}

/// Whether this says that there is no such applet.
fn means_absent(error: &Error) -> bool {
    match error {
        Error::Refused { command: "SELECT", status, .. } => {
            matches!(status, 0x6A81 | 0x6A82 | 0x6A86 | 0x6985 | 0x6999 | 0x6700 | 0x6B00 | 0x6D00 | 0x6E00)
        }
        // Something answered to the AID, but not in this protocol.
        Error::Malformed { command: "SELECT", .. } => true,
        _ => false,
    }
}

/// Where a key keeps its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Two, by number.
    TwoSlots,
    /// Many, by name.
    Names,
    /// One, which the button types.
    OneSlot,
}

impl Layout {
    /// P2 of a place: the slot counted from 0.
    fn p2(self, slot: u8) -> u8 {
        match self {
            Self::TwoSlots | Self::OneSlot => slot,
            Self::Names => 0xF0,
        }
    }

    fn slots(self) -> u8 {
        match self {
            Self::TwoSlots => 2,
            Self::OneSlot => 1,
            Self::Names => 0,
        }
    }

    fn capabilities(self) -> Capabilities {
        let calculates = self != Self::OneSlot;
        let range = |most| 1..=most;
        Capabilities {
            algorithms: match self {
                Self::OneSlot => vec![Algorithm::Sha1],
                _ => vec![Algorithm::Sha1, Algorithm::Sha256],
            },
            digits: vec![6, 8],
            hotp: true,
            totp: calculates,
            calculate: calculates,
            hotp_by_hand: !calculates,
            touch: calculates,
            first_counter: 0,
            max_slots: (self != Self::Names).then_some(u16::from(self.slots())),
            max_secret_bytes: match self {
                Self::OneSlot => commands::HYPERFIDO_SECRET,
                // Longer ones are hashed to less.
                _ => 64,
            },
            addressing: match self {
                Self::Names => Addressing::Named,
                _ => Addressing::Numbered {
                    hotp: range(self.slots()),
                    totp: range(if calculates { self.slots() } else { 0 }),
                },
            },
            time_steps: if calculates { name::TIME_STEPS.to_vec() } else { Vec::new() },
            clock: false,
        }
    }
}
