//! FIPS keys of Yubico, and the devices of other makers that carry an OATH applet of their own.

use super::{Capacity, DeleteMissing, DeviceConfig, Firmware, Maker, Quirks, ResetRule};
use crate::status::Status;

impl Firmware {
    /// YubiKey 5 NFC FIPS with firmware 5.7.4: no credential without an access code.
    pub const YUBIKEY_5_7_4_FIPS: Self = Self {
        model: "yubikey-5.7.4-fips",
        version: [5, 7, 4],
        oath_version: [5, 7, 4],
        config: Some(DeviceConfig {
            usb: 0x033B,
            nfc: Some(0x033B),
            form_factor: Some(0x81),
            second_page: true,
        }),
        quirks: Quirks { needs_code: true, ..Quirks::NONE },
        ..Self::YUBIKEY_5_7_1
    };

    /// YubiKey 4 FIPS with firmware 4.4.5: no SHA-512.
    pub const YUBIKEY_4_4_5_FIPS: Self = Self {
        model: "yubikey-4.4.5-fips",
        version: [4, 4, 5],
        oath_version: [4, 4, 5],
        sha512: false,
        ..Self::YUBIKEY_4_3_5
    };

    /// CanoKey with canokey-core 26dc6e8.
    pub const CANOKEY: Self = Self {
        model: "canokey",
        maker: Maker::CanoKeys,
        version: [6, 0, 0],
        oath_version: [6, 0, 0],
        atr: &[
            0x3B, 0xF7, 0x11, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x65, 0x43, 0x61, 0x6E, 0x6F, 0x6B, 0x65, 0x79,
            0x99,
        ],
        reader: "Canokeys Canokey",
        contactless: false,
        capacity: Capacity::Credentials(100),
        chunk: 256,
        extended_length: true,
        sha512: true,
        touch: true,
        rename: true,
        secret_min: 1,
        set_code_locks: true,
        wrong_parameters: Status::WRONG_P1_P2,
        config: None,
        otp_applet: false,
        otp_mode: None,
        quirks: Quirks {
            overwrites: false,
            counts_first: true,
            digits: (4, 8),
            imf_for_totp: false,
            reset: ResetRule::Missing,
            stays_unlocked: true,
            code_algorithm: Some(0x01),
            cuts_between_objects: true,
            ..Quirks::NONE
        },
    };

    /// Solo 2 with oath-authenticator 20d9018. How much it holds is assumed. SHA-512, which it
    /// takes and then crashes on, is refused here.
    pub const SOLO_2: Self = Self {
        model: "solo-2",
        maker: Maker::SoloKeys,
        version: [2, 196, 0],
        oath_version: [4, 4, 4],
        atr: &[0x3B, 0x88, 0x01, 0x80, 0x56, 0x53, 0x6F, 0x6C, 0x6F, 0x20, 0x32, 0x72],
        reader: "SoloKeys Solo 2 [CCID/ICCD Interface]",
        contactless: false,
        capacity: Capacity::Credentials(100),
        chunk: 256,
        extended_length: true,
        sha512: false,
        touch: false,
        rename: false,
        secret_min: 1,
        set_code_locks: true,
        wrong_parameters: Status::WRONG_INS,
        config: None,
        otp_applet: false,
        otp_mode: None,
        quirks: Quirks {
            counter_bytes: 4,
            ignores_touch: true,
            locked: Status::CONDITIONS,
            missing: Status::NOT_FOUND,
            delete_missing: DeleteMissing::Done,
            code_mismatch: Status::WRONG_DATA,
            no_code: Status::CONDITIONS,
            unlocks_once: true,
            code_algorithm: None,
            full_responses: false,
            tells_hotp_digits: false,
            continuation: 0xC0,
            ..Quirks::NONE
        },
    };

    /// The applet of VivoKey on a JavaCard, in the field of a reader. Its answer to reset is the one that readers
    /// make for a card without historical bytes.
    pub const VIVOKEY: Self = Self {
        model: "vivokey-apex",
        maker: Maker::VivoKey,
        version: [0, 1, 2],
        oath_version: [0, 1, 2],
        atr: &[0x3B, 0x80, 0x80, 0x01, 0x01],
        reader: "ACS ACR1252 Dual Reader",
        contactless: true,
        rename: true,
        otp_applet: false,
        otp_mode: None,
        quirks: Quirks { reset: ResetRule::Unlocked, ..Self::YUBIKEY_NEO_3_4_9.quirks },
        ..Self::YUBIKEY_NEO_3_4_9
    };
}
