//! The table of models: how a token looks before it is opened, and which driver speaks to it.
//!
//! A smart card is told by words in its reader's name (a USB key is its own reader, and pcscd takes the name
//! from the key) or by a piece of its answer to reset (ISO/IEC 7816-3). Both are hints: NFC readers make up
//! their own answers, and any card may carry the applet. So a row decides only which driver
//! a card is kept for; `matches` of each driver says what it does with cards that are in no row.
//!
//! Sources: Info.plist of libccid 1.5.2; the smart-card list of pcsc-tools.

/// One model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Maker.
    pub maker: &'static str,
    /// Model, or family where its members look alike.
    pub model: &'static str,
    /// Name of the driver.
    pub driver: &'static str,
    /// Words in the reader's name, lower case; empty if the reader does not tell.
    pub reader: &'static str,
    /// A piece of the answer to reset.
    pub atr: &'static [u8],
}

/// All models that are known by sight, the most specific first.
pub const MODELS: &[Model] = &[
    Model {
        maker: "Yubico",
        model: "YubiKey NEO",
        driver: "ykoath",
        reader: "yubikey neo",
        atr: b"YubikeyNEO",
    },
    Model {
        maker: "Yubico",
        model: "YubiKey 5",
        driver: "ykoath",
        reader: "",
        atr: &[0xC0, 0x21, 0xC0, b'W', b'Y', b'u', b'b', b'i', b'K', b'e', b'y'],
    },
    Model { maker: "Yubico", model: "YubiKey 4", driver: "ykoath", reader: "", atr: b"Yubikey4" },
    Model { maker: "Yubico", model: "YubiKey", driver: "ykoath", reader: "yubico yubikey", atr: &[] },
];

/// The model that a card looks like.
#[must_use]
pub fn card(reader: &str, atr: &[u8]) -> Option<&'static Model> {
    let reader = reader.to_lowercase();
    MODELS.iter().find(|model| {
        let by_reader = !model.reader.is_empty() && reader.contains(model.reader);
        let by_atr = !model.atr.is_empty() && atr.windows(model.atr.len()).any(|window| window == model.atr);
        by_reader || by_atr
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn models_are_recognised_by_answer_to_reset_or_reader() {
        let nfc = "ACS ACR122U PICC Interface 00 00";
        for (reader, atr, model) in [
            (nfc, "3B8D80018073C021C057597562694B6579F9", Some("YubiKey 5")),
            (nfc, "3BFD1300008131FE158073C021C057597562694B657940", Some("YubiKey 5")),
            (nfc, "3BF81300008131FE15597562696B657934D4", Some("YubiKey 4")),
            (nfc, "3BFC1300008131FE15597562696B65794E454F7233E1", Some("YubiKey NEO")),
            (nfc, "3B8C8001597562696B65794E454F723358", Some("YubiKey NEO")),
            ("Yubico Yubikey NEO OTP+CCID 00 00", "", Some("YubiKey NEO")),
            ("Yubico YubiKey OTP+FIDO+CCID 00 00", "", Some("YubiKey")),
            (nfc, "3B8C01805A4E6974726F6B657920337D", None),
            (nfc, "", None),
        ] {
            assert_eq!(card(reader, &hex(atr)).map(|model| model.model), model, "{reader} {atr}");
        }
    }

    #[test]
    fn every_row_names_a_driver_that_exists_and_a_way_to_be_recognised() {
        for model in MODELS {
            assert!(crate::DRIVERS.iter().any(|driver| driver.name() == model.driver), "{model:?}");
            assert!(!model.reader.is_empty() || !model.atr.is_empty(), "{model:?}");
            assert_eq!(model.reader, model.reader.to_lowercase());
        }
    }
}
