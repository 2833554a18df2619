//! The token file of Deepnet DualShield, version 5: one product, and the serials and seeds of its tokens.
//!
//! ```text
//! data > header > manufacturerCode, productCode, encode, encrypt, digits, timeWindow, crypto
//!      > tokens > token > serial, seed, description
//! ```
//!
//! The header comes first and holds for every token. It must name the product and how seeds are written (`encode`:
//! HEX, BASE32 or BASE64). `timeWindow` is the time step in seconds, and makes the tokens TOTP; digits, time step
//! and hash (`crypto`, as in `HmacSHA1`) are the product's where the header does not say them.
//! Without `encrypt` the seeds are taken for plain. What else DualShield writes (`synchronisation`, `syncsize`, the
//! `deviceId` of a token) is passed over: windows are a matter of policy here.
//!
//! Refused: encrypted seeds, the older `tokenList` of UAP version 3, other elements in `data` or `tokens`, and what
//! [`super::pskc`] refuses of any XML. A bad header ends the file; a bad token does not keep the next from being
//! read.
//!
//! Source: Deepnet's DualShield pages on the token file format for `SafeID` and on importing Google Authenticator
//! tokens.

use std::io::Read;

use super::error::{FormatError, Problem, Unsupported};
use super::xml::{Attributes, Dialect, Document, elements};
use super::{
    ImportedCredential, ImportedKind, Location, MAX_NAME_CHARS, ProductCodes, digits, once, serial, text,
    time_step,
};
use crate::otp::algorithm::Algorithm;
use crate::otp::passcode::Digits;
use crate::otp::secret::{Secret, SecretError};
use crate::otp::totp::TimeStep;

/// Longest description in characters.
const MAX_DESCRIPTION_CHARS: usize = 256;

/// The credentials of a token file.
pub struct Records<R: Read>(Document<R, Deepnet>);

