//! What every `YubiKey` tells of itself, whichever application is asked: version and device info.
//!
//! Device info is one byte of length and then data objects: `02` serial (4 bytes), `04` form factor (low nibble; `80`
//! FIPS, `40` Security Key), `05` firmware, `0D` NFC capabilities, `10` another page follows (from 5.7). It exists
//! from 4.1 on, form factor and firmware in it from 5.0 on. Source: yubikey-manager, `yubikit/management.py`.

use std::fmt;

use crate::iso7816::{Malformed, tlv};

/// Version of a firmware, or of an applet that counts its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl Version {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [major, minor, patch] => Some(Self(major, minor, patch)),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Device info, as far as anybody here wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceInfo {
    pub(crate) serial: Option<u32>,
    pub(crate) form_factor: u8,
    pub(crate) firmware: Option<Version>,
    pub(crate) nfc: bool,
    /// Whether another page follows.
    pub(crate) more: bool,
}

impl DeviceInfo {
    /// Reads one page.
    pub(crate) fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let (&length, body) = data.split_first().ok_or(Malformed::new("length is missing", 0))?;
        if usize::from(length) != body.len() {
            return Err(Malformed::new("length does not fit", 0));
        }
        let mut info = Self::default();
        let mut reader = tlv::Reader::new(body);
        while let Some((tag, value)) = reader.read()? {
            match tag {
                0x02 => info.serial = value.try_into().ok().map(u32::from_be_bytes),
                0x04 => info.form_factor = value.first().copied().unwrap_or_default(),
                0x05 => info.firmware = Version::parse(value),
                0x0D => info.nfc = value.iter().any(|byte| *byte != 0),
                0x10 => info.more = value.iter().any(|byte| *byte != 0),
                _ => {}
            }
        }
        Ok(info)
    }

    /// Adds what a later page tells.
    pub(crate) fn join(self, page: Self) -> Self {
        Self {
            serial: self.serial.or(page.serial),
            form_factor: if self.form_factor == 0 { page.form_factor } else { self.form_factor },
            firmware: self.firmware.or(page.firmware),
            nfc: self.nfc || page.nfc,
            more: page.more,
        }
    }

    /// Whether it was sold as FIPS.
    pub(crate) fn is_fips(&self) -> bool {
        self.form_factor & 0x80 != 0
    }

    /// The product's name as the maker sells it. `version` is that of the firmware, told otherwise.
    pub(crate) fn model(&self, version: Version) -> String {
        // Device info tells firmware and form factor from 5.0 on; 4.4 was sold as FIPS only.
        let fips_4 = (Version(4, 4, 0)..Version(4, 5, 0)).contains(&version);
        let fips = if self.is_fips() || fips_4 { " FIPS" } else { "" };
        match self.firmware {
            Some(version) if version >= Version(5, 0, 0) => {
                let shape = match (self.form_factor & 0x0F, self.nfc) {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONFIG: &[u8] = &[
        0x1A, 0x01, 0x02, 0x02, 0x3F, 0x02, 0x04, 0x00, 0x00, 0x30, 0x39, 0x03, 0x02, 0x02, 0x3F, 0x04, 0x01,
        0x01, 0x05, 0x03, 0x05, 0x04, 0x03, 0x0D, 0x02, 0x02, 0x3F,
    ];

    /// As a real key with firmware 5.4.3 told it over HID, without its CRC.
    const RECORDED: &[u8] = &[
        0x2E, 0x01, 0x02, 0x03, 0x3F, 0x03, 0x02, 0x03, 0x3F, 0x02, 0x04, 0x01, 0x11, 0xC1, 0xCD, 0x04, 0x01,
        0x01, 0x05, 0x03, 0x05, 0x04, 0x03, 0x06, 0x02, 0x00, 0x00, 0x07, 0x01, 0x0F, 0x08, 0x01, 0x00, 0x0D,
        0x02, 0x03, 0x3F, 0x0E, 0x02, 0x03, 0x3F, 0x0A, 0x01, 0x00, 0x0F, 0x01, 0x00,
    ];

    #[test]
    fn device_info_names_serial_firmware_and_model() {
        for (page, serial) in [(CONFIG, 12345), (RECORDED, 17_940_941)] {
            let info = DeviceInfo::decode(page).unwrap();
            let expected = DeviceInfo {
                serial: Some(serial),
                form_factor: 1,
                firmware: Some(Version(5, 4, 3)),
                nfc: true,
                more: false,
            };
            assert_eq!(info, expected);
            assert_eq!(info.model(Version(5, 4, 3)), "YubiKey 5 NFC");
        }
    }

    #[test]
    fn a_second_page_adds_what_the_first_left_out() {
        let first = DeviceInfo::decode(&[0x06, 0x10, 0x01, 0x01, 0x04, 0x01, 0x03]).unwrap();
        assert!(first.more);
        let second = DeviceInfo::decode(&[0x06, 0x02, 0x04, 0x00, 0x00, 0x30, 0x39]).unwrap();
        let expected = DeviceInfo { serial: Some(12345), form_factor: 3, ..DeviceInfo::default() };
        assert_eq!(first.join(second), expected);
    }

    #[test]
    fn models_are_called_as_they_are_sold() {
        let five = |form_factor, nfc| DeviceInfo {
            form_factor,
            nfc,
            firmware: Some(Version(5, 4, 3)),
            ..DeviceInfo::default()
        };
        for (info, name) in [
            (five(0x01, false), "YubiKey 5A"),
            (five(0x02, false), "YubiKey 5 Nano"),
            (five(0x03, true), "YubiKey 5C NFC"),
            (five(0x03, false), "YubiKey 5C"),
            (five(0x04, false), "YubiKey 5C Nano"),
            (five(0x05, false), "YubiKey 5Ci"),
            (five(0x06, false), "YubiKey Bio"),
            (five(0x81, true), "YubiKey 5 NFC FIPS"),
            (five(0x00, false), "YubiKey 5"),
            (DeviceInfo::default(), "YubiKey 4"),
        ] {
            assert_eq!(info.model(info.firmware.unwrap_or(Version(4, 3, 5))), name);
        }
        assert_eq!(DeviceInfo::default().model(Version(4, 4, 5)), "YubiKey 4 FIPS");
    }

    #[test]
    fn device_info_of_the_wrong_length_is_refused() {
        for data in [&[][..], &[0x01], &CONFIG[..CONFIG.len() - 1]] {
            assert!(DeviceInfo::decode(data).is_err(), "{data:02X?}");
        }
        assert_eq!(DeviceInfo::decode(&[0x00]), Ok(DeviceInfo::default()));
    }

    proptest! {
        #[test]
        fn no_device_info_makes_the_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = DeviceInfo::decode(&data).map(|info| info.model(Version(4, 4, 4)));
        }
    }
}
