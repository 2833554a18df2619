//! The CSV of `token/batchAssignTokens`: which token goes to whom, one assignment a line.
//!
//! ```text
//! domain,loginName,manufacturerCode,productCode,serial,status,pin
//! "test domain", "john.smith", "DN", "MT", "10000", "ACTIVE", "1234"
//! ```
//!
//! The first line that is not empty names the columns, in any order and any case; `status` and `pin` may be left
//! out, there and in each row. Quoting is that of RFC 4180 with blanks allowed around the quotes, as the DualShield
//! document prints it. Accepted besides: a BOM, CRLF, empty lines. What is within quotes is kept as it stands only
//! for the PIN; of everything else the blanks at either end are dropped.
//!
//! A row is one line: none of the fields can hold a line break, and a quote that is never closed must not swallow the
//! rows below it. A bad row is an error that names line and field; the rows after it are read nevertheless, so that
//! the caller can name all bad rows at once. A bad header ends the file. Errors never quote a field: it may be a PIN.
//!
//! The `csv` crate takes a quote after a blank for a part of the field, has no option for it, and drops what follows
//! a closing quote without a word; trimming beforehand would have to know which quotes are quotes, which is all the
//! work there is. So the fields are cut here.

use std::borrow::Cow;
use std::fmt;
use std::iter::Enumerate;
use std::str::Lines;

use zeroize::Zeroizing;

use super::error::{FormatError, Problem};
use super::{Location, MAX_NAME_CHARS, once, serial, text};
use crate::otp::pin::MAX_PIN_CHARS;

/// So many known names make a header of a line: a row of data does not hold them by accident, so that quoting an
/// unknown name beside them in an error gives nothing away.
const KNOWN_NAMES_OF_A_HEADER: usize = 3;

/// Most characters of an unknown column's name that an error repeats.
const SHOWN_NAME_CHARS: usize = 40;

/// One assignment.
#[derive(Clone, PartialEq, Eq)]
pub struct AssignRow {
    /// Where it stands, counted from 1.
    pub line: u64,
    /// Name of the user's domain.
    pub domain: String,
    /// The user's name in it.
    pub login_name: String,
    /// First half of the product's name.
    pub manufacturer_code: String,
    /// Second half of the product's name.
    pub product_code: String,
    /// The token.
    pub serial: String,
    /// What the assignment's status shall be, as it is written.
    pub status: Option<String>,
    /// What the assignment's PIN shall be.
    pub pin: Option<Zeroizing<String>>,
}

impl fmt::Debug for AssignRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssignRow")
            .field("line", &self.line)
            .field("domain", &self.domain)
            .field("login_name", &self.login_name)
            .field("manufacturer_code", &self.manufacturer_code)
            .field("product_code", &self.product_code)
            .field("serial", &self.serial)
            .field("status", &self.status)
            .field("pin", &self.pin.as_ref().map(|_| "[redacted]"))
            .finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Domain,
    LoginName,
    ManufacturerCode,
    ProductCode,
    Serial,
    Status,
    Pin,
}

impl Column {
    const ALL: [Self; 7] = [
        Self::Domain,
        Self::LoginName,
        Self::ManufacturerCode,
        Self::ProductCode,
        Self::Serial,
        Self::Status,
        Self::Pin,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::LoginName => "loginName",
            Self::ManufacturerCode => "manufacturerCode",
            Self::ProductCode => "productCode",
            Self::Serial => "serial",
            Self::Status => "status",
            Self::Pin => "pin",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name().eq_ignore_ascii_case(name))
    }

    const fn may_be_missing(self) -> bool {
        matches!(self, Self::Status | Self::Pin)
    }
}

/// Reads the rows of a text. The first is the error of the header, if there is one, and then the only one.
#[must_use]
pub fn rows(text: &str) -> Rows<'_> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Rows { lines: text.lines().enumerate(), columns: None, found_any: false, ended: false }
}

/// The rows of a text, in its order.
pub struct Rows<'t> {
    lines: Enumerate<Lines<'t>>,
    /// What the header says.
    columns: Option<Vec<Option<Column>>>,
    found_any: bool,
    ended: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<AssignRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        for (index, line) in self.lines.by_ref() {
            if line.trim().is_empty() {
                continue;
            }
            let number = index as u64 + 1;
            let at = |problem| FormatError::new(Location::Line(number), problem);
            // Inside a line, a carriage return is the line end of some other system.
            let one_line = if line.trim_end().contains('\r') {
                Err(Problem::ControlCharacter { field: "line" })
            } else {
                Ok(line)
            };
            let Some(columns) = &self.columns else {
                match one_line.and_then(header) {
                    Ok(columns) => self.columns = Some(columns),
                    Err(problem) => {
                        self.ended = true;
                        return Some(Err(at(problem)));
                    }
                }
                continue;
            };
            self.found_any = true;
            return Some(one_line.and_then(|line| row(line, number, columns)).map_err(at));
        }
        self.ended = true;
        (!self.found_any).then(|| Err(FormatError::new(Location::File, Problem::NoRows)))
    }
}

/// The columns by position; one without a name is `None` and must be empty, as spreadsheets leave them at the end.
fn header(line: &str) -> Result<Vec<Option<Column>>, Problem> {
    let known = Fields::of(line).flatten().filter(|field| Column::named(field.text.trim()).is_some());
    if known.take(KNOWN_NAMES_OF_A_HEADER).count() < KNOWN_NAMES_OF_A_HEADER {
        return Err(Problem::NoHeader);
    }
    let mut columns = Vec::with_capacity(Column::ALL.len());
    for (index, field) in Fields::of(line).enumerate() {
        let field = field.map_err(|broken| broken.problem("header"))?;
        let name = field.text.trim();
        let column = Column::named(name);
        match column {
            Some(known) if columns.contains(&column) => {
                return Err(Problem::Duplicate { field: known.name() });
            }
            None if !name.is_empty() => {
                let name = name.chars().take(SHOWN_NAME_CHARS).collect();
                return Err(Problem::UnknownColumn { number: index + 1, name });
            }
            _ => columns.push(column),
        }
    }
    let left_out = |column: &Column| !column.may_be_missing() && !columns.contains(&Some(*column));
    match Column::ALL.into_iter().find(left_out) {
        Some(column) => Err(Problem::MissingColumn { name: column.name() }),
        None => Ok(columns),
    }
}

