//! Which token carries the applet: maker, model, serial and firmware from its other applets.
//!
//! | version of the OATH applet | asked | and if that is absent |
//! |---|---|---|
//! | 4.0 and later | Yubico's management applet (`yubikey.rs`) | for 6.0.0 CanoKey's, for 4.4.4 Solo 2's (`others.rs`) |
//! | before | the OTP applet of the NEO | it is another JavaCard, which says no more |
//!
//! Versions repeat between makers (a `YubiKey` 4 FIPS says 4.4.4 as well), so Yubico is always asked first. A token
//! that refuses to tell its serial has none here.

use super::commands::Select;
use super::features::Family;
use super::{others, yubikey};
use crate::error::Error;
use crate::iso7816::card::{Card, GET_RESPONSE};
use crate::yubikey::Version;

/// What a token tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) maker: &'static str,
    pub(super) model: String,
    pub(super) serial: Option<String>,
    /// Firmware, where it has another version than the applet.
    pub(super) firmware: Option<String>,
    pub(super) family: Family,
}

impl Identity {
    /// An OATH applet on a card that does not say whose it is.
    fn unknown(family: Family) -> Self {
        Self { maker: "unknown", model: "OATH applet".to_owned(), serial: None, firmware: None, family }
    }
}

/// Asks the card who it is. `applet` is the version of its OATH applet, which is deselected by this.
///
/// # Errors
/// [`Error::Transport`] only: a card that refuses to answer, or answers nonsense, stays anonymous.
pub(super) fn identify(card: &mut Card<'_>, applet: Version) -> Result<Identity, Error> {
    card.fetch_with(GET_RESPONSE);
    let first = if applet >= Version(4, 0, 0) {
        yubikey::from_management(card, applet)
    } else {
        yubikey::from_otp(card)
    };
    let absent = matches!(&first, Err(error) if Select::means_absent(error));
    let (identity, family) = match applet {
        _ if !absent => (first, Family::Unknown),
        Version(6, 0, 0) => (others::from_canokey(card), Family::CanoKey),
        Version(4, 4, 4) => (others::from_solo(card), Family::Solo),
        Version(0, 1, 2) => return Ok(others::vivokey()),
        version if version < Version(4, 0, 0) => return Ok(Identity::unknown(Family::JavaCard)),
        _ => return Ok(Identity::unknown(Family::Unknown)),
    };
    match identity {
        Err(error @ Error::Transport(_)) => Err(error),
        Err(_) => Ok(Identity::unknown(family)),
        Ok(identity) => Ok(identity),
    }
}
