//! OATH CSV, as privacyIDEA (version 1) and LinOTP read it: one token a line, no version, no standard.
//!
//! ```text
//! serial, key                                   type, digits and the rest are the product's
//! serial, key, hotp, digits, counter
//! serial, key, totp, digits, time step
//! serial, key, hotp|totp, digits, time step, sha1|sha256|sha512      LinOTP
//! ```
//!
//! The key is hexadecimal, unless the caller says how it is to be read ([`super::seed`]); trailing columns may be missing or empty. Accepted besides: a BOM, CRLF, spaces and quotes
//! around fields, comments (`#`), empty lines, and a header if its first column says "serial".
//!
//! Two things these files leave open are decided here. Where no hash function is given, the product says it;
//! privacyIDEA guesses it from the length of the key, which is wrong for SHA-1 tokens with long keys. In a line for
//! HOTP that names its hash function, the fifth column is LinOTP's time step and means nothing; only without a sixth
//! column is it the counter. Taking a time step for a counter would refuse passcodes; missing a counter costs a
//! resync.
//!
//! Lines are cut at every comma, as those servers do. A full CSV reader would read on after a quote that is never
//! closed and swallow the tokens on the lines below; none of these fields can hold a comma anyway.
//! Refused by name: OCRA, TAN lists, and version 2 with its user columns.

use std::io::{BufRead as _, Read};

use zeroize::{Zeroize as _, Zeroizing};

use super::error::{FormatError, Problem, Unsupported};
use super::limited::{Limited, MAX_RECORD_BYTES};
use super::seed::Reading;
use super::{ImportedCredential, ImportedKind, Location, digits, number, serial, time_step};
use crate::otp::algorithm::Algorithm;
use crate::otp::secret::Secret;

const MAX_COLUMNS: usize = 6;

/// The credentials of an OATH CSV file.
pub struct Records<R: Read> {
    input: Limited<R>,
    /// How keys are read.
    reading: Reading,
    buffer: Zeroizing<Vec<u8>>,
    /// Lines read.
    line: u64,
    /// Whether a line that is neither empty nor a comment was met.
    begun: bool,
    found_any: bool,
    ended: bool,
}

/// What a line is.
enum Line {
    Nothing,
    Header,
    Credential(Box<ImportedCredential>),
}

impl<R: Read> Records<R> {
    /// Reads from a stream.
    pub fn new(input: R) -> Self {
        Self::read_as(input, Reading::HEX)
    }

    /// The same of a file whose keys are to be read in another way.
    pub fn read_as(input: R, reading: Reading) -> Self {
        Self {
            input: Limited::new(input),
            reading,
            buffer: Zeroizing::default(),
            line: 0,
            begun: false,
            found_any: false,
            ended: false,
        }
    }

    /// Reads lines until one is a credential or wrong. `None` at the end of the file.
    fn advance(&mut self) -> Result<Option<ImportedCredential>, FormatError> {
        loop {
            self.line += 1;
            let location = Location::Line(self.line);
            let more = self.read_line().map_err(|problem| {
                self.ended = true;
                FormatError::new(location, problem)
            })?;
            if !more {
                self.ended = true;
                return match self.found_any {
                    true => Ok(None),
                    false => Err(FormatError::new(Location::File, Problem::NoKeys)),
                };
            }
            match parse(&self.buffer, location, !self.begun, self.reading) {
                Ok(Line::Nothing) => {}
                Ok(Line::Header) => self.begun = true,
                Ok(Line::Credential(imported)) => {
                    (self.begun, self.found_any) = (true, true);
                    return Ok(Some(*imported));
                }
                Err(problem) => {
                    (self.begun, self.found_any) = (true, true);
                    // All that follows would be wrong for the same reason.
                    self.ended = problem == Problem::Unsupported(Unsupported::CsvVersion);
                    return Err(FormatError::new(location, problem));
                }
            }
        }
    }

    /// Reads the next line, without its end. `false` at the end of the file.
    fn read_line(&mut self) -> Result<bool, Problem> {
        self.buffer.as_mut_slice().zeroize();
        self.buffer.clear();
        self.input.refill();
        match self.input.read_until(b'\n', &mut self.buffer) {
            Ok(length) => Ok(length > 0),
            Err(_) if self.input.exceeded() => Err(Problem::RecordTooLong { limit: MAX_RECORD_BYTES }),
            Err(error) => Err(Problem::Read(error.kind())),
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended { None } else { self.advance().transpose() }
    }
}

fn parse(line: &[u8], location: Location, header_may_come: bool, reading: Reading) -> Result<Line, Problem> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if let Some(comment) = line.strip_prefix(b"#") {
        return match announced_version(&String::from_utf8_lossy(comment)) {
            None | Some("1") => Ok(Line::Nothing),
            Some(_) => Err(Problem::Unsupported(Unsupported::CsvVersion)),
        };
    }
    let line = std::str::from_utf8(line).map_err(|_| Problem::NotUtf8)?;
    let row = Row::of(line)?;
    if row.is_empty() {
        Ok(Line::Nothing)
    } else if header_may_come && row.is_header(reading) {
        Ok(Line::Header)
    } else {
        row.credential(location, reading).map(|imported| Line::Credential(Box::new(imported)))
    }
}

/// The version that a comment announces, as in `# version: 2`.
fn announced_version(comment: &str) -> Option<&str> {
    let (name, version) = comment.split_once(':')?;
    name.trim().eq_ignore_ascii_case("version").then(|| version.trim())
}

/// The columns of one line, without spaces and quotes around them; what is missing is empty.
struct Row<'r> {
    columns: [&'r str; MAX_COLUMNS],
}

impl<'r> Row<'r> {
    fn of(line: &'r str) -> Result<Self, Problem> {
        // Inside a line, a carriage return is the line end of some other system.
        if line.contains('\r') {
            return Err(Problem::ControlCharacter { field: "line" });
        }
        let mut columns = [""; MAX_COLUMNS];
        for (index, field) in line.split(',').map(unquoted).enumerate() {
            match columns.get_mut(index) {
                Some(column) => *column = field,
                None if field.is_empty() => {}
                None => return Err(Problem::TooManyColumns { limit: MAX_COLUMNS }),
            }
        }
        Ok(Self { columns })
    }

    fn is_empty(&self) -> bool {
        self.columns.iter().all(|column| column.is_empty())
    }

    fn is_header(&self, reading: Reading) -> bool {
        let [serial, key, ..] = self.columns;
        serial.to_ascii_lowercase().contains("serial") && secret(key, reading).is_err()
    }

    fn credential(&self, location: Location, reading: Reading) -> Result<ImportedCredential, Problem> {
        let [serial_text, key, kind_text, digits_text, factor, algorithm] = self.columns;
        let serial = serial(serial_text)?;
        let kind = kind(kind_text)?;
        if key.is_empty() {
            return Err(Problem::Missing { field: "key" });
        }
        let secret = secret(key, reading)?;
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
            "" => None,
            name => Some(Algorithm::parse(name).map_err(|_| Problem::UnknownAlgorithm)?),
        };
        Ok(imported)
    }
}

/// Hexadecimal says where it is none; another reading that cannot be says so as a whole.
fn secret(key: &str, reading: Reading) -> Result<Secret, Problem> {
    match reading {
        Reading::HEX => Secret::from_hex(key).map_err(Problem::Secret),
        reading => reading.read(key).ok_or(Problem::OtherReading),
    }
}

/// A field without the spaces around it and one pair of quotes.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).map_or(field, str::trim)
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

#[cfg(test)]
mod tests;
