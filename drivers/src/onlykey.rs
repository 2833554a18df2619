//! Driver for OnlyKey: TOTP in numbered slots, typed by the token when one of its buttons is pressed.
//!
//! Reports of 64 bytes (`frame.rs`). Slots are numbered as its makers' client counts them: 1 to 6 are `1a` to `6a`, 7
//! to 12 `1b` to `6b`; an OnlyKey Duo has 24. They are those of the profile whose PIN was entered.
//!
//! | call | reports |
//! |---|---|
//! | open, slots | 1 out (labels), 12 or 24 in |
//! | program | connect with the time, TOTP key, label: 3 out, 3 in |
//! | erase | empty TOTP key, no second factor, no label: 3 out, 3 in |
//! | `set_clock` | connect: 1 out, 1 in |
//!
//! **What it cannot tell.** Only labels can be read, so a slot counts as in use if it has one, and one that is
//! programmed without gets `TOTP`. It computes for nobody but its own button. Its PIN is entered there too; a host can
//! neither unlock nor reset it, and this driver never sends what wipes a slot, for that takes the owner's passwords
//! along: erasing takes away the key, the second factor and the label alone. Locked, it does not even tell how many
//! slots it has (12 are assumed), and its firmware is unknown until it was told the time.
//!
//! **Its clock** is set by the first connect after it was plugged in, and by none after that; it does not say which. So
//! a driver that has no time to tell must not connect, and opening asks for the labels instead. Until then it types
//! `NOTSET`. In config mode it takes no time at all.
//!
//! Only SHA-1, 6 digits and 30 s. Not here: Yubico OTP, HMAC challenges, passwords, keys, backup. Source:
//! trustcrypto/python-onlykey and trustcrypto/libraries, `onlykey/okcore.cpp`.

mod frame;
mod link;
mod token;

use crate::error::Error;
use crate::models;
use crate::token::{Driver, Token};
use crate::transport::{Candidate, Connection};
use frame::Said;
use link::{Asked, Link};
use token::OnlyKeyToken;

/// The driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnlyKeyDriver;

/// What newer hardware has for a USB serial, every one of them.
const NO_SERIAL: &str = "1000000000";

/// Usage page of the interface that is the OnlyKey's own; the other one is shared with FIDO.
const OWN_PAGE: u16 = 0xFFAB;

impl Driver for OnlyKeyDriver {
    fn name(&self) -> &'static str {
        "onlykey"
    }

    /// One of its two raw HID interfaces, as its makers' client chooses it: its own on newer hardware, the one shared
    /// with FIDO on the first.
    fn matches(&self, candidate: &Candidate) -> bool {
        let Candidate::Hid(hid) = candidate else { return false };
        let is_newer = hid.serial.as_deref() == Some(NO_SERIAL);
        models::kept_for(candidate, self.name()) == Some(true) && is_newer == (hid.usage_page == OWN_PAGE)
    }

    fn open(&self, candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let (Connection::Hid(connection), Candidate::Hid(hid)) = (connection, candidate) else {
            return Ok(None);
        };
        let mut link = Link::new(connection);
        let asked = link.labels(None)?;
        if matches!(asked, Asked::Otherwise(Said::Other)) {
            return Ok(None);
        }
        let serial = hid.serial.clone().filter(|serial| serial != NO_SERIAL && !serial.is_empty());
        Ok(Some(Box::new(OnlyKeyToken::new(link, serial, asked))))
    }
}
