//! Which Nitrokey Pro or Storage is emulated, as data: all differences between generations are in this table.
//!
//! The chip asks its [`NitrokeyFirmware`] instead of comparing versions. What differs was read in the published
//! firmware: Nitrokey/nitrokey-pro-firmware at tags v0.7 to v0.15, Nitrokey/nitrokey-storage-firmware at V0.53 to
//! V0.57. The Librem Key carries the Pro's firmware under its own USB ids.

use crate::hid::HidFace;

/// Model and peculiarities of one firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NitrokeyFirmware {
    /// Name for command lines, for example `nitrokey-pro-0.15`.
    pub model: &'static str,
    /// Which device it is in.
    pub device: Device,
    /// Minor version; the major one is 0 in all of them.
    pub minor: u8,
    /// How a command shows that it may be executed.
    pub authorization: Authorization,
    /// When a secret that is written counts as none, so that the one in the slot stays.
    pub kept_secret: KeptSecret,
    /// A fourth HOTP slot, which the device only verifies with.
    pub verify_slot: bool,
    /// `GET_RANDOM`.
    pub random: bool,
    /// A failed `FIRST_AUTHENTICATE` or `USER_AUTHENTICATE` takes the temporary password away.
    pub failure_ends_session: bool,
    /// The report descriptor of a keyboard with a feature report, instead of one of its own.
    pub keyboard: bool,
}

/// Which device it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Nitrokey Pro and Pro 2.
    Pro,
    /// Purism Librem Key: a Pro.
    LibremKey,
    /// Nitrokey Storage: the same protocol on another processor, with commands of its own.
    Storage,
}

/// How a command shows that it may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// AUTHORIZE names the CRC of the next command. Secrets have 20 bytes, and a slot is written at once.
    ByCrc {
        /// The temporary password is gone after one AUTHORIZE.
        once: bool,
    },
    /// The temporary password is in the command. Secrets have 40 bytes and are sent ahead in pieces.
    InCommand,
}

/// When a secret counts as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptSecret {
    /// If its first byte is 0.
    FirstByteZero,
    /// If all its bytes are 0.
    AllZero,
    /// Never.
    Never,
}

impl NitrokeyFirmware {
    /// Nitrokey Pro 0.7 (2015).
    pub const PRO_0_7: Self = Self {
        model: "nitrokey-pro-0.7",
        device: Device::Pro,
        minor: 7,
        authorization: Authorization::ByCrc { once: true },
        kept_secret: KeptSecret::FirstByteZero,
        verify_slot: false,
        random: false,
        failure_ends_session: false,
        keyboard: true,
    };

    /// Nitrokey Pro 0.8 (2016): longer secrets, the password in the command.
    pub const PRO_0_8: Self = Self {
        model: "nitrokey-pro-0.8",
        minor: 8,
        authorization: Authorization::InCommand,
        kept_secret: KeptSecret::AllZero,
        ..Self::PRO_0_7
    };

    /// Nitrokey Pro 0.9 (2018): the slot for verification.
    pub const PRO_0_9: Self = Self {
        model: "nitrokey-pro-0.9",
        minor: 9,
        verify_slot: true,
        failure_ends_session: true,
        ..Self::PRO_0_8
    };

    /// Nitrokey Pro 0.10 (2018): no keyboard any more.
    pub const PRO_0_10: Self =
        Self { model: "nitrokey-pro-0.10", minor: 10, keyboard: false, ..Self::PRO_0_9 };

    /// Nitrokey Pro 0.11 (2020).
    pub const PRO_0_11: Self = Self { model: "nitrokey-pro-0.11", minor: 11, ..Self::PRO_0_10 };

    /// Nitrokey Pro 0.12 (2021).
    pub const PRO_0_12: Self = Self { model: "nitrokey-pro-0.12", minor: 12, ..Self::PRO_0_10 };

    /// Nitrokey Pro 0.13 (2021).
    pub const PRO_0_13: Self = Self { model: "nitrokey-pro-0.13", minor: 13, ..Self::PRO_0_10 };

    /// Nitrokey Pro 0.14 (2021): random numbers.
    pub const PRO_0_14: Self = Self { model: "nitrokey-pro-0.14", minor: 14, random: true, ..Self::PRO_0_10 };

    /// Nitrokey Pro 0.15 (2022).
    pub const PRO_0_15: Self = Self { model: "nitrokey-pro-0.15", minor: 15, ..Self::PRO_0_14 };

    /// Librem Key with the Pro's 0.10.
    pub const LIBREM_0_10: Self =
        Self { model: "librem-key-0.10", device: Device::LibremKey, ..Self::PRO_0_10 };

