//! The three bytes of flags of a slot. Their meaning depends on what the slot does; the names are those of
//! yubikey-personalization, `ykdef.h`.

use crate::token::task::{Pacing, Typing};

/// EXT flags.
pub(super) mod ext {
    pub(in crate::ykotp) const SERIAL_BTN_VISIBLE: u8 = 0x01;
    pub(in crate::ykotp) const SERIAL_USB_VISIBLE: u8 = 0x02;
    pub(in crate::ykotp) const SERIAL_API_VISIBLE: u8 = 0x04;
    pub(in crate::ykotp) const USE_NUMERIC_KEYPAD: u8 = 0x08;
    pub(in crate::ykotp) const FAST_TRIG: u8 = 0x10;
    pub(in crate::ykotp) const ALLOW_UPDATE: u8 = 0x20;
    pub(in crate::ykotp) const DORMANT: u8 = 0x40;
    pub(in crate::ykotp) const LED_INV: u8 = 0x80;
}

/// TKT flags.
pub(super) mod tkt {
    pub(in crate::ykotp) const TAB_FIRST: u8 = 0x01;
    pub(in crate::ykotp) const APPEND_TAB1: u8 = 0x02;
    pub(in crate::ykotp) const APPEND_TAB2: u8 = 0x04;
    pub(in crate::ykotp) const APPEND_DELAY1: u8 = 0x08;
    pub(in crate::ykotp) const APPEND_DELAY2: u8 = 0x10;
    pub(in crate::ykotp) const APPEND_CR: u8 = 0x20;
    pub(in crate::ykotp) const OATH_HOTP: u8 = 0x40;
    pub(in crate::ykotp) const CHAL_RESP: u8 = 0x40;
    pub(in crate::ykotp) const PROTECT_CFG2: u8 = 0x80;
    /// What UPDATE changes.
    pub(in crate::ykotp) const UPDATE: u8 = 0x3F;
}

/// CFG flags.
pub(super) mod cfg {
    pub(in crate::ykotp) const SHORT_TICKET: u8 = 0x02;
    pub(in crate::ykotp) const OATH_HOTP8: u8 = 0x02;
    pub(in crate::ykotp) const PACING_10MS: u8 = 0x04;
    pub(in crate::ykotp) const PACING_20MS: u8 = 0x08;
    pub(in crate::ykotp) const HMAC_LT64: u8 = 0x04;
    pub(in crate::ykotp) const CHAL_BTN_TRIG: u8 = 0x08;
    pub(in crate::ykotp) const OATH_FIXED_MODHEX1: u8 = 0x10;
    pub(in crate::ykotp) const OATH_FIXED_MODHEX2: u8 = 0x40;
    pub(in crate::ykotp) const CHAL_YUBICO: u8 = 0x20;
    pub(in crate::ykotp) const CHAL_HMAC: u8 = 0x22;
    /// What UPDATE changes.
    pub(in crate::ykotp) const UPDATE: u8 = 0x0C;
}

/// The flags of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) ext: u8,
    pub(super) tkt: u8,
    pub(super) cfg: u8,
}

impl Flags {
    /// Whether UPDATE is allowed.
    pub(super) fn allows_updates(self) -> bool {
        self.ext & (ext::ALLOW_UPDATE | ext::DORMANT) != 0
    }

    /// Whether the slot answers challenges at all, in whichever way.
    pub(super) fn answers(self) -> bool {
        self.tkt & tkt::CHAL_RESP != 0 && self.cfg & cfg::CHAL_YUBICO != 0
    }

    /// Whether it answers challenges of less than 64 bytes with HMAC-SHA-1.
    pub(super) fn answers_any_length(self) -> bool {
        self.answers() && self.cfg & cfg::CHAL_HMAC == cfg::CHAL_HMAC && self.cfg & cfg::HMAC_LT64 != 0
    }
}

fn bits(flags: &[(bool, u8)]) -> u8 {
    flags.iter().filter(|(set, _)| *set).fold(0, |sum, (_, bit)| sum | bit)
}

