//! The table of models: how a token looks before it is opened, and which driver speaks to it.
//!
//! A smart card is told by words in its reader's name (a USB key is its own reader, and pcscd takes the name
//! from the key) or by a piece of its answer to reset (ISO/IEC 7816-3). Both are hints: NFC readers make up
//! their own answers, and any card may carry an applet. So a row decides only which drivers
//! a card is kept for; `matches` of each driver says what it does with cards that are in no row.
//!
//! A HID interface is told by its USB ids and by the usage of its top-level collection. That decides: what is in
//! no row is never opened, since it may be anybody's keyboard.
//!
//! A key with several interfaces or applets has a row for each driver. [`udev`] makes rules of the table, and a test
//! compares it with the one in README.md; [`products`] has what each driver programs.
//!
//! Sources: Info.plist of libccid 1.5.2; the smart-card list of pcsc-tools.

pub mod products;
pub mod udev;
pub mod usb;

use crate::transport::{Candidate, HidCandidate};
use crate::ykotp;

/// One model, as one driver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Maker.
    pub maker: &'static str,
    /// Model, or family where its members look alike.
    pub model: &'static str,
    /// Name of the driver.
    pub driver: &'static str,
    /// How it is recognised.
    pub sight: Sight,
}

/// How a model is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A smart card, by its reader's name or its answer to reset; either is enough.
    Card {
        /// Words in the reader's name, lower case; empty if the reader does not tell.
        reader: &'static str,
        /// A piece of the answer to reset; empty if it does not tell.
        atr: &'static [u8],
    },
    /// A HID interface, by all of these.
    Hid {
        /// USB vendor id.
        vendor: u16,
        /// USB product ids.
        products: &'static [u16],
        /// Usage page and usage of the top-level collection.
        usage: (u16, u16),
    },
}

const fn card(
    maker: &'static str,
    model: &'static str,
    driver: &'static str,
    reader: &'static str,
    atr: &'static [u8],
) -> Model {
    Model { maker, model, driver, sight: Sight::Card { reader, atr } }
}

const fn hid(
    maker: &'static str,
    model: &'static str,
    driver: &'static str,
    vendor: u16,
    products: &'static [u16],
    usage: (u16, u16),
) -> Model {
    Model { maker, model, driver, sight: Sight::Hid { vendor, products, usage } }
}

/// Usage page and usage of a FIDO authenticator.
const FIDO: (u16, u16) = (0xF1D0, 0x01);

/// PIN+ Mini and PIN+; the last digit says which interfaces are on.
const TOKEN2_PIN_PLUS: &[u16] = &[0x0013, 0x0014, 0x0015, 0x0016, 0x0022, 0x0023, 0x0024, 0x0025, 0x0026];

