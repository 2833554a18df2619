//! The ways in which the text of a seed may have been meant, and the slips that happen to seeds on their way.
//!
//! Seed files do not say how their seeds are written, and people guess: hexadecimal is taken for base 32, base 64 holds
//! hexadecimal instead of bytes, a spreadsheet eats leading zeros, a tool writes the bytes of each word the other way
//! round. A [`Reading`] is one such way; it has a name, by which an import can be told to read a file so.
//!
//! ```text
//! hex            as it says            hex+reversed       then the bytes the other way round
//! base64 of hex  base 64 of a text that is hexadecimal
//! ```
//!
//! A secret that was read already is spelled again as it may have stood in its file ([`spellings`]) and read in other
//! ways. Nothing here quotes a seed.

use std::fmt;

use zeroize::Zeroizing;

use crate::otp::secret::{MAX_SECRET_BYTES, Secret};

/// Bytes of the commonest secret, that of SHA-1.
const USUAL_BYTES: usize = 20;

/// How a text spells bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Hexadecimal; `0x` in front, colons, hyphens and spaces are skipped.
    Hex,
    /// Base 32 (RFC 4648 §6).
    Base32,
    /// Base 64 (RFC 4648 §4), or its form for addresses (§5).
    Base64,
    /// The characters themselves are the secret.
    Text,
}

impl Encoding {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Hex, "hex"), (Self::Base32, "base32"), (Self::Base64, "base64"), (Self::Text, "text")];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base32 => "base32",
            Self::Base64 => "base64",
            Self::Text => "text",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(encoding, _)| *encoding)
    }

    fn read(self, text: &str) -> Option<Secret> {
        match self {
            Self::Hex => Secret::from_hex(&hex_digits(text)).ok(),
            Self::Base32 => Secret::from_base32(text).ok(),
            Self::Base64 => {
                let standard: Zeroizing<String> = Zeroizing::new(
                    text.chars()
                        .map(|c| if c == '-' { '+' } else { c })
                        .map(|c| if c == '_' { '/' } else { c })
                        .collect(),
                );
                Secret::from_base64(&standard).ok()
            }
            Self::Text => Secret::new(text.trim().as_bytes().to_vec()).ok(),
        }
    }
}

/// What happened to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slip {
    /// Nothing.
    None,
    /// Zeros in front were lost: a program took the seed for a number. Of hexadecimal only.
    LostZeros,
    /// The bytes are the other way round.
    Reversed,
    /// The two digits of each byte are.
    NibblesSwapped,
    /// The four bytes of each word are.
    WordsReversed,
    /// Only the first 20 bytes count.
    First20,
    /// The bytes are repeated up to the 32 of SHA-256, as RFC 6238 does with its example.
    Repeated32,
    /// The same up to the 64 of SHA-512.
    Repeated64,
}

impl Slip {
    const ALL: [(Self, &'static str); 8] = [
        (Self::None, ""),
        (Self::LostZeros, "lost zeros"),
        (Self::Reversed, "reversed"),
        (Self::NibblesSwapped, "nibbles swapped"),
        (Self::WordsReversed, "words reversed"),
        (Self::First20, "first 20 bytes"),
        (Self::Repeated32, "repeated to 32 bytes"),
        (Self::Repeated64, "repeated to 64 bytes"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(slip, _)| *slip == self).map_or("", |(_, name)| name)
    }

    /// The bytes before it happened; `None` where it cannot have happened.
    fn undo(self, secret: &Secret) -> Option<Secret> {
        let bytes = secret.expose();
        let repeated = |length: usize| {
            (bytes.len() < length).then(|| bytes.iter().copied().cycle().take(length).collect())
        };
        let undone: Vec<u8> = match self {
            Self::None | Self::LostZeros => return Some(secret.clone()),
            Self::Reversed => bytes.iter().rev().copied().collect(),
            Self::NibblesSwapped => bytes.iter().map(|byte| byte.rotate_left(4)).collect(),
            Self::WordsReversed if bytes.len().is_multiple_of(4) => {
                bytes.chunks(4).flat_map(|word| word.iter().rev().copied()).collect()
            }
            Self::WordsReversed => return None,
            Self::First20 => bytes.get(..USUAL_BYTES).filter(|first| first.len() < bytes.len())?.to_vec(),
            Self::Repeated32 => repeated(32)?,
            Self::Repeated64 => repeated(64)?,
        };
        Secret::new(undone).ok()
    }
}

/// One way to read a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// How the text spells bytes.
    encoding: Encoding,
    /// How these bytes, as a text, spell others.
    inner: Option<Encoding>,
    /// What happened to the bytes.
    slip: Slip,
}

