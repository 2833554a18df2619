//! OATH CSV, as privacyIDEA (version 1) and LinOTP read it: one token a line, no version, no standard.
//!
//! ```text
//! serial, key                                   type, digits and the rest are the product's
//! serial, key, hotp, digits, counter
//! serial, key, totp, digits, time step
//! serial, key, hotp|totp, digits, time step, sha1|sha256|sha512      LinOTP
//! ```
//!
//! The key is hexadecimal, trailing columns may be missing or empty. Accepted besides: a BOM, CRLF, spaces around
//! fields, quotes, comments (`#`), empty lines, and a header if its first column says "serial".
//!
//! Two things these files leave open are decided here. Where no hash function is given, the length of the key tells
//! it, as it does in privacyIDEA: 20, 32 or 64 bytes are SHA-1, SHA-256, SHA-512, marked as guessed; other lengths
//! leave it to the product. In a line for HOTP that names its hash function, the fifth column is LinOTP's time step
//! and means nothing; only without a sixth column is it the counter. Taking a time step for a counter would refuse
//! passcodes; missing a counter costs a resync.
//!
//! Refused by name: OCRA, TAN lists, and version 2 with its user columns.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::error::{FormatError, Problem, Unsupported};
use super::limited::{Limited, MAX_RECORD_BYTES};
use super::{ImportedCredential, ImportedKind, Location, digits, number, serial, time_step};
use crate::otp::algorithm::Algorithm;
use crate::otp::secret::Secret;

const MAX_COLUMNS: usize = 6;

/// The credentials of an OATH CSV file.
pub struct Records<R: Read> {
    reader: csv::Reader<Limited<R>>,
    record: ByteRecord,
    /// Whether a header may still come.
    at_start: bool,
    found_any: bool,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Reads from a stream.
    pub fn new(input: R) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(Limited::new(input));
        Self { reader, record: ByteRecord::new(), at_start: true, found_any: false, ended: false }
    }

    /// Reads records until one is a credential or an error. `None` at the end of the file.
    fn advance(&mut self) -> Result<Option<ImportedCredential>, FormatError> {
        loop {
            self.reader.get_mut().refill();
            let more =
                self.reader.read_byte_record(&mut self.record).map_err(|error| self.end_with(&error))?;
            if !more {
                self.ended = true;
                return match self.found_any {
                    true => Ok(None),
                    false => Err(FormatError::new(Location::File, Problem::NoKeys)),
                };
            }
            let location = Location::Line(self.record.position().map_or(0, csv::Position::line));
            let row = Row::of(&self.record).map_err(|problem| FormatError::new(location, problem));
            if let Some(version) = row.as_ref().ok().and_then(Row::version) {
                if version != "1" {
                    self.ended = true;
                    return Err(FormatError::new(location, Problem::Unsupported(Unsupported::CsvVersion)));
                }
                continue;
            }
            if row.as_ref().is_ok_and(Row::is_ignored) {
                continue;
            }
            let is_header = std::mem::take(&mut self.at_start) && row.as_ref().is_ok_and(Row::is_header);
            if is_header {
                continue;
            }
            self.found_any = true;
            return row?
                .credential(location)
                .map(Some)
                .map_err(|problem| FormatError::new(location, problem));
        }
    }

    fn end_with(&mut self, error: &csv::Error) -> FormatError {
        self.ended = true;
        let problem = match error.kind() {
            csv::ErrorKind::Io(_) if self.reader.get_ref().exceeded() => {
                Problem::RecordTooLong { limit: MAX_RECORD_BYTES }
            }
            csv::ErrorKind::Io(error) => Problem::Read(error.kind()),
            _ => Problem::Unrecognised,
        };
        FormatError::new(Location::Line(self.reader.position().line()), problem)
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended { None } else { self.advance().transpose() }
    }
}

/// The columns of one line, trimmed; what is missing is empty.
struct Row<'r> {
    columns: [&'r str; MAX_COLUMNS],
}

impl<'r> Row<'r> {
    fn of(record: &'r ByteRecord) -> Result<Self, Problem> {
        let mut columns = [""; MAX_COLUMNS];
        for (index, field) in record.iter().enumerate() {
            let field = std::str::from_utf8(field).map_err(|_| Problem::NotUtf8)?;
            // A quote that is never closed runs on over the lines.
            if field.contains(['\n', '\r']) {
                return Err(Problem::ControlCharacter { field: "line" });
            }
            match columns.get_mut(index) {
                Some(column) => *column = field.trim_start_matches('\u{feff}').trim(),
                // A comment may have any number of commas.
                None if field.is_empty() => {}
                None => return Err(Problem::TooManyColumns { limit: MAX_COLUMNS }),
            }
        }
        Ok(Self { columns })
    }

    fn is_ignored(&self) -> bool {
        let [first, ..] = self.columns;
        first.starts_with('#') || self.columns.iter().all(|column| column.is_empty())
    }

    /// The version that a comment announces, as in `# version: 2`.
    fn version(&self) -> Option<&'r str> {
        let [first, ..] = self.columns;
        let (name, version) = first.strip_prefix('#')?.split_once(':')?;
        name.trim().eq_ignore_ascii_case("version").then(|| version.trim())
    }

    fn is_header(&self) -> bool {
        let [serial, key, ..] = self.columns;
        serial.to_ascii_lowercase().contains("serial") && Secret::from_hex(key).is_err()
    }

    fn credential(&self, location: Location) -> Result<ImportedCredential, Problem> {
        let [serial_text, key, kind_text, digits_text, factor, algorithm] = self.columns;
        let serial = serial(serial_text)?;
        let kind = kind(kind_text)?;
        if key.is_empty() {
            return Err(Problem::Missing { field: "key" });
        }
        let secret = Secret::from_hex(key).map_err(Problem::Secret)?;
        let mut imported = ImportedCredential::new(location, serial, secret);
        imported.kind = kind;
        imported.digits = digits(digits_text)?;
        match kind {
            None if !factor.is_empty() => return Err(Problem::Missing { field: "type" }),
            None => {}
            Some(ImportedKind::Totp) => imported.time_step = time_step(factor)?,
            Some(ImportedKind::Hotp) if algorithm.is_empty() => imported.counter = number("counter", factor)?,
            Some(ImportedKind::Hotp) => drop(time_step(factor)?),
        }
        imported.algorithm = match algorithm {
            "" => guess_algorithm(&imported.secret),
            name => Some(Algorithm::parse(name).map_err(|_| Problem::UnknownAlgorithm)?),
        };
        imported.algorithm_guessed = algorithm.is_empty() && imported.algorithm.is_some();
        Ok(imported)
    }
}

fn kind(text: &str) -> Result<Option<ImportedKind>, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "hotp" => Ok(Some(ImportedKind::Hotp)),
        "totp" => Ok(Some(ImportedKind::Totp)),
        "ocra" | "ocra2" => Err(Problem::Unsupported(Unsupported::Ocra)),
        "tan" => Err(Problem::Unsupported(Unsupported::Tan)),
        _ => Err(Problem::UnknownType),
    }
}

/// The hash function whose output is as long as the key.
fn guess_algorithm(secret: &Secret) -> Option<Algorithm> {
    match secret.expose().len() {
        20 => Some(Algorithm::Sha1),
        32 => Some(Algorithm::Sha256),
        64 => Some(Algorithm::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
