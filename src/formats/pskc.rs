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

use super::error::{FormatError, Problem, Unsupported};
use super::xml::{Attributes, Dialect, Document};
use super::{ImportedCredential, Location};
use package::{Element, Package};

/// The credentials of a PSKC document.
pub struct Records<R: Read>(Document<R, Pskc>);

impl<R: Read> Records<R> {
    /// Reads from a stream.
    pub fn new(input: R) -> Self {
        Self(Document::new(input, Pskc::default()))
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<ImportedCredential, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// What is known of the container so far.
#[derive(Default)]
struct Pskc {
    /// The package being read.
    package: Option<Box<Package>>,
    /// Packages begun.
    packages: u64,
}

impl Dialect for Pskc {
    type Element = Element;
    type Record = Box<Package>;

    fn named(name: &str) -> Element {
        Element::named(name)
    }

    fn opened(&mut self, path: &[Element], attributes: Attributes<'_>) -> Result<(), Problem> {
        match path {
            [] | [Element::KeyContainer] => {}
            [_] => return Err(Problem::Unsupported(Unsupported::OtherXml)),
            [_, Element::KeyPackage] => {
                self.packages += 1;
                self.package = Some(Box::default());
            }
            [_, Element::EncryptionKey | Element::MACMethod | Element::Signature | Element::Extensions] => {}
            [_, _] => return Err(Problem::Unsupported(Unsupported::PskcDialect)),
            _ => {}
        }
        if let Some(package) = &mut self.package {
            package.opened(within_package(path), attributes);
        }
        Ok(())
    }

    fn closed(&mut self, path: &[Element], content: &str) -> Result<Option<Box<Package>>, Problem> {
        if let Some(package) = &mut self.package {
            package.closed(within_package(path), content);
        }
        Ok(if path.len() == 2 { self.package.take() } else { None })
    }

    fn too_long(&mut self, path: &[Element], limit: usize) -> Result<(), Problem> {
        if let Some(package) = &mut self.package {
            package.too_long(within_package(path), limit);
        }
        Ok(())
    }

    fn finish(&self, package: Box<Package>, location: Location) -> Result<ImportedCredential, Problem> {
        package.finish(location)
    }

    fn location(&self) -> Location {
        match self.packages {
            0 => Location::File,
            number => Location::KeyPackage(number),
        }
    }
}

/// The open elements from inside the key package on.
fn within_package(path: &[Element]) -> &[Element] {
    path.get(2..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