/// What a row says, column by column.
#[derive(Default)]
struct Cells {
    domain: Option<String>,
    login_name: Option<String>,
    manufacturer_code: Option<String>,
    product_code: Option<String>,
    serial: Option<String>,
    status: Option<String>,
    pin: Option<Zeroizing<String>>,
}

fn row(line: &str, number: u64, columns: &[Option<Column>]) -> Result<AssignRow, Problem> {
    let mut cells = Cells::default();
    for (index, field) in Fields::of(line).enumerate() {
        let column = columns.get(index).copied().flatten();
        let field = field.map_err(|broken| broken.problem(column.map_or("row", Column::name)))?;
        match column {
            Some(column) => cells.fill(column, field)?,
            None if field.text.is_empty() => {}
            None => return Err(Problem::NamelessColumn { number: index + 1 }),
        }
    }
    let must = |column: Column, cell: Option<String>| cell.ok_or(Problem::Missing { field: column.name() });
    Ok(AssignRow {
        line: number,
        domain: must(Column::Domain, cells.domain)?,
        login_name: must(Column::LoginName, cells.login_name)?,
        manufacturer_code: must(Column::ManufacturerCode, cells.manufacturer_code)?,
        product_code: must(Column::ProductCode, cells.product_code)?,
        serial: must(Column::Serial, cells.serial)?,
        status: cells.status,
        pin: cells.pin,
    })
}

impl Cells {
    fn fill(&mut self, column: Column, field: Field<'_>) -> Result<(), Problem> {
        let name = column.name();
        let plain = || text(name, &field.text, MAX_NAME_CHARS);
        match column {
            Column::Domain => once(name, &mut self.domain, plain()?),
            Column::LoginName => once(name, &mut self.login_name, plain()?),
            Column::ManufacturerCode => once(name, &mut self.manufacturer_code, plain()?),
            Column::ProductCode => once(name, &mut self.product_code, plain()?),
            Column::Serial => once(name, &mut self.serial, Some(serial(&field.text)?)),
            Column::Status => once(name, &mut self.status, plain()?),
            Column::Pin => once(name, &mut self.pin, pin(field)?),
        }
    }
}

/// Checks a PIN. Blanks within quotes are part of it.
fn pin(field: Field<'_>) -> Result<Option<Zeroizing<String>>, Problem> {
    let pin = Zeroizing::new(field.text.into_owned());
    let field = Column::Pin.name();
    if pin.chars().nth(MAX_PIN_CHARS).is_some() {
        return Err(Problem::TooLong { field, limit: MAX_PIN_CHARS });
    }
    if pin.chars().any(char::is_control) {
        return Err(Problem::ControlCharacter { field });
    }
    Ok((!pin.is_empty()).then_some(pin))
}

/// The fields of one line, from left to right. After a broken one there are no more.
struct Fields<'l> {
    rest: Option<&'l str>,
}

/// What stands between two commas, without its quotes and the blanks outside them.
struct Field<'l> {
    text: Cow<'l, str>,
}

/// How a field is not CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// A quote is opened and never closed.
    Unclosed,
    /// A quote stands in the midst of a field, or text after a closing quote.
    Stray,
}

impl Broken {
    const fn problem(self, field: &'static str) -> Problem {
        match self {
            Self::Unclosed => Problem::UnclosedQuote { field },
            Self::Stray => Problem::StrayQuote { field },
        }
    }
}

impl<'l> Fields<'l> {
    const fn of(line: &'l str) -> Self {
        Self { rest: Some(line) }
    }

    /// Cuts the field at the beginning of `text`, and what is behind its comma.
    fn cut(text: &'l str) -> Result<(Cow<'l, str>, Option<&'l str>), Broken> {
        let Some(quoted) = text.trim_start().strip_prefix('"') else {
            let (field, rest) =
                text.split_once(',').map_or((text, None), |(field, rest)| (field, Some(rest)));
            let plain = if field.contains('"') { Err(Broken::Stray) } else { Ok(field.trim()) };
            return plain.map(|field| (Cow::Borrowed(field), rest));
        };
        let mut quotes = quoted.match_indices('"').map(|(at, _)| at).peekable();
        let mut doubled = false;
        let end = loop {
            let at = quotes.next().ok_or(Broken::Unclosed)?;
            match quotes.next_if_eq(&(at + 1)) {
                Some(_) => doubled = true,
                None => break at,
            }
        };
        let (field, behind) = quoted.split_at_checked(end).ok_or(Broken::Unclosed)?;
        let behind = behind.strip_prefix('"').unwrap_or(behind).trim_start();
        let rest = match behind.strip_prefix(',') {
            None if !behind.is_empty() => return Err(Broken::Stray),
            rest => rest,
        };
        let field = if doubled { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) };
        Ok((field, rest))
    }
}

impl<'l> Iterator for Fields<'l> {
    type Item = Result<Field<'l>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let cut = Self::cut(self.rest.take()?);
        Some(cut.map(|(text, rest)| {
            self.rest = rest;
            Field { text }
        }))
    }
}

#[cfg(test)]
mod tests;
