//! Which device is emulated, as data: what it is called, what it can hold, and where it differs.
//!
//! An applet asks its [`Firmware`] instead of comparing versions, so all differences are in the table below.
//! Tests make their own device with struct update: `Firmware { chunk: 16, ..Firmware::YUBIKEY_5_4_3 }`.
//! ATRs are from the public list of pcsc-tools, reader names from libccid's table. Where no document and no
//! recording says what the device answers, the field says "assumed".

use crate::card::Face;
use crate::status::Status;
pub use quirks::{DeleteMissing, Maker, Quirks, ResetRule};

mod makers;
mod quirks;

/// Model, limits and peculiarities of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Name for command lines, for example `yubikey-5.4.3`.
    pub model: &'static str,
    /// Who made it, and by which applet it says so.
    pub maker: Maker,
    /// Firmware version as the maker's own applet tells it. Where none does, that of the OATH applet.
    pub version: [u8; 3],
    /// Version that the OATH applet tells. On a NEO the applet counts its own.
    pub oath_version: [u8; 3],
    /// Answer to reset.
    pub atr: &'static [u8],
    /// Reader name as libccid makes it, without the numbers that pcscd appends.
    pub reader: &'static str,
    /// Whether it lies in the field of an NFC reader instead of being plugged in.
    pub contactless: bool,
    /// How much the OATH applet holds.
    pub capacity: Capacity,
    /// Bytes of a response that go out at once; what is longer is chained with 61xx. The size is assumed.
    pub chunk: usize,
    /// Whether extended Lc and Le are understood.
    pub extended_length: bool,
    /// Whether SHA-512 is computed (YubiKey: from 4.3.1).
    pub sha512: bool,
    /// Whether a credential can demand a touch (YubiKey: from 4.2.6, as ykman gates it).
    pub touch: bool,
    /// Whether RENAME exists (YubiKey: from 5.3.1, as ykman gates it).
    pub rename: bool,
    /// Shortest secret that is taken. Yubico documents 14 bytes; the NEO's published source has no limit.
    pub secret_min: usize,
    /// Whether SET CODE locks the applet until the next SELECT and VALIDATE. So the published applet of the NEO;
    /// that later keys stay unlocked follows from yubikey-manager, which renews the session only below version 3.
    pub set_code_locks: bool,
    /// Status for P1-P2 that a command does not know. 6B00 on the NEO; assumed elsewhere.
    pub wrong_parameters: Status,
    /// What READ CONFIG tells, or `None` where it does not exist (before 4.1).
    pub config: Option<DeviceConfig>,
    /// Whether the OTP applet is on the card interface. The YubiKey 5 has it over NFC only.
    pub otp_applet: bool,
    /// What the OTP applet appends to its status when it is selected (before the YubiKey 5).
    pub otp_mode: Option<[u8; 4]>,
    /// Where its OATH applet differs from that of a YubiKey 5.
    pub quirks: Quirks,
}

/// How much fits into the OATH applet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// So many credentials.
    Credentials(usize),
    /// So many bytes, where a credential takes the length of its name and nine more.
    ListBytes(usize),
}

impl Capacity {
    /// Whether credentials with names of these lengths fit together.
    pub(crate) fn holds(self, names: impl Iterator<Item = usize>) -> bool {
        match self {
            Self::Credentials(most) => names.count() <= most,
            Self::ListBytes(most) => names.map(|name| name + 9).sum::<usize>() <= most,
        }
    }
}

/// What the management applet tells in READ CONFIG besides serial and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Capability bits over USB: 01 OTP, 02 U2F, 08 `OpenPGP`, 10 PIV, 20 OATH, 100 HSMAUTH, 200 FIDO2.
    pub usb: u16,
    /// The same over NFC, if it has NFC.
    pub nfc: Option<u16>,
    /// 1 USB-A keychain, 2 USB-A nano, 3 USB-C keychain, and so on; absent before the YubiKey 5.
    pub form_factor: Option<u8>,
    /// Whether a second page follows (from 5.7).
    pub second_page: bool,
}

impl Firmware {
    /// YubiKey 5 NFC with firmware 5.4.3, plugged in.
    pub const YUBIKEY_5_4_3: Self = Self {
        model: "yubikey-5.4.3",
        maker: Maker::Yubico,
        version: [5, 4, 3],
        oath_version: [5, 4, 3],
        atr: &[
            0x3B, 0xFD, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x15, 0x80, 0x73, 0xC0, 0x21, 0xC0, 0x57, 0x59,
            0x75, 0x62, 0x69, 0x4B, 0x65, 0x79, 0x40,
        ],
        reader: "Yubico YubiKey OTP+FIDO+CCID",
        contactless: false,
        capacity: Capacity::Credentials(32),
        chunk: 254,
        extended_length: true,
        sha512: true,
        touch: true,
        rename: true,
        secret_min: 14,
        set_code_locks: false,
        wrong_parameters: Status::WRONG_PARAMETERS,
        config: Some(DeviceConfig {
            usb: 0x033B,
            nfc: Some(0x033B),
            form_factor: Some(1),
            second_page: false,
        }),
        otp_applet: false,
        otp_mode: None,
        quirks: Quirks::NONE,
    };

