//! Which `YubiKey` it is: serial, firmware and model from its other applets.
//!
//! | firmware | asked | answer |
//! |---|---|---|
//! | 4.1 and later | management applet, READ CONFIG `1D` page 0 | device info (`crate::yubikey`) |
//! | NEO (3.x) | OTP applet, SELECT and device serial `01` with P1 10 | 3 bytes of version; 4 bytes of serial |
//!
//! A key may hide its serial; it then has none here.

use super::features::Family;
use super::identity::Identity;
use crate::error::Error;
use crate::iso7816::card::{Card, Select};
use crate::iso7816::{Command, Malformed};
use crate::yubikey::{DeviceInfo, Version};

const MANAGEMENT_AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17];
const OTP_AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01];

pub(super) fn from_management(card: &mut Card<'_>, applet: Version) -> Result<Identity, Error> {
    card.call(&Select { aid: MANAGEMENT_AID })?;
    let config = card.call(&ReadConfig)?;
    let enforces_fips = config.is_fips() && config.firmware >= Some(Version(5, 7, 0));
    Ok(Identity {
        maker: "Yubico",
        model: config.model(applet),
        serial: config.serial.map(|serial| serial.to_string()),
        firmware: config.firmware.map(|version| version.to_string()),
        family: if enforces_fips { Family::YubiKeyFips } else { Family::YubiKey },
    })
}

pub(super) fn from_otp(card: &mut Card<'_>) -> Result<Identity, Error> {
    let status = card.call(&Select { aid: OTP_AID })?;
    let firmware = status.get(..3).and_then(Version::parse);
    // A key set up to hide its serial refuses here.
    let serial = match card.call(&DeviceSerial) {
        Ok(serial) => Some(serial.to_string()),
        Err(error @ Error::Transport(_)) => return Err(error),
        Err(_) => None,
    };
    Ok(Identity {
        maker: "Yubico",
        model: "YubiKey NEO".to_owned(),
        serial,
        firmware: firmware.map(|version| version.to_string()),
        family: Family::Neo,
    })
}

/// READ CONFIG, page 0.
struct ReadConfig;

impl Command for ReadConfig {
    const NAME: &'static str = "READ CONFIG";
    const INS: u8 = 0x1D;
    type Response = DeviceInfo;

    fn decode(data: &[u8]) -> Result<DeviceInfo, Malformed> {
        DeviceInfo::decode(data)
    }
}

/// Device serial of the OTP applet.
struct DeviceSerial;

impl Command for DeviceSerial {
    const NAME: &'static str = "DEVICE SERIAL";
    const INS: u8 = 0x01;
    type Response = u32;

    fn p1_p2(&self) -> (u8, u8) {
        (0x10, 0x00)
    }

    fn decode(data: &[u8]) -> Result<u32, Malformed> {
        let bytes: [u8; 4] = data.try_into().map_err(|_| Malformed::new("serial is not 4 bytes", 0))?;
        Ok(u32::from_be_bytes(bytes))
    }
}
