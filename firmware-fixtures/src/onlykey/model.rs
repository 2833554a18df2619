//! Which OnlyKey is emulated, as data.

use crate::hid::HidFace;

/// Whether the device has a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// It was never set up.
    NotSet,
    /// It was set up without one, as an OnlyKey Duo can be.
    None,
    /// It has one.
    Set,
}

/// One model with one firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnlyKeyModel {
    /// Name for command lines and test output.
    pub model: &'static str,
    /// USB vendor and product id.
    pub ids: (u16, u16),
    /// iSerialNumber: the same on all devices with the newer chip.
    pub usb_serial: &'static str,
    /// Number of the interface that answers, and the usage of its top-level collection.
    pub interface: (u8, (u16, u16)),
    /// Firmware, as the device tells it.
    pub version: &'static str,
    /// Whether it has a PIN.
    pub pin: Pin,
    /// How many slots it has in a profile.
    pub slots: usize,
}

impl OnlyKeyModel {
    /// OnlyKey as sold since 2018, with firmware 3.0.4.
    pub const COLOR: Self = Self {
        model: "onlykey-3.0.4",
        ids: (0x1D50, 0x60FC),
        usb_serial: "1000000000",
        interface: (2, (0xFFAB, 0x0002)),
        version: "v3.0.4-prod",
        pin: Pin::Set,
        slots: 12,
    };

    /// The first OnlyKey. Its version text and USB serial are assumed.
    pub const ORIGINAL: Self = Self {
        model: "onlykey-original-0.2",
        ids: (0x16C0, 0x0486),
        usb_serial: "2851340",
        interface: (1, (0xF1D0, 0x0001)),
        version: "v0.2-beta.8",
        ..Self::COLOR
    };

    /// OnlyKey Duo with a PIN.
    pub const DUO: Self = Self { model: "onlykey-duo-3.0.4", slots: 24, ..Self::COLOR };

    /// OnlyKey Duo without a PIN: a slot holds a password or a second factor.
    pub const DUO_WITHOUT_PIN: Self =
        Self { model: "onlykey-duo-3.0.4-without-pin", pin: Pin::None, ..Self::DUO };

    /// All of them.
    pub const ALL: [Self; 4] = [Self::COLOR, Self::ORIGINAL, Self::DUO, Self::DUO_WITHOUT_PIN];

    /// What follows `UNLOCKED`: the version, and a letter for the hardware.
    #[must_use]
    pub fn version_text(&self) -> String {
        let letter = match (self.slots > 12, self.pin) {
            (true, Pin::None) => 'n',
            (true, _) => 'p',
            (false, _) if self.ids.0 == 0x16C0 => 'o',
            (false, _) => 'c',
        };
        format!("{}{letter}", self.version)
    }

    pub(super) fn face(&self) -> HidFace {
        HidFace {
            model: self.model,
            vendor_id: self.ids.0,
            product_id: self.ids.1,
            release: 0x0100,
            manufacturer: "CRYPTOTRUST",
            product: "ONLYKEY",
            serial: Some(self.usb_serial.to_owned()),
            interface: self.interface.0,
            usage: self.interface.1,
            descriptor: if self.interface.1.0 == 0xFFAB { RAW_HID_FFAB } else { RAW_HID_F1D0 },
            feature_length: 0,
            report_length: super::REPORT,
        }
    }
}

/// Usage page FFAB, usage 02: 64 bytes in, 64 bytes out (as the raw HID of a Teensy describes itself).
const RAW_HID_FFAB: &[u8] = &[
    0x06, 0xAB, 0xFF, 0x0A, 0x02, 0x00, 0xA1, 0x01, 0x75, 0x08, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x95, 0x40,
    0x09, 0x01, 0x81, 0x02, 0x95, 0x40, 0x09, 0x02, 0x91, 0x02, 0xC0,
];

/// The same with usage page F1D0, usage 01.
const RAW_HID_F1D0: &[u8] = &[
    0x06, 0xD0, 0xF1, 0x0A, 0x01, 0x00, 0xA1, 0x01, 0x75, 0x08, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x95, 0x40,
    0x09, 0x01, 0x81, 0x02, 0x95, 0x40, 0x09, 0x02, 0x91, 0x02, 0xC0,
];
