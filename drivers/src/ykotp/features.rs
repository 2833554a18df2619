//! What the OTP application can do, by firmware: the one place that knows.
//!
//! Sources: the comments of yubikey-personalization, `ykdef.h`, and the version gates of yubikey-manager.

use super::flags::{Flags, ext};
use crate::token::{Addressing, Algorithm, Capabilities};
use crate::yubikey::Version;

/// The facts that depend on the firmware, and on whether the key lies in the field of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) version: Version,
    contactless: bool,
}

impl Features {
    pub(super) fn new(version: Version, contactless: bool) -> Self {
        Self { version, contactless }
    }

    /// A key on USB.
    #[cfg(test)]
    pub(super) const fn of(version: Version) -> Self {
        Self { version, contactless: false }
    }

    fn from(self, major: u8, minor: u8) -> bool {
        self.version >= Version(major, minor, 0)
    }

    /// Slot 2 came with the YubiKey 2.
    pub(super) fn slots(self) -> u8 {
        if self.from(2, 0) { 2 } else { 1 }
    }

    /// A password of keys.
    pub(super) fn scan_codes(self) -> bool {
        self.from(2, 0)
    }

    /// OATH-HOTP; the status tells which slots are in use.
    pub(super) fn hotp(self) -> bool {
        self.from(2, 1)
    }

    /// HOTP that begins with another counter than 0.
    pub(super) fn initial_counter(self) -> bool {
        self.from(2, 2)
    }

    /// Challenge-response.
    pub(super) fn challenges(self) -> bool {
        self.from(2, 2)
    }

    /// The serial can be asked for.
    pub(super) fn serial(self) -> bool {
        self.from(2, 2)
    }

    /// UPDATE and SWAP.
    pub(super) fn updates(self) -> bool {
        self.from(2, 3)
    }

    /// UPDATE changes the access code as well; 4.3.2 to 4.3.5 do not.
    pub(super) fn updates_code(self) -> bool {
        self.updates() && !(Version(4, 3, 2)..Version(4, 3, 6)).contains(&self.version)
    }

    /// The status tells which slots want a touch.
    pub(super) fn touch_bits(self) -> bool {
        self.from(3, 0)
    }

    /// NDEF records; on a key without NFC they do no harm.
    pub(super) fn ndef(self) -> bool {
        matches!(self.version.0, 3 | 5..)
    }

    /// Device info.
    pub(super) fn device_info(self) -> bool {
        self.from(4, 1)
    }

    /// Over HID the status is an old one until a command has reached the OTP application (NEO).
    pub(super) fn keeps_hid_status(self) -> bool {
        self.version.0 == 3
    }

    /// Over the card interface the touch level stays as it was until the applet is selected again.
    pub(super) fn keeps_touch_level(self) -> bool {
        (Version(5, 0, 0)..Version(5, 4, 3)).contains(&self.version)
    }

    /// A challenge can demand a touch. In the field of a reader none is waited for.
    pub(super) fn touch(self) -> bool {
        self.challenges() && !self.contactless
    }

    /// Flags of the firmware's own age and older.
    pub(super) fn known_ext(self) -> u8 {
        let mut known = 0;
        if self.from(2, 2) {
            known |= ext::SERIAL_BTN_VISIBLE | ext::SERIAL_USB_VISIBLE | ext::SERIAL_API_VISIBLE;
        }
        if self.from(2, 3) {
            known |= ext::USE_NUMERIC_KEYPAD | ext::FAST_TRIG | ext::ALLOW_UPDATE | ext::DORMANT;
        }
        if self.from(2, 4) && self.version.0 != 3 || self.from(3, 1) {
            known |= ext::LED_INV;
        }
        known
    }

    /// Leaves out the flags that nobody asked for by name and that the firmware is too old for.
    pub(super) fn trim(self, flags: Flags) -> Flags {
        Flags { ext: flags.ext & self.known_ext(), ..flags }
    }

    /// The same in the words of the trait.
    pub(super) fn capabilities(self) -> Capabilities {
        let slots = |can: bool| 1..=(if can { self.slots() } else { 0 });
        Capabilities {
            algorithms: vec![Algorithm::Sha1],
            digits: vec![6, 8],
            hotp: self.hotp(),
            totp: self.challenges(),
            calculate: self.challenges(),
            hotp_by_hand: true,
            first_counter: 0,
            touch: self.touch(),
            max_slots: Some(u16::from(self.slots())),
            // Those of more than 64 bytes are hashed to 20 first.
            max_secret_bytes: 20,
            addressing: Addressing::Numbered { hotp: slots(self.hotp()), totp: slots(self.challenges()) },
            time_steps: Vec::new(),
            clock: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_begin_and_end_with_their_firmware() {
        for (version, slots, hotp, challenges, updates, code, ext, ndef, info, keeps) in [
            (Version(1, 3, 0), 1, false, false, false, false, 0x00, false, false, false),
            (Version(2, 0, 2), 2, false, false, false, false, 0x00, false, false, false),
            (Version(2, 1, 2), 2, true, false, false, false, 0x00, false, false, false),
            (Version(2, 2, 3), 2, true, true, false, false, 0x07, false, false, false),
            (Version(2, 3, 3), 2, true, true, true, true, 0x7F, false, false, false),
            (Version(2, 4, 2), 2, true, true, true, true, 0xFF, false, false, false),
            (Version(3, 0, 1), 2, true, true, true, true, 0x7F, true, false, false),
            (Version(3, 4, 9), 2, true, true, true, true, 0xFF, true, false, false),
            (Version(4, 0, 2), 2, true, true, true, true, 0xFF, false, false, false),
            (Version(4, 3, 1), 2, true, true, true, true, 0xFF, false, true, false),
            (Version(4, 3, 2), 2, true, true, true, false, 0xFF, false, true, false),
            (Version(4, 3, 5), 2, true, true, true, false, 0xFF, false, true, false),
            (Version(4, 3, 6), 2, true, true, true, true, 0xFF, false, true, false),
            (Version(5, 0, 1), 2, true, true, true, true, 0xFF, true, true, true),
            (Version(5, 4, 2), 2, true, true, true, true, 0xFF, true, true, true),
            (Version(5, 4, 3), 2, true, true, true, true, 0xFF, true, true, false),
            (Version(5, 7, 1), 2, true, true, true, true, 0xFF, true, true, false),
        ] {
            let features = Features::new(version, false);
            let told = (
                features.slots(),
                features.hotp(),
                features.challenges(),
                features.updates(),
                features.updates_code(),
                features.known_ext(),
                features.ndef(),
                features.device_info(),
                features.keeps_touch_level(),
            );
            assert_eq!(told, (slots, hotp, challenges, updates, code, ext, ndef, info, keeps), "{version}");
            let can = features.capabilities();
            assert_eq!((can.hotp, can.totp, can.touch), (hotp, challenges, challenges), "{version}");
            assert!(!Features::new(version, true).touch());
        }
    }
}