    /// Nitrokey Storage 0.53 (2018).
    pub const STORAGE_0_53: Self = Self {
        model: "nitrokey-storage-0.53",
        device: Device::Storage,
        minor: 53,
        authorization: Authorization::ByCrc { once: false },
        kept_secret: KeptSecret::Never,
        verify_slot: false,
        random: false,
        failure_ends_session: true,
        keyboard: false,
    };

    /// Nitrokey Storage 0.54 (2019).
    pub const STORAGE_0_54: Self = Self {
        model: "nitrokey-storage-0.54",
        minor: 54,
        authorization: Authorization::InCommand,
        kept_secret: KeptSecret::AllZero,
        verify_slot: true,
        ..Self::STORAGE_0_53
    };

    /// Nitrokey Storage 0.57.
    pub const STORAGE_0_57: Self = Self { model: "nitrokey-storage-0.57", minor: 57, ..Self::STORAGE_0_54 };

    /// All generations, the oldest first.
    pub const ALL: [Self; 13] = [
        Self::PRO_0_7,
        Self::PRO_0_8,
        Self::PRO_0_9,
        Self::PRO_0_10,
        Self::PRO_0_11,
        Self::PRO_0_12,
        Self::PRO_0_13,
        Self::PRO_0_14,
        Self::PRO_0_15,
        Self::LIBREM_0_10,
        Self::STORAGE_0_53,
        Self::STORAGE_0_54,
        Self::STORAGE_0_57,
    ];

    /// Whether it is a Storage.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        self.device == Device::Storage
    }

    /// Bytes of a secret in flash.
    #[must_use]
    pub fn secret_length(&self) -> usize {
        match self.authorization {
            Authorization::ByCrc { .. } => 20,
            Authorization::InCommand => 40,
        }
    }

    /// AUTHORIZE and `USER_AUTHORIZE` answer OK, and from then on so does every refusal for lack of a password.
    #[must_use]
    pub fn authorize_silences(&self) -> bool {
        self.is_storage() && self.authorization == Authorization::InCommand
    }

    /// The last TOTP slot is never written, whatever the answer says.
    #[must_use]
    pub fn loses_last_totp(&self) -> bool {
        self.authorize_silences()
    }

    /// `LOCK_DEVICE` takes the temporary passwords away.
    #[must_use]
    pub fn lock_ends_session(&self) -> bool {
        self.authorize_silences()
    }

    /// What a host sees of it. USB takes its serial from the `OpenPGP` card inside.
    #[must_use]
    pub fn face(&self, serial: u32) -> HidFace {
        let (vendor_id, product_id, manufacturer, product, interface) = match self.device {
            Device::Pro => (0x20A0, 0x4108, "Nitrokey", "Nitrokey Pro", 0),
            Device::LibremKey => (0x316D, 0x4C4B, "Purism, SPC", "Librem Key", 0),
            Device::Storage => (0x20A0, 0x4109, "Nitrokey", "Nitrokey Storage", 2),
        };
        HidFace {
            model: self.model,
            vendor_id,
            product_id,
            release: if self.keyboard { 0x0100 } else { 0x0101 },
            manufacturer,
            product,
            serial: Some(format!("{serial:024X}")),
            interface,
            usage: if self.keyboard { (0x0001, 0x0006) } else { (0xFF00, 0x0001) },
            descriptor: if self.keyboard { KEYBOARD } else { OWN },
            feature_length: 64,
            report_length: if self.keyboard { 8 } else { 64 },
        }
    }
}

/// Three reports of 64 bytes, of which only the feature report is used.
const OWN: &[u8] = &[
    0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x09, 0x01, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95,
    0x40, 0x81, 0x02, 0x09, 0x02, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02, 0x09,
    0x02, 0x75, 0x08, 0x95, 0x40, 0xB1, 0x02, 0xC0,
];

/// A boot keyboard (USB HID 1.11, appendix B.1) with a feature report of 64 bytes.
const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x03, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08,
    0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x03, 0x95, 0x06, 0x75, 0x08, 0x15,
    0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0x09, 0x03, 0x75, 0x08, 0x95, 0x40,
    0xB1, 0x02, 0xC0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_are_as_long_as_the_firmware_says() {
        assert_eq!((OWN.len(), KEYBOARD.len()), (42, 71));
    }

    #[test]
    fn usb_tells_the_serial_of_the_card() {
        let face = NitrokeyFirmware::PRO_0_15.face(0x5F11);
        assert_eq!(face.serial.as_deref(), Some("000000000000000000005F11"));
    }
}
