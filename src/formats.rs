//! Seed files: reads the credentials that makers deliver and other servers export.
//!
//! A reader takes any stream and yields one credential after the other, holding one record in memory at a time. An
//! error names the line, the key package or the token and the field, and never quotes what stands there: it may be a secret.
//! After an error in one record the reader goes on with the next, so that a dry run can report all of them; after an
//! error of the file as a whole it ends. It is the caller's to collect, to refuse duplicates and to be all or nothing.
//!
//! What a file does not say stays `None`, for the product to fill in. Every record and every field has a limit, so
//! that no file can use up the memory.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod assign_csv;
pub mod charset;
pub mod deepnet;
pub mod detect;
pub mod error;
pub mod key_uri;
pub mod oath_csv;
pub mod pskc;
pub mod seed;

mod limited;
mod xml;

use std::io::Read;

use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Kind, Parameters};
use crate::otp::passcode::Digits;
use crate::otp::secret::Secret;
use crate::otp::totp::TimeStep;
use error::{FormatError, Problem};

/// Longest serial in characters.
pub const MAX_SERIAL_CHARS: usize = 64;

/// Longest name of a manufacturer or a model in characters.
pub const MAX_NAME_CHARS: usize = 128;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Comma-separated serial and key, as privacyIDEA and LinOTP read it: see [`oath_csv`].
    OathCsv,
    /// Portable Symmetric Key Container (RFC 6030): see [`pskc`].
    Pskc,
    /// The token file of Deepnet DualShield 5: see [`deepnet`].
    Deepnet,
}

/// Where in a file something stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// The file as a whole.
    File,
    /// A line of text.
    Line(u64),
    /// A key package of a PSKC document.
    KeyPackage(u64),
    /// A token of a DualShield token file.
    Token(u64),
}

/// HOTP or TOTP, as a file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImportedKind {
    /// RFC 4226.
    Hotp,
    /// RFC 6238.
    Totp,
}

/// The product that a file says its tokens are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductCodes {
    /// The manufacturerCode, such as `DN`.
    pub manufacturer: String,
    /// The productCode, such as `ST`.
    pub product: String,
}

/// One credential of a file. `None` is what the file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCredential {
    /// Where it stands.
    pub location: Location,
    /// The maker's serial: 1 to 64 characters, none of them a control character, no space at either end.
    pub serial: String,
    /// The shared secret.
    pub secret: Secret,
    /// HOTP or TOTP.
    pub kind: Option<ImportedKind>,
    /// HOTP: the counter of the next passcode.
    pub counter: Option<u64>,
    /// TOTP: the length of a time step.
    pub time_step: Option<TimeStep>,
    /// The hash function under the HMAC.
    pub algorithm: Option<Algorithm>,
    /// Length of a passcode.
    pub digits: Option<Digits>,
    /// The maker.
    pub manufacturer: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// From when on the key may be used, as the file writes it (`xs:dateTime`).
    pub valid_from: Option<String>,
    /// Until when the key may be used, as the file writes it (`xs:dateTime`).
    pub valid_until: Option<String>,
    /// A note on the token.
    pub description: Option<String>,
    /// The product. The caller compares it with the one that the file is imported into.
    pub product_codes: Option<ProductCodes>,
}

impl ImportedCredential {
    fn new(location: Location, serial: String, secret: Secret) -> Self {
        Self {
            location,
            serial,
            secret,
            kind: None,
            counter: None,
            time_step: None,
            algorithm: None,
            digits: None,
            manufacturer: None,
            model: None,
            valid_from: None,
            valid_until: None,
            description: None,
            product_codes: None,
        }
    }

    /// How its passcodes are made: what the file says, and for the rest what the product says.
    #[must_use]
    pub fn parameters(&self, product: Parameters) -> Parameters {
        let time_step = self.time_step.unwrap_or(match product.kind {
            Kind::Totp { time_step } => time_step,
            Kind::Hotp => TimeStep::default(),
        });
        Parameters {
            kind: match self.kind {
                Some(ImportedKind::Hotp) => Kind::Hotp,
                Some(ImportedKind::Totp) => Kind::Totp { time_step },
                None if product.kind == Kind::Hotp => Kind::Hotp,
                None => Kind::Totp { time_step },
            },
            algorithm: self.algorithm.unwrap_or(product.algorithm),
            digits: self.digits.unwrap_or(product.digits),
        }
    }
}

/// Reads the credentials of a file of a known format ([`detect::detect`] tells which one it is).
pub fn read<R: Read>(input: R, format: Format) -> Records<R> {
    match format {
        Format::OathCsv => Records::OathCsv(Box::new(oath_csv::Records::new(input))),
        Format::Pskc => Records::Pskc(Box::new(pskc::Records::new(input))),
        Format::Deepnet => Records::Deepnet(Box::new(deepnet::Records::new(input))),
    }
}

/// Reads a CSV file whose seeds are to be read in another way than as hexadecimal.
pub fn read_csv_as<R: Read>(input: R, reading: seed::Reading) -> Records<R> {
    Records::OathCsv(Box::new(oath_csv::Records::read_as(input, reading)))
}

/// The credentials of a file, in its order.
pub enum Records<R: Read> {
    /// See [`oath_csv`].
    OathCsv(Box<oath_csv::Records<R>>),
    /// See [`pskc`].
    Pskc(Box<pskc::Records<R>>),
    /// See [`deepnet`].
    Deepnet(Box<deepnet::Records<R>>),
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::OathCsv(records) => records.next(),
            Self::Pskc(records) => records.next(),
            Self::Deepnet(records) => records.next(),
        }
    }
}

