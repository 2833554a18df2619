//! One key package: what is gathered of it, element by element, and what it makes in the end.
//!
//! The first thing that is wrong with a package stands for all; the rest of it is read on without effect.

use crate::formats::error::{Problem, Unsupported};
use crate::formats::xml::{Attributes, elements};
use crate::formats::{
    ImportedCredential, ImportedKind, Location, MAX_NAME_CHARS, digits, number, once, serial, text, time_step,
};
use crate::otp::algorithm::Algorithm;
use crate::otp::passcode::Digits;
use crate::otp::secret::Secret;
use crate::otp::totp::TimeStep;

/// Longest date and time in characters.
const MAX_DATE_CHARS: usize = 40;

elements! {
    /// The elements of RFC 6030 that are looked at, by local name.
    KeyContainer, EncryptionKey, MACMethod, Signature, Extensions, KeyPackage, DeviceInfo, Manufacturer, SerialNo,
    Model, Key, AlgorithmParameters, Suite, ResponseFormat, Data, Secret, Counter, Time, TimeInterval, PlainValue,
    EncryptedValue, Policy, StartDate, ExpiryDate, PINPolicy, KeyUsage,
}

/// What is known of a package so far.
#[derive(Default)]
pub(super) struct Package {
    problem: Option<Problem>,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    has_key: bool,
    key_id: Option<String>,
    kind: Option<ImportedKind>,
    algorithm: Option<Algorithm>,
    digits: Option<Digits>,
    secret: Option<Secret>,
    counter: Option<u64>,
    time_step: Option<TimeStep>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    /// Whether the policy names uses of the key, and whether OTP is among them.
    restricted: bool,
    allows_otp: bool,
}

impl Package {
    /// An element has begun; `path` leads to it from inside the key package.
    pub(super) fn opened(&mut self, path: &[Element], attributes: Attributes<'_>) {
        let result = self.read_attributes(path, attributes);
        self.note(result);
        // What stands before an element within a field would be lost, and half a secret is none.
        if let Some((_, parent)) = path.split_last()
            && parent.last() != Some(&Element::EncryptedValue)
            && field(parent).is_some()
        {
            self.note(Err(Problem::Unsupported(Unsupported::OtherXml)));
        }
    }

    /// An element has ended.
    pub(super) fn closed(&mut self, path: &[Element], content: &str) {
        let result = self.read_content(path, content);
        self.note(result);
    }

    /// The text of an element is longer than any that is looked at.
    pub(super) fn too_long(&mut self, path: &[Element], limit: usize) {
        if let Some(field) = field(path) {
            self.note(Err(Problem::TooLong { field, limit }));
        }
    }