/// How a slot types.
pub(super) fn of_typing(typing: &Typing) -> Flags {
    let pacing = match typing.pacing {
        Pacing::None => 0,
        Pacing::Ms10 => cfg::PACING_10MS,
        Pacing::Ms20 => cfg::PACING_20MS,
        Pacing::Ms30 => cfg::PACING_10MS | cfg::PACING_20MS,
    };
    Flags {
        ext: of_behaviour(typing).ext
            | bits(&[
                (typing.numeric_keypad, ext::USE_NUMERIC_KEYPAD),
                (typing.fast_trigger, ext::FAST_TRIG),
            ]),
        tkt: bits(&[
            (typing.tab_first, tkt::TAB_FIRST),
            (typing.tab_after_identifier, tkt::APPEND_TAB1),
            (typing.tab_after_passcode, tkt::APPEND_TAB2),
            (typing.pause_after_identifier, tkt::APPEND_DELAY1),
            (typing.pause_after_passcode, tkt::APPEND_DELAY2),
            (typing.enter, tkt::APPEND_CR),
            (typing.protect_second, tkt::PROTECT_CFG2),
        ]),
        cfg: pacing,
    }
}

/// What of it a slot has that types nothing.
pub(super) fn of_behaviour(typing: &Typing) -> Flags {
    Flags {
        ext: bits(&[
            (typing.serial.button, ext::SERIAL_BTN_VISIBLE),
            (typing.serial.usb, ext::SERIAL_USB_VISIBLE),
            (typing.serial.programs, ext::SERIAL_API_VISIBLE),
            (typing.updatable, ext::ALLOW_UPDATE),
            (typing.dormant, ext::DORMANT),
            (typing.inverted_light, ext::LED_INV),
        ]),
        tkt: bits(&[(typing.protect_second, tkt::PROTECT_CFG2)]),
        cfg: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_yubikit() {
        assert_eq!(of_typing(&Typing::default()), Flags { ext: 0x34, tkt: 0x20, cfg: 0 });
        assert_eq!(of_behaviour(&Typing::default()), Flags { ext: 0x24, tkt: 0, cfg: 0 });
    }

    #[test]
    fn every_wish_has_a_flag_of_its_own() {
        let none = Typing {
            enter: false,
            fast_trigger: false,
            updatable: false,
            serial: crate::token::task::SerialVisibility { programs: false, usb: false, button: false },
            ..Typing::default()
        };
        assert_eq!(of_typing(&none), Flags::default());
        let serial = none.serial;
        let wishes = [
            Typing { enter: true, ..none },
            Typing { tab_first: true, ..none },
            Typing { tab_after_identifier: true, ..none },
            Typing { tab_after_passcode: true, ..none },
            Typing { pause_after_identifier: true, ..none },
            Typing { pause_after_passcode: true, ..none },
            Typing { pacing: Pacing::Ms10, ..none },
            Typing { pacing: Pacing::Ms20, ..none },
            Typing { numeric_keypad: true, ..none },
            Typing { fast_trigger: true, ..none },
            Typing { dormant: true, ..none },
            Typing { updatable: true, ..none },
            Typing { inverted_light: true, ..none },
            Typing { protect_second: true, ..none },
            Typing { serial: crate::token::task::SerialVisibility { programs: true, ..serial }, ..none },
            Typing { serial: crate::token::task::SerialVisibility { usb: true, ..serial }, ..none },
            Typing { serial: crate::token::task::SerialVisibility { button: true, ..serial }, ..none },
        ];
        let number = |flags: Flags| u32::from_be_bytes([0, flags.ext, flags.tkt, flags.cfg]);
        let sum = wishes.iter().map(of_typing).map(number).fold(0, |sum, bits| {
            assert_eq!((bits.count_ones(), sum & bits), (1, 0), "{bits:06X}");
            sum | bits
        });
        assert_eq!(sum, 0xFF_BF_0C);
        assert_eq!(of_typing(&Typing { pacing: Pacing::Ms30, ..none }).cfg, 0x0C);
    }
}
