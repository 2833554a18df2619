//! The generations of the key, as data.

use crate::card::Face;
use crate::status::Status;

/// What tells one generation from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Name for command lines and test output, for example `pinplus-r3.4`.
    pub name: &'static str,
    /// USB product id.
    pub product_id: u16,
    /// What the key tells: 5 digits of model, one to check, 8 of number.
    pub serial: &'static str,
    /// Answer to reset.
    pub atr: &'static [u8],
    /// Reader name, without the numbers that pcscd appends.
    pub reader: &'static str,
    /// Whether it lies in the field of an NFC reader.
    pub contactless: bool,
    /// Whether extended Lc is understood; over T=0 contacts it is not.
    pub extended_length: bool,
    /// How many bytes READ CONFIG has.
    pub config_bytes: usize,
    /// Whether the serial is refused with 6D00 until another command was sent (R3.1).
    pub wants_prelude: bool,
    /// Whether only the FIDO applet tells the serial; on the others both do. Which keys are so is assumed.
    pub serial_from_fido: bool,
    /// Whether there is an OTP PIN (from R3.4).
    pub pin: bool,
    /// Whether the HID tunnel knows the commands of the PIN. One published client says that it does not.
    pub pin_over_hid: bool,
    /// Whether the button can type HOTP.
    pub button: bool,
    /// Status for "no such record", and for listing none: 6A80 or 6A83. Which firmware has which is assumed.
    pub not_found: Status,
    /// Bytes that a page of records has at most (assumed).
    pub page_bytes: usize,
}

impl Model {
    /// R2, on an NFC reader. Its answer to reset is assumed: the historical bytes as NFC readers wrap them.
    pub const R2_NFC: Self = Self {
        name: "pinplus-r2-nfc",
        product_id: 0x0022,
        serial: "96105001234567",
        atr: &[
            0x3B, 0x8F, 0x80, 0x01, 0x86, 0x8E, 0x00, 0x22, 0x60, 0x00, 0x60, 0x30, 0x31, 0x32, 0x33, 0x34,
            0x35, 0x36, 0x37, 0x24,
        ],
        reader: "TOKEN2 MFA NFC Reader",
        contactless: true,
        config_bytes: 1,
        serial_from_fido: true,
        ..Self::R3_4
    }
    .without_pin();

    /// R3.1 Mini: T=0 only, and shy of its serial. Its answer to reset and serial are those of a real key.
    pub const R3_1: Self = Self {
        name: "pinplus-r3.1",
        product_id: 0x0016,
        serial: "72102935780528",
        atr: &[
            0x3B, 0xFF, 0x18, 0x00, 0x00, 0x10, 0x80, 0x86, 0x8E, 0x00, 0x16, 0x60, 0x00, 0x60, 0x33, 0x35,
            0x37, 0x38, 0x30, 0x35, 0x32, 0x38,
        ],
        reader: "TOKEN2 FIDO2 Security Key(0016)",
        extended_length: false,
        wants_prelude: true,
        config_bytes: 1,
        ..Self::R3_4
    }
    .without_pin();

    /// R3.2 Bio3. Its answer to reset is that of a real key.
    pub const R3_2_BIO: Self = Self {
        name: "bio3-r3.2",
        product_id: 0x0204,
        serial: "72103054095303",
        atr: &[
            0x3B, 0xFF, 0x18, 0x00, 0x00, 0x81, 0x01, 0x86, 0x8E, 0x02, 0x04, 0x60, 0x00, 0x60, 0x35, 0x34,
            0x30, 0x39, 0x35, 0x33, 0x30, 0x33, 0x64,
        ],
        reader: "TOKEN2 FIDO2 Security Key(0204)",
        button: false,
        ..Self::R3_4
    }
    .without_pin();

    /// R3.3, which answers to reset as its PIV applet wants it.
    pub const R3_3: Self =
        Self { name: "pinplus-r3.3", serial: "66103012345678", page_bytes: 128, ..Self::R3_4 }.without_pin();

    /// R3.4: the one with an OTP PIN.
    pub const R3_4: Self = Self {
        name: "pinplus-r3.4",
        product_id: 0x0026,
        serial: "65103087654321",
        atr: &[
            0x3B, 0x8F, 0x80, 0x01, 0x54, 0x4B, 0x00, 0x50, 0x49, 0x56, 0x04, 0x02, 0x38, 0x38, 0x38, 0x38,
            0x38, 0x38, 0x38, 0x60,
        ],
        reader: "TOKEN2 FIDO2 Security Key(0026)",
        contactless: false,
        extended_length: true,
        config_bytes: 10,
        wants_prelude: false,
        serial_from_fido: false,
        pin: true,
        pin_over_hid: false,
        button: true,
        not_found: Status(0x6A83),
        page_bytes: 900,
    };

    /// Every model there is.
    pub const ALL: [Self; 5] = [Self::R2_NFC, Self::R3_1, Self::R3_2_BIO, Self::R3_3, Self::R3_4];

    const fn without_pin(self) -> Self {
        Self { pin: false, not_found: Status(0x6A80), ..self }
    }

    /// The model of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name == name)
    }

    /// The serial as the key tells it.
    pub(super) fn serial_object(&self) -> Vec<u8> {
        [&[0xD1, self.serial.len() as u8], self.serial.as_bytes()].concat()
    }

    /// What a reader sees of it.
    #[must_use]
    pub fn face(&self) -> Face {
        Face {
            model: self.name,
            atr: self.atr,
            reader: self.reader,
            contactless: self.contactless,
            chunk: 254,
            extended_length: self.extended_length,
        }
    }
}