    /// Makes the credential.
    pub(super) fn finish(self, location: Location) -> Result<ImportedCredential, Problem> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if self.restricted && !self.allows_otp {
            return Err(Problem::Unsupported(Unsupported::Policy));
        }
        let secret = self.secret.ok_or(Problem::Missing { field: "secret" })?;
        let serial_no = self.serial.or(self.key_id).unwrap_or_default();
        let mut imported = ImportedCredential::new(location, serial(&serial_no)?, secret);
        imported.kind = self.kind;
        imported.counter = self.counter;
        imported.time_step = self.time_step;
        imported.algorithm = Some(self.algorithm.unwrap_or(Algorithm::Sha1));
        imported.digits = self.digits;
        imported.manufacturer = self.manufacturer;
        imported.model = self.model;
        imported.valid_from = self.valid_from;
        imported.valid_until = self.valid_until;
        Ok(imported)
    }

    fn note(&mut self, result: Result<(), Problem>) {
        if let Err(problem) = result {
            self.problem.get_or_insert(problem);
        }
    }

    fn read_attributes(&mut self, path: &[Element], attributes: Attributes<'_>) -> Result<(), Problem> {
        use Element as E;
        match path {
            [E::Key] => {
                if std::mem::replace(&mut self.has_key, true) {
                    return Err(Problem::Duplicate { field: "key" });
                }
                self.key_id = attributes("Id")?;
                self.kind = attributes("Algorithm")?.as_deref().map(kind).transpose()?;
            }
            [E::Key, E::AlgorithmParameters, E::Suite] => {
                // So written by privacyIDEA.
                if let Some(name) = attributes("hashalgo")? {
                    self.algorithm = Some(algorithm(&name)?);
                }
            }
            [E::Key, E::AlgorithmParameters, E::ResponseFormat] => self.read_response_format(attributes)?,
            [E::Key, E::Data, _, E::EncryptedValue] => {
                if let Some(field) = field(path) {
                    return Err(Problem::Encrypted { field });
                }
            }
            [E::Key, E::Policy, E::StartDate | E::ExpiryDate | E::PINPolicy | E::KeyUsage] => {}
            [E::Key, E::Policy, _] => return Err(Problem::Unsupported(Unsupported::Policy)),
            _ => {}
        }
        Ok(())
    }

    fn read_response_format(&mut self, attributes: Attributes<'_>) -> Result<(), Problem> {
        if attributes("Encoding")?.is_some_and(|encoding| encoding.trim() != "DECIMAL") {
            return Err(Problem::Unsupported(Unsupported::ResponseEncoding));
        }
        if attributes("CheckDigits")?.is_some_and(|check| !matches!(check.trim(), "false" | "0")) {
            return Err(Problem::Unsupported(Unsupported::CheckDigits));
        }
        self.digits = digits(&attributes("Length")?.unwrap_or_default())?;
        Ok(())
    }

    fn read_content(&mut self, path: &[Element], content: &str) -> Result<(), Problem> {
        use Element as E;
        let Some(field) = field(path) else { return Ok(()) };
        let name = || text(field, content, MAX_NAME_CHARS);
        let date = || text(field, content, MAX_DATE_CHARS);
        match path {
            [E::DeviceInfo, E::SerialNo] => once(field, &mut self.serial, name()?),
            [E::DeviceInfo, E::Manufacturer] => once(field, &mut self.manufacturer, name()?),
            [E::DeviceInfo, E::Model] => once(field, &mut self.model, name()?),
            [E::Key, E::AlgorithmParameters, E::Suite] => match content.trim() {
                "" => Ok(()),
                suite => once(field, &mut self.algorithm, Some(algorithm(suite)?)),
            },
            [E::Key, E::Data, E::Secret, E::PlainValue] => {
                let secret = Secret::from_base64(content).map_err(Problem::Secret)?;
                once(field, &mut self.secret, Some(secret))
            }
            [E::Key, E::Data, E::Counter, E::PlainValue] => {
                once(field, &mut self.counter, number(field, content)?)
            }
            [E::Key, E::Data, E::TimeInterval, E::PlainValue] => {
                once(field, &mut self.time_step, time_step(content)?)
            }
            [E::Key, E::Data, E::Time, E::PlainValue] => number::<u64>(field, content).map(drop),
            [E::Key, E::Policy, E::StartDate] => once(field, &mut self.valid_from, date()?),
            [E::Key, E::Policy, E::ExpiryDate] => once(field, &mut self.valid_until, date()?),
            [E::Key, E::Policy, E::KeyUsage] => {
                self.restricted = true;
                self.allows_otp |= content.trim() == "OTP";
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The name of a field in errors, for the elements whose text or value is looked at.
fn field(path: &[Element]) -> Option<&'static str> {
    use Element as E;
    match path {
        [E::DeviceInfo, E::SerialNo] => Some("serial"),
        [E::DeviceInfo, E::Manufacturer] => Some("manufacturer"),
        [E::DeviceInfo, E::Model] => Some("model"),
        [E::Key, E::AlgorithmParameters, E::Suite] => Some("suite"),
        [E::Key, E::Data, E::Secret, E::PlainValue | E::EncryptedValue] => Some("secret"),
        [E::Key, E::Data, E::Counter, E::PlainValue | E::EncryptedValue] => Some("counter"),
        [E::Key, E::Data, E::TimeInterval, E::PlainValue | E::EncryptedValue] => Some("time step"),
        [E::Key, E::Data, E::Time, E::PlainValue | E::EncryptedValue] => Some("time"),
        [E::Key, E::Policy, E::StartDate] => Some("start date"),
        [E::Key, E::Policy, E::ExpiryDate] => Some("expiry date"),
        [E::Key, E::Policy, E::KeyUsage] => Some("key usage"),
        _ => None,
    }
}

/// The last part of the URI of a key's algorithm (RFC 6030 §4.3.4; drafts wrote `#` for `:`).
fn kind(uri: &str) -> Result<ImportedKind, Problem> {
    let uri = uri.trim();
    match uri.rsplit([':', '#']).next().filter(|_| uri.contains("keyprov:pskc")) {
        Some("hotp") => Ok(ImportedKind::Hotp),
        Some("totp") => Ok(ImportedKind::Totp),
        Some("ocra") => Err(Problem::Unsupported(Unsupported::Ocra)),
        _ => Err(Problem::Unsupported(Unsupported::KeyAlgorithm)),
    }
}

/// The hash function that a suite names.
fn algorithm(suite: &str) -> Result<Algorithm, Problem> {
    if suite.trim().starts_with("OCRA") {
        return Err(Problem::Unsupported(Unsupported::Ocra));
    }
    Algorithm::parse(suite).map_err(|_| Problem::UnknownAlgorithm)
}