impl<R: Read> Records<R> {
    /// Reads from a stream.
    pub fn new(input: R) -> Self {
        Self(Document::new(input, Deepnet::default()))
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

elements! {
    /// The elements that are looked at, as they are spelled.
    Data = "data", Header = "header", ManufacturerCode = "manufacturerCode", ProductCode = "productCode",
    Encode = "encode", Encrypt = "encrypt", Digits = "digits", TimeWindow = "timeWindow", Crypto = "crypto",
    Tokens = "tokens", Token = "token", Serial = "serial", Seed = "seed", Description = "description",
    TokenList = "tokenList",
}

/// How a seed is written.
#[derive(Clone, Copy)]
enum Encoding {
    Hex,
    Base32,
    Base64,
}

impl Encoding {
    fn parse(name: &str) -> Result<Self, Problem> {
        match name.trim().to_ascii_uppercase().as_str() {
            "HEX" => Ok(Self::Hex),
            "BASE32" => Ok(Self::Base32),
            "BASE64" => Ok(Self::Base64),
            _ => Err(Problem::UnknownEncoding),
        }
    }

    fn decode(self, seed: &str) -> Result<Secret, SecretError> {
        match self {
            Self::Hex => Secret::from_hex(seed),
            Self::Base32 => Secret::from_base32(seed),
            Self::Base64 => Secret::from_base64(seed),
        }
    }
}

/// A header, field by field.
#[derive(Default)]
struct HeaderFields {
    manufacturer_code: Option<String>,
    product_code: Option<String>,
    encoding: Option<Encoding>,
    digits: Option<Digits>,
    time_step: Option<TimeStep>,
    algorithm: Option<Algorithm>,
}

impl HeaderFields {
    fn read(&mut self, element: Element, content: &str) -> Result<(), Problem> {
        let Some(field) = header_field(element) else { return Ok(()) };
        if content.trim().is_empty() {
            return Ok(());
        }
        let code = || text(field, content, MAX_NAME_CHARS);
        match element {
            Element::ManufacturerCode => once(field, &mut self.manufacturer_code, code()?),
            Element::ProductCode => once(field, &mut self.product_code, code()?),
            Element::Encode => once(field, &mut self.encoding, Some(Encoding::parse(content)?)),
            Element::Encrypt => check_plain(content),
            Element::Digits => once(field, &mut self.digits, digits(content)?),
            Element::TimeWindow => once(field, &mut self.time_step, time_step(content)?),
            Element::Crypto => {
                let algorithm = Algorithm::parse(content).map_err(|_| Problem::UnknownAlgorithm)?;
                once(field, &mut self.algorithm, Some(algorithm))
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Header, Problem> {
        let missing = |element| Problem::Missing { field: header_field(element).unwrap_or("header") };
        Ok(Header {
            product_codes: ProductCodes {
                manufacturer: self.manufacturer_code.ok_or_else(|| missing(Element::ManufacturerCode))?,
                product: self.product_code.ok_or_else(|| missing(Element::ProductCode))?,
            },
            encoding: self.encoding.ok_or_else(|| missing(Element::Encode))?,
            digits: self.digits,
            time_step: self.time_step,
            algorithm: self.algorithm,
        })
    }
}

/// The name of a header field in errors.
const fn header_field(element: Element) -> Option<&'static str> {
    match element {
        Element::ManufacturerCode => Some("manufacturerCode"),
        Element::ProductCode => Some("productCode"),
        Element::Encode => Some("encode"),
        Element::Encrypt => Some("encrypt"),
        Element::Digits => Some("digits"),
        Element::TimeWindow => Some("timeWindow"),
        Element::Crypto => Some("crypto"),
        _ => None,
    }
}

fn check_plain(encrypt: &str) -> Result<(), Problem> {
    match encrypt.trim().to_ascii_uppercase().as_str() {
        "NONE" => Ok(()),
        "AES256" => Err(Problem::Unsupported(Unsupported::EncryptedSeeds)),
        _ => Err(Problem::UnknownEncryption),
    }
}

/// What the header says of every token.
struct Header {
    product_codes: ProductCodes,
    encoding: Encoding,
    digits: Option<Digits>,
    time_step: Option<TimeStep>,
    algorithm: Option<Algorithm>,
}

/// A token, field by field. The first thing that is wrong with it stands for all.
#[derive(Default)]
struct Token {
    problem: Option<Problem>,
    serial: Option<String>,
    seed: Option<Secret>,
    description: Option<String>,
}

impl Token {
    fn read(&mut self, element: Element, content: &str, encoding: Encoding) -> Result<(), Problem> {
        let Some(field) = token_field(element) else { return Ok(()) };
        match element {
            Element::Serial => once(field, &mut self.serial, Some(serial(content)?)),
            Element::Seed if content.trim().is_empty() => Err(Problem::Missing { field }),
            Element::Seed => {
                let seed = encoding.decode(content).map_err(Problem::Secret)?;
                once(field, &mut self.seed, Some(seed))
            }
            _ => {
                let words: Vec<_> = content.split_whitespace().collect();
                once(field, &mut self.description, text(field, &words.join(" "), MAX_DESCRIPTION_CHARS)?)
            }
        }
    }

    fn note(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }
}

/// The name of a field of a token in errors.
const fn token_field(element: Element) -> Option<&'static str> {
    match element {
        Element::Serial => Some("serial"),
        Element::Seed => Some("seed"),
        Element::Description => Some("description"),
        _ => None,
    }
}

/// What is known of the file so far.
#[derive(Default)]
struct Deepnet {
    fields: HeaderFields,
    /// Once it is complete.
    header: Option<Header>,
    /// The token being read.
    token: Option<Box<Token>>,
    /// Tokens begun.
    tokens: u64,
}

impl Dialect for Deepnet {
    type Element = Element;
    type Record = Box<Token>;

    fn named(name: &str) -> Element {
        Element::named(name)
    }

    fn opened(&mut self, path: &[Element], _: Attributes<'_>) -> Result<(), Problem> {
        use Element as E;
        match path {
            [E::Data] => Ok(()),
            [E::TokenList] => Err(Problem::Unsupported(Unsupported::UapTokenList)),
            [_, E::Header] if self.header.is_some() => Err(Problem::Duplicate { field: "header" }),
            [_, E::Header] => Ok(()),
            [_, E::Tokens] if self.header.is_none() => Err(Problem::Missing { field: "header" }),
            [_, E::Tokens] => Ok(()),
            [_, E::Tokens, E::Token] => {
                self.tokens += 1;
                self.token = Some(Box::default());
                Ok(())
            }
            // What stands before an element within a field would be lost.
            [_, E::Tokens, E::Token, field, _] if token_field(*field).is_some() => {
                if let Some(token) = &mut self.token {
                    token.note(Problem::Unsupported(Unsupported::OtherXml));
                }
                Ok(())
            }
            [_, E::Header, field, _] if header_field(*field).is_some() => {
                Err(Problem::Unsupported(Unsupported::OtherXml))
            }
            [_] | [_, _] | [_, E::Tokens, _] => Err(Problem::Unsupported(Unsupported::OtherXml)),
            _ => Ok(()),
        }
    }

    fn closed(&mut self, path: &[Element], content: &str) -> Result<Option<Box<Token>>, Problem> {
        match path {
            [_, Element::Header, element] => self.fields.read(*element, content)?,
            [_, Element::Header] => self.header = Some(std::mem::take(&mut self.fields).finish()?),
            [_, Element::Tokens, Element::Token, element] => {
                if let (Some(token), Some(header)) = (&mut self.token, &self.header)
                    && let Err(problem) = token.read(*element, content, header.encoding)
                {
                    token.note(problem);
                }
            }
            [_, Element::Tokens, Element::Token] => return Ok(self.token.take()),
            _ => {}
        }
        Ok(None)
    }

    fn too_long(&mut self, path: &[Element], limit: usize) -> Result<(), Problem> {
        match path {
            [_, Element::Header, element] => {
                header_field(*element).map_or(Ok(()), |field| Err(Problem::TooLong { field, limit }))
            }
            [_, Element::Tokens, Element::Token, element] => {
                if let (Some(token), Some(field)) = (&mut self.token, token_field(*element)) {
                    token.note(Problem::TooLong { field, limit });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&self, token: Box<Token>, location: Location) -> Result<ImportedCredential, Problem> {
        let Token { problem, serial, seed, description } = *token;
        problem.map_or(Ok(()), Err)?;
        let header = self.header.as_ref().ok_or(Problem::Missing { field: "header" })?;
        let serial = serial.ok_or(Problem::Missing { field: "serial" })?;
        let seed = seed.ok_or(Problem::Missing { field: "seed" })?;
        let mut imported = ImportedCredential::new(location, serial, seed);
        imported.kind = header.time_step.map(|_| ImportedKind::Totp);
        imported.time_step = header.time_step;
        imported.algorithm = header.algorithm;
        imported.digits = header.digits;
        imported.description = description;
        imported.product_codes = Some(header.product_codes.clone());
        Ok(imported)
    }

    fn location(&self) -> Location {
        match self.tokens {
            0 => Location::File,
            number => Location::Token(number),
        }
    }
}

#[cfg(test)]
mod tests;