/// Checks a text of a file: trimmed, within its limit, without control characters. `None` if nothing is left.
fn text(field: &'static str, text: &str, limit: usize) -> Result<Option<String>, Problem> {
    let text = text.trim();
    if text.chars().nth(limit).is_some() {
        return Err(Problem::TooLong { field, limit });
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::ControlCharacter { field });
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Checks a serial. Spreadsheets turn long serials into `1.0E+12`, which no longer names any token.
fn serial(text_of_file: &str) -> Result<String, Problem> {
    const FIELD: &str = "serial";
    let serial = text(FIELD, text_of_file, MAX_SERIAL_CHARS)?.ok_or(Problem::Missing { field: FIELD })?;
    match serial.split_once("E+") {
        Some((mantissa, exponent))
            if mantissa.contains(['.', ','])
                && mantissa.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
                && exponent.chars().all(|c| c.is_ascii_digit()) =>
        {
            Err(Problem::SpreadsheetNumber { field: FIELD })
        }
        _ => Ok(serial),
    }
}

/// Reads a number. `None` if the field is empty.
fn number<N: std::str::FromStr>(field: &'static str, text: &str) -> Result<Option<N>, Problem> {
    let text = text.trim();
    // FromStr takes a sign; a counter has none.
    match text.is_empty() {
        true => Ok(None),
        false if !text.bytes().all(|byte| byte.is_ascii_digit()) => Err(Problem::NotANumber { field }),
        false => text.parse().map(Some).map_err(|_| Problem::OutOfRange { field }),
    }
}

/// Reads a passcode length. `None` if the field is empty.
fn digits(text: &str) -> Result<Option<Digits>, Problem> {
    number("digits", text)?.map(Digits::new).transpose().map_err(Problem::Digits)
}

/// Reads a time step in seconds. `None` if the field is empty.
fn time_step(text: &str) -> Result<Option<TimeStep>, Problem> {
    number("time step", text)?.map(TimeStep::from_secs).transpose().map_err(Problem::TimeStep)
}

/// Fills a field that may stand there once.
fn once<T>(field: &'static str, place: &mut Option<T>, value: Option<T>) -> Result<(), Problem> {
    match (place.is_some(), value) {
        (_, None) => Ok(()),
        (true, Some(_)) => Err(Problem::Duplicate { field }),
        (false, value) => {
            *place = value;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_trimmed_and_limited() {
        assert_eq!(serial(" 0001 2 "), Ok("0001 2".into()));
        assert_eq!(serial(" "), Err(Problem::Missing { field: "serial" }));
        assert_eq!(serial(&"é".repeat(64)), Ok("é".repeat(64)));
        assert_eq!(serial(&"é".repeat(65)), Err(Problem::TooLong { field: "serial", limit: 64 }));
        assert_eq!(serial("1\u{7}2"), Err(Problem::ControlCharacter { field: "serial" }));
    }

    #[test]
    fn what_a_spreadsheet_made_of_a_serial_is_refused() {
        for mangled in ["1.0E+12", "2,60827E+12"] {
            assert_eq!(serial(mangled), Err(Problem::SpreadsheetNumber { field: "serial" }));
        }
        assert_eq!(serial("E+12"), Ok("E+12".into()));
        assert_eq!(serial("1E+12X"), Ok("1E+12X".into()));
    }

    #[test]
    fn a_number_has_no_sign_and_fits() {
        assert_eq!(number::<u64>("counter", ""), Ok(None));
        assert_eq!(number("counter", " 18446744073709551615 "), Ok(Some(u64::MAX)));
        assert_eq!(
            number::<u64>("counter", "18446744073709551616"),
            Err(Problem::OutOfRange { field: "counter" })
        );
        for text in ["+1", "-1", "1.0", "0x10", "١"] {
            assert_eq!(
                number::<u64>("counter", text),
                Err(Problem::NotANumber { field: "counter" }),
                "{text}"
            );
        }
    }

    #[test]
    fn the_product_fills_in_what_the_file_does_not_say() {
        let secret = Secret::new(vec![1; 20]).unwrap();
        let mut imported = ImportedCredential::new(Location::Line(1), "1".into(), secret);
        assert_eq!(imported.parameters(Parameters::HOTP), Parameters::HOTP);
        assert_eq!(imported.parameters(Parameters::TOTP), Parameters::TOTP);

        imported.time_step = Some(TimeStep::SECONDS_60);
        imported.digits = Some(Digits::EIGHT);
        imported.algorithm = Some(Algorithm::Sha256);
        let kind = Kind::Totp { time_step: TimeStep::SECONDS_60 };
        let expected = Parameters { kind, algorithm: Algorithm::Sha256, digits: Digits::EIGHT };
        assert_eq!(imported.parameters(Parameters::TOTP), expected);
        assert_eq!(imported.parameters(Parameters::HOTP).kind, Kind::Hotp);

        imported.kind = Some(ImportedKind::Totp);
        assert_eq!(imported.parameters(Parameters::HOTP), expected);
        imported.kind = Some(ImportedKind::Hotp);
        assert_eq!(imported.parameters(Parameters::TOTP).kind, Kind::Hotp);
    }
}