/// All models that are known by sight, the most specific first.
pub const MODELS: &[Model] = &[
    card("Yubico", "YubiKey NEO", "ykoath", "yubikey neo", b"YubikeyNEO"),
    card(
        "Yubico",
        "YubiKey 5",
        "ykoath",
        "",
        &[0xC0, 0x21, 0xC0, b'W', b'Y', b'u', b'b', b'i', b'K', b'e', b'y'],
    ),
    card("Yubico", "YubiKey 4", "ykoath", "", b"Yubikey4"),
    card("Yubico", "YubiKey", "ykoath", "yubico yubikey", &[]),
    card("CanoKeys", "CanoKey", "ykoath", "canokeys canokey", b"Canokey"),
    card("SoloKeys", "Solo 2", "ykoath", "solokeys solo 2", b"Solo 2"),
    // Its own interface, and the one it shares with FIDO; the driver takes one of the two.
    Model {
        maker: "CryptoTrust",
        model: "OnlyKey",
        driver: "onlykey",
        sight: Sight::Hid { vendor: 0x1D50, products: &[0x60FC], usage: (0xFFAB, 0x0002) },
    },
    Model {
        maker: "CryptoTrust",
        model: "OnlyKey",
        driver: "onlykey",
        sight: Sight::Hid { vendor: 0x1D50, products: &[0x60FC], usage: (0xF1D0, 0x0001) },
    },
    Model {
        maker: "CryptoTrust",
        model: "OnlyKey",
        driver: "onlykey",
        sight: Sight::Hid { vendor: 0x16C0, products: &[0x0486], usage: (0xFFAB, 0x0002) },
    },
    Model {
        maker: "CryptoTrust",
        model: "OnlyKey",
        driver: "onlykey",
        sight: Sight::Hid { vendor: 0x16C0, products: &[0x0486], usage: (0xF1D0, 0x0001) },
    },
    // Not "token2" alone: the maker's security keys have that in their readers' names as well.
    card("Token2", "Molto2", "molto2", "molto2", &[]),
    // After 86 8E come the product id, 6000 60 and the end of the serial; R3.3 and later answer as their PIV applet.
    card("Token2", "Bio3", "pinplus", "", &[0x86, 0x8E, 0x02]),
    card("Token2", "PIN+", "pinplus", "token2 fido2 security key", &[0x86, 0x8E, 0x00]),
    card("Token2", "PIN+", "pinplus", "", &[b'T', b'K', 0x00, b'P', b'I', b'V']),
    card(
        "Feitian",
        "A9-3301",
        "feitian",
        "ft u2f ccid kb",
        &[0x66, 0x46, 0x53, 0x08, 0x03, 0x00, 0x36, 0x71, 0xDF],
    ),
    card("Feitian", "ePass FIDO", "feitian", "", b"A7005CG 242R1"),
    hid("Hypersecu", "HyperFIDO", "feitian", 0x2CCF, &[0x0854], FIDO),
    hid("Feitian", "HyperFIDO", "feitian", 0x096E, &[0x0854], FIDO),
    hid("Token2", "Bio3", "pinplus", 0x349E, &[0x0203, 0x0204, 0x0205, 0x0206], FIDO),
    hid("Token2", "PIN+", "pinplus", 0x349E, TOKEN2_PIN_PLUS, FIDO),
    card("Nitrokey", "Nitrokey 3", "nk3", "nitrokey nitrokey 3", b"]Nitrokey\0\0\0\0\0"),
    card("Nitrokey", "Nitrokey 3", "nk3", "", b"ZNitrokey 3"),
    Model {
        maker: "Nitrokey",
        model: "Nitrokey 3",
        driver: "nk3",
        sight: Sight::Hid { vendor: 0x20A0, products: &[0x42B2], usage: (0xF1D0, 0x01) },
    },
    hid("Nitrokey", "Nitrokey Pro", "nkpro", 0x20A0, &[0x4108], (0xFF00, 0x0001)),
    // Firmware before 0.10 calls itself a keyboard, and its Storage one before 0.53.
    hid("Nitrokey", "Nitrokey Pro", "nkpro", 0x20A0, &[0x4108], (0x0001, 0x0006)),
    hid("Nitrokey", "Nitrokey Storage", "nkpro", 0x20A0, &[0x4109], (0xFF00, 0x0001)),
    hid("Nitrokey", "Nitrokey Storage", "nkpro", 0x20A0, &[0x4109], (0x0001, 0x0006)),
    hid("Purism", "Librem Key", "nkpro", 0x316D, &[0x4C4B], (0xFF00, 0x0001)),
    hid("Purism", "Librem Key", "nkpro", 0x316D, &[0x4C4B], (0x0001, 0x0006)),
    card("Yubico", "YubiKey NEO", "ykotp", "yubikey neo", b"YubikeyNEO"),
    card(
        "Yubico",
        "YubiKey 5",
        "ykotp",
        "",
        &[0xC0, 0x21, 0xC0, b'W', b'Y', b'u', b'b', b'i', b'K', b'e', b'y'],
    ),
    card("Yubico", "YubiKey 4", "ykotp", "", b"Yubikey4"),
    card("Yubico", "YubiKey", "ykotp", "yubico yubikey", &[]),
    hid("Yubico", "YubiKey", "ykotp", 0x1050, ykotp::PRODUCTS, (0x0001, 0x0006)),
];

impl Model {
    /// Maker and model; some models have their maker's name in their own.
    #[must_use]
    pub fn full_name(&self) -> String {
        if self.model.starts_with(self.maker) {
            self.model.to_owned()
        } else {
            format!("{} {}", self.maker, self.model)
        }
    }

    /// Whether a candidate looks like this model.
    #[must_use]
    pub fn looks_like(&self, candidate: &Candidate) -> bool {
        match (self.sight, candidate) {
            (Sight::Card { reader: words, atr: piece }, Candidate::Card { reader, atr, .. }) => {
                let by_reader = !words.is_empty() && reader.to_lowercase().contains(words);
                let by_atr = !piece.is_empty() && atr.windows(piece.len()).any(|window| window == piece);
                by_reader || by_atr
            }
            (Sight::Hid { vendor, products, usage }, Candidate::Hid(hid)) => {
                let HidCandidate { vendor_id, product_id, usage_page, usage: usage_id, .. } = hid;
                *vendor_id == vendor && products.contains(product_id) && (*usage_page, *usage_id) == usage
            }
            _ => false,
        }
    }
}

/// The rows that a candidate looks like, in the order of the table.
pub fn of(candidate: &Candidate) -> impl Iterator<Item = &'static Model> {
    MODELS.iter().filter(move |model| model.looks_like(candidate))
}

/// What PC/SC makes up for a card of ISO/IEC 14443-4: `3B 8n 80 01`, then historical bytes (PC/SC part 3 §3.1.3.2.3).
#[must_use]
pub fn is_contactless(atr: &[u8]) -> bool {
    matches!(atr, [0x3B, 0x80..=0x8F, 0x80, 0x01, ..])
}

