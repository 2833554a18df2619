//! Which `YubiKey` it is: serial, firmware and model from its other applets.
//!
//! | firmware | asked | answer |
//! |---|---|---|
//! | 4.1 and later | management applet, READ CONFIG `1D` page 0 | a length, then data objects below |
//! | NEO (3.x) | OTP applet, SELECT and device serial `01` with P1 10 | 3 bytes of version; 4 bytes of serial |
//!
//! Data objects: `02` serial (4 bytes), `04` form factor (low nibble; `80` FIPS, `40` Security Key), `05`
//! firmware, `0D` NFC capabilities. A key may hide its serial; it then has none here.

use super::commands::Version;
use super::features::Family;
use super::identity::Identity;
use crate::error::Error;
use crate::iso7816::card::{Card, Select};
use crate::iso7816::{Command, Malformed, tlv};

const MANAGEMENT_AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17];
const OTP_AID: &[u8] = &[0xA0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01];

pub(super) fn from_management(card: &mut Card<'_>, applet: Version) -> Result<Identity, Error> {
    card.call(&Select { aid: MANAGEMENT_AID })?;
    let config = card.call(&ReadConfig)?;
    let enforces_fips = config.is_fips() && config.firmware >= Some(Version(5, 7, 0));
    Ok(Identity {
        maker: "Yubico",
        model: model(&config, applet),
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Config {
    serial: Option<u32>,
    form_factor: u8,
    firmware: Option<Version>,
    nfc: bool,
}

impl Config {
    fn is_fips(&self) -> bool {
        self.form_factor & 0x80 != 0
    }
}

impl Command for ReadConfig {
    const NAME: &'static str = "READ CONFIG";
    const INS: u8 = 0x1D;
    type Response = Config;

    fn decode(data: &[u8]) -> Result<Config, Malformed> {
        let (&length, body) = data.split_first().ok_or(Malformed::new("length is missing", 0))?;
        if usize::from(length) != body.len() {
            return Err(Malformed::new("length does not fit", 0));
        }
        let mut config = Config::default();
        let mut reader = tlv::Reader::new(body);
        while let Some((tag, value)) = reader.read()? {
            match tag {
                0x02 => config.serial = value.try_into().ok().map(u32::from_be_bytes),
                0x04 => config.form_factor = value.first().copied().unwrap_or_default(),
                0x05 => config.firmware = Version::parse(value),
                0x0D => config.nfc = value.iter().any(|byte| *byte != 0),
                _ => {}
            }
        }
        Ok(config)
    }
}

/// The product's name as the maker sells it.
fn model(config: &Config, applet: Version) -> String {
    // READ CONFIG tells firmware and form factor from 5.0 on; 4.4 was sold as FIPS only.
    let fips_4 = (Version(4, 4, 0)..Version(4, 5, 0)).contains(&applet);
    let fips = if config.is_fips() || fips_4 { " FIPS" } else { "" };
    match config.firmware {
        Some(version) if version >= Version(5, 0, 0) => {
            let shape = match (config.form_factor & 0x0F, config.nfc) {
                (0x01, true) => " NFC",
                (0x01, false) => "A",
                (0x02, _) => " Nano",
                (0x03, true) => "C NFC",
                (0x03, false) => "C",
                (0x04, _) => "C Nano",
                (0x05, _) => "Ci",
                (0x06, _) => return "YubiKey Bio".to_owned(),
                (0x07, _) => return "YubiKey C Bio".to_owned(),
                _ => "",
            };
            format!("YubiKey 5{shape}{fips}")
        }
        _ => format!("YubiKey 4{fips}"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: &[u8] = &[
        0x1A, 0x01, 0x02, 0x02, 0x3F, 0x02, 0x04, 0x00, 0x00, 0x30, 0x39, 0x03, 0x02, 0x02, 0x3F, 0x04, 0x01,
        0x01, 0x05, 0x03, 0x05, 0x04, 0x03, 0x0D, 0x02, 0x02, 0x3F,
    ];

    #[test]
    fn a_config_names_serial_firmware_and_model() {
        let config = ReadConfig::decode(CONFIG).unwrap();
        assert_eq!(
            config,
            Config { serial: Some(12345), form_factor: 1, firmware: Some(Version(5, 4, 3)), nfc: true }
        );
        assert_eq!(model(&config, Version(5, 4, 3)), "YubiKey 5 NFC");
    }

    #[test]
    fn models_are_called_as_they_are_sold() {
        let five =
            |form_factor, nfc| Config { form_factor, nfc, firmware: Some(Version(5, 4, 3)), serial: None };
        for (config, name) in [
            (five(0x01, false), "YubiKey 5A"),
            (five(0x02, false), "YubiKey 5 Nano"),
            (five(0x03, true), "YubiKey 5C NFC"),
            (five(0x03, false), "YubiKey 5C"),
            (five(0x04, false), "YubiKey 5C Nano"),
            (five(0x05, false), "YubiKey 5Ci"),
            (five(0x06, false), "YubiKey Bio"),
            (five(0x81, true), "YubiKey 5 NFC FIPS"),
            (five(0x00, false), "YubiKey 5"),
            (Config::default(), "YubiKey 4"),
        ] {
            assert_eq!(model(&config, config.firmware.unwrap_or(Version(4, 3, 5))), name);
        }
        assert_eq!(model(&Config::default(), Version(4, 4, 5)), "YubiKey 4 FIPS");
    }

    #[test]
    fn a_config_of_the_wrong_length_is_refused() {
        for data in [&[][..], &[0x01], &CONFIG[..CONFIG.len() - 1]] {
            assert!(ReadConfig::decode(data).is_err(), "{data:02X?}");
        }
        assert_eq!(ReadConfig::decode(&[0x00]), Ok(Config::default()));
    }

    proptest! {
        #[test]
        fn no_config_makes_the_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ReadConfig::decode(&data).map(|config| model(&config, Version(4, 4, 4)));
        }
    }
}
