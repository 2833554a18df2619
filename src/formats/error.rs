//! What can be wrong with a file, and where. Nothing here carries a piece of the file, for it may be a secret, but
//! for the name of an unknown column.

use std::fmt;
use std::io;

use super::Location;
use crate::otp::passcode::DigitsOutOfRange;
use crate::otp::secret::SecretError;
use crate::otp::totp::EmptyTimeStep;

/// A file, or a record of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {problem}")]
pub struct FormatError {
    /// Where.
    pub location: Location,
    /// What.
    pub problem: Problem,
}

impl FormatError {
    pub(super) const fn new(location: Location, problem: Problem) -> Self {
        Self { location, problem }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The stream failed.
    #[error("the file cannot be read to its end ({0})")]
    Read(io::ErrorKind),
    /// No format that is known.
    #[error("this is no OATH CSV, no PSKC and no DualShield token file")]
    Unrecognised,
    /// The file is text in UTF-16.
    #[error("the file is UTF-16; save it as UTF-8")]
    Utf16,
    /// The file, or a field, is not UTF-8.
    #[error("this is not UTF-8 text")]
    NotUtf8,
    /// There is not a single key in it.
    #[error("there are no keys in the file")]
    NoKeys,
    /// A record or an element is so large that something must be wrong.
    #[error("a single record has more than {limit} bytes")]
    RecordTooLong {
        /// Most bytes.
        limit: usize,
    },
    /// A field that must be there is not, or is empty.
    #[error("{field}: missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field is there twice.
    #[error("{field}: there is more than one")]
    Duplicate {
        /// The field.
        field: &'static str,
    },
    /// A field is too long.
    #[error("{field}: longer than {limit} characters")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Most characters.
        limit: usize,
    },
    /// A field holds a control character, such as a line break within quotes.
    #[error("{field}: holds a control character or a line break")]
    ControlCharacter {
        /// The field.
        field: &'static str,
    },
    /// A field was a number until a spreadsheet rewrote it.
    #[error("{field}: a spreadsheet has turned it into a rounded number; format the column as text")]
    SpreadsheetNumber {
        /// The field.
        field: &'static str,
    },
    /// A field must be a number.
    #[error("{field}: not a whole number")]
    NotANumber {
        /// The field.
        field: &'static str,
    },
    /// A number is too large.
    #[error("{field}: too large")]
    OutOfRange {
        /// The field.
        field: &'static str,
    },
    /// The secret cannot be read.
    #[error("key: {0}")]
    Secret(SecretError),
    /// The secret cannot be read as the caller wants it.
    #[error("key: it cannot be read in the way that `reading` says")]
    OtherReading,
    /// The passcode length is out of range.
    #[error("digits: {0}")]
    Digits(DigitsOutOfRange),
    /// The time step is 0.
    #[error("time step: {0}")]
    TimeStep(EmptyTimeStep),
    /// The hash function is unknown.
    #[error("algorithm: SHA1, SHA256 or SHA512 is expected")]
    UnknownAlgorithm,
    /// The type is unknown.
    #[error("type: hotp or totp is expected")]
    UnknownType,
    /// DualShield: how seeds are written is unknown.
    #[error("encode: HEX, BASE32 or BASE64 is expected")]
    UnknownEncoding,
    /// DualShield: how seeds are encrypted is unknown.
    #[error("encrypt: NONE is expected")]
    UnknownEncryption,
    /// There is something in the file that is understood and cannot be read.
    #[error("{0} cannot be read")]
    Unsupported(Unsupported),
    /// There are more columns than the format has.
    #[error("there are more than {limit} columns")]
    TooManyColumns {
        /// Most columns.
        limit: usize,
    },
    /// There is no charset of that name.
    #[error("charset: unknown label")]
    UnknownCharset,
    /// There are bytes that mean nothing in the charset.
    #[error("there are bytes that are no text in the charset given")]
    NotInCharset,
    /// Batch assignment: there is no header.
    #[error(
        "the first line must name the columns: domain, loginName, manufacturerCode, productCode, serial, status, pin"
    )]
    NoHeader,
    /// Batch assignment: there is nothing below the header.
    #[error("there are no rows in the file")]
    NoRows,
    /// Batch assignment: a column that must be there is not.
    #[error("the header has no column {name}")]
    MissingColumn {
        /// Its name.
        name: &'static str,
    },
    /// Batch assignment: a column has a name that nobody knows. A header holds no secret, so this one is repeated.
    #[error("column {number} of the header, {name:?}, is not known")]
    UnknownColumn {
        /// Its number, from 1.
        number: usize,
        /// How the name begins.
        name: String,
    },
    /// Batch assignment: a row says something in a column that has no name.
    #[error("column {number} has no name in the header")]
    NamelessColumn {
        /// Its number, from 1.
        number: usize,
    },
    /// CSV: a quote is never closed.
    #[error("{field}: a quote is opened and not closed")]
    UnclosedQuote {
        /// The field.
        field: &'static str,
    },
    /// CSV: a quote where none can be.
    #[error(
        "{field}: a quote within the field, or text behind the closing one; a quote in a text is written twice"
    )]
    StrayQuote {
        /// The field.
        field: &'static str,
    },
    /// PSKC: the value is encrypted.
    #[error("{field}: encrypted PSKC is not read yet")]
    Encrypted {
        /// The field.
        field: &'static str,
    },
    /// XML: the markup is broken.
    #[error("the XML is not well-formed near byte {offset}")]
    Malformed {
        /// Where, in bytes from the start of the file.
        offset: u64,
    },
    /// XML: the document ends before its last element does.
    #[error("the document is unfinished: closing tags are missing at its end")]
    Unfinished,
    /// XML: a document type declaration or an entity of one.
    #[error("document type declarations and entities are not allowed")]
    Dtd,
    /// XML: elements within elements within elements.
    #[error("elements are nested more than {limit} deep")]
    TooDeep {
        /// Most levels.
        limit: usize,
    },
}