/// The pairs of encodings that occur, the commonest first.
const NESTED: [(Encoding, Option<Encoding>); 9] = [
    (Encoding::Hex, None),
    (Encoding::Base32, None),
    (Encoding::Base64, None),
    (Encoding::Text, None),
    (Encoding::Base64, Some(Encoding::Hex)),
    (Encoding::Base64, Some(Encoding::Base32)),
    (Encoding::Base32, Some(Encoding::Hex)),
    (Encoding::Hex, Some(Encoding::Hex)),
    (Encoding::Hex, Some(Encoding::Base32)),
];

impl Reading {
    /// Plain hexadecimal, what a CSV file is taken for.
    pub const HEX: Self = Self { encoding: Encoding::Hex, inner: None, slip: Slip::None };

    /// Every way, the likeliest first: all without a slip, then slip by slip.
    pub fn all() -> impl Iterator<Item = Self> {
        Slip::ALL
            .into_iter()
            .flat_map(|(slip, _)| {
                NESTED.into_iter().map(move |(encoding, inner)| Self { encoding, inner, slip })
            })
            .filter(|reading| {
                reading.slip != Slip::LostZeros
                    || reading.inner.or(Some(reading.encoding)) == Some(Encoding::Hex)
            })
    }

    /// Reads a seed in this way. `None` if it cannot be meant so.
    #[must_use]
    pub fn read(self, text: &str) -> Option<Secret> {
        let text = text.trim();
        if text.len() > 8 * MAX_SECRET_BYTES {
            return None;
        }
        let secret = match self.inner {
            None => self.innermost(self.encoding, text)?,
            Some(inner) => {
                let outer = self.encoding.read(text)?;
                let text = std::str::from_utf8(outer.expose()).ok()?;
                self.innermost(inner, text)?
            }
        };
        self.slip.undo(&secret)
    }

    fn innermost(self, encoding: Encoding, text: &str) -> Option<Secret> {
        if self.slip != Slip::LostZeros {
            return encoding.read(text);
        }
        let digits = hex_digits(text);
        let padded = Zeroizing::new(format!("{:0>40}", digits.as_str()));
        if padded.len() == digits.len() { None } else { encoding.read(&padded) }
    }

    /// Reads the name of a reading.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (encodings, slip) = name.split_once('+').unwrap_or((name, ""));
        let (slip, _) = Slip::ALL.into_iter().find(|(_, known)| *known == slip.trim())?;
        let (encoding, inner) = match encodings.trim().split_once(" of ") {
            Some((outer, inner)) => (outer, Some(Encoding::parse(inner.trim())?)),
            None => (encodings.trim(), None),
        };
        let wanted = Self { encoding: Encoding::parse(encoding)?, inner, slip };
        Self::all().find(|reading| *reading == wanted)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encoding.name())?;
        if let Some(inner) = self.inner {
            write!(f, " of {}", inner.name())?;
        }
        match self.slip {
            Slip::None => Ok(()),
            slip => write!(f, "+{}", slip.name()),
        }
    }
}

/// A seed as it may have stood in a file.
pub struct Spelling {
    /// How the text spells it.
    pub encoding: Encoding,
    /// The text.
    pub text: Zeroizing<String>,
}

/// The texts that a secret may have been read from, hexadecimal first. In which case hexadecimal was written matters
/// where its characters are taken for something else.
#[must_use]
pub fn spellings(secret: &Secret) -> Vec<Spelling> {
    use base64::Engine as _;
    let bytes = secret.expose();
    let hex = |digits: &[u8; 16]| -> String {
        let digit = |nibble: u8| digits.get(usize::from(nibble)).copied().map_or(' ', char::from);
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    };
    let spelled = |encoding, text| Spelling { encoding, text: Zeroizing::new(text) };
    vec![
        spelled(Encoding::Hex, hex(b"0123456789abcdef")),
        spelled(Encoding::Hex, hex(b"0123456789ABCDEF")),
        spelled(Encoding::Base32, base32::encode(base32::Alphabet::Rfc4648 { padding: false }, bytes)),
        spelled(Encoding::Base64, base64::engine::general_purpose::STANDARD.encode(bytes)),
    ]
}

/// The columns of a row that may hold a seed, with their numbers from 0: long enough, and not words. Rows are cut at
/// commas, semicolons and tabs.
#[must_use]
pub fn seed_columns(row: &str) -> Vec<(usize, &str)> {
    columns(row)
        .enumerate()
        .filter(|(_, column)| column.len() >= 16 && !column.contains('@'))
        .take(4)
        .collect()
}

