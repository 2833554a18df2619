//! PSKC, the Portable Symmetric Key Container (RFC 6030), with plain values.
//!
//! ```text
//! KeyContainer > KeyPackage > DeviceInfo > Manufacturer, SerialNo, Model
//!                           > Key @Id @Algorithm > AlgorithmParameters > Suite, ResponseFormat @Length @Encoding
//!                                                > Data > Secret, Counter, Time, TimeInterval > PlainValue
//!                                                > Policy > StartDate, ExpiryDate, PINPolicy, KeyUsage, ...
//! ```
//!
//! The elements are known by their local names, whatever the prefix. The serial is `SerialNo`, or the Id of the key
//! where there is none. A missing Suite means SHA-1. Secrets are base64, `TimeInterval` is in seconds; Time and
//! `TimeDrift` are not used, for the server asks its own clock. A signature is passed over and not checked.
//!
//! Refused: encrypted values (not read yet), algorithms other than HOTP and TOTP, responses that are not decimal,
//! policies the server could not keep (RFC 6030 §5), document types and entities, unfinished documents, and a root
//! that is not a `KeyContainer` of the RFC (drafts had other elements). What is wrong with one key package does not
//! keep the next one from being read.

mod package;

use std::io::Read;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error as XmlError, Reader, XmlVersion};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::{FormatError, Problem, Unsupported};
use super::limited::{Limited, MAX_RECORD_BYTES};
use super::{ImportedCredential, Location};
use package::{Element, Package};

/// Deepest nesting; RFC 6030 itself needs 7, signatures a few more.
const MAX_DEPTH: usize = 32;

/// Most bytes of text of one element that is looked at.
const MAX_TEXT_BYTES: usize = 4096;

/// The credentials of a PSKC document.
pub struct Records<R: Read> {
    reader: Reader<Limited<R>>,
    buffer: Zeroizing<Vec<u8>>,
    /// The open elements.
    path: Vec<Element>,
    /// Text of the innermost open element since it or its last child began or ended.
    text: Zeroizing<String>,
    /// The package being read.
    package: Option<Box<Package>>,
    /// Packages begun.
    packages: u64,
    root_closed: bool,
    ended: bool,
}

/// What an event leads to.
enum Progress {
    Nothing,
    Package(Box<Package>),
    End,
}

impl<R: Read> Records<R> {
    /// Reads from a stream.
    pub fn new(input: R) -> Self {
        Self {
            reader: Reader::from_reader(Limited::new(input)),
            buffer: Zeroizing::default(),
            path: Vec::new(),
            text: Zeroizing::new(String::with_capacity(MAX_TEXT_BYTES)),
            package: None,
            packages: 0,
            root_closed: false,
            ended: false,
        }
    }

    /// Reads events until a package is complete. `None` at the end of the document.
    fn advance(&mut self) -> Result<Option<ImportedCredential>, FormatError> {
        loop {
            let progress = self.event().map_err(|problem| {
                self.ended = true;
                FormatError::new(self.location(), problem)
            })?;
            match progress {
                Progress::Nothing => {}
                Progress::Package(package) => {
                    let location = self.location();
                    return package
                        .finish(location)
                        .map(Some)
                        .map_err(|problem| FormatError::new(location, problem));
                }
                Progress::End => {
                    self.ended = true;
                    return match self.packages {
                        0 => Err(FormatError::new(Location::File, Problem::NoKeys)),
                        _ => Ok(None),
                    };
                }
            }
        }
    }

    const fn location(&self) -> Location {
        match self.packages {
            0 => Location::File,
            number => Location::KeyPackage(number),
        }
    }

