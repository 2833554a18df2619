//! Driver for the OTP applet of Token2's FIDO keys (PIN+, T2F2, Bio3): over contacts, NFC, and the key's own HID
//! tunnel on its FIDO interface.
//!
//! A slot is a pair of names, application and account; `name.rs` says how that is one name. The slot `(button)` is
//! the HOTP credential that the key types when its button is touched: it can be written and erased, but not
//! calculated. Times come from the host: a TOTP slot is asked with its time step in seconds.
//!
//! | call | exchanges over a card (a HID report carries 61 bytes) |
//! |---|---|
//! | open | SELECT, READ CONFIG, READ SERIAL, and from R3.4 on READ OTP PIN FLAG |
//! | slots | SELECT, one ENUM CODES per page; READ CONFIG where there may be a button slot |
//! | program | SELECT, GET ECDH PUBKEY, WRITE SEED |
//! | erase | the same with the list before it |
//! | calculate | SELECT, ENUM CODES; the first one of a slot not seen before lists first |
//!
//! From R3.4 on there may be an **OTP PIN**. Then an agreement, VERIFY OTP PIN and at the end the lock go around each
//! call, six exchanges, and everything in between is encrypted. `pin.rs` has its rules. A code is the UTF-8 of a text.
//! Each wrong one costs an attempt; the last attempt is spent by [`Token::unlock`] only. One published client says
//! that the tunnel refuses the commands of the PIN: a key that has one is then reached as a card.
//!
//! Sources: `token2/T2TOTP_Authenticator`, token2/keyroost, go-ctap/token2 (published clients). Not here: switching
//! interfaces off, how the button types, the tunnel over feature reports that one of those clients uses; and the
//! signature that a key gives over an agreement is not checked, since its public key is nowhere.

mod commands;
mod entry;
mod frame;
mod model;
mod name;
mod pin;
mod seal;
mod session;
mod token;

use crate::error::Error;
use crate::iso7816::card::{self, GET_RESPONSE};
use crate::models;
use crate::token::{Addressing, Algorithm, Capabilities, Driver, Token, TokenInfo, Unattended};
use crate::transport::{Candidate, Connection};
use commands::{Config, ReadConfig, ReadFlag, ReadSerial, SerialPrelude};
use session::{Applet, Wire, visit};
use token::PinPlusToken;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct PinPlusDriver;

impl Driver for PinPlusDriver {
    fn name(&self) -> &'static str {
        "pinplus"
    }

    /// Any card that the table of models does not give to another driver, since NFC readers make up their own
    /// answers to reset. HID interfaces only if they are in the table.
    fn matches(&self, candidate: &Candidate) -> bool {
        let is_card = matches!(candidate, Candidate::Card { .. });
        models::kept_for(candidate, self.name()).unwrap_or(is_card)
    }

    fn open(&self, _candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let mut wire = match connection {
            Connection::Card(connection) => Wire::Card(connection),
            Connection::Hid(connection) => Wire::Hid(connection),
        };
        let told = match visit(&mut wire, &Unattended, read_identity) {
            Ok(told) => told,
            Err(error) if means_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let info = TokenInfo {
            maker: "Token2".to_owned(),
            model: told.model.map_or("FIDO key with OTP", |model| model.name).to_owned(),
            serial: told.serial,
            firmware: told
                .model
                .map(|model| model.revision.to_owned())
                .or(told.config.version.map(|[a, b, c]| format!("FIDO {a}.{b}.{c}")))
                .unwrap_or_else(|| "unknown".to_owned()),
            locked: told.pin == Some(true),
            capabilities: capabilities(told.config),
        };
        Ok(Some(Box::new(PinPlusToken::new(wire, info, told.pin.is_some(), told.config))))
    }
}

/// What is asked when a key is opened.
struct Identity {
    config: Config,
    serial: Option<String>,
    model: Option<&'static model::Model>,
    /// Whether a PIN is set; `None` if this firmware has none.
    pin: Option<bool>,
}

fn read_identity(applet: &mut Applet<'_>) -> Result<Identity, Error> {
    let config = applet.call(&ReadConfig)?;
    let serial = read_serial(applet)?;
    let model = serial.as_deref().and_then(model::of_serial);
    let pin = if model.is_some_and(|model| !model.has_pin()) {
        None
    } else {
        match applet.call(&ReadFlag::<4>) {
            Ok(flag) => Some(flag.is_set()),
            Err(Error::Refused { .. } | Error::Unsupported { .. }) => None,
            Err(error) => return Err(error),
        }
    };
    Ok(Identity { config, serial, model, pin })
}

/// Most keys tell the serial once their configuration was read. R3.1 wants one command more, and there may be keys
/// that tell it on their FIDO applet only; `None` if this one does not at all.
fn read_serial(applet: &mut Applet<'_>) -> Result<Option<String>, Error> {
    let told = |result: Result<String, Error>| match result {
        Ok(serial) => Ok(Some(serial)),
        Err(Error::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    if let Some(serial) = told(applet.call(&ReadSerial))? {
        return Ok(Some(serial));
    }
    if told(applet.call(&SerialPrelude).map(|()| String::new()))?.is_some()
        && let Some(serial) = told(applet.call(&ReadSerial))?
    {
        return Ok(Some(serial));
    }
    if !applet.is_card() {
        return Ok(None);
    }
    // Some firmware refuses this and selects it all the same.
    told(applet.call(&card::Select { aid: commands::FIDO_AID }).map(|_| String::new()))?;
    let serial = told(applet.call(&ReadSerial))?;
    applet.select()?;
    Ok(serial)
}

/// Whether this says that nothing here speaks the protocol: the statuses with which cards refuse a SELECT or a class,
/// and silence on a HID interface.
fn means_absent(error: &Error) -> bool {
    match error {
        Error::Refused { command: "SELECT" | "READ CONFIG", status, .. } => {
            matches!(status, 0x6A81 | 0x6A82 | 0x6A86 | 0x6999 | 0x6B00 | 0x6D00 | 0x6E00)
        }
        Error::Transport(error) => frame::is_silence(error),
        _ => false,
    }
}

fn capabilities(config: Config) -> Capabilities {
    Capabilities {
        algorithms: vec![Algorithm::Sha1, Algorithm::Sha256],
        digits: (4..=10).collect(),
        hotp: true,
        totp: config.totp != Some(false),
        calculate: true,
        hotp_by_hand: false,
        touch: true,
        first_counter: 0,
        max_slots: Some(50),
        // Longer ones are hashed to less.
        max_secret_bytes: 64,
        addressing: Addressing::Named,
        time_steps: Vec::new(),
        clock: false,
    }
}

/// The instruction that fetches the rest of a response.
const MORE: u8 = GET_RESPONSE;