/// The columns of a row, without blanks and quotes around them.
pub fn columns(row: &str) -> impl Iterator<Item = &str> {
    row.split([',', ';', '\t']).map(|column| column.trim().trim_matches('"').trim())
}

fn hex_digits(text: &str) -> Zeroizing<String> {
    let text = text.trim();
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    Zeroizing::new(text.chars().filter(|c| !matches!(c, ':' | '-' | ' ')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "3132333435363738393031323334353637383930";
    const BYTES: &[u8] = b"12345678901234567890";

    fn read(name: &str, text: &str) -> Option<Vec<u8>> {
        Reading::parse(name).unwrap().read(text).map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn every_reading_has_a_name_of_its_own() {
        let mut names: Vec<String> = Reading::all().map(|reading| reading.to_string()).collect();
        for (name, reading) in names.iter().zip(Reading::all()) {
            assert_eq!(Reading::parse(name), Some(reading), "{name}");
        }
        assert_eq!(names.first().map(String::as_str), Some("hex"));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in ["", "HEX", "hex of", "rot13", "hex+", "hex+lost", "text+lost zeros"] {
            // A plus with nothing behind it is no slip, and means none.
            assert_eq!(Reading::parse(name).is_some(), name == "hex+", "{name}");
        }
    }

    #[test]
    fn each_encoding_is_read_as_people_write_it() {
        let expected = Some(BYTES.to_vec());
        for (name, text) in [
            ("hex", HEX),
            ("hex", "0x31:32:33:34:35-36373839 3031323334353637383930"),
            ("base32", "gezd gnbv GY3TQOJQGEZDGNBVGY3TQOJQ===="),
            ("base64", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="),
            ("text", " 12345678901234567890 "),
            ("base64 of hex", "MzEzMjMzMzQzNTM2MzczODM5MzAzMTMyMzMzNDM1MzYzNzM4MzkzMA=="),
        ] {
            assert_eq!(read(name, text), expected, "{name}");
        }
        let digits = HEX.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(read("hex of hex", &digits), expected);
        assert_eq!(read("base64", "-_-_"), read("base64", "+/+/"));
    }

    #[test]
    fn each_slip_is_undone() {
        for (name, text, expected) in [
            ("hex+reversed", "0102", &[2, 1][..]),
            ("hex+nibbles swapped", "1234", &[0x21, 0x43]),
            ("hex+words reversed", "0102030405060708", &[4, 3, 2, 1, 8, 7, 6, 5]),
            (
                "hex+first 20 bytes",
                "000102030405060708090a0b0c0d0e0f101112131415",
                &(0..20).collect::<Vec<u8>>(),
            ),
            ("hex+lost zeros", "102", &[[0; 18].as_slice(), &[1, 2]].concat()),
            ("hex+repeated to 32 bytes", HEX, b"12345678901234567890123456789012"),
        ] {
            assert_eq!(read(name, text).as_deref(), Some(expected), "{name}");
        }
        for (name, text) in [
            ("hex+words reversed", "010203"),
            ("hex+first 20 bytes", HEX),
            ("hex+lost zeros", HEX),
            ("base64 of hex", "////"),
        ] {
            assert_eq!(read(name, text), None, "{name}");
        }
    }

    #[test]
    fn a_secret_that_was_read_one_way_is_read_in_another() {
        // Base 32 that was taken for hexadecimal would not have been read; hexadecimal that was taken for base 64 was.
        let wrong = Encoding::Base64.read(HEX).unwrap();
        let again: Vec<&str> = spellings(&wrong)
            .iter()
            .filter(|spelling| {
                Reading::HEX.read(&spelling.text).is_some_and(|secret| secret.expose() == BYTES)
            })
            .map(|spelling| spelling.encoding.name())
            .collect();
        assert_eq!(again, ["base64"]);
        for spelling in spellings(&wrong) {
            assert_eq!(spelling.encoding.read(&spelling.text), Some(wrong.clone()));
        }
    }

    #[test]
    fn the_seed_of_a_row_is_looked_for_where_it_can_be() {
        let row = format!("alice@example.com, 2308732000000001 ;\"{HEX}\"\t30,Maker");
        assert_eq!(seed_columns(&row), [(1, "2308732000000001"), (2, HEX)]);
        assert_eq!(seed_columns("1234,short"), []);
    }
}