/// What is understood and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// An OCRA credential (RFC 6287).
    Ocra,
    /// A list of TANs.
    Tan,
    /// A later version of the OATH CSV format.
    CsvVersion,
    /// The CSV format of Entra ID.
    EntraCsv,
    /// XML that is neither PSKC nor a DualShield token file.
    OtherXml,
    /// An element of a `KeyContainer` that RFC 6030 does not have, as in drafts of it.
    PskcDialect,
    /// A key that is neither for HOTP nor for TOTP.
    KeyAlgorithm,
    /// A response that is not decimal.
    ResponseEncoding,
    /// A response with a check digit.
    CheckDigits,
    /// A policy that the server could not keep; RFC 6030 §5 forbids to use such a key.
    Policy,
    /// A DualShield token file with encrypted seeds.
    EncryptedSeeds,
    /// The token file of Deepnet UAP version 3.
    UapTokenList,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ocra => "type: OCRA",
            Self::Tan => "type: a TAN list",
            Self::CsvVersion => "this version of the OATH CSV format",
            Self::EntraCsv => "the CSV format of Entra ID",
            Self::OtherXml => "XML other than PSKC (RFC 6030) and DualShield token files",
            Self::PskcDialect => "a KeyContainer that is not of RFC 6030",
            Self::KeyAlgorithm => "algorithm: a key that is neither for HOTP nor for TOTP",
            Self::ResponseEncoding => "response format: an encoding other than DECIMAL",
            Self::CheckDigits => "response format: a passcode with a check digit",
            Self::Policy => "policy: a restriction that could not be kept",
            Self::EncryptedSeeds => "encrypt: seeds encrypted with AES256",
            Self::UapTokenList => "the tokenList of Deepnet UAP version 3, the form before DualShield 5,",
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::KeyPackage(number) => write!(f, "key package {number}"),
            Self::Token(number) => write!(f, "token {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_what_and_nothing_of_the_content() {
        let error = FormatError::new(Location::Line(3), Problem::Secret(SecretError::OddHex));
        assert_eq!(error.to_string(), "line 3: key: the secret has an odd number of hexadecimal digits");
        let error = FormatError::new(Location::KeyPackage(2), Problem::Encrypted { field: "secret" });
        assert_eq!(error.to_string(), "key package 2: secret: encrypted PSKC is not read yet");
        let error = FormatError::new(Location::File, Problem::Unsupported(Unsupported::EntraCsv));
        assert_eq!(error.to_string(), "file: the CSV format of Entra ID cannot be read");
    }
}