    fn event(&mut self) -> Result<Progress, Problem> {
        self.reader.get_mut().refill();
        let mut buffer = std::mem::take(&mut self.buffer);
        // Only what was used is wiped: a large buffer would cost its size at every event.
        buffer.as_mut_slice().zeroize();
        buffer.clear();
        let event = match self.reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(error) => return Err(self.problem(&error)),
        };
        let progress = match event {
            Event::Start(element) => self.open(&element).map(|()| Progress::Nothing),
            Event::Empty(element) => self.open(&element).and_then(|()| self.close()),
            Event::End(_) => self.close(),
            Event::Text(text) => self.append(&text.xml10_content()).map(|()| Progress::Nothing),
            Event::CData(text) => self.append(&text.xml10_content()).map(|()| Progress::Nothing),
            Event::GeneralRef(reference) => {
                let character = resolve(&reference)?;
                self.append(character.encode_utf8(&mut [0; 4])).map(|()| Progress::Nothing)
            }
            Event::DocType(_) => Err(Problem::Dtd),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => Ok(Progress::Nothing),
            Event::Eof if self.root_closed => Ok(Progress::End),
            Event::Eof => Err(Problem::Unfinished),
        };
        self.buffer = buffer;
        progress
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), Problem> {
        if self.path.len() >= MAX_DEPTH {
            return Err(Problem::TooDeep { limit: MAX_DEPTH });
        }
        let name = Element::named(element.local_name().as_ref());
        match (self.path.len(), name) {
            (0, _) if self.root_closed => return Err(self.malformed()),
            (0, Element::KeyContainer) => {}
            (0, _) => return Err(Problem::Unsupported(Unsupported::OtherXml)),
            (1, Element::KeyPackage) => {
                self.packages += 1;
                self.package = Some(Box::default());
            }
            (1, Element::EncryptionKey | Element::MACMethod | Element::Signature | Element::Extensions) => {}
            (1, _) => return Err(Problem::Unsupported(Unsupported::PskcDialect)),
            _ => {}
        }
        self.path.push(name);
        self.wipe_text();
        let offset = self.reader.buffer_position();
        if let Some(package) = &mut self.package {
            package.opened(within_package(&self.path), &|name| attribute(element, name, offset));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<Progress, Problem> {
        if let Some(package) = &mut self.package {
            package.closed(within_package(&self.path), &self.text);
        }
        self.wipe_text();
        self.path.pop();
        self.root_closed = self.path.is_empty();
        match self.path.len() {
            1 => Ok(self.package.take().map_or(Progress::Nothing, Progress::Package)),
            _ => Ok(Progress::Nothing),
        }
    }

    fn append(&mut self, text: &str) -> Result<(), Problem> {
        if self.path.is_empty() {
            let blank = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty();
            return if blank { Ok(()) } else { Err(self.malformed()) };
        }
        let Some(package) = &mut self.package else { return Ok(()) };
        if self.text.len() + text.len() > MAX_TEXT_BYTES {
            package.too_long(within_package(&self.path), MAX_TEXT_BYTES);
        } else {
            // Within its capacity, so that it does not move and leave a copy behind.
            self.text.push_str(text);
        }
        Ok(())
    }

    fn wipe_text(&mut self) {
        self.text.as_mut_str().zeroize();
        self.text.clear();
    }

    fn malformed(&self) -> Problem {
        Problem::Malformed { offset: self.reader.buffer_position() }
    }

    /// What a parser's error means, without the pieces of the file that it carries.
    fn problem(&self, error: &XmlError) -> Problem {
        match error {
            XmlError::Io(_) if self.reader.get_ref().exceeded() => {
                Problem::RecordTooLong { limit: MAX_RECORD_BYTES }
            }
            XmlError::Io(error) => Problem::Read(error.kind()),
            XmlError::Encoding(_) => Problem::NotUtf8,
            XmlError::Syntax(_) => Problem::Unfinished,
            _ => Problem::Malformed { offset: self.reader.error_position() },
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended { None } else { self.advance().transpose() }
    }
}

/// The open elements from inside the key package on.
fn within_package(path: &[Element]) -> &[Element] {
    path.get(2..).unwrap_or_default()
}

/// The value of an attribute, by local name.
fn attribute(element: &BytesStart<'_>, name: &str, offset: u64) -> Result<Option<String>, Problem> {
    let named = |attribute: &Attribute<'_>| attribute.key.local_name().as_ref() == name;
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|_| Problem::Malformed { offset })?;
        if named(&attribute) {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| Problem::Dtd)?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// The character of a reference; only XML's own five names are known.
fn resolve(reference: &BytesRef<'_>) -> Result<char, Problem> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(character),
        Ok(None) => match reference.as_ref() {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(Problem::Dtd),
        },
        Err(_) => Err(Problem::Dtd),
    }
}

#[cfg(test)]
mod tests;
