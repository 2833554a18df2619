//! XML as a stream, for every format that is XML: elements go by, records come out.
//!
//! [`Document`] reads events, keeps the path of open elements and the text of the innermost one, and hands both to
//! a [`Dialect`], which knows what they mean. One record is held in memory at a time, in buffers that are wiped.
//!
//! Refused whatever the dialect: document types and entities other than XML's own five, elements nested too deep,
//! text outside the root, a second root, unfinished documents, and anything but UTF-8. No error carries a piece of
//! the document.

use std::io::Read;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error as XmlError, Reader, XmlVersion};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::{FormatError, Problem};
use super::limited::{Limited, MAX_RECORD_BYTES};
use super::{ImportedCredential, Location};

/// Deepest nesting; RFC 6030 itself needs 7, signatures a few more.
const MAX_DEPTH: usize = 32;

/// Most bytes of text of one element that is looked at.
const MAX_TEXT_BYTES: usize = 4096;

/// Asks for the value of an attribute, by local name.
pub(super) type Attributes<'a> = &'a dyn Fn(&str) -> Result<Option<String>, Problem>;

/// What the elements of a format mean. An error of one of these methods ends the document, but for `finish`.
pub(super) trait Dialect {
    /// An element that is looked at, or any other.
    type Element: Copy;
    /// What is known of a record that is complete.
    type Record;

    /// The element of a local name.
    fn named(name: &str) -> Self::Element;

    /// An element has begun; `path` leads from the root to it.
    fn opened(&mut self, path: &[Self::Element], attributes: Attributes<'_>) -> Result<(), Problem>;

    /// An element has ended. Of its text comes what follows the last element in it.
    fn closed(&mut self, path: &[Self::Element], content: &str) -> Result<Option<Self::Record>, Problem>;

    /// The text of an element is longer than any that is looked at; a part of it will be missing.
    fn too_long(&mut self, path: &[Self::Element], limit: usize) -> Result<(), Problem>;

    /// Makes the credential of a record; an error stands for this record alone.
    fn finish(&self, record: Self::Record, location: Location) -> Result<ImportedCredential, Problem>;

    /// The record begun last, or the file before the first.
    fn location(&self) -> Location;
}

/// Declares the elements that a dialect looks at as an enum, with one spelling for each.
macro_rules! elements {
    ($(#[$doc:meta])* $($name:ident),* $(,)?) => {
        $crate::formats::xml::elements! { $(#[$doc])* $($name = stringify!($name),)* }
    };
    ($(#[$doc:meta])* $($name:ident = $spelling:pat),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Element {
            $($name,)*
            /// Any other.
            Other,
        }

        impl Element {
            pub(super) fn named(name: &str) -> Self {
                match name {
                    $($spelling => Self::$name,)*
                    _ => Self::Other,
                }
            }
        }
    };
}
pub(super) use elements;

/// The records of an XML document.
pub(super) struct Document<R: Read, D: Dialect> {
    reader: Reader<Limited<R>>,
    dialect: D,
    buffer: Zeroizing<Vec<u8>>,
    /// The open elements.
    path: Vec<D::Element>,
    /// Text of the innermost open element since it or its last child began or ended.
    text: Zeroizing<String>,
    root_closed: bool,
    ended: bool,
}

/// What an event leads to.
enum Progress<T> {
    Nothing,
    Record(T),
    End,
}

impl<R: Read, D: Dialect> Document<R, D> {
    pub(super) fn new(input: R, dialect: D) -> Self {
        Self {
            reader: Reader::from_reader(Limited::new(input)),
            dialect,
            buffer: Zeroizing::default(),
            path: Vec::new(),
            text: Zeroizing::new(String::with_capacity(MAX_TEXT_BYTES)),
            root_closed: false,
            ended: false,
        }
    }

    /// Reads events until a record is complete. `None` at the end of the document.
    fn advance(&mut self) -> Result<Option<ImportedCredential>, FormatError> {
        loop {
            let progress = self.event().map_err(|problem| {
                self.ended = true;
                FormatError::new(self.dialect.location(), problem)
            })?;
            match progress {
                Progress::Nothing => {}
                Progress::Record(record) => {
                    let location = self.dialect.location();
                    return self
                        .dialect
                        .finish(record, location)
                        .map(Some)
                        .map_err(|problem| FormatError::new(location, problem));
                }
                Progress::End => {
                    self.ended = true;
                    return match self.dialect.location() {
                        Location::File => Err(FormatError::new(Location::File, Problem::NoKeys)),
                        _ => Ok(None),
                    };
                }
            }
        }
    }

    fn event(&mut self) -> Result<Progress<D::Record>, Problem> {
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
        if self.path.is_empty() && self.root_closed {
            return Err(self.malformed());
        }
        self.path.push(D::named(element.local_name().as_ref()));
        self.wipe_text();
        let offset = self.reader.buffer_position();
        self.dialect.opened(&self.path, &|name| attribute(element, name, offset))
    }

    fn close(&mut self) -> Result<Progress<D::Record>, Problem> {
        let record = self.dialect.closed(&self.path, &self.text)?;
        self.wipe_text();
        self.path.pop();
        self.root_closed = self.path.is_empty();
        Ok(record.map_or(Progress::Nothing, Progress::Record))
    }

    fn append(&mut self, text: &str) -> Result<(), Problem> {
        if self.path.is_empty() {
            let blank = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty();
            return if blank { Ok(()) } else { Err(self.malformed()) };
        }
        if self.text.len() + text.len() > MAX_TEXT_BYTES {
            return self.dialect.too_long(&self.path, MAX_TEXT_BYTES);
        }
        // Within its capacity, so that it does not move and leave a copy behind.
        self.text.push_str(text);
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

impl<R: Read, D: Dialect> Iterator for Document<R, D> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended { None } else { self.advance().transpose() }
    }
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