/// Whether the reader is the key itself, told by its name.
///
/// Then its card is reached by USB whatever its answer to reset looks like: those of Nitrokey 3, Solo 2 and others look
/// like answers that NFC readers make up.
#[must_use]
pub fn is_key_itself(candidate: &Candidate) -> bool {
    let Candidate::Card { reader, .. } = candidate else { return false };
    let reader = reader.to_lowercase();
    MODELS.iter().any(|model| match model.sight {
        Sight::Card { reader: words, .. } => !words.is_empty() && reader.contains(words),
        Sight::Hid { .. } => false,
    })
}

/// Whether a candidate is kept for this driver; `None` if it is in no row.
#[must_use]
pub fn kept_for(candidate: &Candidate, driver: &str) -> Option<bool> {
    let mut rows = of(candidate).peekable();
    rows.peek()?;
    Some(rows.any(|model| model.driver == driver))
}

/// Whether two drivers know one model of card between them: what one of them recognised, the other may speak to as
/// well. For cards that are in no row: a reader may have made up their answers to reset.
#[must_use]
pub fn are_akin(one: &str, other: &str) -> bool {
    let cards_of = |driver: &str| {
        let driver = driver.to_owned();
        MODELS
            .iter()
            .filter(move |row| row.driver == driver && matches!(row.sight, Sight::Card { .. }))
            .map(|row| (row.maker, row.model))
    };
    cards_of(one).any(|model| cards_of(other).any(|known| known == model))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn cards_are_recognised_by_answer_to_reset_or_reader() {
        let nfc = "ACS ACR122U PICC Interface 00 00";
        for (reader, atr, model) in [
            (nfc, "3B8D80018073C021C057597562694B6579F9", Some("YubiKey 5")),
            (nfc, "3BFD1300008131FE158073C021C057597562694B657940", Some("YubiKey 5")),
            (nfc, "3BF81300008131FE15597562696B657934D4", Some("YubiKey 4")),
            (nfc, "3BFC1300008131FE15597562696B65794E454F7233E1", Some("YubiKey NEO")),
            (nfc, "3B8C8001597562696B65794E454F723358", Some("YubiKey NEO")),
            ("Yubico Yubikey NEO OTP+CCID 00 00", "", Some("YubiKey NEO")),
            ("Yubico YubiKey OTP+FIDO+CCID 00 00", "", Some("YubiKey")),
            (nfc, "3BF71100008131FE6543616E6F6B657999", Some("CanoKey")),
            ("Canokeys Canokey 00 00", "", Some("CanoKey")),
            (nfc, "3B88018056536F6C6F203272", Some("Solo 2")),
            ("SoloKeys Solo 2 [CCID/ICCD Interface] 00 00", "", Some("Solo 2")),
            ("Nitrokey Nitrokey 3 [CCID/ICCD Interface] 00 00", "", Some("Nitrokey 3")),
            (nfc, "3B8F01805D4E6974726F6B657900000000006A", Some("Nitrokey 3")),
            (nfc, "3B8C01805A4E6974726F6B657920337D", Some("Nitrokey 3")),
            (nfc, "", None),
        ] {
            let candidate = Candidate::Card { reader: reader.to_owned(), atr: hex(atr), insertion: 1 };
            let row = of(&candidate).find(|model| ["ykoath", "nk3"].contains(&model.driver));
            assert_eq!(row.map(|model| model.model), model, "{reader} {atr}");
        }
    }

    #[test]
    fn a_usb_key_is_its_own_reader_and_an_nfc_reader_is_not() {
        let card = |reader: &str| Candidate::Card {
            reader: reader.to_owned(),
            atr: hex("3B8C01805A4E6974726F6B657920337D"),
            insertion: 1,
        };
        assert!(is_key_itself(&card("Nitrokey Nitrokey 3 [CCID/ICCD Interface] 00 00")));
        assert!(is_key_itself(&card("Yubico YubiKey OTP+FIDO+CCID 00 00")));
        assert!(!is_key_itself(&card("ACS ACR122U PICC Interface 00 00")));
    }

    #[test]
    fn a_driver_is_akin_to_those_that_share_a_model_with_it() {
        assert!(are_akin("ykoath", "ykoath"));
        assert!(!are_akin("ykoath", "no such driver"));
    }

    #[test]
    fn every_row_names_a_driver_that_exists_and_a_way_to_be_recognised() {
        for model in MODELS {
            assert!(crate::DRIVERS.iter().any(|driver| driver.name() == model.driver), "{model:?}");
            match model.sight {
                Sight::Card { reader, atr } => {
                    assert!(!reader.is_empty() || !atr.is_empty(), "{model:?}");
                    assert_eq!(reader, reader.to_lowercase());
                }
                Sight::Hid { products, .. } => assert!(!products.is_empty(), "{model:?}"),
            }
        }
    }
}