    /// The same key on an NFC reader.
    pub const YUBIKEY_5_4_3_NFC: Self = Self {
        model: "yubikey-5.4.3-nfc",
        atr: &[
            0x3B, 0x8D, 0x80, 0x01, 0x80, 0x73, 0xC0, 0x21, 0xC0, 0x57, 0x59, 0x75, 0x62, 0x69, 0x4B, 0x65,
            0x79, 0xF9,
        ],
        reader: "ACS ACR1252 Dual Reader",
        contactless: true,
        otp_applet: true,
        ..Self::YUBIKEY_5_4_3
    };

    /// YubiKey 5 NFC with firmware 5.7.1: twice the room, and a second page of READ CONFIG.
    pub const YUBIKEY_5_7_1: Self = Self {
        model: "yubikey-5.7.1",
        version: [5, 7, 1],
        oath_version: [5, 7, 1],
        capacity: Capacity::Credentials(64),
        config: Some(DeviceConfig {
            usb: 0x033B,
            nfc: Some(0x033B),
            form_factor: Some(1),
            second_page: true,
        }),
        ..Self::YUBIKEY_5_4_3
    };

    /// YubiKey 4 with firmware 4.3.5: no RENAME, no form factor.
    pub const YUBIKEY_4_3_5: Self = Self {
        model: "yubikey-4.3.5",
        version: [4, 3, 5],
        oath_version: [4, 3, 5],
        atr: &[
            0x3B, 0xF8, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x15, 0x59, 0x75, 0x62, 0x69, 0x6B, 0x65, 0x79,
            0x34, 0xD4,
        ],
        rename: false,
        config: Some(DeviceConfig { usb: 0x003B, nfc: None, form_factor: None, second_page: false }),
        otp_applet: true,
        otp_mode: Some([0x06, 0x0F, 0x00, 0x00]),
        ..Self::YUBIKEY_5_4_3
    };

    /// YubiKey NEO with firmware 3.4.9 and version 1.0.2 of the published OATH applet: short APDUs only, no
    /// SHA-512, no touch, no READ CONFIG.
    pub const YUBIKEY_NEO_3_4_9: Self = Self {
        model: "yubikey-neo-3.4.9",
        maker: Maker::Yubico,
        version: [3, 4, 9],
        oath_version: [1, 0, 2],
        atr: &[
            0x3B, 0xFC, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x15, 0x59, 0x75, 0x62, 0x69, 0x6B, 0x65, 0x79,
            0x4E, 0x45, 0x4F, 0x72, 0x33, 0xE1,
        ],
        reader: "Yubico Yubikey NEO OTP+CCID",
        contactless: false,
        capacity: Capacity::ListBytes(2048),
        chunk: 254,
        extended_length: false,
        sha512: false,
        touch: false,
        rename: false,
        secret_min: 1,
        set_code_locks: true,
        wrong_parameters: Status::WRONG_PARAMETERS,
        config: None,
        otp_applet: true,
        otp_mode: Some([0x02, 0x0F, 0x00, 0x00]),
        quirks: Quirks { reads_past_the_end: true, ..Quirks::NONE },
    };

    /// Every device there is.
    pub const ALL: [Self; 10] = [
        Self::YUBIKEY_5_4_3,
        Self::YUBIKEY_5_4_3_NFC,
        Self::YUBIKEY_5_7_1,
        Self::YUBIKEY_5_7_4_FIPS,
        Self::YUBIKEY_4_3_5,
        Self::YUBIKEY_4_4_5_FIPS,
        Self::YUBIKEY_NEO_3_4_9,
        Self::CANOKEY,
        Self::SOLO_2,
        Self::VIVOKEY,
    ];

    /// What a reader sees of it.
    #[must_use]
    pub const fn face(&self) -> Face {
        Face {
            model: self.model,
            atr: self.atr,
            reader: self.reader,
            contactless: self.contactless,
            chunk: self.chunk,
            extended_length: self.extended_length,
        }
    }

    /// Looks a device up by [`Firmware::model`].
    #[must_use]
    pub fn named(model: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|firmware| firmware.model == model)
    }

    /// The firmware version as text, for example `5.4.3`.
    #[must_use]
    pub fn version_text(&self) -> String {
        let [major, minor, patch] = self.version;
        format!("{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contact_atr_has_a_right_check_byte() {
        for firmware in Firmware::ALL {
            // TCK: the exclusive or of all bytes from T0 on is zero (ISO/IEC 7816-3 §8.2.5).
            assert_eq!(firmware.atr[1..].iter().fold(0, |sum, byte| sum ^ byte), 0, "{}", firmware.model);
        }
    }

    #[test]
    fn every_model_is_found_by_its_name() {
        for firmware in Firmware::ALL {
            assert_eq!(Firmware::named(firmware.model), Some(firmware));
        }
        assert_eq!(Firmware::named("yubikey"), None);
    }
}
